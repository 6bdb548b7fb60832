"""A saga's journal, read page by page: its payloads together may be more than a process can hold."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Final

from saga_fn.errors import SagaJournalDroppedError
from saga_fn.store.protocol import Store
from saga_fn.store.records import JournalRecord, SagaRecord

_AT_ONCE: Final = 500
"""Entries that are read by one statement."""


async def beginning_of(store: Store, row: SagaRecord) -> Sequence[JournalRecord]:
    """The first entries of a saga that has ended. Raises SagaJournalDroppedError if there is none: every saga has begun."""
    first = await store.journal(row.id, last=row.rev, most=_AT_ONCE)
    if not first:
        raise SagaJournalDroppedError(row.id, status=row.status)
    return first


async def entries_of(
    store: Store, row: SagaRecord, known: Sequence[JournalRecord] = ()
) -> AsyncGenerator[JournalRecord]:
    """The journal of the saga up to the row's revision, in order; `known` are its first entries, if they were read before."""
    page = known or await store.journal(row.id, last=row.rev, most=_AT_ONCE)
    while page:
        for record in page:
            yield record
        after = page[-1].seq
        page = await store.journal(row.id, after=after, last=row.rev, most=_AT_ONCE) if after < row.rev else []
