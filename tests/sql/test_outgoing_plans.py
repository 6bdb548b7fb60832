"""The plans of the statements about outgoing messages: each reads what it is about, however many messages wait.

Of 20,000 messages, two a saga, one in a hundred is dead; half of the rest is due. Most are of one topic.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import asyncpg
import pytest

from saga_fn.store.schema_name import with_schema
from tests.sql.test_deletion_plans import PARAMETERS, analysed
from tests.sql.test_plans import FILL, STATEMENTS, Json, scans, touched

ROWS: Final = 10_000
SOME: Final = 20
PASSES: Final = 50
PAGES: Final = 25
MESSAGES: Final = """
    INSERT INTO saga_fn.saga_outgoing (shard, saga_id, rev, n, topic, key, body, token, due_at, error, dead_at)
    SELECT 0, lpad(to_hex(s), 32, '0')::uuid, rev, 0, CASE s % 500 WHEN 0 THEN 'rare' ELSE 'usual' END, 'k', '{}',
           CASE s % 100 WHEN 0 THEN NULL ELSE lpad('7', 32, '0')::uuid END, now() + (s - 5000) * interval '1 second',
           CASE s % 100 WHEN 0 THEN 'why' END, CASE s % 100 WHEN 0 THEN now() END
    FROM generate_series(1, $1::integer) AS s, generate_series(1, 2) AS rev
"""
MORE: Final = """
    INSERT INTO saga_fn.saga_outgoing (shard, saga_id, rev, n, topic, key, body, token, due_at)
    SELECT 0, lpad('1', 32, '0')::uuid, rev, 0, 'other', 'k', '{}', lpad('7', 32, '0')::uuid, now()
    FROM generate_series(3, $1::integer) AS rev
"""
SAGA: Final = f"'{700:032x}'"
SAGAS: Final = "ARRAY[" + ", ".join(f"'{number:032x}'::uuid" for number in range(1, SOME + 1)) + "]"
REVS: Final = f"ARRAY[{', '.join(['1'] * SOME)}]"
NS: Final = f"ARRAY[{', '.join(['0'] * SOME)}]"
TOKEN: Final = f"'{7:032x}'"
LIMIT: Final = {"lock_timeout": "1000"}
CALLS: Final = {
    "find_outgoing_topics": {"shards": "'{0}'"},
    "claim_outgoing": {
        "topic": "'usual'",
        "most": str(SOME),
        "bytes": "1000000",
        "token": TOKEN,
        "lease": "'1 minute'",
        "later": "'1 minute'",
        "much_later": "'1 minute'",
    },
    "take_outgoing": {"saga_ids": SAGAS, "token": TOKEN, "lease": "'1 minute'", "bytes": "1000000"},
    "delete_outgoing": {"saga_ids": SAGAS, "revs": REVS, "ns": NS, **LIMIT},
    "fail_outgoing": {
        "saga_ids": SAGAS,
        "revs": REVS,
        "ns": NS,
        "delays": "ARRAY[" + ", ".join(["interval '1 minute'"] * SOME) + "]",
        "errors": "ARRAY[" + ", ".join(["'why'"] * SOME) + "]",
        "are_dead": "ARRAY[" + ", ".join(["false"] * SOME) + "]",
        "token": TOKEN,
        "blocks": "true",
        **LIMIT,
    },
    "release_outgoing": {"saga_ids": SAGAS, "token": TOKEN, **LIMIT},
    "list_outgoing": {"saga_id": SAGA, "most": str(SOME)},
    "list_outgoing_places": {"saga_id": SAGA, "after_rev": "-1", "after_n": "-1", "dead": "true", "most": str(SOME)},
    "list_dead_outgoing": {"most": str(SOME)},
    "redrive_outgoing": {"saga_id": SAGA, "revs": "ARRAY[1]", "ns": "ARRAY[0]", **LIMIT},
    "discard_outgoing": {"saga_id": SAGA, "revs": "ARRAY[1]", "ns": "ARRAY[0]", "waiting": "true", **LIMIT},
    "wake_outgoing": {"saga_id": SAGA, **LIMIT},
    "count_outgoing": {"shards": "'{0}'", "most": str(SOME)},
}
INDEXES: Final = {
    "find_outgoing_topics": {"saga_outgoing_due"},
    "claim_outgoing": {"saga_outgoing_due", "saga_outgoing_pkey", "saga_pkey"},
    "take_outgoing": {"saga_outgoing_pkey", "saga_pkey"},
    "list_dead_outgoing": {"saga_outgoing_dead"},
    "redrive_outgoing": {"saga_outgoing_dead", "saga_outgoing_pkey"},
    "discard_outgoing": {"saga_outgoing_dead", "saga_outgoing_pkey"},
    "count_outgoing": {"saga_outgoing_due", "saga_outgoing_dead"},
}


def pages(plan: Json) -> int:
    """How many pages an executed plan has looked at: each way down an index is two or three."""
    (whole,) = plan if isinstance(plan, list) else [plan]
    assert isinstance(whole, dict)
    top = whole["Plan"]
    assert isinstance(top, dict)
    return int(str(top["Shared Hit Blocks"])) + int(str(top["Shared Read Blocks"]))


pytestmark = [pytest.mark.raw_rows, pytest.mark.new_database]


@pytest.fixture
async def conn(any_dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(any_dsn, statement_cache_size=0)
    await connection.execute("ALTER TABLE saga_fn.saga_outgoing SET (autovacuum_enabled = off)")
    await connection.execute("ALTER TABLE saga_fn.saga SET (autovacuum_enabled = off)")
    yield connection
    await connection.close()


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
async def test_a_statement_of_outgoing_messages_reads_what_it_is_about_and_little_more(
    conn: asyncpg.Connection[asyncpg.Record], mode: str
) -> None:
    await conn.execute(f"SET plan_cache_mode = {mode}")
    await conn.execute(FILL[0], ROWS)
    await conn.execute(MESSAGES, ROWS)
    await conn.execute("ANALYZE saga_fn.saga_outgoing")
    await conn.execute("ANALYZE saga_fn.saga")
    found: dict[str, object] = {}
    for name, given in CALLS.items():
        await conn.execute(f"PREPARE {name} AS {with_schema(STATEMENTS[name], 'saga_fn')}")
        values = {"shard": "0", **given}
        plan = await analysed(conn, f"EXECUTE {name} ({', '.join(values[each] for each in PARAMETERS[name])})")
        used = {str(node["Index Name"]) for node in scans(plan) if "Index Name" in node}
        kinds = {str(node["Node Type"]) for node in scans(plan)}
        if (
            not used <= INDEXES.get(name, {"saga_outgoing_pkey"})
            or "Seq Scan" in kinds
            or touched(plan) > PASSES * SOME
        ):
            found[name] = (used, kinds, touched(plan))
    assert found == {}


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
async def test_the_other_messages_of_a_saga_are_not_read_with_those_that_are_meant(
    conn: asyncpg.Connection[asyncpg.Record], mode: str
) -> None:
    await conn.execute(f"SET plan_cache_mode = {mode}")
    await conn.execute(FILL[0], SOME)
    await conn.execute(MESSAGES, SOME)
    await conn.execute(MORE, ROWS)
    await conn.execute("ANALYZE saga_fn.saga_outgoing")
    found: dict[
        str, float
    ] = {}  # claim_outgoing, for what a dead process has left, goes through the other messages as well
    for name in ("take_outgoing", "delete_outgoing", "fail_outgoing"):
        await conn.execute(f"PREPARE {name} AS {with_schema(STATEMENTS[name], 'saga_fn')}")
        values = {"shard": "0", **CALLS[name]}
        plan = await analysed(conn, f"EXECUTE {name} ({', '.join(values[each] for each in PARAMETERS[name])})")
        if touched(plan) > PASSES * SOME:
            found[name] = touched(plan)
    assert found == {}


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
async def test_an_index_is_gone_down_once_for_a_message_whatever_its_revision(
    conn: asyncpg.Connection[asyncpg.Record], mode: str
) -> None:
    await conn.execute(f"SET plan_cache_mode = {mode}")
    await conn.execute(FILL[0], ROWS)
    await conn.execute(MESSAGES, ROWS)
    await conn.execute(
        "UPDATE saga_fn.saga_outgoing SET rev = 2 * ('x' || right(saga_id::text, 8))::bit(32)::int + rev"
    )
    await conn.execute("VACUUM FULL ANALYZE saga_fn.saga_outgoing")
    given = {
        **CALLS["delete_outgoing"],
        "shard": "0",
        "revs": f"ARRAY[{', '.join(str(2 * s + 1) for s in range(1, SOME + 1))}]",
    }
    found: dict[str, object] = {}
    for name in ("take_outgoing", "claim_outgoing", "delete_outgoing", "fail_outgoing"):
        await conn.execute(f"PREPARE {name} AS {with_schema(STATEMENTS[name], 'saga_fn')}")
        values = {**CALLS[name], **given}
        call = f"EXECUTE {name} ({', '.join(values[each] for each in PARAMETERS[name])})"
        plan = await analysed(conn, call)
        if pages(plan) > PAGES * SOME:
            found[name] = pages(plan)
    assert found == {}


@pytest.mark.parametrize("rows", [0, ROWS])
async def test_the_deletion_of_published_messages_is_not_planned_anew_each_time(
    conn: asyncpg.Connection[asyncpg.Record], rows: int
) -> None:
    await conn.execute(FILL[0], rows)
    await conn.execute(MESSAGES, rows)
    await conn.execute("ANALYZE saga_fn.saga_outgoing")
    await conn.execute(f"PREPARE deletion AS {with_schema(STATEMENTS['delete_outgoing'], 'saga_fn')}")
    values = {"shard": "0", **CALLS["delete_outgoing"]}
    for _ in range(10):  # after five it is decided whether a plan is kept
        await conn.execute(f"EXECUTE deletion ({', '.join(values[each] for each in PARAMETERS['delete_outgoing'])})")
    assert await conn.fetchval("SELECT custom_plans FROM pg_prepared_statements WHERE name = 'deletion'") == 5
