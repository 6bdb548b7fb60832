"""The definitions of this process, as far as the store keeps them: their plans, and whether it can hold their names."""

from __future__ import annotations

import contextlib
from typing import final

from saga_fn.core.ids import PlanId
from saga_fn.core.plan import Plan
from saga_fn.engine.observe.observers import Observers
from saga_fn.engine.observe.of_claims import NameLeftOut
from saga_fn.engine.registry import Registry
from saga_fn.errors import StoreError
from saga_fn.store.connection import CallerConnection
from saga_fn.store.errors import RowRejectedError
from saga_fn.store.protocol import Store


@final
class KeptDefinitions:
    """The plans and names of one process that the store has, or has been asked about."""

    def __init__(self, store: Store, registry: Registry, observers: Observers) -> None:
        self._store = store
        self._registry = registry
        self._observers = observers
        self._kept_plans: set[PlanId] = set()
        self._judged: set[str] = set()

    async def keep_plan(self, plan: Plan) -> None:
        """Make sure that the store has the plan; asks it once a process."""
        if plan.id not in self._kept_plans:
            await self._store.keep_plan(plan)
            self._kept_plans.add(plan.id)

    async def keep_plans(self) -> None:
        """Store the plans of what is registered, so that starts in callers' transactions need not; they can if this fails."""
        with contextlib.suppress(StoreError):
            for plan in self._registry.plans:
                await self.keep_plan(plan)

    async def hold_plan(self, plan: Plan, connection: CallerConnection) -> None:
        """Make sure that a saga that starts in a caller's transaction has its plan, without another connection.

        A rollback takes the plan back, so it counts as kept only when it was seen to be committed.
        """
        if plan.id not in self._kept_plans and await self._store.hold_plan(plan, connection):
            self._kept_plans.add(plan.id)

    async def judge_names(self) -> None:
        """Leave out the names that the store cannot hold: a statement that brings one is refused for all names."""
        for name in self._registry.names:
            if name.isascii() or name in self._judged:
                continue
            try:
                await self._store.kept_events.knows(0, name)
            except RowRejectedError:
                self._registry.left_out.add(name)
                self._observers.tell(NameLeftOut(name))
            self._judged.add(name)
