"""Operators' verbs and outside events: decided by the core, applied by the process that may write the saga.

A saga without an owner: the verb is one compare-and-set of its own (`unowned.py`). With one, the verb is left as a message,
and the owner answers. `abort` alone takes a saga from an owner whose lease is running, whose writes then match nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import UUID

import msgspec

from saga_fn.arguments import check_id
from saga_fn.backoff import Backoff
from saga_fn.core import acknowledgement
from saga_fn.core.effects import Refusal, Rejection
from saga_fn.core.event_kinds import is_by_force
from saga_fn.core.event_matching import Answer
from saga_fn.core.events import Rescheduled, takes_up
from saga_fn.core.ids import StepId
from saga_fn.core.verbs import Verb
from saga_fn.engine.answer_wait import AnswerWait
from saga_fn.engine.drive.asked import asked_in
from saga_fn.engine.drive.incoming import Incoming
from saga_fn.engine.drive.message import message_of
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.observe.of_troubles import EventRejected
from saga_fn.engine.requests.deeds import Act, Deed, Moving
from saga_fn.engine.requests.inbox import read_inbox
from saga_fn.engine.requests.records import NOT_ANSWERED, done_once, recorded
from saga_fn.engine.requests.refusals import refusal_error, steps_of
from saga_fn.engine.requests.rows import read_row
from saga_fn.engine.requests.unowned import UnownedSaga, change, identity_of, read_unowned
from saga_fn.engine.views.plans import readable_plan
from saga_fn.errors import (
    ActiveSagaAlreadyExistsError,
    SagaStateError,
    StoredDataError,
    StoreError,
)
from saga_fn.store.errors import RowRejectedError
from saga_fn.store.ids import shard_of
from saga_fn.store.records import (
    InboxMessage,
    MessageStatus,
    SagaRecord,
    decode_state,
)

_PATIENCE = 60.0
"""Seconds a verb waits for the owner's answer."""
_SHORTLY = 0.01
"""Seconds until a saga is looked at again that has become another meanwhile."""


async def apply_alone(
    engine: SagaEngine, saga_id: UUID, deed: Deed, *, expect: int | None, asked: bytes | None
) -> None:
    """Apply a verb to one saga, and record the operation; raises as `apply`."""
    engine.gate.require_writes()
    check_id(saga_id)
    act = Act(deed, expect, asked)
    await recorded(
        engine,
        deed.verb.value,
        asked_in(asked),
        lambda: apply(engine, saga_id, act),
        done_once,
        act_id=act.id,
        step=deed.step or None,
        saga_id=saga_id,
    )


async def apply(engine: SagaEngine, saga_id: UUID, act: Act, *, patience: float = _PATIENCE) -> None:
    """Apply a verb, or raise SagaStateError with the core's reason, SagaNotFoundError if there is no such saga."""
    engine.gate.require_writes()
    if act.deed.verb is Verb.ACKNOWLEDGE:
        await acknowledge(engine, saga_id, expect=act.expect, asked=act.asked)
        return
    try:
        await ask_of(engine, saga_id, act, patience)
    except SagaStateError as error:
        if error.refusal != Refusal.UNKNOWN_STEP:
            raise
        hint = steps_of(await readable_plan(engine, await read_row(engine, saga_id)))
        raise SagaStateError(error.fact, saga_id=saga_id, refusal=error.refusal, hint=hint) from None
    except (StoredDataError, RowRejectedError) as error:
        if act.deed.verb is not Verb.ABORT:
            raise
        await end_unusable(engine, saga_id, error, expect=act.expect, asked=act.asked)


async def ask_of(engine: SagaEngine, saga_id: UUID, act: Act | Moving, patience: float) -> None:
    """Have an act folded, by the saga's owner or here; raises as `apply`."""
    wait = AnswerWait(saga_id, patience)
    while wait.goes_on():
        row = await read_row(engine, saga_id)
        if await _applied(engine, row, act, wait):
            return
        await asyncio.sleep(_SHORTLY)
    raise SagaStateError(
        f"saga {saga_id} is being worked on, and its owner did not answer within {patience:g} s",
        saga_id=saga_id,
        refusal=NOT_ANSWERED,
        hint="the request stands, and the saga's next owner answers it; look again with get_saga",
    )


async def _applied(engine: SagaEngine, row: SagaRecord, act: Act | Moving, wait: AnswerWait) -> bool:
    """Whether the verb was applied to the saga as it was read; False if that is another by now."""
    make: Callable[[UnownedSaga], Incoming] = act.incoming
    stopped = await engine.taken.stopped(row.id, row.rev) if row.ended_at is not None else ()
    if stopped:
        make = _knowing(make, stopped, row.rev)
    item = make(await read_unowned(engine, row))
    by_force = is_by_force(item.event)
    if row.leased and not by_force:
        return await _by_message(engine, msgspec.structs.replace(message_of(item), id=act.id), wait)
    try:
        done = await change(engine, row, make, by_force=by_force, writer=act.id)
    except RowRejectedError as error:
        if error.constraint == "saga_active_key" and row.aggregation_id is not None:
            holder = await engine.store.active(shard_of(row.id, engine.store.shards), row.name, row.aggregation_id)
            raise ActiveSagaAlreadyExistsError(row.name, row.aggregation_id, holder or row.id) from error
        raise
    if isinstance(done, Rejection):
        engine.observers.tell(EventRejected(identity_of(row), type(item.event).__name__, done.refusal.value))
        await engine.store.record_rejection(row.id, done.refusal.value, type(item.event).__name__)
        raise refusal_error(row.id, done.answer, row.status)
    if done and by_force:
        engine.lose(row.id)
    return done


def _knowing(
    make: Callable[[UnownedSaga], Incoming], stopped: tuple[StepId, ...], rev: int
) -> Callable[[UnownedSaga], Incoming]:
    """The same, with what this process knows to have ended of what was cut short to make the saga that revision."""

    def made(at: UnownedSaga) -> Incoming:
        item = make(at)
        if at.state.rev != rev or not takes_up(item.event):
            return item
        return msgspec.structs.replace(item, event=msgspec.structs.replace(item.event, stopped=stopped))

    return made


async def end_unusable(
    engine: SagaEngine, saga_id: UUID, error: StoreError, *, expect: int | None, asked: bytes | None
) -> None:
    """End a saga whose row cannot be read, or cannot be written as the core would have it, by a statement that needs neither.

    Its state says nothing of what is left of it, so that each step of its plan is reported as one that may have run. Its
    journal says nothing either: who asked, and why, is noted beside it.
    """
    while True:
        row = await read_row(engine, saga_id)
        if row.ended_at is not None:
            raise refusal_error(saga_id, Refusal.FINISHED, row.status)
        if expect not in (None, row.rev):
            raise refusal_error(saga_id, Refusal.MOVED_ON)
        if await engine.store.end_row(saga_id, row.rev, type(error).__name__):
            break
    await engine.store.record_rejection(saga_id, "aborted", "; ".join((error.fact, *_words_of(asked))))
    engine.lose(saga_id)
    engine.notify_processes(None, row.now)


async def acknowledge(engine: SagaEngine, saga_id: UUID, *, expect: int | None, asked: bytes | None) -> None:
    """Record that a person has looked at a saga that FAILED; raises SagaStateError with the core's reason."""
    engine.gate.require_writes()
    while True:
        row = await read_row(engine, saga_id)
        if expect not in (None, row.rev):
            raise refusal_error(saga_id, Refusal.MOVED_ON)
        refusal = acknowledgement.refused(row.status, acknowledged=row.acknowledged)
        if refusal is not None:
            raise refusal_error(saga_id, refusal)
        if await engine.store.acknowledge(saga_id, row.rev, "; ".join(_words_of(asked))):
            return
        await asyncio.sleep(_SHORTLY)


def _words_of(asked: bytes | None) -> list[str]:
    """Who asked, and why, for a record beside the journal."""
    words = asked_in(asked)
    return [f"{what}: {word}" for what, word in (("by", words.actor), ("why", words.reason)) if word]


async def begin_now(engine: SagaEngine, saga_id: UUID) -> bool:
    """Let a saga that was started with a delay begin now. False, and nothing is done, if it was not, or has begun."""
    while True:
        row = await engine.store.read(saga_id)
        if row is None or row.ended_at is not None or row.leased:
            return False
        try:
            begins = decode_state(row.state, row.rev).begins_at
        except StoredDataError:  # the next owner parks it
            return False
        if begins <= row.now:
            return False
        done = await change(engine, row, lambda at: Incoming(Rescheduled(at.now, at.now)))
        if done is not False:
            return done is True
        await asyncio.sleep(_SHORTLY)


async def _by_message(engine: SagaEngine, message: InboxMessage, wait: AnswerWait) -> bool:
    """Leave a message and wait for its answer. False if the saga ended meanwhile: then look again."""
    since = engine.store.now()
    if await engine.store.send(wait.saga_id, message) is MessageStatus.NO_ACTIVE_SAGA:
        return False
    engine.notify_processes(wait.saga_id, since)
    engine.asked[wait] = message.id
    try:
        engine.on_asked()
        return await _answered(engine, message, wait)
    finally:
        del engine.asked[wait]


async def _answered(engine: SagaEngine, message: InboxMessage, wait: AnswerWait) -> bool:
    saga_id = wait.saga_id
    backoff = Backoff(0.005, 0.25)
    is_left = False
    while wait.goes_on():
        told = await engine.store.verb_answer(saga_id, message.id)
        if told is not None and told.answer == Answer.APPLIED:
            return True
        if told is not None and told.answer is not None:
            raise refusal_error(saga_id, told.answer)
        if told is None or told.has_ended:  # one look: what an owner had answered before the end, it had written
            raise refusal_error(saga_id, Refusal.FINISHED, (await read_row(engine, saga_id)).status)
        if not told.is_owned and not is_left:
            # Its owner parked it before this message came: no message makes such a saga due, and no owner would answer.
            is_left = True
            row = await read_row(engine, saga_id)
            await read_inbox(engine, row)
            told = await engine.store.verb_answer(saga_id, message.id)
            if told is not None and told.answer is None:  # not by this process, then
                await engine.store.rouse(saga_id)
                engine.notify_processes(None, row.now)
            continue
        await backoff.pause()
    return False
