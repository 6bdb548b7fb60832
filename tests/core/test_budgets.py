"""How often and how long a step is tried: in attempts, in time, and not at all after an answer."""

from __future__ import annotations

import pytest

from saga_fn.core.events import CompensationRequested, EventReceived, FailureKind, PlanChanged, RetryRequested
from saga_fn.core.ids import Micros, Moment
from saga_fn.core.plan import OnUnknown, Plan
from saga_fn.core.projection import SagaStatus
from saga_fn.core.retry import LONGEST_DELAY, RetrySchedule
from saga_fn.core.state import Doubt, FailedForGood, Probing, Retrying, Running, Undoing, UndoRetrying, Unknown
from tests.core.given import SECOND, THRICE, A, B, Saga, started, step

TEN_SECONDS = RetrySchedule(attempts=100, base=Micros(4 * SECOND), within=Micros(10 * SECOND))
PLAN = Plan.of(step("a", retry=TEN_SECONDS, undo_retry=TEN_SECONDS))


def probed(*, retry: RetrySchedule | None = None, probe_retry: RetrySchedule | None = None) -> Plan:
    return Plan.of(step("a", on_unknown=OnUnknown.PROBE, retry=retry, probe_retry=probe_retry))


def begun(plan: Plan = PLAN) -> Saga:
    """A saga that does not begin at the beginning of time, which stands for none."""
    saga = Saga(plan)
    saga.wait(5 * SECOND)
    saga.start(A)
    return saga


def test_no_attempt_begins_when_the_budget_is_over() -> None:
    saga = begun()
    assert saga.of(A, Running).attempts.first_attempt_at == 5 * SECOND
    saga.fail(A)
    saga.wait(4 * SECOND)
    saga.resume(A)
    saga.fail(A)
    saga.wait(4 * SECOND)
    saga.resume(A)
    assert saga.of(A, Running).attempts.first_attempt_at == 5 * SECOND
    saga.fail(A)  # 8 s after the first, the next would begin after 12
    assert saga.kinds() == {A: "FailedForGood"}
    assert saga.status is SagaStatus.COMPENSATED


def test_an_attempt_that_took_too_long_is_the_last() -> None:
    saga = begun()
    saga.wait(7 * SECOND)
    saga.fail(A)
    assert saga.kinds() == {A: "FailedForGood"}
    in_time = begun()
    in_time.wait(6 * SECOND)
    in_time.fail(A)
    assert in_time.of(A, Retrying).wake == 15 * SECOND


def test_a_person_gives_a_fresh_budget() -> None:
    saga = begun()
    saga.wait(9 * SECOND)
    saga.fail(A, FailureKind.OUTPUT_LOST)
    saga.tell(RetryRequested(saga.moment))
    assert saga.of(A, Retrying).attempts.first_attempt_at == 0
    saga.tick(A)
    assert saga.of(A, Running).attempts.first_attempt_at == 14 * SECOND
    saga.fail(A)
    assert saga.kinds() == {A: "Retrying"}


def test_an_event_does_not_lengthen_the_budget() -> None:
    saga = begun()
    saga.tell(EventReceived(saga.moment))
    saga.wait(7 * SECOND)
    saga.fail(A)
    assert saga.kinds() == {A: "FailedForGood"}


def test_a_compensation_has_a_budget_of_its_own() -> None:
    saga = begun()
    saga.wait(20 * SECOND)
    saga.succeed(A)
    assert saga.status is SagaStatus.COMPLETED
    saga = begun(Plan.of(*PLAN.steps, step("b", "a")))
    saga.wait(20 * SECOND)
    saga.succeed(A, B)
    saga.fail(B)
    assert saga.of(A, Undoing).attempts.first_attempt_at == 25 * SECOND
    saga.wait(6 * SECOND)
    saga.fail_undo(A)
    assert saga.of(A, UndoRetrying).wake == 35 * SECOND
    saga.wait(4 * SECOND)
    saga.tick()
    assert saga.of(A, Undoing).attempts.first_attempt_at == 25 * SECOND
    saga.fail_undo(A)
    assert saga.kinds()[A] == "UndoFailed"
    saga.wait(SECOND)
    saga.ask(CompensationRequested(saga.moment))
    saga.tick()
    assert saga.of(A, Undoing).attempts.first_attempt_at == 36 * SECOND


def test_what_was_begun_before_there_was_a_budget_has_all_of_it() -> None:
    saga = begun(probed(probe_retry=THRICE))
    saga.fail(A, FailureKind.UNKNOWN)
    saga.plan = probed(probe_retry=RetrySchedule(attempts=3, base=Micros(SECOND), within=Micros(SECOND)))
    saga.tell(PlanChanged(saga.moment, saga.plan.id))
    saga.fail_probe(A)
    assert saga.of(A, Unknown).wake == 6 * SECOND


def test_the_budget_of_a_probe_goes_on_under_another_owner() -> None:
    saga = begun(probed(probe_retry=TEN_SECONDS))
    saga.fail(A, FailureKind.UNKNOWN)
    saga.wait(SECOND)
    saga.take_over()
    assert saga.of(A, Probing).first_attempt_at == 5 * SECOND


@pytest.mark.parametrize("within, then", [(2 * SECOND, "Retrying"), (2 * SECOND - 1, "FailedForGood")])
def test_what_is_found_not_to_have_run_is_repeated_within_its_budget(within: int, then: str) -> None:
    saga = begun(probed(retry=RetrySchedule(attempts=3, base=Micros(SECOND), within=Micros(within))))
    saga.fail(A, FailureKind.UNKNOWN)
    saga.wait(SECOND)
    saga.found(A, done=False)
    assert saga.kinds() == {A: then}


def test_without_a_budget_nothing_is_timed() -> None:
    saga = Saga(Plan.of(step("a", retry=THRICE)))
    saga.wait(5 * SECOND)
    saga.start(A)
    assert saga.of(A, Running).attempts.first_attempt_at == 0


def test_a_schedule_within_a_time_says_when_it_is_over() -> None:
    assert (
        RetrySchedule(attempts=2, base=Micros(SECOND), within=Micros(SECOND)).delay_after(1, jitter_draw=0.0) == SECOND
    )
    assert TEN_SECONDS.delay_after(1, jitter_draw=0.0, spent=Micros(6 * SECOND)) == 4 * SECOND
    assert TEN_SECONDS.delay_after(1, jitter_draw=0.0, spent=Micros(6 * SECOND + 1)) is None
    assert THRICE.delay_after(1, jitter_draw=0.0, spent=LONGEST_DELAY) == SECOND


def test_a_budget_lasts_a_year_at_most() -> None:
    assert RetrySchedule(within=LONGEST_DELAY).within == LONGEST_DELAY


@pytest.mark.parametrize("within", [-1, LONGEST_DELAY + 1])
def test_a_budget_that_is_none_is_refused(within: int) -> None:
    with pytest.raises(ValueError, match="within must be from 0 to a year"):
        RetrySchedule(within=Micros(within))


def test_what_is_not_to_be_tried_again_ends_the_attempts_and_settles_nothing() -> None:
    saga = started(Plan.of(step("a", unknown_retry=THRICE)), A)
    saga.fail(A, FailureKind.UNKNOWN)
    saga.wait(SECOND)
    saga.tick(A)
    saga.fail(A, FailureKind.FATAL)
    assert saga.of(A, FailedForGood).attempts.doubt is Doubt.MAY_HAVE_RUN
    assert saga.leftovers == {A: "may have run"}


@pytest.mark.parametrize("has_unknown_policies", [True, False])
def test_an_answer_ends_the_attempts_and_settles_what_they_left_open_only_where_that_is_said(
    has_unknown_policies: bool,
) -> None:
    saga = started(Plan.of(step("a", unknown_retry=THRICE, has_unknown_policies=has_unknown_policies)), A)
    saga.fail(A, FailureKind.UNKNOWN)
    saga.wait(SECOND)
    saga.tick(A)
    saga.fail(A, FailureKind.BUSINESS_ERROR)
    assert saga.leftovers == ({} if has_unknown_policies else {A: "may have run"})
    assert saga.state.at == Moment(SECOND)
