"""What only a database can do: lock, refuse a value, and hold its own tables to the rules."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest

from saga_fn.errors import StoreUnavailableError
from saga_fn.store.errors import RowLockedError, RowRejectedError
from saga_fn.store.postgres import PostgresStore
from tests.store.given import LONG, OTHER, OWNER, SHOP, Hand, new_saga, start

pytestmark = pytest.mark.raw_rows


@pytest.fixture
async def store(any_dsn: str) -> AsyncIterator[PostgresStore]:
    postgres = PostgresStore(any_dsn)
    await postgres.open(migrate=False, listen=None)
    yield postgres
    await postgres.close()


@pytest.fixture
async def stranger(any_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(any_dsn)
    yield connection
    await connection.close()


async def test_a_value_that_cannot_be_kept_refuses_the_batch_and_nothing_is_inserted(store: PostgresStore) -> None:
    good, bad = new_saga(store), new_saga(store, name="nul \x00 character")
    with pytest.raises(RowRejectedError):
        await store.insert(0, [good, bad], lease=LONG)
    assert await store.read(good.id) is None


async def test_sagas_of_one_definition_that_are_all_locked_hide_no_due_saga_of_another(
    store: PostgresStore, stranger: asyncpg.Connection
) -> None:
    locked = [await start(store, owned=False) for _ in range(24)]  # as many as a claim of one looks at, and more
    free = await start(store, owned=False, name="audit")
    definitions = [*SHOP, ("audit", 1)]
    async with asyncio.timeout(30), stranger.transaction():
        ids = [hand.id for hand in locked]
        await stranger.execute("SELECT 1 FROM saga_fn.saga WHERE shard = 0 AND id = ANY($1) FOR UPDATE", ids)
        assert [each.id for each in await store.claim_due(0, definitions, owner=OTHER, limit=1, lease=LONG)] == [
            free.id
        ]
    (oldest,) = await store.claim_due(0, definitions, owner=OTHER, limit=1, lease=LONG)
    assert oldest.id == locked[0].id


async def test_nobody_waits_long_for_a_row_that_somebody_else_has_locked(
    store: PostgresStore, stranger: asyncpg.Connection
) -> None:
    locked, free = await start(store), await start(store)
    async with asyncio.timeout(30), stranger.transaction():
        await stranger.execute("SELECT 1 FROM saga_fn.saga WHERE shard = 0 AND id = $1 FOR UPDATE", locked.id)
        writes = [hand.succeeded() for hand in sorted((locked, free), key=lambda hand: hand.id)]
        for patient in (writes, [locked.succeeded()]):
            with pytest.raises(RowLockedError):
                await store.commit(0, patient)
        assert set((await store.commit(0, writes, skip_locked=True)).inbox_sent) == {free.id}
        assert set((await store.renew(0, _tokens(locked, free), owner=OWNER, lease=LONG)).inbox_sent) == {free.id}
        assert set((await store.commit(0, [locked.succeeded()], skip_locked=True)).inbox_sent) == set()
        assert await store.active_tokens(0, [locked.id]) == {locked.id: (locked.token, False)}
        await store.release(0, _tokens(locked))
        assert await store.active_tokens(0, [locked.id]) == {locked.id: (locked.token, False)}
        assert await store.claim_due(0, SHOP, owner=OTHER, limit=9, lease=LONG) == []
    assert set((await store.commit(0, [locked.succeeded()])).inbox_sent) == {locked.id}


async def test_one_bad_row_refuses_its_batch_by_name(store: PostgresStore) -> None:
    good, bad = await start(store), await start(store)
    writes = [good.succeeded(), msgspec.structs.replace(bad.succeeded(), last_error="nul \x00")]
    with pytest.raises(RowRejectedError):
        await store.commit(0, writes)
    assert len(await store.journal(good.id)) == 1
    broken = msgspec.structs.replace(bad.failed(), due=None)
    with pytest.raises(RowRejectedError) as caught:
        await store.commit(0, [broken])
    assert caught.value.constraint == "saga_live_is_due"


# Each breaks one rule of a table, and says which.
BREACHES = {
    "saga_acknowledged_has_failed": "acknowledged = true",
    "saga_status_known": "status = 'LOST'",
    "saga_suspended_has_reason": "waits = 1",
    "saga_owner_has_token": "token = NULL",
    "saga_live_is_due": "due_at = NULL",
    "saga_times_are_readable": "updated_at = 'infinity'",
    "saga_state_is_small": "state = convert_to(repeat('x', 65537), 'UTF8')",
}


@pytest.mark.parametrize("rule", BREACHES)
async def test_the_table_refuses_what_breaks(store: PostgresStore, stranger: asyncpg.Connection, rule: str) -> None:
    await start(store)
    with pytest.raises(asyncpg.CheckViolationError) as caught:
        await stranger.execute(f"UPDATE saga_fn.saga SET {BREACHES[rule]}")
    assert caught.value.constraint_name == rule


async def test_a_saga_and_its_journal_are_of_the_month_of_its_start(
    store: PostgresStore, stranger: asyncpg.Connection
) -> None:
    await stranger.execute("SET timezone = 'Asia/Tokyo'")
    hands = await asyncio.gather(*(start(store) for _ in range(3)))
    await store.commit(0, [hand.failed() for hand in hands])
    (row,) = await stranger.fetch(
        "SELECT DISTINCT era, extract(year FROM created_at AT TIME ZONE 'UTC') AS year,"
        " extract(month FROM created_at AT TIME ZONE 'UTC') AS month FROM saga_fn.saga"
    )
    assert row["era"] == (row["year"] - 2000) * 12 + row["month"] - 1
    entries = await stranger.fetch("SELECT era, count(*) AS entries FROM saga_fn.saga_journal GROUP BY era")
    assert [(each["era"], each["entries"]) for each in entries] == [(row["era"], 6)]


async def test_every_rule_of_the_table_is_tried(stranger: asyncpg.Connection) -> None:
    assert set(await rules(stranger, "saga")) == set(BREACHES)


async def rules(connection: asyncpg.Connection, table: str) -> dict[str, str]:
    """The conditions of a table's CHECK constraints, by their names."""
    rows = await connection.fetch(
        "SELECT conname, pg_get_expr(conbin, conrelid) AS condition FROM pg_constraint"
        f" WHERE contype = 'c' AND conrelid = 'saga_fn.{table}'::regclass"
    )
    return {row["conname"]: row["condition"] for row in rows}


ENDS = {"COMPLETED", "COMPENSATED", "FAILED"}
LIVE = {"RUNNING", "SUSPENDED", "COMPENSATING"}
SAGA_VALUES = {
    "status": "('RUNNING'), ('SUSPENDED'), ('COMPENSATING'), ('COMPLETED'), ('COMPENSATED'), ('FAILED'), ('LOST'), ('')",
    "waits": "(-1::smallint), (0), (1), (2), (3), (4), (5), (8), (12), (16), (24), (32), (40), (64), (80)",
    "acknowledged": "(true), (false)",
    "ended_at": "(now()), (NULL)",
    "owner": "(gen_random_uuid()), (NULL)",
    "token": "(gen_random_uuid()), (NULL)",
    "due_at": "(now()), (NULL)",
}
"""Everything that the rules of a saga's row look at but sizes and times."""


def is_sound(row: asyncpg.Record) -> bool:
    """The rules of a saga's row, one by one: none of them is written as the table writes it."""
    waits, status, ended = row["waits"], row["status"], row["ended_at"] is not None
    rests = status == "SUSPENDED" and row["owner"] is None and waits & 3 == 0
    return (
        status in ENDS | LIVE
        and ended == (status in ENDS)
        and (waits != 0) == (status == "SUSPENDED")
        and (row["owner"] is None) == (row["token"] is None)
        and (not row["acknowledged"] or status == "FAILED")
        and not (ended and (row["owner"] is not None or row["due_at"] is not None))
        and (row["due_at"] is not None or ended or rests)
    )


async def test_the_table_takes_just_the_rows_that_are_sound(stranger: asyncpg.Connection) -> None:
    rows = await every(stranger, "saga", SAGA_VALUES, without={"saga_state_is_small", "saga_times_are_readable"})
    assert len(rows) == 8 * 15 * 2**5
    assert [dict(row) for row in rows if row["is_taken"] != is_sound(row)] == []
    assert any(map(is_sound, rows))


async def every(
    connection: asyncpg.Connection, table: str, values: dict[str, str], *, without: set[str]
) -> list[asyncpg.Record]:
    """Each combination of values, and whether the table's rules take it: a condition that is NULL does."""
    tables = " CROSS JOIN ".join(f"(VALUES {each}) AS of_{name} ({name})" for name, each in values.items())
    asked = [condition for name, condition in (await rules(connection, table)).items() if name not in without]
    taken = " AND ".join(f"coalesce({condition}, true)" for condition in asked)
    rows: list[asyncpg.Record] = await connection.fetch(f"SELECT *, {taken} AS is_taken FROM {tables}")
    return rows


OUTGOING_VALUES = {
    "dead_at": "(now()), (NULL)",
    "token": "(gen_random_uuid()), (NULL)",
    "error": "('refused'), (NULL)",
    "blocks": "(true), (false)",
}


async def test_a_dead_message_is_nobodys_and_tells_why_and_a_live_one_blocks(stranger: asyncpg.Connection) -> None:
    rows = await every(stranger, "saga_outgoing", OUTGOING_VALUES, without={"saga_outgoing_times_are_readable"})
    assert len(rows) == 2**4
    for row in rows:
        dead = row["dead_at"] is not None
        assert row["is_taken"] == (row["token"] is None and row["error"] is not None if dead else row["blocks"])


async def test_a_sleeper_that_waits_for_its_time_has_one(store: PostgresStore, stranger: asyncpg.Connection) -> None:
    hand = await start(store)
    await store.commit(0, [hand.failed()])
    with pytest.raises(asyncpg.CheckViolationError):
        await stranger.execute("UPDATE saga_fn.saga SET due_at = NULL")
    await stranger.execute("UPDATE saga_fn.saga SET waits = 16, due_at = NULL")  # parked: a person comes by itself


def _tokens(*hands: Hand) -> dict[UUID, UUID]:
    return {hand.id: hand.token for hand in hands if hand.token is not None}


class Broken:
    """A pool whose only connection fails like that."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    @contextlib.asynccontextmanager
    async def acquire(self) -> AsyncGenerator[Broken]:
        yield self

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncGenerator[None]:
        yield

    async def execute(self, query: str, /, *args: object) -> str:
        raise self.error

    async def fetch(self, query: str, /, *args: object) -> list[object]:
        raise self.error

    async def fetchrow(self, query: str, /, *args: object) -> object:
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"),
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.AdminShutdownError("terminating connection due to administrator command"),
        ConnectionResetError(),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_connection_that_breaks_is_an_unavailable_store(error: Exception) -> None:
    store = PostgresStore(Broken(error))
    with pytest.raises(StoreUnavailableError):
        await store.read(uuid4())
    with pytest.raises(StoreUnavailableError):
        await store.due_shards([("shop", 1)])
