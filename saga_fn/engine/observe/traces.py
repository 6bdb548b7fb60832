"""Tracebacks that cannot forge a line of a log: without messages, or with messages of one printable line each.

A message may hold what a payload holds, line breaks included, and user code has chosen it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

from saga_fn.printable import message_of, name_of_type, printable

_DEEPEST: Final = 10
_MOST_LEAVES: Final = 10
_MOST_NOTES: Final = 10


def without_messages(error: BaseException) -> BaseException:
    """A stand-in for the exception, to be formatted: its type's name, its frames, and what it comes from, to some depth."""
    return _stand_in(error, _silent, 0)


def in_lines(error: BaseException) -> BaseException:
    """The same with the exception's messages and notes, each on one printable line, no longer than it has to be."""
    return _stand_in(error, message_of, 0)


def _silent(_: object) -> str:
    return ""


def _stand_in(error: BaseException, say: Callable[[object], str], depth: int) -> BaseException:
    name, named = name_of_type(error), {"__module__": printable(str(type(error).__module__))}
    notes: object = getattr(error, "__notes__", None)
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        leaves = group.exceptions[:_MOST_LEAVES]
        within = [_stand_in(each, say, depth + 1) for each in leaves] if depth < _DEEPEST else [Exception()]
        bare = cast("BaseException", type(name, (BaseExceptionGroup,), named)(say(group.message), within))
    else:
        said = say(error)
        bare = cast("BaseException", type(name, (Exception,), named)(*((said,) if said else ())))
    if depth < _DEEPEST:
        bare.__cause__ = None if error.__cause__ is None else _stand_in(error.__cause__, say, depth + 1)
        bare.__context__ = None if error.__context__ is None else _stand_in(error.__context__, say, depth + 1)
    bare.__suppress_context__ = error.__suppress_context__
    for note in cast("list[object]", notes)[:_MOST_NOTES] if isinstance(notes, list) else ():
        if told := say(note):
            bare.add_note(told)
    return bare.with_traceback(error.__traceback__)
