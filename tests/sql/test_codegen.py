"""The generator: what it writes, what it refuses, and that the committed modules are what it writes today."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from uuid import uuid4

import asyncpg
import pytest

from saga_fn._tools.sql.__main__ import main
from saga_fn._tools.sql.describe import describe_all, scratch_database
from saga_fn._tools.sql.generate import generate, out_of_date
from saga_fn._tools.sql.render import digest_of, render_migrations, render_queries
from saga_fn._tools.sql.scan import SqlFileError, read_migrations, read_queries, read_query

GOLDEN = Path(__file__).parent / "golden"
"""`sql/` and what is made of it. When the generator's output is meant to change: SAGA_FN_UPDATE_GOLDEN=1 pytest ..."""

HEADER = "-- name: q :many Row\n-- Does something.\n"


async def rendered(sql: Path, dsn: str) -> dict[str, str]:
    """Both modules, as made of the sources in `sql`."""
    migrations = read_migrations(sql / "schema")
    queries = read_queries(sql / "queries")
    async with scratch_database(dsn, migrations) as conn:
        described = await describe_all(conn, queries)
    digest = digest_of(sql.glob("*/*.sql"))
    return {"_queries": render_queries(described, digest), "_migrations": render_migrations(migrations, digest)}


@pytest.mark.parametrize("module", ["_queries", "_migrations"])
async def test_the_generated_text_is_as_it_was(empty_dsn: str, module: str) -> None:
    text = (await rendered(GOLDEN / "sql", empty_dsn))[module]
    golden = GOLDEN / f"{module}.py.txt"
    if os.environ.get("SAGA_FN_UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


async def test_the_generated_text_runs(empty_dsn: str) -> None:
    module = ModuleType("generated")
    sys.modules["generated"] = module  # where attrs looks the annotations up
    text = (GOLDEN / "_queries.py.txt").read_text(encoding="utf-8")
    exec(compile(text, "generated", "exec"), module.__dict__)
    queries = module.Queries("Other")
    conn = await asyncpg.connect(empty_dsn)
    try:
        for migration in read_migrations(GOLDEN / "sql" / "schema"):
            for statement in migration.statements:
                await conn.execute(statement.replace("{schema}", '"Other"'))
        job, other = uuid4(), uuid4()
        age = timedelta(hours=1)
        assert await queries.add_jobs(conn, shard=1, age=age, ids=[job, other], notes=[None, "n"]) == 2
        assert await queries.count_jobs(conn) == 2
        assert await queries.find_note(conn, shard=1, id=other) == "n"
        assert await queries.find_note(conn, shard=2, id=other) is None
        found = await queries.find_job(conn, shard=1, id=job, after=None)
        assert (found.id, found.note, found.data, found.late) == (job, None, b"", False)
        assert await queries.find_job(conn, shard=2, id=job, after=None) is None
        assert {row.id for row in await queries.list_jobs(conn, shard=1)} == {job, other}
        assert await queries.drop_job(conn, shard=1, id=job) is None
        assert await queries.count_jobs(conn) == 1
    finally:
        await conn.close()
        del sys.modules["generated"]


def test_the_committed_modules_are_made_of_the_files_that_are_there() -> None:
    assert out_of_date() == []


async def test_the_committed_modules_are_what_each_server_makes_of_them(any_dsn: str) -> None:
    for path, text in (await generate(any_dsn)).items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is stale: run make generate"


def test_checking_needs_no_server(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("SAGA_FN_TEST_DSN", raising=False)
    assert main(["check"]) == 0
    monkeypatch.setattr("saga_fn._tools.sql.generate.digest_in", str)
    assert main(["check"]) == 1
    assert "_queries.py: out of date" in capsys.readouterr().err


UNREADABLE = {
    "no header": ("SELECT 1 AS a", "the header is missing or wrong"),
    "unknown cardinality": ("-- name: q :some Row\n-- Doc.\nSELECT 1 AS a", "begin with `-- name: q :many RowClass`"),
    "another name": ("-- name: p :many Row\n-- Doc.\nSELECT 1 AS a", "its header names p"),
    "rows of nothing": ("-- name: q :exec Row\n-- Doc.\nSELECT 1 AS a", "gives no rows"),
    "no docstring": ("-- name: q :many Row\nSELECT 1 AS a", "says nowhere what it does"),
    "two statements": (f"{HEADER}SELECT 1 AS a; SELECT 2 AS a", "holds 2 statements"),
    "no statement": (HEADER, "holds 0 statements"),
    "a positional parameter": (f"{HEADER}SELECT $1::text AS a", "write :name"),
    "a part of no statement": (
        f"{HEADER}SELECT 1 AS a\n-- also: begin\n, 2 AS b\n-- also: end\n",
        "or has a part of one",
    ),
    "a statement without a part": (
        "-- name: q :many Row\n-- also: p\n-- Doc.\nSELECT 1 AS a",
        "names a second statement",
    ),
    "our marker": (f"{HEADER}SELECT a FROM {{schema}}.b", "write the schema as saga_fn"),
}


@pytest.mark.parametrize("text, message", UNREADABLE.values(), ids=list(UNREADABLE))
def test_a_file_that_cannot_be_read_is_named_with_its_mend(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "q.sql"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SqlFileError) as refusal:
        read_query(path)
    assert message in str(refusal.value)
    assert str(path) in str(refusal.value)
    assert "HINT: " in str(refusal.value)


def test_a_file_may_hold_a_second_statement_that_has_a_part_more(tmp_path: Path) -> None:
    path = tmp_path / "q.sql"
    path.write_text(
        "-- name: q :many Row\n-- also: p\n-- Doc.\nSELECT :x::text AS a\n-- also: begin\n, :y::text AS b\n-- also: end\n",
        encoding="utf-8",
    )
    one, more = read_queries(tmp_path)
    assert (one.name, one.parameters, more.name, more.parameters) == ("q", ("x",), "p", ("x", "y"))
    assert "AS b" not in one.sql
    assert one.doc == more.doc == ("Doc.",)


INDESCRIBABLE = {
    "no such column": (f"{HEADER}SELECT j.nothing FROM saga_fn.job AS j", "PostgreSQL refuses it"),
    "no rows": (f"{HEADER}DELETE FROM saga_fn.job", "has 0 columns"),
    "unread rows": ("-- name: q :exec\n-- Doc.\nSELECT 1 AS a", "has 1 columns"),
    "a name Python has": (f"{HEADER}SELECT 1 AS class", "cannot be a name in Python"),
    "no name": (f"{HEADER}SELECT 1 + 1", "cannot be a name in Python"),
    "one name twice": (f"{HEADER}SELECT 1 AS a, 2 AS a", "two columns have one name"),
    "a type we do not send": (f"{HEADER}SELECT '{{}}'::jsonb AS a", "cast it to one of"),
    "nullable unsaid": (f"{HEADER}SELECT j.note FROM saga_fn.job AS j", "nothing tells that ['note'] cannot be null"),
    "an expression": (
        f"{HEADER}SELECT max(j.at) AS at FROM saga_fn.job AS j",
        "nothing tells that ['at'] cannot be null",
    ),
    "nullable unknown": ("-- name: q :many Row\n-- nullable: b\n-- Doc.\nSELECT 1 AS a", "which it has not"),
    "elements of no array": ("-- name: q :many Row\n-- nullable: a[]\n-- Doc.\nSELECT 1 AS a", "write a"),
    "not null for nothing": ("-- name: q :many Row\n-- not null: a\n-- Doc.\nSELECT 1 AS a", "remove it there"),
    "a row without a class": ("-- name: q :one\n-- Doc.\nSELECT 1 AS a, 2 AS b", "has 2 columns and no row class"),
    "None means two things": (
        "-- name: q :optional\n-- nullable: note\n-- Doc.\nSELECT j.note FROM saga_fn.job AS j",
        "None could mean no row or a null",
    ),
}


@pytest.mark.parametrize("text, message", INDESCRIBABLE.values(), ids=list(INDESCRIBABLE))
async def test_a_statement_without_good_types_is_refused(
    empty_dsn: str, tmp_path: Path, text: str, message: str
) -> None:
    shutil.copytree(GOLDEN / "sql" / "schema", tmp_path / "schema")
    (tmp_path / "queries").mkdir()
    (tmp_path / "queries" / "q.sql").write_text(text, encoding="utf-8")
    with pytest.raises(SqlFileError) as refusal:
        await rendered(tmp_path, empty_dsn)
    assert message in str(refusal.value)


def rename(folder: Path) -> None:
    (folder / "0001_jobs.sql").rename(folder / "0003_jobs.sql")


def mark(folder: Path) -> None:
    (folder / "0001_jobs.sql").write_text("--! slowly\nCREATE SCHEMA x", encoding="utf-8")


def parametrise(folder: Path) -> None:
    (folder / "0001_jobs.sql").write_text("SELECT :a", encoding="utf-8")


@pytest.mark.parametrize(
    "spoil, message",
    [(rename, "gaps are not allowed"), (mark, "unknown mark ['slowly']"), (parametrise, "a migration takes none")],
)
def test_migrations_that_cannot_be_numbered(tmp_path: Path, spoil: Callable[[Path], None], message: str) -> None:
    folder = tmp_path / "schema"
    shutil.copytree(GOLDEN / "sql" / "schema", folder)
    spoil(folder)
    with pytest.raises(SqlFileError) as refusal:
        read_migrations(folder)
    assert message in str(refusal.value)
