"""What is remembered beside a saga's journal, outside its fold: what was refused, came too late, or could not be read.

A note that the store does not take is logged and let go: nothing waits for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from saga_fn.core.effects import Rejection
from saga_fn.core.event_kinds import step_of
from saga_fn.core.ids import Moment
from saga_fn.engine.drive.execution import Incoming
from saga_fn.engine.drive.mail import UNREADABLE, Flaw, judge
from saga_fn.engine.drive.owned_saga import OwnedSaga
from saga_fn.engine.observe.observers import Observers
from saga_fn.engine.observe.of_sagas import (
    EventRejected,
    LetterNotAnswered,
    LettersUnreadable,
    NoteFailed,
    ResultDropped,
)
from saga_fn.errors import StoreError
from saga_fn.store.protocol import Store
from saga_fn.store.records import Letter

_MOST_NOTED: Final = 20
"""Of letters that are read at once no more are noted one by one."""


async def note_refused(
    store: Store, observers: Observers, saga: OwnedSaga, item: Incoming, no: Rejection, *, answered: bool
) -> None:
    """The core refused an event; if it came by a letter that no commit has answered yet, that is answered."""
    if observers.listens:
        observers.tell(EventRejected(saga.identity, type(item.event).__name__, no.refusal.value))
    try:
        if item.letter is not None and not answered:
            await store.answer(saga.id, item.letter, no.refusal.value)
        await store.note(saga.id, no.refusal.value, type(item.event).__name__)
    except StoreError as error:
        observers.tell(NoteFailed(saga.identity, "a refusal", error))


async def note_late(store: Store, observers: Observers, saga: OwnedSaga, late: Sequence[Incoming]) -> None:
    """Results came when the saga was another's: they are dropped."""
    for item in late:
        event, step = type(item.event).__name__, step_of(item.event)
        observers.tell(ResultDropped(saga.identity, event, step))
        try:
            await store.note(saga.id, "late", f"{event} {step}")
        except StoreError as error:
            observers.tell(NoteFailed(saga.identity, "a late result", error))


async def readable(
    store: Store, observers: Observers, saga: OwnedSaga, letters: Sequence[Letter], at: Moment
) -> list[Incoming]:
    """What the letters bring, without those that cannot be read, or that nothing of this saga could: they are answered."""
    found: list[Incoming] = []
    flaws: list[Flaw] = []
    for letter in letters:
        item = judge(saga.registered.definition, letter, at, most=saga.max_payload_bytes)
        if isinstance(item, Flaw):
            flaws.append(item)
        else:
            found.append(item)
    await answer_unreadable(store, observers, saga.id, flaws)
    return found


async def answer_unreadable(store: Store, observers: Observers, saga_id: UUID, flaws: Sequence[Flaw]) -> None:
    """Answer letters that cannot be read, so that they stop nobody again, and remember why of the first ones."""
    if not flaws:
        return
    observers.tell(LettersUnreadable(saga_id, flaws[0].letter, len(flaws)))
    try:
        for number, flaw in enumerate(flaws):
            await store.answer(saga_id, flaw.letter, UNREADABLE)
            if number < _MOST_NOTED:
                await store.note(saga_id, UNREADABLE, flaw.fact)
    except StoreError as error:
        observers.tell(LetterNotAnswered(saga_id, error))
