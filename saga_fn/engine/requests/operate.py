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
from saga_fn.core.events import EventReceived, Rescheduled, name_of, takes_up
from saga_fn.core.ids import StepId
from saga_fn.core.plan import Plan
from saga_fn.core.projection import SagaStatus, calls_a_person
from saga_fn.core.verbs import Verb
from saga_fn.engine.answer_wait import AnswerWait
from saga_fn.engine.drive.asked import asked_in
from saga_fn.engine.drive.incoming import Incoming
from saga_fn.engine.drive.message import UNREADABLE, message_of
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.observe.of_sagas import TakenUpAgain
from saga_fn.engine.observe.of_troubles import EventRejected
from saga_fn.engine.requests.deeds import Act, Deed, Moving
from saga_fn.engine.requests.inbox import read_inbox
from saga_fn.engine.requests.records import NOT_ANSWERED, done_once, recorded
from saga_fn.engine.requests.unowned import UnownedSaga, change, identity_of, read_unowned
from saga_fn.engine.views.plans import readable_plan
from saga_fn.errors import (
    ActiveSagaAlreadyExistsError,
    SagaDeletedError,
    SagaNotFoundError,
    SagaStateError,
    StoredDataError,
    StoreError,
)
from saga_fn.snapshot import wait_token
from saga_fn.store.connection import CallerConnection
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
_MOST_NAMED = 20
_SHORTLY = 0.01
"""Seconds until a saga is looked at again that has become another meanwhile."""

_ANSWERS: dict[str, tuple[str, str]] = {
    Refusal.FINISHED: (
        "has ended",
        "only a FAILED saga can be taken up again: retry_step, cancel, settle_undone and the like.",
    ),
    Refusal.MOVED_ON: (
        "has moved on since you looked at it",
        "look again with SagaAdmin.get_saga; if the verb is still right, give the new revision as expect=.",
    ),
    Refusal.UNKNOWN_STEP: ("has no such step", "see steps of SagaAdmin.get_saga for the step ids."),
    Refusal.NOTHING_TO_RETRY: (
        "has nothing that waits to be retried there",
        "see steps of SagaAdmin.get_saga for what waits, and name that step.",
    ),
    Refusal.NOTHING_TO_COMPENSATE: (
        "has nothing left to undo, or is undoing it already",
        "look at it with SagaAdmin.get_saga.",
    ),
    Refusal.NOT_WAITING: (
        "does not wait at that step, or is not going forward",
        "see steps of SagaAdmin.get_saga for what waits or comes next. In a rollback settle_done and the like end a doubt.",
    ),
    Refusal.NOT_BEGUN: (
        "has not begun that step",
        "if it is the one you mean, say so: skip_step(..., not_begun=True).",
    ),
    Refusal.NOTHING_TO_SETTLE: (
        "has nothing open at that step that this would answer",
        "it may not have run, is undone, or is yet to be undone by the saga itself: see steps and left_over of SagaAdmin.get_saga.",
    ),
    Refusal.IN_DOUBT: (
        "may have run that step",
        "find out, and say so with settle_done, settle_undone or settle_never_ran first.",
    ),
    Refusal.NO_INPUT: (
        "has no input at that step that could be given",
        "a wait and a sleep take none: use skip_step. For a fan-out, name one item, as in 'charge[3]'.",
    ),
    Refusal.NOTHING_TO_REWIND: (
        "has not come to that step",
        "see steps of SagaAdmin.get_saga for those that have begun.",
    ),
    Refusal.ITEM_ALONE: ("cannot go back to one item", "name its fan-out: all of its items run again."),
    Refusal.BEING_RUN: (
        "is running a step that would go back, or its compensation",
        "wait until it has come to its end; abort cuts it short.",
    ),
    Refusal.MAY_STILL_RUN: (
        "may still be running that step, or its compensation",
        "left_over of SagaAdmin.get_saga says until when: wait for that moment.",
    ),
    Refusal.COMPENSATION_BEGUN: ("has begun to roll back", "continue the rollback with cancel."),
    Refusal.PAST_PIVOT: (
        "is past its pivot",
        "from there it only goes forward: use retry_step or skip_step; abort ends it as it is.",
    ),
    Refusal.NOTHING_SLEEPS: (
        "has nothing there that waits for a moment alone",
        "only a delayed start, a next attempt and a sleep have such a moment: see steps of SagaAdmin.get_saga.",
    ),
    Refusal.TOO_LATE: (
        "cannot be moved so far: that moment, or its deadline counted from it, is after the year 9999",
        "name an earlier moment.",
    ),
    Refusal.TOO_MANY_EVENTS: ("has had too many events", "start another saga for further ones."),
    Refusal.UNKNOWN_EVENT: ("never waits for an event of that name", "add the wait to its definition."),
    Refusal.EXPIRED: ("was sent an event that is void by now", "send it without an expiry, or with a later one."),
    Refusal.NOT_FAILED: (
        "has not ended FAILED",
        "only a FAILED saga is acknowledged: SagaFilter(status=SagaStatus.FAILED, acknowledged=False) finds those.",
    ),
    Refusal.ACKNOWLEDGED: (
        "has been acknowledged before",
        "rejections of SagaAdmin.get_saga tells by whom and why.",
    ),
    Refusal.ALREADY_PAUSED: (
        "was paused before",
        "SagaAdmin.explain says by whom and why; resume_saga lets it go on.",
    ),
    Refusal.NOT_PAUSED: (
        "is not paused by itself",
        "SagaAdmin.pauses says whether its name, or everything, is: then resume or resume_all.",
    ),
    Refusal.NOTHING_TO_MOVE: (
        "waits for no moment that is to come, or it was moved for that time before",
        "look at it with SagaAdmin.get_saga.",
    ),
    Refusal.PLAN_MISMATCH: ("was run by another definition", "register a definition that fits what it has done."),
    UNREADABLE: (
        "is owned by a process that cannot read the request",
        "that process has another version of the definition or of this library, or a smaller max_payload_bytes.",
    ),
}
_OF_FAILED: dict[str, tuple[str, str]] = {
    Refusal.FINISHED: (
        "has ended FAILED, where there is nothing for this verb to do",
        "retry_step, rewind, cancel, settle_undone and the like may take it up: SagaAdmin.explain says which are legal now.",
    ),
    Refusal.PAST_PIVOT: (
        "is past its pivot",
        "retry_step or rewind takes it up again; once something of it is undone, settle_undone or acknowledge is for what is left.",
    ),
    Refusal.COMPENSATION_BEGUN: (
        "has been undone in part",
        "cancel undoes the rest; past a pivot undo it by hand, and say so with settle_undone.",
    ),
}
"""The answers that are others where the saga has ended FAILED."""


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
        raise _refusal(row.id, done.answer, row.status)
    if done and by_force:
        engine.lose(row.id)
    if done and row.ended_at is not None:  # a caller that was told that it has failed is wrong from now on
        engine.observers.tell(TakenUpAgain(identity_of(row), name_of(item.event)))
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
            raise _refusal(saga_id, Refusal.FINISHED, row.status)
        if expect not in (None, row.rev):
            raise _refusal(saga_id, Refusal.MOVED_ON)
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
            raise _refusal(saga_id, Refusal.MOVED_ON)
        refusal = acknowledgement.refused(row.status, acknowledged=row.acknowledged)
        if refusal is not None:
            raise _refusal(saga_id, refusal)
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


async def notify(engine: SagaEngine, saga_id: UUID, token: UUID, payload: bytes) -> bool:
    """Hand an event to a saga whose present token is `token`; False, and nothing stored, if it is another by now."""

    def make(at: UnownedSaga) -> Incoming:
        return Incoming(EventReceived(at.now), payload=payload)

    while True:
        row = await read_row(engine, saga_id)
        if row.ended_at is not None:
            return False
        if row.token is not None and row.leased:
            if row.token != token:
                return False
            item = Incoming(EventReceived(row.now), payload=payload)
            if await engine.store.send(saga_id, message_of(item)) is MessageStatus.NO_ACTIVE_SAGA:
                return False
            engine.notify_processes(saga_id, row.now)
            return True
        if token not in (row.token, wait_token(saga_id, row.rev)):
            return False
        done = await change(engine, row, make)
        if isinstance(done, Rejection):
            await engine.store.record_rejection(row.id, done.refusal.value, EventReceived.__name__)
            raise _refusal(row.id, done.answer)
        if done:
            return True
        await asyncio.sleep(_SHORTLY)


async def is_current_token(engine: SagaEngine, saga_id: UUID, token: UUID) -> bool:
    """Whether that is the saga's present token, of its owner or of its wait."""
    row = await read_row(engine, saga_id)
    return row.ended_at is None and token in (row.token, wait_token(saga_id, row.rev))


async def read_row(engine: SagaEngine, saga_id: UUID, connection: CallerConnection | None = None) -> SagaRecord:
    """The saga's row as it stands, or as a caller's connection sees it; raises SagaNotFoundError, or SagaDeletedError."""
    check_id(saga_id)
    engine.gate.require_open()
    row = await engine.store.read(saga_id, connection=connection)
    if row is None:
        stone = await engine.store.deletion.tombstone(saga_id, connection=connection)
        if stone is not None:
            raise SagaDeletedError(saga_id, status=stone.status, ended_at=stone.ended_at, deleted_at=stone.deleted_at)
        raise SagaNotFoundError(saga_id, uncommitted=saga_id in engine.uncommitted)
    return row


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
        answer = await engine.store.read_answer(saga_id, message.id, to_verb=True)
        if answer == Answer.APPLIED:
            return True
        if answer is not None:
            raise _refusal(saga_id, answer)
        row = await read_row(engine, saga_id)
        if row.ended_at is not None:
            if await engine.store.read_answer(saga_id, message.id, to_verb=True) == Answer.APPLIED:
                return True  # between the two looks, and with that the saga has ended
            raise _refusal(saga_id, Refusal.FINISHED, row.status)
        if row.owner is None and not is_left:
            # Its owner parked it before this message came: no message makes such a saga due, and no owner would answer.
            is_left = True
            await read_inbox(engine, row)
            if await engine.store.read_answer(saga_id, message.id, to_verb=True) is None:  # not by this process, then
                await engine.store.rouse(saga_id)
                engine.notify_processes(None, row.now)
            continue
        await backoff.pause()
    return False


def steps_of(plan: Plan | None) -> str:
    """The mend for a step that a saga does not have: those that it has, the first 20 of them."""
    if plan is None:
        return told_of_refusal(Refusal.UNKNOWN_STEP)[1]
    names = [f"'{planned.step}'" for planned in plan.steps]
    more = len(names) - _MOST_NAMED
    return f"its steps are {', '.join(names[:_MOST_NAMED])}{f', and {more} more' if more > 0 else ''}"


def told_of_refusal(refusal: str, status: SagaStatus | None = None) -> tuple[str, str]:
    """A refusal, as `Rejection.answer` has it, in words that go on from "the saga", and the mend."""
    kind, _, unnamed = refusal.partition(": ")
    if status is not None and calls_a_person(status) and kind in _OF_FAILED:
        return _OF_FAILED[kind]
    if kind == Refusal.UNNAMED:
        names = msgspec.json.decode(unnamed, type=list[str])
        named = ", ".join(f"'{name}'" for name in names)
        listed = ", ".join(msgspec.json.encode(name).decode() for name in names)
        return (
            f"would know nothing more of what {named} has done, or may have",
            f"undo it by hand, or let it be: forget=[{listed}]. Then it runs again under another idempotency key.",
        )
    return _ANSWERS.get(refusal, (f"refused: {refusal}", "look at it with SagaAdmin.get_saga."))


def _refusal(saga_id: UUID, refusal: str, status: SagaStatus | None = None) -> SagaStateError:
    fact, hint = told_of_refusal(refusal, status)
    return SagaStateError(f"saga {saga_id} {fact}", saga_id=saga_id, refusal=refusal.partition(": ")[0], hint=hint)
