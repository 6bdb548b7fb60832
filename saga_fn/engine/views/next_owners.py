"""Who may own a saga next: the plans that processes work with on its name and version, and which of them does not fit it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Final, final
from uuid import UUID

import msgspec

from saga_fn.core.effects import Rejection
from saga_fn.core.fitting import misfit
from saga_fn.core.ids import PlanId
from saga_fn.core.plan import Plan
from saga_fn.core.state import SagaState
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.hold.roster import seen_within
from saga_fn.engine.views.plans import find_plan
from saga_fn.errors import StoredDataError
from saga_fn.store.records import Definition, SagaRecord

_ANYBODY: Final = UUID(int=0)
_MOST_PLANS: Final = 4
"""No more of the plans that processes work with at once are looked at: a deploy has two."""


class NextOwners(msgspec.Struct, frozen=True):
    """The plans that the next owner of a saga may have."""

    plans: tuple[Plan, ...] = ()
    """They themselves; its own alone, if a process works with that one. None, where they are not known."""
    misfit: Rejection | None = None
    """How one of those that processes work with does not fit it."""


@final
class PlansAtWork:
    """The plans that processes work with, for one look, or for many that are one to an operator: each is asked for once."""

    def __init__(self, engine: SagaEngine) -> None:
        self.engine = engine
        self._one_at_a_time = asyncio.Lock()
        self._definitions: frozenset[Definition] | None = None
        self._plans: dict[PlanId, Plan | None] = {}

    async def definitions(self) -> frozenset[Definition]:
        """The definitions that processes work on which were seen lately."""
        async with self._one_at_a_time:
            if self._definitions is None:
                others = self.engine.store.processes.others
                self._definitions = await others(_ANYBODY, seen_within=seen_within())
            return self._definitions

    async def of(self, row: SagaRecord) -> frozenset[PlanId]:
        """The plans by which they work on the saga's name and version."""
        pair = row.name, row.version
        return frozenset(plan for name, version, plan in await self.definitions() if (name, version) == pair)

    async def plan(self, row: SagaRecord, plan: PlanId) -> Plan | None:
        """The plan of that id, for a saga; None if it is not there. Raises StoredDataError if it cannot be read."""
        async with self._one_at_a_time:
            if plan not in self._plans:
                self._plans[plan] = await find_plan(self.engine, row, plan)
            return self._plans[plan]


async def owners_of(at_work: PlansAtWork, row: SagaRecord, state: SagaState) -> NextOwners:
    """The plans that the saga's next owner may have. Where no process works on it, a definition that is known here counts."""
    plans = await at_work.of(row)
    if not plans:
        registered = at_work.engine.registry.find(row.name, row.version)
        known = () if registered is None else (registered.definition.plan,)
        return NextOwners(known, _first_misfit(known, row, state))
    found: list[Plan] = []
    for each in sorted(plans)[:_MOST_PLANS]:
        with contextlib.suppress(StoredDataError):
            plan = await at_work.plan(row, each)
            found += [] if plan is None else [plan]
    own = tuple(plan for plan in found if plan.id == row.plan)
    return NextOwners(own or tuple(found), _first_misfit(found, row, state))


def _first_misfit(plans: Iterable[Plan], row: SagaRecord, state: SagaState) -> Rejection | None:
    if state.ended:
        return None
    return next((found for plan in plans if (found := misfit(plan, state, max(state.at, row.now))) is not None), None)
