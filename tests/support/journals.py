"""What holds after every integration test: each saga's journal, folded through the core, gives the state stored."""

from __future__ import annotations

import asyncpg

from saga_fn import MemoryStore, SagaAdmin, SagaOrchestrator
from saga_fn.store.errors import StatementFailedError

_MOST_SAGAS = 300
"""As many of a test's sagas are folded again; the first, the last and some between."""


async def disagreements(pool: asyncpg.Pool) -> list[str]:
    """A line for each saga in that database whose journal does not fold to its row."""
    schemas = await pool.fetch(
        "SELECT nspname, quote_ident(nspname) FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE relname = 'saga_journal' AND relkind IN ('r', 'p')"
    )
    found: list[str] = []
    for schema, quoted in schemas:
        ids = [row[0] for row in await pool.fetch(f"SELECT id FROM {quoted}.saga ORDER BY id")]
        if not ids:
            continue
        shards = await pool.fetchval(f"SELECT value::int FROM {quoted}.setting WHERE name = 'shards'")
        admin = SagaAdmin(SagaOrchestrator(pool, schema=schema, shards=shards))
        for saga_id in ids[:: 1 + len(ids) // _MOST_SAGAS]:
            try:
                found += [f"saga {saga_id}: {line}" for line in await admin.verify(saga_id)]
            except StatementFailedError as error:  # no statement fails of a journal that this library has written
                found.append(f"saga {saga_id}: {error}")
    return found


async def disagreements_in_memory(store: MemoryStore) -> list[str]:
    """The same, of a store in memory."""
    admin = SagaAdmin(SagaOrchestrator(store))
    sagas = list(store._sagas)  # pyright: ignore[reportPrivateUsage]  # no other code needs them all
    return [f"saga {saga_id}: {line}" for saga_id in sagas for line in await admin.verify(saga_id)]
