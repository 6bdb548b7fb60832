"""One step of a saga: its state, and the failure that made the saga turn back."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import msgspec

from saga_fn.core.step_report import AwaitedCall, StepStatus, is_of_undo
from saga_fn.printable import HidingStruct


class StepFailure(HidingStruct, frozen=True):
    """The failure of one step that made a saga turn back, or wait for a person."""

    _hidden: ClassVar[frozenset[str]] = frozenset({"message", "error"})

    step_id: str
    """The step that failed."""
    type: str
    """The name of the error's type."""
    message: str
    """The error's message."""
    error: object = None
    """The business error itself, as the type the step declares: the E of its `Result[O, E]`, or a class in `give_up_on`.

    It is plain JSON where this process has not registered the definition. It is None where only the message could be kept,
    because the error holds a value that cannot be stored: see `give_up_on`.
    """


class StepSnapshot(msgspec.Struct, frozen=True):
    """One step of a saga at one moment."""

    step_id: str
    """The step's id."""
    status: StepStatus
    """Its status."""
    attempt: int
    """The number of executions in its present direction, forward or back; 0 once that is done."""
    failures: int
    """The number of failed attempts that its retry policy counts."""
    wakes_at: datetime | None
    """The time when it is tried again, or its wait is over."""
    parked: str | None
    """The reason why it waits for a person, or None."""
    awaits: AwaitedCall | None = None
    """The call that is made next of it, if it waits for one: "attempt", "probe" or "undo". A probe finds out whether it has run."""

    @property
    def undoes(self) -> bool:
        """Whether its status is that of its compensation, which has begun and is not over."""
        return is_of_undo(self.status)
