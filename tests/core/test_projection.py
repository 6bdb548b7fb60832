"""The row of a saga: what it shows to a scan and to a person."""

from __future__ import annotations

import pytest

from saga_fn.core.events import FailureKind
from saga_fn.core.facts import has_completed, is_final
from saga_fn.core.ids import Moment, PlanId
from saga_fn.core.plan import Plan
from saga_fn.core.projection import (
    ENDED_UNREAD,
    SET_ASIDE,
    Projection,
    SagaStatus,
    WaitReason,
    calls_a_person,
    ended_as,
)
from saga_fn.core.state import Goal, SagaState
from tests.core.given import AGAIN, AGAIN_AT_ONCE, SECOND, THRICE, A, B, started, step, wait


@pytest.mark.predecessor(8)
def test_what_is_due_first_is_told_by_one_moment_whatever_the_status() -> None:
    waiting, rolling_back = started(AGAIN, A), started(Plan.of(step("a", undo_retry=THRICE), step("b", "a")), A)
    waiting.fail(A)
    rolling_back.succeed(A, B)
    rolling_back.wait(1)
    rolling_back.fail(B)
    rolling_back.fail_undo(A)
    assert waiting.row.due == SECOND
    assert rolling_back.row.due == SECOND + 1


def test_the_row_of_what_runs_in_a_chain_shows_its_step_and_its_time() -> None:
    saga = started(AGAIN_AT_ONCE, A)
    saga.wait(SECOND)
    saga.fail(A)
    assert started(AGAIN).row == Projection(SagaStatus.RUNNING, WaitReason.NOTHING, Moment(0), 0, A, None)
    assert saga.row == Projection(SagaStatus.RUNNING, WaitReason.NOTHING, Moment(SECOND), 1, A, None)


def test_the_row_names_all_reasons_and_the_soonest_moment() -> None:
    saga = started(Plan.of(step("a", retry=THRICE), step("b")), A, B)
    saga.fail(B, FailureKind.UNREADABLE)
    assert saga.status is SagaStatus.RUNNING
    saga.fail(A)
    assert saga.row == Projection(
        SagaStatus.SUSPENDED,
        WaitReason.RETRY | WaitReason.PARKED,
        Moment(SECOND),
        1,
        A,
        "payload_unreadable",
        wakes_on_message=False,
        problem_step=B,
    )


def test_the_row_names_the_step_that_is_parked_or_failed_and_no_other() -> None:
    saga = started(Plan.of(step("a", retry=THRICE), step("b")), A, B)
    saga.fail(B, FailureKind.UNREADABLE)
    assert saga.row.parked == "payload_unreadable"
    assert saga.row.problem_step == B
    rolled_back = started(Plan.of(step("a"), step("b", "a")), A)
    rolled_back.succeed(A, B)
    rolled_back.fail(B)
    rows = [rolled_back.row]
    rolled_back.fail_undo(A, FailureKind.FATAL)
    assert rolled_back.status is SagaStatus.FAILED
    rows.append(rolled_back.row)
    assert [(row.parked, row.problem_step) for row in rows] == [(None, None), (None, A)]


def test_a_status_knows_whether_it_is_an_end() -> None:
    ends = {status for status in SagaStatus if status.is_terminal}
    assert ends == {SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.FAILED}


def test_one_end_alone_is_the_one_that_was_meant() -> None:
    assert [status for status in SagaStatus if status.is_success] == [SagaStatus.COMPLETED]


def test_a_message_wakes_all_but_what_a_person_alone_can_go_on_with() -> None:
    waits = Plan.of(wait("a"), step("b"))
    for plan, fails, wakes in ((waits, False, True), (waits, True, True), (Plan.of(step("b")), True, False)):
        saga = started(plan, *plan.index)
        if fails:
            saga.fail(B, FailureKind.UNREADABLE)
        assert saga.row.wakes_on_message is wakes
        assert (WaitReason.PARKED in saga.row.waits) is fails


def test_the_rows_of_what_cannot_be_read_keep_the_tables_rules() -> None:
    assert (SET_ASIDE.status, SET_ASIDE.waits, SET_ASIDE.due) == (SagaStatus.SUSPENDED, WaitReason.PARKED, None)
    assert not SET_ASIDE.wakes_on_message
    assert (ENDED_UNREAD.status, ENDED_UNREAD.waits, ENDED_UNREAD.due) == (SagaStatus.FAILED, WaitReason.NOTHING, None)


@pytest.mark.parametrize("goal", Goal)
def test_an_end_has_a_status_and_the_one_that_leaves_something_calls_a_person(goal: Goal) -> None:
    state = SagaState(plan=PlanId("plan"), rev=3, at=Moment(0), goal=goal)
    end = ended_as(state)
    assert (end is not None) is state.ended
    assert end is None or (end.name == goal.name and end.is_terminal)
    assert (end is not None and calls_a_person(end)) is (goal is Goal.FAILED)
    assert is_final(state) is (goal in (Goal.COMPLETED, Goal.COMPENSATED))
    assert has_completed(state) is (goal is Goal.COMPLETED)
