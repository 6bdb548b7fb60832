"""Facts about the progress of a saga that has just become durable."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from saga_fn.core.event_kinds import is_failure, is_result, phase_of, step_of
from saga_fn.core.events import name_of
from saga_fn.core.leftovers import left_over
from saga_fn.core.outlook import outlook
from saga_fn.core.projection import calls_a_person, ended_as
from saga_fn.engine.drive.step_error import step_error_in
from saga_fn.engine.observe.observers import Observers
from saga_fn.engine.observe.of_attempts import AttemptFailed, AttemptSucceeded
from saga_fn.engine.observe.of_sagas import SagaEnded, SagaParked, SagaTurnedBack
from saga_fn.engine.observe.of_troubles import AttributeUnknown

if TYPE_CHECKING:
    from saga_fn.engine.drive.event_batch import EventBatch


def tell_progress(observers: Observers, batch: EventBatch) -> None:
    """Tell what the batch has made durable, as far as an observer listens: results, parking, the end."""
    for attribute, step, error in batch.unknown:
        observers.tell(AttributeUnknown(batch.saga.identity, attribute, step, type(error).__name__))
    for place, entry in enumerate(batch.entries):
        event = entry.event
        if not is_result(event):
            continue
        phase = phase_of(event)
        if is_failure(event):
            if not observers.wants(logging.WARNING):
                continue
            step_error = step_error_in(entry.payload)
            observers.tell(
                AttemptFailed(
                    batch.saga.identity,
                    event.step,
                    event.attempt,
                    phase,
                    event.kind,
                    event.at,
                    error=event.kind.name if step_error is None else step_error.types,
                    altered=step_error is not None and step_error.altered,
                    outlook=outlook(batch.saga.plan, batch.state, event),
                    raised=next((error for where, error in batch.raised if where == place), None),
                )
            )
        elif observers.listens:
            observers.tell(AttemptSucceeded(batch.saga.identity, event.step, event.attempt, phase))
    if batch.turned_back is not None and observers.wants(logging.INFO):
        event = batch.turned_back
        observers.tell(SagaTurnedBack(batch.saga.identity, name_of(event), step_of(event)))
    shown = batch.projection
    if shown.parked is not None and batch.release is not None:
        observers.tell(SagaParked(batch.saga.identity, shown.current_step, shown.parked, batch.last_error))
    end = ended_as(batch.state)
    if end is not None and (calls_a_person(end) or observers.wants(logging.INFO)):
        left = left_over(batch.saga.plan, batch.state)
        observers.tell(SagaEnded(batch.saga.identity, end, batch.last_error, left, batch.state.at))
