"""A process whose sagas publish a message a step to a file, and that kills itself where it is told: `main` begins it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from saga_fn import Outgoing, SagaNews, SagaOrchestrator, StepContext, StepRef, saga, step
from saga_fn.outgoing import OutgoingMessage, OutgoingOptions, Published, PublishOutcome
from saga_fn.store.postgres import PostgresStore
from saga_fn.store.records import Committed, Place, SagaWrite
from tests.faults.deleter import die

LEASE = timedelta(milliseconds=600)
EXPECTED = [b"started", b"1", b"2", b"2 declared", b"3", b"completed"]
"""The payloads of one saga, in their order."""


def told(news: SagaNews) -> bytes:
    """The payload of a hook: the word behind `on_`."""
    return news.hook.value.removeprefix("on_").encode()


@step
async def first(number: int, ctx: StepContext) -> int:
    ctx.publish("steps", b"1")
    return number


@step(publishes=Outgoing("steps", payload=lambda _: b"2 declared"))
async def second(number: int, ctx: StepContext) -> int:
    ctx.publish("steps", b"2")
    return number


@step
async def third(number: int, ctx: StepContext) -> int:
    ctx.publish("steps", b"3")
    return number


@saga(
    "order",
    on_started=Outgoing("hooks", payload=lambda hook: told(hook.news)),
    on_completed=Outgoing("hooks", payload=lambda hook: told(hook.news)),
)
def order(number: StepRef[int]) -> StepRef[int]:
    return third(second(first(number)))


class Recording:
    """A broker that appends what it is given to a file, a line for each message, and kills its process in call number `after`."""

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


def die_at(store: PostgresStore, point: str, after: int) -> None:
    """Kill this process after so many commits with messages, before they are published; or before or after a deletion."""
    left = after
    commit, confirm = store.commit, store.outgoing.confirm

    async def commit_and_die(shard: int, writes: Sequence[SagaWrite], *, skip_locked: bool = False) -> Committed:
        nonlocal left
        done = await commit(shard, writes, skip_locked=skip_locked)
        left -= any(write.outgoing for write in writes)
        if left <= 0:
            die()
        return done

    async def confirm_and_die(shard: int, places: Sequence[Place]) -> None:
        nonlocal left
        left -= 1
        if left <= 0 and point == "published":
            die()
        await confirm(shard, places)
        if left <= 0:
            die()

    if point == "committed":
        setattr(store, "commit", commit_and_die)  # noqa: B010 - the store's class is final
    elif point in ("published", "deleted"):
        setattr(store.outgoing, "confirm", confirm_and_die)  # noqa: B010 - as above


async def main(dsn: str, path: str, point: str, after: str) -> None:
    """Work on sagas until it is killed, by itself or by the test."""
    Path(path).touch()
    store = PostgresStore(dsn)
    die_at(store, point, int(after))
    broker = Recording(path, point, int(after))
    options = OutgoingOptions(timeout=LEASE, batch=5, waiting=20)
    async with SagaOrchestrator(
        store,
        publishers={"*": broker},
        outgoing=options,
        lease=LEASE,
        poll_interval=timedelta(milliseconds=50),
        concurrency=8,
    ) as orchestrator:
        orchestrator.register(order)
        await asyncio.Event().wait()
