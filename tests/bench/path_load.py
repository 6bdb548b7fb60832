"""A process that leads sagas along one path and along the straight one, in turn.

`python -m tests.bench.path_load KIND DSN SCHEMA LOAD [ROUNDS]` prints what it measured as JSON; LOAD is JSON, too. With KIND
`hang` it claims LOAD sagas, and does nothing with them.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any, Final

import asyncpg
import msgspec

from saga_fn import SagaOrchestrator
from tests.bench import kinds
from tests.bench.kinds import Data, Handle, Load, Many, chain, fan_out, waits

LEASE: Final = 3.0
"""Seconds, of a process that is killed."""
_WRITTEN: Final = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
_WRITES: Final = re.compile(r"\b(?:INSERT|UPDATE|DELETE)\b")


class Spent(msgspec.Struct, frozen=True):
    """The cost of one saga of a path, and how many there were a second."""

    per_second: float
    cpu: float
    """Microseconds of this process."""
    statements: float
    commits: float
    wal: float
    """Bytes."""


class Counter:
    """Counts the statements that this process sends. Each is a transaction of its own."""

    def __init__(self) -> None:
        self.statements = self.commits = 0
        for name in ("fetch", "fetchrow", "fetchval", "execute"):
            setattr(asyncpg.Connection, name, self._counted(getattr(asyncpg.Connection, name)))

    def _counted(self, call: Any) -> Any:  # Any: a method of the driver
        def counted(connection: Any, query: str, *args: Any, **named: Any) -> Any:
            self.statements += 1
            self.commits += _WRITES.search(query) is not None
            return call(connection, query, *args, **named)

        return counted


Measure = Callable[[Callable[[], Awaitable[object]]], Awaitable[Spent]]


async def led(
    name: str, load: Load, orchestrator: SagaOrchestrator, handle: Handle, measure: Measure, dsn: str, schema: str
) -> Spent:
    """Lead so many sagas along that path."""
    if name.startswith("straight"):
        return await measure(lambda: kinds.started(load, handle, Data()))
    if name.startswith("turned back"):
        return await measure(lambda: kinds.started(load, handle, Data(fails_at=int(name[-1]))))
    if name.startswith("fan-out"):
        items = [Data(number) for number in range(int(name.split()[2]))]
        return await measure(lambda: kinds.started(load, handle, Many(items)))
    if name.startswith("events"):
        keyed = name.endswith("key")
        runs = await kinds.suspended(load, handle, keyed=keyed)
        spent = await measure(lambda: kinds.sent(load, orchestrator, name, runs, keyed=keyed))
        await asyncio.gather(*[kinds.ended(load, run) for run in runs])
        return spent
    if name.startswith("verbs"):
        runs = await kinds.suspended(load, handle, keyed=False)
        verb = kinds.aborted if name.endswith("abort") else kinds.skipped
        spent = await measure(lambda: verb(load, orchestrator, runs))
        await asyncio.gather(*[kinds.ended(load, run) for run in runs])
        return spent
    if name == "timers":
        runs = await kinds.due_at_once(load, handle)
        return await measure(lambda: asyncio.gather(*[kinds.ended(load, run) for run in runs]))
    async with SagaOrchestrator(dsn, schema=schema, concurrency=0) as starter:
        runs = await starter.register(name, chain()).start_many([Data()] * load.sagas)
        if name == "takeover":
            await kinds.left_by_a_dead_process(load, dsn, schema, LEASE)
        working = SagaOrchestrator(dsn, schema=schema, concurrency=load.slots)
        mine = working.register(name, chain())

        async def worked() -> None:
            async with working:
                await asyncio.gather(*[kinds.ended(load, mine.attach(run.id)) for run in runs])

        return await measure(worked)


def definition(name: str) -> Any:  # Any: each kind has types of its own
    """The definition of that path's sagas."""
    if name.startswith("fan-out"):
        return fan_out(beside="beside" in name)
    return waits() if name.startswith(("events", "verbs")) else chain()


async def main(name: str, dsn: str, schema: str, load: Load, rounds: int = 3) -> list[tuple[Spent, Spent]]:
    """The path, and the straight one, in turn."""
    logging.getLogger("saga_fn").setLevel(logging.CRITICAL)
    counter, observer = Counter(), await asyncpg.connect(dsn)
    orchestrator = SagaOrchestrator(dsn, schema=schema, migrate=True, concurrency=load.slots)
    separate = name in ("takeover", "claimed elsewhere")
    straight, handle = orchestrator.register("straight", chain()), orchestrator.register("other", chain())
    if not separate and not name.startswith("straight"):
        handle = orchestrator.register(name, definition(name))

    async def measure(number: int, of: Callable[[], Awaitable[object]]) -> Spent:
        written = await observer.fetchval(_WRITTEN)
        statements, commits = counter.statements, counter.commits
        begun, cpu = time.perf_counter(), time.process_time()
        await of()
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
        statements, commits = counter.statements - statements, counter.commits - commits
        wal = int(await observer.fetchval(_WRITTEN)) - int(written)
        return Spent(number / seconds, cpu / number * 1e6, statements / number, commits / number, wal / number)

    found: list[tuple[Spent, Spent]] = []
    async with orchestrator:
        await kinds.started(load, straight, Data())
        for _ in range(rounds):
            # The keys of one round have ended in the next: each has its own.
            load = msgspec.structs.replace(load, sagas=load.sagas + 1)
            this = await led(name, load, orchestrator, handle, partial(measure, load.sagas), dsn, schema)
            beside = msgspec.structs.replace(load, sagas=load.straight or load.sagas)
            to_measure = partial(measure, beside.sagas)
            found.append((this, await led("straight", beside, orchestrator, straight, to_measure, dsn, schema)))
    await observer.close()
    return found


async def hang(dsn: str, schema: str, sagas: int) -> None:
    """Claim so many sagas, and do nothing with them."""
    logging.getLogger("saga_fn").setLevel(logging.CRITICAL)

    async def stay(_: Data) -> Data:
        await asyncio.sleep(600)
        raise AssertionError("it is killed before")

    lease, poll = timedelta(seconds=LEASE), timedelta(milliseconds=50)
    orchestrator = SagaOrchestrator(dsn, schema=schema, concurrency=sagas + 1, lease=lease, poll_interval=poll)
    orchestrator.register("takeover", chain(does=stay))
    async with orchestrator:
        while len(orchestrator.engine.held) < sagas:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)  # their claims are in the journal, and their steps run
        print("held", flush=True)
        await asyncio.sleep(600)


if __name__ == "__main__":
    kind, dsn, schema, given = sys.argv[1:5]
    if kind == "hang":
        asyncio.run(hang(dsn, schema, int(given)))
    else:
        rounds = int(sys.argv[5]) if len(sys.argv) > 5 else 3
        measured = asyncio.run(main(kind, dsn, schema, msgspec.json.decode(given, type=Load), rounds))
        print(msgspec.json.encode(measured).decode())
