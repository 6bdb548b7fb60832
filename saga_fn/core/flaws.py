"""Whether a state that was read from somewhere can be one that the rules have made.

A row may have been damaged, written by hand or restored in part. A reader of a state asks here once; everything behind
trusts it. The bounds keep the work and the memory that one row can take small, whatever stands in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from saga_fn.core.fan_out import ITEM_LIMIT, item_count
from saga_fn.core.ids import Moment, number_of
from saga_fn.core.plan import Plan, StepKind
from saga_fn.core.state import (
    Attempts,
    FannedOut,
    Joined,
    Probing,
    Running,
    SagaState,
    Sleeping,
    StepState,
    UndoFailed,
    Undoing,
    Undone,
    UndoParked,
    UndoRetrying,
    UndoWaiting,
    Unknown,
    Waiting,
)

LAST_MOMENT: Final = Moment(253_402_300_799_999_999)
"""The last microsecond of the year 9999: no later moment can be shown, or stored as a time."""
_KINDS: Final[dict[type[object], StepKind]] = {
    Waiting: StepKind.EVENT,
    Sleeping: StepKind.SLEEP,
    **dict.fromkeys(
        (Running, Probing, FannedOut, Joined, Undoing, UndoRetrying, UndoWaiting, UndoParked, UndoFailed, Undone),
        StepKind.STEP,
    ),
}


def flaw_in(state: SagaState, rev: int) -> str | None:
    """The reason why this is no state of a saga that has had `rev` events, in words without any value; None if it may be."""
    if state.rev != rev or rev < 1:
        return "it is of another revision"
    if any(not 0 <= moment <= LAST_MOMENT for moment in _moments(state)):
        return "it names a moment that is none"
    if any(not 0 <= seq <= rev for seq in _entries(state)) or not all(state.events):
        return "it names a journal entry that is none"
    if any(not 0 <= count <= 2 * rev for count in _counts(state)):
        return "it counts what cannot have happened"
    if any(step.items < 0 for step in state.steps if isinstance(step, FannedOut | Joined)):
        return "it counts less than no items"
    if item_count(state.steps) > ITEM_LIMIT:
        return f"a step has more items than the {ITEM_LIMIT} of a saga"
    if len({step.step for step in state.steps}) < len(state.steps):
        return "a step stands in it twice"
    return None


def misfit_in(plan: Plan, state: SagaState) -> str | None:
    """The reason why this is no state of a saga of that plan, in words without any value; None if it may be."""
    if state.plan != plan.id:
        return "it was made by another plan than its row says"
    items = {step.step: step.items for step in state.steps if isinstance(step, FannedOut | Joined)}
    for step in state.steps:
        owner = plan.owner(step.step)
        if owner not in plan:
            return "it names a step that its plan does not have"
        number = None if owner == step.step else number_of(step.step)
        if number is not None and number >= items.get(owner, 0):
            return "it names an item that its list does not have"
        kind = _KINDS.get(type(step))
        if kind is not None and plan.step(owner).kind is not kind:
            return "it has a step do what a step of its kind does not"
    return None


def _moments(state: SagaState) -> Iterator[Moment]:
    yield from (state.at, state.begins_at)
    yield from (
        moment for moment in (state.deadline, *(event.expires for event in state.buffered)) if moment is not None
    )
    for step in state.steps:
        for name in ("wake", "until", "first_attempt_at"):
            moment: Moment | None = getattr(step, name, None)
            if moment is not None:
                yield moment
        if (attempts := _tries(step)) is not None:
            yield from (attempts.may_run_until, attempts.first_attempt_at, attempts.doubted)


def _entries(state: SagaState) -> Iterator[int]:
    yield from (*state.events, state.latest_event_seq, *(event.seq for event in state.buffered))
    for step in state.steps:
        seq: int | None = getattr(step, "seq", None)
        if seq is not None:
            yield seq
        if isinstance(step, FannedOut):
            yield from (step.latest_event_seq, step.events)
        if (attempts := _tries(step)) is not None:
            yield from (attempts.generation, attempts.events)


def _counts(state: SagaState) -> Iterator[int]:
    yield state.failed_takeovers
    for step in state.steps:
        if isinstance(step, Unknown | Probing):
            yield step.failures
        if (attempts := _tries(step)) is not None:
            yield from (attempts.attempt, attempts.failures, attempts.probes, attempts.doubts)


def _tries(step: StepState) -> Attempts | None:
    found: Attempts | None = getattr(step, "attempts", None)
    return found
