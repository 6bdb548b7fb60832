"""Journal entries as the columns of one statement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict, TypeVar
from uuid import UUID

from saga_fn.core.event_kinds import step_of
from saga_fn.core.events import name_of
from saga_fn.store.records import SagaWrite, encode_event

T = TypeVar("T")


class JournalColumns(TypedDict):
    """One list a column, as `commit_sagas` takes them."""

    j_saga_ids: list[UUID]
    j_revs: list[int]
    j_writers: list[UUID]
    j_kinds: list[str]
    j_step_ids: list[str | None]
    j_events: list[bytes]
    j_inputs: list[bytes | None]
    j_input_ofs: list[int | None]
    j_payloads: list[bytes | None]


def sparse(column: list[T | None]) -> list[T | None]:
    """The column without the NULLs at its end: unnest() fills shorter columns up with them, and the driver encodes none."""
    if column.count(None) == len(column):  # nearly always
        return []
    for last in range(len(column), 0, -1):
        if column[last - 1] is not None:
            return column if last == len(column) else column[:last]
    return []


def alike(column: list[T]) -> list[T]:
    """The column, or only its first element if all others are the same: a row that says nothing says what is first."""
    return column[:1] if column and column.count(column[0]) == len(column) else column


def journal_columns(writes: Sequence[SagaWrite], *, plain: bool) -> JournalColumns:
    """The journal entries of all these writes, in order. `plain`: each has one, which its owner has written."""
    entries = [entry for write in writes for entry in write.entries]
    named = () if plain else [(write, rev) for write in writes for rev, _ in enumerate(write.entries, write.rev)]
    return JournalColumns(
        j_saga_ids=[write.id for write, _ in named],
        j_revs=[rev for _, rev in named],
        j_writers=[write.writer for write, _ in named],
        j_kinds=alike([name_of(entry.event) for entry in entries]),
        j_step_ids=[step_of(entry.event) for entry in entries],
        j_events=[encode_event(entry.event) for entry in entries],
        j_inputs=sparse([entry.input for entry in entries]),
        j_input_ofs=sparse([entry.input_of for entry in entries]),
        j_payloads=sparse([entry.payload for entry in entries]),
    )
