"""Every statement is led to its rows, though its plan was made when the tables were empty.

A plan that is made once for all stays until the server analyses a table. That may take a minute, in which a new store
fills. On an empty table each plan costs the same, so a statement must leave the planner no other way than the good one.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Final

import asyncpg
import pytest

from saga_fn.store.schema_name import with_schema
from tests.sql.test_plans import SAFE_WHEN_EMPTY, STATEMENTS, Json, Plan

LEADS: Final[Mapping[str, tuple[str, ...]]] = {
    "saga_pkey": ("id",),
    "saga_due": ("name", "version"),
    "saga_parked": ("name", "version"),
    "saga_unfit": ("name", "version"),
    "saga_failed": ("name", "version"),
    "saga_created": ("name", "version"),
    "saga_live": ("name", "version"),
    "saga_ended": ("name", "version"),
    "saga_active_key": ("name", "aggregation_id"),
    "saga_ended_key": ("name", "aggregation_id"),
    "saga_journal_pkey": ("era", "saga_id"),
    "saga_inbox_pkey": ("saga_id",),
    "saga_inbox_unread": ("saga_id",),
    "saga_verb_pkey": ("saga_id",),
    "saga_operation_pkey": ("id",),
    "saga_operation_began": ("began_at",),
    "saga_event_pkey": ("name", "aggregation_id"),
    "saga_event_kept": ("name", "aggregation_id"),
    "saga_event_expiry": ("expires_at",),
    "saga_sent_pkey": ("id",),
    "saga_sent_due": ("due_at",),
    "saga_sent_saga": ("saga_id",),
    "saga_sent_key": ("name", "aggregation_id"),
    "saga_outgoing_pkey": ("saga_id",),
    "saga_outgoing_due": ("topic",),
    "saga_rejection_pkey": ("saga_id",),
    "saga_attribute_pkey": ("saga_id",),
    "saga_attribute_value": ("name", "key"),
    "saga_plan_pkey": ("id",),
    "saga_tombstone_pkey": ("id",),
    "saga_tombstone_expiry": ("expires_at",),
}
"""The columns beside the shard that have to be in the condition of an index, or it is walked from end to end."""
FEW: Final = (
    "journal_era",  # one row a month
    "saga_operation_open",  # acts whose processes are at them, or have just died
    "saga_operation_running",
    "saga_outgoing_dead",  # each waits for a person
    "saga_pause",  # one row a name at most
    "saga_process",  # one row a process
    "saga_retention",  # one row a shard
    "setting",
    "migration",
)
"""Tables, and indexes of few rows: whatever reads them reads little."""
WALKS: Final[Mapping[tuple[str, str], str]] = {
    ("find_undelivered_events", "saga_event_kept"): "goes through what is kept, page by page",
    ("read_kept_events", "saga_event_kept"): "a person's look at what is kept",
    ("read_name_is_known", "saga_active_key"): "EXISTS ends with the first row",
    ("read_name_is_known", "saga_ended_key"): "EXISTS ends with the first row",
}
"""Statements that may go through a range which no other column narrows, and why."""

pytestmark = [pytest.mark.raw_rows, pytest.mark.new_database]


@pytest.fixture
async def conn(any_dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(any_dsn, statement_cache_size=0)
    yield connection
    await connection.close()


async def of_all(
    conn: asyncpg.Connection[asyncpg.Record], statements: Mapping[str, str] = STATEMENTS
) -> dict[str, Json]:
    """The plan of each statement that is made once for all values."""
    await conn.execute("SET plan_cache_mode = force_generic_plan")
    plans: dict[str, Json] = {}
    for name, sql in statements.items():
        await conn.execute(f'PREPARE "{name}" AS {with_schema(sql, "saga_fn")}')
        parameters = len(set(re.findall(r"\$\d+", sql)))
        given = f" ({', '.join(['NULL'] * parameters)})" if parameters else ""
        plans[name] = json.loads(await conn.fetchval(f'EXPLAIN (FORMAT JSON, COSTS OFF) EXECUTE "{name}"{given}'))
    await conn.execute("DEALLOCATE ALL")
    return plans


def scans(plan: Json, *, cut: bool = False) -> Iterator[tuple[Plan, bool]]:
    """The nodes that read a table or an index of ours, and whether a LIMIT ends each after so many of its rows."""
    if isinstance(plan, list):
        for part in plan:
            yield from scans(part, cut=cut)
    elif isinstance(plan, dict):
        kind = str(plan.get("Node Type", ""))
        read = str(plan.get("Relation Name", plan.get("Index Name", "pg_")))
        if "Scan" in kind and kind != "Bitmap Heap Scan" and not read.startswith("pg_"):
            yield plan, cut and "Filter" not in plan
        for parts in ("Plan", "Plans"):
            yield from scans(plan.get(parts), cut=kind == "Limit" or (kind == "LockRows" and cut))


def walk(name: str, node: Plan, *, cut: bool, server: int) -> str | None:
    """How a node reads more than the rows that are meant, if it does."""
    relation, index = str(node.get("Relation Name", "")), str(node.get("Index Name", ""))
    condition, rest = str(node.get("Index Cond", "")), str(node.get("Filter", ""))
    if relation in FEW or index in FEW or any(index.startswith(f"{few}_") for few in FEW):
        return None
    if index and (cut or (name, index) in WALKS):
        return None
    missing = [column for column in LEADS.get(index, ("an index",)) if not re.search(rf"\b{column}\b", condition)]
    if not missing:
        return None
    # Older servers take ten ways down an index for more than a walk of what they believe to be empty.
    if server < SAFE_WHEN_EMPTY and all(re.search(rf"\b{column} = ANY \(", rest) for column in missing):
        return None
    return f"{name}: {node['Node Type']} of {relation} by {index}: {condition}, without {missing}"


async def test_a_plan_for_empty_tables_walks_no_full_one(conn: asyncpg.Connection[asyncpg.Record]) -> None:
    server = conn.get_server_version().major
    plans = await of_all(conn)
    walks = [walk(name, node, cut=cut, server=server) for name, plan in plans.items() for node, cut in scans(plan)]
    assert plans.keys() == STATEMENTS.keys()
    assert [each for each in walks if each is not None] == []


async def test_no_exception_is_made_for_what_needs_none(conn: asyncpg.Connection[asyncpg.Record]) -> None:
    plans = await of_all(conn)
    used = {(name, str(node.get("Index Name"))) for name, plan in plans.items() for node, _ in scans(plan)}
    assert WALKS.keys() <= used


CARELESS: Final = {
    "a join by the id": """
        SELECT s.name FROM unnest($1::uuid[]) AS g (id) JOIN saga_fn.saga AS s ON s.shard = $2::smallint AND s.id = g.id
    """,
    "what is not there": """
        SELECT s.id FROM saga_fn.saga AS s
        WHERE
            s.shard = $1::smallint AND s.id = $2::uuid
            AND (s.keyed OR NOT EXISTS (SELECT 1 FROM saga_fn.saga_outgoing AS o WHERE o.shard = $1::smallint AND o.saga_id = s.id))
    """,
    "a place beside a shard": """
        DELETE FROM saga_fn.saga_tombstone AS t
        WHERE
            t.shard = $1::smallint
            AND t.ctid = ANY(
                ARRAY(SELECT old.ctid FROM saga_fn.saga_tombstone AS old WHERE old.shard = $1::smallint AND old.id = $2::uuid)
            )
    """,
    "no index": "SELECT p.data FROM saga_fn.saga_plan AS p WHERE p.data = $1::bytea",
}


async def test_the_judge_sees_what_leaves_the_planner_another_way(conn: asyncpg.Connection[asyncpg.Record]) -> None:
    server = conn.get_server_version().major
    for name, plan in (await of_all(conn, CARELESS)).items():
        assert any(walk(name, node, cut=cut, server=server) for node, cut in scans(plan)), (name, plan)
