"""I7, I15: of the items of a fan-out."""

from __future__ import annotations

from saga_fn.core.ids import StepId, item_of, owner_of
from saga_fn.core.invariants.edge import Edge
from saga_fn.core.plan import Plan
from saga_fn.core.state import FannedOut, Goal, Joined, Probing, SagaState, executing_of, is_done


def i7_items_belong_to_a_list(plan: Plan, state: SagaState) -> bool:
    """Every item is one of a step that has fanned out into so many; such a step is done, going forward, if its items are."""
    found = {step.step: step for step in state.steps}
    spreads = {step.step: step for step in state.steps if isinstance(step, FannedOut | Joined)}
    every = {item_of(step, number) for step, spread in spreads.items() for number in range(spread.items)}
    items = {step for step in found if step not in plan.index}
    forward = state.goal in (Goal.FORWARD, Goal.COMPLETED)
    return items <= every and not any(
        forward and isinstance(spread, Joined) and not is_done(found.get(item_of(step, number)))
        for step, spread in spreads.items()
        for number in range(spread.items)
    )


def i15_no_more_items_at_once_than_declared(edge: Edge) -> bool:
    """No item starts, forward or back, beside as many others of its step as the plan lets run at once."""
    if not edge.plan.concurrencies or not edge.started:
        return True
    started = {edge.plan.owner(now.step) for _, now in edge.started if type(now) is not Probing}
    return all(
        at_once(edge.after, step) <= concurrency
        for step, concurrency in edge.plan.concurrencies.items()
        if step in started
    )


def at_once(state: SagaState, owner: StepId) -> int:
    """How many items of the step are being executed."""
    return sum([owner_of(step.step) == owner for step in executing_of(state.steps)])
