"""The way forward: whatever follows only what is done is bound to its input and starts; when all is done, it ends."""

from __future__ import annotations

from typing import Final, assert_never

from msgspec.structs import replace

from saga_fn.core.events import Binding, Bound, BoundEach, Declined, Unbindable, Until
from saga_fn.core.facts import next_steps, settled_from, to_probe
from saga_fn.core.fan_out import ConcurrencySlots, item_count
from saga_fn.core.ids import Digest, Moment, StepId
from saga_fn.core.rules.attempts import begun, running, unbegun
from saga_fn.core.rules.fan_out import bind_item, gather, spread
from saga_fn.core.rules.fold import Fold
from saga_fn.core.rules.waits import begin_waits
from saga_fn.core.state import (
    DONE,
    Attempts,
    Goal,
    NotTaken,
    Parked,
    ParkReason,
    Retrying,
    Running,
    StepState,
    Unknown,
)

_REPEATED: Final[frozenset[type[object]]] = frozenset({Retrying, Unknown})


def go_forward(fold: Fold) -> tuple[StepId, ...]:
    """Start what can start. Gives the steps that lack nothing but their input."""
    plan = fold.plan
    if (
        fold.paused
    ):  # a list whose last item came to its end is joined; a wait that has not begun begins after the pause
        if plan.concurrencies:
            gather(fold)
        return ()
    if fold.begins_at:
        if fold.begins_at > fold.at:
            return ()
        fold.begins_at = Moment(0)
    inputs = {binding.step: binding for binding in fold.inputs}
    while True:
        if plan.concurrencies:
            gather(fold)
        following = begin_waits(fold, inputs) if plan.waits else next_steps(plan, fold.steps, at_once=True)
        needs, opened = _start(fold, inputs, following)
        if not opened:
            break
    return tuple(needs)


def end_if_done(fold: Fold) -> None:
    """End the saga if every step of the plan, and every item, is done."""
    if not DONE.issuperset(map(type, fold.steps.values())):
        return
    items = item_count(fold.steps.values()) if fold.plan.concurrencies else 0
    if len(fold.steps) == len(fold.plan.steps) + items:
        fold.goal = Goal.COMPLETED


def _start(fold: Fold, inputs: dict[StepId, Binding], following: tuple[StepId, ...]) -> tuple[list[StepId], bool]:
    """Bind what may start. Gives what has no input yet, and whether that let others start in their turn."""
    needs: list[StepId] = []
    opened = False
    ready: list[tuple[StepId, Attempts | None]] = []
    if not _REPEATED.isdisjoint(map(type, fold.steps.values())):
        ready = [
            (step.step, step.attempts)
            for step in fold.steps.values()
            if (type(step) is Unknown and settled_from(step) <= fold.at and not to_probe(step, fold.plan))
            or (type(step) is Retrying and step.wake <= fold.at)
        ]
    ready += [(step, None) for step in following]
    places = ConcurrencySlots(fold.plan, fold.steps.values()) if fold.plan.concurrencies and ready else None
    for step, attempts in ready:
        if places is not None and not places.take(step):
            continue
        binding = inputs.get(step)
        if binding is None:
            needs.append(step)
        else:
            bound = _bind(fold, step, unbegun(fold, step) if attempts is None else attempts, binding)
            fold.put(bound)
            opened = opened or type(bound) is not Running
    return needs, opened


def _bind(fold: Fold, step: StepId, attempts: Attempts, binding: Binding) -> StepState:
    match binding:
        case Bound(digest=digest):
            lists = fold.plan.concurrencies
            if lists and (not attempts.given or step in lists) and fold.plan.owner(step) in lists:
                return bind_item(fold, step, attempts, digest)
            return _bind_step(fold, step, attempts, digest)
        case Declined():
            if not fold.plan.step(step).conditional or step not in fold.plan.index:
                return Parked(step, attempts, ParkReason.INPUT_FAILED)
            if attempts.doubt or attempts.given or (attempts.digest and attempts.events == len(fold.events)):
                return Parked(step, attempts, ParkReason.INPUT_CHANGED)
            return NotTaken(step)
        case BoundEach(items=items, digest=digest):
            return spread(fold, step, attempts, items, digest)
        case Unbindable(unreadable=True):
            return Parked(step, attempts, ParkReason.PAYLOAD_UNREADABLE)
        case Unbindable() | Until():
            return Parked(step, attempts, ParkReason.INPUT_FAILED)
        case _:
            assert_never(binding)


def _bind_step(fold: Fold, step: StepId, attempts: Attempts, digest: Digest) -> StepState:
    """A repeat has the input of the attempt before it, unless an event that came since made another of it.

    A step that a person has given an input keeps that. A step that may have run keeps its old input. A success with a new one would
    not tell whether the old attempt ran.
    """
    seen = len(fold.events)
    if attempts.digest not in (b"", digest):
        if attempts.doubt or attempts.given or attempts.events == seen:
            return Parked(step, attempts, ParkReason.INPUT_CHANGED)
        attempts = replace(attempts, generation=attempts.generation + 1)
    attempts = begun(fold, attempts, fold.plan.step(step).retry)
    return running(fold, step, replace(attempts, digest=digest, events=seen))
