"""Fan-outs: each item a step of its own, no more at once than declared, forward and back."""

from __future__ import annotations

import msgspec
import pytest

from saga_fn.core.effects import Refusal, RunCompensation, RunStep, Transition
from saga_fn.core.events import (
    Bound,
    BoundEach,
    Declined,
    EventReceived,
    FailureKind,
    HandedBack,
    PlanChanged,
    RetryRequested,
    SagaParked,
    Started,
    StepSkipped,
    StepSucceeded,
    Ticked,
)
from saga_fn.core.facts import owes_undo, ready
from saga_fn.core.fan_out import ITEM_LIMIT, place_of
from saga_fn.core.ids import Digest, Micros, Moment, StepId, item_of, number_of, owner_of
from saga_fn.core.leftovers import LeftOverKind, left_over
from saga_fn.core.plan import Plan
from saga_fn.core.projection import SagaStatus
from saga_fn.core.retry import RetrySchedule
from saga_fn.core.rules.waits import EVENT_LIMIT
from saga_fn.core.state import (
    Attempts,
    Doubt,
    FannedOut,
    Joined,
    Parked,
    ParkReason,
    Retrying,
    Running,
    SagaState,
    Skipped,
    Sleeping,
    UndoRetrying,
    Unknown,
    Waiting,
)
from tests.core.given import SECOND, THRICE, A, B, Saga, sequence, started, step

LIST = Digest(b"list")
FAN = Plan.of(step("a", concurrency=2), step("b", "a"))
ITEMS = [StepId(f"a[{number}]") for number in range(4)]


def each(items: int, *bound: int) -> tuple[BoundEach | Bound, ...]:
    return BoundEach(A, items, LIST), *(Bound(ITEMS[number], LIST) for number in bound)


def fanned(plan: Plan, items: int, *bound: int) -> Saga:
    saga = Saga(plan)
    saga.tell(Started(saga.moment, plan.id, each(items, *bound)))
    return saga


def succeed(saga: Saga, number: int, *then: int) -> Transition:
    item = ITEMS[number]
    bound = tuple(Bound(ITEMS[other], LIST) for other in then)
    return saga.tell(StepSucceeded(saga.moment, item, saga.of(item, Running).attempts.attempt, bound))


def test_the_name_of_an_item_says_whose_it_is() -> None:
    assert item_of(A, 7) == "a[7]"
    assert (owner_of(StepId("a[7]")), number_of(StepId("a[7]"))) == (A, 7)
    assert (owner_of(StepId("a[0][12]")), number_of(StepId("a[0][12]"))) == ("a[0]", 12)
    for name in ("a", "a[]", "a[07]", "a[7", "a[-1]", "a[1000]", ""):
        assert (owner_of(StepId(name)), number_of(StepId(name))) == (name, None)


def test_a_list_is_bound_first_and_then_as_many_items_as_may_run() -> None:
    saga = started(FAN)
    assert saga.tell(Ticked(saga.moment, each(3))).needs == (ITEMS[0], ITEMS[1])
    moved = saga.tell(Ticked(saga.moment, (Bound(ITEMS[0], LIST), Bound(ITEMS[1], LIST), Bound(ITEMS[2], LIST))))
    assert moved.actions == (RunStep(ITEMS[0], 1, 0), RunStep(ITEMS[1], 1, 0))
    assert moved.needs == ()


def test_the_next_item_starts_when_one_is_done_and_all_done_are_one_result() -> None:
    saga = fanned(FAN, 3, 0, 1)
    assert succeed(saga, 1).needs == (ITEMS[2],)
    saga.tell(Ticked(saga.moment, (Bound(ITEMS[2], LIST),)))
    succeed(saga, 0)
    assert succeed(saga, 2).needs == (B,)
    assert [type(found) for found in saga.state.steps][:1] == [Joined]
    assert [found.step for found in saga.state.steps] == [A, *ITEMS[:3]]


def test_what_is_ready_beside_a_fan_out_is_asked_for_too() -> None:
    saga = fanned(Plan.of(step("b"), step("a", concurrency=1)), 1)
    assert saga.tick().needs == (B, ITEMS[0])


def test_an_empty_list_is_done_at_once() -> None:
    saga = fanned(FAN, 0)
    assert saga.of(A, Joined) == Joined(A, 0)
    saga.tell(Ticked(saga.moment, (Bound(B, LIST),)))
    saga.succeed(B)
    assert saga.status is SagaStatus.COMPLETED


def test_a_saga_of_an_empty_list_alone_is_completed_by_its_start() -> None:
    assert fanned(Plan.of(step("a", concurrency=1)), 0).status is SagaStatus.COMPLETED


def test_an_item_has_attempts_of_its_own() -> None:
    saga = fanned(Plan.of(step("a", concurrency=2, retry=THRICE)), 2, 0, 1)
    saga.fail(ITEMS[0])
    assert (saga.of(ITEMS[0], Retrying).attempts.failures, saga.of(ITEMS[1], Running).attempts.failures) == (1, 0)
    succeed(saga, 1)
    saga.wait(SECOND)
    saga.tell(Ticked(saga.moment, (Bound(ITEMS[0], LIST),)))
    assert saga.of(ITEMS[0], Running).attempts.attempt == 2
    succeed(saga, 0)
    assert saga.status is SagaStatus.COMPLETED


def test_what_is_due_again_waits_for_a_place() -> None:
    saga = fanned(Plan.of(step("a", concurrency=1, retry=THRICE)), 2, 0)
    saga.fail(ITEMS[0])
    saga.tell(Ticked(saga.moment, (Bound(ITEMS[1], LIST),)))
    saga.wait(SECOND)
    assert saga.tell(Ticked(saga.moment)).needs == ()
    assert succeed(saga, 1).needs == (ITEMS[0],)


def test_the_failure_of_an_item_awaits_the_others_and_undoes_what_is_done() -> None:
    saga = fanned(FAN, 4, 0, 1)
    succeed(saga, 0, 2)
    succeed(saga, 2, 3)
    assert saga.fail(ITEMS[1]).actions == ()
    assert succeed(saga, 3).actions == (RunCompensation(ITEMS[0], 1, 2), RunCompensation(ITEMS[2], 1, 3))
    assert saga.undo(ITEMS[2]).actions == (RunCompensation(ITEMS[3], 1, 5),), "two at once, on the way back as well"
    saga.undo(ITEMS[0])
    saga.undo(ITEMS[3])
    assert saga.status is SagaStatus.COMPENSATED
    assert saga.of(A, FannedOut).items == 4


def test_it_is_undone_before_what_it_was_built_upon_and_after_what_was_built_upon_it() -> None:
    plan = Plan.of(step("z"), step("a", "z", concurrency=2), step("b", "a"), step("c", "b"))
    saga = started(plan, StepId("z"))
    saga.tell(StepSucceeded(saga.moment, StepId("z"), 1, each(2, 0, 1)))
    succeed(saga, 0)
    saga.tell(StepSucceeded(saga.moment, ITEMS[1], 1, (Bound(B, LIST),)))
    saga.succeed(B, StepId("c"))
    assert [action.step for action in saga.fail(StepId("c")).actions] == [B]
    assert [action.step for action in saga.undo(B).actions] == ITEMS[:2]
    assert saga.undo(ITEMS[1]).actions == ()
    assert [action.step for action in saga.undo(ITEMS[0]).actions] == ["z"]


def test_a_retried_compensation_waits_for_a_place_too() -> None:
    plan = Plan.of(step("a", concurrency=1, undo_retry=THRICE), step("b", "a"))
    saga = fanned(plan, 2, 0)
    succeed(saga, 0, 1)
    saga.tell(StepSucceeded(saga.moment, ITEMS[1], 1, (Bound(B, LIST),)))
    saga.fail(B)
    saga.fail_undo(ITEMS[0])
    assert saga.kinds()[ITEMS[1]] == "Undoing", "while the one waits the other is undone"
    saga.wait(SECOND)
    assert saga.tick().actions == ()
    assert saga.of(ITEMS[0], UndoRetrying).wake <= saga.moment
    assert saga.undo(ITEMS[1]).actions == (RunCompensation(ITEMS[0], 2, 2),)


def test_what_is_left_over_is_listed_item_by_item() -> None:
    saga = fanned(FAN, 2, 0, 1)
    succeed(saga, 0)
    saga.fail(ITEMS[1], FailureKind.UNKNOWN)
    saga.fail_undo(ITEMS[0])
    assert [(left.step_id, left.kind) for left in left_over(FAN, saga.state)] == [
        (ITEMS[0], LeftOverKind.UNDO_FAILED),
        (ITEMS[1], LeftOverKind.MAY_HAVE_RUN),
    ]


def test_a_takeover_leaves_what_is_done_and_repeats_what_ran() -> None:
    saga = fanned(FAN, 3, 0, 1)
    succeed(saga, 0)
    moved = saga.take_over()
    assert saga.of(ITEMS[1], Unknown).attempts.doubt is Doubt.MAY_HAVE_RUN
    assert moved.needs == (ITEMS[1], ITEMS[2])
    saga.tell(HandedBack(saga.moment))
    assert ready(FAN, saga.state)


def test_a_list_that_changed_parks_the_item_until_it_is_the_same_again() -> None:
    saga = fanned(FAN, 2, 0)
    saga.tell(Ticked(saga.moment, (Bound(ITEMS[1], Digest(b"other")),)))
    assert saga.of(ITEMS[1], Parked).why is ParkReason.INPUT_CHANGED
    saga.tell(RetryRequested(saga.moment))
    saga.tell(Ticked(saga.moment, (Bound(ITEMS[1], Digest(b"other")),)))
    assert saga.of(ITEMS[1], Parked).why is ParkReason.INPUT_CHANGED, "no person can mix two lists"
    saga.tell(RetryRequested(saga.moment))
    saga.tell(Ticked(saga.moment, (Bound(ITEMS[1], LIST),)))
    assert saga.of(ITEMS[1], Running).attempts.generation == 0, "under the same idempotency key"


def test_what_comes_from_outside_later_does_not_change_the_list() -> None:
    saga = started(FAN)
    saga.tell(EventReceived(saga.moment))
    saga.tell(Ticked(saga.moment, each(2, 0)))
    saga.tell(EventReceived(saga.moment))
    assert (saga.of(A, FannedOut).events, saga.of(A, FannedOut).latest_event_seq) == (1, 2)


def test_an_item_that_has_seen_the_latest_event_waits_for_its_next_attempt_like_any_step() -> None:
    saga = started(Plan.of(step("a", concurrency=2, retry=THRICE)))
    saga.tell(EventReceived(saga.moment))
    saga.tell(Ticked(saga.moment, each(2, 0)))
    saga.fail(ITEMS[0])
    assert saga.of(ITEMS[0], Retrying).wake == SECOND


@pytest.mark.parametrize("items", [ITEM_LIMIT + 1, -1])
def test_a_list_that_is_none_or_too_long_parks_the_step(items: int) -> None:
    saga = fanned(FAN, items)
    assert saga.of(A, Parked).why is ParkReason.INPUT_FAILED
    saga.tell(RetryRequested(saga.moment))
    assert saga.tell(Ticked(saga.moment, each(ITEM_LIMIT))).needs == (ITEMS[0], ITEMS[1])


def test_all_lists_of_a_saga_together_have_a_limit() -> None:
    saga = Saga(Plan.of(step("a", concurrency=1), step("b", concurrency=1)))
    lists = (BoundEach(A, 150, LIST), BoundEach(B, 51, LIST))
    saga.tell(Started(saga.moment, saga.plan.id, lists))
    assert saga.of(B, Parked).why is ParkReason.INPUT_FAILED
    saga.tell(RetryRequested(saga.moment))
    saga.tell(Ticked(saga.moment, (BoundEach(B, 50, LIST),)))
    assert saga.of(B, FannedOut).items == 50


def test_only_a_list_fans_out_and_only_a_fan_out_takes_a_list() -> None:
    saga = started(FAN)
    saga.tell(Ticked(saga.moment, (Bound(A, LIST),)))
    assert saga.of(A, Parked) == Parked(A, Attempts(), ParkReason.INPUT_FAILED)
    plain = started(sequence("a"))
    plain.tell(Ticked(plain.moment, (BoundEach(A, 1, LIST),)))
    assert plain.of(A, Parked).why is ParkReason.INPUT_FAILED
    items = fanned(FAN, 2)
    items.tell(Ticked(items.moment, (BoundEach(ITEMS[0], 1, LIST), Bound(ITEMS[1], LIST))))
    assert items.of(ITEMS[0], Parked).why is ParkReason.INPUT_FAILED
    assert items.kinds()[ITEMS[1]] == "Running"


def test_an_item_is_not_declined() -> None:
    saga = fanned(Plan.of(step("a", concurrency=2, when=True)), 1)
    saga.tell(Ticked(saga.moment, (Declined(ITEMS[0]),)))
    assert saga.of(ITEMS[0], Parked) == Parked(ITEMS[0], Attempts(), ParkReason.INPUT_FAILED)


def test_a_person_passes_over_one_item_or_the_whole_before_it_has_begun() -> None:
    saga = fanned(FAN, 3, 0, 1)
    assert saga.refusal(StepSkipped(saga.moment, ITEMS[2])) is Refusal.NOT_BEGUN
    saga.tell(StepSkipped(saga.moment, ITEMS[2], not_begun=True))
    assert saga.refusal(StepSkipped(saga.moment, A)) is Refusal.NOT_WAITING
    assert saga.refusal(StepSkipped(saga.moment, ITEMS[3])) is Refusal.NOT_WAITING
    succeed(saga, 0)
    assert succeed(saga, 1).needs == (B,)
    whole = started(FAN)
    whole.tell(StepSkipped(whole.moment, A, not_begun=True))
    whole.of(A, Skipped)
    assert whole.refusal(StepSucceeded(whole.moment, ITEMS[0], 1)) is Refusal.LATE


def test_what_is_parked_as_a_whole_is_parked_item_by_item_and_goes_on() -> None:
    saga = fanned(FAN, 3, 0, 1)
    saga.tell(SagaParked(saga.moment, ParkReason.ROW_REJECTED))
    assert [type(found) for found in saga.state.steps] == [FannedOut, Parked, Parked, Parked]
    moved = saga.tell(RetryRequested(saga.moment))
    assert moved.needs == (ITEMS[0], ITEMS[1])


def test_an_aborted_fan_out_goes_on_where_it_was() -> None:
    saga = fanned(FAN, 3, 0, 1)
    succeed(saga, 0)
    saga.abort()
    assert set(saga.leftovers) == {ITEMS[0], ITEMS[1]}
    assert saga.tell(RetryRequested(saga.moment)).needs == (ITEMS[1], ITEMS[2])


@pytest.mark.parametrize(
    "other, fits",
    [
        (Plan.of(step("a", concurrency=1), step("b", "a")), True),
        (sequence("ab"), False),
        (sequence("b"), False),
        (Plan.of(step("x"), step("a", "x", concurrency=2), step("b", "a")), False),
    ],
    ids=["narrower", "plain", "gone", "another before it"],
)
def test_a_changed_plan_has_to_know_its_items(other: Plan, *, fits: bool) -> None:
    saga = fanned(FAN, 2, 0, 1)
    saga.plan = other
    if fits:
        saga.tell(PlanChanged(saga.moment, other.id))
        assert succeed(saga, 0).needs == ()
    else:
        assert saga.refusal(PlanChanged(saga.moment, other.id)) is Refusal.PLAN_MISMATCH


def test_what_has_been_done_as_a_whole_does_not_fan_out_afterwards() -> None:
    for saga in (started(sequence("ab"), A), started(sequence("ab", retry=THRICE), A), started(sequence("ab"), A)):
        if saga.plan.step(A).retry == THRICE:
            saga.fail(A)
        saga.plan = FAN
        assert saga.refusal(PlanChanged(saga.moment, FAN.id)) is Refusal.PLAN_MISMATCH
    untouched = started(sequence("ab"))
    untouched.tell(SagaParked(untouched.moment, ParkReason.ROW_REJECTED))
    untouched.plan = FAN
    untouched.tell(PlanChanged(untouched.moment, FAN.id))


def test_past_the_pivot_an_item_that_fails_waits_for_a_person() -> None:
    plan = Plan.of(step("z", undo=False, pivot=True), step("a", "z", concurrency=2, undo=False))
    saga = started(plan, StepId("z"))
    saga.tell(StepSucceeded(saga.moment, StepId("z"), 1, each(1, 0)))
    saga.fail(ITEMS[0])
    assert saga.of(ITEMS[0], Parked).why is ParkReason.PAST_PIVOT


def test_an_unknown_item_is_no_step_of_the_plan() -> None:
    assert StepId("a[1]") in FAN
    assert StepId("b[1]") not in FAN
    with pytest.raises(KeyError):
        FAN.step(StepId("b[1]"))


def test_the_largest_saga_stays_small() -> None:
    """200 items with names as long as they may be, all waiting for another try, and the most events."""
    long = StepId("s" * 32)
    plan = Plan.of(step(long, concurrency=200, retry=RetrySchedule(attempts=1000, base=Micros(SECOND))))
    year = Moment(1_800_000_000_000_000)
    attempts = Attempts(attempt=120, failures=120, doubt=Doubt.MAY_HAVE_RUN, events=EVENT_LIMIT)
    steps = tuple(Retrying(item_of(long, number), attempts, year) for number in range(ITEM_LIMIT))
    state = SagaState(
        9000,
        year,
        plan=plan.id,
        steps=(FannedOut(long, ITEM_LIMIT, Digest(b"12345678")), *steps),
        events=tuple(range(200)),
    )
    assert len(msgspec.msgpack.encode(state)) < 16 * 1024


def test_the_budget_in_time_of_an_item_begins_with_its_first_attempt() -> None:
    within = RetrySchedule(attempts=9, base=Micros(SECOND), within=Micros(3 * SECOND))
    saga = Saga(Plan.of(step("a", concurrency=1, retry=within)))
    saga.wait(SECOND)
    saga.tell(Started(saga.moment, saga.plan.id, each(2, 0)))
    assert saga.of(ITEMS[0], Running).attempts.first_attempt_at == saga.moment
    saga.wait(2 * SECOND)
    moved = succeed(saga, 0, 1)
    assert moved.actions == (RunStep(ITEMS[1], 1, 0),)
    assert saga.of(ITEMS[1], Running).attempts.first_attempt_at == saga.moment, "not with that of the item before it"


def test_nothing_but_what_has_run_is_owed_an_undo() -> None:
    plan = Plan.of(step("a", concurrency=1), step("b", "a"))
    for idle in (FannedOut(A, 1, LIST), Joined(A, 1), Waiting(B), Sleeping(B, Moment(0))):
        assert not owes_undo(plan, idle)


@pytest.mark.parametrize("begun", [(0, 1, 2, 3), (0, 2, 3), (1, 3), (2,), ()])
@pytest.mark.parametrize("beside", [(), (B,)], ids=["alone", "before another step"])
def test_an_item_is_found_among_those_that_have_begun(begun: tuple[int, ...], beside: tuple[StepId, ...]) -> None:
    names = [A, *(ITEMS[number] for number in begun), *beside]
    steps = [Sleeping(name, Moment(1)) for name in names]
    for name in (A, B, *ITEMS):
        assert place_of(steps, name) == (names.index(name) if name in names else None)
