"""Old months of a journal in partitions, dropped as a whole: `python -m saga_fn.store.months --dsn ...`.

A month is given up in steps, each of which stays done. Its row in `journal_era` goes first, so that no start takes it, and its
partition is marked; then the partition is detached, beside all readers and writers; then it is dropped. The next call
takes up all that is marked. A table that a person has detached is not marked, and stays.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from functools import partial
from typing import Final

from saga_fn.errors import StoreError, shown
from saga_fn.store._queries import Queries
from saga_fn.store.connection import Connection, Pool
from saga_fn.store.eras import era_of, month_of, partition_of
from saga_fn.store.records import moment_of
from saga_fn.store.schema_name import with_schema
from saga_fn.store.schema_session import ONE_AT_A_TIME, connected, explained, persist, transaction

_MARK: Final = "saga_fn: given up, to be dropped"
_PATIENCE: float = 60.0
"""Seconds that a partition may take to be detached: that waits for the transactions that have the journal open."""
_OTHERS_ARE_AT_IT: Final = frozenset({"42P01", "42809", "55000", "XX000"})
"""The table is gone, or is no partition any more, or is being detached: another process does the same."""
_PREFIX: Final = "saga_journal_"
_IS_EMPTY: Final = "SELECT NOT EXISTS (SELECT 1 FROM {schema}.%s)"
_IS_OVER: Final = (
    "SELECT NOT EXISTS (SELECT 1 FROM {schema}.saga AS s"
    " WHERE s.era OPERATOR(pg_catalog.=) %d AND (s.ended_at IS NULL OR s.status OPERATOR(pg_catalog.=) 'FAILED'))"
)
_MARKED: Final = (
    "SELECT c.relname::pg_catalog.text AS name, i.inhdetachpending AS pending"
    " FROM pg_catalog.pg_class AS c"
    " JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace"
    " LEFT JOIN pg_catalog.pg_inherits AS i ON i.inhrelid OPERATOR(pg_catalog.=) c.oid"
    " WHERE n.nspname OPERATOR(pg_catalog.=) $1::pg_catalog.name"
    " AND pg_catalog.obj_description(c.oid, 'pg_class') OPERATOR(pg_catalog.=) $2::pg_catalog.text"
    " ORDER BY c.relname"
)


async def drop_months(
    target: str | Connection | Pool, *, schema: str = "saga_fn", ended: bool = False, dry_run: bool = False
) -> tuple[str, ...]:
    """Drop the old months of a journal in partitions: those of which no saga is left, because retention has deleted them all.

    Workers, starts and readers go on meanwhile. The present month and the one before it stay, and so does the newest that a start
    could take. It may be called again after it was interrupted, and by several processes at once.

    Args:
        target: A DSN, or a connection or pool of the caller's, of a user who owns the schema's tables. A connection must not be in
            a transaction.
        schema: The schema's name. Default: "saga_fn".
        ended: Whether months go as well whose sagas have all COMPLETED or were COMPENSATED, though they are still listed. Such a
            saga has no journal any more: its result and outcome raise SagaJournalDroppedError, and an archive gets it without its
            journal. Default: False.
        dry_run: Whether the months are only named. Default: False.

    Returns:
        The months that were dropped, or would be, such as "2026-01", the oldest first.

    Raises:
        StoreError: The journal is one table, or the database refuses. Or a transaction that has the journal open has not ended within
            a minute: then call it again.
        StoreUnavailableError: The database does not answer.

    Example::

        print(await drop_months("postgresql://owner@db/shop", dry_run=True))
    """
    flags: dict[str, object] = {"ended": ended, "dry_run": dry_run}
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise StoreError(f"{name} must be True or False, not {shown(value)}", hint=f"{name}=True")
    queries = Queries(schema)
    async with connected(target) as connection, explained():
        old = await _old(queries, connection, schema)
        chosen = [era for era in old if await _is_dispensable(connection, schema, era, ended=ended)]
        if dry_run:
            begun = [_month_in(name) for name in await _marked(connection, schema)]
            return tuple(sorted({*begun, *map(month_of, chosen)}))
        for era in chosen:
            await persist(partial(_give_up, connection, schema, era, ended=ended), f"giving up {month_of(era)}")
        given_up = tuple(await _marked(connection, schema))
        for name in given_up:
            await persist(partial(_go_on, connection, schema, name), f"dropping {name}", _OTHERS_ARE_AT_IT)
        return tuple(map(_month_in, given_up))


async def _old(queries: Queries, connection: Connection, schema: str) -> list[int]:
    """The eras that no start takes any more, even if its transaction began a month ago."""
    found = await queries.read_journal_eras(connection)
    if found.newest is None:
        raise StoreError(
            f"the journal of schema {shown(schema)} is one table",
            hint="there are no months to drop; retention deletes its rows",
        )
    month = era_of(moment_of(found.now))
    rows = await connection.fetch(with_schema("SELECT e.era FROM {schema}.journal_era AS e ORDER BY e.era", schema))
    eras: list[int] = [row[0] for row in rows]
    taken = max((era for era in eras if era <= month), default=month)
    return [era for era in eras if era < min(month - 1, taken)]


async def _is_dispensable(connection: Connection, schema: str, era: int, *, ended: bool) -> bool:
    statement = _IS_OVER % era if ended else _IS_EMPTY % partition_of(era)
    (is_so,) = await connection.fetchrow(with_schema(statement, schema))
    return bool(is_so)


async def _give_up(connection: Connection, schema: str, era: int, *, ended: bool) -> bool:
    """From here on the partition is going to be dropped, by the process that comes first."""
    async with transaction(connection):
        await connection.execute(with_schema(ONE_AT_A_TIME, schema))
        if await _is_dispensable(connection, schema, era, ended=ended):
            await connection.execute(with_schema("DELETE FROM {schema}.journal_era WHERE era = $1", schema), era)
            await connection.execute(
                with_schema(f"COMMENT ON TABLE {{schema}}.{partition_of(era)} IS '{_MARK}'", schema)
            )
    return True


async def _marked(connection: Connection, schema: str) -> dict[str, bool | None]:
    """The partitions that were given up, in order; each with whether its detachment has begun, None if it is over."""
    rows = await connection.fetch(_MARKED, schema, _MARK)
    return {row["name"]: row["pending"] for row in rows}


async def _go_on(connection: Connection, schema: str, name: str) -> bool:
    """One step of the rest of the way; True once the partition is gone."""
    marked = await _marked(connection, schema)
    if name not in marked:
        return True
    pending = marked[name]
    if pending is None:
        async with transaction(connection):
            await connection.execute(with_schema(f"DROP TABLE {{schema}}.{name}", schema))
        return True
    way = "FINALIZE" if pending else "CONCURRENTLY"
    statement = f"ALTER TABLE {{schema}}.saga_journal DETACH PARTITION {{schema}}.{name} {way}"
    try:
        async with asyncio.timeout(_PATIENCE):
            await connection.execute(with_schema(statement, schema))
    except TimeoutError:
        raise StoreError(
            f"{name} could not be detached within {_PATIENCE:g} s",
            hint="end long transactions that have the journal open, then call it again: what was done stays done",
        ) from None
    return False


def _month_in(name: str) -> str:
    return name.removeprefix(_PREFIX).replace("_", "-")


def main(arguments: list[str] | None = None) -> int:
    """The command line; gives the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m saga_fn.store.months", description="Drop the old months of a journal in partitions."
    )
    parser.add_argument("--dsn", required=True, help="the database, such as postgresql://owner@host/name")
    parser.add_argument("--schema", default="saga_fn", help="default: saga_fn")
    parser.add_argument(
        "--ended",
        action="store_true",
        help="months go as well whose sagas have all COMPLETED or were COMPENSATED; these have no journal then",
    )
    parser.add_argument("--dry-run", action="store_true", help="name the months, and drop none")
    options = parser.parse_args(arguments)
    dsn: str = options.dsn
    schema: str = options.schema
    ended: bool = options.ended
    dry_run: bool = options.dry_run
    try:
        months = asyncio.run(drop_months(dsn, schema=schema, ended=ended, dry_run=dry_run))
    except (StoreError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{'to drop' if dry_run else 'dropped'}: {', '.join(months) or 'no month'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
