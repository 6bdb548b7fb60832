"""Reading the messages of a saga without an owner, in the owner's stead."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from saga_fn.core.ids import Moment
from saga_fn.definition import AnySaga
from saga_fn.engine.drive.incoming import Incoming
from saga_fn.engine.drive.message import UNREADABLE, Flaw, judge
from saga_fn.engine.drive.rejections import answer_unreadable
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.requests.unowned import UnownedSaga, decide, read_unowned, seen_free, write
from saga_fn.store.records import Definition, InboxMessage, SagaRecord, SeenSaga


def known_here(engine: SagaEngine, definition: Definition) -> AnySaga | None:
    """The definition, if this process knows it by that very plan."""
    name, version, plan = definition
    registered = engine.registry.find(name, version)
    return registered.definition if registered is not None and registered.definition.plan.id == plan else None


async def read_inbox(engine: SagaEngine, row: SagaRecord) -> frozenset[UUID]:
    """Read the messages of a saga without an owner, as its next owner would, by one compare-and-set.

    Nothing is done if anything has changed since `row` was read, or if this process does not know the saga's definition.
    Returns the messages that stay unread because the saga has no room for their events.
    """
    definition = known_here(engine, (row.name, row.version, row.plan))
    if definition is None:
        return frozenset()
    messages = await engine.store.messages(row.id)
    items, flaws = _judged(engine, definition, messages, row.now)
    await answer_unreadable(engine.store, engine.observers, row.id, flaws)
    engine.committer.answers.tell(row.id, [(flaw.message, UNREADABLE) for flaw in flaws])
    unreadable = {flaw.message for flaw in flaws}
    readable = [message for message in messages if message.id not in unreadable]
    return await _folded(engine, await read_unowned(engine, row), items, readable)


async def read_only_message(engine: SagaEngine, free: SeenSaga, message: InboxMessage) -> frozenset[UUID] | None:
    """The same for a saga that was just seen, and whose one message this is: nothing has to be read.

    None, with nothing done, if this process does not know the definition or cannot read the message.
    """
    definition = known_here(engine, (free.name, free.version, free.plan))
    if definition is None:
        return None
    items, flaws = _judged(engine, definition, [message], free.now)
    return None if flaws else await _folded(engine, seen_free(free, definition.plan), items, [message])


def _judged(
    engine: SagaEngine, definition: AnySaga, messages: Sequence[InboxMessage], now: Moment
) -> tuple[list[Incoming], list[Flaw]]:
    items: list[Incoming] = []
    flaws: list[Flaw] = []
    for message in messages:
        item = judge(definition, message, now, most=engine.options.max_payload_bytes)
        if isinstance(item, Flaw):
            flaws.append(item)
        else:
            items.append(item)
    return items, flaws


async def _folded(
    engine: SagaEngine, at: UnownedSaga, items: Sequence[Incoming], messages: Sequence[InboxMessage]
) -> frozenset[UUID]:
    decided = decide(at, items)
    if decided.entries:
        await write(engine, decided, messages)
    else:
        for message_id, answer in decided.answers:
            await engine.store.answer(at.identity.id, message_id, answer)
        engine.committer.answers.tell(at.identity.id, decided.answers)
    return decided.left
