"""Forged states and edges that the laws of `invariants/ends.py` must refuse."""

from __future__ import annotations

from saga_fn.core.events import AbortRequested, CompensationRequested, RetryRequested, StepSettled
from saga_fn.core.ids import Moment
from saga_fn.core.invariants import Edge
from saga_fn.core.invariants.edge import EdgeLaw, StateLaw
from saga_fn.core.invariants.ends import (
    i11_an_end_is_at_rest,
    i11_ends_are_absorbing,
    i12_compensated_means_nothing_left,
    i12_completed_means_all_done,
    i16_a_cancellation_is_before_or_after_the_end,
)
from saga_fn.core.plan import Plan
from saga_fn.core.state import (
    Doubt,
    FailedForGood,
    Goal,
    ParkReason,
    Retrying,
    Running,
    SagaState,
    Settled,
    Skipped,
    Sleeping,
    Succeeded,
    UndoFailed,
    Undoing,
    UndoParked,
    UndoRetrying,
    UndoWaiting,
    Unknown,
)
from tests.core.forged.given import DOUBTFUL, HELD, LATER, ONCE, RAN, SEEN, TWO, WAITS, edge, parked, state
from tests.core.given import A, B

STATES: dict[StateLaw, list[tuple[Plan, SagaState]]] = {
    i11_an_end_is_at_rest: [
        (TWO, state(going, goal=end))
        for end in (Goal.COMPLETED, Goal.COMPENSATED, Goal.FAILED)
        for going in (
            Running(A, ONCE),
            Retrying(A, ONCE, LATER),
            parked(A),
            Undoing(A, 1, ONCE),
            UndoRetrying(A, 1, ONCE, LATER),
            UndoParked(A, 1, ONCE, ParkReason.ROW_REJECTED),
            WAITS,
            Sleeping(A, LATER),
            UndoWaiting(A, 1, ONCE, ("paid",)),
        )
    ],
    i12_completed_means_all_done: [
        (TWO, state(goal=Goal.COMPLETED)),
        (TWO, state(Succeeded(A, 1), FailedForGood(B, ONCE), goal=Goal.COMPLETED)),
        (TWO, state(Succeeded(A, 1), goal=Goal.COMPLETED)),
    ],
    i12_compensated_means_nothing_left: [
        (TWO, state(Succeeded(A, 1), goal=Goal.COMPENSATED)),
        (TWO, state(UndoFailed(A, 1, ONCE), goal=Goal.COMPENSATED)),
        (TWO, state(Unknown(A, DOUBTFUL), goal=Goal.COMPENSATED)),
        (TWO, state(FailedForGood(A, HELD), goal=Goal.COMPENSATED)),
        (TWO, state(Skipped(A, 1, Doubt.MAY_HAVE_RUN), goal=Goal.COMPENSATED)),
        (TWO, state(Settled(A, 1, SEEN), goal=Goal.COMPENSATED)),
    ],
}

EDGES: dict[EdgeLaw, list[Edge]] = {
    i11_ends_are_absorbing: [
        edge(state(goal=Goal.COMPLETED), RetryRequested(Moment(0)), state(rev=4)),
        edge(state(goal=Goal.COMPENSATED), CompensationRequested(Moment(0)), state(rev=4)),
        edge(state(goal=Goal.COMPLETED), StepSettled(Moment(0), A), state(rev=4)),
        edge(state(goal=Goal.FAILED), AbortRequested(Moment(0), Moment(0)), state(goal=Goal.FAILED, rev=4)),
    ],
    i16_a_cancellation_is_before_or_after_the_end: [
        edge(RAN, AbortRequested(Moment(0), Moment(0)), state(goal=Goal.COMPLETED, rev=4)),
        edge(RAN, AbortRequested(Moment(0), Moment(0)), state(goal=Goal.FORWARD, rev=4)),
        edge(RAN, CompensationRequested(Moment(0)), state(goal=Goal.FORWARD, rev=4)),
        edge(RAN, CompensationRequested(Moment(0)), state(goal=Goal.COMPLETED, rev=4)),
    ],
}

# What looks like a lie and is none: no law forbids it.
HONEST_STATES: list[tuple[Plan, SagaState]] = [(TWO, state(FailedForGood(A, ONCE), goal=Goal.COMPENSATED))]
