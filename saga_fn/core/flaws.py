"""Whether a state that was read from somewhere can be one that the rules have made.

A row may have been damaged, written by hand or restored in part. A reader of a state asks here once; everything behind
trusts it. The bounds keep the work and the memory that one row can take small, also if its bytes are broken.
"""

from __future__ import annotations

from itertools import chain
from typing import Final

from saga_fn.core.fan_out import ITEM_LIMIT, item_count
from saga_fn.core.ids import Moment, StepId, number_of
from saga_fn.core.plan import Plan, StepKind
from saga_fn.core.state import (
    Attempts,
    FannedOut,
    Joined,
    Probing,
    Running,
    SagaState,
    Sleeping,
    Succeeded,
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
_MOMENTS: Final = ("wake", "until", "first_attempt_at", "set_at")
"""The moments that steps of some kinds have, the attempts apart."""
_LISTS: Final = frozenset({FannedOut, Joined})
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
    moments, entries, counts = _numbers(state)
    if min(moments) < 0 or max(moments) > LAST_MOMENT:
        return "it names a moment that is none"
    if min(entries) < 0 or max(entries) > rev or not all(state.events):
        return "it names a journal entry that is none"
    if min(counts) < 0 or max(counts) > 2 * rev:
        return "it counts what cannot have happened"
    if not _LISTS.isdisjoint(map(type, state.steps)):
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
    items: dict[StepId, int] = {}
    if not _LISTS.isdisjoint(map(type, state.steps)):
        items = {step.step: step.items for step in state.steps if isinstance(step, FannedOut | Joined)}
    for step in state.steps:
        place = plan.index.get(step.step)
        if place is None:
            owner = plan.owner(step.step)
            place, number = plan.index.get(owner), number_of(step.step)
            if place is None or owner == step.step:
                return "it names a step that its plan does not have"
            if number is not None and number >= items.get(owner, 0):
                return "it names an item that its list does not have"
        kind = _KINDS.get(type(step))
        if kind is not None and plan.data.steps[place].kind is not kind:
            return "it has a step do what a step of its kind does not"
    return None


def _numbers(state: SagaState) -> tuple[list[Moment], list[int], list[int]]:
    """All moments in it, all journal entries that it names, and all that it counts: asked of each saga that is claimed."""
    moments = [state.at, state.begins_at]
    entries = [*state.events, state.latest_event_seq, *(each.seq for each in state.rewound)]
    counts = [state.failed_takeovers]
    if state.deadline is not None:
        moments.append(state.deadline)
    if state.pause is not None:
        moments += (state.pause.since or Moment(0), state.pause.begin_named, *chain.from_iterable(state.pause.moved))
        entries.append(state.pause.seq)
    for event in state.buffered:
        entries.append(event.seq)
        if event.expires is not None:
            moments.append(event.expires)
    moment: Moment | None
    for step in state.steps:
        if type(step) is Succeeded:  # most of them are
            entries.append(step.seq)
            continue
        if type(step) is Waiting or type(step) is Sleeping:
            moment = step.wake if isinstance(step, Sleeping) else step.times_out_at
            moments.append(step.set_at)
            if moment is not None:
                moments.append(moment)
            continue
        for name in _MOMENTS:
            moment = getattr(step, name, None)
            if moment is not None:
                moments.append(moment)
        seq: int | None = getattr(step, "seq", None)
        if seq is not None:
            entries.append(seq)
        if type(step) is FannedOut:
            entries += (step.latest_event_seq, step.events, step.rewound)
        elif type(step) is Unknown or type(step) is Probing:
            counts.append(step.failures)
        attempts: Attempts | None = getattr(step, "attempts", None)
        if attempts is not None:
            moments += (attempts.may_run_until, attempts.first_attempt_at, attempts.doubted)
            entries += (attempts.generation, attempts.events, attempts.given)
            counts += (attempts.attempt, attempts.failures, attempts.probes, attempts.doubts)
    return moments, entries, counts
