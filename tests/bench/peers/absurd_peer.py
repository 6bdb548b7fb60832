"""Absurd: a task of three steps. `python absurd_peer.py DSN IN_FLIGHT SECONDS` prints tasks a second.

A client of it has one connection, and one statement at a time on it; so for every 16 in flight one client starts tasks
and another works on them. The schema is what `absurdctl init` installs, taken out of that package: the command wants psql.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import psycopg
from absurd_sdk import AsyncAbsurd, AsyncTaskContext
from absurdctl import BUNDLED_SCHEMA_SQL

TEXT = "x" * 200
dsn, in_flight, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
EACH = 16
ended: dict[int, asyncio.Future[None]] = {}


async def three(params: dict[str, Any], context: AsyncTaskContext) -> str:
    async def work() -> str:
        return text

    text: str = params["text"]
    for number in range(3):
        text = await context.step(f"step {number}", work)
    ended[params["number"]].set_result(None)
    return text


def client() -> AsyncAbsurd:
    made = AsyncAbsurd(dsn, queue_name="bench")
    made.register_task("three")(three)
    return made


async def main() -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute(BUNDLED_SCHEMA_SQL)
        await connection.execute("SELECT absurd.create_queue('bench')")
        starters = [client() for _ in range(-(-in_flight // EACH))]
        for starter in starters:
            await starter.list_queues()  # connects: two first statements at once would connect twice
        clients = [client() for _ in starters]
        workers = [
            asyncio.create_task(
                one.start_worker(worker_id=str(number), concurrency=min(in_flight, EACH), poll_interval=0.05)
            )
            for number, one in enumerate(clients)
        ]
        numbers = iter(range(10**9))

        async def one_after_another(until: float) -> int:
            done = 0
            while time.perf_counter() < until:
                number = next(numbers)
                ended[number] = asyncio.get_running_loop().create_future()
                await starters[number % len(starters)].spawn("three", {"number": number, "text": TEXT})
                await ended[number]
                done += 1
            return done

        warm = sum(await asyncio.gather(*(one_after_another(time.perf_counter() + 1) for _ in range(in_flight))))
        begun = time.perf_counter()
        done = sum(await asyncio.gather(*(one_after_another(begun + seconds) for _ in range(in_flight))))
        took = time.perf_counter() - begun
        for one in clients:
            one.stop_worker()
        await asyncio.gather(*workers)
        cursor = await connection.execute("SELECT count(*) FROM absurd.t_bench WHERE state = 'completed'")
        assert (await cursor.fetchone()) == (warm + done,)
        print(done / took)
        for one in (*starters, *clients):
            await one.close()


asyncio.run(main())
