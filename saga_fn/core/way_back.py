"""The ways of a chain of steps that fails, in short: what `transition` answers when a step has failed, and on the way back.

As with the straight way (`chain.py`) these functions give exactly what the general rules would, or None where they do
not know. They know no doubt, no pivot, no wait and no budget in time: the general rules answer for all of those.
"""

from __future__ import annotations

from typing import Final

from saga_fn.core.ahead import GIVEN_UP
from saga_fn.core.chain import last_running
from saga_fn.core.effects import Release, RunCompensation, RunStep, Transition
from saga_fn.core.events import CompensationSucceeded, FailureKind, StepFailed
from saga_fn.core.ids import Moment
from saga_fn.core.plan import Plan, PlannedStep
from saga_fn.core.retry import JOURNAL_LIMIT
from saga_fn.core.rules.attempts import failed, next_attempt
from saga_fn.core.state import (
    Attempts,
    FailedForGood,
    Goal,
    NotTaken,
    Retrying,
    Running,
    SagaState,
    Skipped,
    StepState,
    Succeeded,
    Undoing,
    Undone,
)

_AT_REST: Final = frozenset({Succeeded, Skipped, NotTaken, Undone})


def after_failure(plan: Plan, state: SagaState, event: StepFailed) -> Transition | None:
    """The failure of the one step that runs: it is tried again, or the last of what was done is undone, or the saga ends."""
    last = last_running(plan, state, event.step)
    if last is None or last.attempts.attempt != event.attempt or not _is_plain(plan):
        return None
    attempts, at = failed(last.attempts), Moment(max(state.at, event.at))
    if attempts.doubt or attempts.may_run_until > at:
        return None
    planned = plan.step(event.step)
    if event.kind is FailureKind.ERROR:
        pause = planned.retry.delay_after(attempts.failures, jitter_draw=event.jitter_draw, wish=event.after)
        if pause is not None:
            return _again(state, at, planned, attempts, pause)
        if event.after is not None and not planned.own_retry:
            return None  # a step that only asks to be tried again later has a budget of its own, without a policy
    elif event.kind is not FailureKind.FATAL and event.kind is not FailureKind.BUSINESS_ERROR:
        return None
    return _undo_next(plan, state, at, [*state.steps[:-1], FailedForGood(last.step, attempts)])


def _again(state: SagaState, at: Moment, planned: PlannedStep, attempts: Attempts, pause: int) -> Transition | None:
    """Try the step again, at once or after a pause, in which the saga has no owner."""
    if state.rev + 1 >= JOURNAL_LIMIT or attempts.events != len(state.events) or state.begins_at:
        return None
    if pause:
        wake = Moment(at + pause)
        waiting = _moved(state, at, Goal.FORWARD, [*state.steps[:-1], Retrying(planned.step, attempts, wake, at)])
        return Transition(waiting, (), (Release(wake),), ())
    running = Running(planned.step, next_attempt(attempts), planned.transactional)
    run = RunStep(planned.step, running.attempts.attempt, attempts.generation)
    return Transition(_moved(state, at, Goal.FORWARD, [*state.steps[:-1], running]), (), (), (run,))


def go_on_back(plan: Plan, state: SagaState, event: CompensationSucceeded) -> Transition | None:
    """The success of the one compensation that runs: what was done before is undone in its turn, or the saga ends."""
    if state.goal is not Goal.ROLLBACK or not _is_plain(plan) or state.plan != plan.id:
        return None
    if state.deadline is not None or state.buffered:  # of an earlier plan
        return None
    at = Moment(max(state.at, event.at))
    steps: list[StepState] = []
    found = False
    for step in state.steps:
        if type(step) is Undoing:
            if step.step != event.step or step.attempts.attempt != event.attempt:
                return None
            found = True
            steps.append(Undone(step.step, step.seq))
        elif type(step) in _AT_REST or (
            type(step) is FailedForGood and not step.attempts.doubt and step.attempts.may_run_until <= at
        ):
            steps.append(step)
        else:
            return None
    return _undo_next(plan, state, at, steps) if found else None


def _is_plain(plan: Plan) -> bool:
    return (
        plan.is_chain
        and plan.pivot is None
        and plan.data.compensate_on_failure
        and not (plan.has_unknown_policies or plan.waits)
    )


def _undo_next(plan: Plan, state: SagaState, at: Moment, steps: list[StepState]) -> Transition | None:
    """Undo the last of what was done: in a chain all others were there before it. Without one the saga ends."""
    for place in range(len(steps) - 1, -1, -1):
        step = steps[place]
        if type(step) is Succeeded:
            planned = plan.step(step.step)
            if planned.compensable:
                attempts = Attempts(1, first_attempt_at=at if planned.undo_retry.within else Moment(0))
                steps[place] = Undoing(step.step, step.seq, attempts)
                run = RunCompensation(step.step, 1, step.seq, 0)
                return Transition(_moved(state, at, Goal.ROLLBACK, steps), (), (), (run,))
    if any(type(step) is Skipped and step.doubt for step in steps):  # then something is left over
        return None
    return Transition(_moved(state, at, Goal.COMPENSATED, steps), (), GIVEN_UP, ())


def _moved(state: SagaState, at: Moment, goal: Goal, steps: list[StepState]) -> SagaState:
    return SagaState(
        state.rev + 1,
        at,
        goal,
        tuple(steps),
        state.events,
        state.latest_event_seq,
        plan=state.plan,
    )
