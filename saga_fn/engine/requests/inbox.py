"""Reading the messages of a saga that nobody owns, in the owner's stead."""

from __future__ import annotations

from uuid import UUID

from saga_fn.engine.drive.execution import Incoming
from saga_fn.engine.drive.message import UNREADABLE, Flaw, judge
from saga_fn.engine.drive.rejections import answer_unreadable
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.requests.unowned import decide, read_unowned, write
from saga_fn.store.records import SagaRecord


async def read_inbox(engine: SagaEngine, row: SagaRecord) -> frozenset[UUID]:
    """Read the messages of a saga that nobody owns, as its next owner would, by one compare-and-set.

    Nothing is done if anything has changed since `row` was read, or if this process does not know the saga's definition.
    Returns the messages that stay unread because the saga has no room for their events.
    """
    registered = engine.registry.find(row.name, row.version)
    if registered is None or registered.definition.plan.id != row.plan:
        return frozenset()
    messages = await engine.store.messages(row.id)
    items: list[Incoming] = []
    flaws: list[Flaw] = []
    for message in messages:
        item = judge(registered.definition, message, row.now, most=engine.options.max_payload_bytes)
        if isinstance(item, Flaw):
            flaws.append(item)
        else:
            items.append(item)
    await answer_unreadable(engine.store, engine.observers, row.id, flaws)
    engine.committer.answers.tell(row.id, [(flaw.message, UNREADABLE) for flaw in flaws])
    decided = decide(await read_unowned(engine, row), items)
    if decided.entries:
        unreadable = {flaw.message for flaw in flaws}
        await write(engine, decided, [message for message in messages if message.id not in unreadable])
    else:
        for message_id, answer in decided.answers:
            await engine.store.answer(row.id, message_id, answer)
        engine.committer.answers.tell(row.id, decided.answers)
    return decided.left
