"""DBOS: a workflow of three steps. `python dbos_peer.py DSN IN_FLIGHT SECONDS` prints sagas a second."""

from __future__ import annotations

import asyncio
import sys
import time

from dbos import DBOS

TEXT = "x" * 200
dsn, in_flight, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
DBOS(config={"name": "bench", "system_database_url": dsn, "log_level": "ERROR"})


@DBOS.step()
async def work(text: str) -> str:
    return text


@DBOS.workflow()
async def three(text: str) -> str:
    for _ in range(3):
        text = await work(text)
    return text


async def main() -> None:
    DBOS.launch()

    async def one_after_another(until: float) -> int:
        done = 0
        while time.perf_counter() < until:
            handle = await DBOS.start_workflow_async(three, TEXT)
            await handle.get_result()
            done += 1
        return done

    await asyncio.gather(*(one_after_another(time.perf_counter() + 1) for _ in range(in_flight)))
    begun = time.perf_counter()
    done = sum(await asyncio.gather(*(one_after_another(begun + seconds) for _ in range(in_flight))))
    print(done / (time.perf_counter() - begun))


asyncio.run(main())
DBOS.destroy()
