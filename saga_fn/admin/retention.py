"""Delete sagas whose retention is over, by hand: or only count them."""

from __future__ import annotations

from uuid import UUID

import msgspec

from saga_fn.admin.base import AdminBase
from saga_fn.arguments import check_is, check_key, check_whole
from saga_fn.core.listing import Wanted
from saga_fn.definition.retention import Retention
from saga_fn.engine.drive.asked import Asked
from saga_fn.engine.hold.deleting import Batch, Task, find, tasks_of
from saga_fn.engine.observe.of_upkeep import SagasDeleted
from saga_fn.engine.outward import only_public_errors
from saga_fn.engine.requests.records import recorded
from saga_fn.engine.requests.stored_operation import Aim
from saga_fn.errors import PayloadError, SagaDefinitionError, SagaNotRegisteredError, shown
from saga_fn.snapshot import Pruned
from saga_fn.store.records import Progress

_SOME = 10
"""Ids of what was found."""


@only_public_errors
class AdminRetention(AdminBase):
    """The deletions of `SagaAdmin`."""

    async def prune(
        self,
        saga_name: str,
        *,
        version: int | None = None,
        retention: Retention | None = None,
        dry_run: bool = False,
        limit: int = 1000,
    ) -> Pruned:
        """Delete sagas whose retention is over, as a worker does. Each is archived first, if the retention has an archive.

        It is for tools, and for versions that no worker has registered any more. It takes no rest between two statements.
        Sagas are kept for 7 days at least if this process does not know by their plan that they wait for no event.

        Args:
            saga_name: The name of the sagas, 1 to 255 characters.
            version: The number of their version, from 1 on. Default: None, all versions that this process has registered.
            retention: How long they are kept. If it names no archive, that of the registered definition is given them.
                Default: None, as the registered definition says.
            dry_run: Whether they are only counted. Default: False.
            limit: The greatest number of sagas, 1 to 1,000,000. Default: 1000.

        Returns:
            The number of sagas, and whether there are more.

        Raises:
            SagaNotRegisteredError: No version is given, and this process has registered none.
            SagaDefinitionError: Neither the call nor the definition says how long sagas are kept.
            PayloadError: An argument is not what it has to be.
            SagaError: A number is out of its range, or the orchestrator is not entered.
            StoreError: The database does not answer, or refuses: it needs a pruner's rights. Or the archive has failed.

        Example::

            seen = await admin.prune("create_order", dry_run=True)
            print(seen.sagas, seen.is_more, seen.saga_ids)
        """
        tasks = self._tasks(saga_name, version, retention)
        check_is(dry_run, bool, "dry_run: a bool", error=PayloadError, hint="dry_run=True")
        check_whole("limit", limit, least=1, most=1_000_000)
        if not dry_run:
            self._engine.gate.require_writes()
        if dry_run:
            return await self._counted(tasks, limit)
        return await recorded(
            self._engine,
            "prune",
            Asked(self._actor),
            lambda: self._deleted(tasks, limit),
            lambda pruned: Progress(done=pruned.sagas),
            request=Aim(Wanted(name=saga_name, version=version)).encode(),
        )

    async def _counted(self, tasks: list[Task], limit: int) -> Pruned:
        store = self._engine.store
        ids: list[UUID] = []
        for shard in range(store.shards):
            for task in tasks:
                ids += [saga.id for saga in await find(store, shard, task, limit + 1 - len(ids))]
        return Pruned(min(len(ids), limit), len(ids) > limit, tuple(ids[:_SOME]))

    async def _deleted(self, tasks: list[Task], limit: int) -> Pruned:
        store, batch = self._engine.store, Batch()
        ids: list[UUID] = []
        for shard in range(store.shards):
            for task in tasks:
                gone = 0
                while len(ids) < limit and (some := await batch.delete_some(store, shard, task, limit - len(ids))):
                    ids += some
                    gone += len(some)
                if gone:
                    self._engine.observers.tell(SagasDeleted(*task.definition, task.which.status, gone))
        batch.raise_what_failed()
        # Another deletion may have had in hand what was found.
        is_more = any([await find(store, shard, task, 1) for shard in range(store.shards) for task in tasks])
        return Pruned(len(ids), is_more, tuple(ids[:_SOME]))

    def _tasks(self, saga_name: str, version: int | None, retention: Retention | None) -> list[Task]:
        check_is(saga_name, str, "a saga's name", error=PayloadError, hint='prune("create_order")')
        check_key("the saga's name", saga_name)
        hint = "retention=Retention(completed=timedelta(days=30))"
        check_is(retention, (Retention, type(None)), "a Retention", error=SagaDefinitionError, hint=hint)
        if version is not None:
            check_whole("version", version, least=1)
        self._engine.gate.require_open()
        registry = self._engine.registry
        versions = [each.version for each in registry.versions(saga_name)] if version is None else [version]
        if not versions:
            more = "" if retention is not None else ", retention=..."
            raise SagaNotRegisteredError(
                saga_name,
                registered=registry.names,
                hint=f"say which version is meant: version=1{more}; or register the definition first, in this process",
            )
        tasks: list[Task] = []
        for number in versions:
            registered = registry.find(saga_name, number)
            chosen = retention or (None if registered is None else registered.definition.retention)
            if chosen is None:
                raise SagaDefinitionError(
                    f"nothing says how long sagas of {shown(saga_name)} version {number} are kept",
                    hint=f"give the definition a retention, or pass one: {hint}",
                )
            if registered is not None and registered.definition.retention is not None and chosen.archive is None:
                chosen = msgspec.structs.replace(chosen, archive=registered.definition.retention.archive)
            tasks += tasks_of(registry, (saga_name, number), chosen, self._engine.store.now())
        return tasks
