"""A saga whose owner has seen a pause begins nothing before the next claim; what runs comes to its end."""

from __future__ import annotations

from saga_fn.core.effects import Release, RunCompensation
from saga_fn.core.events import CompensationFailed, FailureKind, Paused, StepSucceeded
from saga_fn.core.ids import Moment
from saga_fn.core.plan import OnUnknown, Plan
from saga_fn.core.projection import SagaStatus
from saga_fn.core.state import Retrying, Succeeded, UndoRetrying, Unknown
from tests.core.given import AT_ONCE, ONE, SECOND, THREE, A, B, C, bound, sequence, started, step


def test_what_runs_comes_to_its_end_and_nothing_follows() -> None:
    saga = started(THREE, A)
    assert saga.tell(Paused(Moment(0))).writes == ()
    moved = saga.tell(StepSucceeded(Moment(SECOND), A, 1, bound(B)))
    assert (moved.actions, moved.needs, moved.writes) == ((), (), (Release(Moment(SECOND)),))
    saga.of(A, Succeeded)
    assert saga.resume(B).actions != ()


def test_a_saga_whose_last_step_returns_ends_all_the_same() -> None:
    saga = started(ONE, A)
    saga.tell(Paused(Moment(0)))
    saga.succeed(A)
    assert saga.status is SagaStatus.COMPLETED


def test_nothing_is_tried_again_at_once() -> None:
    saga = started(sequence("ab", retry=AT_ONCE), A)
    saga.tell(Paused(Moment(0)))
    assert saga.fail(A).actions == ()
    assert saga.of(A, Retrying).wake == 0


def test_a_rollback_undoes_nothing_more() -> None:
    saga = started(THREE, A)
    saga.succeed(A, B)
    saga.tell(Paused(Moment(0)))
    assert saga.fail(B).actions == ()
    assert [type(action) for action in saga.resume().actions] == [RunCompensation]


def test_an_undo_is_not_tried_again_at_once() -> None:
    saga = started(Plan.of(step("a", undo_retry=AT_ONCE), step("b", "a")), A)
    saga.succeed(A, B)
    saga.fail(B)
    saga.tell(Paused(Moment(0)))
    assert saga.tell(CompensationFailed(Moment(0), A, 1)).actions == ()
    assert saga.of(A, UndoRetrying).wake == 0


def test_no_probe_begins() -> None:
    saga = started(Plan.of(step("a", on_unknown=OnUnknown.PROBE)), A)
    saga.tell(Paused(Moment(0)))
    assert saga.fail(A, FailureKind.UNKNOWN).actions == ()
    saga.of(A, Unknown)


def test_a_pause_says_nothing_of_a_crash() -> None:
    saga = started(THREE, A)
    saga.take_over(A, isolated=True)
    before = saga.state
    saga.tell(Paused(Moment(0)))
    after = saga.state
    assert (after.failed_takeovers, after.isolated) == (before.failed_takeovers, before.isolated) == (1, True)
    assert C not in [each.step for each in after.steps]
