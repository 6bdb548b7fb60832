"""An event without a name, for a saga whose present token the caller shows."""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import UUID

from saga_fn.core.effects import Rejection
from saga_fn.core.events import EventReceived
from saga_fn.engine.drive.incoming import Incoming
from saga_fn.engine.drive.message import message_of
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.requests.refusals import refusal_error
from saga_fn.engine.requests.rows import read_row
from saga_fn.engine.requests.unowned import UnownedSaga, change
from saga_fn.snapshot import wait_token
from saga_fn.store.records import MessageStatus

_SHORTLY: Final = 0.01
"""Seconds until a saga is looked at again that has become another meanwhile."""


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
            raise refusal_error(row.id, done.answer)
        if done:
            return True
        await asyncio.sleep(_SHORTLY)


async def is_current_token(engine: SagaEngine, saga_id: UUID, token: UUID) -> bool:
    """Whether that is the saga's present token, of its owner or of its wait."""
    row = await read_row(engine, saga_id)
    return row.ended_at is None and token in (row.token, wait_token(saga_id, row.rev))
