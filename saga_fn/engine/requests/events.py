"""Sending an event to a saga: stored first, matched second.

The event is a message in the saga's inbox before anything else happens to it; its id follows from the sender's `event_id`,
so that the inbox itself refuses a repetition. The saga's owner reads it before it gives the saga up, starts
a step of it or ends it. If it has no owner, the sender reads the inbox in the owner's stead, if it knows the definition; if
it dies before it has, the saga is due, and the next owner reads.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Final
from uuid import UUID

from saga_fn import steady
from saga_fn.backoff import Backoff
from saga_fn.core.effects import Refusal
from saga_fn.core.event_matching import Answer
from saga_fn.core.ids import Moment
from saga_fn.engine.commit.answers import Expected
from saga_fn.engine.drive.message import UNREADABLE
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.hold.roster import seen_within
from saga_fn.engine.requests.event_checks import (
    check_event,
    check_versions,
    require_known,
    too_many_kept,
    too_many_unread,
    unknown_event,
    unreadable_event,
)
from saga_fn.engine.requests.inbox import known_here, read_inbox, read_only_message
from saga_fn.engine.requests.outside_event import Delivery, OutsideEvent
from saga_fn.engine.requests.rows import read_row
from saga_fn.engine.views.plans import require_plan
from saga_fn.errors import (
    SagaStateError,
    StoreRefusedError,
    StoreUnavailableError,
    shown,
)
from saga_fn.store.ids import new_uuid, shard_of, shard_of_key
from saga_fn.store.records import (
    NO_PAUSE,
    Definition,
    EventToSend,
    Fate,
    KeyedEvent,
    MessageStatus,
    SeenSaga,
    SendStatus,
    Sent,
    Sought,
)

_PATIENCE = 5.0
"""Seconds that a sender waits to be told what became of its event; then it is stored, and that is what it is told."""
_SOON = 0.25
"""Seconds after which a sender asks whether a process is there to read its event."""
_LONG = 1.0
"""Seconds after which a sender looks for itself what became of its event, though this process works on the saga."""
_GRACE: Final = timedelta(milliseconds=250)
"""How long after an event its saga without an owner is due: its sender reads it meanwhile, unless its process dies."""
_ANYBODY: Final = UUID(int=0)
"""Every process is another than this one."""


async def send_to_saga(engine: SagaEngine, saga_id: UUID, event: OutsideEvent) -> Delivery:
    """Store the event for this saga, and find out what becomes of it.

    Raises SagaNotFoundError, SagaStateError if the saga waits for no such event, PayloadError for a payload that it could
    not read.
    """
    fits = _fitting(engine, event) or engine.elsewhere.awaiting(event.name)
    if event.expires is not None and event.expires <= engine.store.now():
        await check_event(engine, await read_row(engine, saga_id), event)
        return Delivery.EXPIRED
    with engine.committer.answers.expected(saga_id, event.id) as expected:
        while True:
            since = engine.store.now()
            sent = await _sent(engine, saga_id, event, fits)
            match sent.status:
                case SendStatus.STORED:
                    return await follow(engine, saga_id, event, expected, since, sent)
                case SendStatus.DUPLICATE:
                    return Delivery.DUPLICATE
                case SendStatus.ENDED:
                    return Delivery.ENDED
                case SendStatus.UNFIT if (found := _awaited_elsewhere(engine, event, sent)) is not None:
                    fits = frozenset({found})
                case SendStatus.UNFIT | SendStatus.NO_SAGA:
                    row = await read_row(engine, saga_id)
                    plan = await check_event(engine, row, event)
                    definition = row.name, row.version, row.plan
                    engine.elsewhere.learn(definition, plan)
                    fits = frozenset({definition})
                case SendStatus.FULL:
                    await engine.have_read(saga_id)
                    raise too_many_unread(saga_id)
                case SendStatus.LOCKED:  # for longer than any statement waited for it
                    raise StoreUnavailableError(
                        f"another session keeps the row of saga {saga_id} locked: the event was not stored",
                        hint="look for a transaction that is open for long in pg_stat_activity, and send the event again",
                    )


async def _sent(
    engine: SagaEngine,
    saga_id: UUID,
    event: OutsideEvent,
    fits: frozenset[Definition],
    to_key: KeyedEvent | None = None,
) -> Sent:
    """Send it with others; again while another session has the saga's row locked, no longer than a statement may take.

    The time that it waits for its turn behind others does not count: they may be the events of this process for the same saga.
    """
    left = engine.options.time_limit
    backoff = Backoff(0.002, 0.1)
    names = {name for name, _, _ in fits}
    is_known = bool(fits) and fits <= engine.registry.definitions
    reads = engine.reads_for_owners and is_known
    message = event.message()
    while True:
        claims = is_known and all(engine.slots(name) > 0 for name in names)
        token = new_uuid() if claims else None
        sent = await engine.sends.send(
            EventToSend(saga_id, message, fits, token, to_key, _GRACE if reads else NO_PAUSE)
        )
        if sent.status is not SendStatus.LOCKED or left <= 0:
            return sent
        began = steady.now()
        await backoff.pause()
        left -= steady.now() - began


def _awaited_elsewhere(engine: SagaEngine, event: OutsideEvent, sent: Sent) -> Definition | None:
    """The saga's definition, if it was found before, this process does not know it by itself, and it waits for the event."""
    definition = sent.definition
    return definition if definition in engine.elsewhere.awaiting(event.name) else None


def _fitting(engine: SagaEngine, event: OutsideEvent) -> frozenset[Definition]:
    """The definitions that this process knows, that wait for the event, and that can read it."""
    registry = engine.registry
    return frozenset(
        (each.name, each.version, each.definition.plan.id)
        for each in registry.awaiting(event.name)
        if each.name not in registry.left_out
        and each.definition.unreadable(event.name, event.payload, just_sent=True) is None
    )


async def send_to_key(
    engine: SagaEngine,
    key: tuple[str, str],
    event: OutsideEvent,
    *,
    for_next: bool,
    may_be_new: bool,
    keep: bool = True,
) -> Delivery:
    """Store the event for the saga that is active under the (name, aggregation_id), or for the first that will be.

    `for_next`: or for the next, where one of that key has ended. `keep`: False drops it where none is active.
    `may_be_new`: no process may have registered or started a saga of that name yet. Raises SagaStateError and PayloadError as
    `send_to_saga` does, as far as this process knows the saga, and SagaNotRegisteredError for a name that no process knows.
    """
    name, aggregation_id = key
    store = engine.store
    check_versions(engine, name, event)
    if event.expires is not None and event.expires <= store.now():
        return Delivery.EXPIRED
    await require_known(engine, name, may_be_new=may_be_new)
    if not for_next and (told := await _sent_to_active(engine, key, event)) is not None:
        return told
    shard = shard_of_key(aggregation_id, store.shards)
    if not keep and (await engine.recipients.find(shard, Sought(*key, event.id))).saga_id is None:
        return (
            Delivery.NO_SAGA
        )  # for a saga that is active but cannot be sent to, it goes by the key, which does not change that
    kept = store.kept_events
    since = store.now()
    match await kept.keep(shard, key, event.message(), event.name, expires=event.expires, for_next=for_next):
        case MessageStatus.DUPLICATE:
            return Delivery.DUPLICATE
        case MessageStatus.ENDED:
            return Delivery.ENDED
        case MessageStatus.NO_ACTIVE_SAGA | MessageStatus.FULL:
            raise too_many_kept(key)
        case MessageStatus.STORED:
            if await kept.hand_over(shard, key) is not None:
                engine.notify_processes(None, since)
            match await kept.recipient_of(shard, key, event.id):  # another sender may have handed it over
                case UUID() as saga_id:
                    with engine.committer.answers.expected(saga_id, event.id) as expected:
                        return await follow(engine, saga_id, event, expected, since)
                case MessageStatus.DUPLICATE:  # the saga had got it by its own id
                    return Delivery.DUPLICATE
                case MessageStatus():
                    return Delivery.ENDED
                case None:
                    return Delivery.KEPT


async def _sent_to_active(engine: SagaEngine, key: tuple[str, str], event: OutsideEvent) -> Delivery | None:
    """Send the event to the saga that is active under the key, with others that are sent at this moment.

    None if it has to wait for a saga, or for others that wait for the key, or if this process does not know the saga: then
    nothing was stored.
    """
    recipient = await engine.recipients.find(shard_of_key(key[1], engine.store.shards), Sought(*key, event.id))
    if recipient.known:
        return Delivery.DUPLICATE
    if recipient.saga_id is None or recipient.has_kept:
        return None
    saga_id, to_key = recipient.saga_id, KeyedEvent(event.name, event.expires)
    fits = _fitting(engine, event) or engine.elsewhere.awaiting(event.name)
    with engine.committer.answers.expected(saga_id, event.id) as expected:
        while True:
            since = engine.store.now()
            sent = await _sent(engine, saga_id, event, fits, to_key)
            match sent.status:
                case SendStatus.STORED:
                    return await follow(engine, saga_id, event, expected, since, sent)
                case SendStatus.DUPLICATE:  # the saga had got it by its own id
                    return Delivery.DUPLICATE
                case SendStatus.UNFIT if (found := await _found_elsewhere(engine, event, sent)) is not None:
                    fits = frozenset({found})
                case _:  # it has ended, has no room, or has a definition that this process knows by another plan: the key decides
                    return None


async def _found_elsewhere(engine: SagaEngine, event: OutsideEvent, sent: Sent) -> Definition | None:
    """The saga's definition, if this process does not know it by itself, and it waits for the event; its plan is read once."""
    definition = sent.definition
    if definition is None or engine.registry.find(*definition[:2]) is not None:
        return None
    if not engine.elsewhere.knows(definition) and (plan := await engine.store.plan(definition[2])) is not None:
        engine.elsewhere.learn(definition, plan)
    return _awaited_elsewhere(engine, event, sent)


async def _read_for_owner(engine: SagaEngine, saga_id: UUID, fate: Fate) -> Collection[UUID] | None:
    """Read the inbox in the owner's stead: the messages that the saga has no room for.

    None if that is left to the workers: the sender does not know the saga, or has no right to change sagas.
    """
    if known_here(engine, fate.definition) is None:
        return None
    row = await read_row(engine, saga_id)
    if row.owner is not None or row.ended_at is not None:
        return ()
    try:
        return await read_inbox(engine, row)
    except StoreRefusedError:
        engine.reads_for_owners = False
        return None


async def follow(
    engine: SagaEngine,
    saga_id: UUID,
    event: OutsideEvent,
    expected: Expected,
    since: Moment,
    sent: Sent | None = None,
) -> Delivery:
    """See to it that the stored message is read, and tell what became of it.

    `since`: before it was stored. `sent`: how the saga stood then.
    """
    began = steady.now()
    give_up, ask_at = began + _PATIENCE, began + _SOON
    told: Delivery | None = None
    if sent is not None and (sent.claim is not None or saga_id in engine.held):
        engine.recheck_inbox(saga_id)
        told = await _told_here(engine, saga_id, event, expected)
    else:
        if sent is not None and sent.free is not None:
            told = await _told_at_once(engine, sent.free, event, expected)
        if told is None:
            engine.notify_processes(saga_id, since)
    if told is not None:
        return told
    shard = shard_of(saga_id, engine.store.shards)
    backoff = Backoff(0.004, 0.1)
    if sent is not None and sent.is_owned:  # its owner has just heard of it
        await expected.wait(backoff.next())
    while steady.now() < give_up:
        fate = await engine.fates.find(shard, (saga_id, event.id))
        if fate is None:
            await read_row(engine, saga_id)  # raises, for it was deleted
        answer = expected.answer or (None if fate is None else fate.answer)
        if answer is not None:
            return await _told(engine, saga_id, event, answer)
        if fate is not None and fate.has_ended:
            return Delivery.ENDED
        if fate is not None and fate.is_free:
            left = await _read_for_owner(engine, saga_id, fate)
            if left is not None and event.id in left:
                return Delivery.BUFFERED
            if left is None and steady.now() > ask_at:
                ask_at = give_up
                if await _has_no_reader(engine, fate):
                    break
        if (answer := await expected.wait(backoff.next())) is not None:
            return await _told(engine, saga_id, event, answer)
    return Delivery.BUFFERED


async def _told_at_once(engine: SagaEngine, free: SeenSaga, event: OutsideEvent, expected: Expected) -> Delivery | None:
    """Read the event in the owner's stead, as the statement that stored it has left the saga; None if that settles nothing."""
    if not engine.reads_for_owners:
        return None
    try:
        left = await read_only_message(engine, free, event.message())
    except StoreRefusedError:
        engine.reads_for_owners = False
        return None
    if left is not None and event.id in left:
        return Delivery.BUFFERED
    return None if expected.answer is None else await _told(engine, free.id, event, expected.answer)


async def _told_here(engine: SagaEngine, saga_id: UUID, event: OutsideEvent, expected: Expected) -> Delivery | None:
    """The outcome, as this process itself makes it durable; None if it works on the saga no more, or says nothing for long."""
    look_at = steady.now() + _LONG
    while True:
        answer = await expected.wait(_SOON)
        if answer is not None:
            return await _told(engine, saga_id, event, answer)
        if saga_id not in engine.held or steady.now() >= look_at:
            return None


async def _told(engine: SagaEngine, saga_id: UUID, event: OutsideEvent, answer: str) -> Delivery:
    """The meaning of an answer to the stored message. Raises for one that was refused."""
    if answer == Refusal.UNKNOWN_EVENT:
        plan = await require_plan(engine, await read_row(engine, saga_id))
        raise unknown_event(saga_id, event.name, tuple(sorted(plan.events)))
    return _delivery(saga_id, event, answer)


async def _has_no_reader(engine: SagaEngine, fate: Fate) -> bool:
    """Whether no process is known that will read the messages of a saga without an owner: then its sender waits for nothing."""
    if not fate.wakes_on_message:
        return True
    try:
        known = await engine.store.processes.others(_ANYBODY, seen_within=seen_within())
    except StoreRefusedError:  # a sender without the right to look
        return False
    return not any((name, version) == fate.definition[:2] for name, version, _ in known)


def _delivery(saga_id: UUID, event: OutsideEvent, answer: str) -> Delivery:
    match answer:
        case Delivery.ACCEPTED | Answer.APPLIED:
            return Delivery.ACCEPTED
        case Delivery.BUFFERED:
            return Delivery.BUFFERED
        case Refusal.EXPIRED:
            return Delivery.EXPIRED
        case Refusal.FINISHED:
            return Delivery.ENDED
        case _ if answer == UNREADABLE:
            raise unreadable_event(saga_id, event.name)
        case _:
            raise SagaStateError(
                f"saga {saga_id} has refused event {shown(event.name)}: {answer}",
                saga_id=saga_id,
                hint="look at it with SagaAdmin.get_saga.",
            )
