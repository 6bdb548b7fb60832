"""The plans of the hot statements: found by `id`, whatever the planner knows of the tables.

A table that was empty when a plan was made and is full when it runs, one that was never analysed, and one that was:
with plans made for the values of each call and with plans made once for all. A batch that is planned as a scan of the
table works, slowly, and so no other test would notice.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack
from typing import Final, TypeAlias
from uuid import UUID

import asyncpg
import pytest

from saga_fn._tools.sql.generate import QUERIES
from saga_fn._tools.sql.scan import read_queries
from saga_fn.store.schema_name import with_schema

STATEMENTS: Final = {query.name: query.sql for query in read_queries(QUERIES)}

ROWS: Final = int(os.environ.get("SAGA_FN_PLAN_ROWS", "20000"))
"""Sagas in the tables, here and in the other tests of plans. `make plans` asks for a million."""
KNOWN: Final = ("never analysed", "analysed") if ROWS <= 100_000 else ("analysed",)
"""The states of the tables that plans are looked at in: a server has analysed tables long before they have a million rows."""
BATCH: Final = 50
# Plans are made of these alone, so that no plan test depends on the machine's memory or disks.
TABLES: Final = ("saga", "saga_journal", "saga_inbox", "saga_verb")

FILL: Final = (
    """
    INSERT INTO saga_fn.saga (shard, era, id, name, version, trace_id, request, plan, format, status, waits, state, rev,
                              inbox_sent, token, owner, due_at)
    SELECT 0, 312, lpad(to_hex(n), 32, '0')::uuid, 'saga ' || n % 5, 1, 't', '', 'saga 1', 1, 'RUNNING', 0, 'state', 9, 9,
           lpad(to_hex(n), 32, '0')::uuid, lpad('7', 32, '0')::uuid, now() + (n - 1000) * interval '1 second'
    FROM generate_series(1, $1::integer) AS n
    """,
    """
    INSERT INTO saga_fn.saga_journal (shard, era, saga_id, seq, kind, writer, event)
    SELECT 0, 312, lpad(to_hex(n), 32, '0')::uuid, seq, 'k', lpad(to_hex(n), 32, '0')::uuid, 'event'
    FROM generate_series(1, $1::integer) AS n, generate_series(1, 3) AS seq
    """,
    """
    INSERT INTO saga_fn.saga_inbox (shard, saga_id, id, body)
    SELECT 0, lpad(to_hex(n), 32, '0')::uuid, lpad(to_hex(n), 32, 'c')::uuid, 'body'
    FROM generate_series(1, $1::integer) AS n
    """,
    """
    INSERT INTO saga_fn.saga_verb (shard, saga_id, id, kind, body)
    SELECT 0, lpad(to_hex(n), 32, '0')::uuid, lpad(to_hex(n), 32, 'd')::uuid, 'k', 'body'
    FROM generate_series(1, $1::integer) AS n
    """,
)

HOT: Final = (
    "claim_due_sagas",
    "claim_saga",
    "commit_saga",
    "commit_saga_publishing",
    "commit_sagas",
    "commit_sagas_publishing",
    "find_due_shards",
    "read_act",
    "read_event_fates",
    "read_journal",
    "read_messages",
    "read_results",
    "read_saga",
    "read_standing",
    "read_writers",
    "release_sagas",
    "renew_leases",
    "send_event",
    "send_events",
    "send_events_and_claim",
    "send_verb",
    "take_saga",
)

BATCHED: Final = (
    "claim_due_sagas",
    "commit_sagas",
    "commit_sagas_at_length",
    "commit_sagas_publishing",
    "insert_sagas",
    "insert_sagas_at_length",
    "read_event_fates",
    "read_recipients",
    "read_results",
    "read_writers",
    "release_sagas",
    "renew_leases",
    "send_events",
    "send_events_and_claim",
)

pytestmark = [pytest.mark.raw_rows, pytest.mark.new_database]
# These look for whatever is due, and may use the index made for that.
BY_TIME: Final = frozenset({"claim_due_sagas", "find_due_shards"})

# Older servers plan a batch on an empty table as a walk of its shard that filters by id, and a plan made once for all
# stays until the table is analysed (autovacuum does within minutes) or the driver's statement cache lets go of it.
SAFE_WHEN_EMPTY: Final = 17
BATCHES: Final = ("claim_due_sagas,", "commit_sagas", "release_sagas,", "renew_leases,", "send_events")

VALUES: Final[Mapping[str, str]] = {
    "uuid": str(UUID(int=7)),
    "smallint": "0",
    "integer": "1",
    "bigint": "1",
    "text": "saga 1",
    "bytea": r"\\x00",
    "boolean": "false",
    "interval": "30 s",
    "timestamptz": "2026-01-01 00:00:00+00",
}

COMMIT: Final[Mapping[str, str]] = {**VALUES, "text": "RUNNING", "integer": "9", "bigint": "9"}
"""What the rows of `FILL` are written with: every fence is passed, no journal entry is there twice."""
INSERT: Final[Mapping[str, str]] = {**VALUES, "text": "RUNNING"}
SEND: Final[Mapping[str, str]] = {**VALUES, "bigint": "9"}
"""With room in each inbox, and for a fifth of the rows: those of "saga 1" by a plan that is called so, too."""

IDS_BEHIND: Final = ("saga_created", "saga_live", "saga_ended", "saga_parked", "saga_unfit", "saga_failed")
"""The indexes of `saga` in which the id is the last of many columns."""

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
Plan: TypeAlias = "dict[str, Json]"


def execution(name: str, batch: int = BATCH, *, flag: bool = False) -> str:
    """An EXECUTE with a value for each parameter: batches of so many rows, one registered saga, and the flag it has."""
    sql = STATEMENTS[name]
    types = {int(number): type_ for number, type_ in re.findall(r"\$(\d+)::(?:pg_catalog\.)?(\w+(?:\[\])?)", sql)}
    single = {"claim_due_sagas", "find_due_shards"}  # their arrays are names and shards, not batches
    prefixes = {"commit_saga": COMMIT, "insert_saga": INSERT, "send_events": SEND}
    given = next((values for prefix, values in prefixes.items() if name.startswith(prefix)), VALUES)
    waits = {int(number) for number in re.findall(r"'lock_timeout', \(\$(\d+)::", sql)}
    values: list[str] = []
    for number, type_ in sorted(types.items()):
        element = type_.removesuffix("[]")
        if type_ == "boolean":
            values.append(str(flag))
        elif number in waits:  # a commit gives its transaction twice that time to end
            values.append("'60000'")
        elif element == type_:
            values.append(f"'{given[type_]}'".replace(r"\\", "\\"))
        elif element == "uuid":
            values.append("'{" + ",".join(str(UUID(int=number)) for number in range(1, batch + 1)) + "}'")
        else:
            values.append("'{" + ",".join([f'"{given[element]}"'] * (1 if name in single else batch)) + "}'")
    return f"EXECUTE {name} ({', '.join(values)})"


def scans(plan: Json) -> Iterator[Plan]:
    """The nodes of a plan that read one of our tables."""
    if isinstance(plan, list):
        for part in plan:
            yield from scans(part)
    elif isinstance(plan, dict):
        kind = plan.get("Node Type")
        if isinstance(kind, str) and "Scan" in kind and (plan.get("Relation Name") in TABLES or "Index Name" in plan):
            yield plan
        yield from scans(plan.get("Plan"))
        yield from scans(plan.get("Plans"))


def faults(name: str, plan: Json) -> Iterator[str]:
    """What is wrong with a plan: a scan that is not led to its rows by their ids."""
    found = list(scans(plan))
    if not found:
        yield "reads none of our tables"
    for node in found:
        kind, index, condition = node["Node Type"], node.get("Index Name"), str(node.get("Index Cond", ""))
        if kind == "Bitmap Heap Scan":
            continue  # its index scan below is judged
        # An index that has the id behind other columns is walked from end to end, however few rows it gives.
        by_id = re.search(r"\b(saga_)?id = ", condition) is not None and index not in IDS_BEHIND
        by_time = name in BY_TIME and index in ("saga_due", "saga_sent_due") and "due_at" in condition
        of_pauses = index == "saga_pause_pkey" and "name = ANY" in condition
        if not (by_id or by_time or of_pauses):
            yield f"{kind} of {node.get('Relation Name')} by {index}: {condition or 'no condition'}"


async def explain(conn: asyncpg.Connection[asyncpg.Record], name: str) -> Json:
    text = await conn.fetchval(f"EXPLAIN (FORMAT JSON, COSTS OFF) {execution(name)}")
    plan: Json = json.loads(text)
    return plan


@pytest.fixture
async def conn(any_dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(any_dsn, statement_cache_size=0)
    for table in TABLES:
        await connection.execute(f"ALTER TABLE saga_fn.{table} SET (autovacuum_enabled = off)")
    yield connection
    await connection.close()


async def prepare(conn: asyncpg.Connection[asyncpg.Record]) -> None:
    await conn.execute("DEALLOCATE ALL")
    for name in {*HOT, *BATCHED}:
        await conn.execute(f"PREPARE {name} AS {with_schema(STATEMENTS[name], 'saga_fn')}")


async def check(conn: asyncpg.Connection[asyncpg.Record], when: str) -> list[str]:
    return [f"{name}, {when}: {fault}" for name in HOT for fault in faults(name, await explain(conn, name))]


MODES: Final = ("force_generic_plan", "force_custom_plan", "auto")


async def test_hot_statements_find_their_rows_by_id(any_dsn: str, conn: asyncpg.Connection[asyncpg.Record]) -> None:
    """In all modes of the plan cache, a session for each: making so many rows takes longest."""
    found: list[str] = []
    async with AsyncExitStack() as opened:
        sessions: dict[str, asyncpg.Connection[asyncpg.Record]] = {}
        for mode in MODES:
            session = sessions[mode] = await asyncpg.connect(any_dsn, statement_cache_size=0)
            opened.push_async_callback(session.close)
            await session.execute(f"SET plan_cache_mode = {mode}")
            await prepare(session)
            for _ in range(6):  # "auto" makes a plan for each of the first five, then perhaps one for all
                await check(session, "empty: any plan will do, but it must not stay")
        for statement in FILL:
            await conn.execute(statement, ROWS)
        for mode, session in sessions.items():
            empty = await check(session, f"{mode}, planned when it was empty, then filled")
            if conn.get_server_version().major < SAFE_WHEN_EMPTY:
                empty = [fault for fault in empty if not fault.startswith(BATCHES)]
            await prepare(session)
            if "never analysed" in KNOWN:
                found += [*empty, *await check(session, f"{mode}, never analysed")]
        for table in TABLES:
            await conn.execute(f"ANALYZE saga_fn.{table}")
        for mode, session in sessions.items():
            found += await check(session, f"{mode}, analysed")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", ["claim_due_sagas", "find_due_shards"])
async def test_what_is_paused_is_asked_once_a_definition(conn: asyncpg.Connection[asyncpg.Record], name: str) -> None:
    """Not of each row: the planner puts the look before the scan of the rows."""
    await prepare(conn)
    for mode in ("force_generic_plan", "force_custom_plan"):
        await conn.execute(f"SET plan_cache_mode = {mode}")
        assert "saga_pause" not in "".join(re.findall(r'"Filter": "[^"]*"', json.dumps(await explain(conn, name))))
        assert "One-Time Filter" in json.dumps(await explain(conn, name))


LARGE: Final = 400
PASSES: Final = 80
"""How often a statement may touch each row of its batch, all nodes of its plan together. A join of all rows with all
others would come to `LARGE`."""


def touched(plan: Json) -> float:
    """How many rows the nodes of an executed plan gave or threw away, loop by loop."""
    if isinstance(plan, list):
        return sum(map(touched, plan))
    if not isinstance(plan, dict):
        return 0
    kinds = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Join Filter", "Rows Removed by Index Recheck")
    loops = plan.get("Actual Loops", 0)
    here = sum(float(str(plan.get(kind, 0))) for kind in kinds) * float(str(loops))
    return here + touched(plan.get("Plan")) + touched(plan.get("Plans"))


async def work(conn: asyncpg.Connection[asyncpg.Record], name: str, *, flag: bool = False) -> float:
    """How many rows a large batch of that statement touches, for each row of the batch."""
    transaction = conn.transaction()
    await transaction.start()
    if name.startswith("insert_sagas"):
        await conn.execute("DELETE FROM saga_fn.saga; DELETE FROM saga_fn.saga_journal")
    text = await conn.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON, TIMING OFF) {execution(name, LARGE, flag=flag)}")
    await transaction.rollback()
    plan: Json = json.loads(text)
    passes = touched(plan) / LARGE
    return max(passes, await work(conn, name, flag=True)) if name.startswith("commit_sagas") and not flag else passes


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan", "auto"])
async def test_work_grows_with_the_batch_and_not_with_its_square(
    conn: asyncpg.Connection[asyncpg.Record], mode: str
) -> None:
    await conn.execute(f"SET plan_cache_mode = {mode}")
    await prepare(conn)
    for _ in range(6):
        await check(conn, "empty")
    for statement in FILL:
        await conn.execute(statement, 2_000)
    found = {f"{name}, planned when it was empty": await work(conn, name) for name in BATCHED}
    await prepare(conn)
    found |= {f"{name}, never analysed": await work(conn, name) for name in BATCHED}
    for table in TABLES:
        await conn.execute(f"ANALYZE saga_fn.{table}")
    found |= {f"{name}, analysed": await work(conn, name) for name in BATCHED}
    if conn.get_server_version().major < SAFE_WHEN_EMPTY:
        found = {what: passes for what, passes in found.items() if "empty" not in what}
    assert {what: passes for what, passes in found.items() if passes > PASSES} == {}


@pytest.mark.parametrize("sagas", [1, 4])
@pytest.mark.parametrize("name", ["commit_sagas", "commit_sagas_publishing"])
async def test_a_commit_of_few_sagas_is_not_planned_each_time(
    conn: asyncpg.Connection[asyncpg.Record], name: str, sagas: int
) -> None:
    for statement in FILL:
        await conn.execute(statement, 2_000)
    for table in TABLES:
        await conn.execute(f"ANALYZE saga_fn.{table}")
    await prepare(conn)
    for _ in range(8):
        await conn.fetch(f"EXPLAIN {execution(name, sagas)}")
    plans = "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE name = $1"
    row = await conn.fetchrow(plans, name)
    assert row is not None
    assert tuple(row) == (3, 5), "of the first five calls each has a plan of its own, as for any statement"


async def test_a_claim_walks_the_index_of_what_is_due(conn: asyncpg.Connection[asyncpg.Record]) -> None:
    for statement in FILL:
        await conn.execute(statement, ROWS)
    for table in TABLES:
        await conn.execute(f"ANALYZE saga_fn.{table}")
    await prepare(conn)
    indexes = [node.get("Index Name") for node in scans(await explain(conn, "claim_due_sagas"))]
    assert "saga_due" in indexes
    assert "Sort" not in str(await inner_plan(conn)), "rows come from the index in order"


async def test_a_claim_locks_about_what_it_takes_however_many_definitions_are_known(
    conn: asyncpg.Connection[asyncpg.Record],
) -> None:
    """Each lock is a write, and keeps the row from other processes for as long as the claim takes."""
    for statement in FILL:
        await conn.execute(statement, ROWS)
    most = 5  # the version of all sagas, too: both are arrays of integers
    many = "'of many ' || abs(hashtext(id::text)) % 50"
    due = f"name = {many}, version = {most}, format = 1, due_at = now() - interval '1 hour'"
    await conn.execute(f"UPDATE saga_fn.saga SET {due} WHERE due_at IS NOT NULL")
    await prepare(conn)
    types = re.findall(r"\$(\d+)::(?:pg_catalog\.)?(\w+(?:\[\])?)", STATEMENTS["claim_due_sagas"])
    values = {
        "text[]": "'{" + ",".join(f"of many {number}" for number in range(50)) + "}'",
        "integer[]": f"array_fill({most}, ARRAY[50])",
        "smallint[]": "'{1}'",
        "uuid[]": "'{" + ",".join(str(UUID(int=number)) for number in range(1, most + 1)) + "}'",
        "smallint": "0",
        "integer": str(most),
        "uuid": "gen_random_uuid()",
        "interval": "interval '1 minute'",
        "timestamptz": "NULL",
    }
    by_number = {int(number): values[type_] for number, type_ in types}
    given = ", ".join(by_number[number] for number in sorted(by_number))
    text = await conn.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON, TIMING OFF) EXECUTE claim_due_sagas ({given})")
    plan: Json = json.loads(text)
    locked = sum(float(str(n["Actual Rows"])) * float(str(n["Actual Loops"])) for n in nodes_of(plan, "LockRows"))
    assert most <= locked <= 2 * (2 * most + 20), "the oldest rows, and one of each definition that has none among them"


OF_PERSONS: Final = (
    "read_attention",
    "read_stats",
    "read_parked",
    "read_definitions",
    "drop_processes",
    "list_processes",
    "read_process",
)


async def test_what_a_person_should_look_at_is_found_by_an_index(conn: asyncpg.Connection[asyncpg.Record]) -> None:
    for statement in FILL:
        await conn.execute(statement, ROWS)
    await conn.execute(
        "INSERT INTO saga_fn.saga_process (shard, id, host, names, versions, plans, seen_at)"
        " SELECT 0, gen_random_uuid(), 'h', ARRAY['n'], ARRAY[1], ARRAY['p'], now() - n * interval '1 second'"
        " FROM generate_series(1, $1::integer) AS n",
        ROWS,
    )
    # Of all sagas few are parked, and few failed.
    await conn.execute(
        "UPDATE saga_fn.saga SET status = 'SUSPENDED', waits = 48 WHERE rev = 9 AND id < $1", UUID(int=99)
    )
    await conn.execute(
        "UPDATE saga_fn.saga SET status = 'FAILED', ended_at = now(), owner = NULL, token = NULL, due_at = NULL WHERE id > $1",
        UUID(int=ROWS - 99),
    )
    for table in (*TABLES, "saga_process"):
        await conn.execute(f"ANALYZE saga_fn.{table}")
    for name in OF_PERSONS:
        for mode in ("force_generic_plan", "force_custom_plan"):
            await conn.execute(f"SET plan_cache_mode = {mode}")
            await conn.execute("DEALLOCATE ALL")
            await conn.execute(f"PREPARE {name} AS {with_schema(STATEMENTS[name], 'saga_fn')}")
            found = list(scans(await explain(conn, name)))
            assert "Seq Scan" not in [node["Node Type"] for node in found], (name, mode)
            indexes = {str(node["Index Name"]) for node in found if "Index Name" in node}
            assert indexes <= {
                "saga_due",
                "saga_parked",
                "saga_unfit",
                "saga_failed",
                "saga_live",
                "saga_ended",
                "saga_pause_pkey",
                "saga_process_pkey",
                "saga_process_seen",
            }, (name, mode, indexes)


def nodes_of(plan: Json, kind: str) -> Iterator[Plan]:
    """The nodes of that kind in a plan."""
    if isinstance(plan, list):
        for part in plan:
            yield from nodes_of(part, kind)
    elif isinstance(plan, dict):
        if plan.get("Node Type") == kind:
            yield plan
        yield from nodes_of(plan.get("Plan"), kind)
        yield from nodes_of(plan.get("Plans"), kind)


async def inner_plan(conn: asyncpg.Connection[asyncpg.Record]) -> Json:
    """The part of the claim below its LIMIT, for one definition."""
    (locking,) = nodes_of(await explain(conn, "claim_due_sagas"), "LockRows")
    return locking


async def test_the_check_would_see_a_batch_that_does_not_name_its_ids(
    conn: asyncpg.Connection[asyncpg.Record],
) -> None:
    careless = STATEMENTS["release_sagas"].replace("AND s.id OPERATOR(pg_catalog.=) ANY($1::pg_catalog.uuid[]) ", "")
    assert careless != STATEMENTS["release_sagas"]
    for statement in FILL:
        await conn.execute(statement, ROWS)
    await conn.execute("SET plan_cache_mode = force_generic_plan")
    await conn.execute("SET enable_nestloop = off")
    await conn.execute(f"PREPARE release_sagas AS {with_schema(careless, 'saga_fn')}")
    assert list(faults("release_sagas", await explain(conn, "release_sagas")))
