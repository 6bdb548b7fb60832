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
from saga_fn.core.projection import SagaStatus
from saga_fn.core.rewinding import begun_before
from saga_fn.core.state import SagaState
from saga_fn.core.verbs import Verb
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.requests.bulk import unreadable
from saga_fn.engine.requests.deeds import Act, Deed
from saga_fn.engine.requests.unowned import decide, read_unowned
from saga_fn.engine.views.known_saga import known_saga
from saga_fn.errors import StoredDataError
from saga_fn.store.records import SagaRecord

_WORK: Final = 10_000
"""The course of one saga is followed no further than this, in steps that are looked at: a hundred are looked at together."""


class Judged(msgspec.Struct, frozen=True):
    """The answer of one saga; with a refusal the rest is empty."""

    refusal: str | None
    ends_as: SagaStatus | None = None
    no_plan_fits: bool = False
    left_over: frozenset[StepId] = frozenset()
    stays_done: frozenset[StepId] = frozenset()
    rewound: frozenset[StepId] = frozenset()


async def judged(engine: SagaEngine, saga_id: UUID, deed: Deed) -> Judged:
    """The verb, folded on a copy of the saga as it stands: nothing is written."""
    row = await engine.store.read(saga_id)
    if row is None:
        return Judged("not_found")
    if deed.verb is Verb.ACKNOWLEDGE:
        return Judged(acknowledgement.refused(row.status, acknowledged=row.acknowledged))
    flaw = unreadable(engine, row, deed)
    if flaw is not None:
        return Judged(flaw)
    try:
        at = await read_unowned(engine, row)
    except StoredDataError:
        return Judged(None if deed.verb is Verb.ABORT else "unreadable")
    decided = decide(at, [Act(deed, None, None).incoming(at)])
    if decided.refused:
        return Judged(decided.refused[0][1].refusal.value)
    return _foreseen(await _way(engine, row, decided.state))


async def _way(engine: SagaEngine, row: SagaRecord, state: SagaState) -> Course | None:
    """The saga's course from that state on; None if its plan cannot be read."""
    known = await known_saga(engine, row)
    if known.plan is None:
        return None
    most = max(1, _WORK // (len(state.steps) + 1))
    found = course(known.plan, state, unread=known.news, owners=known.owners, most=most)
    await asyncio.sleep(0)
    return found


def _foreseen(way: Course | None) -> Judged:
    if way is None:
        return Judged(None)
    plan = way.plan
    return Judged(
        None,
        way.end,
        way.misfit,
        frozenset(plan.owner(each.step_id) for each in left_over(plan, way.state)),
        frozenset(map(plan.owner, stays_done(plan, way.state))),
        frozenset(begun_before(plan, way.state)) if way.end is not None and not way.end.is_success else frozenset(),
    )
