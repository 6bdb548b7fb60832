"""Sagas that have ended are deleted when their retention is over: archived first, and never what is not named.

One process at a time does so in a shard. It rests for nine times as long as each batch has taken.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Final, final
from uuid import UUID

import msgspec

from saga_fn import steady
from saga_fn.core.ids import Micros, Moment, PlanId
from saga_fn.core.projection import SagaStatus
from saga_fn.core.retention import Deletable, deletable
from saga_fn.definition.archive import ArchivedSaga
from saga_fn.definition.retention import Archive, Retention
from saga_fn.engine.drive.step_error import program_end
from saga_fn.engine.hold.exporting import Exporter
from saga_fn.engine.observe.observers import Observers
from saga_fn.engine.observe.of_upkeep import RetentionFailed, SagasDeleted
from saga_fn.engine.registry import Registered, Registry
from saga_fn.errors import StoreError, StoreUnavailableError
from saga_fn.printable import name_of_type
from saga_fn.store.errors import RowRejectedError, StoreBusyError
from saga_fn.store.ids import new_uuid
from saga_fn.store.protocol import Store
from saga_fn.store.records import DELETED_AT_ONCE, KEPT_FOR, LEAST_KEPT, EndedSaga
from saga_fn.tasks import spawn

ARCHIVED_AT_ONCE: Final = 100
"""An archive is given no more sagas at a time than this."""
ARCHIVE_TIME: float = 60.0
"""Seconds that an archive may take for what it is given at once."""
_CLEAN_UP: Final = 1.0
"""Seconds that an archive which is cut short may take to end; no longer is waited for it."""
_MOST_LEFT: Final = 10
"""So many sagas are passed over, each of which the store does not delete."""
_ARCHIVED_BYTES: Final = 16 * 2**20
"""Nor many more bytes."""
_MICROSECOND: Final = timedelta(microseconds=1)
_REST: Final = 9.0
"""A rest is so many times as long as what was before it."""
_LONGEST_REST: Final = 30.0
"""Seconds."""
_AT_WORK: Final = timedelta(minutes=5)
"""For so long no other process begins in a shard where this one is at work."""
_PAUSE: Final = timedelta(minutes=1)
"""For so long after a round no process begins there again."""


class Task(msgspec.Struct, frozen=True):
    """Sagas of one name, version and end that may be deleted."""

    definition: tuple[str, int]
    retention: Retention
    which: Deletable
    sure: Moment
    """Those that ended later may be deleted only if their plan is one of `plans`."""
    plans: tuple[PlanId, ...]


def tasks_of(registry: Registry, definition: tuple[str, int], retention: Retention, now: Moment) -> list[Task]:
    """The sagas of that name and version that may be deleted now, by this retention."""
    # For so long an event for a business key is known, which needs the saga that has got it. Only a plan that is known here,
    # under a name that waits for nothing, frees its sagas of that.
    registered = registry.find(*definition)
    waits = any(each.definition.plan.events for each in registry.versions(definition[0]))
    plans = () if registered is None or waits else (registered.definition.plan.id,)
    at_least = (LEAST_KEPT if plans else KEPT_FOR) // _MICROSECOND
    sure = Moment(now - KEPT_FOR // _MICROSECOND)
    return [
        Task(definition, retention, which, sure, plans)
        for which in deletable(retention.kept, now, at_least=Micros(at_least))
    ]


async def find(store: Store, shard: int, task: Task, limit: int) -> list[EndedSaga]:
    """The next of these sagas, the oldest end first."""
    return await store.deletion.ended(
        shard,
        task.definition,
        task.which.status,
        before=task.which.before,
        acknowledged_only=task.which.acknowledged_only,
        sure=task.sure,
        plans=task.plans,
        limit=limit,
    )


@final
class Batch:
    """How many sagas are deleted at once: half as many after a statement that the store has not carried out, then more again."""

    def __init__(self) -> None:
        self._most = DELETED_AT_ONCE
        self.left: dict[UUID, StoreError] = {}
        """Sagas that the store does not delete, each alone. They are passed over."""

    def raise_what_failed(self) -> None:
        """Raise the error of a saga that was passed over, and begin anew."""
        errors, self.left = [*self.left.values()], {}
        if errors:
            raise errors[0]

    async def delete_some(self, store: Store, shard: int, task: Task, limit: int = DELETED_AT_ONCE) -> list[UUID]:
        """Archive and delete the next of these sagas; gives their ids. None may be given, though there are some.

        Raises StoreError if the archive fails, or if the store does not delete several sagas, each alone.
        """
        while True:
            most = min(limit, self._most, DELETED_AT_ONCE if task.retention.archive is None else ARCHIVED_AT_ONCE)
            found = await find(store, shard, task, most + len(self.left))
            found = [each for each in found if each.id not in self.left][:most]
            if found and task.retention.archive is not None:
                found, sagas = await _archived(store, found)
                if sagas:
                    await keep_safe(task.retention.archive, sagas)
            if not found:
                return []
            try:
                gone = await store.deletion.delete(shard, found, keep=task.retention.tombstone)
            except (StoreUnavailableError, StoreBusyError, RowRejectedError) as error:
                if len(found) == 1:
                    if len(self.left) == _MOST_LEFT:
                        raise
                    self.left[found[0].id] = error
                self._most = max(1, len(found) // 2)
            else:
                self._most = min(DELETED_AT_ONCE, self._most + self._most // 8 + 1)
                return gone


async def keep_safe(archive: Archive, sagas: Sequence[ArchivedSaga]) -> None:
    """Give the sagas to the archive; raises StoreError if it raises anything but a program's end, or takes too long."""

    async def given() -> None:
        try:
            await archive(sagas)
        # User code may raise anything: a CancelledError of its own must not look like ours.
        except BaseException as error:  # noqa: BLE001 - as just said
            ending = program_end(error)
            if ending is not None:
                raise ending  # noqa: B904 - it is the error itself, or in that group, which the event loop would not hear
            raised.append(error)

    raised: list[BaseException] = []
    task = spawn(given())
    try:
        done, _ = await asyncio.wait({task}, timeout=ARCHIVE_TIME)
    finally:
        task.cancel()
    if not done:
        await asyncio.wait({task}, timeout=_CLEAN_UP)
        raise StoreError(
            f"the archive has not returned within {ARCHIVE_TIME:g} s",
            hint="nothing of it was deleted; see what it waits for",
        )
    if raised:
        error = raised[0]
        if isinstance(error, StoreError):
            raise error
        raise StoreError(
            f"the archive raised {name_of_type(error)}", hint="nothing of it was deleted; mend the archive"
        ) from error
    task.result()


async def _archived(store: Store, found: Sequence[EndedSaga]) -> tuple[list[EndedSaga], list[ArchivedSaga]]:
    """Those of the sagas that stand as they were found, or the first of them, and all that belongs to them."""
    taken: list[EndedSaga] = []
    sagas: list[ArchivedSaga] = []
    exporter = Exporter(store)
    for each in found:
        row = await store.read(each.id)
        if row is None or row.rev != each.rev or row.ended_at is None:
            continue
        taken.append(each)
        sagas.append(
            ArchivedSaga(
                row.id,
                row.name,
                row.version,
                row.status,
                row.aggregation_id,
                row.trace_id,
                row.created_at,
                row.ended_at,
                await exporter.data_of(row),
            )
        )
        if exporter.size > _ARCHIVED_BYTES:
            break
    return taken, sagas


async def _rest(began: float) -> None:
    """Leave the database alone after what began then."""
    await asyncio.sleep(min(_LONGEST_REST, _REST * (steady.now() - began)))


@final
class Deleting:
    """The deletions of one process, for the definitions that it has registered."""

    def __init__(self, store: Store, registry: Registry, observers: Observers) -> None:
        self._store = store
        self._registry = registry
        self._observers = observers
        self._owner = new_uuid()
        self._batches: dict[tuple[str, int], Batch] = {}
        self.failed: dict[tuple[str, int], str] = {}
        """Why sagas of a definition were kept in the last round, though their retention was over."""

    @property
    def wanted(self) -> bool:
        """Whether a definition says how long its sagas are kept."""
        return any(each.definition.retention is not None for each in self._registry.all)

    async def run(self) -> None:
        """One round: delete all that may be deleted, shard by shard, a batch at a time."""
        for shard in range(self._store.shards):
            if not await self._begin(shard, _AT_WORK):
                continue
            for each in self._registry.all:
                if each.definition.retention is not None and each.name not in self._registry.left_out:
                    await self.delete(shard, each, each.definition.retention)
            await self._drop_tombstones(shard)
            await self._begin(shard, _PAUSE)

    async def _drop_tombstones(self, shard: int) -> None:
        more = True
        while more:
            began = steady.now()
            more = await self._store.deletion.drop_tombstones(shard) == DELETED_AT_ONCE
            if more:
                await _rest(began)

    async def _begin(self, shard: int, lease: timedelta) -> bool:
        return await self._store.deletion.begin(shard, owner=self._owner, lease=lease)

    async def delete(self, shard: int, registered: Registered, retention: Retention) -> None:
        """Delete all of one definition, with rests; an error ends it, and is told."""
        definition = registered.name, registered.version
        batch = self._batches.setdefault(definition, Batch())
        deleted: Counter[SagaStatus] = Counter()
        try:
            for task in tasks_of(self._registry, definition, retention, self._store.now()):
                while True:
                    began = steady.now()
                    gone = await batch.delete_some(self._store, shard, task)
                    if not gone:
                        break
                    deleted[task.which.status] += len(gone)
                    await _rest(began)
                    if not await self._begin(shard, _AT_WORK):
                        return
            batch.raise_what_failed()
            self.failed.pop(definition, None)
        except StoreError as error:  # the other definitions go on
            self.failed[definition] = error.fact
            self._observers.tell(RetentionFailed(*definition, error))
        finally:
            for status, sagas in deleted.items():
                self._observers.tell(SagasDeleted(*definition, status, sagas))
