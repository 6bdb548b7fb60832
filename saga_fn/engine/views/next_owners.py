"""Who may own a saga next: the plans that processes work with on its name and version, and which of them does not fit it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Final
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
from saga_fn.store.records import SagaRecord

_ANYBODY: Final = UUID(int=0)
_MOST_PLANS: Final = 4
"""No more of the plans that processes work with at once are looked at: a deploy has two."""


class NextOwners(msgspec.Struct, frozen=True):
    """The plans that the next owner of a saga may have."""

    plans: tuple[Plan, ...] = ()
    """They themselves; its own alone, if a process works with that one. None, where they are not known."""
    misfit: Rejection | None = None
    """How one of those that processes work with does not fit it."""


async def plans_at_work(engine: SagaEngine, row: SagaRecord) -> frozenset[PlanId]:
    """The plans by which processes that were seen lately work on the saga's name and version."""
    worked_on = await engine.store.processes.others(_ANYBODY, seen_within=seen_within())
    return frozenset(plan for name, version, plan in worked_on if (name, version) == (row.name, row.version))


async def owners_of(
    engine: SagaEngine, row: SagaRecord, state: SagaState, at_work: frozenset[PlanId] | None = None
) -> NextOwners:
    """The plans that the saga's next owner may have. Where no process works on it, a definition that is known here counts.

    `at_work` are the plans of processes. Default: None, they are asked for.
    """
    plans = await plans_at_work(engine, row) if at_work is None else at_work
    registered = engine.registry.find(row.name, row.version)
    if not plans:
        known = () if registered is None else (registered.definition.plan,)
        return NextOwners(known, _first_misfit(known, row, state))
    found: list[Plan] = []
    for each in sorted(plans)[:_MOST_PLANS]:
        with contextlib.suppress(StoredDataError):
            plan = await find_plan(engine, row, each)
            found += [] if plan is None else [plan]
    own = tuple(plan for plan in found if plan.id == row.plan)
    return NextOwners(own or tuple(found), _first_misfit(found, row, state))


def _first_misfit(plans: Iterable[Plan], row: SagaRecord, state: SagaState) -> Rejection | None:
    if state.ended:
        return None
    return next((found for plan in plans if (found := misfit(plan, state, max(state.at, row.now))) is not None), None)
