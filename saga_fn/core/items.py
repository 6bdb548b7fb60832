"""The straight way through the items of a fan-out, in short: what `transition` answers while nothing goes wrong in the saga.

An item is done, and the next one takes its place: nearly every event of a saga with a long list is that. As with a chain
(`chain.py`) these functions give exactly what the general rules would, or None where they do not know. With one
list in the saga none of them goes from item to item: the place of an item follows from its number.
"""

from __future__ import annotations

from saga_fn.core.ahead import Ahead, after
from saga_fn.core.events import StepSucceeded
from saga_fn.core.facts import next_steps
from saga_fn.core.fan_out import items_of, stretch_of
from saga_fn.core.ids import Moment
from saga_fn.core.plan import Plan
from saga_fn.core.state import (
    UNDISTURBED,
    FannedOut,
    Goal,
    Joined,
    Rest,
    Running,
    SagaState,
    StepState,
    Succeeded,
    rest_of,
)


def after_item(plan: Plan, state: SagaState, event: StepSucceeded, known: Rest | None = None) -> Ahead | None:
    """The success of an item: the next one starts, or the others go on, or the saga ends.

    None as well if its end lets anything start but the next one.
    """
    if state.goal is not Goal.FORWARD or state.plan != plan.id or plan.waits or state.begins_at:
        return None
    found = stretch_of(plan, state.steps, event.step)
    if found is None or (plan.pivot is not None and state.deadline is not None):
        return None
    steps, rev, at = state.steps, state.rev + 1, Moment(max(state.at, event.at))
    first, place, end = found
    whole, item = steps[first - 1], steps[place]
    if type(whole) is not FannedOut or type(item) is not Running or whole.rewound:
        return None
    rest = tuple([each for each in rest_of(steps, known) if each is not item])
    kinds = [*map(type, rest)]
    if item.attempts.attempt != event.attempt or not UNDISTURBED.issuperset(kinds) or kinds.count(FannedOut) > 1:
        return None
    around = (*steps[: first - 1], *steps[end:])
    # Another list has items as well, and they are no steps of the plan.
    others = len(plan.concurrencies) > 1
    begun = sum([each.step in plan.index for each in steps]) if others else len(steps) - (end - first)
    all_begun = begun == len(plan.data.steps)
    if not all_begun and not _may_start_nothing_else(plan, whole, around):
        return None
    now = [*steps]
    now[place] = Succeeded(item.step, rev)
    run = kinds.count(Running)
    items_run = run - [*map(type, around)].count(Running)
    if end - first < whole.items:
        if items_run + 1 != plan.concurrencies[whole.step]:
            return None
        return Ahead(after(state, rev, at, tuple(now)), (items_of(whole)[end - first],), True, end, whole, rest)
    if items_run:
        return Ahead(after(state, rev, at, tuple(now)), (), True, rest=rest)
    if all_begun and not run:
        now[first - 1] = Joined(whole.step, whole.items)
        return Ahead(after(state, rev, at, tuple(now), Goal.COMPLETED), (), True)
    return None  # it is the last of its list: whatever follows that may start


def _may_start_nothing_else(plan: Plan, whole: FannedOut, others: tuple[StepState, ...]) -> bool:
    """Whether no step but the list, which has begun, could start now beside these."""
    return next_steps(plan, {each.step: each for each in others}) == (whole.step,)
