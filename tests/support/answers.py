"""The answer to a message, of either kind, as its store has it."""

from __future__ import annotations

from uuid import UUID

from saga_fn.store import Store
from saga_fn.store.records import InboxMessage


async def answer_to(store: Store, saga_id: UUID, message: InboxMessage) -> str | None:
    """The answer to an event or a verb; None while no owner has read it."""
    if not message.is_verb:
        return await store.read_answer(saga_id, message.id)
    told = await store.verb_answer(saga_id, message.id)
    return None if told is None else told.answer
