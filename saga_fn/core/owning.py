"""Facts that the owner of a saga asks for: which actions still stand, when to look again, which journal entries to read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias, assert_never

import msgspec

from saga_fn.core.effects import Action, CancelExecution, Release, RunCompensation, RunProbe, RunStep
from saga_fn.core.event_matching import timer_moments
from saga_fn.core.events import BoundEach, Event, HandedBack, is_verb
from saga_fn.core.facts import find, needs_owner
from saga_fn.core.fan_out import ITEM_LIMIT, item_count
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.plan import Plan
from saga_fn.core.state import (
    FannedOut,
    Probing,
    Rest,
    Retrying,
    Running,
    SagaState,
    Settled,
    Skipped,
    Succeeded,
    Undoing,
    UndoParked,
    UndoRetrying,
    UndoWaiting,
    Unfinished,
    Unknown,
    is_executing,
    rest_of,
)

_Undone: TypeAlias = Undoing | UndoRetrying | UndoWaiting | UndoParked
_WAITING: Final = frozenset({Retrying, UndoRetrying, Unknown})


def still_wanted(state: SagaState, actions: Iterable[Action]) -> list[Action]:
    """Those actions that the state still wants, of events that were folded together: a later one may undo an earlier."""
    return [action for action in actions if _stands(state, action)]


def _stands(state: SagaState, action: Action) -> bool:
    now = find(state, action.step)
    match action:
        case RunStep():
            return isinstance(now, Running) and now.attempts.attempt == action.attempt
        case RunCompensation():
            return isinstance(now, Undoing) and now.attempts.attempt == action.attempt
        case RunProbe():
            return isinstance(now, Probing) and now.attempts.probes == action.attempt
        case CancelExecution():
            return True
        case _:
            assert_never(action)


def is_due(state: SagaState, release: Release) -> bool:
    """Whether a saga that would be given up like that has something to do at once."""
    return release.due is not None and release.due <= state.at


def not_before(event: Event, at: Moment) -> Event:
    """The event as the journal has it: none is older than the one before it, whichever process's clock it was told by."""
    return event if event.at >= at else msgspec.structs.replace(event, at=at)


def is_interrupted(state: SagaState, *, leased: bool) -> bool:
    """Whether what is executed by the state was cut off: no process has the saga's lease, and any may go on with it.

    Its owner's lease is over; or who claimed it after that has handed it back as it was.
    """
    return not leased and needs_owner(state)


def taken_back(at: Moment) -> HandedBack:
    """The event that comes first upon a saga that is interrupted: what its owner was running is lost."""
    return HandedBack(at)


def upon_taken_back(event: Event, left: SagaState) -> Event:
    """The event, to come after `taken_back`. `left` is the saga as its owner left it.

    A verb for that state is meant for the one that follows: no operator can have seen it.
    """
    if not is_verb(event) or event.expect != left.rev:
        return event
    return msgspec.structs.replace(event, expect=left.rev + 1)


def wakes_owner(plan: Plan, state: SagaState, known: Rest | None = None) -> Moment | None:
    """The next moment that changes a saga beside what runs of it; None if only what runs does. `known`: of its steps.

    A step that is due already waits for another item to make room, not for a moment. In a chain nothing waits beside what
    runs.
    """
    if plan.is_chain and state.deadline is None and not plan.waits:
        return None
    if state.pause is not None and state.pause.holds:
        return None
    timed = plan.waits or state.deadline is not None
    steps = state.steps if known is None else rest_of(state.steps, known)
    if not timed and _WAITING.isdisjoint(map(type, steps)):
        return None
    wakes = [
        step.wake
        for step in state.steps
        if isinstance(step, Retrying | UndoRetrying | Unknown) and step.wake > state.at
    ]
    return min((*wakes, *timer_moments(state)), default=None)


def recorded_steps(state: SagaState) -> list[tuple[StepId, int]]:
    """The steps whose output is in the journal and may be needed again, each with its entry."""
    # A step that is undone because it may have run has no entry with its output.
    return [
        (step.step, step.seq)
        for step in state.steps
        if isinstance(step, Succeeded | Skipped | Settled | Undoing | UndoRetrying | UndoWaiting | UndoParked)
        and step.seq
    ]


def recorded_events(state: SagaState) -> list[int]:
    """The journal entries of what came from outside and may be read: events, and inputs that a person has given."""
    heard = [step.attempts.generation for step in state.steps if isinstance(step, _Undone)]
    given = [step.attempts.given for step in state.steps if isinstance(step, Unfinished)]
    return [*state.events, *(event.seq for event in state.buffered), *(seq for seq in (*heard, *given) if seq)]


def entries_needed(state: SagaState) -> list[int]:
    """The journal entries it takes to go on with a saga: initial data, outputs, outside events."""
    return [1, *(seq for _, seq in recorded_steps(state)), *recorded_events(state)]


def room_for_items(state: SagaState) -> int:
    """How many more items the fan-outs of a saga may have."""
    return ITEM_LIMIT - item_count(state.steps)


def with_fan_out(state: SagaState, binding: BoundEach) -> SagaState:
    """The saga as it is when that step fans out now, for the process that computes the inputs of the steps that do so beside it."""
    spread = FannedOut(binding.step, binding.items, binding.digest, len(state.events), state.latest_event_seq)
    return msgspec.structs.replace(state, steps=(*state.steps, spread))


def executing(state: SagaState) -> tuple[StepId, ...]:
    """The steps of which something may be running, in either direction."""
    return tuple(step.step for step in state.steps if is_executing(step))
