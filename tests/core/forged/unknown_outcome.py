"""Forged states and edges that the laws of `invariants/unknown_outcome.py` must refuse."""

from __future__ import annotations

import msgspec

from saga_fn.core.effects import CancelExecution, Release, RunCompensation, RunProbe, RunStep
from saga_fn.core.events import (
    AbortRequested,
    CompensationRequested,
    FailureKind,
    HandedBack,
    ProbeAnswered,
    ProbeFailed,
    Resumed,
    RetryRequested,
    StepFailed,
    StepSettled,
    StepSkipped,
)
from saga_fn.core.ids import Moment
from saga_fn.core.invariants import Edge
from saga_fn.core.invariants.edge import EdgeLaw
from saga_fn.core.invariants.unknown_outcome import (
    i9_a_doubt_is_settled_by_what_says_so,
    i9_a_person_is_asked_before_what_is_left_to_one_is_given_up,
    i9_what_can_be_found_out_is_before_anything_is_undone,
    i9_what_is_handed_back_is_in_doubt_if_it_had_begun,
    i9_what_may_have_run_is_settled_as_declared,
    i9_what_ran_in_a_transaction_is_in_doubt_by_its_own_word_alone,
    i9_what_was_interrupted_in_a_transaction_is_repeated,
)
from saga_fn.core.plan import OnUnknown, Plan
from saga_fn.core.state import (
    FailedForGood,
    Goal,
    Parked,
    ParkReason,
    Probing,
    Retrying,
    Running,
    Skipped,
    Succeeded,
    Undoing,
    Unknown,
)
from tests.core.forged.given import (
    ASKED,
    ASKED_ONCE,
    BACK,
    DOUBTFUL,
    LATER,
    ONCE,
    TICK,
    TWICE,
    TWICE_IN_DOUBT,
    UNDONE_IN_DOUBT,
    edge,
    moved,
    state,
)
from tests.core.given import A, B, step

LEFT_TO_A_PERSON = Plan.of(step("a"), step("b", "a", on_unknown=OnUnknown.PARK))
TRANSACTIONAL = Plan.of(step("a", transactional=True, on_unknown=OnUnknown.PARK))
WITHIN = Running(A, ONCE, transactional=True)
SETTLED = Plan.of(step("a", has_unknown_policies=True), step("b", "a", has_unknown_policies=True))

EDGES: dict[EdgeLaw, list[Edge]] = {
    i9_what_is_handed_back_is_in_doubt_if_it_had_begun: [
        edge(state(Running(A, ONCE)), HandedBack(Moment(0)), state(Retrying(A, ONCE, Moment(0)), rev=4)),
        edge(state(Running(A, ONCE)), HandedBack(Moment(0), (A,)), state(Unknown(A, ONCE), rev=4)),
        edge(state(Running(A, ONCE)), HandedBack(Moment(0), ()), state(Unknown(A, DOUBTFUL), rev=4)),
        edge(state(Running(A, ONCE)), HandedBack(Moment(0), (B,)), state(Retrying(A, DOUBTFUL, Moment(0)), rev=4)),
    ],
    i9_what_can_be_found_out_is_before_anything_is_undone: [
        edge(
            state(Succeeded(A, 1), before, goal=BACK), TICK, state(Undoing(A, 1, ONCE), before, goal=BACK, rev=4), ASKED
        )
        for before in (Probing(B, DOUBTFUL), Unknown(B, DOUBTFUL))
    ],
    i9_what_may_have_run_is_settled_as_declared: [
        edge(state(Succeeded(A, 1), before), event, state(Succeeded(A, 1), Running(B, TWICE), rev=4), plan)
        for before, event, plan in (
            (Unknown(B, DOUBTFUL), TICK, ASKED),
            (Probing(B, DOUBTFUL), ProbeAnswered(Moment(0), B, 0, done=True), ASKED),
            (Parked(B, DOUBTFUL, ParkReason.OUTCOME_UNKNOWN), RetryRequested(Moment(0)), ASKED),
            (Unknown(B, DOUBTFUL), TICK, LEFT_TO_A_PERSON),
            (Unknown(B, DOUBTFUL), TICK, UNDONE_IN_DOUBT),
            (Parked(B, DOUBTFUL, ParkReason.ROW_REJECTED), RetryRequested(Moment(0)), UNDONE_IN_DOUBT),
        )
    ],
    i9_a_doubt_is_settled_by_what_says_so: [
        edge(state(Running(A, TWICE_IN_DOUBT)), event, state(after, rev=4), plan)
        for event, after, plan in (
            (StepFailed(Moment(0), A, 2, FailureKind.BUSINESS_ERROR), FailedForGood(A, TWICE), LEFT_TO_A_PERSON),
            (StepFailed(Moment(0), A, 2, FailureKind.FATAL), FailedForGood(A, TWICE), SETTLED),
            (StepFailed(Moment(0), B, 2, FailureKind.BUSINESS_ERROR), FailedForGood(A, TWICE), SETTLED),
            (ProbeAnswered(Moment(0), B, 1, done=False), Retrying(A, TWICE, LATER), SETTLED),
            (TICK, FailedForGood(A, TWICE), SETTLED),
            (StepSettled(Moment(0), B), FailedForGood(A, TWICE), SETTLED),
            (StepSkipped(Moment(0), A), Skipped(A, 4), SETTLED),
        )
    ],
    i9_a_person_is_asked_before_what_is_left_to_one_is_given_up: [
        edge(
            state(Succeeded(A, 1), before, goal=BACK),
            TICK,
            state(Succeeded(A, 1), FailedForGood(B, DOUBTFUL), goal=BACK, rev=4),
            LEFT_TO_A_PERSON,
        )
        for before in (Unknown(B, DOUBTFUL), Parked(B, DOUBTFUL, ParkReason.OUTCOME_UNKNOWN), Running(B, DOUBTFUL))
    ],
    i9_what_ran_in_a_transaction_is_in_doubt_by_its_own_word_alone: [
        edge(state(WITHIN), event, state(after, rev=4, goal=goal), TRANSACTIONAL)
        for event, after, goal in (
            (Resumed(Moment(0), takeover=True), Unknown(A, DOUBTFUL), Goal.FORWARD),
            (HandedBack(Moment(0)), Retrying(A, DOUBTFUL, Moment(0)), Goal.FORWARD),
            (StepFailed(Moment(0), A, 1, FailureKind.INTERRUPTED), FailedForGood(A, DOUBTFUL), BACK),
            (StepFailed(Moment(0), B, 1, FailureKind.UNKNOWN), Parked(A, DOUBTFUL, ParkReason.SETTLED), Goal.FORWARD),
            (AbortRequested(Moment(0), Moment(0)), FailedForGood(A, DOUBTFUL), Goal.FAILED),
        )
    ],
    i9_what_was_interrupted_in_a_transaction_is_repeated: [
        edge(state(WITHIN), event, state(after, rev=4), TRANSACTIONAL)
        for event, after in (
            (Resumed(Moment(0), takeover=True), Unknown(A, ONCE)),
            (HandedBack(Moment(0)), FailedForGood(A, ONCE)),
        )
    ],
}

# What looks like a lie and is none: no law forbids it.
HONEST_EDGES: list[Edge] = [
    edge(
        state(WITHIN),
        HandedBack(Moment(0)),
        moved(state(Retrying(A, ONCE, Moment(0)), rev=4), CancelExecution(A), writes=(Release(Moment(0)),)),
        TRANSACTIONAL,
    ),
    # Under a plan that changed on the way, what goes on already goes on: only what begins has to wait.
    edge(
        state(Undoing(A, 1, ONCE), Unknown(B, DOUBTFUL), goal=BACK),
        TICK,
        state(Undoing(A, 1, ONCE), Unknown(B, DOUBTFUL), goal=BACK, rev=4),
        ASKED,
    ),
    edge(
        state(Succeeded(A, 1), Running(B, DOUBTFUL)), TICK, state(Succeeded(A, 1), Running(B, DOUBTFUL), rev=4), ASKED
    ),
    # What may have run is undone where that is declared, repeated when it is known not to have run, or a person says so.
    edge(
        state(Succeeded(A, 1), FailedForGood(B, DOUBTFUL), goal=BACK),
        TICK,
        moved(state(Succeeded(A, 1), Undoing(B, 0, ONCE), goal=BACK, rev=4), RunCompensation(B, 1, 0)),
        UNDONE_IN_DOUBT,
    ),
    edge(
        state(Succeeded(A, 1), Probing(B, ASKED_ONCE)),
        ProbeAnswered(Moment(0), B, 1, done=False),
        moved(state(Succeeded(A, 1), Running(B, TWICE), rev=4), RunStep(B, 2, 0)),
        ASKED,
    ),
    edge(
        state(Succeeded(A, 1), Retrying(B, DOUBTFUL, Moment(0))),
        TICK,
        moved(state(Succeeded(A, 1), Running(B, TWICE_IN_DOUBT), rev=4), RunStep(B, 2, 0)),
        LEFT_TO_A_PERSON,
    ),
    # A refusal settles a doubt where the step says so; what is left to a person is given up by that one's verb, or where
    # something has begun to be undone already.
    edge(
        state(Running(A, TWICE_IN_DOUBT)),
        StepFailed(Moment(0), A, 2, FailureKind.BUSINESS_ERROR),
        moved(state(FailedForGood(A, TWICE), goal=Goal.COMPENSATED, rev=4), writes=(Release(None),)),
        SETTLED,
    ),
    edge(
        state(Succeeded(A, 1), Unknown(B, DOUBTFUL), goal=BACK),
        CompensationRequested(Moment(0)),
        moved(state(Succeeded(A, 1), FailedForGood(B, DOUBTFUL), goal=BACK, rev=4), writes=(Release(Moment(0)),)),
        LEFT_TO_A_PERSON,
    ),
    edge(
        state(Undoing(A, 1, ONCE), Unknown(B, DOUBTFUL), goal=BACK),
        TICK,
        state(Undoing(A, 1, ONCE), FailedForGood(B, DOUBTFUL), goal=BACK, rev=4),
        LEFT_TO_A_PERSON,
    ),
    edge(
        state(Undoing(A, 1, ONCE), FailedForGood(B, DOUBTFUL), goal=BACK),
        TICK,
        state(Undoing(A, 1, ONCE), FailedForGood(B, DOUBTFUL), goal=BACK, rev=4),
        LEFT_TO_A_PERSON,
    ),
    edge(
        state(Succeeded(A, 1), Unknown(B, ASKED_ONCE)),
        TICK,
        moved(
            state(Succeeded(A, 1), Probing(B, msgspec.structs.replace(ASKED_ONCE, probes=2)), rev=4), RunProbe(B, 2, 0)
        ),
        ASKED,
    ),
    edge(
        state(Succeeded(A, 1), Probing(B, ASKED_ONCE)),
        ProbeFailed(Moment(0), B, 1),
        moved(state(Succeeded(A, 1), Unknown(B, ASKED_ONCE, LATER, failures=1), rev=4), writes=(Release(LATER),)),
        ASKED,
    ),
]
