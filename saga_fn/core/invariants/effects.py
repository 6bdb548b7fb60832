"""The effects and the inputs asked for agree with the state."""

from __future__ import annotations

from typing import assert_never

from saga_fn.core.effects import Action, CancelExecution, Release, RunCompensation, RunProbe, RunStep
from saga_fn.core.event_kinds import is_result
from saga_fn.core.events import HandedBack
from saga_fn.core.facts import startable
from saga_fn.core.invariants.edge import Edge, stops
from saga_fn.core.invariants.items import at_once
from saga_fn.core.invariants.rows import row_of
from saga_fn.core.plan import OnUnknown
from saga_fn.core.state import EXECUTING, Goal, Probing, Retrying, Running, Undoing, Unknown, is_executing


def effects_agree_with_the_state(edge: Edge) -> bool:
    """Run exactly what is newly running, cancel what no longer is, and give the saga up when nothing runs."""
    returned = edge.event.step if is_result(edge.event) else None
    expected: set[Action] = {_asked_for(now) for _, now in edge.started}
    expected |= {
        CancelExecution(was.step)
        for was, now in edge.changed
        if is_executing(was) and was.step != returned and stops(was, now)
    }
    owned = not EXECUTING.isdisjoint(map(type, edge.after.steps))
    released = () if owned else (Release(row_of(edge.plan, edge.after).due),)
    asked = len(edge.moved.actions) == len(expected) and {*edge.moved.actions} == expected
    return asked and edge.moved.writes == released


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
    could = {*startable(edge.plan, edge.after)}
    could |= {
        now.step
        for _, now in edge.steps
        if (type(now) is Retrying and now.wake <= edge.after.at)
        or (
            type(now) is Unknown
            and max(now.attempts.may_run_until, now.wake) <= edge.after.at
            and edge.plan.step(now.step).on_unknown is not OnUnknown.PROBE
        )
    }
    for step, concurrency in edge.plan.concurrencies.items():
        items = {item for item in could if item != step and edge.plan.owner(item) == step}
        chosen = [item for item in asked if item in items]
        if len(chosen) != min(len(items), max(0, concurrency - at_once(edge.after, step))):
            return False
        could -= items
        asked = tuple([item for item in asked if item not in items])
    return could == {*asked} and len(asked) == len(could) and len({*edge.moved.needs}) == len(edge.moved.needs)
