"""The plans of operators' acts: each statement reads what it is about, however many acts are on record.

Of all acts one in a thousand runs. Half of the rest is older than it is kept.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import asyncpg
import pytest

from saga_fn.store.schema_name import with_schema
from tests.sql.test_deletion_plans import PARAMETERS, analysed
from tests.sql.test_plans import ROWS, STATEMENTS, scans, touched

SOME: Final = 20
PASSES: Final = 12
FILL: Final = """
    INSERT INTO saga_fn.saga_operation (shard, id, verb, request, state, progress, token, lease_end, began_at)
    SELECT 0, lpad(to_hex(n), 32, '0')::uuid, 'cancel', '', CASE n % 1000 WHEN 0 THEN 'running' ELSE 'done' END, '',
           CASE n % 1000 WHEN 500 THEN NULL ELSE lpad('7', 32, '0')::uuid END,
           now() - interval '1 second', now() - n * interval '1 hour'
    FROM generate_series(1, $1::integer) AS n
"""
RUNNING: Final = f"'{1000:032x}'"
DONE: Final = f"'{7:032x}'"
CALLS: Final = {
    "insert_operation": {
        "id": f"'{ROWS + 1:032x}'",
        "verb": "'cancel'",
        "step_id": "NULL",
        "saga_id": "NULL",
        "actor": "NULL",
        "reason": "NULL",
        "request": "''",
        "needs": "NULL",
        "state": "'done'",
        "progress": "''",
        "lock_timeout": "1000",
    },
    "record_act": {
        "id": f"'{ROWS + 2:032x}'",
        "verb": "'prune'",
        "step_id": "NULL",
        "saga_id": "NULL",
        "actor": "NULL",
        "reason": "NULL",
        "request": "''",
        "progress": "''",
        "lock_timeout": "1000",
    },
    "read_operation": {"id": RUNNING},
    "list_operations": {"at": "now() - interval '9000 hours'", "at_id": DONE, "most": str(SOME)},
    "claim_operation": {"token": DONE, "lease": "'1 minute'", "names": "'{}'"},
    "take_operation": {
        "id": RUNNING,
        "seen": "'running'",
        "token": DONE,
        "lease": "'1 minute'",
        "lock_timeout": "1000",
    },
    "advance_operation": {
        "id": RUNNING,
        "token": DONE,
        "progress": "''",
        "lease": "'1 minute'",
        "is_done": "true",
        "lock_timeout": "1000",
    },
    "stop_operation": {"id": RUNNING, "lock_timeout": "1000"},
    "close_operation": {"id": DONE, "progress": "''", "lock_timeout": "1000"},
    "find_open_acts": {"at": "'0001-01-02'", "at_id": DONE, "older": "'5 minutes'", "most": str(SOME)},
    "drop_operations": {"kept": "'10000 hours'", "most": str(SOME)},
}
INDEXES: Final = {
    "list_operations": {"saga_operation_began"},
    "claim_operation": {"saga_operation_running", "saga_operation_pkey"},
    "drop_operations": {"saga_operation_began"},
    "find_open_acts": {"saga_operation_open"},
}

pytestmark = [pytest.mark.raw_rows, pytest.mark.new_database]


@pytest.fixture
async def conn(any_dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(any_dsn, statement_cache_size=0)
    await connection.execute("ALTER TABLE saga_fn.saga_operation SET (autovacuum_enabled = off)")
    yield connection
    await connection.close()


async def test_a_statement_of_operations_reads_what_it_is_about_and_little_more(
    conn: asyncpg.Connection[asyncpg.Record],
) -> None:
    await conn.execute(FILL, ROWS)
    await conn.execute("ANALYZE saga_fn.saga_operation")
    for mode in ("force_generic_plan", "force_custom_plan"):
        await conn.execute(f"SET plan_cache_mode = {mode}")
        await conn.execute("DEALLOCATE ALL")
        for name in CALLS:
            await conn.execute(f"PREPARE {name} AS {with_schema(STATEMENTS[name], 'saga_fn')}")
            values = {"shard": "0", **CALLS[name]}
            plan = await analysed(conn, f"EXECUTE {name} ({', '.join(values[each] for each in PARAMETERS[name])})")
            used = {str(node["Index Name"]) for node in scans(plan) if "Index Name" in node}
            assert used <= INDEXES.get(name, {"saga_operation_pkey"}), (name, mode, used)
            assert touched(plan) <= PASSES * SOME, (name, mode, touched(plan))
