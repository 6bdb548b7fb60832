"""Records beside a saga's journal, outside its fold: events that were refused, came too late, or could not be read.

A note that the store does not take is logged and let go: nothing waits for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from saga_fn.core.effects import Rejection
from saga_fn.core.event_kinds import step_of
from saga_fn.core.ids import Moment
from saga_fn.engine.drive.incoming import Incoming
from saga_fn.engine.drive.message import UNREADABLE, Flaw, judge
from saga_fn.engine.drive.owned_saga import OwnedSaga
from saga_fn.engine.observe.observers import Observers
from saga_fn.engine.observe.of_troubles import (
    EventRejected,
    MessageNotAnswered,
    MessagesUnreadable,
    RejectionNotRecorded,
    ResultDropped,
)
from saga_fn.errors import StoreError
from saga_fn.store.protocol import Store
from saga_fn.store.records import InboxMessage

_MOST_NOTED: Final = 20
"""The most messages, read at once, that are noted one by one."""


async def record_refused(
    store: Store, observers: Observers, saga: OwnedSaga, item: Incoming, no: Rejection, *, answered: bool
) -> None:
    """The core refused an event; if it came by a message that no commit has answered yet, that is answered."""
    if observers.listens:
        observers.tell(EventRejected(saga.identity, type(item.event).__name__, no.refusal.value))
    try:
        if item.message is not None and not answered:
            await store.answer(saga.id, item.message, no.answer)
        await store.record_rejection(saga.id, no.refusal.value, type(item.event).__name__)
    except StoreError as error:
        observers.tell(RejectionNotRecorded(saga.identity, "a refusal", error))


async def record_late(store: Store, observers: Observers, saga: OwnedSaga, late: Sequence[Incoming]) -> None:
    """Results came when the saga was another's: they are dropped."""
    for item in late:
        event, step = type(item.event).__name__, step_of(item.event)
        observers.tell(ResultDropped(saga.identity, event, step))
        try:
            await store.record_rejection(saga.id, "late", f"{event} {step}")
        except StoreError as error:
            observers.tell(RejectionNotRecorded(saga.identity, "a late result", error))


async def judge_all(
    store: Store, observers: Observers, saga: OwnedSaga, messages: Sequence[InboxMessage], at: Moment
) -> list[Incoming]:
    """The events of the messages. Those that cannot be read, or that nothing of this saga could, are answered and left out."""
    found: list[Incoming] = []
    flaws: list[Flaw] = []
    for message in messages:
        item = judge(saga.registered.definition, message, at, most=saga.max_payload_bytes)
        if isinstance(item, Flaw):
            flaws.append(item)
        else:
            found.append(item)
    await answer_unreadable(store, observers, saga.id, flaws)
    return found


async def answer_unreadable(store: Store, observers: Observers, saga_id: UUID, flaws: Sequence[Flaw]) -> None:
    """Answer messages that cannot be read, so that they stop no owner again, and remember why of the first ones."""
    if not flaws:
        return
    observers.tell(MessagesUnreadable(saga_id, flaws[0].message, len(flaws)))
    try:
        for number, flaw in enumerate(flaws):
            await store.answer(saga_id, flaw.message, UNREADABLE)
            if number < _MOST_NOTED:
                await store.record_rejection(saga_id, UNREADABLE, flaw.fact)
    except StoreError as error:
        observers.tell(MessageNotAnswered(saga_id, error))
