"""The row of one saga, or the error of one that is not there."""

from __future__ import annotations

from uuid import UUID

from saga_fn.arguments import check_id
from saga_fn.engine.engine import SagaEngine
from saga_fn.errors import SagaDeletedError, SagaNotFoundError
from saga_fn.store.connection import CallerConnection
from saga_fn.store.records import SagaRecord


async def read_row(engine: SagaEngine, saga_id: UUID, connection: CallerConnection | None = None) -> SagaRecord:
    """The saga's row as it stands, or as a caller's connection sees it; raises SagaNotFoundError, or SagaDeletedError."""
    check_id(saga_id)
    engine.gate.require_open()
    row = await engine.store.read(saga_id, connection=connection)
    if row is None:
        stone = await engine.store.deletion.tombstone(saga_id, connection=connection)
        if stone is not None:
            raise SagaDeletedError(saga_id, status=stone.status, ended_at=stone.ended_at, deleted_at=stone.deleted_at)
        raise SagaNotFoundError(saga_id, uncommitted=saga_id in engine.uncommitted)
    return row
