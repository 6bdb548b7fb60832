"""What an exploration takes for the same: all that cannot change a decision, and nothing else."""

from __future__ import annotations

import msgspec
import pytest

from saga_fn.core.effects import Transition
from saga_fn.core.events import Event, Resumed, StepSettled, Ticked
from saga_fn.core.explore.offers import events_for, events_of, variants
from saga_fn.core.explore.shapes import BEFORE, LATER, NOW, SAME, TOO_LATE, cut_plan, cut_schedule, steps_of
from saga_fn.core.explore.view import interchangeable, repeated_in, view_of
from saga_fn.core.ids import Digest, Micros, Moment, StepId
from saga_fn.core.plan import Plan
from saga_fn.core.retry import RetrySchedule
from saga_fn.core.state import (
    Attempts,
    Buffered,
    Doubt,
    FailedForGood,
    FannedOut,
    Goal,
    Parked,
    ParkReason,
    Probing,
    Retrying,
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
    Unfinished,
    Unknown,
    Waiting,
)
from tests.core.given import DIAMOND, SECOND, THREE, THRICE, A, B, C, D, sleep, step, wait

PAIR = Plan.of(step("a"), step("b"))
NINE = RetrySchedule(attempts=9, base=Micros(5 * SECOND), multiplier=2.0, cap=Micros(60 * SECOND), jitter=0.5)
AT = Moment(10)
PAIR_OF_ITEMS = (StepId("a[0]"), StepId("a[1]"))


def state(*steps: StepState, failed_takeovers: int = 0, isolated: bool = False) -> SagaState:
    return SagaState(7, AT, Goal.ROLLBACK, steps, (3, 5), 5, failed_takeovers, isolated, plan=THREE.id)


def view(*steps: StepState) -> tuple[StepState, ...]:
    return view_of(THREE, state(*steps), ()).steps


# Policies.


@pytest.mark.parametrize(
    "real, cut",
    [
        pytest.param(RetrySchedule(), RetrySchedule(), id="no retry"),
        pytest.param(RetrySchedule(attempts=2), RetrySchedule(attempts=2), id="at once"),
        pytest.param(RetrySchedule(attempts=4), RetrySchedule(attempts=3), id="attempts in the middle are one"),
        pytest.param(NINE, RetrySchedule(attempts=3, base=Micros(LATER)), id="any wait is a wait"),
        pytest.param(
            RetrySchedule(attempts=3, base=Micros(SECOND), cap=Micros(0)),
            RetrySchedule(attempts=3),
            id="a cap of nothing is at once",
        ),
        pytest.param(
            RetrySchedule(attempts=5),
            RetrySchedule(attempts=3, base=Micros(LATER), jitter=1.0),
            id="at once at first, then never",
        ),
        pytest.param(
            RetrySchedule(attempts=3, base=Micros(2), jitter=0.5),
            RetrySchedule(attempts=3, base=Micros(LATER)),
            id="never below one",
        ),
        pytest.param(
            RetrySchedule(attempts=3, base=Micros(1), jitter=0.5),
            RetrySchedule(attempts=3, base=Micros(LATER), jitter=1.0),
            id="jitter may take all of it",
        ),
        pytest.param(
            RetrySchedule(attempts=3, base=Micros(SECOND), multiplier=0.5),
            RetrySchedule(attempts=3, base=Micros(LATER), jitter=1.0),
            id="it may shrink to nothing",
        ),
        pytest.param(
            RetrySchedule(attempts=3, base=Micros(SECOND), jitter=1.0),
            RetrySchedule(attempts=3, base=Micros(LATER), jitter=1.0),
            id="jitter of all of it",
        ),
    ],
)
def test_a_policy_is_cut_to_what_can_lead_elsewhere(real: RetrySchedule, cut: RetrySchedule) -> None:
    assert cut_schedule(real) == cut


def test_a_plan_is_cut_in_its_policies_alone() -> None:
    plan = Plan.of(step("a", retry=NINE), step("b", "a", undo_retry=NINE), compensate_on_failure=False)
    cut = RetrySchedule(attempts=3, base=Micros(LATER))
    assert cut_plan(Plan.of(step("a"), cancel_siblings=True)).data.cancel_siblings
    assert cut_plan(plan) == Plan.of(step("a", retry=cut), step("b", "a", undo_retry=cut), compensate_on_failure=False)
    assert cut_plan(Plan.of(step("a", probe_retry=NINE))) == Plan.of(step("a", probe_retry=cut))


def test_a_budget_in_time_lasts_until_every_later_moment_but_the_last() -> None:
    within = cut_schedule(RetrySchedule(attempts=3, within=Micros(SECOND))).within
    assert (within, within + 1) == (LATER - BEFORE, TOO_LATE - BEFORE)


def test_a_fan_out_is_cut_to_what_two_items_can_show() -> None:
    plan = Plan.of(step("a", concurrency=9), step("b", "a"))
    assert cut_plan(plan) == Plan.of(step("a", concurrency=2), step("b", "a"))
    assert steps_of(plan) == ["a", *PAIR_OF_ITEMS, "b"]


# States.


def test_numbers_and_what_has_come_from_outside_do_not_count() -> None:
    assert view_of(THREE, state(), ()) == SagaState(0, NOW, Goal.ROLLBACK, plan=THREE.id)


@pytest.mark.parametrize("seq", [1, 9])
def test_a_result_is_a_result_whichever_entry_recorded_it(seq: int) -> None:
    assert view(Succeeded(A, seq), Skipped(B, seq), Undone(C, seq)) == (Succeeded(A, 0), Skipped(B, 0), Undone(C, 0))


def test_a_success_by_the_word_of_a_person_is_a_success() -> None:
    assert view(Settled(A, 9, Digest(b"x"))) == (Succeeded(A, 0),)


def test_one_step_that_was_passed_over_in_doubt_stands_for_all() -> None:
    lost, open_still = Skipped(A, 2, Doubt.OUTPUT_LOST), Skipped(B, 3, Doubt.MAY_HAVE_RUN)
    assert view(lost, open_still) == (Skipped(A, 0, Doubt.MAY_HAVE_RUN), Skipped(B, 0))
    assert view(Skipped(A, 2), open_still) == (Skipped(A, 0), Skipped(B, 0, Doubt.MAY_HAVE_RUN))


TRIED = Attempts(4, 2, Doubt.MAY_HAVE_RUN, Digest(b"x"), generation=3, events=1, may_run_until=Moment(11))
SEEN = Attempts(1, 2, Doubt.MAY_HAVE_RUN, SAME, may_run_until=LATER)
UNDO = msgspec.structs.replace(SEEN, digest=Digest(b""))
ASKED = msgspec.structs.replace(SEEN, probes=1)
AFRESH = msgspec.structs.replace(SEEN, failures=0)
ROW, INPUT = ParkReason.ROW_REJECTED, ParkReason.INPUT_CHANGED


@pytest.mark.parametrize(
    "real, seen",
    [
        (Running(A, TRIED), Running(A, SEEN)),
        (Unknown(A, TRIED, Moment(11), 2), Unknown(A, SEEN, LATER, 2)),
        (Unknown(A, TRIED, Moment(10)), Unknown(A, SEEN)),
        (Probing(A, msgspec.structs.replace(TRIED, probes=4), 2), Probing(A, ASKED, 2)),
        (FannedOut(A, 2, Digest(b"list"), 1, 3), FannedOut(A, 2, SAME)),
        (Retrying(A, TRIED, Moment(11)), Retrying(A, SEEN, LATER)),
        (Retrying(A, TRIED, Moment(10)), Retrying(A, SEEN, NOW)),
        (Undoing(A, 5, TRIED), Undoing(A, 0, UNDO)),
        (UndoRetrying(A, 5, TRIED, Moment(11)), UndoRetrying(A, 0, UNDO, LATER)),
        (UndoRetrying(A, 5, TRIED, Moment(10)), UndoRetrying(A, 0, UNDO, NOW)),
        # A person's verb begins a fresh count: the failures before it say nothing.
        (FailedForGood(A, TRIED), FailedForGood(A, AFRESH)),
        (UndoFailed(A, 5, TRIED), UndoFailed(A, 0, msgspec.structs.replace(UNDO, failures=0))),
        (Parked(A, TRIED, ParkReason.CRASH_LOOP), Parked(A, AFRESH, ROW)),
        (Parked(A, TRIED, INPUT), Parked(A, AFRESH, INPUT)),
        (
            UndoParked(A, 5, TRIED, ParkReason.CRASH_LOOP),
            UndoParked(A, 0, msgspec.structs.replace(UNDO, failures=0), ROW),
        ),
        (Running(A, Attempts(4, may_run_until=AT)), Running(A, Attempts(1))),
        (Waiting(A, None, SAME), Waiting(A, None, SAME)),
        (Waiting(A, Moment(11)), Waiting(A, LATER)),
        (Waiting(A, Moment(10)), Waiting(A, NOW)),
        (UndoWaiting(A, 5, TRIED, ("paid",), Moment(11), SAME), UndoWaiting(A, 0, UNDO, ("paid",), LATER, SAME)),
        (UndoWaiting(A, 5, TRIED, ("paid",)), UndoWaiting(A, 0, UNDO, ("paid",))),
        (Sleeping(A, Moment(11)), Sleeping(A, LATER)),
        (Sleeping(A, Moment(10)), Sleeping(A, NOW)),
    ],
)
def test_a_step_is_seen_with_what_it_may_still_decide(real: StepState, seen: StepState) -> None:
    assert view(real) == (seen,)


FORWARD = (Running(A, TRIED), Retrying(A, TRIED, AT), Unknown(A, TRIED), Probing(A, TRIED), FailedForGood(A, TRIED))
BACK = (
    Undoing(A, 5, TRIED),
    UndoRetrying(A, 5, TRIED, AT),
    UndoWaiting(A, 5, TRIED, ("paid",)),
    UndoParked(A, 5, TRIED, ROW),
    UndoFailed(A, 5, TRIED),
)
BUDGET = RetrySchedule(attempts=3, within=Micros(SECOND))


@pytest.mark.parametrize("budgeted", [FORWARD, BACK], ids=["forward", "back"])
def test_a_budget_in_time_has_begun_in_the_direction_that_has_one(budgeted: tuple[StepState, ...]) -> None:
    going, undoing = (BUDGET if steps is budgeted else None for steps in (FORWARD, BACK))
    plan = Plan.of(step("a", retry=going, undo_retry=undoing))
    for each in FORWARD + BACK:
        (seen,) = view_of(plan, state(each), ()).steps
        assert isinstance(seen, Unfinished | Undoing | UndoRetrying | UndoWaiting | UndoParked | UndoFailed)
        assert seen.attempts.first_attempt_at == (BEFORE if each in budgeted else NOW)


def test_a_budget_of_a_probe_has_begun_where_there_is_one() -> None:
    for plan, first_attempt_at in ((THREE, NOW), (Plan.of(step("a", probe_retry=BUDGET)), BEFORE)):
        for each in (Unknown(A, TRIED, first_attempt_at=AT), Probing(A, TRIED, first_attempt_at=AT)):
            (seen,) = view_of(plan, state(each), ()).steps
            assert isinstance(seen, Unknown | Probing)
            assert seen.first_attempt_at == first_attempt_at


def test_the_moments_of_the_saga_itself_have_come_or_not() -> None:
    live = msgspec.structs.replace(state(), begins_at=Moment(11), deadline=Moment(12))
    seen = view_of(THREE, live, ())
    assert (seen.begins_at, seen.deadline) == (LATER, LATER)
    over = view_of(THREE, msgspec.structs.replace(live, begins_at=AT, deadline=AT), ())
    assert (over.begins_at, over.deadline) == (NOW, NOW)
    assert view_of(THREE, state(), ()).deadline is None


def test_of_events_that_are_alike_no_more_count_than_there_are_waits_for_them() -> None:
    plan = Plan.of(wait("a"), wait("b", names=("paid", "sent")))
    paid, mine = Buffered(3, "paid"), Buffered(4, "paid", SAME)
    void, soon = Buffered(5, "sent", expires=AT), Buffered(6, "sent", expires=Moment(11))
    live = msgspec.structs.replace(state(), buffered=(paid, mine, paid, paid, void, soon, soon))
    seen = view_of(plan, live, ()).buffered
    assert seen == (
        Buffered(0, "paid"),
        Buffered(0, "paid", SAME),
        Buffered(0, "paid"),
        Buffered(0, "sent", expires=LATER),
    )


def test_each_item_of_a_fan_out_may_wait_for_an_event() -> None:
    plan = Plan.of(step("a", concurrency=1, undo_waits=("paid",)))
    live = msgspec.structs.replace(state(), buffered=(Buffered(3, "paid"),) * 3)
    assert view_of(plan, live, ()).buffered == (Buffered(0, "paid"),) * 2


def test_a_plan_is_cut_in_its_times_too() -> None:
    plan = Plan.of(
        wait("a", timeout=Micros(SECOND)), sleep("b", timeout=Micros(0)), sleep("c"), deadline=Micros(SECOND)
    )
    assert cut_plan(plan) == Plan.of(
        wait("a", timeout=Micros(LATER)), sleep("b", timeout=Micros(0)), sleep("c"), deadline=Micros(LATER)
    )


@pytest.mark.parametrize(
    "failed_takeovers, isolated, seen",
    [
        (0, False, (0, False)),
        (1, False, (0, False)),
        (2, False, (0, False)),
        (0, True, (0, False)),
        (1, True, (2, True)),
    ],
)
def test_of_crashes_only_the_last_that_is_granted_counts(
    failed_takeovers: int, isolated: bool, seen: tuple[int, bool]
) -> None:
    looked = view_of(THREE, state(Running(A, TRIED), failed_takeovers=failed_takeovers, isolated=isolated), ())
    assert (looked.failed_takeovers, looked.isolated) == seen


def test_while_nothing_runs_no_crash_is_counted_and_each_next_one_may_be_the_last() -> None:
    looked = view_of(THREE, state(failed_takeovers=1, isolated=True), ())
    assert (looked.failed_takeovers, looked.isolated) == (0, False)
    asleep = SagaState(7, AT, plan=THREE.id)
    offered = list(events_for({THREE.id: THREE}, {THREE.id: events_of(THREE)}, asleep))
    assert [event for _, each, event in offered if each.isolated] == [Resumed(NOW, takeover=True, isolated=True)]
    assert Resumed(NOW, takeover=True) not in [event for _, _, event in offered]


# What is said twice.


def test_that_an_execution_has_stopped_is_said_of_what_may_run_on_alone() -> None:
    def said(*steps: StepState) -> set[StepId]:
        found = SagaState(7, AT, Goal.FAILED, steps, plan=THREE.id)
        offered = events_for({THREE.id: THREE}, {THREE.id: events_of(THREE)}, found)
        return {event.step for _, _, event in offered if isinstance(event, StepSettled) and event.stopped}

    held = Attempts(1, may_run_until=Moment(AT + 1))
    assert said(FailedForGood(A, held), UndoFailed(B, 1, held), Undone(C, 1)) == {A, B}
    assert said(FailedForGood(A, Attempts(1))) == set()


def test_inputs_are_tried_once_with_each_outcome_of_a_kind_of_event() -> None:
    waiting, tried = SagaState(0, NOW, plan=THREE.id), set[tuple[type[Event], Transition]]()
    first = [event for event, _ in variants(THREE, waiting, Ticked(NOW), tried)]
    again = [event for event, _ in variants(THREE, waiting, Ticked(NOW), tried)]
    other = [event for event, _ in variants(THREE, waiting, Resumed(NOW), tried)]
    assert (len(first), again, len(other)) == (3, [Ticked(NOW)], 3)


def test_nothing_is_told_of_a_step_that_is_as_one_that_is_alike() -> None:
    whole = state(Running(A, TRIED), Running(B, TRIED))
    assert repeated_in(whole, ((A, B),)) == {B}
    assert repeated_in(state(Running(A, TRIED), Succeeded(B, 1)), ((A, B),)) == set()
    assert repeated_in(state(Running(A, TRIED)), ((A, B),)) == set()
    assert repeated_in(state(), ((A, B),)) == {B}
    both = SagaState(7, AT, steps=whole.steps, plan=PAIR.id)
    offered = list(events_for({PAIR.id: PAIR}, {PAIR.id: events_of(PAIR)}, both, frozenset({B})))
    assert {event.step for _, _, event in offered if isinstance(event, StepSettled)} == {A}


# Steps that are alike.


def test_steps_are_alike_that_differ_in_nothing_but_their_names() -> None:
    assert interchangeable(PAIR) == ((A, B),)
    assert interchangeable(DIAMOND) == ((B, C),)
    assert interchangeable(THREE) == ()
    for differs in (
        step("b", retry=THRICE),
        step("b", undo_retry=THRICE),
        step("b", undo=False),
        step("b", "a"),
        wait("b"),
        sleep("b"),
        step("b", undo_waits=("paid",)),
    ):
        assert interchangeable(Plan.of(step("a"), differs)) == ()
    assert interchangeable(Plan.of(step("a"), step("b"), step("c", "a"))) == ()


@pytest.mark.parametrize(
    "one, other",
    [
        (Succeeded(A, 0), FailedForGood(B, Attempts(1))),
        (Running(A, Attempts(1)), Running(B, Attempts(1, 1))),
        (Undone(A, 0), Succeeded(B, 0)),
    ],
)
def test_which_of_two_alike_steps_it_happened_to_makes_no_difference(one: StepState, other: StepState) -> None:
    swapped = (msgspec.structs.replace(other, step=A), msgspec.structs.replace(one, step=B))
    looked = view_of(PAIR, state(one, other), ((A, B),))
    assert looked == view_of(PAIR, state(*swapped), ((A, B),))
    assert [found.step for found in looked.steps] == [A, B]
    assert {type(found) for found in looked.steps} == {type(one), type(other)}


def test_the_items_of_a_fan_out_are_alike_and_stand_after_it() -> None:
    plan = Plan.of(step("a", concurrency=2), step("b"), step("c"))
    assert interchangeable(plan) == ((B, C), PAIR_OF_ITEMS)
    first, second = PAIR_OF_ITEMS
    whole = (FannedOut(A, 2, SAME), Running(first, TRIED), Succeeded(second, 3), Running(B, TRIED))
    other = (FannedOut(A, 2, SAME), Succeeded(first, 3), Running(second, TRIED), Running(C, TRIED))
    seen = view_of(plan, state(*whole), interchangeable(plan)).steps
    assert seen == view_of(plan, state(*other), interchangeable(plan)).steps
    assert [each.step for each in seen] == [A, first, second, B]


def test_the_first_of_alike_steps_stands_for_the_only_one_that_has_begun() -> None:
    assert view_of(PAIR, state(Succeeded(B, 0)), ((A, B),)).steps == (Succeeded(A, 0),)


def test_steps_that_are_not_alike_keep_their_own_states_and_the_plans_order() -> None:
    steps = (Succeeded(A, 0), FailedForGood(B, Attempts(1)), Succeeded(C, 0), Skipped(D, 0))
    looked = view_of(DIAMOND, state(*steps), ((B, C),)).steps
    assert [found.step for found in looked] == [A, B, C, D]
    assert (looked[0], looked[3]) == (steps[0], steps[3])
