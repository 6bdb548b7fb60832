"""Traps in the way of PostgreSQL's own functions, operators and types, and work that would fall into them."""

from __future__ import annotations

from datetime import timedelta

import asyncpg
import msgspec
import pytest

from saga_fn import Event, SagaAdmin, SagaBuilder, SagaDefinition, SagaError, SagaOrchestrator
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.until import SOON

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
    ("<=", "smallint", "smallint"),
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
    """Functions and operators of a stranger's, in a schema that is searched before PostgreSQL's own.

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


async def work(
    source: str | asyncpg.Pool,
    *,
    schema: str,
    listen: bool = True,
    statement_cache_size: int | None = None,
    listen_dsn: str | None = None,
) -> None:
    """A bit of everything."""
    async with SagaOrchestrator(
        source,
        schema=schema,
        poll_interval=OFTEN,
        listen=listen,
        statement_cache_size=statement_cache_size,
        listen_dsn=listen_dsn,
    ) as orchestrator:
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
