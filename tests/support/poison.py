"""Writes into a store what no saga has come to: damage, as a careless hand or a broken disk would do it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from saga_fn import SagaOrchestrator
from saga_fn.store.memory import _Saga  # pyright: ignore[reportPrivateUsage]  # written behind the store's back


class Poison:
    """Damages the rows of the store that an orchestrator uses."""

    def __init__(self, orchestrator: SagaOrchestrator) -> None:
        self._store: Any = orchestrator.engine.store  # Any: the stores' private parts

    @property
    def _memory(self) -> dict[UUID, _Saga] | None:
        hidden: Any = self._store  # Any: as above
        sagas: dict[UUID, _Saga] | None = getattr(hidden, "_sagas", None)
        return sagas

    async def _execute(self, statement: str, *given: object) -> None:
        async with self._store._database.work() as connection:
            raw: asyncpg.Connection = connection
            await raw.execute(statement, *given)

    async def state(self, saga_id: UUID, state: bytes) -> None:
        """Write other bytes in the place of the saga's state."""
        if self._memory is not None:
            saga = self._memory[saga_id]
            saga.record = msgspec.structs.replace(saga.record, state=state)
        else:
            await self._execute("UPDATE saga_fn.saga SET state = $2 WHERE id = $1", saga_id, state)

    async def lose_entry(self, saga_id: UUID, seq: int) -> None:
        """Delete a journal entry."""
        if self._memory is not None:
            saga = self._memory[saga_id]
            saga.journal = [record for record in saga.journal if record.seq != seq]
        else:
            await self._execute("DELETE FROM saga_fn.saga_journal WHERE saga_id = $1 AND seq = $2", saga_id, seq)

    async def entry(self, saga_id: UUID, seq: int, **columns: Any) -> None:  # Any: bytes; evolve is typed by the name
        """Write other bytes into a journal entry: its `event`, `input` or `payload`."""
        for name, value in columns.items():
            if self._memory is not None:
                saga = self._memory[saga_id]
                saga.journal = [
                    msgspec.structs.replace(record, **{name: value}) if record.seq == seq else record
                    for record in saga.journal
                ]
            else:
                await self._execute(
                    f"UPDATE saga_fn.saga_journal SET {name} = $3 WHERE saga_id = $1 AND seq = $2", saga_id, seq, value
                )

    async def forge_entry(self, saga_id: UUID, seq: int) -> None:
        """Write a journal entry at a number that is still free."""
        await self._execute(
            "INSERT INTO saga_fn.saga_journal (shard, era, saga_id, seq, writer, kind, event)"
            " SELECT shard, era, id, $2, gen_random_uuid(), 'forged', '' FROM saga_fn.saga WHERE id = $1",
            saga_id,
            seq,
        )
