"""Which failure made a saga turn back: followed event by event, for only the fold knows when it turned."""

from __future__ import annotations

from typing import Final

import msgspec

from saga_fn.core.events import AbortRequested, Event, ProbeFailed, RetryRequested, StepFailed
from saga_fn.core.facts import find
from saga_fn.core.ids import StepId
from saga_fn.core.state import Goal, SagaState, is_done

_ONWARD: Final = (Goal.FORWARD, Goal.COMPLETED)


class Told(msgspec.Struct, frozen=True, gc=False):
    """An error that was recorded with an event: the step it names, if it names one, and whether its wait was over."""

    step: StepId | None = None
    timed_out: bool = False


class Cause(msgspec.Struct, frozen=True, gc=False):
    """The failure that counts so far: its journal entry, the step it names, and the step that failed, if one did."""

    seq: int
    step: StepId | None
    failed: StepId | None


def cause_after(
    cause: Cause | None, before: SagaState | None, event: Event, after: SagaState, told: Told | None
) -> Cause | None:
    """The failure that counts once the event has led from `before` to `after`.

    While a saga goes forward, its last failure counts until what failed is done. Once it has turned back, that failure
    stays the cause; if there was none, an operator turned it back, and the first failure of a compensation is told.
    """
    forward = before is None or before.goal is Goal.FORWARD
    if told is not None and not isinstance(event, ProbeFailed) and (forward or cause is None):
        failed = event.step if isinstance(event, StepFailed) else None
        return Cause(after.rev, told.step, told.step if told.timed_out else failed)
    return None if cause is not None and _is_past(cause, event, after) else cause


def gives_up(before: SagaState | None, event: Event, after: SagaState) -> bool:
    """Whether this event has turned the saga back, or has ended it as it was."""
    if goes_on(after):
        return False
    return before is None or before.goal is Goal.FORWARD or isinstance(event, AbortRequested)


def goes_on(state: SagaState) -> bool:
    """Whether the saga goes forward, or has gone forward to its end."""
    return state.goal in _ONWARD


def _is_past(cause: Cause, event: Event, state: SagaState) -> bool:
    """Whether the step that failed has been done since; a failure of no step is past when an operator says go on."""
    if cause.step is None:
        return isinstance(event, RetryRequested)
    return goes_on(state) and is_done(find(state, cause.step))
