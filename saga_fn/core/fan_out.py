"""The items of a fan-out: a step that is done once for each item of a list.

Each item is a step of its own, with its own attempts, result and compensation; its id is that of the step in the plan
with the item's number. How many of them run at once the plan says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from saga_fn.core.ids import StepId, item_of
from saga_fn.core.plan import Plan
from saga_fn.core.state import FannedOut, Joined, StepState, is_done, is_executing

ITEM_LIMIT: Final = 200
"""A saga has no more items than this."""


class ConcurrencySlots:
    """How many more items of each step may run: none, while as many run as the plan lets run at once."""

    def __init__(self, plan: Plan, steps: Iterable[StepState]) -> None:
        self._plan = plan
        self._free = dict(plan.concurrencies)
        for step in steps:
            if is_executing(step):
                self.take(step.step)

    def take(self, step: StepId) -> bool:
        """Take a place for the step; False if there is none. A step that is no item needs none, or its own list has all."""
        owner = self._plan.owner(step)
        if owner not in self._free:
            return True
        self._free[owner] -= 1
        return self._free[owner] >= 0


def item_count(steps: Iterable[StepState]) -> int:
    """How many items there are in all."""
    return sum([step.items for step in steps if type(step) is FannedOut or type(step) is Joined])


def gathered(plan: Plan, begun: Mapping[StepId, StepState]) -> list[Joined]:
    """The fan-outs of which every item is done now."""
    return [
        Joined(spread.step, spread.items)
        for owner in plan.concurrencies
        if type(spread := begun.get(owner)) is FannedOut and all(is_done(begun.get(item)) for item in items_of(spread))
    ]


def plan_order(plan: Plan, begun: Mapping[StepId, StepState]) -> Iterable[StepId]:
    """The plan's steps in its order, each that has fanned out with its items after it."""
    if not plan.concurrencies:
        return plan.index
    order: list[StepId] = []
    for planned in plan.data.steps:
        order.append(planned.step)
        if planned.concurrency and isinstance(spread := begun.get(planned.step), FannedOut | Joined):
            order += items_of(spread)
    return order


def items_of(spread: FannedOut | Joined) -> tuple[StepId, ...]:
    """The ids of its items, in order."""
    return _items(spread.step, spread.items)


@lru_cache(maxsize=128)  # each event of the saga asks, several times
def _items(step: StepId, items: int) -> tuple[StepId, ...]:
    return tuple([item_of(step, number) for number in range(items)])
