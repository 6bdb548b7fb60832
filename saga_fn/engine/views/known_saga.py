"""A saga for an explanation: its row, as much of it as can be read, what holds it back, and what no owner has read."""

from __future__ import annotations

from functools import partial

import attrs

from saga_fn.core.effects import Rejection
from saga_fn.core.events import Event
from saga_fn.core.ids import PlanId
from saga_fn.core.leftovers import LeftOver, all_that_may_be_left, left_over
from saga_fn.core.plan import Plan
from saga_fn.core.state import SagaState
from saga_fn.engine.drive.set_aside import usable_state
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.views.next_owners import NextOwners, PlansAtWork, owners_of
from saga_fn.engine.views.pauses import pauses_by_name, pauses_of
from saga_fn.engine.views.plans import find_plan
from saga_fn.engine.views.unread import Unread, unread_of
from saga_fn.errors import StoredDataError
from saga_fn.snapshot import Pause
from saga_fn.store.records import SagaRecord


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
    misfit: Rejection | None = None
    """How the definition of a process that works on it does not fit it. None, too, where its owner has its lease."""

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
    at_work = PlansAtWork(engine)
    worked_on = frozenset[PlanId]() if row.leased else await at_work.of(row)
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
    next_owners = NextOwners() if row.leased else await owners_of(at_work, row, state)
    owners, misfit = next_owners.plans, next_owners.misfit
    if state.paused_itself and not state.ended:
        pauses = await pauses_of(engine, row, state)
        return make(plan=plan, state=state, flaw=None, owners=owners, misfit=misfit, pauses=pauses)
    return make(plan=plan, state=state, flaw=None, owners=owners, misfit=misfit)
