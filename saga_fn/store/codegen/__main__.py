"""Command line of the generator."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import Final

from saga_fn.store.codegen.describe import describe_all, scratch_database
from saga_fn.store.codegen.render import digest_in, digest_of, render_guard, render_migrations, render_queries
from saga_fn.store.codegen.scan import SCHEMA_IN_SOURCE, SqlFileError, read_migrations, read_queries
from saga_fn.store.schema_name import with_schema

_ROOT: Final = Path(__file__).parents[3]
SCHEMA: Final = _ROOT / "sql" / "schema"
QUERIES: Final = _ROOT / "sql" / "queries"
QUERIES_MODULE: Final = _ROOT / "saga_fn" / "store" / "_queries.py"
MIGRATIONS_MODULE: Final = _ROOT / "saga_fn" / "store" / "_migrations.py"
GUARD: Final = _ROOT / "sql" / "guard"
"""The participant's guard: a schema and queries of its own."""
GUARD_MODULE: Final = _ROOT / "saga_fn" / "guard" / "_queries.py"


async def generate(dsn: str) -> dict[Path, str]:
    """The text of each generated module, by its path. Raises SqlFileError."""
    migrations = read_migrations(SCHEMA)
    queries = read_queries(QUERIES)
    async with scratch_database(dsn, migrations) as conn:
        described = await describe_all(conn, queries)
    table, guard_queries = read_migrations(GUARD / "schema"), read_queries(GUARD / "queries")
    async with scratch_database(dsn, read_migrations(SCHEMA)[:1]) as conn:
        for statement in table[0].statements:
            await conn.execute(with_schema(statement, SCHEMA_IN_SOURCE))
        guard_described = await describe_all(conn, guard_queries)
    digests = _digests()
    return {
        MIGRATIONS_MODULE: render_migrations(migrations, digests[MIGRATIONS_MODULE]),
        QUERIES_MODULE: render_queries(described, digests[QUERIES_MODULE]),
        GUARD_MODULE: render_guard(guard_described, table[0], digests[GUARD_MODULE]),
    }


def out_of_date() -> list[Path]:
    """The generated modules whose banner names other sources than those that are there. Needs no server."""
    return [module for module, digest in _digests().items() if digest_in(module) != digest]


def _digests() -> dict[Path, str]:
    schema = list(SCHEMA.glob("*.sql"))
    return {
        MIGRATIONS_MODULE: digest_of(schema),
        QUERIES_MODULE: digest_of([*schema, *QUERIES.glob("*.sql")]),
        GUARD_MODULE: digest_of(GUARD.glob("*/*.sql")),
    }


def main(arguments: list[str] | None = None) -> int:
    """Write the modules, or with `--check` compare them. Gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m saga_fn.store.codegen", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a generated module is out of date")
    parser.add_argument(
        "--dsn",
        default=os.environ.get("SAGA_FN_TEST_DSN"),
        help="a server on which a scratch database may be created (default: $SAGA_FN_TEST_DSN); "
        "without one, --check compares only the digests of the sources",
    )
    options = parser.parse_args(arguments)
    dsn: str | None = options.dsn
    check: bool = options.check
    if dsn is None and not check:
        parser.error("types come from a live PostgreSQL: give --dsn or set SAGA_FN_TEST_DSN")
    try:
        stale = out_of_date() if dsn is None else _compare_or_write(asyncio.run(generate(dsn)), write=not check)
    except SqlFileError as refusal:
        print(refusal, file=sys.stderr)
        return 1
    for module in stale:
        print(f"{module.relative_to(_ROOT)}: {'out of date' if check else 'written'}")
    if check and stale:
        print("HINT: run python -m saga_fn.store.codegen and commit what it writes.", file=sys.stderr)
        return 1
    return 0


def _compare_or_write(texts: dict[Path, str], *, write: bool) -> list[Path]:
    stale = [
        module for module, text in texts.items() if not module.exists() or module.read_text(encoding="utf-8") != text
    ]
    if write:
        for module in stale:
            module.write_text(texts[module], encoding="utf-8")
    return stale


if __name__ == "__main__":
    sys.exit(main())
