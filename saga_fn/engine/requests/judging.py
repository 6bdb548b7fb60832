"""The answer of one saga to a verb that is asked of many: whether it would accept it, and what would come of that."""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import UUID

import msgspec

from saga_fn.core import acknowledgement
from saga_fn.core.explain.course import Course, course
from saga_fn.core.ids import StepId
from saga_fn.core.leftovers import left_over, stays_done
from saga_fn.core.plan import Plan
from saga_fn.core.projection import SagaStatus
from saga_fn.core.rewinding import begun_before
from saga_fn.core.state import SagaState
from saga_fn.core.verbs import Verb
from saga_fn.engine.requests.bulk import unreadable
from saga_fn.engine.requests.deeds import Act, Deed
from saga_fn.engine.requests.unowned import decide, read_unowned
from saga_fn.engine.views.next_owners import PlansAtWork, owners_of
from saga_fn.engine.views.unread import unread_of
from saga_fn.errors import StoredDataError
from saga_fn.store.records import SagaRecord

_WORK: Final = 10_000
"""The course of one saga is followed no further than this, in steps that are looked at: a hundred are looked at together."""


class Judged(msgspec.Struct, frozen=True):
    """The answer of one saga; with a refusal the rest is empty."""

    refusal: str | None
    ends_as: SagaStatus | None = None
    parked_again: bool = False
    left_over: frozenset[StepId] = frozenset()
    stays_done: frozenset[StepId] = frozenset()
    rewound: frozenset[StepId] = frozenset()


async def judged(at_work: PlansAtWork, saga_id: UUID, deed: Deed) -> Judged:
    """The verb, folded on a copy of the saga as it stands: nothing is written."""
    engine = at_work.engine
    row = await engine.store.read(saga_id)
    if row is None:
        return Judged("not_found")
    if deed.verb is Verb.ACKNOWLEDGE:
        return Judged(acknowledgement.refused(row.status, acknowledged=row.acknowledged))
    flaw = unreadable(engine, row, deed)
    if flaw is not None:
        return Judged(flaw)
    try:
        at = await read_unowned(engine, row, await at_work.plan(row, row.plan))
    except StoredDataError:
        return Judged(None if deed.verb is Verb.ABORT else "unreadable")
    decided = decide(at, [Act(deed, None, None).incoming(at)])
    if decided.refused:
        return Judged(decided.refused[0][1].refusal.value)
    return _foreseen(await _way(at_work, row, at.plan, decided.state))


async def _way(at_work: PlansAtWork, row: SagaRecord, plan: Plan, state: SagaState) -> Course:
    """The saga's course from that state on."""
    news = [each.event for each in await unread_of(at_work.engine, row) if each.event is not None]
    owners = () if row.leased else (await owners_of(at_work, row, state)).plans
    most = max(1, _WORK // (len(state.steps) + 1))
    found = course(plan, state, unread=news, owners=owners, most=most)
    await asyncio.sleep(0)
    return found


def _foreseen(way: Course) -> Judged:
    plan = way.plan
    return Judged(
        None,
        way.end,
        way.misfit,
        frozenset(plan.owner(each.step_id) for each in left_over(plan, way.state)),
        frozenset(map(plan.owner, stays_done(plan, way.state))),
        frozenset(begun_before(plan, way.state)) if way.end is not None and not way.end.is_success else frozenset(),
    )
