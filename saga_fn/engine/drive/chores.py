"""A saga waits for its chores before anything else of it is decided: its messages, its journal, notes about it.

Each chore ends in one word about how it went. The store is asked for as long as the saga is `wanted` here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

from saga_fn.backoff import Backoff
from saga_fn.core.ids import Moment
from saga_fn.engine.drive.earlier import Earlier
from saga_fn.engine.drive.owned_saga import OwnedSaga
from saga_fn.engine.drive.rejections import judge_all, record_late, record_refused
from saga_fn.engine.drive.set_aside import concerns_one
from saga_fn.engine.drive.stages import Ended, MessagesRead, NoteLate, NoteRefused
from saga_fn.engine.observe.observers import Observers
from saga_fn.engine.observe.of_troubles import WaitsForStore
from saga_fn.errors import StoreError
from saga_fn.store.protocol import Store
from saga_fn.store.records import MOST_READ

T = TypeVar("T")
Wanted: TypeAlias = Callable[[], bool]
_TELL_AT = 5
"""The try that the log tells of: about a second after the first."""
_LONGEST_PAUSE = 2.0
"""Seconds."""


async def read_messages(
    store: Store, observers: Observers, saga: OwnedSaga, now: Callable[[], Moment], wanted: Wanted
) -> MessagesRead | Ended:
    """Read what has been sent to the saga."""
    unread = await asked(observers, saga, "its messages", lambda: store.unread(saga.id, most=MOST_READ), wanted)
    if unread is None:
        return Ended.DONE
    if unread:  # a NOTIFY says that there is one, and not how many: the next write is to know that
        saga.inbox_sent = max(saga.inbox_sent, unread[0].inbox_sent)
        saga.inbox_seen = max(saga.inbox_seen, unread[0].inbox_sent)
    told = await judge_all(store, observers, saga, [each.message for each in unread], now())
    return MessagesRead(tuple(told), more=len(unread) >= MOST_READ)


async def read_journal(store: Store, observers: Observers, saga: OwnedSaga, wanted: Wanted) -> Ended:
    """Find out what steps were given before."""
    journal = await asked(observers, saga, "its journal", lambda: store.journal(saga.id), wanted)
    if journal is not None:
        saga.earlier, saga.wants_journal = Earlier.of(journal), False
    return Ended.DONE


async def note(store: Store, observers: Observers, saga: OwnedSaga, notes: NoteRefused | NoteLate) -> Ended:
    """Remember beside the journal what is not in it."""
    if isinstance(notes, NoteLate):
        await record_late(store, observers, saga, notes.items)
    else:
        for item, rejection in notes.refused:
            await record_refused(store, observers, saga, item, rejection, answered=notes.answered)
    return Ended.DONE


async def asked(
    observers: Observers, saga: OwnedSaga, what: str, ask: Callable[[], Awaitable[T]], wanted: Wanted
) -> T | None:
    """The store's answer, however long that takes; None if the saga is given up meanwhile.

    Raises the store's error if it concerns this saga: to ask again would not help.
    """
    backoff = Backoff(0.1, _LONGEST_PAUSE)
    attempts = 0
    while wanted():
        try:
            return await ask()
        except StoreError as error:
            if concerns_one(error):
                raise
            attempts += 1
            if attempts == _TELL_AT:
                observers.tell(WaitsForStore(saga.identity, what, error))
            await backoff.pause()
    return None
