"""Journal entries as the columns of one statement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict
from uuid import UUID

from saga_fn.core.events import (
    CompensationFailed,
    CompensationSucceeded,
    CompensationWaits,
    Event,
    MarkedCompensated,
    ProbeAnswered,
    ProbeFailed,
    RetryRequested,
    StepFailed,
    StepSkipped,
    StepSucceeded,
    WaitDefaulted,
    name_of,
)
from saga_fn.store.records import SagaWrite, encode_event


class JournalColumns(TypedDict):
    """One list a column, as `commit_sagas` takes them."""

    j_saga_ids: list[UUID]
    j_seqs: list[int]
    j_writers: list[UUID]
    j_kinds: list[str]
    j_step_ids: list[str | None]
    j_events: list[bytes]
    j_inputs: list[bytes | None]
    j_input_ofs: list[int | None]
    j_payloads: list[bytes | None]


_UNDOING = CompensationSucceeded | CompensationFailed | CompensationWaits
_OF_AN_EXECUTION = StepSucceeded | StepFailed | _UNDOING | ProbeAnswered | ProbeFailed


def step_of(event: Event) -> tuple[str | None, int | None]:
    """The step an event is about, and the attempt, where it has them."""
    if isinstance(event, StepSkipped | WaitDefaulted | MarkedCompensated):
        return event.step, None
    if isinstance(event, RetryRequested):
        return event.step or None, None
    if isinstance(event, _OF_AN_EXECUTION):
        return event.step, event.attempt
    return None, None


def journal_columns(writes: Sequence[SagaWrite]) -> JournalColumns:
    """The journal entries of all these writes, in order."""
    rows = [(write, seq, entry) for write in writes for seq, entry in enumerate(write.entries, write.rev + 1)]
    return JournalColumns(
        j_saga_ids=[write.id for write, _, _ in rows],
        j_seqs=[seq for _, seq, _ in rows],
        j_writers=[write.writer for write, _, _ in rows],
        j_kinds=[name_of(entry.event) for _, _, entry in rows],
        j_step_ids=[step_of(entry.event)[0] for _, _, entry in rows],
        j_events=[encode_event(entry.event) for _, _, entry in rows],
        j_inputs=[entry.input for _, _, entry in rows],
        j_input_ofs=[entry.input_of for _, _, entry in rows],
        j_payloads=[entry.payload for _, _, entry in rows],
    )
