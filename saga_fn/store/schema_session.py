"""A session that changes the tables of a schema: it holds up no session for long, tries again, and says what to do if refused."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from saga_fn.errors import StoreError, StoreUnavailableError
from saga_fn.printable import a_type_of
from saga_fn.store.closing import CLOSING, close
from saga_fn.store.connection import Connection, Pool, check_loop
from saga_fn.store.connections import connect, learn_types
from saga_fn.store.driver_errors import DRIVER_ERRORS, translate_driver_error
from saga_fn.store.dsn import read_dsn

# Locks that others hold, and transactions that lost against others.
_BUSY: Final = frozenset({"40001", "40P01", "55P03"})
_NOT_ALLOWED: Final = "42501"
# A session that waits for a table's lock holds up all that come after: better to let them pass and try again.
_LOCK_TIMEOUT: Final = "2s"
# Every name is qualified already; this is for what a later statement might forget. A session's setting would not do: poolers
# refuse it or lose it.
SEARCH_PATH: Final = "pg_catalog"
_SETTINGS: Final = "SELECT pg_catalog.current_setting('lock_timeout'), pg_catalog.current_setting('search_path')"
_SET: Final = (
    "SELECT pg_catalog.set_config('lock_timeout', $1::pg_catalog.text, true),"
    " pg_catalog.set_config('search_path', $2::pg_catalog.text, true)"
)
_TRIES: Final = 30
# Readers go on meanwhile, and so do starts.
ONE_AT_A_TIME: Final = "LOCK TABLE {schema}.journal_era IN SHARE ROW EXCLUSIVE MODE"


@asynccontextmanager
async def connected(target: str | Connection | Pool) -> AsyncGenerator[Connection]:
    """A connection of the caller's, or one of our own to that DSN."""
    if isinstance(target, Pool):
        check_loop(target, "pool")
        async with target.acquire() as borrowed:
            yield borrowed
    elif isinstance(target, str):
        try:
            own = await connect(read_dsn(target, statement_cache_size=0))  # it goes through every pooler so
        except DRIVER_ERRORS as error:
            raise translate_driver_error(error) from error
        try:
            try:
                await learn_types(own)
            except DRIVER_ERRORS as error:
                raise translate_driver_error(error) from error
            yield own
        finally:
            await close(own, CLOSING)
    else:
        check_connection(target)
        yield target


@asynccontextmanager
async def explained() -> AsyncGenerator[None]:
    """Say what to do where the database refuses."""
    try:
        yield
    except asyncpg.PostgresError as error:
        hint = None
        if error.sqlstate == _NOT_ALLOWED:
            hint = "migrate once with a user who may create schemas and tables; the workers' user needs none of that"
        raise StoreError(f"PostgreSQL refused to migrate: {error} ({error.sqlstate})", hint=hint) from error
    except (OSError, asyncpg.InterfaceError) as error:
        raise StoreUnavailableError(
            f"the connection was lost: {error}", hint="migrate again: what was done stays done"
        ) from error


@asynccontextmanager
async def transaction(connection: Connection) -> AsyncGenerator[None]:
    """A transaction that waits for no lock for long, and looks no name up but PostgreSQL's own.

    It may be a part of the caller's: then the caller's settings are put back.
    """
    async with connection.transaction():
        lock_timeout, search_path = await connection.fetchrow(_SETTINGS)
        await connection.fetchrow(_SET, _LOCK_TIMEOUT, SEARCH_PATH)
        yield
        await connection.fetchrow(_SET, lock_timeout, search_path)


async def persist(attempt: Callable[[], Awaitable[bool]], what: str, harmless: frozenset[str] = frozenset()) -> None:
    """Try until `attempt` gives True; others who are at the same work are no error, only in the way."""
    for _ in range(_TRIES):
        try:
            if await attempt():
                return
        except asyncpg.PostgresError as error:
            if error.sqlstate not in _BUSY | harmless:
                raise
        await asyncio.sleep(random.uniform(0.01, 0.5))
    raise StoreError(
        f"{what} could not get its locks",
        hint="end long transactions on the schema's tables, then migrate again; what was done stays done",
    )


def check_connection(target: object) -> None:
    """Raise StoreError for what is neither a connection nor a pool."""
    if not callable(getattr(target, "fetchrow", None)):
        raise StoreError(
            f"a DSN, a connection or a pool is wanted, not {a_type_of(target)}",
            hint='e.g. "postgresql://localhost/shop"',
        )
    check_loop(getattr(target, "_con", target), "connection given")
