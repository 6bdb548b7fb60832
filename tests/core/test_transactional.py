"""Steps in transactions: cut short, they have not happened."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from saga_fn.core.events import (
    AbortRequested,
    CompensationRequested,
    FailureKind,
    HandedBack,
    PlanChanged,
    RetryRequested,
    SagaParked,
    StepFailed,
)
from saga_fn.core.explain.preview import Consequences, preview
from saga_fn.core.explain.reasons import reasons
from saga_fn.core.facts import find
from saga_fn.core.ids import Moment
from saga_fn.core.outlook import outlook
from saga_fn.core.plan import OnUnknown, Plan
from saga_fn.core.projection import SagaStatus
from saga_fn.core.retry import JOURNAL_LIMIT
from saga_fn.core.rules.ownership import CRASH_LIMIT
from saga_fn.core.state import Doubt, FailedForGood, Goal, Parked, ParkReason, Retrying, Running, SagaState, UndoParked
from tests.core.given import AT_ONCE, SECOND, THRICE, A, B, Saga, started, step

WITHIN = Plan.of(
    step("a"), step("b", "a", transactional=True, retry=AT_ONCE, on_unknown=OnUnknown.PARK, unknown_retry=THRICE)
)
WITHOUT = Plan.of(step("a"), step("b", "a", on_unknown=OnUnknown.PARK))


def running(plan: Plan = WITHIN) -> Saga:
    """A saga whose second step runs."""
    saga = started(plan, A)
    saga.wait(SECOND)
    saga.succeed(A, B)
    return saga


def found(saga: Saga) -> Running | Retrying | Parked | FailedForGood:
    now = find(saga.state, B)
    assert isinstance(now, Running | Retrying | Parked | FailedForGood)
    return now


def failure(saga: Saga) -> StepFailed:
    event = saga.journal[-1]
    assert isinstance(event, StepFailed)
    return event


def test_what_a_crash_has_cut_short_is_repeated_and_is_in_no_doubt() -> None:
    saga = running()
    saga.take_over(B)
    assert isinstance(found(saga), Running)
    assert found(saga).attempts.doubt is Doubt.NONE
    assert found(saga).attempts.failures == 0


def test_what_was_handed_back_is_repeated_at_once() -> None:
    saga = running()
    saga.tell(HandedBack(saga.moment))
    now = found(saga)
    assert isinstance(now, Retrying)
    assert (now.wake, now.attempts.doubt) == (saga.moment, Doubt.NONE)


def test_a_crash_loop_is_parked_as_any_other() -> None:
    saga = running()
    for _ in range(CRASH_LIMIT - 1):
        saga.take_over(B, isolated=True)
    saga.take_over(isolated=True)
    now = found(saga)
    assert isinstance(now, Parked)
    assert (now.why, now.attempts.doubt) == (ParkReason.CRASH_LOOP, Doubt.NONE)


def test_what_was_interrupted_is_repeated_by_the_budget_for_that_and_counts_as_no_failure() -> None:
    saga = running()
    for doubts in (1, 2):
        saga.fail(B, FailureKind.INTERRUPTED)
        now = found(saga)
        assert isinstance(now, Retrying)
        assert (now.attempts.doubts, now.attempts.failures, now.attempts.doubt) == (doubts, 0, Doubt.NONE)
        assert outlook(saga.plan, saga.state, failure(saga)).counted == (doubts, 3)
        saga.wait(SECOND)
        saga.tick(B)
    saga.fail(B, FailureKind.INTERRUPTED)
    assert found(saga).attempts.doubt is Doubt.NONE
    assert saga.state.goal is Goal.ROLLBACK
    saga.undo(A)
    assert saga.status is SagaStatus.COMPENSATED
    assert saga.leftovers == {}


def test_an_error_goes_by_the_retry_policy() -> None:
    saga = running()
    saga.fail(B, FailureKind.ERROR)
    assert found(saga).attempts.failures == 1
    saga.fail(B, FailureKind.INTERRUPTED)
    assert found(saga).attempts.failures == 1


def test_what_says_that_something_else_may_have_happened_is_left_to_a_person() -> None:
    saga = running()
    saga.fail(B, FailureKind.UNKNOWN)
    now = found(saga)
    assert isinstance(now, Parked)
    assert (now.why, now.attempts.doubt) == (ParkReason.OUTCOME_UNKNOWN, Doubt.MAY_HAVE_RUN)


@pytest.mark.parametrize(
    "kind, why",
    [(FailureKind.CONFLICTS, ParkReason.CONFLICTS), (FailureKind.OUTPUT_LOST, ParkReason.OUTPUT_LOST)],
)
def test_what_waits_for_a_person_for_another_reason_is_in_no_doubt(kind: FailureKind, why: ParkReason) -> None:
    saga = running()
    saga.fail(B, kind)
    now = found(saga)
    assert isinstance(now, Parked)
    assert (now.why, now.attempts.doubt) == (why, Doubt.NONE)
    assert outlook(saga.plan, saga.state, failure(saga)).counted is None
    saga.tell(RetryRequested(saga.moment, B))
    assert isinstance(found(saga), Retrying)


def test_an_abort_leaves_nothing_of_it() -> None:
    saga = running(Plan.of(step("a", undo=False), *WITHIN.steps[1:]))
    saga.tell(AbortRequested(saga.moment, Moment(saga.now + SECOND)))
    assert isinstance(found(saga), FailedForGood)
    assert saga.leftovers == {}


def test_a_saga_that_is_parked_as_a_whole_parks_it_without_a_doubt() -> None:
    saga = running()
    saga.tell(SagaParked(saga.moment, ParkReason.ROW_REJECTED))
    assert found(saga).attempts.doubt is Doubt.NONE


def test_a_sibling_that_is_cut_short_is_given_up_and_undone_by_nobody() -> None:
    plan = Plan.of(
        step("a"),
        step("b", transactional=True, on_unknown=OnUnknown.PARK),
        cancel_siblings=True,
    )
    saga = started(plan, A, B)
    saga.fail(A, FailureKind.FATAL)
    assert isinstance(found(saga), FailedForGood)
    assert saga.status is SagaStatus.COMPENSATED


def test_turned_back_by_a_verb_it_comes_to_its_end_or_is_forgotten() -> None:
    saga = running()
    saga.tell(CompensationRequested(saga.moment))
    assert isinstance(found(saga), Running)
    saga.fail(B, FailureKind.INTERRUPTED)
    assert isinstance(found(saga), FailedForGood)
    saga.undo(A)
    assert saga.status is SagaStatus.COMPENSATED


def test_what_was_begun_without_a_transaction_is_in_doubt_whatever_the_new_plan_says() -> None:
    for kind in (None, FailureKind.INTERRUPTED, FailureKind.CONFLICTS):
        saga = running(WITHOUT)
        saga.plan = WITHIN
        saga.tell(PlanChanged(saga.moment, WITHIN.id))
        if kind is None:
            saga.take_over()
        else:
            saga.fail(B, kind)
        assert found(saga).attempts.doubt is Doubt.MAY_HAVE_RUN
        assert isinstance(found(saga), Parked)


def test_what_was_begun_in_a_transaction_is_in_no_doubt_whatever_the_new_plan_says() -> None:
    saga = running()
    saga.plan = WITHOUT
    saga.tell(PlanChanged(saga.moment, WITHOUT.id))
    saga.take_over(B)
    now = found(saga)
    assert isinstance(now, Running)
    assert (now.attempts.doubt, now.transactional) == (Doubt.NONE, False)


def test_what_was_interrupted_at_the_end_of_the_journal_is_parked() -> None:
    saga = running()
    full: SagaState = replace(saga.state, rev=JOURNAL_LIMIT)
    saga.current = full
    saga.fail(B, FailureKind.INTERRUPTED)
    now = found(saga)
    assert isinstance(now, Parked)
    assert now.why is ParkReason.TOO_LONG


def test_an_undo_that_meets_conflicts_is_parked() -> None:
    saga = running()
    saga.fail(B, FailureKind.FATAL)
    saga.fail_undo(A, FailureKind.CONFLICTS)
    now = find(saga.state, A)
    assert isinstance(now, UndoParked)
    assert now.why is ParkReason.CONFLICTS


def test_why_it_stands_tells_that_it_touches_its_transaction_alone() -> None:
    within, without = running(), running(WITHOUT)
    told = [[each.transactional for each in reasons(saga.plan, saga.state)] for saga in (within, without)]
    assert told == [[True], [False]]


def test_why_it_is_parked_tells_whether_its_outcome_is_that_of_a_transaction() -> None:
    within, without = running(), running(WITHOUT)
    for saga in (within, without):
        saga.fail(B, FailureKind.UNKNOWN)
    told = [
        [(each.parked, each.transactional) for each in reasons(saga.plan, saga.state)] for saga in (within, without)
    ]
    assert told == [[(ParkReason.OUTCOME_UNKNOWN, True)], [(ParkReason.OUTCOME_UNKNOWN, False)]]


def test_a_retry_is_foreseen_to_write_rows_again_only_where_a_transaction_may_have_committed_them() -> None:
    told: dict[tuple[str, type[object]], tuple[str, ...]] = {}
    for name, plan, kind in (
        ("in doubt", WITHIN, FailureKind.UNKNOWN),
        ("surely rolled back", WITHIN, FailureKind.UNREADABLE),
        ("another system's", WITHOUT, FailureKind.UNKNOWN),
    ):
        saga = running(plan)
        saga.fail(B, kind)
        for event in (RetryRequested(saga.state.at, step=B), CompensationRequested(saga.state.at)):
            seen = preview(plan, saga.state, event, most=10)
            assert isinstance(seen, Consequences)
            told[name, type(event)] = seen.rows_may_stand
    assert {key: steps for key, steps in told.items() if steps} == {("in doubt", RetryRequested): (B,)}


def test_a_plan_without_transactions_has_the_fingerprint_that_it_had_before_there_were_any() -> None:
    assert Plan.of(step("a")).id == "a8ddea071647069c"
    assert Plan.of(step("a", transactional=True)).id != Plan.of(step("a")).id
