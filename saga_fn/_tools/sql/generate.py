"""Makes the generated modules of the files in `sql/`, or compares them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from saga_fn._tools.sql.describe import describe_all, scratch_database
from saga_fn._tools.sql.render import digest_in, digest_of, render_guard, render_migrations, render_queries
from saga_fn._tools.sql.scan import SCHEMA_IN_SOURCE, read_migrations, read_queries
from saga_fn.store.schema_name import with_schema

ROOT: Final = Path(__file__).parents[3]
"""The root of the checkout."""
SCHEMA: Final = ROOT / "sql" / "schema"
QUERIES: Final = ROOT / "sql" / "queries"
QUERIES_MODULE: Final = ROOT / "saga_fn" / "store" / "_queries.py"
MIGRATIONS_MODULE: Final = ROOT / "saga_fn" / "store" / "_migrations.py"
GUARD: Final = ROOT / "sql" / "guard"
"""The participant's guard: a schema and queries of its own."""
GUARD_MODULE: Final = ROOT / "saga_fn" / "guard" / "_queries.py"


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


def write(dsn: str) -> list[Path]:
    """Write the generated modules that are not what the server behind `dsn` makes of the files; gives their paths."""
    texts = asyncio.run(generate(dsn))
    stale = _differing(texts)
    for module in stale:
        module.write_text(texts[module], encoding="utf-8")
    return stale


def stale_modules(dsn: str | None) -> list[Path]:
    """The generated modules that are out of date: by their text if there is a server, else by the digest in their banner."""
    return out_of_date() if dsn is None else _differing(asyncio.run(generate(dsn)))


def _differing(texts: dict[Path, str]) -> list[Path]:
    return [
        module for module, text in texts.items() if not module.exists() or module.read_text(encoding="utf-8") != text
    ]
