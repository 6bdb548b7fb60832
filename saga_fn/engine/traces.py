"""A traceback that says where, and nothing of what the exceptions said: messages may hold what a payload holds."""

from __future__ import annotations

from typing import Final, cast

from saga_fn.printable import name_of_type

_DEEPEST: Final = 10
_MOST_LEAVES: Final = 10


def without_messages(error: BaseException, depth: int = 0) -> BaseException:
    """A stand-in for the exception, to be formatted: its type's name, its frames, and what it comes from, to some depth."""
    name, named = name_of_type(error), {"__module__": str(type(error).__module__)}
    if isinstance(error, BaseExceptionGroup):
        leaves = cast("BaseExceptionGroup[BaseException]", error).exceptions[:_MOST_LEAVES]
        within = [without_messages(each, depth + 1) for each in leaves] if depth < _DEEPEST else [Exception()]
        bare = cast("BaseException", type(name, (BaseExceptionGroup,), named)("", within))
    else:
        bare = cast("BaseException", type(name, (Exception,), named)())
    if depth < _DEEPEST:
        bare.__cause__ = None if error.__cause__ is None else without_messages(error.__cause__, depth + 1)
        bare.__context__ = None if error.__context__ is None else without_messages(error.__context__, depth + 1)
    bare.__suppress_context__ = error.__suppress_context__
    return bare.with_traceback(error.__traceback__)
