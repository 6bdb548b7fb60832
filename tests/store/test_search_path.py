"""Nothing of anybody's takes the place of a function, an operator or a type of PostgreSQL's own, wherever it is looked for."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import asyncpg
import msgspec
import pytest

from saga_fn import Event, SagaAdmin, SagaBuilder, SagaDefinition, SagaError, SagaOrchestrator
from saga_fn.guard import Guard
from saga_fn.store._queries import STATEMENTS
from saga_fn.store.codegen.qualify import qualified, unqualified
from saga_fn.store.codegen.scan import SqlFileError
from saga_fn.store.connections import ARRAY_TYPES
from saga_fn.store.migrate import migrate
from tests.engine.shop import Done, Order, Shop, make_saga

SOON = 20.0
OFTEN = timedelta(milliseconds=100)

OPERATORS = (
    ("=", "uuid", "uuid"),
    ("=", "smallint", "smallint"),
    ("=", "bigint", "bigint"),
    ("=", "text", "text"),
    ("=", "oid", "oid"),
    ("&", "smallint", "integer"),
    ("<>", "smallint", "integer"),
    ("=", "smallint", "integer"),
    ("<", "bigint", "bigint"),
    ("<=", "integer", "integer"),
    ("<=", "timestamptz", "timestamptz"),
    (">", "timestamptz", "timestamptz"),
    ("+", "timestamptz", "interval"),
    ("+", "bigint", "integer"),
    ("+", "bigint", "bigint"),
)
FUNCTIONS = (
    *(f"unnest({element}[]) RETURNS SETOF {element}" for element in ("uuid", "text", "smallint", "integer", "bigint")),
    *(f"cardinality({element}[]) RETURNS integer" for element in ("uuid", "text")),
    *(f"count({element}) RETURNS bigint" for element in ("uuid", "text")),
    "now() RETURNS timestamptz",
    "octet_length(bytea) RETURNS integer",
    "set_config(text, text, boolean) RETURNS text",
    "current_setting(text) RETURNS text",
    "to_regclass(text) RETURNS regclass",
    "pg_notify(text, text) RETURNS void",
    "generate_series(integer, integer) RETURNS SETOF integer",
)


class Note(msgspec.Struct, frozen=True):
    text: str


NOTED = Event("noted", Note)


async def lay_traps(dsn: str) -> None:
    """Somebody's functions and operators, in a schema that is searched before PostgreSQL's own.

    Each moves a sequence, which no rollback takes back, and fails.
    """
    connection = await asyncpg.connect(dsn)
    try:
        database = await connection.fetchval("SELECT current_database()")
        await connection.execute("CREATE SEQUENCE public.caught")
        body = "LANGUAGE plpgsql AS $$BEGIN PERFORM pg_catalog.nextval('public.caught'); RAISE '{}'; END$$"
        for signature in FUNCTIONS:
            await connection.execute(f"CREATE FUNCTION public.{signature} {body.format('caught ' + signature)}")
        for number, (name, left, right) in enumerate(OPERATORS):
            gives = {"+": left, "&": right}.get(name, "boolean")
            trap = f"trap_{number}({left}, {right})"
            await connection.execute(f"CREATE FUNCTION public.{trap} RETURNS {gives} {body.format('caught ' + name)}")
            await connection.execute(
                f"CREATE OPERATOR public.{name} (LEFTARG = {left}, RIGHTARG = {right}, FUNCTION = public.trap_{number})"
            )
        for name in ("uuid", "text", "timestamptz", "bytea"):
            await connection.execute(f"CREATE DOMAIN public.{name} AS pg_catalog.{name} CHECK (false)")
        await connection.execute(f'ALTER DATABASE "{database}" SET search_path = public, pg_catalog')
    finally:
        await connection.close()


@pytest.fixture
async def trapped(any_dsn: str) -> AsyncIterator[str]:
    """A database with such traps, which only who asks for its settings falls into."""
    await lay_traps(any_dsn)
    yield any_dsn
    connection = await asyncpg.connect(any_dsn, server_settings={"search_path": "pg_catalog"})
    database = await connection.fetchval("SELECT pg_catalog.current_database()")
    await connection.execute(f'ALTER DATABASE "{database}" RESET search_path')
    await connection.close()


async def caught(dsn: str) -> bool:
    """Whether anything was called of it."""
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "pg_catalog"})
    try:
        called: bool = await connection.fetchval("SELECT is_called FROM public.caught")
        return called
    finally:
        await connection.close()


def waiting_saga() -> SagaDefinition[Order, Note]:
    """Nothing but a wait."""
    builder = SagaBuilder(Order)
    return builder.build(output=builder.add_event(NOTED))


async def work(source: str | asyncpg.Pool, *, schema: str, listen: bool = True) -> None:
    """A bit of everything."""
    async with SagaOrchestrator(source, schema=schema, poll_interval=OFTEN, listen=listen) as orchestrator:
        shop = orchestrator.register("shop", make_saga(Shop()))
        waiting = orchestrator.register("waiting", waiting_saga())
        failing = orchestrator.register("failing", make_saga(Shop(fails={"ship": 1})))
        for run in await shop.start_many(
            [Order(str(number)) for number in range(20)], idempotency_key=lambda o: o.order_id
        ):
            assert await run.result(SOON) == Done("ship")
        with pytest.raises(SagaError):
            await failing.run(Order("f"), timeout=SOON)
        await orchestrator.to(("waiting", "a"), NOTED).send(Note("kept"))
        assert await waiting.run(Order("a"), aggregation_id="a", timeout=SOON) == Note("kept")
        by_id = await waiting.start(Order("b"), delay=timedelta(milliseconds=50))
        await orchestrator.to(by_id.id, NOTED).send(Note("sent"))
        assert await by_id.result(SOON) == Note("sent")
        admin = SagaAdmin(orchestrator)
        aborted = await waiting.start(Order("c"), aggregation_id="c")
        await admin.abort(aborted.id)
        assert (await admin.get_saga(by_id.id)).step_history
        await admin.kept_events("waiting", "a")
        assert (await orchestrator.health()).ok
        await orchestrator.run_due()


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
        for sql in STATEMENTS.values()
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
