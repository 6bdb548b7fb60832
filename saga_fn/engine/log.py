"""What the log says of a saga: its name, step and trace in `extra`, and never a payload."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from saga_fn.core.events import CompensationFailed, ProbeFailed, StepFailed
from saga_fn.core.ids import StepId
from saga_fn.engine.fault import fault_in
from saga_fn.engine.live import LiveSaga

if TYPE_CHECKING:
    from saga_fn.engine.draft import Draft

LOG = logging.getLogger("saga_fn")
_FAILURES = (StepFailed, CompensationFailed, ProbeFailed)


def about(saga: LiveSaga, step: StepId | None = None, attempt: int | None = None) -> dict[str, object]:
    """The `extra` of a record about the saga."""
    return {
        "saga_id": str(saga.id),
        "saga_name": saga.registered.name,
        "trace_id": saga.trace_id,
        "step": step,
        "attempt": attempt,
    }


def log_progress(saga: LiveSaga, draft: Draft) -> None:
    """Tell of what has just become durable as far as somebody should know: failures, parking, the end."""
    for entry in draft.entries:
        event = entry.event
        if isinstance(event, _FAILURES):
            fault = fault_in(entry.payload)
            kind = fault.type if fault is not None else event.kind.name
            extra = about(saga, event.step, event.attempt)
            LOG.warning("saga %s: %s: %s (%s)", saga.id, type(event).__name__, event.step, kind, extra=extra)
    shown = draft.projection
    if shown.parked is not None and draft.release is not None:
        what = shown.parked if draft.last_error is None else f"{shown.parked} ({draft.last_error})"
        extra = about(saga, shown.current_step)
        LOG.warning("saga %s is parked at %s: %s", saga.id, shown.current_step, what, extra=extra)
    if draft.state.ended and LOG.isEnabledFor(logging.INFO):
        LOG.info("saga %s ended: %s", saga.id, shown.status.value, extra=about(saga))
