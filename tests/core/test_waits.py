"""Waits for events: each event is taken once, by the first that waits for it, and a wait that is over ends once."""

from __future__ import annotations

from msgspec.structs import replace

from saga_fn.core.effects import Refusal, Rejection, Release, RunStep
from saga_fn.core.event_matching import BUFFER_LIMIT, Answer, answer_to, has_more_to_read, takes_more
from saga_fn.core.events import (
    CompensationRequested,
    EventReceived,
    HandedBack,
    Resumed,
    RetryRequested,
    SagaParked,
    StepSkipped,
    Ticked,
    Unbindable,
    WaitDefaulted,
)
from saga_fn.core.ids import Micros, Moment
from saga_fn.core.plan import Plan
from saga_fn.core.projection import SagaStatus, WaitReason
from saga_fn.core.state import (
    Attempts,
    Buffered,
    FailedForGood,
    Goal,
    Parked,
    ParkReason,
    Retrying,
    SagaState,
    Skipped,
    Succeeded,
    Waiting,
)
from tests.core.given import MINUTE, SECOND, A, B, C, D, Saga, bound, sleep, started, step, wait

GUARDED = Plan.of(step("a"), wait("b", "a", timeout=Micros(MINUTE)), step("c", "b"))


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
    assert saga.of(A, Parked) == Parked(A, Attempts(), ParkReason.INPUT_FAILED)


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
    assert saga.of(B, FailedForGood).attempts.doubt.name == "NONE"
    saga.undo(A)
    assert saga.status is SagaStatus.COMPENSATED


def test_an_event_that_is_read_before_the_end_is_told_still_counts() -> None:
    """A message that lay there in time is not to lose by the slowness of who reads it."""
    saga = waiting()
    saga.wait(2 * MINUTE)
    saga.receive("paid")
    saga.resume(C)
    assert saga.kinds()[B] == "Succeeded"


def test_a_wait_with_a_default_goes_on_with_it() -> None:
    plan = Plan.of(wait("a", timeout=Micros(SECOND), default=True), step("b", "a"))
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
    assert saga.rejection(WaitDefaulted(saga.moment, B)) == Rejection(Refusal.NOT_OVER, B)
    assert saga.refusal(WaitDefaulted(saga.moment, A)) is Refusal.NOT_OVER
    both = started(Plan.of(wait("a", timeout=Micros(SECOND), default=True), step("b")), B)
    both.wait(SECOND)
    both.tell(CompensationRequested(both.moment))
    assert both.state.goal is Goal.ROLLBACK
    assert both.refusal(WaitDefaulted(both.moment, A)) is Refusal.NOT_OVER


def test_of_several_waits_that_are_over_the_first_is_named() -> None:
    saga = started(
        Plan.of(wait("a", timeout=Micros(SECOND)), wait("b", timeout=Micros(SECOND)), deadline=Micros(SECOND))
    )
    saga.wait(SECOND)
    assert saga.tick().timed_out == A
    assert saga.status is SagaStatus.COMPENSATED


# What a person does, and what else may happen to a saga that waits.


def test_a_wait_can_be_skipped_and_a_sleep_too() -> None:
    saga = waiting()
    saga.tell(StepSkipped(saga.moment, B, bound(C)))
    assert saga.kinds() == {"a": "Succeeded", "b": "Skipped", "c": "Running"}
    sleeper = started(Plan.of(sleep("a", timeout=Micros(SECOND))))
    sleeper.tell(StepSkipped(sleeper.moment, A))
    assert sleeper.of(A, Skipped).step == A
    assert sleeper.status is SagaStatus.COMPLETED


def test_a_wait_is_no_failure_that_could_be_retried() -> None:
    assert waiting().refusal(RetryRequested(Moment(0))) is Refusal.NOTHING_TO_RETRY


def test_a_wait_that_was_parked_begins_anew_when_it_is_retried() -> None:
    saga = waiting()
    saga.wait(SECOND)
    saga.tell(SagaParked(saga.moment, ParkReason.ROW_REJECTED))
    assert saga.of(B, Parked).why is ParkReason.ROW_REJECTED
    saga.receive("paid")
    assert len(saga.state.buffered) == 1
    saga.tell(RetryRequested(saga.moment))
    assert saga.kinds()[B] == "Succeeded", "what came meanwhile is taken"
    again = waiting()
    again.tell(SagaParked(again.moment, ParkReason.ROW_REJECTED))
    again.wait(SECOND)
    again.tell(RetryRequested(again.moment))
    assert again.of(B, Waiting).times_out_at == MINUTE + SECOND


def test_a_rollback_ends_every_wait() -> None:
    saga = waiting()
    saga.ask(CompensationRequested(saga.moment))
    assert saga.kinds() == {"a": "Undoing", "b": "FailedForGood"}
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
    saga = started(Plan.of(step("a"), wait("b"), sleep("c", timeout=Micros(SECOND))), A)
    saga.fail(A)
    assert saga.kinds() == {"a": "FailedForGood", "b": "FailedForGood", "c": "FailedForGood"}


def test_what_was_to_be_retried_is_bound_anew_beside_a_wait() -> None:
    saga = started(Plan.of(wait("a", correlated=True, timeout=Micros(SECOND)), step("b")), B)
    saga.tell(Ticked(saga.moment, (Unbindable(A),)))
    saga.tell(RetryRequested(saga.moment))
    assert saga.of(A, Retrying).wake == 0
    saga.tell(Ticked(saga.moment, bound(A)))
    assert saga.of(A, Waiting).correlation == b"input"


def test_a_claim_that_finds_nothing_due_changes_nothing() -> None:
    saga = waiting()
    before = saga.state
    moved = saga.tell(Resumed(saga.moment))
    assert (moved.state.steps, moved.writes) == (before.steps, (Release(Moment(MINUTE)),))


def test_more_is_taken_when_a_wait_has_begun_or_there_is_room_again() -> None:
    """An event for which there was no room stays where it is stored: this says when it is offered again."""
    plan = Plan.of(step("a"), wait("b", "a"), step("c", "b"), wait("d", "c", names=("other",)))
    saga = started(plan, A)
    void_soon = Moment(SECOND)
    for _ in range(BUFFER_LIMIT):
        saga.tell(EventReceived(Moment(0), "paid", expires=void_soon))
    full = saga.state
    assert not takes_more(full, full)
    assert takes_more(full, replace(full, at=void_soon)), "what is void takes no room"
    saga.succeed(A)
    assert isinstance(saga.of(B, Succeeded), Succeeded)
    assert takes_more(full, saga.state), "one was taken"
    begun = replace(full, steps=(*full.steps, Waiting(D)))
    assert takes_more(full, begun), "a wait takes what comes, whatever is kept for others"
    assert not takes_more(begun, begun)


def test_the_next_owner_has_more_to_read_behind_what_was_read_or_once_there_is_room() -> None:
    full = replace(waiting().state, buffered=tuple(Buffered(seq, "other") for seq in range(BUFFER_LIMIT)))
    room = replace(full, buffered=full.buffered[1:])
    assert has_more_to_read(None, full, more=True)
    assert not has_more_to_read(None, full, more=False)
    assert not has_more_to_read(full, full, more=True), "what stands behind an event without room waits with it"
    assert has_more_to_read(full, room, more=False)
    for then in (None, full):
        assert not has_more_to_read(then, replace(room, goal=Goal.COMPLETED), more=True), "an end reads nothing"


def test_the_answer_to_an_event_says_whether_a_wait_has_taken_it() -> None:
    event = EventReceived(Moment(1), "paid")
    kept = SagaState(plan=GUARDED.id, rev=4, at=Moment(1), buffered=(Buffered(4, "paid"),))
    assert answer_to(event, kept) is Answer.BUFFERED
    assert (
        answer_to(event, SagaState(plan=GUARDED.id, rev=5, at=Moment(1), buffered=(Buffered(4, "paid"),)))
        is Answer.ACCEPTED
    )
    assert answer_to(EventReceived(Moment(1)), kept) is Answer.APPLIED
    assert answer_to(RetryRequested(Moment(1)), kept) is Answer.APPLIED
