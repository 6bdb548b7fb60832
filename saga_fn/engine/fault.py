"""Failures of user code as they are kept: type name, message and code; never a pickled object, never a traceback."""

from __future__ import annotations

from typing import Final

import msgspec
from typing_extensions import override

_LONGEST_MESSAGE: Final = 4096
_NOTHING: Final = msgspec.Raw()
REFUSED: Final = "StepRefusedError"
"""The type that stands for a Failure which is no more than a text."""


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong, as the journal keeps it."""

    type: str
    message: str = ""
    step: str | None = None
    error: msgspec.Raw = _NOTHING
    """The business error itself, as JSON, where its type can be stored."""

    @classmethod
    def of(cls, error: object, *, step: str | None = None, data: bytes | None = None) -> Fault:
        """The fault of an exception, or of what a step returned in a Failure; `data` is that error as JSON.

        Its message is cut to a few kilobytes and cleaned of what UTF-8 cannot hold.
        """
        try:
            message = str(error) if isinstance(error, BaseException | str) else repr(error)
        except Exception:  # noqa: BLE001 - an error whose own __str__ raises still has to be recorded
            message = "(the exception's message could not be read)"
        clean = message.encode("utf-8", "backslashreplace").decode("utf-8")
        name = REFUSED if isinstance(error, str) else type(error).__name__
        return cls(name, clean[:_LONGEST_MESSAGE], step, _NOTHING if data is None else msgspec.Raw(data))

    @property
    def data(self) -> bytes | None:
        """The business error as JSON, if it was kept."""
        return bytes(self.error) or None

    def encode(self) -> bytes:
        """The fault as a journal entry's payload."""
        return msgspec.json.encode(self)

    @override
    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type


def fault_in(payload: bytes | None) -> Fault | None:
    """The fault that a payload holds, if it holds one."""
    if payload is None:
        return None
    try:
        return msgspec.json.decode(payload, type=Fault)
    except msgspec.DecodeError:
        return None
