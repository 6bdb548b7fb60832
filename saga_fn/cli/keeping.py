"""The commands that keep the tables: the schema, and what is deleted."""

from __future__ import annotations

from typing import Annotated, Final

from cyclopts import Parameter

from saga_fn.admin.text_fields import length_of
from saga_fn.cli.answers import Answer, Drawn, lines, said
from saga_fn.cli.exit_codes import ExitCode
from saga_fn.cli.failures import BadInputError
from saga_fn.cli.place import DEFAULT_SCHEMA, Place, dsn_of, orchestrator_of, place_in_words, schema_of
from saga_fn.cli.session import By, Given, Session, Yes, flag
from saga_fn.cli.texts import of_pruned
from saga_fn.definition.archive import JsonlArchive
from saga_fn.definition.retention import Retention
from saga_fn.snapshot import Pruned
from saga_fn.store._migrations import MIGRATIONS
from saga_fn.store.migrate import check_roles, migrate_and_grant, script, script_of_the_rest, settled_shards
from saga_fn.store.months import drop_months as drop
from saga_fn.store.rights import RoleKind, read_grant

_GRANT: Final = (
    f"KIND=ROLE: give a role the rights of such a process, one of {', '.join(RoleKind)}. It may be given again."
)
_AT_ONCE: Final = 1000
"""Sagas that one call deletes: after each the progress bar moves, and Ctrl-C is heard."""


async def migrate(
    *,
    grant: Annotated[tuple[str, ...], Parameter(help=_GRANT)] = (),
    shards: Annotated[
        int | None, Parameter(help="Settled for good by the first migration. Without it 1, or what is settled.")
    ] = None,
    journal_partitions: Annotated[
        bool, flag("Partition the journal by month; settled for good by the first migration.")
    ] = False,
    dry_run: Annotated[bool, flag("Print the SQL that would run on this database, and run nothing.")] = False,
    sql: Annotated[
        bool, flag("Print the SQL of all migrations, for Alembic or another tool. No database is asked.")
    ] = False,
    session: Given,
) -> Answer:
    """Make the tables, or bring them up to date, and give roles their rights. It can be repeated."""
    granted = [read_grant(each) for each in grant]
    if sql:
        schema = session.settings.schema or DEFAULT_SCHEMA
        return _as_sql(script(schema, 1 if shards is None else shards, granted, journal_partitions=journal_partitions))
    named = None if session.settings.app is None else orchestrator_of(session.settings.app)
    dsn, schema = dsn_of(session.settings, named), schema_of(session.settings, named)
    number = (await settled_shards(dsn, schema=schema) or 1) if shards is None else shards
    if dry_run:
        await check_roles(dsn, [role for _, role in granted])
        return _as_sql(
            await script_of_the_rest(
                dsn, schema=schema, shards=number, granted=granted, journal_partitions=journal_partitions
            )
        )
    await migrate_and_grant(dsn, schema, number, granted, journal_partitions=journal_partitions)
    version = MIGRATIONS[-1].number
    told = [f"schema {schema} in {place_in_words(dsn)} is at version {version}"]
    told += [f"role {role} has the rights of the kind {kind}" for kind, role in granted]
    return Answer(
        {"schema": schema, "version": version, "granted": [[kind, role] for kind, role in granted]}, (lines(*told),)
    )


def _as_sql(text: str) -> Answer:
    if not text:
        return said("-- There is nothing to do: the schema is up to date.", {"sql": ""})
    return Answer({"sql": text}, (Drawn(text),))


async def drop_months(
    *,
    ended: Annotated[
        bool, flag("Months go as well whose sagas are listed still, and have all ended without FAILED.")
    ] = False,
    dry_run: Annotated[bool, flag("Name the months, and drop none.")] = False,
    yes: Yes = False,
    session: Given,
) -> Answer:
    """Drop the old months of a journal in partitions, as a whole. The user has to own the tables."""
    named = None if session.settings.app is None else orchestrator_of(session.settings.app)
    dsn, schema = dsn_of(session.settings, named), schema_of(session.settings, named)
    months = await drop(dsn, schema=schema, ended=ended, dry_run=True)
    told = lines(f"{len(months)} months could be dropped{': ' if months else ''}{', '.join(months)}.")
    if dry_run or not months:
        return Answer({"months": months, "dropped": False}, (told,))
    session.before_the_question((lines(f"database: {place_in_words(dsn)}"), told), yes=yes)
    if not session.agrees("Drop them?", yes=yes):
        return said("Nothing was dropped.", {"months": (), "dropped": False}, ExitCode.FOUND)
    gone = await drop(dsn, schema=schema, ended=ended)
    return said(f"Dropped: {', '.join(gone)}.", {"months": gone, "dropped": True})


async def prune(
    name: Annotated[str, Parameter(help="The name of the sagas.")],
    /,
    *,
    version: Annotated[int | None, Parameter(help="Their version. Without it all that --app knows.")] = None,
    completed: Annotated[str | None, Parameter(help="Delete those that COMPLETED so long ago, such as 30d.")] = None,
    compensated: Annotated[str | None, Parameter(help="Delete those that were COMPENSATED so long ago.")] = None,
    failed: Annotated[str | None, Parameter(help="Delete those that FAILED so long ago and are acknowledged.")] = None,
    tombstone: Annotated[
        str | None, Parameter(help="For how long a repeated request is known. Without it for ever.")
    ] = None,
    archive: Annotated[str | None, Parameter(help="Append each to this file of JSON lines first.")] = None,
    limit: Annotated[int, Parameter(help="The most sagas to delete.")] = 100_000,
    dry_run: Annotated[bool, flag("Only count them.")] = False,
    yes: Yes = False,
    by: By = None,
    session: Given,
) -> Answer:
    """Delete sagas that have ended and whose retention is over: the definition's, or the one that is given here."""
    kept = _retention(completed, compensated, failed, tombstone, archive)
    async with session.looking() if dry_run else session.acting(by) as place:
        seen = await place.admin.prune(name, version=version, retention=kept, dry_run=True, limit=limit)
        if dry_run or not seen.sagas:
            return Answer(seen, (of_pruned(seen, dry_run=True),))
        session.before_the_question((lines(f"database: {place.where}"), of_pruned(seen, dry_run=True)), yes=yes)
        if not session.agrees("Delete them?", yes=yes):
            return said("Nothing was deleted.", Pruned(0, seen.is_more, ()), ExitCode.FOUND)
        gone = await _prune_all(place, session, name, version, kept, seen, limit)
    return Answer(gone, (of_pruned(gone, dry_run=False),))


async def _prune_all(
    place: Place, session: Session, name: str, version: int | None, kept: Retention | None, seen: Pruned, limit: int
) -> Pruned:
    done, is_more, ids = 0, True, seen.saga_ids
    with session.output.bar("sagas deleted") as bar:
        while is_more and done < limit:
            gone = await place.admin.prune(name, version=version, retention=kept, limit=min(_AT_ONCE, limit - done))
            done, is_more = done + gone.sagas, gone.is_more
            bar.at(done, max(done, seen.sagas))
            if not gone.sagas:  # another process has them in hand
                break
    return Pruned(done, is_more, ids)


def _retention(
    completed: str | None, compensated: str | None, failed: str | None, tombstone: str | None, archive: str | None
) -> Retention | None:
    if completed is None and compensated is None and failed is None:
        if archive is not None or tombstone is not None:
            raise BadInputError("it is not said which sagas are deleted", hint="such as --completed 30d")
        return None
    lengths = {"completed": completed, "compensated": compensated, "failed": failed, "tombstone": tombstone}
    return Retention(
        **{name: length_of(name, text) for name, text in lengths.items() if text is not None},
        archive=None if archive is None else JsonlArchive(archive),
    )
