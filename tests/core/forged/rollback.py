"""Forged states and edges that the laws of `invariants/rollback.py` must refuse."""

from __future__ import annotations

from saga_fn.core.effects import RunCompensation
from saga_fn.core.events import (
    CompensationRequested,
    CompensationSucceeded,
    FailureKind,
    Finding,
    RetryRequested,
    StepFailed,
    StepSettled,
    StepSucceeded,
)
from saga_fn.core.ids import Moment
from saga_fn.core.invariants import Edge
from saga_fn.core.invariants.edge import EdgeLaw, StateLaw
from saga_fn.core.invariants.rollback import (
    i8_nothing_new_starts_once_it_turned_back,
    i8_nothing_runs_forward_beside_a_compensation,
    i9_in_reverse_order,
    i9_only_what_succeeded_is_undone,
    i9_undone_means_its_compensation_returned,
    i10_no_way_forward_after_an_undo,
)
from saga_fn.core.plan import Plan
from saga_fn.core.state import (
    FailedForGood,
    Goal,
    Retrying,
    Running,
    SagaState,
    Settled,
    Skipped,
    Sleeping,
    Succeeded,
    UndoFailed,
    Undoing,
    Undone,
    Unknown,
    Waiting,
)
from tests.core.forged.given import (
    BACK,
    DOUBTFUL,
    HELD,
    LATER,
    ONCE,
    SEEN,
    TICK,
    TWO,
    UNDONE_IN_DOUBT,
    edge,
    moved,
    parked,
    state,
)
from tests.core.given import PIVOTED, A, B, sequence, step

BARE = sequence("ab", undo="")

STATES: dict[StateLaw, list[tuple[Plan, SagaState]]] = {
    i8_nothing_runs_forward_beside_a_compensation: [
        (TWO, state(Undoing(A, 1, ONCE), Running(B, ONCE), goal=Goal.ROLLBACK)),
        (TWO, state(Undone(A, 1), Retrying(B, ONCE, LATER), goal=Goal.ROLLBACK)),
        (TWO, state(UndoFailed(A, 1, ONCE), parked(B), goal=Goal.ROLLBACK)),
        (TWO, state(Undoing(A, 1, ONCE), Waiting(B), goal=Goal.ROLLBACK)),
        (TWO, state(Undoing(A, 1, ONCE), Sleeping(B, LATER), goal=Goal.ROLLBACK)),
    ]
}

EDGES: dict[EdgeLaw, list[Edge]] = {
    i8_nothing_new_starts_once_it_turned_back: [
        edge(state(goal=BACK), TICK, state(Running(A, ONCE), goal=BACK, rev=4)),
        edge(state(goal=BACK), TICK, state(rev=4)),
        edge(state(goal=BACK), TICK, state(rev=4), PIVOTED),
        edge(state(Running(B, ONCE), goal=BACK), TICK, state(Running(B, ONCE), rev=4), PIVOTED),
        edge(state(Running(B, ONCE), goal=BACK), TICK, state(parked(B), rev=4), PIVOTED),
        edge(state(Running(B, ONCE), goal=BACK), TICK, state(Succeeded(B, 4), rev=4), PIVOTED),
        edge(
            state(Running(B, ONCE), goal=Goal.FAILED),
            StepSucceeded(Moment(0), B, 1),
            state(Succeeded(B, 4), rev=4),
            PIVOTED,
        ),
        edge(state(goal=BACK), RetryRequested(Moment(0)), state(rev=4)),
        edge(state(goal=Goal.FAILED), CompensationRequested(Moment(0)), state(rev=4)),
        edge(state(goal=Goal.HALT), TICK, state(rev=4, goal=Goal.COMPLETED)),
    ],
    i9_only_what_succeeded_is_undone: [
        edge(state(Skipped(A, 1), goal=BACK), TICK, state(Undoing(A, 1, ONCE), goal=BACK, rev=4)),
        edge(state(Succeeded(A, 1), goal=BACK), TICK, state(Undoing(A, 1, ONCE), goal=BACK, rev=4), BARE),
        edge(state(FailedForGood(B, DOUBTFUL), goal=BACK), TICK, state(Undoing(B, 0, ONCE), goal=BACK, rev=4)),
        edge(
            state(FailedForGood(B, ONCE), goal=BACK),
            TICK,
            state(Undoing(B, 0, ONCE), goal=BACK, rev=4),
            UNDONE_IN_DOUBT,
        ),
        *(
            edge(
                state(Running(B, ONCE)),
                StepFailed(Moment(0), B, 1, kind),
                state(Undoing(B, 0, ONCE), goal=BACK, rev=4),
                UNDONE_IN_DOUBT,
            )
            for kind in (FailureKind.ERROR, FailureKind.BUSINESS_ERROR, FailureKind.FATAL, FailureKind.UNREADABLE)
        ),
    ],
    i9_in_reverse_order: [
        edge(state(Succeeded(A, 1), before, goal=BACK), TICK, state(Undoing(A, 1, ONCE), before, goal=BACK, rev=4))
        for before in (
            Succeeded(B, 2),
            UndoFailed(B, 2, ONCE),
            Running(B, ONCE),
            Retrying(B, ONCE, LATER),
            Unknown(B, HELD),
        )
    ],
    i9_undone_means_its_compensation_returned: [
        edge(state(Succeeded(A, 1), goal=BACK), CompensationSucceeded(Moment(0), A, 1), state(Undone(A, 1), rev=4)),
        edge(state(Undoing(A, 1, ONCE), goal=BACK), TICK, state(Undone(A, 1), rev=4)),
        *(
            edge(state(was, goal=BACK), StepSettled(Moment(0), named), state(Undone(A, 1), goal=BACK, rev=4))
            for was, named in (
                (UndoFailed(A, 1, ONCE), B),
                (UndoFailed(A, 1, HELD), A),
                (Undoing(A, 1, ONCE), A),
                (Succeeded(A, 1), A),
            )
        ),
        *(
            edge(
                state(was, goal=Goal.FAILED),
                StepSettled(Moment(0), A, finding=finding),
                state(Undone(A, 1), goal=Goal.FAILED, rev=4),
            )
            for was, finding in (
                (Succeeded(A, 1), Finding.DONE),
                (Settled(A, 1, SEEN), Finding.NEVER_RAN),
                (UndoFailed(A, 1, ONCE), Finding.NEVER_RAN),
                (UndoFailed(A, 0, ONCE), Finding.DONE),
            )
        ),
        edge(
            state(UndoFailed(A, 1, ONCE), goal=BACK), CompensationSucceeded(Moment(0), A, 1), state(Undone(A, 1), rev=4)
        ),
        edge(
            state(Succeeded(A, 1), goal=Goal.FAILED),
            StepSettled(Moment(0), A),
            state(Undone(A, 1), goal=Goal.FAILED, rev=4),
            Plan.of(step("a", undo=False), step("b", "a")),
        ),
        edge(
            state(Succeeded(A, 1), Unknown(B, DOUBTFUL), goal=Goal.FAILED),
            StepSettled(Moment(0), A),
            state(Undone(A, 1), Unknown(B, DOUBTFUL), goal=Goal.FAILED, rev=4),
            PIVOTED,
        ),
    ],
    i10_no_way_forward_after_an_undo: [
        edge(state(begun, goal=BACK), RetryRequested(Moment(0)), state(Succeeded(A, 1), goal=goal, rev=4))
        for begun in (Undone(A, 1), UndoFailed(A, 1, ONCE), Undoing(A, 1, ONCE))
        for goal in (Goal.FORWARD, Goal.COMPLETED)
    ],
}

# What looks like a lie and is none: no law forbids it.
HONEST_EDGES: list[Edge] = [
    edge(
        state(Succeeded(B, 1), goal=BACK),
        TICK,
        moved(state(Undoing(B, 1, ONCE), goal=BACK, rev=4), RunCompensation(B, 1, 1)),
    )
]
