"""Outgoing messages that are not published, for people."""

from __future__ import annotations

from typing import Final

import msgspec

from saga_fn.codec.message import headers_in
from saga_fn.definition.outgoing import hook_in, shown_topic
from saga_fn.engine.engine import SagaEngine
from saga_fn.outgoing import message_id
from saga_fn.snapshot import UnsentMessage
from saga_fn.store.records import OutgoingRecord, SagaRecord

MOST: Final = 100
"""So many of a saga's outgoing messages are shown."""


async def unsent_messages(engine: SagaEngine, row: SagaRecord, *, most: int = MOST) -> tuple[UnsentMessage, ...]:
    """The first of a saga's messages that are not published, in their order."""
    return tuple(unsent_of(each) for each in await engine.store.outgoing.of_saga(row.id, most=most))


def unsent_of(record: OutgoingRecord) -> UnsentMessage:
    """The message as a person is shown it."""
    return UnsentMessage(
        id=message_id(record.saga_id, record.rev, record.n),
        saga_id=record.saga_id,
        topic=shown_topic(record.topic),
        is_hook=hook_in(record.topic) is not None,
        key=record.key,
        headers=headers_in(record.headers),
        payload=_plain(record.body),
        attempts=record.attempts,
        error=record.error,
        created_at=record.created_at,
        next_attempt=None if record.dead_at is not None else record.due_at,
        dead_at=record.dead_at,
        blocks=record.blocks,
    )


def _plain(body: bytes) -> object:
    """The payload as plain JSON, or its bytes where it is none."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body
