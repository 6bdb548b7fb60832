"""The services' books: what each of them did, written by itself, and what it was asked.

Entries are only ever added. An idempotency key is the primary key, so the same request cannot be booked twice; that
an order is charged twice under two keys is *not* prevented here: it is for the saga to avoid and for the audit to find.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal

import asyncpg
import attrs

from saga_fn import Delivery
from saga_fn.demo.services.weather import Operation, Verdict
from saga_fn.guard import Doing, Guard, Undoing

EntryKind = Literal["asked", "approved", "rejected", "reserved", "released", "charged", "refunded", "shipped"]
UNDOING: frozenset[EntryKind] = frozenset({"released", "refunded"})


@attrs.frozen
class Entry:
    """Something that a service did."""

    key: str
    kind: EntryKind
    order_id: str
    reference: str
    """The review, reservation, payment or parcel that it is about."""
    amount_cents: int = 0


@attrs.frozen
class Call:
    """Something that a service was asked, whatever came of it."""

    key: str
    operation: Operation
    order_id: str
    worker: str
    """Who asked."""
    called_at: datetime


@attrs.frozen
class Notice:
    """A decision that was sent to an order's saga, and what had become of it when it was safely stored."""

    order_id: str
    verdict: Verdict
    by: str
    delivery: Delivery
    sent_at: datetime


CREATE = """
CREATE SCHEMA books;
CREATE TABLE books.entry (
    key          text PRIMARY KEY,
    kind         text NOT NULL CHECK (kind IN (
        'asked', 'approved', 'rejected', 'reserved', 'released', 'charged', 'refunded', 'shipped'
    )),
    order_id     text NOT NULL,
    reference    text NOT NULL,
    amount_cents bigint NOT NULL,
    recorded_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE books.call (
    key       text NOT NULL,
    operation text NOT NULL,
    order_id  text NOT NULL,
    worker    text NOT NULL,
    called_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ON books.call (key);
CREATE TABLE books.notice (
    order_id text NOT NULL,
    verdict  text NOT NULL,
    by_whom  text NOT NULL,
    delivery text NOT NULL,
    sent_at  timestamptz NOT NULL
);
"""

COUNT_CALL = """
WITH noted AS (INSERT INTO books.call (key, operation, order_id, worker) VALUES ($1, $2, $3, $4))
SELECT count(*) + 1 FROM books.call WHERE key = $1
"""

# The update changes nothing: it makes the statement return the entry that stands.
RECORD = """
INSERT INTO books.entry (key, kind, order_id, reference, amount_cents) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (key) DO UPDATE SET key = excluded.key
RETURNING key, kind, order_id, reference, amount_cents
"""

FIND = "SELECT key, kind, order_id, reference, amount_cents FROM books.entry WHERE key = $1"
READ_ENTRIES = "SELECT key, kind, order_id, reference, amount_cents FROM books.entry ORDER BY recorded_at, key"
READ_CALLS = "SELECT key, operation, order_id, worker, called_at FROM books.call ORDER BY called_at, key"
NOTE_SENT = "INSERT INTO books.notice (order_id, verdict, by_whom, delivery, sent_at) VALUES ($1, $2, $3, $4, $5)"
READ_NOTICES = "SELECT order_id, verdict, by_whom, delivery, sent_at FROM books.notice ORDER BY sent_at"
DROP = "DROP SCHEMA IF EXISTS books CASCADE"


class Books:
    """The tables `entry`, `call` and `notice` in a schema of their own.

    `schema` is a plain lower-case identifier; ValueError otherwise.
    """

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], schema: str) -> None:
        if re.fullmatch("[a-z_][a-z0-9_]{0,62}", schema) is None:
            raise ValueError(f"{schema!r} is not a plain lower-case identifier")
        self._pool = pool
        self._schema = schema
        self._guard = Guard(schema)

    async def create(self) -> None:
        """Open empty books."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(self._here(CREATE))
            await self._guard.create(connection)

    async def drop(self) -> None:
        """Burn them."""
        await self._pool.execute(self._here(DROP))

    async def now(self) -> datetime:
        """The time by the clock that stamps the calls."""
        now: datetime = await self._pool.fetchval("SELECT clock_timestamp()")
        return now

    async def count_call(self, key: str, operation: Operation, order_id: str, worker: str) -> int:
        """Note that this was asked; how often it was asked under this key, this time included."""
        count: int = await self._pool.fetchval(self._here(COUNT_CALL), key, operation, order_id, worker)
        return count

    async def record(self, entry: Entry, operation: str) -> Entry | None:
        """Book this, unless its key is booked already; the entry that stands under the key.

        The operation is guarded: None, and nothing is booked, if it has been undone already, or is to be undone and has
        never been done.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            if entry.kind in UNDOING:
                refused = await self._guard.undone(connection, operation) is Undoing.NOTHING
            else:
                refused = await self._guard.done(connection, operation) is Doing.LATE
            if refused:
                return None
            (row,) = await connection.fetch(
                self._here(RECORD), entry.key, entry.kind, entry.order_id, entry.reference, entry.amount_cents
            )
            return Entry(*row)

    async def note_sent(self, notice: Notice) -> None:
        """Note what a saga was told."""
        await self._pool.execute(self._here(NOTE_SENT), *attrs.astuple(notice))

    async def find(self, key: str) -> Entry | None:
        """The entry under the key."""
        rows = await self._pool.fetch(self._here(FIND), key)
        return Entry(*rows[0]) if rows else None

    async def entries(self) -> tuple[Entry, ...]:
        """All that was done, in the order in which it was booked."""
        return tuple(Entry(*row) for row in await self._pool.fetch(self._here(READ_ENTRIES)))

    async def calls(self) -> tuple[Call, ...]:
        """All that was asked, in the order in which it was asked."""
        return tuple(Call(*row) for row in await self._pool.fetch(self._here(READ_CALLS)))

    async def notices(self) -> tuple[Notice, ...]:
        """All that the sagas were told, in the order in which they were told."""
        rows = await self._pool.fetch(self._here(READ_NOTICES))
        return tuple(Notice(order_id, verdict, by, Delivery(stored), at) for order_id, verdict, by, stored, at in rows)

    def _here(self, statement: str) -> str:
        """The statement with the schema `books` under its real name."""
        return re.sub(r"\bbooks\b", self._schema, statement)
