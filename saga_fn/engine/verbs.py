"""Operators' verbs and outside events: decided by the core, applied by whoever may write the saga.

Nobody owns it: the verb is one compare-and-set of its own. Somebody does: the verb is left as a letter, and the owner
answers. `abort` alone may take a saga from its owner, in the same way: a compare-and-set, after which the old owner's
writes match nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from uuid import UUID

from returns.result import Failure

from saga_fn.core.effects import Refusal, Rejection, Release
from saga_fn.core.events import AbortRequested, EventReceived, HandedBack
from saga_fn.core.ids import Moment
from saga_fn.core.plan import Plan
from saga_fn.core.projection import project
from saga_fn.core.state import SagaState
from saga_fn.core.transition import transition
from saga_fn.engine.arguments import check_id
from saga_fn.engine.committer import Applied, Refused
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.execution import Incoming
from saga_fn.engine.mail import write_mail
from saga_fn.errors import ActiveSagaAlreadyExistsError, SagaNotFoundError, SagaStateError, StoreError
from saga_fn.snapshot import wait_token
from saga_fn.store.ids import new_uuid, shard_of
from saga_fn.store.records import Entry, Posted, SagaRecord, SagaWrite, decode_state, moment_of

_PATIENCE = 60.0
"""Seconds a verb waits for the owner's answer."""

_ANSWERS: dict[str, tuple[str, str]] = {
    Refusal.FINISHED: ("has ended", "an end is final; start a new saga."),
    Refusal.UNKNOWN_STEP: ("has no such step", "see step_history of SagaAdmin.get_saga for the step ids."),
    Refusal.NOTHING_TO_RETRY: ("has nothing that waits to be retried", "look at it with SagaAdmin.get_saga."),
    Refusal.NOTHING_TO_COMPENSATE: ("has nothing left that could be undone", "look at it with SagaAdmin.get_saga."),
    Refusal.NOT_WAITING: ("does not wait at that step", "only a step that waits (or comes next) can be skipped."),
    Refusal.COMPENSATION_BEGUN: ("has begun to roll back", "continue the rollback with compensate_step."),
    Refusal.PAST_PIVOT: ("is past its pivot", "from there it only goes forward: use retry_step or skip_step."),
    Refusal.TOO_MANY_EVENTS: ("has had too many events", "start another saga for further ones."),
    Refusal.UNKNOWN_EVENT: ("never waits for an event of that name", "add the wait to its definition."),
    Refusal.EXPIRED: ("was sent an event that is void by now", "send it without an expiry, or with a later one."),
    Refusal.PLAN_MISMATCH: ("was run by another definition", "register a definition that fits what it has done."),
}


async def apply_verb(engine: SagaEngine, saga_id: UUID, make: Callable[[Moment, SagaState], Incoming]) -> None:
    """Apply a verb, or raise SagaStateError with the core's reason, SagaNotFoundError if there is no such saga."""
    give_up = time.monotonic() + _PATIENCE
    while time.monotonic() < give_up:
        row = await read_row(engine, saga_id)
        item = make(row.now, decode_state(row.state))
        steal = isinstance(item.event, AbortRequested)
        if row.leased and not steal:
            if await _by_mail(engine, saga_id, item, give_up):
                return
        elif await _directly(engine, row, item):
            return
        await asyncio.sleep(0.01)
    raise SagaStateError(
        f"saga {saga_id} is being worked on, and its owner did not answer within {_PATIENCE:g} s",
        saga_id=saga_id,
        hint="the request stands and will be answered by whoever owns the saga next; look again with get_saga.",
    )


async def notify(engine: SagaEngine, saga_id: UUID, token: UUID, payload: bytes) -> bool:
    """Hand an event to a saga whose present token is `token`; False, and nothing stored, if it is another by now."""
    while True:
        row = await read_row(engine, saga_id)
        if row.ended_at is not None:
            return False
        item = Incoming(EventReceived(row.now), payload=payload)
        if row.token is not None and row.leased:
            if row.token != token:
                return False
            if await engine.store.send(saga_id, write_mail(item)) is Posted.NOBODY:
                return False
            announce(engine, saga_id)
            return True
        if token not in (row.token, wait_token(saga_id, row.rev)):
            return False
        if await _directly(engine, row, item):
            return True


async def holds(engine: SagaEngine, saga_id: UUID, token: UUID) -> bool:
    """Whether that is the saga's present token, of its owner or of its wait."""
    row = await read_row(engine, saga_id)
    return row.ended_at is None and token in (row.token, wait_token(saga_id, row.rev))


def announce(engine: SagaEngine, saga_id: UUID | None) -> None:
    """Tell whoever may want to know, here and elsewhere; a hint that may be lost."""
    if saga_id is None:
        engine.on_due(None)
    else:
        engine.nudge(saga_id)
    engine.hints.send(saga_id)


async def read_row(engine: SagaEngine, saga_id: UUID) -> SagaRecord:
    """The saga's row as it stands; raises SagaNotFoundError."""
    check_id(saga_id)
    engine.require_open()
    row = await engine.store.read(saga_id)
    if row is None:
        raise SagaNotFoundError(saga_id)
    return row


async def _by_mail(engine: SagaEngine, saga_id: UUID, item: Incoming, give_up: float) -> bool:
    """Leave a letter and wait for its answer. False if the saga ended meanwhile: then look again."""
    letter = write_mail(item)
    if await engine.store.send(saga_id, letter) is Posted.NOBODY:
        return False
    announce(engine, saga_id)
    pause = 0.005
    while time.monotonic() < give_up:
        answer = await engine.store.read_answer(saga_id, letter.id)
        if answer == "applied":
            return True
        if answer is not None:
            raise _refusal(saga_id, answer)
        row = await read_row(engine, saga_id)
        if row.ended_at is not None:
            raise _refusal(saga_id, Refusal.FINISHED)
        await asyncio.sleep(pause)
        pause = min(pause * 2, 0.25)
    return False


async def _directly(engine: SagaEngine, row: SagaRecord, item: Incoming) -> bool:
    """Apply an event to a saga as it was read. False if it is another by now."""
    state = decode_state(row.state)
    plan = await plan_of_row(engine, row)
    items = [item]
    if row.owner is not None and not isinstance(item.event, AbortRequested):
        # Its owner is gone: take it over by the store's own judgement, then decide. No timer fires: who has read the letters
        # sees to that.
        claim = await engine.store.claim(row.id, owner=engine.owner, lease=engine.options.lease)
        if claim is None:
            return False
        taken = await read_row(engine, row.id)
        row, items = taken, [Incoming(HandedBack(claim.now)), item]
    entries: list[Entry] = []
    release: Release | None = None
    for each in items:
        decision = transition(plan, state, each.event)
        if isinstance(decision, Failure):
            rejection: Rejection = decision.failure()
            if row.owner == engine.owner and row.token is not None:
                await engine.store.release(_shard(engine, row.id), {row.id: row.token})
            await engine.store.note(row.id, rejection.refusal.value, type(each.event).__name__)
            raise _refusal(row.id, rejection.refusal)
        moved = decision.unwrap()
        state = moved.state
        release = next(iter(moved.writes), None)
        entries.append(Entry(each.event, each.input, each.payload))
    due = release.due if release is not None else state.at
    if row.signals and await engine.store.letters(row.id):
        due = row.now  # there is mail that nobody has read: who claims it next does
    write = unowned_write(row, plan, state, due=due, entries=entries)
    match await engine.committer.commit(write):
        case Applied():
            if isinstance(item.event, AbortRequested):
                engine.lose(row.id)
            announce(engine, None)
            return True
        case Refused(error=error):
            if error.constraint == "saga_active_key" and row.aggregation_id is not None:
                holder = await engine.store.active(_shard(engine, row.id), row.name, row.aggregation_id)
                raise ActiveSagaAlreadyExistsError(row.name, row.aggregation_id, holder or row.id) from error
            raise error
        case _:
            return False


def unowned_write(
    row: SagaRecord,
    plan: Plan,
    state: SagaState,
    *,
    due: Moment | None,
    entries: Sequence[Entry],
    answers: Sequence[tuple[UUID, str]] = (),
) -> SagaWrite:
    """The next state of a saga as a compare-and-set by whoever decided it from `row`: nobody owns it afterwards."""
    return SagaWrite(
        id=row.id,
        token=row.token,
        rev=row.rev,
        state=state,
        projection=project(plan, state),
        release=True,
        due=due,
        seen=row.signals,
        last_error=row.last_error,
        entries=tuple(entries),
        answers=tuple(answers),
        writer=new_uuid(),
    )


async def plan_of_row(engine: SagaEngine, row: SagaRecord) -> Plan:
    """The plan that the saga's state was made by."""
    registered = engine.registry.find(row.name, row.version)
    if registered is not None and registered.definition.plan.id == row.plan:
        return registered.definition.plan
    stored = await engine.store.plan(row.plan)
    if stored is None:
        raise StoreError(f"the plan of saga {row.id} is not in the store", hint="was the table saga_plan emptied?")
    return stored


def abort_event(row_now: Moment, until: Moment) -> AbortRequested:
    """The event that ends a saga as it is; what runs may run on until `until`."""
    return AbortRequested(row_now, until)


def lease_end(row: SagaRecord) -> Moment:
    """Until when the saga's owner may still be running its steps."""
    return moment_of(row.due_at) if row.owner is not None and row.due_at is not None else row.now


def _shard(engine: SagaEngine, saga_id: UUID) -> int:
    return shard_of(saga_id, engine.store.shards)


def _refusal(saga_id: UUID, refusal: str) -> SagaStateError:
    fact, hint = _ANSWERS.get(refusal, (f"refused: {refusal}", "look at it with SagaAdmin.get_saga."))
    return SagaStateError(f"saga {saga_id} {fact}", saga_id=saga_id, hint=hint)
