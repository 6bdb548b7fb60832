"""A broker of the chaos run: it keeps all that it takes, in order, and its answers are as bad as those of any."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg
import attrs

from saga_fn.outgoing import FailedForNow, OutgoingMessage, OutgoingOptions, Published, PublishOutcome

TABLE: Final = """
CREATE TABLE published (place bigserial PRIMARY KEY, id uuid, saga uuid, body bytea, pid int)
"""
OPTIONS: Final = OutgoingOptions(
    timeout=timedelta(seconds=1),
    first_delay=timedelta(milliseconds=50),
    longest_delay=timedelta(milliseconds=500),
    batch=20,
    waiting=60,
)


@attrs.frozen
class Received:
    """A message as it came to the broker: once or several times."""

    id: UUID
    saga: UUID
    body: bytes


class Broker:
    """The publisher of every worker."""

    def __init__(self, pool: asyncpg.Pool, seed: int) -> None:
        self._pool = pool
        self._dice = random.Random(f"{seed} broker {os.getpid()}")

    async def publish(self, messages: Sequence[OutgoingMessage], /) -> Sequence[PublishOutcome]:
        """Take them, or some of them, or none; say so, or something else, or nothing."""
        mood = self._dice.random()
        if mood < 0.06:
            raise ConnectionError("the broker is away")
        taken = messages if mood > 0.12 else messages[: len(messages) // 2]
        await self.keep(taken)
        if mood > 0.97:
            await asyncio.sleep(60)  # it has them, and never says so
        if mood > 0.92:
            raise ConnectionError("the answer was lost")
        others = len(messages) - len(taken)
        return [*(Published() for _ in taken), *(FailedForNow("not this time") for _ in range(others))]

    async def keep(self, messages: Sequence[OutgoingMessage]) -> None:
        """Store them."""
        await self._pool.executemany(
            "INSERT INTO published (id, saga, body, pid) VALUES ($1, $2, $3, $4)",
            [(each.id, each.saga_id, each.body, os.getpid()) for each in messages],
        )


async def received(pool: asyncpg.Pool) -> list[Received]:
    """All that it has, in the order in which it came."""
    return [Received(*row) for row in await pool.fetch("SELECT id, saga, body FROM published ORDER BY place")]
