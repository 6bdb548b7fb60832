"""Where repeating ends: an undo that a person is to see to, and a journal that has come to its limit."""

from __future__ import annotations

from msgspec.structs import replace

from saga_fn.core.effects import RunCompensation
from saga_fn.core.events import CompensationRequested, FailureKind, RetryRequested
from saga_fn.core.ids import Micros
from saga_fn.core.plan import OnUnknown, Plan
from saga_fn.core.projection import SagaStatus
from saga_fn.core.retry import JOURNAL_LIMIT
from saga_fn.core.state import Parked, ParkReason, Running, Undoing, UndoParked, UndoRetrying
from tests.core.given import SECOND, THRICE, A, B, Saga, started, step

PARKS = Plan.of(step("a", undo_parks=True, undo_retry=THRICE), step("b", "a"))


def rolling_back(plan: Plan) -> Saga:
    saga = started(plan, A)
    saga.succeed(A, B)
    saga.fail(B)
    return saga


def in_vain(saga: Saga) -> Saga:
    """The saga once its undo has used up its attempts."""
    for _ in range(3):
        if saga.kinds()[A] == "UndoRetrying":
            saga.wait(SECOND)
            saga.resume()
        saga.fail_undo(A)
    return saga


def test_an_undo_that_is_used_up_waits_for_a_person_where_the_plan_says_so() -> None:
    saga = in_vain(rolling_back(PARKS))
    assert saga.of(A, UndoParked).why is ParkReason.UNDO_FAILED
    assert saga.status is SagaStatus.SUSPENDED
    assert saga.row.parked == "undo_failed"


def test_an_undo_that_is_used_up_leaves_its_step_over_where_the_plan_does_not_say_so() -> None:
    saga = in_vain(rolling_back(Plan.of(step("a", undo_retry=THRICE), step("b", "a"))))
    assert saga.status is SagaStatus.FAILED
    assert saga.leftovers == {A: "undo failed"}


def test_a_person_tries_a_parked_undo_again_with_a_fresh_count() -> None:
    for verb in (RetryRequested, CompensationRequested):
        saga = in_vain(rolling_back(PARKS))
        assert saga.ask(verb(saga.moment)).actions == (RunCompensation(A, 4, 2),)
        saga.fail_undo(A)
        assert saga.of(A, UndoRetrying).attempts.failures == 1


def test_a_person_gives_a_parked_undo_up() -> None:
    saga = in_vain(rolling_back(PARKS))
    saga.abort()
    assert saga.status is SagaStatus.FAILED
    assert saga.leftovers == {A: "undo failed"}


def test_an_undo_that_waited_in_vain_is_parked_too() -> None:
    saga = rolling_back(Plan.of(step("a", undo_parks=True, undo_waits=("paid",)), step("b", "a")))
    saga.undo_waits(A, timeout=Micros(SECOND))
    saga.wait(SECOND)
    assert saga.resume().timed_out == A
    assert saga.of(A, UndoParked).why is ParkReason.UNDO_FAILED


def full(saga: Saga) -> Saga:
    """The saga with a journal that the next entry fills."""
    saga.current = replace(saga.state, rev=JOURNAL_LIMIT - 1)
    return saga


def test_what_failed_is_parked_when_the_journal_has_come_to_its_limit() -> None:
    for kind in (FailureKind.ERROR, FailureKind.UNKNOWN):
        saga = full(started(Plan.of(step("a", retry=THRICE, unknown_retry=THRICE)), A))
        saga.fail(A, kind)
        assert saga.of(A, Parked).why is ParkReason.TOO_LONG


def test_an_entry_before_the_limit_it_is_tried_again() -> None:
    saga = started(Plan.of(step("a", retry=THRICE)), A)
    saga.current = replace(saga.state, rev=JOURNAL_LIMIT - 2)
    saga.fail(A)
    assert saga.kinds()[A] == "Retrying"


def test_what_succeeds_goes_on_past_the_limit() -> None:
    saga = full(started(Plan.of(step("a"), step("b", "a")), A))
    saga.succeed(A, B)
    saga.succeed(B)
    assert saga.status is SagaStatus.COMPLETED


def test_what_has_failed_for_good_turns_the_saga_back_past_the_limit() -> None:
    saga = full(rolling_back(Plan.of(step("a"), step("b", "a", retry=THRICE), step("c", "b"))))
    saga.current = replace(saga.state, rev=JOURNAL_LIMIT + 5)
    saga.ask(CompensationRequested(saga.moment))
    assert saga.of(A, Undoing).attempts.attempt == 1


def test_a_person_lets_it_try_once_more_past_the_limit() -> None:
    saga = full(started(Plan.of(step("a", retry=THRICE)), A))
    saga.fail(A)
    saga.tell(RetryRequested(saga.moment))
    saga.tick(A)
    assert saga.of(A, Running).attempts.attempt == 2
    saga.fail(A)
    assert saga.of(A, Parked).why is ParkReason.TOO_LONG


def test_an_undo_is_parked_when_the_journal_has_come_to_its_limit() -> None:
    saga = full(rolling_back(Plan.of(step("a", undo_retry=THRICE), step("b", "a"))))
    saga.fail_undo(A)
    assert saga.of(A, UndoParked).why is ParkReason.TOO_LONG


def test_a_probe_gives_up_when_the_journal_has_come_to_its_limit() -> None:
    plan = Plan.of(step("a", on_unknown=OnUnknown.PROBE, retry=THRICE, probe_retry=THRICE))
    asked = started(plan, A)
    asked.fail(A, FailureKind.UNKNOWN)
    full(asked).fail_probe(A)
    assert asked.of(A, Parked).why is ParkReason.OUTCOME_UNKNOWN
    denied = started(plan, A)
    denied.fail(A, FailureKind.UNKNOWN)
    full(denied).found(A, done=False)
    assert denied.of(A, Parked).why is ParkReason.TOO_LONG
