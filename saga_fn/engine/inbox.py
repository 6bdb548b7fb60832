"""Reading the letters of a saga that nobody owns, in the owner's stead."""

from __future__ import annotations

from uuid import UUID

from saga_fn.core.events import EventReceived
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.execution import Incoming
from saga_fn.engine.mail import read_mail
from saga_fn.engine.unowned import decide, standing, write
from saga_fn.engine.waits import unreadable
from saga_fn.store.records import SagaRecord


async def read_inbox(engine: SagaEngine, row: SagaRecord) -> frozenset[UUID]:
    """Read the letters of a saga that nobody owns, as its next owner would, by one compare-and-set.

    Nothing is done if anything has changed since `row` was read, or if this process does not know the saga's definition.
    Returns the letters that stay unread because the saga has no room for their events.
    """
    registered = engine.registry.find(row.name, row.version)
    if registered is None or registered.definition.plan.id != row.plan:
        return frozenset()
    letters = await engine.store.letters(row.id)
    items: list[Incoming] = []
    flawed: list[tuple[UUID, str]] = []
    for letter in letters:
        item = read_mail(letter, row.now)
        name = item.event.name if isinstance(item.event, EventReceived) else ""
        if name and unreadable(registered.definition, name, item.payload or b"null") is not None:
            flawed.append((letter.id, "unreadable"))
        else:
            items.append(item)
    decided = decide(await standing(engine, row), items)
    answers = (*decided.answers, *flawed) if not decided.entries else flawed
    for letter_id, answer in answers:
        await engine.store.answer(row.id, letter_id, answer)
    if decided.entries:
        rest = [letter for letter in letters if letter.id not in {answered for answered, _ in flawed}]
        await write(engine, decided, rest)
    return decided.left
