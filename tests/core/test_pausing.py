"""A pause of one saga: nothing of it begins and no moment comes, until a person resumes it; its moments may be moved then."""

from __future__ import annotations

import msgspec
import pytest
from returns.result import Success

from saga_fn.core.effects import Refusal, Release, RunCompensation, RunStep
from saga_fn.core.events import (
    AbortRequested,
    CompensationRequested,
    EventReceived,
    HandedBack,
    MomentsMoved,
    Paused,
    PauseRequested,
    PlanChanged,
    Rescheduled,
    Resumed,
    ResumeRequested,
    SagaParked,
    Started,
    StepSucceeded,
    WaitDefaulted,
)
from saga_fn.core.facts import due, has_work, ready, wakes_at
from saga_fn.core.flaws import LAST_MOMENT
from saga_fn.core.ids import Micros, Moment
from saga_fn.core.owning import wakes_owner
from saga_fn.core.plan import OnUnknown, Plan
from saga_fn.core.projection import SagaStatus, WaitReason
from saga_fn.core.state import (
    Attempts,
    Goal,
    Parked,
    ParkReason,
    PauseState,
    Probing,
    Retrying,
    Running,
    SagaState,
    Sleeping,
    StepState,
    Succeeded,
    Undoing,
    UndoRetrying,
    UndoWaiting,
    Unknown,
    Waiting,
)
from saga_fn.core.transition import transition
from tests.core.given import MINUTE, ONE, SECOND, THREE, THRICE, A, B, Saga, bound, sequence, sleep, started, step, wait

PAUSE = PauseRequested(Moment(0))
SLEEPS = Plan.of(sleep("a", timeout=Micros(9 * SECOND)), step("b", "a"))


def resume(at: int = 0, *, extend: bool = False) -> ResumeRequested:
    return ResumeRequested(Moment(at), extend=extend)


def test_what_runs_comes_to_its_end_and_nothing_follows_before_a_person_resumes_it() -> None:
    saga = started(THREE, A)
    assert saga.tell(PAUSE).writes == ()
    moved = saga.tell(StepSucceeded(Moment(SECOND), A, 1, bound(B)))
    assert (moved.actions, moved.needs, moved.writes) == ((), (), (Release(None),))
    assert saga.resume(B).writes == (Release(None),)  # a claim does not end it
    assert saga.take_over(B).actions == ()
    assert (saga.status, saga.row.waits, saga.row.due) == (SagaStatus.SUSPENDED, WaitReason.PAUSED, None)
    assert saga.tell(resume(SECOND)).writes == (Release(saga.state.at),)
    assert saga.resume(B).actions != ()


def test_an_owner_that_still_runs_a_step_goes_on_at_once_when_the_saga_is_resumed() -> None:
    plan = Plan.of(step("a"), step("b"))
    saga = started(plan, A)
    saga.tell(PAUSE)
    assert saga.tell(resume()).needs == (B,)


def test_a_saga_that_is_paused_by_its_name_as_well_waits_for_the_next_claim() -> None:
    saga = started(Plan.of(step("a"), step("b")), A)
    saga.tell(PAUSE)
    saga.tell(Paused(Moment(0)))
    assert saga.tell(resume()).needs == ()
    assert saga.state.pause == PauseState(of_name=True)
    saga.succeed(A)
    assert saga.resume(B).actions != ()
    assert saga.state.pause is None


def test_a_second_pause_and_a_second_resume_are_refused() -> None:
    saga = started(ONE, A)
    assert saga.refusal(resume()) is Refusal.NOT_PAUSED
    saga.tell(PAUSE)
    assert saga.refusal(PAUSE) is Refusal.ALREADY_PAUSED
    saga.tell(resume())
    assert saga.refusal(resume()) is Refusal.NOT_PAUSED
    saga.tell(Paused(Moment(0)))
    assert saga.refusal(resume()) is Refusal.NOT_PAUSED


def test_a_pause_is_no_progress() -> None:
    saga = started(THREE, A)
    saga.take_over(A, isolated=True)
    saga.tell(PAUSE)
    assert (saga.state.failed_takeovers, saga.state.isolated) == (1, True)
    saga.tell(resume())
    assert (saga.state.failed_takeovers, saga.state.isolated) == (1, True)


def test_no_timer_fires_and_none_wakes_anybody() -> None:
    saga = started(SLEEPS)
    saga.tell(PAUSE)
    assert (due(SLEEPS, saga.state), wakes_at(saga.state), wakes_owner(SLEEPS, saga.state)) == (None, None, None)
    assert due(SLEEPS, saga.state, unread=True) == saga.state.at
    saga.wait(MINUTE)
    saga.tick()
    saga.of(A, Sleeping)
    assert not ready(SLEEPS, saga.state)
    saga.tell(resume(MINUTE))
    assert due(SLEEPS, saga.state) == 9 * SECOND
    saga.resume(B)
    saga.of(A, Succeeded)


def test_a_wait_that_is_over_takes_an_event_and_no_default() -> None:
    plan = Plan.of(wait("a", timeout=Micros(SECOND), default=True), step("b", "a"))
    saga = started(plan)
    saga.tell(PAUSE)
    saga.wait(MINUTE)
    assert saga.tick().defaults == ()
    assert saga.refusal(WaitDefaulted(saga.state.at, A)) is Refusal.NOT_OVER
    saga.tell(EventReceived(saga.state.at, "paid"))
    saga.of(A, Succeeded)


def test_a_wait_that_follows_begins_after_the_pause() -> None:
    plan = Plan.of(step("a"), wait("b", "a", timeout=Micros(SECOND)))
    saga = started(plan, A)
    saga.tell(PAUSE)
    saga.succeed(A)
    assert [each.step for each in saga.state.steps] == [A]
    saga.tell(EventReceived(Moment(0), "paid"))
    saga.tell(resume(MINUTE))
    assert saga.of(B, Succeeded).seq == saga.state.rev - 1


def test_a_saga_that_was_cancelled_is_undone_after_the_pause() -> None:
    saga = started(THREE, A)
    saga.succeed(A)
    saga.tell(PAUSE)
    assert saga.tell(CompensationRequested(Moment(0))).actions == ()
    assert (saga.status, saga.row.waits, saga.row.due) == (SagaStatus.SUSPENDED, WaitReason.PAUSED, None)
    saga.tell(resume())
    assert [type(action) for action in saga.resume().actions] == [RunCompensation]


def test_one_that_has_done_nothing_ends_by_a_cancel_and_any_by_an_abort() -> None:
    clean = started(THREE)
    clean.tell(PAUSE)
    clean.tell(CompensationRequested(Moment(0)))
    assert clean.status is SagaStatus.COMPENSATED
    saga = started(THREE, A)
    saga.tell(PAUSE)
    saga.tell(AbortRequested(Moment(0), Moment(SECOND)))
    assert saga.status is SagaStatus.FAILED
    assert saga.refusal(PAUSE) is saga.refusal(resume()) is Refusal.FINISHED


def test_a_parked_step_is_told_beside_the_pause_and_messages_are_read() -> None:
    saga = started(Plan.of(step("a", on_unknown=OnUnknown.PARK), wait("b")), A)
    saga.tell(PAUSE)
    saga.tell(HandedBack(Moment(0)))
    saga.resume()
    saga.of(A, Parked)
    assert saga.row.waits == WaitReason.PAUSED | WaitReason.PARKED
    assert saga.row.wakes_on_message
    saga.tell(resume())
    assert saga.row.waits == WaitReason.PARKED | WaitReason.EVENT


def test_a_saga_that_has_not_begun_is_not_shown_as_running() -> None:
    saga = started(THREE)
    assert saga.status is SagaStatus.RUNNING
    saga.tell(PAUSE)
    assert (saga.status, saga.row.due) == (SagaStatus.SUSPENDED, None)
    assert has_work(THREE, saga.state)


def test_a_moment_is_moved_by_the_length_of_the_pause_once() -> None:
    saga = started(SLEEPS)
    saga.tell(PauseRequested(Moment(2 * SECOND)))
    saga.tell(resume(6 * SECOND, extend=True))
    assert saga.of(A, Sleeping).wake == 13 * SECOND
    assert saga.state.pause == PauseState(moved=((Moment(2 * SECOND), Moment(6 * SECOND)),))
    same = MomentsMoved(Moment(7 * SECOND), Moment(2 * SECOND), Moment(6 * SECOND))
    assert saga.refusal(same) is Refusal.NOTHING_TO_MOVE
    saga.resume()
    assert saga.of(A, Sleeping).wake == 13 * SECOND


@pytest.mark.parametrize(
    "told, wake",
    [
        ([(0, 8), (5, 10)], 19),  # the name was resumed first
        ([(5, 8), (0, 10)], 19),  # everything was
        ([(5, 8), (5, 8)], 12),
        ([(5, 8), (6, 7)], 12),
        ([(2, 4), (6, 8)], 13),
        ([(6, 8), (2, 4)], 13),
        ([(4, 99)], 15),  # no later than now
        ([(0, 2), (4, 5), (1, 8)], 17),  # the last one takes in both
        ([(7, 8), (2, 4), (1, 9)], 17),
    ],
)
def test_two_pauses_that_overlap_move_it_by_the_time_that_they_take_together(
    told: list[tuple[int, int]], wake: int
) -> None:
    saga = started(SLEEPS)
    for since, until in told:
        moved = MomentsMoved(Moment(10 * SECOND), Moment(since * SECOND), Moment(until * SECOND))
        if isinstance(decision := transition(SLEEPS, saga.state, moved), Success):
            saga.tell(moved)
        else:
            assert decision.failure().refusal is Refusal.NOTHING_TO_MOVE
    assert saga.of(A, Sleeping).wake == wake * SECOND


def test_a_delayed_saga_that_was_parked_in_a_pause_has_begun_and_its_beginning_is_moved_no_more() -> None:
    plan = Plan.of(step("a"))
    saga = Saga(plan)
    saga.tell(Started(Moment(0), plan.id, delay=Micros(5 * SECOND)))
    saga.tell(PauseRequested(Moment(SECOND)))
    saga.tell(Resumed(Moment(9 * SECOND)))
    saga.tell(SagaParked(Moment(9 * SECOND), ParkReason.PLAN_CHANGED))
    saga.tell(PlanChanged(Moment(9 * SECOND), plan.id))
    saga.tell(ResumeRequested(Moment(20 * SECOND), extend=True))
    moved = saga.tell(Resumed(Moment(20 * SECOND), inputs=bound(A)))
    assert moved.actions == (RunStep(A, 1, 0),)


def test_a_delayed_start_and_its_deadline_are_moved_and_what_has_come_is_not() -> None:
    plan = Plan.of(step("a"), deadline=Micros(MINUTE))
    saga = Saga(plan)
    saga.tell(Started(Moment(0), plan.id, delay=Micros(5 * SECOND)))
    saga.tell(PauseRequested(Moment(SECOND)))
    saga.tell(resume(9 * SECOND, extend=True))
    assert (saga.state.begins_at, saga.state.deadline) == (13 * SECOND, MINUTE + 13 * SECOND)
    saga.tell(Rescheduled(saga.state.at, saga.state.at))
    late = saga.state.deadline
    assert saga.refusal(MomentsMoved(Moment(3 * MINUTE), Moment(2 * MINUTE), Moment(3 * MINUTE))) is (
        Refusal.NOTHING_TO_MOVE
    )
    assert saga.state.deadline == late


BUDGET = Attempts(1, 1, first_attempt_at=Moment(1), doubted=Moment(2))
MOVED = Attempts(1, 1, first_attempt_at=Moment(11), doubted=Moment(12))
STEPS: list[tuple[StepState, StepState]] = [
    (Sleeping(A, Moment(30)), Sleeping(A, Moment(40))),
    (Sleeping(A, Moment(20)), Sleeping(A, Moment(20))),
    (Waiting(A, Moment(30)), Waiting(A, Moment(40))),
    (Waiting(A, None), Waiting(A, None)),
    (Retrying(A, BUDGET, Moment(30)), Retrying(A, MOVED, Moment(40))),
    (Running(A, BUDGET), Running(A, MOVED)),
    (Unknown(A, BUDGET, Moment(30), 1, Moment(3)), Unknown(A, MOVED, Moment(40), 1, Moment(13))),
    (Probing(A, BUDGET, 1, Moment(3)), Probing(A, MOVED, 1, Moment(13))),
    (Undoing(A, 1, BUDGET), Undoing(A, 1, MOVED)),
    (UndoRetrying(A, 1, BUDGET, Moment(30)), UndoRetrying(A, 1, MOVED, Moment(40))),
    (
        UndoWaiting(A, 1, Attempts(), ("paid",), Moment(30)),
        UndoWaiting(A, 1, Attempts(), ("paid",), Moment(40)),
    ),
    (
        Parked(A, Attempts(), ParkReason.PLAN_CHANGED, Sleeping(A, Moment(30))),
        Parked(A, Attempts(), ParkReason.PLAN_CHANGED, Sleeping(A, Moment(40))),
    ),
    (
        Parked(A, Attempts(), ParkReason.PLAN_CHANGED, Waiting(A, Moment(30))),
        Parked(A, Attempts(), ParkReason.PLAN_CHANGED, Waiting(A, Moment(40))),
    ),
    (Succeeded(A, 1), Succeeded(A, 1)),
    (Sleeping(A, LAST_MOMENT), Sleeping(A, LAST_MOMENT)),
]


@pytest.mark.parametrize("was, now", STEPS)
def test_each_moment_of_a_step_is_moved_and_the_time_that_attempts_have_goes_on_where_it_stood(
    was: StepState, now: StepState
) -> None:
    backward = isinstance(was, Undoing | UndoRetrying | UndoWaiting)
    plan = Plan.of(step("a", undo_waits=("paid",), undo_retry=THRICE), sleep("b", timeout=Micros(50)))
    other = Succeeded(B, 1) if backward else Sleeping(B, Moment(90))
    goal = Goal.ROLLBACK if backward else Goal.FORWARD
    before = SagaState(plan=plan.id, rev=5, at=Moment(20), goal=goal, steps=(was, other))
    paused = msgspec.structs.replace(before, pause=PauseState(of_name=True))  # so that nothing begins
    decision = transition(plan, paused, MomentsMoved(Moment(30), Moment(20), Moment(30)))
    if was == now and backward:
        return
    assert decision.unwrap().state.steps[0] == now


def test_nothing_is_moved_of_a_saga_that_waits_for_no_moment() -> None:
    saga = started(sequence("ab"), A)
    assert saga.refusal(MomentsMoved(Moment(9), Moment(-1), Moment(9))) is Refusal.NOTHING_TO_MOVE, "0 is no moment"
    assert saga.refusal(MomentsMoved(Moment(9), Moment(1), Moment(9))) is Refusal.NOTHING_TO_MOVE
    assert isinstance(saga.state.steps[0], Running)
    assert saga.tell(PAUSE).actions == ()
    assert saga.tell(resume(9, extend=True)).actions == ()
    assert saga.state.pause is None
