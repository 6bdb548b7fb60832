"""The moments of a saga that its definition may have hooks for: which of them a fold has brought."""

from __future__ import annotations

import enum
from typing import Final

from saga_fn.core.state import Goal, Parked, ParkReason, SagaState, UndoParked


class Hook(enum.StrEnum):
    """A moment of a saga that its definition may have a hook for."""

    STARTED = "on_started"
    """The saga was stored."""
    COMPLETED = "on_completed"
    """It has ended COMPLETED."""
    COMPENSATED = "on_compensated"
    """It has ended COMPENSATED."""
    FAILED = "on_failed"
    """It has ended FAILED."""
    PARKED = "on_parked"
    """A step of it waits for a person, and none did before. One that waits for a plan that fits goes on by itself."""


_ENDS: Final = {Goal.COMPLETED: Hook.COMPLETED, Goal.COMPENSATED: Hook.COMPENSATED, Goal.FAILED: Hook.FAILED}


def hooks_of(before: SagaState | None, after: SagaState) -> tuple[Hook, ...]:
    """The moments that one fold has brought, in their order. `before` is None for the start."""
    started = (Hook.STARTED,) if before is None else ()
    if after.ended:
        return started if before is not None and before.goal is after.goal else (*started, _ENDS[after.goal])
    if _is_parked(after) and (before is None or not _is_parked(before)):
        return (*started, Hook.PARKED)
    return started


def _is_parked(state: SagaState) -> bool:
    return any(
        (type(step) is Parked or type(step) is UndoParked) and step.why is not ParkReason.PLAN_CHANGED
        for step in state.steps
    )
