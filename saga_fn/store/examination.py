"""A look at a database from outside, by one connection of its own: it tells an operator why something does not work."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

import asyncpg
import attrs

from saga_fn.errors import StoreError, StoreRefusedError
from saga_fn.store._queries import Queries
from saga_fn.store.closing import CLOSING, close
from saga_fn.store.connections import connect, learn_types
from saga_fn.store.driver_errors import DRIVER_ERRORS, translate_driver_error
from saga_fn.store.dsn import read_dsn
from saga_fn.store.migrate import check_schema, lacking_of, settled_shards
from saga_fn.store.rights import Right

_ECHO_LIMIT: Final = 2.0
"""Seconds that a notification may take to come back."""
_LIMIT: Final = 10.0
"""Seconds for all of it: a look at a table's size waits for one who changes the table."""
_CHANNEL: Final = "saga_fn_examination"


@attrs.frozen
class TableSize:
    """A table, with its indexes and partitions."""

    name: str
    bytes: int
    rows: int
    """About how many rows it has; -1 if it was never analysed."""


@attrs.frozen
class Examination:
    """A database, a schema of it and the way to them, as they were found."""

    server: str
    """The server's version."""
    role: str
    database: str
    is_replica: bool
    is_read_only: bool
    answers_in: timedelta
    """How long a statement takes, there and back."""
    apart: timedelta
    """By how much the database's clock is ahead of this machine's; the time of the question is left out."""
    is_pooled: bool
    """Whether the server's process is another one than the client was told."""
    hears: bool | None
    """Whether a notification comes back; None if the server is a replica, which takes no LISTEN."""
    schema_error: StoreError | None
    """Why this library cannot work with the schema, or None."""
    shards: int | None
    """How many shards it has; None if there are no tables."""
    lacking: frozenset[Right]
    """The rights that the role has not, of all that any kind of process needs; none if the schema does not fit."""
    sizes: tuple[TableSize, ...]
    """The tables, by their names."""


async def examine(dsn: str, *, schema: str) -> Examination:
    """Look at a database. Raises StoreError if it does not answer or does not let this user in."""
    shards, denied = None, None
    try:
        shards = await settled_shards(dsn, schema=schema)
    except StoreRefusedError as error:
        if not isinstance(error.__cause__, asyncpg.InsufficientPrivilegeError):
            raise
        denied = error  # a finding among others: this user may not even look into the schema
    try:
        connection = await connect(read_dsn(dsn, statement_cache_size=0))
        try:
            return await _seen(connection, schema, shards, denied)
        finally:
            await close(connection, CLOSING)
    except DRIVER_ERRORS as error:
        raise translate_driver_error(error) from error


async def _seen(
    connection: asyncpg.Connection[asyncpg.Record], schema: str, shards: int | None, denied: StoreError | None
) -> Examination:
    queries = Queries(schema)
    async with asyncio.timeout(_LIMIT):
        await learn_types(connection)
        began, asked = time.perf_counter(), datetime.now(UTC)
        session = await queries.read_session(connection)
        took = timedelta(seconds=time.perf_counter() - began)
        schema_error = denied or await _schema_error(connection, schema, shards)
        return Examination(
            server=session.version,
            role=session.role,
            database=session.database,
            is_replica=session.is_replica,
            is_read_only=session.is_read_only,
            answers_in=took,
            apart=_apart(session.now - asked, took),
            is_pooled=connection.get_server_pid() != session.pid,
            hears=None if session.is_replica else await _hears(queries, connection),
            schema_error=schema_error,
            shards=shards,
            lacking=frozenset() if schema_error else await lacking_of(connection, schema=schema),
            sizes=tuple(
                TableSize(row.table_name, row.bytes, row.row_estimate)
                for row in await queries.read_sizes(connection, schema=schema)
            ),
        )


def _apart(ahead: timedelta, took: timedelta) -> timedelta:
    """The database has told its time at some moment of the question."""
    if timedelta(0) <= ahead <= took:
        return timedelta(0)
    return ahead - took if ahead > took else ahead


async def _schema_error(
    connection: asyncpg.Connection[asyncpg.Record], schema: str, shards: int | None
) -> StoreError | None:
    try:
        await check_schema(connection, schema=schema, shards=shards or 1)
    except StoreError as error:
        return error
    return None


async def _hears(queries: Queries, connection: asyncpg.Connection[asyncpg.Record]) -> bool:
    """Whether what is called out on a channel comes back. A pooler in transaction mode takes a LISTEN and passes nothing on."""
    echoed, word = asyncio.Event(), uuid4().hex

    def heard(_connection: object, _pid: int, _channel: str, payload: object) -> None:
        if payload == word:
            echoed.set()

    try:
        await connection.add_listener(_CHANNEL, heard)
        await queries.notify_workers(connection, channel=_CHANNEL, payloads=[word])
        async with asyncio.timeout(_ECHO_LIMIT):
            await echoed.wait()
    except (TimeoutError, asyncpg.PostgresError):
        return False
    finally:
        with contextlib.suppress(*DRIVER_ERRORS):
            await connection.remove_listener(_CHANNEL, heard)
    return True
