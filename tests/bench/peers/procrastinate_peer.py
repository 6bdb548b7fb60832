"""procrastinate: three chained jobs. `python procrastinate_peer.py DSN IN_FLIGHT SECONDS` prints chains a second.

A worker fetches one job after another, so there are several; each keeps a connection to listen on. Its driver is the
compiled one.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time

import procrastinate

TEXT = "x" * 200
dsn, in_flight, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
logging.disable(logging.CRITICAL)
app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=dsn, min_size=30, max_size=30))
WORKERS = min(in_flight, 8)
ended: dict[int, asyncio.Future[None]] = {}


@app.task(name="three")
async def three(number: int, text: str) -> None:
    ended[number].set_result(None)


@app.task(name="two")
async def two(number: int, text: str) -> None:
    await three.defer_async(number=number, text=text)


@app.task(name="one")
async def one(number: int, text: str) -> None:
    await two.defer_async(number=number, text=text)


async def main() -> None:
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        workers = asyncio.gather(
            *(
                app.run_worker_async(
                    name=str(number),
                    concurrency=in_flight // WORKERS,
                    install_signal_handlers=False,
                    fetch_job_polling_interval=1,
                )
                for number in range(WORKERS)
            )
        )
        numbers = iter(range(10**9))

        async def one_after_another(until: float) -> int:
            done = 0
            while time.perf_counter() < until:
                number = next(numbers)
                ended[number] = asyncio.get_running_loop().create_future()
                await one.defer_async(number=number, text=TEXT)
                await ended[number]
                done += 1
            return done

        await asyncio.gather(*(one_after_another(time.perf_counter() + 1) for _ in range(in_flight)))
        begun = time.perf_counter()
        done = sum(await asyncio.gather(*(one_after_another(begun + seconds) for _ in range(in_flight))))
        print(done / (time.perf_counter() - begun))
        workers.cancel()
        await asyncio.gather(workers, return_exceptions=True)


asyncio.run(main())
