"""The effects and the inputs asked for agree with the state."""

from __future__ import annotations

from functools import lru_cache
from typing import assert_never

from saga_fn.core.effects import Action, CancelExecution, Release, RunCompensation, RunProbe, RunStep
from saga_fn.core.event_kinds import is_result
from saga_fn.core.events import HandedBack
from saga_fn.core.facts import needs_owner, startable
from saga_fn.core.ids import StepId
from saga_fn.core.invariants.edge import Edge, stops
from saga_fn.core.invariants.items import at_once
from saga_fn.core.invariants.rows import REMEMBERED
from saga_fn.core.plan import OnUnknown, Plan
from saga_fn.core.projection import project
from saga_fn.core.state import Goal, Probing, Retrying, Running, SagaState, Undoing, Unknown, is_executing


def effects_agree_with_the_state(edge: Edge) -> bool:
    """Run exactly what is newly running, cancel what no longer is, and give the saga up when nothing runs."""
    expected: list[Action] = [_asked_for(now) for _, now in edge.started]
    for was, now in edge.changed:
        if is_executing(was) and stops(was, now) and not (is_result(edge.event) and edge.event.step == was.step):
            expected.append(CancelExecution(was.step))
    actions = edge.moved.actions
    # Nothing is expected twice of a step: if as many are asked for, and these are among them, then these are all.
    if len(actions) != len(expected) or (expected and not all(each in actions for each in expected)):
        return False
    return edge.moved.writes == _released(edge.plan, edge.after)


@lru_cache(maxsize=REMEMBERED)
def _released(plan: Plan, state: SagaState) -> tuple[Release, ...]:
    """The saga is given up where nothing of it runs, until its row is due."""
    return () if needs_owner(state) else (Release(project(plan, state).due),)


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
    asked = edge.moved.needs
    if edge.after.goal is not Goal.FORWARD or type(edge.event) is HandedBack or edge.after.paused:
        return not asked
    could = _could_start(edge.plan, edge.after)
    if len({*asked}) != len(asked):
        return False
    for step, concurrency in edge.plan.concurrencies.items() if could else ():
        items = {item for item in could if item != step and edge.plan.owner(item) == step}
        chosen = [item for item in asked if item in items]
        if len(chosen) != min(len(items), max(0, concurrency - at_once(edge.after, step))):
            return False
        could -= items
        asked = tuple([item for item in asked if item not in items])
    return len(asked) == len(could) and could.issuperset(asked)


@lru_cache(maxsize=REMEMBERED)
def _could_start(plan: Plan, state: SagaState) -> frozenset[StepId]:
    """The steps that lack nothing but their input to start, or to start again."""
    again = [
        step.step
        for step in state.steps
        if (type(step) is Retrying and step.wake <= state.at)
        or (
            type(step) is Unknown
            and max(step.attempts.may_run_until, step.wake) <= state.at
            and plan.step(step.step).on_unknown is not OnUnknown.PROBE
        )
    ]
    return frozenset((*startable(plan, state), *again))
