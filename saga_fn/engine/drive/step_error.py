"""Failures of user code as they are kept: names of types, messages and codes; never a pickled object, never a traceback.

Beside an exception stands what it comes from: a group's leaves, what it was raised from, what was being handled when it
was raised. All of it is bounded, for any error of user code.
"""

from __future__ import annotations

from typing import Final, Literal, cast

import msgspec
from typing_extensions import override

from saga_fn.errors import BEFORE_HINT
from saga_fn.printable import name_of_type, printable, raw_message_of

_LONGEST_MESSAGE: Final = 4096
_LONGEST_MESSAGE_BEHIND: Final = 500
_MOST_BEHIND: Final = 16
_LONGEST_OF_ALL: Final = 16_384
_NOTHING: Final = msgspec.Raw()
REFUSED: Final = "StepRefusedError"
"""The type that stands for a Failure which is no more than a text."""

How = Literal["in it", "raised from", "while handling", "raised as"]


class Behind(msgspec.Struct, frozen=True, omit_defaults=True):
    """An exception that another one stands for."""

    how: How
    type: str
    message: str = ""

    @override
    def __str__(self) -> str:
        return f"{self.how}: {self.type}: {self.message}" if self.message else f"{self.how}: {self.type}"


class StepError(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error, as the journal keeps it."""

    type: str
    message: str = ""
    step: str | None = None
    error: msgspec.Raw = _NOTHING
    """The business error itself, as JSON, where its type can be stored."""
    behind: tuple[Behind, ...] = ()
    """The exceptions that it comes from, nearest first; the first ones if they are many."""
    altered: bool = False
    """It is a business error that could not be stored whole: there is no more of it than type and message."""

    @classmethod
    def of(cls, error: object, *, step: str | None = None, raised: BaseException | None = None) -> StepError:
        """The fault of an exception, or of what a step returned in a Failure; `raised` is what it was found in.

        Its message is cut to a few kilobytes and cleaned of what UTF-8 cannot hold.
        """
        name = REFUSED if isinstance(error, str) else name_of_type(error)
        behind = _behind(error) if isinstance(error, BaseException) else ()
        if raised is not None and raised is not error:
            behind = (_told("raised as", raised), *behind, *(each for each in _behind(raised) if each.type != name))
        return cls(name, _message(error, _LONGEST_MESSAGE), step, behind=behind[:_MOST_BEHIND])

    @classmethod
    def answer(cls, error: object, data: bytes | None, *, step: str, raised: BaseException | None = None) -> StepError:
        """The fault of a business error; `data` is that error as JSON, None if it cannot be stored whole."""
        told = cls.of(error, step=step, raised=raised)
        return msgspec.structs.replace(
            told, error=_NOTHING if data is None else msgspec.Raw(data), altered=data is None
        )

    @property
    def data(self) -> bytes | None:
        """The business error as JSON, if it was kept."""
        return bytes(self.error) or None

    @property
    def fact(self) -> str:
        """Its type and message on one line, without the mend of an error of this library."""
        return printable(f"{self.type}: {self.message.partition(BEFORE_HINT)[0]}", _LONGEST_MESSAGE)

    @property
    def types(self) -> str:
        """The types alone, which may stand in a log: a message may hold what belongs in no log."""
        behind = ", ".join(dict.fromkeys(each.type for each in self.behind if each.type != self.type))
        return f"{self.type}: {behind}" if behind else self.type

    def encode(self) -> bytes:
        """The fault as a journal entry's payload."""
        return msgspec.json.encode(self)

    @override
    def __str__(self) -> str:
        """All of it on one line, with what does not print escaped; `message` is as user code has written it."""
        told = f"{self.type}: {self.message}" if self.message else self.type
        return printable("; ".join((told, *map(str, self.behind))), _LONGEST_OF_ALL)


def _message(error: object, longest: int) -> str:
    return raw_message_of(error)[:longest].encode("utf-8", "backslashreplace").decode("utf-8")[:longest]


def _behind(error: BaseException) -> tuple[Behind, ...]:
    """The exceptions that it comes from, depth first; a group within a group is passed over for what is in it."""
    found: list[Behind] = []
    seen = {id(error)}
    last = (name_of_type(error), _message(error, _LONGEST_MESSAGE_BEHIND))
    left = _next_behind(error)
    while left and len(found) < _MOST_BEHIND:
        how, each = left.pop()
        if id(each) not in seen:
            seen.add(id(each))
            told = _told(how, each)
            # Many a client wraps an error of a library's in one of its own, with the same name and words.
            if (how != "in it" or not _is_group(each)) and (how == "in it" or (told.type, told.message) != last):
                found.append(told)
                last = (told.type, told.message)
            left.extend(_next_behind(each))
    return tuple(found)


def _is_group(error: BaseException) -> bool:
    return isinstance(error, BaseExceptionGroup)


def _told(how: How, error: BaseException) -> Behind:
    return Behind(how, name_of_type(error), _message(error, _LONGEST_MESSAGE_BEHIND))


def _next_behind(error: BaseException) -> list[tuple[How, BaseException]]:
    """The exceptions right behind it, the first of them last."""
    behind: list[tuple[How, BaseException]] = []
    if error.__cause__ is not None:
        behind.append(("raised from", error.__cause__))
    elif error.__context__ is not None and not error.__suppress_context__:
        behind.append(("while handling", error.__context__))
    if isinstance(error, BaseExceptionGroup):
        leaves = cast("BaseExceptionGroup[BaseException]", error).exceptions[:_MOST_BEHIND]
        behind.extend(("in it", each) for each in reversed(leaves))
    return behind


def step_error_in(payload: bytes | None) -> StepError | None:
    """The fault that a payload holds, if it holds one."""
    if payload is None:
        return None
    try:
        return msgspec.json.decode(payload, type=StepError)
    except msgspec.DecodeError:
        return None


def program_end(error: BaseException) -> KeyboardInterrupt | SystemExit | None:
    """The exception that ends the program, if it is one, or a group with one in it."""
    behind = [error]
    while behind:  # not by a call for each level: groups may be nested more deeply than Python may call
        each = behind.pop()
        if isinstance(each, KeyboardInterrupt | SystemExit):
            return each
        if isinstance(each, BaseExceptionGroup):
            behind.extend(reversed(cast("BaseExceptionGroup[BaseException]", each).exceptions))
    return None
