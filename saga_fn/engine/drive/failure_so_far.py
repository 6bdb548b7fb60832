"""Which failure counts for a saga so far, with all that is known of it: followed event by event, while it runs or later."""

from __future__ import annotations

import msgspec

from saga_fn.core.events import Event
from saga_fn.core.failure_cause import Cause, Told, cause_after
from saga_fn.core.ids import StepId
from saga_fn.core.state import SagaState
from saga_fn.engine.drive.step_error import StepError
from saga_fn.engine.drive.waits import WAIT_TIMEOUT


class FailureSoFar(msgspec.Struct, frozen=True):
    """The failure that counts, and the fault that was recorded with it."""

    cause: Cause
    step_error: StepError


def failure_after(
    known: FailureSoFar | None, before: SagaState | None, event: Event, after: SagaState, step_error: StepError | None
) -> FailureSoFar | None:
    """The failure that counts once the event, recorded with that fault, has led from `before` to `after`."""
    told = None
    if step_error is not None:
        named = StepId(step_error.step) if step_error.step else None
        told = Told(named, timed_out=named is not None and step_error.type == WAIT_TIMEOUT)
    elif known is None:
        return None
    counted = None if known is None else known.cause
    cause = cause_after(counted, before, event, after, told)
    if cause is None or cause is counted:
        return None if cause is None else known
    assert step_error is not None, "another failure counts only with an event that tells of one"
    return FailureSoFar(cause, step_error)
