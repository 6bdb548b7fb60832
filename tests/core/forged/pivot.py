"""Forged states and edges that the laws of `invariants/pivot.py` must refuse."""

from __future__ import annotations

from saga_fn.core.effects import Release
from saga_fn.core.events import StepFailed, StepSucceeded
from saga_fn.core.ids import Moment
from saga_fn.core.invariants import Edge
from saga_fn.core.invariants.edge import EdgeLaw, StateLaw
from saga_fn.core.invariants.pivot import (
    i10_no_way_back_from_a_pivot_in_doubt,
    i10_nothing_is_undone_past_the_pivot,
    i10_only_a_person_ends_it_past_the_pivot,
)
from saga_fn.core.plan import Plan
from saga_fn.core.state import (
    FailedForGood,
    Goal,
    Parked,
    ParkReason,
    Probing,
    Retrying,
    Running,
    SagaState,
    Skipped,
    StepState,
    Succeeded,
    UndoFailed,
    Undoing,
    Undone,
    Unknown,
)
from tests.core.forged.given import BACK, DOUBTFUL, LATER, ONCE, TICK, edge, moved, parked, state
from tests.core.given import PIVOTED, A, B, C

PAST: tuple[StepState, ...] = (Succeeded(A, 1), Succeeded(B, 2))

STATES: dict[StateLaw, list[tuple[Plan, SagaState]]] = {
    i10_nothing_is_undone_past_the_pivot: [
        (PIVOTED, state(Undoing(A, 1, ONCE), Succeeded(B, 2), goal=BACK)),
        (PIVOTED, state(Succeeded(A, 1), Succeeded(B, 2), goal=BACK)),
        (PIVOTED, state(Succeeded(A, 1), Skipped(B, 2), goal=Goal.HALT)),
        (PIVOTED, state(Undone(A, 1), Succeeded(B, 2), goal=Goal.COMPENSATED)),
        (PIVOTED, state(UndoFailed(A, 1, ONCE), Succeeded(B, 2), goal=Goal.FAILED)),
        (PIVOTED, state(Succeeded(A, 1), Succeeded(B, 2), FailedForGood(C, ONCE))),
    ]
}

EDGES: dict[EdgeLaw, list[Edge]] = {
    i10_only_a_person_ends_it_past_the_pivot: [
        edge(state(*PAST), StepFailed(Moment(0), C, 1), state(*PAST, goal=Goal.FAILED, rev=4), PIVOTED)
    ],
    i10_no_way_back_from_a_pivot_in_doubt: [
        edge(
            state(Succeeded(A, 1), pivot, goal=BACK), TICK, state(Undoing(A, 1, ONCE), pivot, goal=BACK, rev=4), PIVOTED
        )
        for pivot in (
            Running(B, ONCE),
            Retrying(B, DOUBTFUL, LATER),
            Unknown(B, DOUBTFUL),
            parked(B),
            Probing(B, DOUBTFUL),
        )
    ],
}

# What looks like a lie and is none: no law forbids it.
HONEST_EDGES: list[Edge] = [
    # What is being undone already goes on, whatever becomes of the pivot.
    edge(
        state(Undoing(A, 1, ONCE), parked(B), goal=BACK),
        TICK,
        state(Undoing(A, 1, ONCE), parked(B), goal=BACK, rev=4),
        PIVOTED,
    ),
    # A pivot that ran when the saga was to turn back decides.
    edge(
        state(Succeeded(A, 1), Running(B, ONCE), goal=BACK),
        StepSucceeded(Moment(0), B, 1),
        moved(state(Succeeded(A, 1), Succeeded(B, 4), rev=4), needs=(C,), writes=(Release(Moment(0)),)),
        PIVOTED,
    ),
    edge(
        state(Succeeded(A, 1), Running(B, ONCE), goal=BACK),
        StepFailed(Moment(0), B, 1),
        moved(state(Succeeded(A, 1), Parked(B, DOUBTFUL, ParkReason.OUTCOME_UNKNOWN), rev=4), writes=(Release(None),)),
        PIVOTED,
    ),
]
