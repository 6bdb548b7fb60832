"""Waits for events and moments: each event is taken once, nothing fires early, and what is over fires once."""

from __future__ import annotations

import pytest

from saga_fn.core.effects import Refusal, Release, RunCompensation, RunStep
from saga_fn.core.events import (
    CompensationRequested,
    CompensationWaits,
    EventReceived,
    HandedBack,
    PlanChanged,
    Resumed,
    RetryRequested,
    SagaParked,
    Started,
    StepSkipped,
    Ticked,
    Unbindable,
    Until,
    WaitDefaulted,
)
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.plan import Plan, StepKind
from saga_fn.core.projection import SagaStatus, WaitReason
from saga_fn.core.reading import foresee
from saga_fn.core.state import (
    Exhausted,
    Goal,
    Parked,
    ParkReason,
    Retrying,
    Skipped,
    Sleeping,
    Succeeded,
    Undoing,
    UndoRetrying,
    UndoWaiting,
    Waiting,
)
from tests.core.given import SECOND, THRICE, A, B, C, Saga, bound, sleep, started, step, wait

MINUTE = 60 * SECOND
GUARDED = Plan.of(step("a"), wait("b", "a", limit=MINUTE), step("c", "b"))


def waiting() -> Saga:
    """A saga that has reserved something, and waits at most a minute to be paid."""
    saga = started(GUARDED, A)
    saga.succeed(A)
    return saga


# Events.


def test_a_wait_begins_as_soon_as_what_it_follows_is_done_and_takes_no_owner() -> None:
    saga = started(GUARDED, A)
    moved = saga.succeed(A)
    assert saga.of(B, Waiting) == Waiting(B, Moment(MINUTE))
    assert moved.writes == (Release(Moment(MINUTE)),)
    assert (moved.needs, moved.actions) == ((), ())
    assert (saga.status, saga.row.waits) == (SagaStatus.SUSPENDED, WaitReason.EVENT)
    assert (saga.row.current_step, saga.row.retry_counter) == (B, 0)


def test_a_wait_without_a_limit_is_no_concern_of_a_scan() -> None:
    saga = started(Plan.of(wait("a")))
    assert (saga.row.due, saga.row.waits) == (None, WaitReason.EVENT)


def test_the_event_ends_the_wait_and_what_follows_may_begin() -> None:
    saga = waiting()
    moved = saga.receive("paid")
    assert saga.of(B, Succeeded).seq == saga.state.rev
    assert moved.needs == (C,)
    assert saga.state.buffered == ()
    assert saga.state.events == ()


def test_an_event_that_comes_early_is_kept_and_taken_at_once() -> None:
    saga = started(GUARDED, A)
    saga.receive("paid")
    seq = saga.state.rev
    assert [event.seq for event in saga.state.buffered] == [seq]
    moved = saga.succeed(A, C)
    assert saga.of(B, Succeeded).seq == seq
    assert saga.state.buffered == ()
    assert moved.actions == (RunStep(C, 1, 0),)


def test_each_wait_takes_one_event_in_the_order_they_came() -> None:
    saga = started(Plan.of(step("a"), wait("b", "a"), wait("c", "b")), A)
    saga.receive("paid")
    first = saga.state.rev
    saga.receive("paid")
    saga.receive("paid")
    saga.succeed(A)
    assert [saga.of(name, Succeeded).seq for name in (B, C)] == [first, first + 1]
    assert saga.status is SagaStatus.COMPLETED


def test_of_parallel_waits_the_first_in_the_plan_takes_it() -> None:
    saga = started(Plan.of(wait("a", names=("sent",)), wait("b"), wait("c")))
    saga.receive("paid")
    assert saga.kinds() == {"a": "Waiting", "b": "Succeeded", "c": "Waiting"}


def test_any_of_several_events_ends_a_wait() -> None:
    plan = Plan.of(wait("a", names=("paid", "sent")))
    for name in ("paid", "sent"):
        saga = started(plan)
        saga.receive(name)
        assert saga.status is SagaStatus.COMPLETED
    assert started(plan).refusal(EventReceived(Moment(0), "lost")) is Refusal.UNKNOWN_EVENT


def test_a_wait_that_is_about_something_takes_only_what_is_about_the_same() -> None:
    saga = started(Plan.of(wait("a", correlated=True)))
    assert saga.tell(Ticked(saga.moment)).needs == (A,)
    saga.tell(Ticked(saga.moment, bound(A, digest=b"mine")))
    saga.receive("paid", b"yours")
    saga.receive("paid")
    assert saga.kinds() == {"a": "Waiting"}
    saga.receive("paid", b"mine")
    assert saga.status is SagaStatus.COMPLETED
    assert len(saga.state.buffered) == 2


def test_a_wait_that_is_about_nothing_in_particular_takes_what_is_about_anything() -> None:
    saga = started(Plan.of(wait("a")))
    saga.receive("paid", b"yours")
    assert saga.status is SagaStatus.COMPLETED


def test_what_cannot_be_said_to_be_about_anything_parks_the_saga() -> None:
    saga = started(Plan.of(wait("a", correlated=True)))
    saga.tell(Ticked(saga.moment, (Unbindable(A),)))
    assert saga.of(A, Parked).why is ParkReason.INPUT_FAILED


def test_an_event_is_void_from_its_expiry_on() -> None:
    saga = started(GUARDED, A)
    saga.receive("paid", expires=SECOND)
    saga.wait(SECOND)
    saga.succeed(A)
    assert saga.kinds()[B] == "Waiting"
    saga.receive("paid", expires=SECOND + 1)
    assert saga.kinds()[B] == "Succeeded"


def test_what_is_void_makes_room_for_what_is_not() -> None:
    saga = started(GUARDED, A)
    saga.receive("paid", expires=SECOND)
    saga.wait(SECOND)
    saga.receive("paid")
    assert [event.expires for event in saga.state.buffered] == [None]


# Its end by the clock.


def test_a_wait_that_is_over_has_failed_and_the_saga_rolls_back() -> None:
    saga = waiting()
    saga.wait(MINUTE - 1)
    saga.resume()
    assert saga.kinds()[B] == "Waiting", "not a microsecond early"
    saga.wait(1)
    moved = saga.resume()
    assert moved.timed_out == B
    assert saga.of(B, Exhausted).tries.doubt.name == "NONE"
    saga.undo(A)
    assert saga.status is SagaStatus.COMPENSATED


def test_an_event_that_is_read_before_the_end_is_told_still_counts() -> None:
    """A letter that lay there in time is not to lose by the slowness of who reads it."""
    saga = waiting()
    saga.wait(2 * MINUTE)
    saga.receive("paid")
    saga.resume(C)
    assert saga.kinds()[B] == "Succeeded"


def test_a_wait_with_a_default_goes_on_with_it() -> None:
    plan = Plan.of(wait("a", limit=SECOND, default=True), step("b", "a"))
    saga = started(plan)
    assert saga.refusal(WaitDefaulted(saga.moment, A)) is Refusal.NOT_OVER
    saga.wait(SECOND)
    moved = saga.resume()
    assert (moved.defaults, moved.timed_out) == ((A,), None)
    assert saga.row.due == SECOND, "whoever finds it gives it its default"
    moved = saga.default(A, B)
    assert saga.of(A, Succeeded).seq == saga.state.rev
    assert (moved.defaults, moved.actions) == ((), (RunStep(B, 1, 0),))
    assert saga.refusal(WaitDefaulted(saga.moment, A)) is Refusal.NOT_OVER


def test_a_wait_that_fails_by_its_plan_has_no_default_and_neither_has_a_saga_that_rolls_back() -> None:
    saga = waiting()
    saga.wait(MINUTE)
    assert saga.refusal(WaitDefaulted(saga.moment, B)) is Refusal.NOT_OVER
    assert saga.refusal(WaitDefaulted(saga.moment, A)) is Refusal.NOT_OVER
    both = started(Plan.of(wait("a", limit=SECOND, default=True), step("b")), B)
    both.wait(SECOND)
    both.tell(CompensationRequested(both.moment))
    assert both.state.goal is Goal.ROLLBACK
    assert both.refusal(WaitDefaulted(both.moment, A)) is Refusal.NOT_OVER


def test_of_several_waits_that_are_over_the_first_is_named() -> None:
    saga = started(Plan.of(wait("a", limit=SECOND), wait("b", limit=SECOND), deadline=SECOND))
    saga.wait(SECOND)
    assert saga.tick().timed_out == A
    assert saga.status is SagaStatus.COMPENSATED


# Sleeps.


def test_a_sleep_is_over_when_its_time_has_come_and_not_before() -> None:
    saga = started(Plan.of(sleep("a", limit=SECOND), step("b", "a")))
    assert saga.of(A, Sleeping).wake == SECOND
    assert (saga.row.due, saga.row.waits) == (SECOND, WaitReason.TIMER)
    saga.wait(SECOND - 1)
    saga.resume()
    assert saga.kinds() == {"a": "Sleeping"}
    saga.wait(1)
    saga.resume(B)
    assert saga.kinds() == {"a": "Succeeded", "b": "Running"}


def test_a_sleep_until_a_moment_needs_to_be_told_which() -> None:
    saga = started(Plan.of(sleep("a"), sleep("b")))
    assert saga.tick().needs == (A, B)
    saga.tell(Ticked(saga.moment, (Until(A, Moment(5)), *bound(B))))
    assert saga.of(A, Sleeping).wake == 5
    assert saga.of(B, Parked).why is ParkReason.INPUT_FAILED


def test_a_step_is_not_bound_by_a_moment() -> None:
    saga = started(Plan.of(step("a")))
    saga.tell(Ticked(saga.moment, (Until(A, Moment(5)),)))
    assert saga.of(A, Parked).why is ParkReason.INPUT_FAILED


def test_nothing_ends_a_sleep_but_the_clock() -> None:
    saga = started(Plan.of(sleep("a", limit=SECOND), wait("b")))
    saga.wait(SECOND)
    saga.receive("paid")
    assert saga.kinds() == {"a": "Sleeping", "b": "Succeeded"}
    assert saga.row.due == SECOND
    saga.tell(HandedBack(saga.moment))
    saga.tick()
    assert saga.status is SagaStatus.COMPLETED


# The saga's own times.


def test_a_delayed_saga_begins_nothing_before_its_time() -> None:
    saga = Saga(GUARDED)
    moved = saga.tell(Started(saga.moment, GUARDED.id, bound(A), delay=SECOND))
    assert (moved.needs, moved.actions, moved.writes) == ((), (), (Release(Moment(SECOND)),))
    assert (saga.status, saga.row.waits) == (SagaStatus.SUSPENDED, WaitReason.TIMER)
    assert saga.refusal(StepSkipped(saga.moment, A)) is Refusal.NOT_WAITING
    saga.wait(SECOND)
    saga.resume(A)
    assert saga.kinds() == {"a": "Running"}
    assert saga.state.begins == 0


def test_a_delay_that_is_none_is_none() -> None:
    saga = Saga(GUARDED)
    saga.tell(Started(Moment(5), GUARDED.id, delay=-3))
    assert saga.state.begins == 0


def test_a_saga_that_is_late_turns_back_and_awaits_what_runs() -> None:
    plan = Plan.of(step("a"), step("b", "a"), deadline=SECOND)
    saga = started(plan, A)
    assert saga.row.due is not None
    saga.wait(SECOND)
    moved = saga.tick()
    assert (moved.timed_out, moved.actions, saga.state.goal) == ("", (), Goal.ROLLBACK)
    saga.succeed(A)
    assert saga.kinds() == {"a": "Undoing"}
    saga.wait(SECOND)
    assert saga.tick().timed_out is None, "once"


def test_a_saga_that_compensates_nothing_halts_when_it_is_late() -> None:
    plan = Plan.of(step("a"), sleep("b", "a", limit=MINUTE), deadline=SECOND, compensate_on_failure=False)
    saga = started(plan, A)
    saga.succeed(A)
    assert saga.row.due == SECOND
    saga.wait(SECOND)
    saga.resume()
    assert (saga.status, saga.leftovers) == (SagaStatus.FAILED, {"a": "not undone"})
    saga.tell(RetryRequested(saga.moment))
    assert saga.state.deadline is None, "a person goes on with it, knowing that it is late"
    assert saga.of(B, Sleeping).wake == SECOND + MINUTE


def test_a_deadline_that_is_not_over_holds_for_a_person_too() -> None:
    plan = Plan.of(step("a"), deadline=MINUTE, compensate_on_failure=False)
    saga = started(plan, A)
    saga.fail(A)
    assert saga.status is SagaStatus.FAILED
    saga.tell(RetryRequested(saga.moment))
    assert saga.state.deadline == MINUTE


# What a person does, and what else may happen to a saga that waits.


def test_a_wait_can_be_skipped_and_a_sleep_too() -> None:
    saga = waiting()
    saga.tell(StepSkipped(saga.moment, B, bound(C)))
    assert saga.kinds() == {"a": "Succeeded", "b": "Skipped", "c": "Running"}
    sleeper = started(Plan.of(sleep("a", limit=SECOND)))
    sleeper.tell(StepSkipped(sleeper.moment, A))
    assert sleeper.of(A, Skipped).step == A
    assert sleeper.status is SagaStatus.COMPLETED


def test_a_wait_is_no_failure_that_could_be_retried() -> None:
    assert waiting().refusal(RetryRequested(Moment(0))) is Refusal.NOTHING_TO_RETRY


def test_a_wait_that_was_parked_begins_anew_when_it_is_retried() -> None:
    saga = waiting()
    saga.wait(SECOND)
    saga.tell(SagaParked(saga.moment, ParkReason.ROW_REFUSED))
    assert saga.of(B, Parked).why is ParkReason.ROW_REFUSED
    saga.receive("paid")
    assert len(saga.state.buffered) == 1
    saga.tell(RetryRequested(saga.moment))
    assert saga.kinds()[B] == "Succeeded", "what came meanwhile is taken"
    again = waiting()
    again.tell(SagaParked(again.moment, ParkReason.ROW_REFUSED))
    again.wait(SECOND)
    again.tell(RetryRequested(again.moment))
    assert again.of(B, Waiting).until == MINUTE + SECOND


def test_a_rollback_ends_every_wait() -> None:
    saga = waiting()
    saga.tell(CompensationRequested(saga.moment))
    assert saga.kinds() == {"a": "Undoing", "b": "Exhausted"}
    saga.receive("paid")
    saga.undo(A)
    assert saga.status is SagaStatus.COMPENSATED


def test_an_abort_ends_every_wait() -> None:
    saga = waiting()
    saga.abort()
    assert (saga.status, saga.leftovers) == (SagaStatus.FAILED, {"a": "not undone"})
    assert saga.row.due is None


def test_a_wait_survives_who_was_driving_the_saga() -> None:
    saga = started(Plan.of(step("a"), wait("b")), A)
    saga.take_over(A)
    assert saga.kinds() == {"a": "Running", "b": "Waiting"}
    saga.tell(HandedBack(saga.moment))
    assert saga.kinds() == {"a": "Unknown", "b": "Waiting"}


def test_a_failed_sibling_ends_every_wait() -> None:
    saga = started(Plan.of(step("a"), wait("b"), sleep("c", limit=SECOND)), A)
    saga.fail(A)
    assert saga.kinds() == {"a": "Exhausted", "b": "Exhausted", "c": "Exhausted"}


def test_a_changed_plan_may_change_how_long_but_not_what_it_is_that_waits() -> None:
    saga = waiting()
    longer = Plan.of(step("a"), wait("b", "a", limit=2 * MINUTE), step("c", "b"))
    other = Plan.of(step("a"), sleep("b", "a", limit=MINUTE), step("c", "b"))
    for plan in (other, Plan.of(wait("a"), wait("b", "a")), Plan.of(step("a"), step("b", "a"))):
        refused = Saga(plan)
        refused.current = saga.state
        fits = plan.step(A).kind is StepKind.EVENT and plan.step(B).kind is StepKind.EVENT
        assert fits or refused.refusal(PlanChanged(saga.moment, plan.id)) is Refusal.PLAN_MISMATCH
    saga.plan = longer
    saga.tell(PlanChanged(saga.moment, longer.id))
    assert saga.of(B, Waiting).until == MINUTE
    sleeper = started(Plan.of(sleep("a", limit=SECOND)))
    sleeper.plan = Plan.of(step("a"))
    assert sleeper.refusal(PlanChanged(Moment(0), sleeper.plan.id)) is Refusal.PLAN_MISMATCH
    runner = started(Plan.of(step("a")), A)
    runner.plan = Plan.of(sleep("a", limit=SECOND))
    assert runner.refusal(PlanChanged(Moment(0), runner.plan.id)) is Refusal.PLAN_MISMATCH


def test_what_was_to_be_retried_is_bound_anew_beside_a_wait() -> None:
    saga = started(Plan.of(wait("a", correlated=True, limit=SECOND), step("b")), B)
    saga.tell(Ticked(saga.moment, (Unbindable(A),)))
    saga.tell(RetryRequested(saga.moment))
    assert saga.of(A, Retrying).wake == 0
    saga.tell(Ticked(saga.moment, bound(A)))
    assert saga.of(A, Waiting).about == b"input"


# Compensations that wait.


def undoing(*, retried: bool = False) -> Saga:
    """A saga whose first step is being undone."""
    plan = Plan.of(step("a", undo_waits=("paid",), undo_retry=THRICE if retried else None), step("b", "a"))
    saga = started(plan, A)
    saga.succeed(A, B)
    saga.fail(B)
    return saga


def test_a_compensation_may_wait_and_is_called_again_with_the_event() -> None:
    saga = undoing()
    moved = saga.undo_waits(A)
    assert saga.of(A, UndoWaiting).name == "paid"
    assert moved.writes == (Release(None),)
    assert (saga.status, saga.row.waits, saga.row.current_step) == (SagaStatus.SUSPENDED, WaitReason.EVENT, A)
    moved = saga.receive("paid")
    assert moved.actions == (RunCompensation(A, 2, saga.of(A, Undoing).seq, saga.state.rev),)
    saga.undo(A)
    assert saga.status is SagaStatus.COMPENSATED


def test_a_compensation_takes_what_came_before_it_waited() -> None:
    saga = started(Plan.of(step("a", undo_waits=("paid",)), step("b", "a")), A)
    saga.receive("paid", b"yours")
    saga.receive("paid", b"mine")
    heard = saga.state.rev
    saga.succeed(A, B)
    saga.fail(B)
    saga.undo_waits(A, about=b"mine")
    assert saga.of(A, Undoing).tries.generation == heard
    assert [event.about for event in saga.state.buffered] == [b"yours"]


def test_a_compensation_keeps_what_it_was_called_with_when_it_is_tried_again() -> None:
    saga = undoing(retried=True)
    saga.undo_waits(A)
    saga.receive("paid")
    heard = saga.state.rev
    saga.fail_undo(A)
    saga.wait(SECOND)
    assert saga.resume().actions == (RunCompensation(A, 3, saga.of(A, Undoing).seq, heard),)


def test_a_wait_of_a_compensation_that_is_over_is_a_failed_attempt() -> None:
    saga = undoing()
    saga.undo_waits(A, limit=MINUTE)
    assert saga.row.due == MINUTE
    saga.wait(MINUTE)
    assert saga.resume().timed_out == A
    assert (saga.status, saga.leftovers) == (SagaStatus.FAILED, {"a": "undo failed"})
    again = undoing(retried=True)
    again.undo_waits(A, limit=MINUTE)
    again.wait(MINUTE - 1)
    again.resume()
    assert again.kinds()[A] == "UndoWaiting", "not a microsecond early"
    again.wait(1)
    again.resume()
    assert again.of(A, UndoRetrying).wake == MINUTE + SECOND


def test_an_event_for_something_else_leaves_the_compensation_waiting() -> None:
    saga = undoing()
    saga.undo_waits(A, about=b"mine")
    saga.receive("paid", b"yours")
    assert saga.kinds()[A] == "UndoWaiting"


def test_a_late_wait_of_a_compensation_is_refused() -> None:
    saga = undoing()
    assert saga.refusal(CompensationWaits(saga.moment, A, 2, "paid")) is Refusal.LATE
    assert saga.refusal(CompensationWaits(saga.moment, StepId("x"), 1, "paid")) is Refusal.UNKNOWN_STEP


def test_a_person_may_end_or_park_a_compensation_that_waits() -> None:
    saga = undoing()
    saga.undo_waits(A)
    assert saga.refusal(RetryRequested(saga.moment)) is Refusal.NOTHING_TO_RETRY
    saga.tell(SagaParked(saga.moment, ParkReason.ROW_REFUSED))
    assert saga.kinds()[A] == "UndoParked"
    other = undoing()
    other.undo_waits(A)
    other.abort()
    assert other.leftovers == {"a": "undo failed"}


def test_a_plan_that_no_longer_has_a_step_to_undo_does_not_fit() -> None:
    saga = undoing()
    saga.undo_waits(A)
    saga.plan = Plan.of(wait("a"), step("b", "a"))
    assert saga.refusal(PlanChanged(saga.moment, saga.plan.id)) is Refusal.PLAN_MISMATCH


# Foresight.


@pytest.mark.parametrize(
    "follower, needs",
    [(step("b", "a"), (B,)), (wait("b", "a"), ()), (wait("b", "a", correlated=True), (B,)), (sleep("b", "a"), (B,))],
    ids=["step", "wait", "correlated", "until"],
)
def test_only_what_has_to_be_computed_is_foreseen(follower: object, needs: tuple[StepId, ...]) -> None:
    plan = Plan.of(step("a"), follower)  # type: ignore[arg-type]  # planned steps, whose type parametrize hides
    assert foresee(plan, started(plan, A).state, A)[1] == needs


def test_a_claim_that_finds_nothing_due_changes_nothing() -> None:
    saga = waiting()
    before = saga.state
    moved = saga.tell(Resumed(saga.moment))
    assert (moved.state.steps, moved.writes) == (before.steps, (Release(Moment(MINUTE)),))


def test_what_a_journal_entry_holds() -> None:
    plan = Plan.of(step("a"), wait("b"), sleep("c", limit=SECOND))
    assert [plan.gives(name) for name in (A, B, C, StepId("x"))] == [True, True, False, True]
    assert Plan.of(step("a")).gives(A)
