"""A process whose sagas publish a message a step to a file, and that kills itself where it is told: `main` begins it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from saga_fn import Outgoing, SagaNews, SagaOrchestrator, StepContext, StepRef, saga, step
from saga_fn.outgoing import OutgoingOptions
from saga_fn.store.postgres import PostgresStore
from saga_fn.store.records import Committed, SagaWrite
from tests.faults.broker_file import BrokerFile, die_at_confirm
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


def die_at(store: PostgresStore, point: str, after: int) -> None:
    """Kill this process after so many commits with messages, before they are published; or around a deletion."""
    left, commit = after, store.commit

    async def commit_and_die(shard: int, writes: Sequence[SagaWrite], *, skip_locked: bool = False) -> Committed:
        nonlocal left
        done = await commit(shard, writes, skip_locked=skip_locked)
        left -= any(write.outgoing for write in writes)
        if left <= 0:
            die()
        return done

    if point == "committed":
        setattr(store, "commit", commit_and_die)  # noqa: B010 - the store's class is final
    die_at_confirm(store, point, after)


async def main(dsn: str, path: str, point: str, after: str) -> None:
    """Work on sagas until it is killed, by itself or by the test."""
    Path(path).touch()
    store = PostgresStore(dsn)
    die_at(store, point, int(after))
    broker = BrokerFile(path, point, int(after))
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
