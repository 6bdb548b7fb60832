"""Numbered migrations of the schema: resumable, and safe when several processes begin at once.

Each migration is one transaction whose first statement inserts its version row. That row is the lock: a second migrator
waits on it, then finds the work done. `python -m saga_fn.store.migrate --dsn ...` applies them from the command line.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from typing import Final

import asyncpg

from saga_fn.errors import SchemaMissingError, SchemaTooNewError, ServerTooOldError, StoreError, StoreUnavailableError
from saga_fn.store._migrations import BOOTSTRAP, MIGRATIONS
from saga_fn.store._queries import Queries
from saga_fn.store.connection import Connection
from saga_fn.store.migration import Migration
from saga_fn.store.schema_name import with_schema

OLDEST_SERVER: Final = 15
# What `CREATE ... IF NOT EXISTS` raises all the same when two sessions run it at once.
_ALREADY_THERE: Final = ("23505", "42710", "42P06", "42P07")
_LOCKED: Final = ("55P03", "40P01")
_LOCK_TIMEOUT: Final = "SET LOCAL lock_timeout = '2s'"
_TRIES: Final = 30


async def migrate(connection: Connection, *, schema: str = "saga_fn", shards: int = 1) -> None:
    """Bring a schema up to date; harmless when it is. `shards` (1 to 4096) is settled by the first migration for good.

    Raises ServerTooOldError, SchemaTooNewError, and StoreError if the database refuses.
    """
    if not 1 <= shards <= 4096:  # noqa: PLR2004 - as many as an id has buckets
        raise StoreError(f"shards must be from 1 to 4096, not {shards}")
    queries = Queries(schema)
    server = await queries.read_server(
        connection, schema=schema, migration_table=with_schema("{schema}.migration", schema)
    )
    _check_server(server.version)
    for statement in BOOTSTRAP if not server.has_tables else ():
        await _bootstrap(connection, with_schema(statement, schema))
    applied = {row.number for row in await _check_newer(queries, connection, schema)}
    for migration in MIGRATIONS:
        if migration.number not in applied:
            await _apply(connection, migration, schema)
    await queries.insert_shard_count(connection, shards=shards)


async def check_schema(connection: Connection, *, schema: str = "saga_fn", shards: int = 1) -> None:
    """Raise SchemaMissingError, SchemaTooNewError or ServerTooOldError if this library cannot work with the schema."""
    queries = Queries(schema)
    server = await queries.read_server(
        connection, schema=schema, migration_table=with_schema("{schema}.migration", schema)
    )
    _check_server(server.version)
    needed = MIGRATIONS[-1].number
    rows = await _check_newer(queries, connection, schema) if server.has_tables else []
    found = max((row.number for row in rows), default=0)
    if not {migration.number for migration in MIGRATIONS} <= {row.number for row in rows}:
        raise SchemaMissingError(
            schema,
            found=found,
            needed=needed,
            hint="apply it with SagaOrchestrator(..., migrate=True), or "
            f"`python -m saga_fn.store.migrate --dsn ... --schema {schema}`",
        )
    settled = await queries.read_shard_count(connection)
    if settled != shards:
        raise StoreError(
            f"schema {schema!r} has {settled} shards, this process was told {shards}",
            hint="the number of shards is settled by the first migration; give every process the same",
        )


def _check_server(version: int) -> None:
    if version // 10000 < OLDEST_SERVER:
        raise ServerTooOldError(found=version // 10000, needed=OLDEST_SERVER)


async def _check_newer(queries: Queries, connection: Connection, schema: str) -> list[_Applied]:
    rows = [_Applied(row.number, row.breaking) for row in await queries.read_migrations(connection)]
    known = MIGRATIONS[-1].number
    breaking = [row.number for row in rows if row.number > known and row.breaking]
    if breaking:
        raise SchemaTooNewError(schema, found=max(breaking), known=known)
    return rows


class _Applied:
    def __init__(self, number: int, breaking: bool) -> None:
        self.number = number
        self.breaking = breaking


async def _bootstrap(connection: Connection, statement: str) -> None:
    for _ in range(_TRIES):
        try:
            await connection.execute(statement)
        except asyncpg.PostgresError as error:
            if error.sqlstate not in _ALREADY_THERE:
                raise _refused(error) from error
            await asyncio.sleep(random.uniform(0.005, 0.05))
        else:
            return
    raise StoreError("the schema could not be made: others kept making it at the same time")


async def _apply(connection: Connection, migration: Migration, schema: str) -> None:
    """Apply one migration; that somebody else has done so meanwhile is as good."""
    for _ in range(_TRIES):
        try:
            if migration.concurrently:
                for statement in migration.statements:
                    await connection.execute(with_schema(statement, schema))
                await connection.execute(with_schema(migration.record, schema))
            else:
                async with connection.transaction():
                    await connection.execute(_LOCK_TIMEOUT)
                    await connection.execute(with_schema(migration.record, schema))
                    for statement in migration.statements:
                        await connection.execute(with_schema(statement, schema))
        except asyncpg.UniqueViolationError:
            return
        except asyncpg.PostgresError as error:
            if error.sqlstate not in _LOCKED:
                raise _refused(error) from error
            await asyncio.sleep(random.uniform(0.05, 0.5))
        else:
            return
    raise StoreError(
        f"migration {migration.number} ({migration.name}) could not get its locks",
        hint="end long transactions on the schema's tables, then migrate again; what was done stays done",
    )


def _refused(error: asyncpg.PostgresError) -> StoreError:
    hint = None
    if error.sqlstate == "42501":
        hint = "migrate once with a user who may create schemas and tables; the workers' user needs none of that"
    return StoreError(f"PostgreSQL refused a migration: {error} ({error.sqlstate})", hint=hint)


async def _main(dsn: str, schema: str, shards: int) -> int:
    try:
        connection = await asyncpg.connect(dsn, timeout=10)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        print(StoreUnavailableError(f"cannot connect: {type(error).__name__}", hint="check the DSN"), file=sys.stderr)
        return 1
    try:
        await migrate(connection, schema=schema, shards=shards)
    except StoreError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        await connection.close()
    print(f"schema {schema} is at version {MIGRATIONS[-1].number}")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """The command line; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m saga_fn.store.migrate", description="Bring a schema up to date.")
    parser.add_argument("--dsn", help="the database, such as postgresql://user@host/name")
    parser.add_argument("--schema", default="saga_fn")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--print", action="store_true", help="print the SQL instead of running it")
    options = parser.parse_args(arguments)
    schema: str = options.schema
    try:
        with_schema("", schema)
    except ValueError as error:
        parser.error(str(error))
    if options.print:
        for statement in BOOTSTRAP:
            print(with_schema(statement, schema) + ";")
        for migration in MIGRATIONS:
            for statement in (migration.record, *migration.statements):
                print(with_schema(statement, schema) + ";")
        return 0
    if options.dsn is None:
        parser.error("--dsn is needed")
    return asyncio.run(_main(options.dsn, schema, options.shards))


if __name__ == "__main__":
    sys.exit(main())
