"""Journal entries as the columns of one statement."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict
from uuid import UUID

from saga_fn.core.events import (
    CompensationFailed,
    CompensationSucceeded,
    Event,
    StepFailed,
    StepSkipped,
    StepSucceeded,
    name_of,
)
from saga_fn.store.records import SagaWrite, encode_event, time_of


class JournalColumns(TypedDict):
    """One list a column, as `commit_sagas` takes them."""

    j_saga_ids: list[UUID]
    j_seqs: list[int]
    j_kinds: list[str]
    j_step_ids: list[str | None]
    j_attempts: list[int | None]
    j_ats: list[datetime]
    j_tokens: list[UUID | None]
    j_write_ids: list[UUID]
    j_events: list[bytes]
    j_inputs: list[bytes | None]
    j_payloads: list[bytes | None]


def step_of(event: Event) -> tuple[str | None, int | None]:
    """The step an event is about, and the attempt, where it has them."""
    if isinstance(event, StepSkipped):
        return event.step, None
    if isinstance(event, StepSucceeded | StepFailed | CompensationSucceeded | CompensationFailed):
        return event.step, event.attempt
    return None, None


def journal_columns(writes: Sequence[SagaWrite]) -> JournalColumns:
    """The journal entries of all these writes, in order."""
    columns = JournalColumns(
        j_saga_ids=[],
        j_seqs=[],
        j_kinds=[],
        j_step_ids=[],
        j_attempts=[],
        j_ats=[],
        j_tokens=[],
        j_write_ids=[],
        j_events=[],
        j_inputs=[],
        j_payloads=[],
    )
    for write in writes:
        for seq, entry in enumerate(write.entries, write.rev + 1):
            step, attempt = step_of(entry.event)
            columns["j_saga_ids"].append(write.id)
            columns["j_seqs"].append(seq)
            columns["j_kinds"].append(name_of(entry.event))
            columns["j_step_ids"].append(step)
            columns["j_attempts"].append(attempt)
            columns["j_ats"].append(time_of(entry.event.at))
            columns["j_tokens"].append(write.token)
            columns["j_write_ids"].append(write.write_id)
            columns["j_events"].append(encode_event(entry.event))
            columns["j_inputs"].append(entry.input)
            columns["j_payloads"].append(entry.payload)
    return columns
