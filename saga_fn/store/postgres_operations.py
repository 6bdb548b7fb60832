"""Acts of operators, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import final
from uuid import UUID

from saga_fn.core.acts import Trace
from saga_fn.errors import StoredDataError
from saga_fn.snapshot import OperationState
from saga_fn.store._queries import OperationRow
from saga_fn.store.database import LOCK_TIMEOUT, Database
from saga_fn.store.ids import new_uuid, shard_of
from saga_fn.store.records import OPERATIONS_AT_ONCE, OperationRecord, Progress, decode_progress, encode_progress

_SHARD = 0
"""Where the rows of operations are."""
_FIRST = (datetime.min.replace(tzinfo=UTC), UUID(int=0))
_LAST = (datetime.max.replace(tzinfo=UTC), UUID(int=0))


@final
class PostgresOperations:
    """The operations of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, act: OperationRecord) -> None:
        """Record an act that its caller carries out, unless there is one of its id."""

        async def recorded() -> None:
            async with self._database.work() as connection:
                await self._database.queries.record_act(
                    connection,
                    shard=_SHARD,
                    id=act.id,
                    verb=act.verb,
                    step_id=act.step_id,
                    saga_id=act.saga_id,
                    actor=act.actor,
                    reason=act.reason,
                    request=act.request,
                    progress=encode_progress(act.progress),
                    lock_timeout=LOCK_TIMEOUT,
                )

        await self._database.persist(recorded)

    async def insert(self, operation: OperationRecord) -> OperationRecord:
        """Record an operation, unless there is one of its id."""

        async def inserted() -> None:
            async with self._database.work() as connection:
                await self._database.queries.insert_operation(
                    connection,
                    shard=_SHARD,
                    id=operation.id,
                    verb=operation.verb,
                    step_id=operation.step_id,
                    saga_id=operation.saga_id,
                    actor=operation.actor,
                    reason=operation.reason,
                    request=operation.request,
                    needs=operation.needs,
                    state=operation.state.value,
                    progress=encode_progress(operation.progress),
                    lock_timeout=LOCK_TIMEOUT,
                )

        await self._database.persist(inserted)
        return await self.read(operation.id) or operation

    async def read(self, operation_id: UUID) -> OperationRecord | None:
        """The operation."""
        async with self._database.work() as connection:
            row = await self._database.queries.read_operation(connection, shard=_SHARD, id=operation_id)
        return _record_of(row)

    async def page(self, *, before: tuple[datetime, UUID] | None, most: int) -> list[OperationRecord]:
        """The operations before that one, the newest first."""
        at, at_id = before or _LAST
        async with self._database.work() as connection:
            rows = await self._database.queries.list_operations(connection, shard=_SHARD, at=at, at_id=at_id, most=most)
        found = [_record_of(row, shows_flaws=True) for row in rows]
        return [each for each in found if each is not None]

    async def claim(self, names: Sequence[str], *, lease: timedelta) -> OperationRecord | None:
        """Take an operation that runs, and that no process carries out."""
        async with self._database.work() as connection:
            row = await self._database.queries.claim_operation(
                connection, shard=_SHARD, token=new_uuid(), lease=lease, names=names
            )
        return _record_of(row)

    async def take(self, operation_id: UUID, *, seen: OperationState, lease: timedelta) -> OperationRecord | None:
        """Take this operation, as the caller has seen it."""
        async with self._database.work() as connection:
            row = await self._database.queries.take_operation(
                connection,
                shard=_SHARD,
                id=operation_id,
                seen=seen.value,
                token=new_uuid(),
                lease=lease,
                lock_timeout=LOCK_TIMEOUT,
            )
        return _record_of(row)

    async def advance(
        self, operation_id: UUID, token: UUID, progress: Progress, *, lease: timedelta, is_done: bool
    ) -> OperationState | None:
        """Write how far it has come."""

        async def advanced() -> str | None:
            async with self._database.work() as connection:
                return await self._database.queries.advance_operation(
                    connection,
                    shard=_SHARD,
                    id=operation_id,
                    token=token,
                    progress=encode_progress(progress),
                    lease=lease,
                    is_done=is_done,
                    lock_timeout=LOCK_TIMEOUT,
                )

        state = await self._database.persist(advanced)
        return None if state is None else OperationState(state)

    async def stop(self, operation_id: UUID) -> bool:
        """Stop it."""

        async def stopped() -> int:
            async with self._database.work() as connection:
                return await self._database.queries.stop_operation(
                    connection, shard=_SHARD, id=operation_id, lock_timeout=LOCK_TIMEOUT
                )

        return await self._database.persist(stopped) > 0

    async def close(self, operation_id: UUID, progress: Progress) -> None:
        """Write the outcome."""

        async def closed() -> int:
            async with self._database.work() as connection:
                return await self._database.queries.close_operation(
                    connection,
                    shard=_SHARD,
                    id=operation_id,
                    progress=encode_progress(progress),
                    lock_timeout=LOCK_TIMEOUT,
                )

        await self._database.persist(closed)

    async def unfinished(
        self, *, after: tuple[datetime, UUID] | None, older: timedelta, most: int
    ) -> list[OperationRecord]:
        """The acts whose outcome no process has written."""
        at, at_id = after or _FIRST
        async with self._database.work() as connection:
            rows = await self._database.queries.find_open_acts(
                connection, shard=_SHARD, at=at, at_id=at_id, older=older, most=most
            )
        return [found for found in map(_record_of, rows) if found is not None]

    async def trace(self, saga_id: UUID, act_id: UUID) -> Trace:
        """The traces that the act has left in the saga."""
        shard = shard_of(saga_id, self._database.shards)
        async with self._database.work() as connection:
            row = await self._database.queries.read_act(connection, shard=shard, saga_id=saga_id, id=act_id)
        return Trace(is_there=row.is_there, is_written=row.is_written, is_sent=row.is_sent, answer=row.answer)

    async def drop(self, *, kept: timedelta) -> int:
        """Delete what began longer ago."""
        async with self._database.work() as connection:
            return await self._database.queries.drop_operations(
                connection, shard=_SHARD, kept=kept, most=OPERATIONS_AT_ONCE
            )


def _record_of(row: OperationRow | None, *, shows_flaws: bool = False) -> OperationRecord | None:
    if row is None:
        return None
    unreadable = None
    try:
        progress = decode_progress(row.progress)
    except StoredDataError as error:
        if not shows_flaws:
            raise
        progress, unreadable = Progress(), error.fact
    return OperationRecord(
        id=row.id,
        verb=row.verb,
        step_id=row.step_id,
        saga_id=row.saga_id,
        actor=row.actor,
        reason=row.reason,
        request=row.request,
        needs=row.needs,
        state=OperationState(row.state),
        progress=progress,
        unreadable=unreadable,
        token=row.token,
        began_at=row.began_at,
        updated_at=row.updated_at,
    )
