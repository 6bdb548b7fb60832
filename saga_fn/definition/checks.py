"""The core's verdict on a plan, in words: the fact, and how to mend it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import chain
from typing import assert_never

from saga_fn.core.deadline import deadline_flaws
from saga_fn.core.ids import StepId
from saga_fn.core.plan import (
    LONGEST_FAN_OUT_ID,
    LONGEST_ID,
    MOST_STEPS,
    Plan,
    PlanData,
    PlannedStep,
    name_flaws,
    step_flaws,
)
from saga_fn.core.plan_flaws import (
    BesidePivot,
    ListedTwice,
    LongFanOutName,
    NamedAsItem,
    NeedsUnlisted,
    NoFanOut,
    NoName,
    NoSteps,
    PivotFansOut,
    PivotIsUndone,
    PlanFlaw,
    PlanFlawError,
    SleepsTooLong,
    TooLarge,
    TooManySteps,
    TwoPivots,
    UndoIsMissing,
    UndoneAfterPivot,
    UndoNeedsOutput,
    WaitsForEver,
    WaitsTooLong,
)
from saga_fn.core.size import STATE_LIMIT, size_flaws
from saga_fn.errors import SagaDefinitionError, shown
from saga_fn.printable import in_words


def new_id(wanted: object, before: Collection[StepId]) -> StepId:
    """The id of one more step; raises SagaDefinitionError for what is none, or is taken."""
    if not isinstance(wanted, str):
        fact, hint = _no_name(wanted)
        raise SagaDefinitionError(fact, hint=hint)
    step = StepId(wanted)
    _refuse(name_flaws(step, before))
    return step


def check_step(planned: PlannedStep, before: Mapping[StepId, PlannedStep]) -> None:
    """Raise SagaDefinitionError for a step that cannot follow those."""
    _refuse(step_flaws(planned, before))


def checked_plan(data: PlanData) -> Plan:
    """The plan; raises SagaDefinitionError if it is none, or if no saga could ever come to its end by it."""
    try:
        plan = Plan.from_data(data)
    except PlanFlawError as error:
        raise refusal(error.flaw) from None
    _refuse(chain(deadline_flaws(plan), size_flaws(plan)))
    return plan


def refusal(flaw: PlanFlaw) -> SagaDefinitionError:
    """The fault, and how to mend it."""
    fact, hint = _words(flaw)
    return SagaDefinitionError(fact, hint=hint)


def _refuse(flaws: Iterable[PlanFlaw]) -> None:
    for flaw in flaws:
        raise refusal(flaw)


def _words(flaw: PlanFlaw) -> tuple[str, str]:
    """The fact and the hint."""
    match flaw:
        case NoSteps():
            return "a saga needs at least one step", "add one with add_step"
        case TooManySteps():
            return f"a saga has at most {MOST_STEPS} steps", "split it into several sagas"
        case NoName(step):
            return _no_name(step)
        case ListedTwice(step):
            return f"this saga has a step {shown(step)} already", "give this one a name of its own with step_id="
        case NeedsUnlisted(step, needed):
            return (
                f"{shown(step)} depends on step {shown(needed)}, which is not there",
                "add first what a step depends on, and pass the StepRef that gave: so no steps wait for each other",
            )
        case UndoIsMissing(step):
            return (
                f"step {shown(step)} has on_unknown='undo', but no compensation",
                "give compensate=, a function that also undoes what only may have been done",
            )
        case UndoNeedsOutput(step):
            return (
                f"step {shown(step)} has on_unknown='undo', but its compensation does not accept a missing output",
                "if the step may have run there is no output: annotate it `out: Payment | None`, and undo by the input alone",
            )
        case NoFanOut(step):
            return f"{shown(step)} cannot be done for each item of a list", "only a step can, one or more items at once"
        case LongFanOutName(step):
            return (
                f"step {shown(step)} is done for each item, so its id may have {LONGEST_FAN_OUT_ID} characters at most",
                "give it a shorter one with step_id=",
            )
        case NamedAsItem(step, other):
            return (
                f"steps {shown(step)} and {shown(other)} cannot be told from each other's items",
                "give one of them another step_id=",
            )
        case TwoPivots(pivot, other):
            return (
                f"steps {shown(pivot)} and {shown(other)} are both the pivot of this saga",
                "a saga has one point of no return: set pivot=True on the step after which nothing is undone any more",
            )
        case PivotFansOut(pivot):
            return (
                f"step {shown(pivot)} is done for each item, so it cannot be the pivot",
                "there is one point of no return: make a step before or after it the pivot",
            )
        case PivotIsUndone(pivot):
            return (
                f"step {shown(pivot)} is the pivot and has a compensation, which nothing would ever call",
                "leave out compensate=, or pivot=True if it can be undone",
            )
        case UndoneAfterPivot(step, pivot):
            there = f"after the pivot {shown(pivot)}: from there the saga only goes forward"
            return (
                f"step {shown(step)} has a compensation, but comes {there}",
                "leave its compensation out, or move the step before the pivot",
            )
        case BesidePivot(step, pivot):
            return (
                f"step {shown(step)} may run beside the pivot {shown(pivot)}, so it is not known whether it is to be undone",
                "order it before or after the pivot with after= (or depends_on)",
            )
        case WaitsForEver(step):
            return (
                f"the wait {shown(step)} has no timeout, but the saga has a deadline",
                "give it a timeout shorter than the deadline, and say with default= if the saga then goes on",
            )
        case SleepsTooLong(step, limit, before, deadline):
            return _too_long(
                f"the sleep {shown(step)} takes", "the saga would never get past it", limit, before, deadline
            )
        case WaitsTooLong(step, limit, before, deadline):
            return _too_long(
                f"the wait {shown(step)} may take", "its timeout would never be over", limit, before, deadline
            )
        case TooLarge(size):
            return (
                f"the state of this saga could take {size:,} bytes, the limit is {STATE_LIMIT:,}",
                "let its compensations wait for fewer events, give steps and events shorter names, or split the saga",
            )
        case _:
            assert_never(flaw)


def _no_name(wanted: object) -> tuple[str, str]:
    return (
        f"step_id must be a string of 1 to {LONGEST_ID} printable ASCII characters, not {shown(wanted)}",
        "give one with step_id=",
    )


def _too_long(what: str, vain: str, limit: int, before: int, deadline: int) -> tuple[str, str]:
    after = f" after sleeps of {in_words(before)}" if before else ""
    return (
        f"{what} {in_words(limit)}{after}, but the saga's deadline is {in_words(deadline)}",
        f"{vain}: make it{' or the sleeps before it' if before else ''} shorter, or the deadline longer",
    )
