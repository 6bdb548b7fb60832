"""Fan-outs: how a step spreads into items, how an item starts, and when all of them are gathered."""

from __future__ import annotations

from msgspec.structs import replace

from saga_fn.core.fan_out import ITEM_LIMIT, gathered, item_count
from saga_fn.core.ids import Digest, StepId
from saga_fn.core.rules.attempts import begun, running
from saga_fn.core.rules.fold import Fold
from saga_fn.core.state import Attempts, FannedOut, Parked, ParkReason, StepState


def spread(fold: Fold, step: StepId, attempts: Attempts, items: int, digest: Digest) -> StepState:
    """The step fans out into that many items, if it is to, and the saga may have so many."""
    fits = 0 <= items <= ITEM_LIMIT - item_count(fold.steps.values())
    if step not in fold.plan.concurrencies or not fits:
        return Parked(step, attempts, ParkReason.INPUT_FAILED)
    return FannedOut(step, items, digest, len(fold.events), fold.latest_event_seq, attempts.generation)


def bind_item(fold: Fold, step: StepId, attempts: Attempts, digest: Digest) -> StepState:
    """An item starts if the list is what it was when the step fanned out; it is kept there, not with each item."""
    whole = fold.steps.get(fold.plan.owner(step))
    if not isinstance(whole, FannedOut) or whole.step == step:
        return Parked(step, attempts, ParkReason.INPUT_FAILED)
    if digest != whole.digest:
        return Parked(step, attempts, ParkReason.INPUT_CHANGED)
    attempts = begun(fold, replace(attempts, events=len(fold.events)), fold.plan.step(step).retry)
    return running(fold, step, attempts)


def gather(fold: Fold) -> None:
    """The fan-outs of which every item is done are done."""
    for whole in gathered(fold.plan, fold.steps):
        fold.put(whole)
