"""The chaos run's own sagas in one process: the audit finds nothing as they are, and each guarantee that is taken from them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import final

import asyncpg
from typing_extensions import override

from saga_fn import SagaNews, SagaOrchestrator, TransactionalContext
from saga_fn.outgoing import OutgoingMessage, Published, PublishOutcome
from tests.faults.chaos.audit import findings
from tests.faults.chaos.books import ENTER, ROWS, TABLES, Books, Direction
from tests.faults.chaos.broker import OPTIONS, TABLE, Broker
from tests.faults.chaos.gather import UNSENT, gather
from tests.faults.chaos.sagas import Job, World, register
from tests.faults.chaos.told import Told
from tests.support.until import SOON

SEED = 17
SAGAS = 40


class Honest(Broker):
    """A broker in a good mood: it takes all."""

    @override
    async def publish(self, messages: Sequence[OutgoingMessage], /) -> Sequence[PublishOutcome]:
        """Take them."""
        await self.keep(messages)
        return [Published() for _ in messages]


@final
class Losing(Honest):
    """It says that it has every message, and loses each seventh."""

    _seen = 0

    @override
    async def publish(self, messages: Sequence[OutgoingMessage], /) -> Sequence[PublishOutcome]:
        """Take them, or say so."""
        for message in messages:
            self._seen += 1
            if self._seen % 7:
                await self.keep([message])
        return [Published() for _ in messages]


@final
class OwnCommits(Books):
    """Its rows are committed by themselves, before their steps are."""

    @override
    async def enter(self, ctx: TransactionalContext, direction: Direction) -> None:
        """Write a row outside of the step's transaction."""
        await self._pool.execute(ENTER, ctx.saga_id, ctx.step_id, direction)


@final
class Deaf(Books):
    """It forgets the hooks that it is told of."""

    @override
    async def call(self, news: SagaNews) -> None:
        """Forget it."""


async def found(dsn: str, *, books: type[Books] = Books, broker: type[Broker] = Honest) -> list[str]:
    """The audit's findings about sagas that have ended, or wait for a person, and whose messages are published."""
    async with asyncpg.create_pool(dsn, min_size=1, max_size=4) as pool:
        await pool.execute(f"{TABLES}; {TABLE}; {ROWS}")
        async with SagaOrchestrator(
            dsn, publishers={"*": broker(pool, SEED)}, outgoing=OPTIONS, concurrency=SAGAS
        ) as orchestrator:
            handle = register(orchestrator, World(books(pool), SEED))["booked"]
            runs = await handle.start_many(Job(number) for number in range(SAGAS))
            await orchestrator.run_until_idle()
            async with asyncio.timeout(SOON):
                while await pool.fetchval(UNSENT):
                    await asyncio.sleep(0.02)
            told = Told(started={run.id: "start_many" for run in runs})
            return findings(await gather(told, orchestrator, handle.definition.plan, pool, pool))


async def test_as_they_are_nothing_is_found(dsn: str) -> None:
    assert await found(dsn) == []


async def test_rows_outside_of_the_commits_are_found(dsn: str) -> None:
    """An attempt that fails after its row has left it there."""
    lines = await found(dsn, books=OwnCommits)
    assert lines
    assert all("has written the rows" in line for line in lines)


async def test_lost_messages_are_found(dsn: str) -> None:
    lines = await found(dsn, broker=Losing)
    assert lines
    assert all(line.startswith("message") and line.endswith("is lost") for line in lines)


async def test_hooks_that_are_not_called_are_found(dsn: str) -> None:
    lines = await found(dsn, books=Deaf)
    assert sum("hook on_started" in line and "was not called" in line for line in lines) == SAGAS
