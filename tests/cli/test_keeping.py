"""The schema and what is deleted: the same functions as the library's own, asked from a terminal."""

from __future__ import annotations

import json
from pathlib import Path

import asyncpg
import pytest

from saga_fn.store.eras import statements_adding
from saga_fn.store.migrate import script, script_of_the_rest
from saga_fn.store.rights import RoleKind
from tests.cli.conftest import APP, Cli, Seeded
from tests.support.roles import execute, role


async def test_the_tables_are_made_and_rights_given(cli: Cli, empty_dsn: str) -> None:
    async with role(empty_dsn) as (name, _):
        told = await cli("migrate", "--grant", f"viewer={name}", "--dsn", empty_dsn, "--json")
        assert told.code == 0
        assert told.data["granted"] == [["viewer", name]]
        again = await cli("migrate", "--dsn", empty_dsn)
        assert again.out.endswith("is at version 1\n")
    assert (await cli("list", "--dsn", empty_dsn)).code == 0


@pytest.mark.parametrize("flags", [(), ("--dry-run",)])
async def test_a_role_that_there_is_not_is_told_before_anything_is_done(
    cli: Cli, empty_dsn: str, flags: tuple[str, ...]
) -> None:
    told = await cli("migrate", *flags, "--grant", "viewer=no such", "--dsn", empty_dsn)
    assert (told.code, told.out) == (2, "")
    assert told.err == (
        "saga-fn: there is no role 'no such'. Mend: create it first, such as CREATE ROLE \"no such\" LOGIN\n"
    )
    assert (await cli("list", "--dsn", empty_dsn)).code == 2, "there are no tables"


@pytest.mark.parametrize("partitions", [False, True])
async def test_the_sql_of_a_dry_run_does_what_the_migration_does(cli: Cli, empty_dsn: str, partitions: bool) -> None:
    flags = ["--journal-partitions"] if partitions else []
    told = await cli("migrate", "--dry-run", *flags, "--dsn", empty_dsn)
    assert told.code == 0
    assert told.out == (await cli("migrate", "--sql", *flags)).out
    assert (await cli("doctor", "--dsn", empty_dsn)).code == 1  # nothing was run
    await execute(empty_dsn, told.out)
    assert (await cli("migrate", "--dry-run", *flags, "--dsn", empty_dsn)).out.startswith("-- There is nothing to do")
    assert (await cli("migrate", *flags, "--dsn", empty_dsn)).code == 0
    assert (await cli("list", "--dsn", empty_dsn)).code == 0


async def test_a_dry_run_prints_only_the_rest(cli: Cli, empty_dsn: str) -> None:
    await cli("migrate", "--journal-partitions", "--dsn", empty_dsn)
    newest = "SELECT max(era) FROM saga_fn.journal_era"
    connection = await asyncpg.connect(empty_dsn)
    try:
        era = await connection.fetchval(newest)
        await connection.execute("DELETE FROM saga_fn.journal_era WHERE era = $1", era)
        name = await connection.fetchval(
            "SELECT max(relname) FROM pg_class WHERE relname LIKE 'saga_journal_2%' AND relkind = 'r'"
        )
        await connection.execute(f"DROP TABLE saga_fn.{name}")
        told = await cli("migrate", "--dry-run", "--dsn", empty_dsn)
        assert told.out.count("CREATE TABLE") == 1
        await connection.execute(told.out)
        assert await connection.fetchval(newest) == era
    finally:
        await connection.close()
    refused = await script_of_the_rest(empty_dsn, granted=[(RoleKind.VIEWER, "ann")], journal_partitions=True)
    assert refused.startswith('GRANT USAGE ON SCHEMA "saga_fn" TO "ann"')


async def test_old_months_are_dropped(cli: Cli, empty_dsn: str) -> None:
    assert (await cli("drop-months", "--yes", "--dsn", empty_dsn)).code == 2  # there are no tables
    await cli("migrate", "--journal-partitions", "--dsn", empty_dsn)
    for era in (240, 241):  # of the year 2020
        await execute(empty_dsn, *(statement for statement in statements_adding(era, "saga_fn")))
    told = await cli("drop-months", "--dry-run", "--json", "--dsn", empty_dsn)
    assert told.data == {"months": ["2020-01", "2020-02"], "dropped": False}
    assert (await cli("drop-months", "--dsn", empty_dsn)).code == 2  # no person can be asked
    done = await cli("drop-months", "--yes", "--dsn", empty_dsn)
    assert (done.code, done.out) == (0, "Dropped: 2020-01, 2020-02.\n")
    assert (await cli("drop-months", "--yes", "--dsn", empty_dsn)).out == "0 months could be dropped.\n"


def test_a_script_of_all_names_its_schema() -> None:
    assert '"other"' in script("other", 4)


async def test_sagas_are_deleted_when_their_retention_is_over(cli: Cli, seeded: Seeded, tmp_path: Path) -> None:
    quick = ("prune", "quick", "--version", "1", "--completed", "1h", "--dsn", seeded.dsn)
    assert (await cli(*quick, "--dry-run")).out == "0 sagas could be deleted.\n"
    await execute(
        seeded.dsn,
        "UPDATE saga_fn.saga SET ended_at = ended_at - interval '9 days', updated_at = updated_at - interval '9 days',"
        " created_at = created_at - interval '9 days' WHERE ended_at IS NOT NULL",
    )
    assert (await cli(*quick, "--dry-run")).out == "1 sagas could be deleted.\n"
    archive = tmp_path / "archive.jsonl"
    asked = await cli(*quick, "--archive", archive)
    assert asked.code == 2  # no person can be asked
    told = await cli(*quick, "--archive", archive, "--yes", "--json")
    assert (told.code, told.data["sagas"]) == (0, 1)
    assert json.loads(archive.read_text("utf-8"))["id"] == str(seeded.ended)
    gone = await cli("show", seeded.ended, "--dsn", seeded.dsn)
    assert gone.code == 2


@pytest.mark.parametrize(
    "options",
    [
        ("--archive", "x.jsonl"),
        ("--completed", "long"),
        ("--completed", "1s"),
        (),
        ("--version", "1"),
        ("--limit", "0", "--completed", "1d", "--version", "1"),
    ],
)
async def test_a_deletion_that_is_not_meant_is_refused(options: tuple[str, ...], cli: Cli, dsn: str) -> None:
    told = await cli("prune", "quick", *options, "--yes", "--dsn", dsn)
    assert told.code == 2
    assert len(told.err.splitlines()) == 1


async def test_a_definition_says_how_long_its_sagas_are_kept(cli: Cli, seeded: Seeded) -> None:
    told = await cli("prune", "quick", "--dry-run", "--app", APP)
    assert told.code == 2
    assert "retention" in told.err
