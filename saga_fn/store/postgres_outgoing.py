"""Outgoing messages, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final, TypedDict, final
from uuid import UUID

from saga_fn.store._queries import ClaimedOutgoingRow, UnsentRow
from saga_fn.store.connection import CallerConnection, holdable
from saga_fn.store.database import LOCK_TIMEOUT, Database
from saga_fn.store.ids import shard_of
from saga_fn.store.journal_rows import alike, sparse
from saga_fn.store.records import (
    ANSWER_BYTES,
    BLOCKED_FOR,
    MOST_COUNTED,
    PASSED_OVER_FOR,
    FailedMessage,
    HeldMessage,
    OutgoingCounts,
    OutgoingRecord,
    OutgoingRow,
    Place,
    is_full,
)

_NO_LEASE: Final = timedelta(0)


class ColumnsOfRows(TypedDict):
    """One list a column, as the statement takes them that writes one saga."""

    o_revs: list[int]
    o_ns: list[int | None]
    o_topics: list[str]
    o_keys: list[str]
    o_headers: list[bytes | None]
    o_bodies: list[bytes]
    o_are_free: list[bool | None]
    o_token: UUID | None
    o_lease: timedelta


class OutgoingColumns(ColumnsOfRows):
    """The same, as the statements take them that write many sagas."""

    o_saga_ids: list[UUID]


def outgoing_columns(connection: CallerConnection, outgoing: Sequence[tuple[UUID, OutgoingRow]]) -> OutgoingColumns:
    """The messages of the sagas of one statement."""
    rows = columns_of_rows(connection, [row for _, row in outgoing])
    return OutgoingColumns(o_saga_ids=[saga for saga, _ in outgoing], **rows)


def one_each(columns: OutgoingColumns) -> OutgoingColumns:
    """The columns where each saga of the statement has one message, of the one entry that it writes."""
    columns["o_saga_ids"], columns["o_revs"] = [], []
    return columns


def columns_of_rows(connection: CallerConnection, rows: Sequence[OutgoingRow]) -> ColumnsOfRows:
    """The messages of one saga. All that this process holds have one token."""
    token = next((row.token for row in rows if row.token is not None), None)
    return ColumnsOfRows(
        o_revs=[row.rev - 1 for row in rows],
        o_ns=sparse([row.n or None for row in rows]),
        o_topics=[holdable(connection, topic) for topic in alike([row.topic for row in rows])],
        o_keys=[holdable(connection, row.key) for row in rows],
        o_headers=sparse([row.headers for row in rows]),
        o_bodies=[row.body for row in rows],
        o_are_free=sparse([True if row.token is None or row.token != token else None for row in rows]),
        o_token=token,
        o_lease=rows[0].lease if rows else _NO_LEASE,
    )


@final
class PostgresOutgoing:
    """The outgoing messages of a store."""

    def __init__(self, database: Database, shards: int) -> None:
        self._database = database
        self._shards = shards

    async def due_topics(self) -> list[tuple[int, str]]:
        """The shards and topics of which messages may be taken; takes no lock."""
        async with self._database.work() as connection:
            rows = await self._database.queries.find_outgoing_topics(connection, shards=list(range(self._shards)))
        return [(row.shard, row.topic) for row in rows]

    async def claim(
        self, shard: int, topic: str, *, token: UUID, lease: timedelta, most: int
    ) -> tuple[list[HeldMessage], bool]:
        """Take the due messages of a topic that are the first of their sagas; and whether more of it may be due."""

        async def claimed() -> Sequence[ClaimedOutgoingRow]:
            async with self._database.work() as connection:
                return await self._database.queries.claim_outgoing(
                    connection,
                    shard=shard,
                    topic=topic,
                    token=token,
                    lease=lease,
                    most=most,
                    bytes=ANSWER_BYTES,
                    later=PASSED_OVER_FOR,
                    much_later=BLOCKED_FOR,
                )

        rows = await self._database.persist(claimed)
        held = [_held(row) for row in rows if not row.waits]
        return held, len(rows) == most or is_full(each.body for each in held)

    async def take(self, shard: int, saga_ids: Sequence[UUID], *, token: UUID, lease: timedelta) -> list[HeldMessage]:
        """Take the first message of each of these sagas, if no other process holds it, and it waits for nothing."""
        async with self._database.work() as connection:
            rows = await self._database.queries.take_outgoing(
                connection, shard=shard, saga_ids=list(saga_ids), token=token, lease=lease, bytes=ANSWER_BYTES
            )
        return [_held(row) for row in rows]

    async def confirm(self, shard: int, places: Sequence[Place]) -> None:
        """Delete messages that are published."""

        async def deleted() -> None:
            async with self._database.work() as connection:
                await self._database.queries.delete_outgoing(
                    connection,
                    shard=shard,
                    saga_ids=[saga for saga, _, _ in places],
                    revs=[rev for _, rev, _ in places],
                    ns=sparse([n or None for _, _, n in places]),
                    lock_timeout=LOCK_TIMEOUT,
                )

        await self._database.persist(deleted)

    async def fail(self, shard: int, failed: Sequence[FailedMessage], *, token: UUID, blocks: bool) -> None:
        """Record failed attempts of messages that are held under the token."""

        async def written() -> None:
            async with self._database.work() as connection:
                await self._database.queries.fail_outgoing(
                    connection,
                    shard=shard,
                    saga_ids=[each.saga_id for each in failed],
                    revs=[each.rev for each in failed],
                    ns=[each.n for each in failed],
                    delays=[each.delay for each in failed],
                    errors=[holdable(connection, each.error) for each in failed],
                    are_dead=[each.is_dead for each in failed],
                    token=token,
                    blocks=blocks,
                    lock_timeout=LOCK_TIMEOUT,
                )

        await self._database.persist(written)

    async def release(self, shard: int, saga_ids: Sequence[UUID], *, token: UUID) -> None:
        """Leave the messages of these sagas to others that are held under the token."""
        async with self._database.work() as connection:
            await self._database.queries.release_outgoing(
                connection, shard=shard, saga_ids=list(saga_ids), token=token, lock_timeout=LOCK_TIMEOUT
            )

    async def of_saga(self, saga_id: UUID, *, most: int) -> list[OutgoingRecord]:
        """The first messages of the saga, in their order; takes no lock."""
        async with self._database.work() as connection:
            rows = await self._database.queries.list_outgoing(
                connection, shard=self._shard(saga_id), saga_id=saga_id, most=most
            )
        return [_record(row) for row in rows]

    async def places(self, saga_id: UUID, *, dead: bool, after: tuple[int, int], most: int) -> list[tuple[int, int]]:
        """Where the first messages of the saga stand behind that place, in their order; takes no lock."""
        async with self._database.work() as connection:
            rows = await self._database.queries.list_outgoing_places(
                connection,
                shard=self._shard(saga_id),
                saga_id=saga_id,
                dead=dead,
                after_rev=after[0],
                after_n=after[1],
                most=most,
            )
        return [(row.rev, row.n) for row in rows]

    async def dead(self, *, most: int) -> list[OutgoingRecord]:
        """Dead messages, those that died first at the front; takes no lock."""
        found: list[OutgoingRecord] = []
        for shard in range(self._shards):
            async with self._database.work() as connection:
                rows = await self._database.queries.list_dead_outgoing(connection, shard=shard, most=most)
            found.extend(_record(row) for row in rows)
        return sorted(found, key=lambda each: (each.dead_at or each.created_at, each.saga_id))[:most]

    async def redrive(self, saga_id: UUID, places: Sequence[tuple[int, int]]) -> int:
        """Try these messages of a saga again, if they are dead; gives how many are."""
        shard = self._shard(saga_id)

        async def done() -> int:
            async with self._database.work() as connection:
                rows = await self._database.queries.redrive_outgoing(
                    connection,
                    shard=shard,
                    saga_id=saga_id,
                    revs=[rev for rev, _ in places],
                    ns=[n for _, n in places],
                    lock_timeout=LOCK_TIMEOUT,
                )
            return len(rows)

        count = await self._database.persist(done)
        await self._wake(shard, saga_id)
        return count

    async def discard(self, saga_id: UUID, places: Sequence[tuple[int, int]], *, waiting: bool = False) -> int:
        """Delete these messages of a saga, if they are dead, or, with `waiting`, held by no process; gives how many were."""
        shard = self._shard(saga_id)

        async def done() -> int:
            async with self._database.work() as connection:
                rows = await self._database.queries.discard_outgoing(
                    connection,
                    shard=shard,
                    saga_id=saga_id,
                    revs=[rev for rev, _ in places],
                    ns=[n for _, n in places],
                    waiting=waiting,
                    lock_timeout=LOCK_TIMEOUT,
                )
            return len(rows)

        count = await self._database.persist(done)
        await self._wake(shard, saga_id)
        return count

    async def counts(self) -> OutgoingCounts:
        """How many there are; takes no lock."""
        async with self._database.control() as connection:
            row = await self._database.queries.count_outgoing(
                connection, shards=list(range(self._shards)), most=MOST_COUNTED
            )
        return OutgoingCounts(row.waiting, row.oldest, row.dead)

    async def _wake(self, shard: int, saga_id: UUID) -> None:
        """Have those looked at that stood behind what is dead no more; they would be, some minutes later."""

        async def woken() -> None:
            async with self._database.work() as connection:
                await self._database.queries.wake_outgoing(
                    connection, shard=shard, saga_id=saga_id, lock_timeout=LOCK_TIMEOUT
                )

        await self._database.persist(woken)

    def _shard(self, saga_id: UUID) -> int:
        return shard_of(saga_id, self._shards)


def _held(row: ClaimedOutgoingRow) -> HeldMessage:
    return HeldMessage(
        row.saga_id,
        row.rev,
        row.n,
        row.topic,
        row.key,
        row.headers,
        row.body,
        row.attempts,
        row.created_at,
        row.saga_name,
        row.version,
    )


def _record(row: UnsentRow) -> OutgoingRecord:
    return OutgoingRecord(
        row.saga_id,
        row.rev,
        row.n,
        row.topic,
        row.key,
        row.headers,
        row.body,
        row.attempts,
        row.error,
        row.due_at,
        row.dead_at,
        row.blocks,
        row.created_at,
        row.is_held,
    )
