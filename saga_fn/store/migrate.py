"""Numbered migrations of the schema: resumable, and safe when several processes begin at once.

Each migration is one transaction whose first statement inserts its version row. That row is the lock: a second migrator
waits on it, then finds the work done. `python -m saga_fn.store.migrate --dsn ...` applies them from the command line.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import asyncpg
import attrs

from saga_fn.arguments import is_whole
from saga_fn.errors import (
    SchemaDiffersError,
    SchemaMissingError,
    SchemaTooNewError,
    ServerTooOldError,
    StoreError,
    StoreRefusedError,
    shown,
)
from saga_fn.store._migrations import BOOTSTRAP, MIGRATIONS
from saga_fn.store._queries import InsertShardCount, MigrationRow, Queries, ServerRow
from saga_fn.store.connection import Connection, Pool
from saga_fn.store.driver_errors import DRIVER_ERRORS, translate_driver_error
from saga_fn.store.eras import MONTHS_AHEAD, era_of, eras_until_ahead, is_partitioned, partitioned, statements_adding
from saga_fn.store.ids import new_uuid
from saga_fn.store.migration import Migration
from saga_fn.store.records import moment_of
from saga_fn.store.rights import Right, RoleKind, grants, needs, read_grant, tables_of
from saga_fn.store.schema_name import with_schema
from saga_fn.store.schema_session import (
    ONE_AT_A_TIME,
    SEARCH_PATH,
    check_connection,
    connected,
    explained,
    persist,
    transaction,
)

OLDEST_SERVER: Final = 15
MOST_SHARDS: Final = 4096  # as many as an id has buckets

# `CREATE ... IF NOT EXISTS` raises these all the same when two sessions run it at once.
_ALREADY_THERE: Final = frozenset({"23505", "42710", "42P06", "42P07"})
_MAY_READ: Final = "SELECT pg_catalog.has_table_privilege($1::pg_catalog.name, $2::pg_catalog.text, 'SELECT')"
_IS_ROLE: Final = "SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1::pg_catalog.text::pg_catalog.name)"
_EVERY_ROLE: Final = "public"
"""GRANT takes this name for all roles, also in quotes."""
_LOOK_LIMIT: Final = 5.0
"""Seconds for a look at what is settled."""


async def migrate(
    target: str | Connection | Pool, *, schema: str = "saga_fn", shards: int = 1, journal_partitions: bool = False
) -> None:
    """Bring a schema up to date. A schema that is so already is left alone.

    Many processes may call it at once, and again after it was interrupted. Where the journal is partitioned, it gets the
    partitions of the months up to 24 months from now, if the user may make them.

    Args:
        target: A DSN, or a connection or pool of the caller's.
        schema: The schema's name. Default: "saga_fn".
        shards: The number of shards, 1 to 4,096. The first migration settles it for good. Default: 1.
        journal_partitions: Whether the journal is partitioned by the month of a saga's start. The first migration settles it
            for good. True later on demands that it is, and that the partitions of the months to come are made. Default: False.

    Raises:
        StoreError: The name cannot be a schema's, the number of shards is another one, or the database refuses. Or the
            journal is one table, and `journal_partitions` is True.
        StoreUnavailableError: The database does not answer.
        ServerTooOldError: The server is older than PostgreSQL 15.
        SchemaTooNewError: A newer library migrated the schema.
        SchemaDiffersError: A library with another version of the same migration did.

    Example::

        await migrate("postgresql://localhost/shop", schema="orders_saga")
    """
    _check_shard_count(shards)
    _check_flag(journal_partitions)
    queries = Queries(schema)
    async with connected(target) as connection, explained():
        server = await _read_server(queries, connection, schema)
        if not server.has_tables:
            # Who may not create schemas may still be given one.
            statements = BOOTSTRAP[1:] if server.has_schema else BOOTSTRAP
            await persist(lambda: _bootstrap(connection, schema, statements), "making the schema", _ALREADY_THERE)
        applied = {row.number for row in await _read_applied(queries, connection, schema)}
        if await queries.read_shard_count(connection) is None:
            await persist(lambda: _settle_shards(queries, connection, shards), "settling the number of shards")
        await _check_shards(queries, connection, schema, shards)
        for migration in MIGRATIONS:
            if migration.number not in applied:
                await _migrate_to(queries, connection, schema, migration, journal_partitions=journal_partitions)
        await _extend(queries, connection, schema, asked=journal_partitions)


async def grant(target: str | Connection | Pool, *, role: str, kind: RoleKind, schema: str = "saga_fn") -> None:
    """Give a role of the database the least rights that a kind of process needs. Rights that it has already stay.

    Args:
        target: A DSN, or a connection or pool of the caller's, of a user who owns the schema's tables.
        role: The role's name, as it is: it is quoted here.
        kind: The kind of its processes.
        schema: The schema's name; it has to be migrated. Default: "saga_fn".

    Raises:
        StoreError: The database refuses, for example because there is no such role.
        StoreUnavailableError: The database does not answer.
    """
    async with connected(target) as connection, explained(), transaction(connection):
        for statement in grants(kind, role, schema):
            await connection.execute(statement)
        for table in tables_of(kind, schema):
            if not (await connection.fetchrow(_MAY_READ, role, table))[
                0
            ]:  # PostgreSQL only warns where it gives nothing
                raise StoreError(
                    f"PostgreSQL has granted nothing on {table}",
                    hint="grant with the user who owns the tables: the one who has migrated",
                )


async def check_roles(target: str | Connection | Pool, roles: Sequence[str]) -> None:
    """Raise StoreError if one of the roles is not there: nothing can be granted to it, and nothing should be changed before."""
    if not roles:
        return
    async with connected(target) as connection, explained():
        for role in roles:
            if role != _EVERY_ROLE and not (await connection.fetchrow(_IS_ROLE, role))[0]:
                quoted = '"' + role.replace('"', '""') + '"'
                raise StoreError(
                    f"there is no role {shown(role)}", hint=f"create it first, such as CREATE ROLE {quoted} LOGIN"
                )


async def check_schema(connection: Connection, *, schema: str = "saga_fn", shards: int = 1) -> None:
    """Raise if this library cannot work with the schema as it is. Reads only.

    Raises SchemaMissingError, SchemaTooNewError, SchemaDiffersError, ServerTooOldError, or StoreError for another number of
    shards, or for what is no connection.
    """
    _check_shard_count(shards)
    queries = Queries(schema)
    check_connection(connection)
    server = await _read_server(queries, connection, schema)
    rows = await _read_applied(queries, connection, schema) if server.has_tables else []
    applied = {row.number for row in rows}
    if any(migration.number not in applied for migration in MIGRATIONS):
        raise SchemaMissingError(
            schema,
            found=max(applied, default=0),
            needed=MIGRATIONS[-1].number,
            hint="apply it with SagaOrchestrator(..., migrate=True), or "
            f"`python -m saga_fn.store.migrate --dsn ... --schema {schema}`",
        )
    await _check_shards(queries, connection, schema, shards)


async def settled_shards(target: str | Connection | Pool, *, schema: str = "saga_fn") -> int | None:
    """The number of shards that the first migration has settled; None where there are no tables. Reads only."""
    queries = Queries(schema)
    async with connected(target) as connection:
        try:
            async with asyncio.timeout(_LOOK_LIMIT):
                server = await _read_server(queries, connection, schema)
                return await queries.read_shard_count(connection) if server.has_tables else None
        except DRIVER_ERRORS as error:
            raise translate_driver_error(error) from error


async def lacking_of(connection: Connection, *, schema: str) -> frozenset[Right]:
    """The rights that the session's role has not, of all that any kind of process needs. Reads only."""
    by_name = {
        (with_schema(f"{{schema}}.{each.table}", schema), each.column, each.privilege): each
        for kind in RoleKind
        for each in needs(kind)
    }
    rows = await Queries(schema).read_lacking(
        connection,
        tables=[table for table, _, _ in by_name],
        columns=[column for _, column, _ in by_name],
        privileges=[privilege for _, _, privilege in by_name],
    )
    return frozenset(by_name[row.of_table, row.of_column, row.privilege] for row in rows)


async def refuse_read_only(connection: Connection, *, schema: str) -> None:
    """Raise StoreRefusedError if the server is a replica, or takes no writes for another reason. Reads only."""
    mode = await Queries(schema).read_mode(connection)
    if mode.is_read_only:
        raise read_only_error(is_replica=mode.is_replica)


def read_only_error(*, is_replica: bool) -> StoreRefusedError:
    """The database takes no writes."""
    return StoreRefusedError(
        "the database is read-only: it is a replica" if is_replica else "the database is read-only",
        hint="connect to the primary (target_session_attrs=read-write), or pass concurrency=0, read_only=True to look only",
    )


def _check_shard_count(shards: object) -> None:
    if not is_whole(shards) or not 1 <= shards <= MOST_SHARDS:
        raise StoreError(
            f"shards must be from 1 to {MOST_SHARDS}, not {shown(shards)}", hint="leave it at 1 if in doubt"
        )


def _check_flag(value: object) -> None:
    if not isinstance(value, bool):
        raise StoreError(
            f"journal_partitions must be True or False, not {shown(value)}", hint="leave it out if in doubt"
        )


async def _read_server(queries: Queries, connection: Connection, schema: str) -> ServerRow:
    table = with_schema("{schema}.migration", schema)
    server = await queries.read_server(connection, schema=schema, migration_table=table)
    major = server.version // 10000
    if major < OLDEST_SERVER:
        raise ServerTooOldError(found=major, needed=OLDEST_SERVER)
    if server.has_tables and not server.has_fingerprints:
        raise SchemaDiffersError(schema, migration=MIGRATIONS[0].number)
    return server


async def _read_applied(queries: Queries, connection: Connection, schema: str) -> list[MigrationRow]:
    rows = await queries.read_migrations(connection)
    known = MIGRATIONS[-1].number
    breaking = [row.number for row in rows if row.number > known and row.breaking]
    if breaking:
        raise SchemaTooNewError(schema, found=max(breaking), known=known)
    ours = {migration.number: migration.fingerprint for migration in MIGRATIONS}
    for row in rows:
        if row.fingerprint != ours.get(row.number, row.fingerprint):
            raise SchemaDiffersError(schema, migration=row.number)
    return rows


async def _check_shards(queries: Queries, connection: Connection, schema: str, shards: int) -> None:
    settled = await queries.read_shard_count(connection)
    if settled != shards:
        raise StoreError(
            f"schema {shown(schema)} has {settled} shards, this process was told {shards}",
            hint="the number of shards is settled by the first migration; give every process the same",
        )


async def _bootstrap(connection: Connection, schema: str, statements: tuple[str, ...]) -> bool:
    async with transaction(connection):
        for statement in statements:
            await connection.execute(with_schema(statement, schema))
    return True


async def _settle_shards(queries: Queries, connection: Connection, shards: int) -> bool:
    async with transaction(connection):
        await queries.insert_shard_count(connection, shards=shards, store=new_uuid().hex)
    return True


async def _migrate_to(
    queries: Queries, connection: Connection, schema: str, migration: Migration, *, journal_partitions: bool
) -> None:
    what = f"migration {migration.number} ({migration.name})"
    if migration.concurrently:
        await persist(lambda: _apply_concurrently(queries, connection, schema, migration), what, _ALREADY_THERE)
    else:
        parts = _in_parts(migration) if journal_partitions else migration
        await persist(lambda: _apply(queries, connection, schema, parts), what)


def _in_parts(migration: Migration) -> Migration:
    """The migration, such that the journal is partitioned if it is this one that makes it."""
    return attrs.evolve(migration, statements=tuple(map(partitioned, migration.statements)))


async def _apply(queries: Queries, connection: Connection, schema: str, migration: Migration) -> bool:
    async with transaction(connection):
        tag = await connection.execute(with_schema(migration.record, schema))
        if tag == "INSERT 0 1":  # else another process has done it, perhaps while we waited
            for statement in migration.statements:
                await connection.execute(with_schema(statement, schema))
            if any(map(is_partitioned, migration.statements)):
                month = era_of(moment_of((await queries.read_journal_eras(connection)).now))
                await _add_months(connection, schema, eras_until_ahead(month, month))
    return True


async def _add_months(connection: Connection, schema: str, eras: Iterable[int]) -> None:
    for era in eras:
        for statement in statements_adding(era, schema):
            await connection.execute(statement)


async def _extend(queries: Queries, connection: Connection, schema: str, *, asked: bool) -> None:
    """Make the partitions that a partitioned journal has not yet."""
    eras = await queries.read_journal_eras(connection)
    _check_partitioned(schema, is_partitioned=eras.newest is not None, asked=asked)
    if eras.newest is not None and eras_until_ahead(eras.newest + 1, era_of(moment_of(eras.now))):
        try:
            await persist(lambda: _add_missing(queries, connection, schema), "adding partitions to the journal")
        except asyncpg.InsufficientPrivilegeError:
            if asked:
                raise


async def _add_missing(queries: Queries, connection: Connection, schema: str) -> bool:
    async with transaction(connection):
        await connection.execute(with_schema(ONE_AT_A_TIME, schema))
        eras = await queries.read_journal_eras(connection)
        missing = eras_until_ahead((eras.newest or 0) + 1, era_of(moment_of(eras.now)))
        await _add_months(connection, schema, missing)
    return True


async def _apply_concurrently(queries: Queries, connection: Connection, schema: str, migration: Migration) -> bool:
    """The record comes last, since nothing can lock it; gives False while another process builds an index."""
    for index in await queries.read_invalid_indexes(connection, schema=schema):
        if index.building:
            return False
        await connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {index.name}")  # a process died building it
    for statement in migration.statements:
        await connection.execute(with_schema(statement, schema))
    if await queries.read_invalid_indexes(connection, schema=schema):
        return False
    await connection.execute(with_schema(migration.record, schema))
    return True


@attrs.frozen
class _Found:
    """How far a schema is, as a script for the rest of the way has to know."""

    has_tables: bool = False
    is_settled: bool = False
    """Whether the number of shards is settled."""
    applied: frozenset[int] = frozenset()
    months: Sequence[int] = ()
    """The eras that a partitioned journal has no partitions for."""


def script(
    schema: str,
    shards: int,
    granted: Sequence[tuple[RoleKind, str]] = (),
    *,
    journal_partitions: bool = False,
    found: _Found = _Found(),
) -> str:
    """All of it as text, for those who apply migrations with a tool of their own. With `found` only the rest of it.

    The first partition of the journal is of this month by this machine's clock.
    """
    begin = ["BEGIN;", f"SET LOCAL search_path = {SEARCH_PATH};"]
    first = [] if found.has_tables else [f"{with_schema(statement, schema)};" for statement in BOOTSTRAP]
    if not found.is_settled:
        settled = with_schema(InsertShardCount.TEXT, schema).replace("$1", str(shards))
        first.append(
            f"{settled.replace('$2', 'pg_catalog.gen_random_uuid()')};"
        )  # each database that it is run on has its own
    lines = [*begin, *first, "COMMIT;"] if first else []
    for migration in (each for each in MIGRATIONS if each.number not in found.applied):
        record = f"{with_schema(migration.record, schema)};"
        parts = _in_parts(migration) if journal_partitions else migration
        statements = [f"{with_schema(statement, schema)};" for statement in parts.statements]
        if any(map(is_partitioned, parts.statements)):
            month = era_of(moment_of(datetime.now(UTC)))
            statements += _months_as_text(eras_until_ahead(month, month), schema)
        lines += [*statements, record] if migration.concurrently else [*begin, record, *statements, "COMMIT;"]
    if found.months:
        lock = f"{with_schema(ONE_AT_A_TIME, schema)};"
        lines += [*begin, lock, *_months_as_text(found.months, schema), "COMMIT;"]
    lines += [f"{statement};" for kind, role in granted for statement in grants(kind, role, schema)]
    return "\n".join(lines)


def _months_as_text(eras: Iterable[int], schema: str) -> list[str]:
    return [f"{statement};" for era in eras for statement in statements_adding(era, schema)]


async def script_of_the_rest(
    target: str | Connection | Pool,
    *,
    schema: str = "saga_fn",
    shards: int = 1,
    granted: Sequence[tuple[RoleKind, str]] = (),
    journal_partitions: bool = False,
) -> str:
    """The SQL that `migrate` would run on this database now, and the grants; empty if there is nothing to do. Reads only.

    Raises what `migrate` raises.
    """
    _check_shard_count(shards)
    queries = Queries(schema)
    async with connected(target) as connection, explained():
        server = await _read_server(queries, connection, schema)
        if not server.has_tables:
            return script(schema, shards, granted, journal_partitions=journal_partitions)
        applied = frozenset(row.number for row in await _read_applied(queries, connection, schema))
        is_settled = await queries.read_shard_count(connection) is not None
        if is_settled:
            await _check_shards(queries, connection, schema, shards)
        months: Sequence[int] = ()
        if all(migration.number in applied for migration in MIGRATIONS):
            eras = await queries.read_journal_eras(connection)
            month = era_of(moment_of(eras.now))
            months = () if eras.newest is None else eras_until_ahead(eras.newest + 1, month)
            _check_partitioned(schema, is_partitioned=eras.newest is not None, asked=journal_partitions)
        found = _Found(has_tables=True, is_settled=is_settled, applied=applied, months=months)
        return script(schema, shards, granted, journal_partitions=journal_partitions, found=found)


def _check_partitioned(schema: str, *, is_partitioned: bool, asked: bool) -> None:
    if asked and not is_partitioned:
        raise StoreError(
            f"the journal of schema {shown(schema)} is one table",
            hint="whether it is partitioned is settled by the first migration: leave journal_partitions out, or "
            "migrate another schema",
        )


async def migrate_and_grant(
    dsn: str, schema: str, shards: int, granted: Sequence[tuple[RoleKind, str]], *, journal_partitions: bool
) -> None:
    """Bring a schema up to date, and give roles their rights: what a command line does. A role that there is not is told first."""
    await check_roles(dsn, [role for _, role in granted])
    await migrate(dsn, schema=schema, shards=shards, journal_partitions=journal_partitions)
    for kind, role in granted:
        await grant(dsn, role=role, kind=kind, schema=schema)


def main(arguments: list[str] | None = None) -> int:
    """The command line; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m saga_fn.store.migrate", description="Bring a schema up to date.")
    parser.add_argument("--dsn", help="the database, such as postgresql://user@host/name")
    parser.add_argument("--schema", default="saga_fn", help="default: saga_fn")
    parser.add_argument("--shards", type=int, default=1, help="settled for good by the first migration; default: 1")
    kinds = ", ".join(RoleKind)
    parser.add_argument(
        "--grant",
        action="append",
        default=[],
        metavar="KIND=ROLE",
        help=f"give a role what a process of that kind needs ({kinds}); may be given again",
    )
    parser.add_argument(
        "--journal-partitions",
        action="store_true",
        help=f"partition the journal by month, {MONTHS_AHEAD} months ahead; settled for good by the first migration, and "
        "later on it adds the months to come",
    )
    parser.add_argument("--print", action="store_true", help="print the SQL of all migrations, and run nothing")
    options = parser.parse_args(arguments)
    dsn: str | None = options.dsn
    schema: str = options.schema
    shards: int = options.shards
    in_parts: bool = options.journal_partitions
    asked: list[str] = options.grant
    try:
        granted = [read_grant(each) for each in asked]
        if options.print:
            print(script(schema, shards, granted, journal_partitions=in_parts))
            return 0
        if dsn is None:
            parser.error("give --dsn, or --print to see the SQL")
        asyncio.run(migrate_and_grant(dsn, schema, shards, granted, journal_partitions=in_parts))
    except (StoreError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"schema {schema} is at version {MIGRATIONS[-1].number}")
    for kind, role in granted:
        print(f"role {role} has the rights of the kind {kind}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
