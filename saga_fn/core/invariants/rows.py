"""I1: of the row that mirrors a saga, so that a scan can find it."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from saga_fn.core.facts import startable
from saga_fn.core.plan import Plan
from saga_fn.core.projection import SagaStatus, WaitReason, project
from saga_fn.core.state import (
    Parked,
    Probing,
    Retrying,
    Running,
    SagaState,
    Sleeping,
    Undoing,
    UndoParked,
    UndoRetrying,
    UndoWaiting,
    Waiting,
    is_executing,
)

_PARKED: Final[frozenset[type[object]]] = frozenset({Parked, UndoParked})
_EXPECTS: Final[frozenset[type[object]]] = frozenset({Waiting, UndoWaiting})
_GOES_ON: Final[frozenset[type[object]]] = frozenset({Retrying, UndoRetrying, Running, Undoing, Probing, Sleeping})

REMEMBERED: Final = 1 << 16
"""The states of which laws remember what they have found of them: many edges lead to one state, and all soon after another."""
row_of: Final = lru_cache(maxsize=REMEMBERED)(project)
"""The row of a state. Several laws look at it, and many edges lead to one state."""


def is_held(state: SagaState) -> bool:
    """Whether a person has paused the saga, and nothing runs of it any more."""
    paused = state.pause is not None and state.pause.since is not None
    return paused and not state.ended and not any(is_executing(step) for step in state.steps)


def i1_a_scan_finds_it(plan: Plan, state: SagaState) -> bool:
    """No live row that no scan can find: without a due time it waits only for a person, or an event for ever.

    A person has paused it, or is to decide about a step.
    """
    row = row_of(plan, state)
    if row.due is not None:
        return not state.ended
    if is_held(state):
        return row.waits in (WaitReason.PAUSED, WaitReason.PAUSED | WaitReason.PARKED)
    kinds = {type(step) for step in state.steps}
    waits_outside = not kinds.isdisjoint(_PARKED | _EXPECTS)
    waits_for_time = not kinds.isdisjoint(_GOES_ON) or any(
        (type(step) is Waiting or type(step) is UndoWaiting) and step.times_out_at is not None for step in state.steps
    )
    return state.ended or (waits_outside and not waits_for_time and not startable(plan, state))


def i1_the_row_keeps_the_tables_rules(plan: Plan, state: SagaState) -> bool:
    """The derived columns pass the CHECK constraints of the saga table."""
    row = row_of(plan, state)
    if row.status.is_terminal:
        return row.due is None and row.waits is WaitReason.NOTHING
    if row.status is SagaStatus.SUSPENDED:
        if is_held(state):
            return WaitReason.PAUSED in row.waits and row.due is None
        timed = bool(row.waits & (WaitReason.RETRY | WaitReason.TIMER))
        may_be_timed = timed or bool(row.waits & WaitReason.EVENT)
        is_due = row.due is not None
        return row.waits is not WaitReason.NOTHING and timed <= is_due <= may_be_timed
    return row.due is not None and row.waits is WaitReason.NOTHING


def i1_a_message_makes_it_due(plan: Plan, state: SagaState) -> bool:
    """A message makes an unowned saga due, unless a person alone can go on with it: else an event would lie unread."""
    row = row_of(plan, state)
    kinds = {type(step) for step in state.steps}
    by_person = not kinds.isdisjoint(_PARKED) and kinds.isdisjoint(_EXPECTS)
    return row.wakes_on_message or (row.status is SagaStatus.SUSPENDED and by_person)
