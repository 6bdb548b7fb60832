"""Forged states and edges that the laws of `invariants/retries.py` must refuse."""

from __future__ import annotations

from saga_fn.core.effects import Release
from saga_fn.core.events import CompensationFailed, CompensationRequested, FailureKind, ProbeFailed, StepFailed
from saga_fn.core.ids import Moment
from saga_fn.core.invariants import Edge
from saga_fn.core.invariants.edge import EdgeLaw
from saga_fn.core.invariants.retries import i15_attempts_stay_within_the_policy, i15_nothing_starts_before_its_time
from saga_fn.core.plan import Plan
from saga_fn.core.retry import RetrySchedule
from saga_fn.core.state import (
    Goal,
    Probing,
    Retrying,
    Running,
    Succeeded,
    Tries,
    UndoFailed,
    Undoing,
    UndoRetrying,
    Unknown,
)
from tests.core.forged.given import (
    ASKED,
    ASKED_ONCE,
    BACK,
    HELD,
    LATER,
    ONCE,
    RAN,
    TICK,
    TWICE,
    TWO,
    edge,
    moved,
    state,
)
from tests.core.given import THRICE, A, B, step

RETRIED = Plan.of(step("a", retry=THRICE), step("b", "a"))
UNDO_RETRIED = Plan.of(step("a", undo_retry=THRICE), step("b", "a"))
BEGUN, SPENT = (Tries(1, 1, since=Moment(since)) for since in (-1, -9))
BUDGETED = Plan.of(step("a", retry=RetrySchedule(attempts=3, within=5)), step("b", "a"))

EDGES: dict[EdgeLaw, list[Edge]] = {
    i15_attempts_stay_within_the_policy: [
        edge(RAN, StepFailed(Moment(0), A, 1), state(Retrying(A, Tries(1, 1), LATER), rev=4)),
        edge(RAN, StepFailed(Moment(0), A, 1), state(Running(A, Tries(2, 1)), rev=4)),
        edge(RAN, StepFailed(Moment(0), A, 1), state(Running(A, Tries(2, 1)), rev=4), UNDO_RETRIED),
        edge(RAN, StepFailed(Moment(0), A, 3), state(Running(A, Tries(4, 3)), rev=4), RETRIED),
        *(
            edge(RAN, StepFailed(Moment(0), A, 1, kind), state(Retrying(A, Tries(1, 1), LATER), rev=4), RETRIED)
            for kind in (FailureKind.REFUSED, FailureKind.FATAL)
        ),
        edge(RAN, StepFailed(Moment(0), A, 1), state(Retrying(A, BEGUN, LATER), rev=4), BUDGETED),
        edge(RAN, StepFailed(Moment(0), A, 1), state(Running(A, SPENT), rev=4), BUDGETED),
        *(
            edge(state(Probing(B, ASKED_ONCE)), ProbeFailed(Moment(0), B, 1), state(again, rev=4), ASKED)
            for again in (
                Unknown(B, ASKED_ONCE, LATER, failures=3),
                Probing(B, ASKED_ONCE, failures=3),
                Unknown(B, ASKED_ONCE, LATER, failures=1, since=Moment(-1)),
                Probing(B, ASKED_ONCE, failures=1, since=Moment(-11)),
            )
        ),
        *(
            edge(state(Undoing(A, 1, ONCE), goal=BACK), CompensationFailed(Moment(0), A, 1), again, plan)
            for plan in (TWO, RETRIED)
            for again in (
                state(Undoing(A, 1, Tries(2, 1)), goal=BACK, rev=4),
                state(UndoRetrying(A, 1, Tries(1, 1), LATER), goal=BACK, rev=4),
            )
        ),
    ],
    i15_nothing_starts_before_its_time: [
        edge(state(Retrying(A, ONCE, LATER)), TICK, state(Running(A, TWICE), rev=4)),
        edge(state(Unknown(A, HELD)), TICK, state(Running(A, TWICE), rev=4)),
        edge(state(Unknown(A, ONCE, LATER)), TICK, state(Probing(A, ASKED_ONCE), rev=4)),
        edge(state(Succeeded(A, 1), Unknown(B, HELD)), TICK, state(Succeeded(A, 1), Running(B, TWICE), rev=4)),
        edge(state(UndoRetrying(A, 1, ONCE, LATER), goal=BACK), TICK, state(Undoing(A, 1, TWICE), goal=BACK, rev=4)),
        edge(
            state(UndoFailed(A, 1, HELD), goal=Goal.FAILED),
            CompensationRequested(Moment(0)),
            state(Undoing(A, 1, TWICE), goal=BACK),
        ),
    ],
}

# What looks like a lie and is none: no law forbids it.
HONEST_EDGES: list[Edge] = [
    # A budget in time that has only begun, or not even that.
    edge(
        RAN,
        StepFailed(Moment(0), A, 1),
        moved(state(Retrying(A, Tries(1, 1, since=Moment(5)), LATER), rev=4), writes=(Release(LATER),)),
        BUDGETED,
    ),
    edge(
        RAN,
        StepFailed(Moment(0), A, 1),
        moved(state(Retrying(A, Tries(1, 1), Moment(99)), rev=4), writes=(Release(Moment(99)),)),
        BUDGETED,
    ),
    # Only a start is too early, not going on.
    edge(state(Running(A, HELD)), TICK, state(Running(A, HELD), rev=4)),
]
