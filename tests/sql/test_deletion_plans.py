"""The plans of deletion: each statement is led by the ids or by a range of one index, however many sagas and tombstones there are.

Of all sagas one in a thousand has FAILED, and one in two of these was acknowledged. As many tombstones stand beside them.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Final

import asyncpg
import pytest

from saga_fn._tools.sql.generate import QUERIES
from saga_fn._tools.sql.scan import read_queries
from saga_fn.store.schema_name import with_schema
from tests.sql.test_plans import ROWS, STATEMENTS, Json, scans, touched

SOME: Final = 20
PASSES: Final = 12
"""How often the nodes of a plan, all together, may touch each row that is meant. A scan would be a thousand times."""
FILL: Final = (
    """
    INSERT INTO saga_fn.saga (shard, era, id, name, version, trace_id, request, plan, format, status, waits, state, rev,
                              created_at, ended_at, acknowledged, keyed)
    SELECT 0, 311, lpad(to_hex(n), 32, '0')::uuid, 'saga ' || n % 3, 1, 't', '', 'p', 1,
           CASE n % 1000 WHEN 500 THEN 'FAILED' ELSE 'COMPLETED' END, 0, 'state', 2,
           '2026-01-01'::timestamptz + n * interval '1 second', '2026-02-01'::timestamptz + n * interval '1 second',
           n % 2000 = 500, true
    FROM generate_series(1, $1::integer) AS n
    """,
    """
    INSERT INTO saga_fn.saga_journal (shard, era, saga_id, seq, writer, kind, event)
    SELECT 0, 311, lpad(to_hex(n), 32, '0')::uuid, seq, '00000000-0000-0000-0000-000000000000', 'started', ''
    FROM generate_series(1, $1::integer) AS n CROSS JOIN generate_series(1, 2) AS seq
    """,
    """
    INSERT INTO saga_fn.saga_tombstone (shard, id, name, request, status, ended_at, expires_at)
    SELECT 0, lpad(to_hex(1000000 + n), 32, '0')::uuid, 'saga 1', '', 'COMPLETED', '2026-01-01',
           CASE WHEN n % 3 = 0 THEN '2020-01-01'::timestamptz WHEN n % 3 = 1 THEN '2120-01-01'::timestamptz END
    FROM generate_series(1, $1::integer) AS n
    """,
)
SCHEMA: Final = QUERIES.parent / "schema" / "0001_sagas.sql"
PARAMETERS: Final = {query.name: list(query.parameters) for query in read_queries(QUERIES)}
IDS_AS_TEXT: Final = "'{" + ",".join(f"{n * 900:032x}" for n in range(1, SOME + 1)) + "}'"
REVS: Final = "'{" + ",".join("2" for _ in range(SOME)) + "}'"
CALLS: Final = {
    "find_ended": {
        "name": "'saga 1'",
        "version": "1",
        "status": "'FAILED'",
        "before": "'9999-01-01'",
        "sure": "'9999-01-01'",
        "plans": "'{}'",
        "most": str(SOME),
    },
    "find_acknowledged": {
        "name": "'saga 1'",
        "version": "1",
        "before": "'9999-01-01'",
        "sure": "'9999-01-01'",
        "plans": "'{}'",
        "most": str(SOME),
    },
    "delete_sagas": {"ids": IDS_AS_TEXT, "revs": REVS, "eras": "'{311}'", "keep": "NULL", "lock_timeout": "1000"},
    "read_tombstone": {"id": f"'{1000001:032x}'"},
    "drop_tombstones": {"most": str(SOME)},
    "begin_retention": {"owner": f"'{1:032x}'", "lease": "'1 minute'", "lock_timeout": "1000"},
}
INDEXES: Final = {
    "find_ended": {"saga_ended", "saga_failed"},
    "find_acknowledged": {"saga_failed", "saga_ended"},
    "delete_sagas": {
        "saga_pkey",
        "saga_journal_pkey",
        "saga_inbox_pkey",
        "saga_verb_pkey",
        "saga_rejection_pkey",
        "saga_attribute_pkey",
        "saga_tombstone_pkey",
        "saga_inbox_unread",
    },
    "read_tombstone": {"saga_tombstone_pkey"},
    "drop_tombstones": {"saga_tombstone_expiry"},
    "begin_retention": {"saga_retention_pkey"},
}

pytestmark = [pytest.mark.raw_rows, pytest.mark.new_database]


def test_a_saga_is_deleted_from_every_table_that_names_it() -> None:
    tables = re.findall(r"CREATE TABLE saga_fn\.(\w+) \((.*?)\n\)", SCHEMA.read_text(encoding="utf-8"), re.DOTALL)
    naming = {table for table, columns in tables if re.search(r"^ +saga_id ", columns, re.MULTILINE)}
    assert naming >= {"saga_journal", "saga_inbox"}
    # An operator's act is told of for longer than the saga that it was about. What was sent to a saga in a caller's
    # transaction is dropped by the process that hands it over, and tells of it. A saga with a message out is not deleted.
    assert naming - {"saga_operation", "saga_sent", "saga_outgoing"} == set(
        re.findall(r"DELETE FROM saga_fn\.(\w+)", (QUERIES / "delete_sagas.sql").read_text("utf-8"))
    ) - {"saga"}


@pytest.fixture
async def conn(any_dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(any_dsn, statement_cache_size=0)
    for table in ("saga", "saga_journal", "saga_tombstone"):
        await connection.execute(f"ALTER TABLE saga_fn.{table} SET (autovacuum_enabled = off)")
    yield connection
    await connection.close()


async def analysed(conn: asyncpg.Connection[asyncpg.Record], call: str) -> Json:
    """The plan of a call that was carried out and rolled back, with the pages that it has looked at."""
    transaction = conn.transaction()
    await transaction.start()
    text = await conn.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON, TIMING OFF) {call}")
    await transaction.rollback()
    plan: Json = json.loads(text)
    return plan


async def test_a_statement_of_deletion_reads_what_it_is_about_and_little_more(
    conn: asyncpg.Connection[asyncpg.Record],
) -> None:
    for statement in FILL:
        await conn.execute(statement, ROWS)
    await conn.execute("ANALYZE")  # by the time that a saga is old enough autovacuum has done it
    for mode in ("force_generic_plan", "force_custom_plan"):
        await conn.execute(f"SET plan_cache_mode = {mode}")
        await conn.execute("DEALLOCATE ALL")
        for name in CALLS:
            values = {"shard": "0", **CALLS[name]}
            call = f"EXECUTE {name} ({', '.join(values[each] for each in PARAMETERS[name])})"
            await conn.execute(f"PREPARE {name} AS {with_schema(STATEMENTS[name], 'saga_fn')}")
            plan = await analysed(conn, call)
            used = {str(node["Index Name"]) for node in scans(plan) if "Index Name" in node}
            assert used <= INDEXES[name], (name, mode, used)
            assert touched(plan) <= PASSES * SOME * 2, (name, mode, touched(plan))
