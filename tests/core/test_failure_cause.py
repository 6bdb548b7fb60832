"""Which failure made a saga turn back."""

from __future__ import annotations

from saga_fn.core.events import (
    AbortRequested,
    CompensationFailed,
    CompensationRequested,
    Event,
    ProbeFailed,
    RetryRequested,
    StepFailed,
    StepSucceeded,
    Ticked,
)
from saga_fn.core.failure_cause import Cause, Told, cause_after, gives_up
from saga_fn.core.ids import Moment, PlanId
from saga_fn.core.state import Attempts, Goal, Retrying, Running, SagaState, StepState, Succeeded
from tests.core.given import A, B

AT = Moment(1)
PLAN = PlanId("plan")


def saga(rev: int, *steps: StepState, goal: Goal = Goal.FORWARD) -> SagaState:
    return SagaState(plan=PLAN, rev=rev, at=AT, goal=goal, steps=steps)


FAILED_A = StepFailed(AT, A, 1)
RUNNING = saga(2, Running(A, Attempts(attempt=1)))
RETRYING = saga(3, Retrying(A, Attempts(attempt=1, failures=1), AT))
TURNED = saga(3, goal=Goal.ROLLBACK)
OF_A = Cause(3, A, A)


def after(
    cause: Cause | None, before: SagaState | None, event: Event, then: SagaState, told: Told | None = None
) -> Cause | None:
    return cause_after(cause, before, event, then, told)


def test_a_failed_step_is_the_cause() -> None:
    assert after(None, RUNNING, FAILED_A, RETRYING, Told(A)) == OF_A
    assert after(OF_A, RETRYING, Ticked(AT), saga(4, Running(A, Attempts(attempt=2, failures=1)))) == OF_A


def test_the_last_failure_before_the_turn_counts_and_none_after_it() -> None:
    later = after(OF_A, RETRYING, StepFailed(AT, B, 1), saga(5, goal=Goal.ROLLBACK), Told(B))
    assert later == Cause(5, B, B)
    assert after(OF_A, TURNED, CompensationFailed(AT, B, 1), saga(4, goal=Goal.ROLLBACK), Told(B)) == OF_A


def test_a_failure_is_of_the_past_when_its_step_is_done_on_the_way_forward() -> None:
    assert after(OF_A, RETRYING, StepSucceeded(AT, A, 2), saga(5, Succeeded(A, 5))) is None
    assert after(OF_A, RETRYING, StepSucceeded(AT, A, 2), saga(5, Succeeded(A, 5), goal=Goal.COMPLETED)) is None
    assert after(OF_A, RETRYING, StepSucceeded(AT, A, 2), saga(5, Succeeded(A, 5), goal=Goal.ROLLBACK)) == OF_A


def test_a_failure_of_no_step_is_past_when_an_operator_says_go_on() -> None:
    unnamed = after(None, None, Ticked(AT), saga(3), Told())
    assert unnamed == Cause(3, None, None)
    assert after(unnamed, saga(3), Ticked(AT), saga(4)) == unnamed
    assert after(unnamed, saga(3), RetryRequested(AT), saga(4)) is None


def test_a_wait_whose_time_was_over_failed_itself() -> None:
    assert after(None, RUNNING, Ticked(AT), TURNED, Told(B, timed_out=True)) == Cause(3, B, B)


def test_a_probe_that_failed_is_no_cause() -> None:
    assert after(None, RUNNING, ProbeFailed(AT, A, 1), RUNNING, Told(A)) is None


def test_of_a_saga_that_an_operator_turned_back_the_first_failed_compensation_is_told() -> None:
    told = after(None, TURNED, CompensationFailed(AT, B, 1), saga(4, goal=Goal.ROLLBACK), Told(B))
    assert told == Cause(4, B, None)


def test_an_event_gives_a_saga_up_that_turns_it_back_or_ends_it_as_it_was() -> None:
    ended, aborted = saga(4, goal=Goal.COMPENSATED), saga(4, goal=Goal.FAILED)
    assert gives_up(RETRYING, CompensationRequested(AT), TURNED)
    assert gives_up(RUNNING, FAILED_A, saga(3, goal=Goal.HALT))
    assert gives_up(RETRYING, AbortRequested(AT, AT), aborted)
    assert gives_up(TURNED, AbortRequested(AT, AT), aborted), "it is no longer rolled back"
    assert gives_up(None, Ticked(AT), ended), "its deadline was over at its start"
    assert not gives_up(TURNED, Ticked(AT), ended), "it had turned back before"
    assert not gives_up(aborted, CompensationRequested(AT), TURNED), "it had been given up before"
    assert not gives_up(RUNNING, FAILED_A, RETRYING)
    assert not gives_up(RUNNING, StepSucceeded(AT, A, 1), saga(3, Succeeded(A, 3), goal=Goal.COMPLETED))
