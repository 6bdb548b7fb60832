"""The pauses, in PostgreSQL."""

from __future__ import annotations

from datetime import datetime
from typing import final

from saga_fn.store.database import LOCK_TIMEOUT, Database
from saga_fn.store.records import PauseRecord

_SHARD = 0
"""Where the rows of pauses are."""


@final
class PostgresPauses:
    """The names that are paused; the empty name is everything."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self) -> list[PauseRecord]:
        """All that is paused, the oldest pause first; takes no lock."""
        async with self._database.control() as connection:
            rows = await self._database.queries.read_pauses(connection, shard=_SHARD)
        return [PauseRecord(row.name, row.actor, row.reason, row.paused_at) for row in rows]

    async def add(self, name: str, *, actor: str | None, reason: str | None) -> bool:
        """Pause a name; False, and the pause that there is stays, if it is paused already."""
        async with self._database.control() as connection:
            added = await self._database.queries.insert_pause(
                connection, shard=_SHARD, name=name, actor=actor, reason=reason, lock_timeout=LOCK_TIMEOUT
            )
        return added is not None

    async def remove(self, name: str, *, since: datetime | None = None) -> bool:
        """End the pause of a name, or only the one that began then; False if there is none."""
        async with self._database.control() as connection:
            removed = await self._database.queries.delete_pause(
                connection, shard=_SHARD, name=name, since=since, lock_timeout=LOCK_TIMEOUT
            )
        return removed is not None

    async def open_writers(self) -> frozenset[str]:
        """The transactions that may have started a saga and are open."""
        async with self._database.control() as connection:
            names = await self._database.queries.find_open_writers(connection, schema=self._database.schema)
        return frozenset(names)
