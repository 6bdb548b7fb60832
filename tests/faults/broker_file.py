"""A broker that is a file, for processes that die around a message, and the words by which tests read it."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import asyncpg

from saga_fn.outgoing import OutgoingMessage, Published, PublishOutcome
from saga_fn.store.postgres import PostgresStore
from saga_fn.store.records import Place
from tests.faults.deleter import die
from tests.support.until import SOON

LEFT = (
    "SELECT (SELECT count(*) FROM saga_fn.saga_outgoing) + (SELECT count(*) FROM saga_fn.saga WHERE ended_at IS NULL)"
)
"""How many messages are not published, and sagas not ended."""


class BrokerFile:
    """It appends what it is given, a line for each message, and kills its process in call number `after`."""

    def __init__(self, path: str, point: str, after: int) -> None:
        self._file = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
        self._left = after if point == "publishing" else -1

    async def publish(self, messages: Sequence[OutgoingMessage], /) -> Sequence[PublishOutcome]:
        """Append them; one after another, so that a kill comes between two of them."""
        self._left -= 1
        for number, message in enumerate(messages):
            if self._left == 0 and number >= len(messages) // 2:
                die()
            os.write(self._file, f"{message.saga_id} {message.id} {message.body.decode()}\n".encode())
            await asyncio.sleep(0)
        if self._left == 0:
            die()
        return [Published() for _ in messages]


def die_at_confirm(store: PostgresStore, point: str, after: int) -> None:
    """Kill this process at the deletion of its published message number `after`: before it (`published`) or after (`deleted`)."""
    left, confirm = after, store.outgoing.confirm

    async def confirm_and_die(shard: int, places: Sequence[Place]) -> None:
        nonlocal left
        left -= len(places)
        if left <= 0 and point == "published":
            die()
        await confirm(shard, places)
        if left <= 0:
            die()

    if point in ("published", "deleted"):
        setattr(store.outgoing, "confirm", confirm_and_die)  # noqa: B010 - the store's class is final


def published(path: Path) -> dict[UUID, dict[UUID, str]]:
    """By saga, the payload of each message by its id, in the order in which each came first."""
    found: dict[UUID, dict[UUID, str]] = defaultdict(dict)
    for line in path.read_text().splitlines():
        saga_id, message_id, body = line.split(" ", 2)
        assert found[UUID(saga_id)].setdefault(UUID(message_id), body) == body, "an id is that of one message"
    return found


async def until_all_is_published(
    pool: asyncpg.Connection[asyncpg.Record] | asyncpg.Pool[asyncpg.Record], patience: float = 2 * SOON
) -> None:
    """Return when every saga has ended, and every message is published and deleted."""
    async with asyncio.timeout(patience):
        while await pool.fetchval(LEFT):
            await asyncio.sleep(0.02)
