"""What is said of each step: one status for each state, and only what there is to say."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from saga_fn.core.ids import Digest, Moment, StepId
from saga_fn.core.plan import OnUnknown, Plan
from saga_fn.core.state import (
    Attempts,
    Doubt,
    FailedForGood,
    FannedOut,
    Goal,
    Joined,
    NotTaken,
    Parked,
    ParkReason,
    Probing,
    Retrying,
    Rewound,
    Running,
    SagaState,
    Settled,
    Skipped,
    Sleeping,
    StepState,
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
from saga_fn.core.step_report import (
    AwaitedCall,
    StepReport,
    StepStatus,
    is_executed,
    is_not_undone,
    is_of_undo,
    is_tried_again,
    report_of,
    status_of,
)
from tests.core.given import THREE, A, B, C, step

TRIED = Attempts(3, 2, digest=Digest(b"x"))
WHY = ParkReason.ROW_REJECTED
AT = Moment(7)

SAID: list[tuple[StepState, StepReport]] = [
    (Running(A, TRIED), StepReport(A, StepStatus.RUNNING, 3, 2)),
    (Retrying(A, TRIED, AT), StepReport(A, StepStatus.RETRYING, 3, 2, wake=AT, awaits="attempt")),
    (Unknown(A, TRIED), StepReport(A, StepStatus.UNKNOWN, 3, 2, awaits="attempt")),
    (Parked(A, TRIED, WHY), StepReport(A, StepStatus.PARKED, 3, 2, parked="row_rejected")),
    (FailedForGood(A, TRIED), StepReport(A, StepStatus.FAILED, 3, 2)),
    (Succeeded(A, 2), StepReport(A, StepStatus.SUCCEEDED)),
    (Skipped(A, 2), StepReport(A, StepStatus.SKIPPED)),
    (Settled(A, 2, Digest(b"x")), StepReport(A, StepStatus.SUCCEEDED)),
    (NotTaken(A), StepReport(A, StepStatus.SKIPPED)),
    (FannedOut(A, 0, Digest(b"x")), StepReport(A, StepStatus.RUNNING)),
    (Joined(A, 0), StepReport(A, StepStatus.SUCCEEDED)),
    (Undoing(A, 2, TRIED), StepReport(A, StepStatus.COMPENSATING, 3, 2)),
    (
        UndoRetrying(A, 2, TRIED, AT),
        StepReport(A, StepStatus.COMPENSATION_RETRYING, 3, 2, wake=AT, awaits="undo"),
    ),
    (UndoParked(A, 2, TRIED, WHY), StepReport(A, StepStatus.COMPENSATION_PARKED, 3, 2, parked="row_rejected")),
    (UndoFailed(A, 2, TRIED), StepReport(A, StepStatus.COMPENSATION_FAILED, 3, 2)),
    (Undone(A, 2), StepReport(A, StepStatus.COMPENSATED)),
    (Unknown(A, TRIED, wake=AT), StepReport(A, StepStatus.UNKNOWN, 3, 2, wake=AT, awaits="attempt")),
    (Probing(A, TRIED), StepReport(A, StepStatus.PROBING, 3, 2)),
    (Waiting(A, AT), StepReport(A, StepStatus.WAITING, wake=AT)),
    (UndoWaiting(A, 2, TRIED, ("paid",), AT), StepReport(A, StepStatus.COMPENSATION_WAITING, 3, 2, wake=AT)),
    (Sleeping(A, AT), StepReport(A, StepStatus.SLEEPING, wake=AT)),
    (Rewound(A, 2), StepReport(A, StepStatus.PENDING)),
]


@pytest.mark.parametrize("begun, said", SAID, ids=[type(begun).__name__ for begun, _ in SAID])
def test_of_a_step_that_has_begun(begun: StepState, said: StepReport) -> None:
    assert status_of(begun) is said.status
    pending = (StepReport(B, StepStatus.PENDING), StepReport(C, StepStatus.PENDING))
    assert report_of(THREE, SagaState(3, AT, Goal.FORWARD, (begun,), plan=THREE.id)) == (said, *pending)


FIRST, SECOND = StepId("a[0]"), StepId("a[1]")


@pytest.mark.parametrize(
    "items, whole",
    [
        ((), StepStatus.RUNNING),
        ((Succeeded(FIRST, 2),), StepStatus.RUNNING),
        ((Succeeded(FIRST, 2), Running(SECOND, TRIED)), StepStatus.RUNNING),
        ((FailedForGood(FIRST, TRIED), Running(SECOND, TRIED)), StepStatus.RUNNING),
        ((FailedForGood(FIRST, TRIED), Undoing(SECOND, 2, TRIED)), StepStatus.COMPENSATING),
        ((FailedForGood(FIRST, TRIED), Undone(SECOND, 2)), StepStatus.FAILED),
        ((Undone(FIRST, 2), Undone(SECOND, 2)), StepStatus.COMPENSATED),
        ((Succeeded(FIRST, 2), Probing(SECOND, TRIED)), StepStatus.PROBING),
        ((UndoWaiting(FIRST, 2, TRIED, ("paid",)), Undone(SECOND, 2)), StepStatus.COMPENSATION_WAITING),
    ],
)
def test_of_a_fan_out_the_most_telling_of_its_items(items: tuple[StepState, ...], whole: StepStatus) -> None:
    plan = Plan.of(step("c"), step("a", "c", concurrency=2), step("b", "a"))
    steps = (Succeeded(C, 1), FannedOut(A, 2, Digest(b"x")), *items)
    before, *found = report_of(plan, SagaState(3, AT, Goal.FORWARD, steps, plan=plan.id))
    assert before == StepReport(C, StepStatus.SUCCEEDED)
    assert [one.step_id for one in found] == [A, FIRST, SECOND, B]
    assert found[0] == StepReport(A, whole)
    assert [one.status for one in found[len(items) + 1 :]] == [StepStatus.PENDING] * (3 - len(items))


@pytest.mark.parametrize("goal", set(Goal) - {Goal.FORWARD, Goal.COMPLETED})
def test_of_a_fan_out_that_nothing_goes_on_with_it_does_not_run(goal: Goal) -> None:
    plan = Plan.of(step("a", concurrency=1))
    state = SagaState(3, AT, goal, (FannedOut(A, 2, Digest(b"x")), Succeeded(FIRST, 2)), plan=plan.id)
    assert [one.status for one in report_of(plan, state)] == [
        StepStatus.PENDING,
        StepStatus.SUCCEEDED,
        StepStatus.PENDING,
    ]


def test_every_state_is_told() -> None:
    assert {type(begun) for begun, _ in SAID} == set(get_args(StepState))


def test_a_step_is_tried_again_if_it_waits_for_its_next_try_or_may_have_run() -> None:
    again = {StepStatus.RETRYING, StepStatus.UNKNOWN, StepStatus.COMPENSATION_RETRYING}
    assert {status for status in StepStatus if is_tried_again(status)} == again


def test_a_step_is_not_undone_from_its_success_to_the_success_of_its_compensation() -> None:
    undoing = {status for status in StepStatus if status.value.startswith("COMPENSATION_")}
    expected = {StepStatus.SUCCEEDED, StepStatus.COMPENSATING} | undoing
    assert {status for status in StepStatus if is_not_undone(status)} == expected


def test_a_status_of_the_undo_is_one_of_a_compensation_that_is_not_done() -> None:
    undoing = {status for status in StepStatus if status.value.startswith("COMPENSATION_")}
    assert {status for status in StepStatus if is_of_undo(status)} == {StepStatus.COMPENSATING} | undoing


def test_a_step_is_executed_where_code_of_it_runs() -> None:
    running = {status_of(begun) for begun, _ in SAID if isinstance(begun, Running | Probing | Undoing)}
    assert {status for status in StepStatus if is_executed(status)} == running


@pytest.mark.parametrize(
    "on_unknown, undoes, goal, call",
    [
        (OnUnknown.REPEAT, False, Goal.FORWARD, "attempt"),
        (OnUnknown.PROBE, False, Goal.FORWARD, "probe"),
        (OnUnknown.PROBE, False, Goal.ROLLBACK, "probe"),
        (OnUnknown.REPEAT, True, Goal.ROLLBACK, "undo"),
        (OnUnknown.REPEAT, False, Goal.ROLLBACK, None),
        (OnUnknown.UNDO, True, Goal.FORWARD, None),
        (OnUnknown.PROBE, False, Goal.FAILED, None),
    ],
)
def test_a_step_that_may_have_run_waits_for_the_call_that_its_plan_says(
    on_unknown: OnUnknown, undoes: bool, goal: Goal, call: AwaitedCall | None
) -> None:
    plan = Plan.of(step("a", on_unknown=on_unknown, undo_in_doubt=undoes))
    held = msgspec.structs.replace(TRIED, may_run_until=Moment(AT + 5), doubt=Doubt.MAY_HAVE_RUN)
    (said,) = report_of(plan, SagaState(3, AT, goal, (Unknown(A, held),), plan=plan.id))
    assert (said.awaits, said.wake) == (call, AT + 5)
