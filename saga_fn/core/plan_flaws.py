"""Why steps are no plan, or none that could ever work: each kind of flaw with the steps it concerns.

`core/plan.py` finds what the rules rely on not to be there, `core/deadline.py` and `core/size.py` what would be in vain.
The maker of the plan puts a flaw into words.
"""

from __future__ import annotations

from typing import TypeAlias, final

import msgspec

from saga_fn.core.ids import Micros, StepId


@final
class NoSteps(msgspec.Struct, frozen=True):
    """There is nothing to do."""


@final
class TooManySteps(msgspec.Struct, frozen=True):
    """The step is one more than a saga may have."""

    step: StepId


@final
class NoName(msgspec.Struct, frozen=True):
    """The step's id is empty, too long, or has other characters than printable ASCII."""

    step: StepId


@final
class ListedTwice(msgspec.Struct, frozen=True):
    """Two steps have one id."""

    step: StepId


@final
class NeedsUnlisted(msgspec.Struct, frozen=True):
    """The step depends on `needed`, which is not listed before it."""

    step: StepId
    needed: StepId


@final
class UndoIsMissing(msgspec.Struct, frozen=True):
    """The step is to be undone as what may have run, and has no compensation."""

    step: StepId


@final
class UndoNeedsOutput(msgspec.Struct, frozen=True):
    """The step is to be undone as what may have run, and its compensation cannot do without an output."""

    step: StepId


@final
class NoFanOut(msgspec.Struct, frozen=True):
    """The step cannot be done for each item: it is a wait, or would do less than none at once."""

    step: StepId


@final
class LongFanOutName(msgspec.Struct, frozen=True):
    """The id of a fan-out is so long that the ids of its items would be too long."""

    step: StepId


@final
class NamedAsItem(msgspec.Struct, frozen=True):
    """By its id the one is an item of the other, which is a fan-out."""

    step: StepId
    other: StepId


@final
class TwoPivots(msgspec.Struct, frozen=True):
    """There are two points of no return."""

    pivot: StepId
    other: StepId


@final
class PivotFansOut(msgspec.Struct, frozen=True):
    """The pivot is done for each item: there would be as many points of no return."""

    pivot: StepId


@final
class PivotIsUndone(msgspec.Struct, frozen=True):
    """The pivot has a compensation, though nothing is undone once it is done."""

    pivot: StepId


@final
class UndoneAfterPivot(msgspec.Struct, frozen=True):
    """The step follows the pivot and has a compensation, though nothing is undone there."""

    step: StepId
    pivot: StepId


@final
class BesidePivot(msgspec.Struct, frozen=True):
    """The step comes neither before the pivot nor after it: once that is done, nothing says whether to undo the step."""

    step: StepId
    pivot: StepId


@final
class WaitsForEver(msgspec.Struct, frozen=True):
    """The wait has no timeout, though the saga has a deadline."""

    step: StepId


@final
class SleepsTooLong(msgspec.Struct, frozen=True):
    """The saga's deadline is over before the sleep is. Times in microseconds; `before`: sleeps that come before it."""

    step: StepId
    limit: Micros
    before: Micros
    deadline: Micros


@final
class WaitsTooLong(msgspec.Struct, frozen=True):
    """The saga's deadline is over before the wait's timeout. Times in microseconds; `before`: sleeps that come before it."""

    step: StepId
    limit: Micros
    before: Micros
    deadline: Micros


@final
class TooLarge(msgspec.Struct, frozen=True):
    """The saga's state could take so many bytes, more than the store keeps."""

    size: int


StepFlaw: TypeAlias = (
    TooManySteps
    | NoName
    | ListedTwice
    | NeedsUnlisted
    | UndoIsMissing
    | UndoNeedsOutput
    | NoFanOut
    | LongFanOutName
    | NamedAsItem
)
"""The flaws that a step can have, by itself or beside those listed before it."""
PivotFlaw: TypeAlias = TwoPivots | PivotFansOut | PivotIsUndone | UndoneAfterPivot | BesidePivot
DeadlineFlaw: TypeAlias = WaitsForEver | SleepsTooLong | WaitsTooLong
PlanFlaw: TypeAlias = NoSteps | StepFlaw | PivotFlaw | DeadlineFlaw | TooLarge


@final
class PlanFlawError(ValueError):
    """These steps are no plan."""

    def __init__(self, flaw: PlanFlaw) -> None:
        self.flaw = flaw
        super().__init__(flaw)
