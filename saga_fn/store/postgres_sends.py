"""Events for sagas in PostgreSQL, many a statement."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from saga_fn.core.ids import Moment, PlanId
from saga_fn.store._queries import EventFateRow, EventsSentRow
from saga_fn.store.connection import Connection
from saga_fn.store.database import LOCK_TIMEOUT, Database
from saga_fn.store.journal_rows import sparse
from saga_fn.store.records import (
    KEPT_FOR,
    MOST_UNREAD,
    ClaimedSaga,
    Definition,
    EventToSend,
    Fate,
    SeenSaga,
    SendStatus,
    Sent,
    time_of,
)

_MILLISECOND = timedelta(milliseconds=1)


async def send_events_of(
    database: Database, shard: int, events: Sequence[EventToSend], *, owner: UUID, lease: timedelta
) -> dict[UUID, Sent]:
    """Leave events for many sagas, at most one a saga, in one statement; a saga that is not there is left out."""
    async with database.work() as connection:
        rows = await _sent(database, connection, shard, events, owner, lease)
    now = database.sync_clock(rows[0].now) if rows else database.now()
    by_saga = {event.saga_id: event for event in events}
    return {row.saga_id: _outcome(by_saga[row.saga_id], row, now) for row in rows}


async def _sent(
    database: Database, connection: Connection, shard: int, events: Sequence[EventToSend], owner: UUID, lease: timedelta
) -> list[EventsSentRow]:
    groups: dict[frozenset[Definition], int] = {}
    for event in events:
        groups.setdefault(event.fits, len(groups))
    fits = [(group, *definition) for definitions, group in groups.items() for definition in definitions]
    keyed = [(event.saga_id, event.to_key) for event in events if event.to_key is not None]
    tokens = sparse([event.token for event in events])
    send = database.queries.send_events
    if tokens:  # else nothing is claimed, and no right to do so is needed
        send = partial(database.queries.send_events_and_claim, owner=owner, lease=lease)
    return await send(
        connection,
        shard=shard,
        lock_timeout=LOCK_TIMEOUT,
        most=MOST_UNREAD,
        saga_ids=[event.saga_id for event in events],
        ids=[event.message.id for event in events],
        bodies=[event.message.body for event in events],
        groups=[groups[event.fits] for event in events],
        graces=[event.grace // _MILLISECOND for event in events],
        tokens=tokens,
        k_saga_ids=[saga for saga, _ in keyed],
        k_events=[event.name for _, event in keyed],
        k_expires=sparse([None if event.expires is None else time_of(event.expires) for _, event in keyed]),
        keep=KEPT_FOR,
        f_groups=[group for group, _, _, _ in fits],
        f_names=[name for _, name, _, _ in fits],
        f_versions=[version for _, _, version, _ in fits],
        f_plans=[plan for _, _, _, plan in fits],
    )


def _outcome(event: EventToSend, row: EventsSentRow, now: Moment) -> Sent:
    definition = row.name, row.version, PlanId(row.plan)
    if not row.fits:
        return Sent(SendStatus.UNFIT, definition)
    if row.known:
        is_over = row.ended and row.answer is None
        return Sent(SendStatus.ENDED if is_over else SendStatus.DUPLICATE, definition)
    if row.ended:
        return Sent(SendStatus.ENDED, definition)
    if row.is_full:
        return Sent(SendStatus.FULL, definition)
    if not row.told:
        return Sent(SendStatus.LOCKED, definition)
    # Told and not stored: another session has stored it since the statement looked.
    status = SendStatus.STORED if row.stored else SendStatus.DUPLICATE
    token = event.token
    claim = ClaimedSaga(*_seen(row, now), token, None) if token is not None and row.token == token else None
    is_alone = row.stored and row.is_alone
    free = SeenSaga(*_seen(row, now)) if is_alone and row.token is None else None
    return Sent(status, definition, claim, is_alone, row.token is not None, free)


def _seen(
    row: EventsSentRow, now: Moment
) -> tuple[UUID, str, int, str | None, str, PlanId, bytes, int, int, str | None, datetime, Moment]:
    return (
        row.saga_id,
        row.name,
        row.version,
        row.aggregation_id,
        row.trace_id,
        PlanId(row.plan),
        row.state,
        row.rev,
        row.inbox_sent,
        row.last_error,
        row.created_at,
        now,
    )


async def fates_of(database: Database, shard: int, wanted: Sequence[tuple[UUID, UUID]]) -> list[Fate | None]:
    """The fates of events, by their sagas and ids, in this order; None for a saga that is not there."""
    async with database.work() as connection:
        rows = await database.queries.read_event_fates(
            connection, shard=shard, saga_ids=[saga for saga, _ in wanted], ids=[event for _, event in wanted]
        )
    found = {row.place: row for row in rows}
    return [None if row is None else _fate(row) for row in map(found.get, range(1, len(wanted) + 1))]


def _fate(row: EventFateRow) -> Fate:
    definition = row.name, row.version, PlanId(row.plan)
    return Fate(row.answer, row.ended, row.free, definition, row.wakes)
