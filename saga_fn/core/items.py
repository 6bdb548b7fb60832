"""The straight way through the items of a fan-out, in short: what `transition` answers while nothing goes wrong in the saga.

An item is done, and the next one takes its place: nearly every event of a saga with a long list is that. As with a chain
(`chain.py`) these functions give exactly what the general rules would, or None where they do not know. None of them goes from
item to item: the place of an item follows from its number.
"""

from __future__ import annotations

import msgspec

from saga_fn.core.chain import GIVEN_UP
from saga_fn.core.effects import RunStep, Transition
from saga_fn.core.events import Binding, Bound, StepSucceeded
from saga_fn.core.facts import next_steps
from saga_fn.core.fan_out import items_of, stretch_of
from saga_fn.core.ids import Digest, Moment, StepId
from saga_fn.core.plan import Plan
from saga_fn.core.state import (
    UNDISTURBED,
    Attempts,
    Doubt,
    FannedOut,
    Goal,
    Joined,
    Running,
    SagaState,
    StepState,
    Succeeded,
)


class _Item(msgspec.Struct, frozen=True, gc=False):
    """An item that runs, and what its success leads to."""

    first: int
    """The place of its list's first item among the steps of the saga."""
    place: int
    end: int
    """The place after the list's last item that has begun."""
    item: Running
    whole: FannedOut
    following: StepId | None
    """The item that takes its place, if one has not begun."""
    ends_saga: bool = False
    """Whether nothing else of the saga is left to do."""

    def done(self, steps: tuple[StepState, ...], rev: int, then: Running | None = None) -> tuple[StepState, ...]:
        """The steps once it is done, with the next one in its list if that starts."""
        place, end = self.place, self.end
        begun = () if then is None else (then,)
        return (*steps[:place], Succeeded(self.item.step, rev), *steps[place + 1 : end], *begun, *steps[end:])


def advance_item(plan: Plan, state: SagaState, event: StepSucceeded) -> Transition | None:
    """The success of an item: the next one starts with the input that came with it, or the others go on, or the saga ends."""
    found = _running_item(plan, state, event.step)
    if found is None or found.item.attempts.attempt != event.attempt:
        return None
    rev, at = state.rev + 1, Moment(max(state.at, event.at))
    if found.following is not None:
        running = _begun(plan, state, at, found, event.inputs)
        if running is None:
            return None
        moved = _moved(state, rev, at, found.done(state.steps, rev, running))
        return Transition(moved, (), (), (RunStep(running.step, 1, 0),))
    steps = found.done(state.steps, rev)
    if not found.ends_saga:
        return Transition(_moved(state, rev, at, steps), (), (), ())
    joined = Joined(found.whole.step, found.whole.items)
    ended = (*steps[: found.first - 1], joined, *steps[found.first :])
    return Transition(_moved(state, rev, at, ended, Goal.COMPLETED), (), GIVEN_UP, ())


def _begun(plan: Plan, state: SagaState, at: Moment, found: _Item, inputs: tuple[Binding, ...]) -> Running | None:
    """The next item, if the list is still the one that was fanned out."""
    binding = inputs[0] if len(inputs) == 1 else None
    if type(binding) is not Bound or binding.step != found.following or binding.digest != found.whole.digest:
        return None
    planned = plan.step(found.whole.step)
    since = at if planned.retry.within else Moment(0)
    attempts = Attempts(1, 0, Doubt.NONE, Digest(b""), 0, len(state.events), Moment(0), since)
    return Running(binding.step, attempts, planned.transactional)


def after_item(plan: Plan, state: SagaState, step: StepId) -> tuple[SagaState, tuple[StepId, ...]] | None:
    """The state in which the next item's input is computed once this one has succeeded, and whose input that is."""
    found = _running_item(plan, state, step)
    if found is None:
        return None
    if found.following is None:
        return state, ()
    return _moved(state, state.rev, state.at, found.done(state.steps, state.rev + 1)), (found.following,)


def _moved(
    state: SagaState, rev: int, at: Moment, steps: tuple[StepState, ...], goal: Goal = Goal.FORWARD
) -> SagaState:
    return SagaState(  # by place: names cost ten times as much
        rev, at, goal, steps, state.events, 0, 0, False, Moment(0), state.deadline, state.buffered, plan=state.plan
    )


def _running_item(plan: Plan, state: SagaState, step: StepId) -> _Item | None:
    """The item, if it runs, nothing of the saga has gone wrong or waits, and its end lets nothing start but the next one."""
    if state.goal is not Goal.FORWARD or state.plan != plan.id or plan.waits or state.begins_at:
        return None
    found = stretch_of(plan, state.steps, step)
    if found is None or (plan.pivot is not None and state.deadline is not None):
        return None
    steps = state.steps
    first, place, end = found
    whole, item = steps[first - 1], steps[place]
    if type(whole) is not FannedOut or type(item) is not Running or whole.rewound:
        return None
    kinds = tuple(map(type, steps))
    if not UNDISTURBED.issuperset(kinds) or kinds.count(FannedOut) > 1:
        return None
    # Another list has items as well, and they are no steps of the plan.
    others = len(plan.concurrencies) > 1
    begun = sum([each.step in plan.index for each in steps]) if others else len(steps) - (end - first)
    all_begun = begun == len(plan.data.steps)
    if not all_begun and not _may_start_nothing_else(plan, whole, (*steps[: first - 1], *steps[end:])):
        return None
    running = kinds[first:end].count(Running)
    following = items_of(whole)[end - first] if end - first < whole.items else None
    if following is not None:
        return _Item(first, place, end, item, whole, following) if running == plan.concurrencies[whole.step] else None
    if running > 1:
        return _Item(first, place, end, item, whole, None)
    if all_begun and kinds.count(Running) == 1:
        return _Item(first, place, end, item, whole, None, ends_saga=True)
    return None  # it is the last of its list: whatever follows that may start


def _may_start_nothing_else(plan: Plan, whole: FannedOut, others: tuple[StepState, ...]) -> bool:
    """Whether no step but the list, which has begun, could start now beside these."""
    return next_steps(plan, {each.step: each for each in others}) == (whole.step,)
