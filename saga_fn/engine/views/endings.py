"""How a saga has ended, for the caller who awaits it; and where it stands, if it does not end in time."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from saga_fn.core.facts import ready
from saga_fn.core.plan import Plan
from saga_fn.core.projection import SagaStatus, project
from saga_fn.core.state import SagaState
from saga_fn.definition import SagaDefinition
from saga_fn.engine.drive.misfit import THEIRS, told_of_misfit
from saga_fn.engine.drive.owned_saga import OwnedSaga
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.views.failure import failure_of, told_of
from saga_fn.engine.views.journal import beginning_of
from saga_fn.engine.views.next_owners import PlansAtWork, owners_of
from saga_fn.engine.views.plans import readable_plan
from saga_fn.engine.views.results import read_result, result_of
from saga_fn.engine.views.snapshots import record_of, snapshot_of, snapshot_of_ended, state_of, steps_of, waits_of
from saga_fn.engine.views.unread import unread_of
from saga_fn.errors import SagaResultTimeoutError, StoreRefusedError
from saga_fn.snapshot import Compensated, Completed, Failed, Outcome, StepFailure, UnreadMessage
from saga_fn.store.records import SagaRecord, time_of

R = TypeVar("R")


async def ending_of(
    engine: SagaEngine, ended: OwnedSaga | SagaRecord, definition: SagaDefinition[Any, R]
) -> Outcome[R]:  # Any: what it was started with does not matter any more
    """How a saga ended, by its row, or as this process has seen it."""
    if isinstance(ended, OwnedSaga):
        snapshot = snapshot_of_ended(ended)
        if snapshot.status is SagaStatus.COMPLETED:
            return Completed(result_of(ended, definition), snapshot)
        if ended.all_folded:
            error, failure = told_of(ended.failure, ended.registered)
        else:
            error, failure = await _failure_of(engine, record_of(ended))
    else:
        snapshot = await snapshot_of(engine, ended)
        if snapshot.status is SagaStatus.COMPLETED:
            return Completed(await read_result(engine, ended, definition), snapshot)
        error, failure = await _failure_of(engine, ended)
    kind = Compensated if snapshot.status is SagaStatus.COMPENSATED else Failed
    return kind(snapshot, error, failure)


async def _failure_of(engine: SagaEngine, row: SagaRecord) -> tuple[str | None, StepFailure | None]:
    """The failure that made it turn back. Raises SagaJournalDroppedError if nothing tells it any more."""
    return await failure_of(engine, row, await beginning_of(engine.store, row))


class Seen(msgspec.Struct):
    """The saga as it was read, and not since."""

    row: SagaRecord | None = None
    plan: Plan | None = None
    """As it was read with the last look."""
    unread: tuple[UnreadMessage, ...] = ()
    """The same."""
    misfit: str | None = None
    """How the definition of a process that works on it does not fit it, if it waits for one that does."""


async def look_closer(engine: SagaEngine, seen: Seen) -> None:
    """Have all at hand that the saga waits for, for it may be the last look."""
    row = seen.row
    assert row is not None, "it was read"
    seen.plan = await readable_plan(engine, row)
    seen.unread = ()
    with suppress(StoreRefusedError):  # a starter has no right to read events, and is told all the rest
        seen.unread = tuple(each.message for each in await unread_of(engine, row))
    state = None if seen.plan is None else state_of(row, seen.plan)[0]
    is_due = state is not None and seen.plan is not None and ready(seen.plan, state)
    seen.misfit = None
    if is_due and not row.leased and state is not None:
        misfit = (await owners_of(PlansAtWork(engine), row, state)).misfit
        seen.misfit = None if misfit is None else told_of_misfit(misfit, THEIRS)


def timed_out(engine: SagaEngine, saga_id: UUID, seconds: float, seen: Seen) -> SagaResultTimeoutError:
    """The saga as it is known without asking, for the time is over: as this process runs it, or as it was read last."""
    held, row = engine.held.get(saga_id), seen.row
    parked = engine.ends.is_parked(saga_id) or (row is not None and row.is_parked)
    named = held.saga.registered.name if held is not None else None if row is None else row.name
    paused = named is not None and engine.pauses.of(named) is not None
    paused = paused or (row is not None and row.is_paused)
    if held is not None:
        plan: Plan | None = held.saga.plan
        state: SagaState | None = held.saga.state
        status = project(held.saga.plan, held.saga.state).status
    elif row is not None:
        plan, status = seen.plan, row.status
        state = None if plan is None else state_of(row, plan)[0]
    else:
        plan, state, status = None, None, None
    status = SagaStatus.SUSPENDED if parked else status
    if state is None:
        return SagaResultTimeoutError(saga_id, seconds, status=status, parked=parked, paused=paused)
    return SagaResultTimeoutError(
        saga_id,
        seconds,
        status=status,
        parked=parked,
        paused=paused,
        waiting_for=waits_of(plan, state),
        retrying=[] if plan is None else [step for step in steps_of(plan, state) if step.awaits is not None],
        begins_at=time_of(state.begins_at) if state.begins_at > state.at else None,
        goes_back=state.goes_back,
        unread=seen.unread if held is None else (),
        misfit=seen.misfit if held is None else None,
    )
