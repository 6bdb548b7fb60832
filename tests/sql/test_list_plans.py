"""The plans of lists: each finds its rows by ranges of one index, in order, and touches few rows beside those that it gives.

Of all sagas one in a thousand is what is looked for, at places that no order helps to find.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Final
from uuid import UUID

import asyncpg
import pytest

from saga_fn._tools.sql.generate import QUERIES
from saga_fn._tools.sql.scan import read_queries
from saga_fn.store.schema_name import with_schema
from tests.sql.test_plans import KNOWN, MODES, ROWS, STATEMENTS, Json, scans, touched

PAGE: Final = 20
RANGES: Final = 6
"""Names and versions: a page may read so many times its rows."""
PASSES: Final = 6
"""How often the nodes of a plan, all together, may touch each of the rows that they read so. A scan would be some 80 times."""

FILL: Final = """
    INSERT INTO saga_fn.saga (shard, era, id, name, version, trace_id, request, plan, format, status, waits, state, rev,
                              due_at, aggregation_id, created_at, ended_at, parked, problem_step, last_error, acknowledged)
    SELECT 0, 312, lpad(to_hex(n), 32, '0')::uuid, 'saga ' || n % 3, 1 + n % 2, 't', '', 'p', 1, kind.status, kind.waits, 'state', 9,
           CASE WHEN kind.status = ANY (ARRAY['RUNNING', 'SUSPENDED']) AND kind.waits < 16 THEN now() END,
           CASE WHEN n % 10 = 0 THEN 'key ' || n % 1000 END,
           '2026-01-01'::timestamptz + n * interval '1 second',
           CASE WHEN kind.status = ANY (ARRAY['COMPLETED', 'FAILED']) THEN '2026-02-01'::timestamptz + n * interval '1 second' END,
           CASE WHEN kind.waits >= 16 THEN 'past_pivot' END, 'charge', 'Boom',
           kind.status = 'FAILED' AND n % 10000 <> 500
    FROM generate_series(1, $1::integer) AS n
    CROSS JOIN LATERAL (
        SELECT CASE n % 1000 WHEN 500 THEN 'FAILED' WHEN 501 THEN 'SUSPENDED' WHEN 502 THEN 'SUSPENDED' WHEN 503 THEN 'RUNNING'
                             ELSE 'COMPLETED' END AS status,
               CASE n % 1000 WHEN 501 THEN 24 WHEN 502 THEN 4 ELSE 0 END::smallint AS waits
    ) AS kind
"""
ATTRIBUTES: Final = """
    INSERT INTO saga_fn.saga_attribute (shard, name, key, value, created_at, saga_id)
    SELECT s.shard, s.name, each.key, each.value, s.created_at, s.id
    FROM saga_fn.saga AS s
    CROSS JOIN LATERAL (SELECT extract(epoch FROM s.created_at - '2026-01-01'::timestamptz)::integer AS n) AS numbered
    CROSS JOIN LATERAL (
        VALUES ('customer', 's' || n % 1000), ('region', 'seu'), ('total', 'i' || (10^19::numeric + n))
    ) AS each (key, value)
"""
PARAMETERS: Final = {query.name: list(query.parameters) for query in read_queries(QUERIES)}
LATE, EARLY, NIL = "'9999-01-01'", "'0001-01-02'", "'00000000-0000-0000-0000-000000000000'"

OF_NAMES: Final = {"shards": "'{0,0,0}'", "names": "'{saga 0,saga 1,saga 2}'"}

CALLS: Final = {
    "find_definitions": {"shards": "'{0}'", "most": "100"},
    "find_versions": {"shards": "'{0}'", "name": "'saga 1'", "most": "100"},
    "find_sagas_of_attribute": {**OF_NAMES, "key": "'customer'", "value": "'s500'"},
    "find_sagas_in_range": {
        **OF_NAMES,
        "key": "'total'",
        "low": "'i10000000000000000100'",
        "high": "'i10000000000000000110'",
    },
    "read_attribute_is_known": {**OF_NAMES, "key": "'region'", "low": "'s'", "high": "'t'"},
    "read_attributes": {"shards": "'{0}'", "ids": f"'{{{UUID(int=77)}}}'"},
    "list_of_ids": {
        "of_acknowledged": "NULL",
        "shards": "'{0,0}'",
        "ids": f"'{{{UUID(int=1500)},{UUID(int=77)}}}'",
        "of_version": "NULL",
        "statuses": "'{FAILED}'",
        "waits": "0",
        "of_reason": "NULL",
        "of_step": "NULL",
        "of_error": "NULL",
        "ended_from": "NULL",
        "ended_before": "NULL",
    },
    "list_created": {},
    "list_live": {"statuses": "'{SUSPENDED}'", "waits": "'{4}'"},
    "list_parked": {"waits": "16", "of_reason": "'past_pivot'", "of_step": "'charge'", "of_error": "NULL"},
    "list_ended": {"statuses": "'{FAILED}'", "of_reason": "NULL", "of_step": "'charge'", "of_error": "'Boom'"},
    "list_failed": {"acknowledged": "false", "of_reason": "NULL", "of_step": "'charge'", "of_error": "'Boom'"},
    "list_of_key": {
        "names": "'{saga 0,saga 1,saga 2}'",
        "shard": "0",
        "aggregation_id": "'key 500'",
        "of_version": "NULL",
        "statuses": "'{RUNNING,SUSPENDED,COMPLETED,FAILED}'",
        "waits": "0",
        "of_reason": "NULL",
        "of_step": "NULL",
        "of_error": "NULL",
        "of_acknowledged": "NULL",
        "ended_from": "NULL",
        "ended_before": "NULL",
    },
}
INDEXES: Final = {
    "find_definitions": {"saga_created"},
    "find_versions": {"saga_created"},
    "find_sagas_of_attribute": {"saga_attribute_value"},
    "find_sagas_in_range": {"saga_attribute_value"},
    "read_attribute_is_known": {"saga_attribute_value"},
    "read_attributes": {"saga_attribute_pkey"},
    "list_of_ids": {"saga_pkey"},
    "list_created": {"saga_created"},
    "list_live": {"saga_live"},
    "list_parked": {"saga_parked"},
    "list_ended": {"saga_ended"},
    "list_failed": {"saga_failed"},
    "list_of_key": {"saga_active_key", "saga_ended_key"},
}
ONE_WAY: Final = {name for name in CALLS if name not in ("list_created", "list_live", "list_parked")}
"""The newest first, and no other order."""

pytestmark = [pytest.mark.raw_rows, pytest.mark.new_database]


@pytest.fixture
async def conn(any_dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(any_dsn, statement_cache_size=0)
    await connection.execute("ALTER TABLE saga_fn.saga SET (autovacuum_enabled = off)")
    await connection.execute("ALTER TABLE saga_fn.saga_attribute SET (autovacuum_enabled = off)")
    yield connection
    await connection.close()


def execution(name: str, parameters: list[str], *, oldest_first: bool) -> str:
    """An EXECUTE of that statement, for the first page of what is one in a thousand."""
    span = {"at": EARLY, "bound": LATE} if oldest_first else {"at": LATE, "bound": EARLY}
    values = {
        "shards": "'{0,0,0,0,0,0}'",
        "names": "'{saga 0,saga 0,saga 1,saga 1,saga 2,saga 2}'",
        "versions": "'{1,2,1,2,1,2}'",
        "oldest_first": str(oldest_first),
        "at_id": NIL,
        "most": str(PAGE),
        **span,
        **CALLS[name],
    }
    return f"EXECUTE {name} ({', '.join(values[each] for each in parameters)})"


async def analysed(conn: asyncpg.Connection[asyncpg.Record], call: str) -> Json:
    text = await conn.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON, TIMING OFF) {call}")
    plan: Json = json.loads(text)
    return plan


async def test_a_list_reads_ranges_of_one_index_and_few_rows_more_than_it_gives(
    conn: asyncpg.Connection[asyncpg.Record],
) -> None:
    await conn.execute(FILL, ROWS)
    await conn.execute(ATTRIBUTES)
    for known in KNOWN:
        if known == "analysed":
            await conn.execute("ANALYZE saga_fn.saga, saga_fn.saga_attribute")
        for mode in MODES:
            await conn.execute(f"SET plan_cache_mode = {mode}")
            await conn.execute("DEALLOCATE ALL")
            for name in CALLS:
                await conn.execute(f"PREPARE {name} AS {with_schema(STATEMENTS[name], 'saga_fn')}")
                for oldest_first in (False, True)[: 1 if name in ONE_WAY else 2]:
                    where = (mode, name, known, oldest_first)
                    call = execution(name, PARAMETERS[name], oldest_first=oldest_first)
                    for _ in range(5 if mode == "auto" else 0):
                        await analysed(conn, call)
                    plan = await analysed(conn, call)
                    found = list(scans(plan))
                    used = {str(node.get("Index Name")) for node in found if node["Node Type"] != "Bitmap Heap Scan"}
                    assert used <= INDEXES[name], (where, used)
                    rows = await conn.fetch(call)
                    assert rows, where
                    assert touched(plan) <= PASSES * RANGES * PAGE, (where, touched(plan))
