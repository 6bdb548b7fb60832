"""Acts of operators, in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import final
from uuid import UUID

import msgspec

from saga_fn.core.acts import Trace
from saga_fn.core.ids import Moment
from saga_fn.snapshot import OperationState
from saga_fn.store.ids import new_uuid
from saga_fn.store.records import OPERATIONS_AT_ONCE, OperationRecord, Progress, time_of


@final
class MemoryOperations:
    """The operations of a store."""

    def __init__(self, now: Callable[[], Moment], trace: Callable[[UUID, UUID], Trace]) -> None:
        """`trace` says what an act has left behind in a saga."""
        self._now = now
        self._trace = trace
        self._kept: dict[UUID, OperationRecord] = {}
        self._leases: dict[UUID, datetime] = {}
        self._closed: set[UUID] = set()
        """Acts whose outcome was written."""

    async def record(self, act: OperationRecord) -> None:
        """Record an act that its caller carries out, unless there is one of its id."""
        await self.insert(act)

    async def insert(self, operation: OperationRecord) -> OperationRecord:
        """Record an operation, unless there is one of its id."""
        if operation.id not in self._kept:
            now = time_of(self._now())
            self._kept[operation.id] = msgspec.structs.replace(operation, token=None, began_at=now, updated_at=now)
        return self._kept[operation.id]

    async def read(self, operation_id: UUID) -> OperationRecord | None:
        """The operation."""
        return self._kept.get(operation_id)

    async def page(self, *, before: tuple[datetime, UUID] | None, most: int) -> list[OperationRecord]:
        """The operations before that one, the newest first."""
        found = sorted(self._kept.values(), key=lambda each: (each.began_at, each.id), reverse=True)
        return [each for each in found if before is None or (each.began_at, each.id) < before][:most]

    async def claim(self, names: Sequence[str], *, lease: timedelta) -> OperationRecord | None:
        """Take an operation that runs, and that no process carries out."""
        for each in self._kept.values():
            fits = each.needs is None or each.needs in names
            if each.state is OperationState.RUNNING and fits and self._is_free(each.id):
                return self._taken(each, lease)
        return None

    async def take(self, operation_id: UUID, *, seen: OperationState, lease: timedelta) -> OperationRecord | None:
        """Take this operation, as the caller has seen it."""
        found = self._kept.get(operation_id)
        if found is None or found.state is not seen or seen is OperationState.DONE:
            return None
        if found.state is OperationState.RUNNING and not self._is_free(operation_id):
            return None
        return self._taken(found, lease)

    def _is_free(self, operation_id: UUID) -> bool:
        now = time_of(self._now())
        return self._leases.get(operation_id, now) <= now

    def _taken(self, found: OperationRecord, lease: timedelta) -> OperationRecord:
        now = time_of(self._now())
        taken = msgspec.structs.replace(found, token=new_uuid(), state=OperationState.RUNNING, updated_at=now)
        self._kept[found.id], self._leases[found.id] = taken, now + lease
        return taken

    async def advance(
        self, operation_id: UUID, token: UUID, progress: Progress, *, lease: timedelta, is_done: bool
    ) -> OperationState | None:
        """Write how far it has come."""
        found, now = self._kept.get(operation_id), time_of(self._now())
        if found is None or found.token != token or found.state is OperationState.DONE:
            return None
        state = OperationState.DONE if is_done else found.state
        self._kept[operation_id] = msgspec.structs.replace(found, progress=progress, state=state, updated_at=now)
        self._leases[operation_id] = now + lease
        return state

    async def stop(self, operation_id: UUID) -> bool:
        """Stop it."""
        found = self._kept.get(operation_id)
        if found is None or found.state is not OperationState.RUNNING:
            return False
        stopped = msgspec.structs.replace(found, state=OperationState.STOPPED, updated_at=time_of(self._now()))
        self._kept[operation_id] = stopped
        return True

    async def close(self, operation_id: UUID, progress: Progress) -> None:
        """Write the outcome."""
        found = self._kept.get(operation_id)
        if found is not None and found.state is OperationState.DONE and found.token is None:
            self._closed.add(operation_id)
            self._kept[operation_id] = msgspec.structs.replace(
                found, progress=progress, updated_at=time_of(self._now())
            )

    async def unfinished(
        self, *, after: tuple[datetime, UUID] | None, older: timedelta, most: int
    ) -> list[OperationRecord]:
        """The acts whose outcome no process has written."""
        before = time_of(self._now()) - older
        found = [
            each
            for each in self._kept.values()
            if each.state is OperationState.DONE
            and each.token is None
            and each.id not in self._closed
            and each.began_at <= before
            and (after is None or (each.began_at, each.id) > after)
        ]
        return sorted(found, key=lambda each: (each.began_at, each.id))[:most]

    async def trace(self, saga_id: UUID, act_id: UUID) -> Trace:
        """The traces that the act has left in the saga."""
        return self._trace(saga_id, act_id)

    async def drop(self, *, kept: timedelta) -> int:
        """Delete what began longer ago."""
        before = time_of(self._now()) - kept
        old = [each for each in self._kept.values() if each.state is OperationState.DONE and each.began_at < before]
        old.sort(key=lambda each: (each.began_at, each.id))
        for each in old[:OPERATIONS_AT_ONCE]:
            del self._kept[each.id]
        return min(len(old), OPERATIONS_AT_ONCE)
