"""The row of a saga: what it shows to a scan and to a person."""

from __future__ import annotations

import pytest

from saga_fn.core import projection
from saga_fn.core.events import FailureKind
from saga_fn.core.ids import Moment
from saga_fn.core.plan import Plan
from saga_fn.core.projection import Projection, SagaStatus, WaitReason
from tests.core.given import AGAIN, AGAIN_AT_ONCE, SECOND, THRICE, A, B, started, step


def test_weakness_08_what_is_due_first_is_told_by_one_moment_whatever_the_status() -> None:
    waiting, rolling_back = started(AGAIN, A), started(Plan.of(step("a", undo_retry=THRICE), step("b", "a")), A)
    waiting.fail(A)
    rolling_back.succeed(A, B)
    rolling_back.wait(1)
    rolling_back.fail(B)
    rolling_back.fail_undo(A)
    assert waiting.row.due == SECOND
    assert rolling_back.row.due == SECOND + 1


def test_the_row_of_what_runs_straight_is_told_without_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    saga = started(AGAIN_AT_ONCE, A)
    saga.wait(SECOND)
    saga.fail(A)
    monkeypatch.setattr(projection, "ready", None)
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
    )


def test_a_status_knows_whether_it_is_an_end() -> None:
    ends = {status for status in SagaStatus if status.is_terminal}
    assert ends == {SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.FAILED}
