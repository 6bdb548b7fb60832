"""The straight way through a graph of steps, in short: some run beside each other, and some follow several others.

As with a chain (`chain.py`) it gives exactly what the general rules would, or None where it does not know.
"""

from __future__ import annotations

from typing import Final

from saga_fn.core.ahead import Ahead, after
from saga_fn.core.events import StepSucceeded
from saga_fn.core.facts import next_steps
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.plan import Plan
from saga_fn.core.state import DONE, Goal, Running, SagaState, StepState, Succeeded

_STRAIGHT: Final = DONE | {Running}
"""All that the steps of a saga are while nothing has gone wrong, nothing of it waits, and no list is at work."""


def after_branch(plan: Plan, state: SagaState, event: StepSucceeded) -> Ahead | None:
    """The success of a step that others may run beside: those start that follow only what is done, or the saga ends."""
    if state.goal is not Goal.FORWARD or state.plan != plan.id or plan.waits or plan.concurrencies or state.begins_at:
        return None
    if plan.pivot is not None and state.deadline is not None:
        return None
    begun: dict[StepId, StepState] = {each.step: each for each in state.steps}
    done = begun.get(event.step)
    if type(done) is not Running or done.attempts.attempt != event.attempt:
        return None
    if not _STRAIGHT.issuperset(map(type, state.steps)):
        return None
    begun[event.step] = Succeeded(event.step, state.rev + 1)
    needs = next_steps(plan, begun)
    # Where nothing starts and nothing runs, all is done: of what has not begun, the first follows only what is.
    goal = Goal.FORWARD if needs or Running in map(type, begun.values()) else Goal.COMPLETED
    at = Moment(max(state.at, event.at))
    return Ahead(after(state, state.rev + 1, at, tuple(begun.values()), goal), needs, is_all=True)
