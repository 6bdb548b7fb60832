"""Events that were sent in callers' transactions: taken when these are committed, by one process at a time, and forgotten."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TypeAlias
from uuid import UUID

import asyncpg
import pytest

from saga_fn import MemoryStore, StoreError
from saga_fn.core.events import AbortRequested
from saga_fn.core.ids import Moment
from saga_fn.store.postgres import PostgresStore
from saga_fn.store.protocol import Store
from saga_fn.store.records import ANSWER_BYTES, OF_SENT, SENT_AT_ONCE, InboxMessage, MessageStatus, time_of
from saga_fn.store.schema_name import with_schema
from tests.sql.test_plans import STATEMENTS, execution
from tests.store.given import SHOP, Hand, start

KEY = ("shop", "order-1")
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
LEASE = timedelta(minutes=1)
pytestmark = pytest.mark.raw_rows
NO_LEASE = timedelta(0)


@pytest.fixture
async def postgres(any_dsn: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(any_dsn)
    await store.open(migrate=False, listen=None)
    yield store
    await store.close()


@pytest.fixture
async def connection(any_dsn: str) -> AsyncIterator[Connection]:
    opened = await asyncpg.connect(any_dsn)
    yield opened
    await opened.close()


async def add(
    store: Store, connection: Connection, target: UUID | tuple[str, str], number: int = 1, *, for_next: bool = False
) -> MessageStatus:
    message = InboxMessage(UUID(int=number), "event", b"%d" % number)
    return await store.sent_events.add(target, message, "paid", expires=None, for_next=for_next, connection=connection)


async def ended(hand: Hand, store: Store) -> None:
    await store.commit(0, [hand.write(AbortRequested(store.now(), Moment(0)))])


async def test_an_event_is_taken_when_its_transaction_is_committed_and_by_one_process(
    postgres: PostgresStore, connection: Connection
) -> None:
    hand = await start(postgres)
    async with connection.transaction():
        assert await add(postgres, connection, hand.id, 2) is MessageStatus.STORED
        assert await add(postgres, connection, KEY, 1, for_next=True) is MessageStatus.STORED
        assert await postgres.sent_events.claim(lease=LEASE) == []
        assert await postgres.due_shards(SHOP) == {}
    assert list(await postgres.due_shards(SHOP)) == [OF_SENT]
    first, second = await postgres.sent_events.claim(lease=NO_LEASE)
    assert (first.target, first.message, first.event, first.for_next) == (
        hand.id,
        InboxMessage(UUID(int=2), "event", b"2"),
        "paid",
        False,
    )
    assert (second.target, second.message.id, second.for_next) == (KEY, UUID(int=1), True)
    assert first.sent_at < second.sent_at
    assert first.expires is None
    assert second.expires is not None
    assert time_of(second.expires) - second.sent_at == timedelta(days=7)
    assert len(await postgres.sent_events.claim(lease=LEASE)) == 2, "its lease is over"
    assert await postgres.sent_events.claim(lease=LEASE) == []
    assert await postgres.due_shards(SHOP) == {}
    assert await postgres.sent_events.remove([first.id, UUID(int=9)]) == {first.id}
    assert await postgres.sent_events.remove([first.id, second.id]) == {second.id}


async def test_no_more_are_taken_at_once_than_a_statement_may(postgres: PostgresStore, connection: Connection) -> None:
    hand = await start(postgres)
    async with connection.transaction():
        for number in range(1, SENT_AT_ONCE + 2):
            await add(postgres, connection, hand.id, number)
    assert len(await postgres.sent_events.claim(lease=LEASE)) == SENT_AT_ONCE
    assert len(await postgres.sent_events.claim(lease=LEASE)) == 1


async def test_no_further_one_is_taken_once_those_taken_are_as_large_as_an_answer_may_be(
    postgres: PostgresStore, connection: Connection
) -> None:
    hand = await start(postgres)
    half = bytes(ANSWER_BYTES // 2)
    for number in range(1, 6):
        message = InboxMessage(UUID(int=number), "event", half)
        async with connection.transaction():
            await postgres.sent_events.add(
                hand.id, message, "paid", expires=None, for_next=False, connection=connection
            )
    assert [len(await postgres.sent_events.claim(lease=LEASE)) for _ in range(4)] == [2, 2, 1, 0]


async def test_duplicates_and_ends_are_told_as_far_as_the_transaction_sees_them(
    postgres: PostgresStore, connection: Connection
) -> None:
    hand = await start(postgres, aggregation_id=KEY[1])
    await postgres.send(hand.id, InboxMessage(UUID(int=1), "event", b"1"))
    async with connection.transaction():
        assert await add(postgres, connection, hand.id) is MessageStatus.DUPLICATE
        for target in (hand.id, KEY):
            assert await add(postgres, connection, target, 2) is MessageStatus.STORED
            assert await add(postgres, connection, target, 2) is MessageStatus.DUPLICATE
    hand.inbox_seen = 1
    await ended(hand, postgres)
    async with connection.transaction():
        assert await add(postgres, connection, hand.id, 3) is MessageStatus.ENDED
        assert await add(postgres, connection, KEY, 3) is MessageStatus.ENDED
        assert await add(postgres, connection, KEY, 1) is MessageStatus.DUPLICATE, "the saga had got it by its own id"
        assert await add(postgres, connection, KEY, 3, for_next=True) is MessageStatus.STORED
        assert await add(postgres, connection, UUID(int=7), 3) is MessageStatus.ENDED


async def test_an_event_that_was_sent_before_a_saga_of_its_key_began_is_not_for_it_if_another_has_ended(
    store: Store,
) -> None:
    await ended(await start(store, aggregation_id=KEY[1]), store)
    sent_at = time_of(store.now()) - timedelta(seconds=1)
    second = await start(store, aggregation_id=KEY[1])
    kept = store.kept_events
    for number, moment, status in ((1, sent_at, MessageStatus.ENDED), (2, None, MessageStatus.STORED)):
        message = InboxMessage(UUID(int=number), "event", b"1")
        told = await kept.keep(0, KEY, message, "paid", expires=None, for_next=False, sent_at=moment)
        assert told is status
    third = InboxMessage(UUID(int=3), "event", b"1")
    assert await kept.keep(0, KEY, third, "paid", expires=None, for_next=True, sent_at=sent_at) is MessageStatus.STORED
    assert await kept.hand_over(0, KEY) == second.id
    assert {each.id for each in await store.messages(second.id)} == {UUID(int=2), UUID(int=3)}


async def test_a_memory_store_has_none(connection: Connection) -> None:
    store = MemoryStore()
    with pytest.raises(StoreError, match="cannot take part"):
        await add(store, connection, KEY)
    assert await store.sent_events.claim(lease=LEASE) == []
    assert await store.sent_events.remove([UUID(int=1)]) == frozenset()


FILL = """
    INSERT INTO saga_fn.saga_sent (shard, id, saga_id, name, aggregation_id, message_id, event, body, due_at)
    SELECT 0, lpad(to_hex(n), 32, '0')::uuid, CASE WHEN n % 2 = 0 THEN lpad(to_hex(n), 32, '0')::uuid END,
           CASE WHEN n % 2 = 1 THEN 'saga 1' END, CASE WHEN n % 2 = 1 THEN 'key ' || n END,
           lpad(to_hex(n), 32, '0')::uuid, 'paid', 'body', now() + (n - 100) * interval '1 second'
    FROM generate_series(1, 20000) AS n
"""


@pytest.mark.parametrize("name", ["send_event_within", "keep_event_within", "claim_sent_events", "delete_sent_events"])
async def test_each_statement_finds_its_rows_by_an_index(any_dsn: str, name: str) -> None:
    connection = await asyncpg.connect(any_dsn, statement_cache_size=0)
    try:
        await connection.execute(FILL)
        await connection.execute("ANALYZE saga_fn.saga_sent")
        await connection.execute(f"PREPARE {name} AS {with_schema(STATEMENTS[name], 'saga_fn')}")
        for mode in ("force_generic_plan", "force_custom_plan"):
            await connection.execute(f"SET plan_cache_mode = {mode}")
            lines = [row[0] for row in await connection.fetch(f"EXPLAIN (COSTS OFF) {execution(name)}")]
            assert any("using saga_sent_" in line or "on saga_sent_" in line for line in lines), lines
            assert not any("Seq Scan on saga_sent" in line for line in lines), lines
    finally:
        await connection.close()
