"""A saga with its journal, its plans and its records, as an archive gets it before it is deleted, and an export of a live one."""

from __future__ import annotations

from typing import final

from saga_fn.codec.searchable import value_in
from saga_fn.core.event_kinds import plan_of
from saga_fn.core.events import name_of
from saga_fn.core.ids import PlanId
from saga_fn.definition.archive import json_of, text_of
from saga_fn.errors import StoredDataError
from saga_fn.store.protocol import Store
from saga_fn.store.records import JournalRecord, SagaRecord, decode_event, encode_plan


@final
class Exporter:
    """Reads sagas, one after another. Each has the plans that it ran by, which are read once for all of them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._plans: dict[PlanId, str | None] = {}
        self.size: int = 0
        """Bytes of all states and payloads so far."""

    async def data_of(self, row: SagaRecord) -> dict[str, object]:
        """All that belongs to the saga, up to the row's revision, but the columns of the row that people look for."""
        journal = await self._store.journal(row.id, last=row.rev)
        records = await self._store.rejections(row.id)
        attributes = (await self._store.lists.attributes([row.id]))[row.id]
        self.size += len(row.state) + sum(len(entry.input or b"") + len(entry.payload or b"") for entry in journal)
        return {
            "plan": row.plan,
            "plans": await self._plans_of(row, journal),
            "revision": row.rev,
            "state": text_of(row.state),
            "last_error": row.last_error,
            "attributes": {key: _value_in(text) for key, text in attributes.items()},
            "journal": [_entry(record) for record in journal],
            "records": [
                {"kind": record.kind, "detail": record.detail, "recorded_at": record.recorded_at} for record in records
            ],
        }

    async def _plans_of(self, row: SagaRecord, journal: list[JournalRecord]) -> dict[str, str]:
        """The plans that the saga has run by, as far as they can be read."""
        named = dict.fromkeys([*filter(None, map(_plan_named, journal)), row.plan])
        for plan in named:
            if plan not in self._plans:
                self._plans[plan] = await self._plan(plan)
        return {plan: data for plan in named if (data := self._plans[plan]) is not None}

    async def _plan(self, plan: PlanId) -> str | None:
        try:
            found = await self._store.plan(plan)
        except StoredDataError:
            return None
        return None if found is None else text_of(encode_plan(found.data))


def _plan_named(record: JournalRecord) -> PlanId | None:
    try:
        return plan_of(decode_event(record.event))
    except StoredDataError:
        return None


def _value_in(text: str) -> object:
    try:
        return value_in(text)
    except StoredDataError:
        return None


def _entry(record: JournalRecord) -> dict[str, object]:
    try:
        kind = name_of(decode_event(record.event))
    except StoredDataError:
        kind = "unreadable"
    return {
        "seq": record.seq,
        "kind": kind,
        "event": text_of(record.event),
        "writer": record.writer,
        "process": record.process,
        "input": json_of(record.input),
        "payload": json_of(record.payload),
    }
