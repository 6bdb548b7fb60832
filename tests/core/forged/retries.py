"""Forged states and edges that the laws of `invariants/retries.py` must refuse."""

from __future__ import annotations

from msgspec.structs import replace

from saga_fn.core.effects import Release, RunCompensation
from saga_fn.core.events import (
    CompensationFailed,
    CompensationRequested,
    FailureKind,
    PlanChanged,
    ProbeAnswered,
    ProbeFailed,
    Resumed,
    RetryRequested,
    StepFailed,
)
from saga_fn.core.ids import Micros, Moment
from saga_fn.core.invariants import Edge
from saga_fn.core.invariants.edge import EdgeLaw
from saga_fn.core.invariants.retries import (
    i15_an_undo_is_left_over_only_where_that_is_declared,
    i15_attempts_stay_within_the_policy,
    i15_journals_are_bounded,
    i15_nothing_starts_before_its_time,
    i15_only_what_was_alone_is_a_crash_loop,
    i15_what_is_parked_goes_on_by_a_person,
    i15_what_may_run_on_is_waited_for,
)
from saga_fn.core.plan import OnUnknown, Plan
from saga_fn.core.retry import JOURNAL_LIMIT, RetrySchedule
from saga_fn.core.state import (
    Attempts,
    Doubt,
    FailedForGood,
    Goal,
    Parked,
    ParkReason,
    Probing,
    Retrying,
    Running,
    Succeeded,
    UndoFailed,
    Undoing,
    UndoParked,
    UndoRetrying,
    UndoWaiting,
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
    parked,
    state,
)
from tests.core.given import THRICE, A, B, step

RETRIED = Plan.of(step("a", retry=THRICE), step("b", "a"))
UNDO_RETRIED = Plan.of(step("a", undo_retry=THRICE), step("b", "a"))
BEGUN, SPENT = (Attempts(1, 1, first_attempt_at=Moment(first_attempt_at)) for first_attempt_at in (-1, -9))
DOUBTED = Attempts(1, 1, Doubt.MAY_HAVE_RUN, doubts=1, doubted=Moment(-1))
DOUBTED_THRICE, DOUBTED_LONG_AGO = replace(DOUBTED, doubts=3), replace(DOUBTED, doubted=Moment(-21))
WITHIN = RetrySchedule(attempts=3, base=Micros(9), within=Micros(29))
REPEATED = Plan.of(step("a", unknown_retry=WITHIN), step("b", "a"))
WITHOUT_A_POLICY = Plan.of(step("a", unknown_retry=WITHIN, own_retry=False), step("b", "a"))
LEFT_TO_A_PERSON = Plan.of(step("a", unknown_retry=WITHIN, on_unknown=OnUnknown.PARK), step("b", "a"))
BUDGETED = Plan.of(step("a", retry=RetrySchedule(attempts=3, within=Micros(5))), step("b", "a"))

UNDO_PARKS = Plan.of(step("a", undo_parks=True), step("b", "a"))
UNFIT = Parked(A, ONCE, ParkReason.PLAN_CHANGED)
CRASHED = Parked(A, ONCE, ParkReason.CRASH_LOOP)
FULL = JOURNAL_LIMIT

EDGES: dict[EdgeLaw, list[Edge]] = {
    i15_what_is_parked_goes_on_by_a_person: [
        edge(state(parked(A)), TICK, state(Retrying(A, ONCE, LATER), rev=4)),
        edge(state(parked(A)), PlanChanged(Moment(0), TWO.id), state(Retrying(A, ONCE, LATER), rev=4)),
        edge(state(UNFIT), TICK, state(Running(A, TWICE), rev=4)),
        edge(
            state(UndoParked(A, 1, ONCE, ParkReason.ROW_REJECTED), goal=BACK),
            PlanChanged(Moment(0), TWO.id),
            state(UndoRetrying(A, 1, ONCE, LATER), goal=BACK, rev=4),
        ),
    ],
    i15_an_undo_is_left_over_only_where_that_is_declared: [
        edge(state(before, goal=BACK), event, state(UndoFailed(A, 1, ONCE), goal=Goal.FAILED, rev=4), UNDO_PARKS)
        for before, event in (
            (Undoing(A, 1, ONCE), CompensationFailed(Moment(0), A, 1)),
            (UndoWaiting(A, 1, ONCE, ("paid",)), TICK),
        )
    ],
    i15_journals_are_bounded: [
        edge(state(Running(A, ONCE)), StepFailed(Moment(0), A, 1), state(Running(A, TWICE), rev=FULL)),
        edge(state(Running(A, ONCE)), StepFailed(Moment(0), A, 1), state(Retrying(A, ONCE, LATER), rev=FULL)),
        *(
            edge(state(Undoing(A, 1, ONCE), goal=BACK), CompensationFailed(Moment(0), A, 1), after)
            for after in (
                state(Undoing(A, 1, TWICE), goal=BACK, rev=FULL),
                state(UndoRetrying(A, 1, ONCE, LATER), goal=BACK, rev=FULL + 1),
            )
        ),
        *(
            edge(state(Probing(A, ASKED_ONCE)), event, state(again, rev=FULL))
            for event, again in (
                (ProbeFailed(Moment(0), A, 1), Unknown(A, ASKED_ONCE, LATER)),
                (ProbeFailed(Moment(0), A, 1), Probing(A, ASKED_ONCE)),
                (ProbeAnswered(Moment(0), A, 1, done=False), Retrying(A, ONCE, LATER)),
                (ProbeAnswered(Moment(0), A, 1, done=False), Running(A, TWICE)),
            )
        ),
    ],
    i15_only_what_was_alone_is_a_crash_loop: [
        edge(RAN, Resumed(Moment(0), takeover=True, isolated=True), state(CRASHED, rev=4)),
        edge(replace(RAN, isolated=True), TICK, state(CRASHED, rev=4)),
        edge(
            state(Undoing(A, 1, ONCE), goal=BACK),
            Resumed(Moment(0), takeover=True),
            state(UndoParked(A, 1, ONCE, ParkReason.CRASH_LOOP), goal=BACK, rev=4),
        ),
    ],
    i15_attempts_stay_within_the_policy: [
        edge(RAN, StepFailed(Moment(0), A, 1), state(Retrying(A, Attempts(1, 1), LATER), rev=4)),
        edge(RAN, StepFailed(Moment(0), A, 1), state(Running(A, Attempts(2, 1)), rev=4)),
        edge(RAN, StepFailed(Moment(0), A, 1), state(Running(A, Attempts(2, 1)), rev=4), UNDO_RETRIED),
        edge(RAN, StepFailed(Moment(0), A, 3), state(Running(A, Attempts(4, 3)), rev=4), RETRIED),
        *(
            edge(RAN, StepFailed(Moment(0), A, 1, kind), state(Retrying(A, Attempts(1, 1), LATER), rev=4), RETRIED)
            for kind in (FailureKind.BUSINESS_ERROR, FailureKind.FATAL)
        ),
        *(
            edge(RAN, StepFailed(Moment(0), A, 1, kind, after=after), state(Retrying(A, attempts, LATER), rev=4), plan)
            for kind, after, attempts, plan in (
                # Doubt has a budget of its own, and no other.
                (FailureKind.UNKNOWN, None, DOUBTED, RETRIED),
                (FailureKind.UNKNOWN, None, DOUBTED_THRICE, REPEATED),
                (FailureKind.UNKNOWN, None, DOUBTED_LONG_AGO, REPEATED),
                (FailureKind.ERROR, None, DOUBTED, LEFT_TO_A_PERSON),
                # It serves what is not in doubt only if that asks for it, and has no policy.
                (FailureKind.ERROR, None, Attempts(1, 1, doubts=1), REPEATED),
                (FailureKind.ERROR, None, Attempts(1, 1, doubts=1), WITHOUT_A_POLICY),
                (FailureKind.ERROR, Micros(9), Attempts(1, 1, doubts=1), REPEATED),
                (FailureKind.ERROR, Micros(9), Attempts(1, 1, doubts=3), WITHOUT_A_POLICY),
                (FailureKind.OUTPUT_LOST, Micros(9), Attempts(1, 1), RETRIED),
            )
        ),
        edge(RAN, StepFailed(Moment(0), A, 1), state(Retrying(A, BEGUN, LATER), rev=4), BUDGETED),
        edge(RAN, StepFailed(Moment(0), A, 1), state(Running(A, SPENT), rev=4), BUDGETED),
        *(
            edge(state(Probing(B, ASKED_ONCE)), ProbeFailed(Moment(0), B, 1), state(again, rev=4), ASKED)
            for again in (
                Unknown(B, ASKED_ONCE, LATER, failures=3),
                Probing(B, ASKED_ONCE, failures=3),
                Unknown(B, ASKED_ONCE, LATER, failures=1, first_attempt_at=Moment(-1)),
                Probing(B, ASKED_ONCE, failures=1, first_attempt_at=Moment(-11)),
            )
        ),
        *(
            edge(state(Undoing(A, 1, ONCE), goal=BACK), CompensationFailed(Moment(0), A, 1), again, plan)
            for plan in (TWO, RETRIED)
            for again in (
                state(Undoing(A, 1, Attempts(2, 1)), goal=BACK, rev=4),
                state(UndoRetrying(A, 1, Attempts(1, 1), LATER), goal=BACK, rev=4),
            )
        ),
    ],
    i15_nothing_starts_before_its_time: [
        edge(state(Retrying(A, ONCE, LATER)), TICK, state(Running(A, TWICE), rev=4)),
        edge(state(Unknown(A, HELD)), TICK, state(Running(A, TWICE), rev=4)),
        edge(state(Retrying(A, HELD, Moment(0)), goal=BACK), TICK, state(Undoing(A, 0, ONCE), goal=BACK, rev=4)),
        edge(state(Unknown(A, ONCE, LATER)), TICK, state(Probing(A, ASKED_ONCE), rev=4)),
        edge(state(Succeeded(A, 1), Unknown(B, HELD)), TICK, state(Succeeded(A, 1), Running(B, TWICE), rev=4)),
        edge(state(UndoRetrying(A, 1, ONCE, LATER), goal=BACK), TICK, state(Undoing(A, 1, TWICE), goal=BACK, rev=4)),
        edge(
            state(UndoFailed(A, 1, HELD), goal=Goal.FAILED),
            CompensationRequested(Moment(0)),
            state(Undoing(A, 1, TWICE), goal=BACK),
        ),
    ],
    i15_what_may_run_on_is_waited_for: [
        edge(state(Unknown(A, HELD)), TICK, state(Retrying(A, ONCE, Moment(0)), rev=4)),
        edge(state(Unknown(A, HELD)), RetryRequested(Moment(0), stopped=(A,)), state(Unknown(A, ONCE), rev=4)),
        edge(
            state(UndoFailed(A, 1, HELD), goal=Goal.FAILED),
            CompensationRequested(Moment(0), stopped=(B,)),
            state(UndoRetrying(A, 1, ONCE, Moment(0)), goal=BACK, rev=4),
        ),
    ],
}

# What looks like a lie and is none: no law forbids it.
HONEST_EDGES: list[Edge] = [
    # A full journal ends what is tried again after a failure, and nothing else.
    edge(state(Running(A, ONCE), rev=FULL - 1), TICK, state(Running(A, ONCE), rev=FULL)),
    # What is given up while the saga turns back, or goes on by a plan that fits.
    edge(
        state(parked(A)), TICK, moved(state(FailedForGood(A, ONCE), goal=Goal.FAILED, rev=4), writes=(Release(None),))
    ),
    edge(
        state(UNFIT),
        PlanChanged(Moment(0), TWO.id),
        moved(state(Retrying(A, ONCE, LATER), rev=4), writes=(Release(LATER),)),
    ),
    # A budget in time that has only begun, or not even that.
    edge(
        RAN,
        StepFailed(Moment(0), A, 1),
        moved(state(Retrying(A, Attempts(1, 1, first_attempt_at=Moment(5)), LATER), rev=4), writes=(Release(LATER),)),
        BUDGETED,
    ),
    edge(
        RAN,
        StepFailed(Moment(0), A, 1),
        moved(state(Retrying(A, Attempts(1, 1), Moment(99)), rev=4), writes=(Release(Moment(99)),)),
        BUDGETED,
    ),
    # What may have run is repeated whatever its policy says; what asks to be tried again later, if it has none.
    *(
        edge(
            RAN,
            StepFailed(Moment(0), A, 1, kind, after=after),
            moved(state(Retrying(A, attempts, LATER), rev=4), writes=(Release(LATER),)),
            plan,
        )
        for kind, after, attempts, plan in (
            (FailureKind.UNKNOWN, None, DOUBTED, REPEATED),
            (FailureKind.UNKNOWN, None, replace(DOUBTED, doubted=Moment(-20)), REPEATED),
            (FailureKind.ERROR, None, DOUBTED, REPEATED),
            (FailureKind.ERROR, Micros(9), Attempts(1, 1, doubts=1), WITHOUT_A_POLICY),
            (FailureKind.ERROR, Micros(9), Attempts(1, 1), RETRIED),
        )
    ),
    # What may have run does not wait for its next attempt to be undone.
    edge(
        state(Retrying(A, DOUBTED, LATER)),
        TICK,
        moved(state(Undoing(A, 0, ONCE), goal=BACK, rev=4), RunCompensation(A, 1, 0)),
        Plan.of(step("a", undo_in_doubt=True)),
    ),
    # Only a start is too early, not going on.
    edge(state(Running(A, HELD)), TICK, state(Running(A, HELD), rev=4)),
]
