"""The common part of facts: the line that the log says of it, if it says any."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import msgspec

from saga_fn.core.ids import StepId
from saga_fn.printable import printable

LOG: Final = "saga_fn"
"""The logger for what is said of a saga."""
PROCESS: Final = "saga_fn.process"
"""The logger for what is said of this process."""


class SagaIdentity(msgspec.Struct, frozen=True):
    """The saga that a fact is about."""

    id: UUID
    name: str
    version: int
    trace_id: str
    """As its caller chose it."""

    def log_extra(self, step: StepId | None = None, attempt: int | None = None) -> dict[str, object]:
        """The `extra` of a record about the saga. The caller chooses a saga's trace id: it is cleaned."""
        return {
            "saga_id": str(self.id),
            "saga_name": self.name,
            "trace_id": printable(self.trace_id),
            "step": step,
            "attempt": attempt,
        }


class Line(msgspec.Struct, frozen=True):
    """A line of the log: no payload is part of it, and no message of an exception, which may hold what a payload holds."""

    level: int
    text: str
    args: tuple[object, ...] = ()
    extra: dict[str, object] | None = None
    error: BaseException | None = None
    """The exception that follows the line as a traceback."""
    logger: str = LOG


class FactBase(msgspec.Struct, frozen=True):
    """Something that has happened."""

    def line(self) -> Line | None:
        """The line of it in the log; None for what happens all the time."""
        return None


def only_id(saga_id: UUID) -> dict[str, object]:
    """The `extra` of a record about a saga of which no more is known."""
    return {"saga_id": str(saga_id)}
