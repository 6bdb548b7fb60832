"""The items of a fan-out: a step that is done once for each item of a list.

Each item is a step of its own, with its own attempts, result and compensation; its id is that of the step in the plan
with the item's number. How many of them run at once the plan says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from saga_fn.core.ids import StepId, item_of, number_of, owner_of
from saga_fn.core.plan import Plan
from saga_fn.core.state import DONE, FannedOut, Joined, StepState, executing_of

ITEM_LIMIT: Final = 200
"""A saga has no more items than this."""


class ConcurrencySlots:
    """How many more items of each step may run: none, while as many run as the plan lets run at once."""

    def __init__(self, plan: Plan, steps: Collection[StepState]) -> None:
        self._plan = plan
        self._free = dict(plan.concurrencies)
        for step in executing_of(steps):
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
        if type(spread := begun.get(owner)) is FannedOut
        and DONE.issuperset(map(type, map(begun.get, items_of(spread))))
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


def place_of(steps: Sequence[StepState], step: StepId) -> int | None:
    """Where the step is among these, which are in the plan's order; None if it is not. An item is not searched for."""
    number = number_of(step)
    if number is not None and steps:
        owner = owner_of(step)
        if _is_before(steps[-1].step, owner, number):  # as nearly always, for one that has not begun
            return None
        first = _first_item(steps, owner)
        # Before an item of a list there are at most those with lower numbers: some of them may not have begun.
        for place in range(min(first + number, len(steps) - 1), first - 1, -1):
            other = steps[place].step
            if other == step:
                return place
            if _is_before(other, owner, number):
                return None
    for place, each in enumerate(steps):
        if each.step == step:
            return place
    return None


def _is_before(other: StepId, owner: StepId, number: int) -> bool:
    """Whether the other step is an item of the same list, with a lower number."""
    before = number_of(other)
    return before is not None and before < number and owner_of(other) == owner


def _first_item(steps: Sequence[StepState], owner: StepId) -> int:
    """Where the items of the list begin; past the end if it has not fanned out."""
    place = 0
    while place < len(steps):
        each = steps[place]
        if each.step == owner:
            return place + 1
        place += 1 + each.items if type(each) is Joined else 1
    return place


def stretch_of(plan: Plan, steps: Sequence[StepState], item: StepId) -> tuple[int, int, int] | None:
    """Where among the steps the items of its list begin, where this one is, and where they end.

    None if it is not among them, or if one before the last that has begun has been passed over: then places do not follow from
    numbers.
    """
    number = number_of(item)
    if number is None:
        return None
    end = len(steps)
    while end and steps[end - 1].step in plan.index:  # the steps that the plan has after the list
        end -= 1
    last = number_of(steps[end - 1].step) if end else None
    if last is None or last < number or last >= end - 1:
        return None
    first = end - 1 - last
    whole = steps[first - 1]
    if type(whole) is not FannedOut and type(whole) is not Joined:
        return None
    ids = items_of(whole)
    if last >= len(ids) or ids[last] != steps[end - 1].step or ids[number] != item:
        return None
    return first, first + number, end


def items_of(spread: FannedOut | Joined) -> tuple[StepId, ...]:
    """The ids of its items, in order."""
    return _items(spread.step, spread.items)


@lru_cache(maxsize=128)  # each event of the saga asks, several times
def _items(step: StepId, items: int) -> tuple[StepId, ...]:
    return tuple([item_of(step, number) for number in range(items)])
