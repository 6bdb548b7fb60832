"""pgqueuer: three chained jobs. `python pgqueuer_peer.py DSN IN_FLIGHT SECONDS` prints chains a second.

Its own runner uses uvloop, so this does.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from datetime import timedelta

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

dsn, in_flight, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
logging.disable(logging.CRITICAL)
ended: dict[int, asyncio.Future[None]] = {}


async def main() -> None:
    connection = await asyncpg.connect(dsn)
    async with asyncpg.create_pool(dsn, min_size=20, max_size=20) as pool:
        await Queries(AsyncpgDriver(connection)).install()
        queries = Queries(AsyncpgPoolDriver(pool))
        queue = PgQueuer(AsyncpgPoolDriver(pool))

        @queue.entrypoint("one")
        async def one(job: Job) -> None:
            await queries.enqueue("two", job.payload)

        @queue.entrypoint("two")
        async def two(job: Job) -> None:
            await queries.enqueue("three", job.payload)

        @queue.entrypoint("three")
        async def three(job: Job) -> None:
            assert job.payload is not None
            ended[int(job.payload)].set_result(None)

        worker = asyncio.create_task(queue.run(dequeue_timeout=timedelta(seconds=1), batch_size=max(1, in_flight // 2)))
        numbers = iter(range(10**9))

        async def one_after_another(until: float) -> int:
            done = 0
            while time.perf_counter() < until:
                number = next(numbers)
                ended[number] = asyncio.get_running_loop().create_future()
                await queries.enqueue("one", str(number).rjust(200).encode())
                await ended[number]
                done += 1
            return done

        await asyncio.gather(*(one_after_another(time.perf_counter() + 1) for _ in range(in_flight)))
        begun = time.perf_counter()
        done = sum(await asyncio.gather(*(one_after_another(begun + seconds) for _ in range(in_flight))))
        print(done / (time.perf_counter() - begun), flush=True)
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
    await connection.close()


uvloop.run(main())
