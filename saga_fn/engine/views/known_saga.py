"""A saga for an explanation: its row, as much of it as can be read, what holds it back, and what no owner has read."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Final
from uuid import UUID

import attrs

from saga_fn.core.events import Event
from saga_fn.core.ids import PlanId
from saga_fn.core.leftovers import LeftOver, all_that_may_be_left, left_over
from saga_fn.core.plan import Plan
from saga_fn.core.state import SagaState
from saga_fn.engine.drive.set_aside import usable_state
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.hold.roster import seen_within
from saga_fn.engine.views.pauses import pauses_by_name, pauses_of
from saga_fn.engine.views.plans import find_plan
from saga_fn.engine.views.unread import Unread, unread_of
from saga_fn.errors import StoredDataError
from saga_fn.snapshot import Pause
from saga_fn.store.records import SagaRecord

_ANYBODY: Final = UUID(int=0)
_MOST_PLANS: Final = 4
"""No more of the plans that processes work with at once are looked at: a deploy has two."""


@attrs.frozen
class KnownSaga:
    """A row, as much of it as can be read, and what holds it back."""

    row: SagaRecord
    pauses: tuple[Pause, ...]
    is_paused_by_name: bool
    plan: Plan | None
    state: SagaState | None
    flaw: str | None
    """Why its state or its plan cannot be read, or None."""
    unread: tuple[Unread, ...]
    is_worked_on: bool
    """Whether a process that was seen lately works on its name and version."""
    owners: tuple[Plan, ...]
    """The plans that its next owner may have; none where its owner has its lease, or where they are not known."""

    @property
    def news(self) -> tuple[Event, ...]:
        """The events that its next owner reads before all else."""
        return tuple(each.event for each in self.unread if each.event is not None)

    @property
    def left_over(self) -> tuple[LeftOver, ...]:
        """The effects that it has left in the world, if it has FAILED; every step where its state cannot be read."""
        if self.plan is None or not self.row.has_failed:
            return ()
        return all_that_may_be_left(self.plan) if self.state is None else left_over(self.plan, self.state)


async def known_saga(engine: SagaEngine, row: SagaRecord) -> KnownSaga:
    """All that is known of the saga of that row."""
    plan: Plan | None = None
    by_name = () if row.ended_at is not None and not row.has_failed else await pauses_by_name(engine, row)
    unread = await unread_of(engine, row)
    worked_on = frozenset[PlanId]() if row.leased else await plans_at_work(engine, row)
    make = partial(
        KnownSaga,
        row=row,
        pauses=by_name,
        is_paused_by_name=bool(by_name),
        unread=unread,
        is_worked_on=row.leased or bool(worked_on),
    )
    try:
        plan = await find_plan(engine, row)
        if plan is None:
            return make(plan=None, state=None, flaw="its plan is not in the store", owners=())
        state = usable_state(plan, row.state, row.rev, ended=row.status if row.ended_at else None)
    except StoredDataError as error:
        return make(plan=plan, state=None, flaw=error.fact, owners=())
    owners = () if row.leased else await _owners(engine, row, plan, worked_on)
    if state.paused_itself and not state.ended:
        return make(plan=plan, state=state, flaw=None, owners=owners, pauses=await pauses_of(engine, row, state))
    return make(plan=plan, state=state, flaw=None, owners=owners)


async def plans_at_work(engine: SagaEngine, row: SagaRecord) -> frozenset[PlanId]:
    """The plans by which processes that were seen lately work on the saga's name and version."""
    worked_on = await engine.store.processes.others(_ANYBODY, seen_within=seen_within())
    return frozenset(plan for name, version, plan in worked_on if (name, version) == (row.name, row.version))


async def _owners(engine: SagaEngine, row: SagaRecord, plan: Plan, at_work: frozenset[PlanId]) -> tuple[Plan, ...]:
    """The plans that the saga's next owner may have. Where no process works on it, a definition that is known here counts."""
    registered = engine.registry.find(row.name, row.version)
    if not at_work:
        return () if registered is None else (registered.definition.plan,)
    if row.plan in at_work:
        return (plan,)
    found: list[Plan] = []
    for each in sorted(at_work)[:_MOST_PLANS]:
        with contextlib.suppress(StoredDataError):
            known = await find_plan(engine, row, each)
            found += [] if known is None else [known]
    return tuple(found)
