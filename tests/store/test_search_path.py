"""Nothing of a user's takes the place of a function, an operator or a type of PostgreSQL's own, wherever it is looked for."""

from __future__ import annotations

import re
from pathlib import Path

import asyncpg
import pytest

from saga_fn import SagaOrchestrator
from saga_fn._tools.sql.generate import QUERIES
from saga_fn._tools.sql.qualify import qualified, unqualified
from saga_fn._tools.sql.scan import SqlFileError, read_queries
from saga_fn.guard import Guard
from saga_fn.store.connections import ARRAY_TYPES
from saga_fn.store.migrate import migrate
from tests.store.traps import OFTEN, caught, work
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.until import SOON


async def test_nothing_is_looked_up_by_search_path_on_connections_of_our_own(trapped: str) -> None:
    await work(trapped, schema="saga_fn")
    assert not await caught(trapped)


async def test_nothing_is_looked_up_by_search_path_on_borrowed_connections(trapped: str) -> None:
    async with asyncpg.create_pool(trapped, min_size=1, max_size=4) as pool:
        await work(pool, schema="saga_fn")
    assert not await caught(trapped)


async def test_nothing_is_baked_into_a_schema_by_its_migration(trapped: str) -> None:
    await migrate(trapped, schema="other")
    await migrate(trapped, schema="other")
    await work(trapped, schema="other")
    assert not await caught(trapped)


async def test_the_guard_looks_nothing_up_by_search_path(trapped: str) -> None:
    guard = Guard("public")
    connection = await asyncpg.connect(trapped)
    try:
        await guard.create(connection)
        async with connection.transaction():
            await guard.done(connection, "operation")
            await guard.done(connection, "operation", 1)
            await guard.undone(connection, "operation")
    finally:
        await connection.close()
    assert not await caught(trapped)


async def test_a_start_in_a_callers_transaction_looks_nothing_up_by_its_search_path(trapped: str) -> None:
    connection = await asyncpg.connect(trapped)
    try:
        async with SagaOrchestrator(trapped, poll_interval=OFTEN) as orchestrator:
            shop = orchestrator.register("shop", make_saga(Shop()))
            async with connection.transaction():
                many = await shop.start_many([Order("1"), Order("2")], connection=connection)
                one = await shop.start(Order("3"), idempotency_key="3", connection=connection)
                again = await shop.start(Order("3"), idempotency_key="3", connection=connection)
                path = await connection.fetchval("SELECT pg_catalog.current_setting('search_path'::pg_catalog.text)")
            assert path == "public, pg_catalog"
            assert (one.created, again.created) == (True, False)
            for run in (*many, one):
                assert await run.result(SOON) == Done("ship")
    finally:
        await connection.close()
    assert not await caught(trapped)


async def test_migrating_leaves_the_callers_transaction_as_it_was(any_dsn: str) -> None:
    connection = await asyncpg.connect(any_dsn)
    try:
        async with connection.transaction():
            await connection.execute("SET LOCAL search_path = public; SET LOCAL lock_timeout = '7s'")
            await migrate(connection, schema="other")
            assert await connection.fetchval("SHOW search_path") == "public"
            assert await connection.fetchval("SHOW lock_timeout") == "7s"
    finally:
        await connection.close()


def test_the_driver_learns_of_every_array_type_beforehand() -> None:
    names = {"smallint": "int2", "integer": "int4", "bigint": "int8", "boolean": "bool"}
    used = {
        names.get(name, name)
        for sql in (query.sql for query in read_queries(QUERIES))
        for name in re.findall(r"::(?:pg_catalog\.)?(\w+)\[\]", sql)
    }
    assert used <= set(ARRAY_TYPES)


QUALIFIED = [
    ("SELECT now()", "SELECT pg_catalog.now()"),
    ("SELECT $1::uuid[] = $2::uuid[]", "SELECT $1::pg_catalog.uuid[] OPERATOR(pg_catalog.=) $2::pg_catalog.uuid[]"),
    ("SELECT $1::integer & 3 = 0", "SELECT $1::integer OPERATOR(pg_catalog.&) 3 OPERATOR(pg_catalog.=) 0"),
    ("SELECT 1 FROM {schema}.a AS a WHERE a.b = ANY (SELECT c.d FROM c)",
     "SELECT 1 FROM {schema}.a AS a WHERE a.b OPERATOR(pg_catalog.=) ANY (SELECT c.d FROM c)"),
    ("SELECT w.a FROM unnest($1, $2) AS w (a, b)", "SELECT w.a FROM unnest($1, $2) AS w (a, b)"),
    ("SELECT w.a FROM unnest($1) AS w (a)", "SELECT w.a FROM pg_catalog.unnest($1) AS w (a)"),
    ("SELECT unnest($1)", "SELECT pg_catalog.unnest($1)"),
    ("SELECT coalesce(a.b, greatest(a.c, a.d)) FROM a", "SELECT coalesce(a.b, greatest(a.c, a.d)) FROM a"),
]  # fmt: skip


@pytest.mark.parametrize("written, generated", QUALIFIED, ids=[written for written, _ in QUALIFIED])
def test_the_generator_qualifies_every_name(written: str, generated: str) -> None:
    assert qualified(Path("q.sql"), written) == generated
    assert unqualified(generated) == []
    assert qualified(Path("q.sql"), generated) == generated


REFUSED = [
    ("SELECT a.b IN (1, 2) FROM a", "= ANY(ARRAY[...])"),
    ("SELECT a.b IN (SELECT 1) FROM a", "= ANY (SELECT ...)"),
    ("SELECT a.b IS DISTINCT FROM a.c FROM a", "a <> b"),
    ("SELECT a.b IS NOT DISTINCT FROM a.c FROM a", "a = b"),
    ("SELECT a.b BETWEEN 1 AND 2 FROM a", "plain operators"),
    ("SELECT a.b LIKE 'x' FROM a", "plain operators"),
    ("SELECT nullif(a.b, 1) FROM a", "CASE WHEN"),
    ("SELECT CASE a.b WHEN 1 THEN 2 END FROM a", "CASE WHEN x = ..."),
    ("SELECT 1 FROM a JOIN b USING (c)", "JOIN ... ON"),
    ("SELECT 1 FROM a NATURAL JOIN b", "JOIN ... ON"),
    ("SELECT a.b FROM a ORDER BY a.b USING <", "ASC or DESC"),
    ('SELECT a.b COLLATE "C" FROM a', 'COLLATE pg_catalog."C"'),
    ("CREATE INDEX i ON a (b text_pattern_ops)", "pg_catalog.text_pattern_ops"),
    ("SELECT a.b <= a.c + 1 FROM a", "put parentheses"),
    ("SELECT 'ä'", "not ASCII"),
    ("SELECT (", "refuses it"),
]


@pytest.mark.parametrize("written, mend", REFUSED, ids=[written for written, _ in REFUSED])
def test_the_generator_refuses_what_it_cannot_qualify(written: str, mend: str) -> None:
    with pytest.raises(SqlFileError) as refusal:
        qualified(Path("q.sql"), written)
    assert mend in str(refusal.value)
    assert "HINT: " in str(refusal.value)
