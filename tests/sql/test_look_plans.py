"""A look for what is new reads little, however many sagas have ended since a transaction began that is still open."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Final

import asyncpg
import pytest

from saga_fn.store.schema_name import with_schema
from tests.sql.test_outgoing_plans import pages
from tests.sql.test_plans import FILL, STATEMENTS, Json

ROWS: Final = 4_000
SINCE: Final = "now() - interval '1 second'"
PAGES: Final = 30

pytestmark = [pytest.mark.raw_rows, pytest.mark.new_database]


@pytest.fixture
async def conn(any_dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection to sagas whose leases would be over, but that have ended since another one's transaction began."""
    connection = await asyncpg.connect(any_dsn, statement_cache_size=0)
    other = await asyncpg.connect(any_dsn)
    transaction = other.transaction()
    await transaction.start()
    await other.fetchval("SELECT pg_current_xact_id()")
    await connection.execute(FILL[0], ROWS)
    due = "name = 'saga 1', due_at = now() - interval '1 minute'"
    await connection.execute(f"UPDATE saga_fn.saga SET {due}")
    ended = "status = 'COMPLETED', ended_at = now(), owner = NULL, token = NULL, due_at = NULL"
    await connection.execute(f"UPDATE saga_fn.saga SET {ended}")
    yield connection
    await transaction.rollback()
    await other.close()
    await connection.close()


async def read(conn: asyncpg.Connection[asyncpg.Record], name: str, since: str) -> int:
    """How many pages a look reads, by a plan that is made for all values."""
    values = {
        "smallint": "0",
        "smallint[]": "'{0,1}'",  # shards, and formats
        "text[]": "'{saga 1}'",
        "integer[]": "'{1}'",
        "timestamptz": since,
        "uuid[]": "'{00000000-0000-0000-0000-000000000001}'",
        "uuid": "'00000000-0000-0000-0000-000000000001'",
        "integer": "10",
        "interval": "'1 minute'",
    }
    types = {int(n): type_ for n, type_ in re.findall(r"\$(\d+)::(?:pg_catalog\.)?(\w+(?:\[\])?)", STATEMENTS[name])}
    given = ", ".join(values[types[n]] for n in sorted(types))
    await conn.execute("SET plan_cache_mode = force_generic_plan")
    await conn.execute(f"PREPARE {name} AS {with_schema(STATEMENTS[name], 'saga_fn')}")
    plan: Json = json.loads(
        await conn.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON, TIMING OFF) EXECUTE {name} ({given})")
    )
    await conn.execute(f"DEALLOCATE {name}")
    return pages(plan)


@pytest.mark.parametrize("known", ["never analysed", "analysed"])
@pytest.mark.parametrize("name", ["find_due_shards", "claim_due_sagas"])
async def test_a_look_for_what_is_new_passes_what_an_open_transaction_keeps(
    conn: asyncpg.Connection[asyncpg.Record], name: str, known: str
) -> None:
    if known == "analysed":
        await conn.execute("ANALYZE saga_fn.saga")
    assert await read(conn, name, SINCE) <= PAGES
    assert await read(conn, name, "NULL") > 5 * PAGES, "or this test says nothing"
