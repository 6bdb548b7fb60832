"""How a saga ended."""

from __future__ import annotations

from typing import ClassVar, Generic, TypeAlias, TypeVar

from saga_fn.core.leftovers import LeftOver
from saga_fn.printable import HidingStruct
from saga_fn.snapshot.saga import SagaSnapshot
from saga_fn.snapshot.steps import StepFailure

R_co = TypeVar("R_co", covariant=True)


class Completed(HidingStruct, Generic[R_co], frozen=True):
    """The saga did everything; `result` is its output."""

    _hidden: ClassVar[frozenset[str]] = frozenset({"result"})

    result: R_co
    """The output of the saga."""
    snapshot: SagaSnapshot
    """The saga at its end."""


class Compensated(HidingStruct, frozen=True):
    """The saga was rolled back: all that has a compensation is undone; the snapshot's `stays_done` and `rewound` name what stays."""

    _hidden: ClassVar[frozenset[str]] = frozenset({"error"})

    snapshot: SagaSnapshot
    """The saga at its end."""
    error: str | None
    """The error that made it turn back, as text, or None."""
    failure: StepFailure | None = None
    """The step that made it turn back, and its business error, if there was one."""


class Failed(HidingStruct, frozen=True):
    """The saga ended and leaves `left_over`."""

    _hidden: ClassVar[frozenset[str]] = frozenset({"error"})

    snapshot: SagaSnapshot
    """The saga at its end."""
    error: str | None
    """The error that made it turn back, as text, or None."""
    failure: StepFailure | None = None
    """The step that made it turn back, and its business error, if there was one."""

    @property
    def left_over(self) -> tuple[LeftOver, ...]:
        """The effects that are left in the world, step by step."""
        return self.snapshot.left_over


Outcome: TypeAlias = Completed[R_co] | Compensated | Failed
"""How a saga ended: a closed union, for `match`."""
