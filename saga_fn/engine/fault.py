"""Failures of user code as they are kept: type name, message and code; never a pickled object, never a traceback."""

from __future__ import annotations

from typing import Final

import msgspec
from typing_extensions import override

_LONGEST_MESSAGE: Final = 4096


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong, as the journal keeps it."""

    type: str
    message: str = ""
    step: str | None = None

    @classmethod
    def of(cls, error: BaseException, *, step: str | None = None) -> Fault:
        """The fault of an exception; its message is cut to a few kilobytes and cleaned of what UTF-8 cannot hold."""
        try:
            message = str(error)
        except Exception:  # noqa: BLE001 - an exception whose own __str__ raises still has to be recorded
            message = "(the exception's message could not be read)"
        clean = message.encode("utf-8", "backslashreplace").decode("utf-8")
        return cls(type(error).__name__, clean[:_LONGEST_MESSAGE], step)

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
