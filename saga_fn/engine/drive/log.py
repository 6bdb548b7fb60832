"""What the log says of a saga: its name, step and trace in `extra`, and never a payload.

An exception's message may hold what a payload holds, so it is told by its type alone. At DEBUG its traceback follows,
without any message. All of it is part of the line itself where the service asks for it by `log_errors="traceback"`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, assert_never
from uuid import UUID

from saga_fn.core.event_kinds import Failed, is_failure
from saga_fn.core.events import CompensationFailed, FailureKind, ProbeFailed, StepFailed, StepSucceeded
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.leftovers import left_over
from saga_fn.core.outlook import (
    Again,
    ForAPerson,
    ForGood,
    Next,
    Overtaken,
    ToFindOut,
    ToUndo,
    outlook,
)
from saga_fn.core.plan import Plan
from saga_fn.core.state import Goal, SagaState
from saga_fn.engine.drive.owned_saga import OwnedSaga
from saga_fn.engine.drive.step_error import Fault, fault_in
from saga_fn.engine.drive.traces import in_lines, without_messages
from saga_fn.engine.options import LogErrors
from saga_fn.printable import printable

if TYPE_CHECKING:
    from saga_fn.engine.drive.event_batch import EventBatch

LOG = logging.getLogger("saga_fn")
"""For what is said of a saga."""
PROCESS = logging.getLogger("saga_fn.process")
"""For what is said of this process."""

_MOST_TOLD: Final = 20
_COUNTLESS: Final = 1_000_000
"""Attempts of a policy that is bounded in time alone."""


def about(saga: OwnedSaga, step: StepId | None = None, attempt: int | None = None) -> dict[str, object]:
    """The `extra` of a record about the saga."""
    return about_id(saga.id, saga.registered.name, saga.trace_id, step, attempt)


def about_id(
    saga_id: UUID, name: str, trace_id: str, step: StepId | None = None, attempt: int | None = None
) -> dict[str, object]:
    """The same of a saga that this process does not drive. Whoever starts a saga chooses its trace id: it is cleaned."""
    return {
        "saga_id": str(saga_id),
        "saga_name": name,
        "trace_id": printable(trace_id),
        "step": step,
        "attempt": attempt,
    }


def log_progress(saga: OwnedSaga, draft: EventBatch, log_errors: LogErrors) -> None:
    """Tell of what has just become durable as far as somebody should know: failures, parking, the end."""
    if draft.release is None and len(draft.entries) == 1 and type(draft.entries[0].event) is StepSucceeded:
        return  # nearly always
    for place, entry in enumerate(draft.entries):
        event = entry.event
        if is_failure(event):
            raised = next((error for where, error in draft.raised if where == place), None)
            _log_failure(saga, draft, event, fault_in(entry.payload), raised, log_errors)
    shown = draft.projection
    if shown.parked is not None and draft.release is not None:
        what = shown.parked if draft.last_error is None else f"{shown.parked} ({draft.last_error})"
        extra = about(saga, shown.current_step)
        LOG.warning("saga %s is parked at %s: %s", saga.id, shown.current_step, what, extra=extra)
    if draft.state.ended and (draft.state.goal is Goal.FAILED or LOG.isEnabledFor(logging.INFO)):
        log_end(saga.id, saga.plan, draft.state, draft.last_error, about(saga))


def log_end(saga_id: UUID, plan: Plan, state: SagaState, error: str | None, extra: dict[str, object]) -> None:
    """Tell how the saga has ended: FAILED at ERROR, for a person has to look at what is left over."""
    if state.goal is Goal.FAILED:
        left = ", ".join(f"{each.step_id} ({each.kind.value})" for each in left_over(plan, state)) or "nothing"
        LOG.error("saga %s ended: FAILED (%s); left over: %s", saga_id, error or "by a person", left, extra=extra)
    else:
        LOG.info("saga %s ended: %s", saga_id, state.goal.name, extra=extra)


def log_unregistered() -> None:
    """Tell that a worker has nothing to work on, which is seldom meant."""
    PROCESS.info("works on nothing: no saga is registered with this process yet")


def log_stopping(running: Sequence[str], seconds: float) -> None:
    """Tell what a stop cuts short, after it has waited so long."""
    if running:
        more = f", and {len(running) - _MOST_TOLD} more" if len(running) > _MOST_TOLD else ""
        told = ", ".join(running[:_MOST_TOLD]) + more
        PROCESS.warning("the process stops: after %g s it cuts short, and hands back, %s", seconds, told)


def log_left(saga_ids: Sequence[UUID]) -> None:
    """Tell which sagas a stop could not even hand back."""
    if saga_ids:
        told = ", ".join(map(str, saga_ids[:_MOST_TOLD]))
        PROCESS.warning("the process stops: %d sagas are left to their leases: %s", len(saga_ids), told)


def _log_failure(
    saga: OwnedSaga,
    draft: EventBatch,
    event: Failed,
    fault: Fault | None,
    raised: BaseException | None,
    log_errors: LogErrors,
) -> None:
    told = fault.types if fault is not None else event.kind.name
    if fault is not None and fault.altered:
        told += ", a business error that cannot be stored whole: its type and message are kept"
    extra = about(saga, event.step, event.attempt)
    LOG.warning(
        "saga %s: %s failed (%s): %s",
        saga.id,
        _what(event),
        told,
        _next(saga.plan, draft.state, event),
        extra=extra,
        exc_info=in_lines(raised) if raised is not None and log_errors == "traceback" else None,
    )
    if raised is not None and log_errors != "traceback" and LOG.isEnabledFor(logging.DEBUG):
        LOG.debug("saga %s: what %s raised", saga.id, _what(event), extra=extra, exc_info=without_messages(raised))


def _what(event: Failed) -> str:
    match event:
        case StepFailed():
            return event.step
        case CompensationFailed():
            return f"the compensation of {event.step}"
        case ProbeFailed():
            return f"the probe of {event.step}"
        case _:
            assert_never(event)


def _next(plan: Plan, state: SagaState, event: Failed) -> str:
    """Which attempt it was, and what comes next, as the core has decided."""
    told = outlook(plan, state, event)
    words = [f"attempt {event.attempt}{_of(told.counted, event.attempt)}"]
    if event.kind is FailureKind.REFUSED:
        words.append("a business error")
    if told.may_have_run and not isinstance(event, ProbeFailed):
        words.append("it may have run")
    return ", ".join((*words, _told(told.next, event.at)))


def _told(next_: Next, at: Moment) -> str:
    match next_:
        case Again(at=then):
            return f"again {_in(then, at)}"
        case ToFindOut():
            return "to be found out"
        case ToUndo():
            return "to be undone"
        case ForAPerson():
            return "waits for a person"
        case ForGood():
            return "for good"
        case Overtaken():
            return "and was decided otherwise meanwhile"
        case _:
            assert_never(next_)


def _of(counted: tuple[int, int] | None, attempt: int) -> str:
    """Which of how many. An execution has a number for ever, while a policy counts anew when a person says so."""
    if counted is None or counted[1] >= _COUNTLESS:
        return ""
    count, most = counted
    return f" of {most}" if count == attempt else f", {count} of {most} by its policy"


def _in(wake: Moment, at: Moment) -> str:
    seconds = max(0, wake - at) / 1_000_000
    shown = round(seconds, 3 if seconds < 1 else 1)
    return f"in {shown:g} s" if shown else "at once"
