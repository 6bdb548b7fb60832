"""The straight way through a chain of steps, in short: what `transition` answers while nothing goes wrong.

Nearly every event of nearly every saga is a start, or the success of the one step that runs. For a chain, where each step
follows just the one before it, the answer to those needs no search. These functions give exactly what the general fold
would, or None where they do not know; a test compares the two on everything that the exploration reaches.
"""

from __future__ import annotations

from saga_fn.core.ahead import Ahead
from saga_fn.core.effects import Release, RunStep, Transition
from saga_fn.core.events import Binding, Bound, Started, StepSucceeded
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.plan import Plan
from saga_fn.core.state import Attempts, Doubt, Goal, Running, SagaState, Succeeded


def begin(plan: Plan, event: Started) -> Transition | None:
    """The start of a saga; it runs at once if its first step's input came with it, and nothing delays it."""
    if not plan.is_chain or event.delay < 0:
        return None
    if event.delay:
        begins = Moment(event.at + event.delay)
        return Transition(SagaState(1, event.at, begins_at=begins, plan=event.plan), (), (Release(begins),), ())
    if not event.inputs:
        return Transition(SagaState(1, event.at, plan=event.plan), plan.roots, (Release(event.at),), ())
    running = _first(plan, event.inputs[0])
    if running is None:
        return None
    state = SagaState(1, event.at, Goal.FORWARD, (running,), plan=event.plan)
    return Transition(state, (), (), (RunStep(running.step, 1, 0),))


def after_success(plan: Plan, state: SagaState, event: StepSucceeded) -> Ahead | None:
    """The success of a step that runs alone: the next one starts, or the saga ends."""
    last = last_running(plan, state, event.step)
    if last is None or last.attempts.attempt != event.attempt:
        return None
    rev, at = state.rev + 1, max(state.at, event.at)
    done = (*state.steps[:-1], Succeeded(last.step, rev))
    place = len(done)
    if place == len(plan.data.steps):
        return Ahead(SagaState(rev, at, Goal.COMPLETED, done, state.events, plan=state.plan), (), True)
    known = SagaState(rev, at, Goal.FORWARD, done, state.events, plan=state.plan)
    return Ahead(known, (plan.data.steps[place].step,), True, place)


def last_running(plan: Plan, state: SagaState, step: StepId) -> Running | None:
    """The step, if it runs, all before it in the chain is done, and nothing else has begun."""
    if not plan.is_chain or not state.steps or state.goal is not Goal.FORWARD:
        return None
    # In a chain no step begins before the one that it follows is done: if the last runs, all before it are.
    last = state.steps[-1]
    if type(last) is not Running or last.step != step or state.plan != plan.id:
        return None
    return last if state.deadline is None and not state.buffered else None  # of an earlier plan


def _first(plan: Plan, binding: Binding) -> Running | None:
    planned = plan.data.steps[0]
    if type(binding) is not Bound or binding.step != planned.step:
        return None
    return Running(planned.step, Attempts(1, 0, Doubt.NONE, binding.digest), planned.transactional)
