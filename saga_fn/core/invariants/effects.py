"""The effects and the inputs asked for agree with the state."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias, assert_never

from saga_fn.core.effects import CancelExecution, Release, RunCompensation, RunProbe, RunStep
from saga_fn.core.events import (
    CompensationFailed,
    CompensationSucceeded,
    CompensationWaits,
    HandedBack,
    ProbeAnswered,
    ProbeFailed,
    StepFailed,
    StepSucceeded,
)
from saga_fn.core.facts import startable
from saga_fn.core.invariants.edge import Edge, starts, stops
from saga_fn.core.invariants.items import at_once
from saga_fn.core.plan import OnUnknown, Plan
from saga_fn.core.projection import project
from saga_fn.core.state import Goal, Probing, Retrying, Running, SagaState, Undoing, Unknown, is_executing

_Result: TypeAlias = (
    StepSucceeded
    | StepFailed
    | CompensationSucceeded
    | CompensationFailed
    | CompensationWaits
    | ProbeAnswered
    | ProbeFailed
)


def effects_agree_with_the_state(edge: Edge) -> bool:
    """Run exactly what is newly running, cancel what no longer is, and give the saga up when nothing runs."""
    started = {_asked_for(now) for was, now in edge.changed if is_executing(now) and starts(was, now)}
    returned = edge.event.step if isinstance(edge.event, _Result) else None
    stopped = {
        CancelExecution(was.step)
        for was, now in edge.changed
        if is_executing(was) and stops(was, now) and was.step != returned
    }
    owned = any(is_executing(now) for _, now in edge.steps)
    released = () if owned else (_release(edge.plan, edge.after),)
    asked = len(edge.moved.actions) == len(started) + len(stopped)
    return asked and set(edge.moved.actions) == started | stopped and edge.moved.writes == released


@lru_cache(maxsize=1 << 14)
def _release(plan: Plan, state: SagaState) -> Release:
    """The release that goes with the row of the state. Many edges lead to one state."""
    return Release(project(plan, state).due)


def _asked_for(step: Running | Undoing | Probing) -> RunStep | RunCompensation | RunProbe:
    match step:
        case Running():
            return RunStep(step.step, step.attempts.attempt, step.attempts.generation)
        case Undoing():
            return RunCompensation(step.step, step.attempts.attempt, step.seq, step.attempts.generation)
        case Probing():
            return RunProbe(step.step, step.attempts.probes, step.attempts.generation)
        case _:
            assert_never(step)


def needs_are_what_could_start(edge: Edge) -> bool:
    """The steps whose inputs are asked for are those a going-forward saga could start now, each once.

    As many items are asked for as may run beside those that do.
    """
    leaving = isinstance(edge.event, HandedBack) or edge.after.paused
    if edge.after.goal is not Goal.FORWARD or leaving:
        return not edge.moved.needs
    waiting = {
        now.step
        for _, now in edge.steps
        if (
            isinstance(now, Unknown)
            and max(now.attempts.may_run_until, now.wake) <= edge.after.at
            and edge.plan.step(now.step).on_unknown is not OnUnknown.PROBE
        )
        or (isinstance(now, Retrying) and now.wake <= edge.after.at)
    }
    could = waiting | set(startable(edge.plan, edge.after))
    asked = list(edge.moved.needs)
    for step, concurrency in edge.plan.concurrencies.items():
        items = {item for item in could if item != step and edge.plan.owner(item) == step}
        chosen = [item for item in asked if item in items]
        if len(chosen) != min(len(items), max(0, concurrency - at_once(edge.after, step))):
            return False
        could -= items
        asked = [item for item in asked if item not in items]
    return set(asked) == could and len(asked) == len(could) and len(set(edge.moved.needs)) == len(edge.moved.needs)
