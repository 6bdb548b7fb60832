"""A worker of the chaos run: `python -m tests.faults.chaos.worker DSN BOOKS SEED`.

At SIGUSR1 its wall clock jumps.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import sys
import time
from datetime import timedelta
from typing import Final

import asyncpg

from saga_fn import SagaOrchestrator, StoreUnavailableError
from tests.faults.chaos.books import Books
from tests.faults.chaos.broker import OPTIONS, Broker
from tests.faults.chaos.sagas import World, register

LEASE: Final = timedelta(seconds=2)
NO_DATABASE: Final = 3
"""The code that a worker ends with that could not even begin, for want of a database; it is begun again."""
STOP: Final = timedelta(seconds=3)


class JumpingClock:
    """Stands for the wall clock of this process."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self._time, self._time_ns = time.time, time.time_ns
        self._ahead = 0

    def jump(self, *_: object) -> None:
        """Be wrong by another time from now on."""
        self._ahead = self._dice.choice((-86_400, -3_600, -5, 0, 5, 3_600, 86_400))

    def time(self) -> float:
        """Stands for `time.time`."""
        return self._time() + self._ahead

    def time_ns(self) -> int:
        """Stands for `time.time_ns`."""
        return self._time_ns() + self._ahead * 1_000_000_000


async def main(dsn: str, books: str, seed: int) -> int:
    """Work until SIGTERM, whatever becomes of the database meanwhile; give the code to end with."""
    async with asyncpg.create_pool(books, min_size=1, max_size=4) as pool:
        orchestrator = SagaOrchestrator(
            dsn,
            concurrency=32,
            lease=LEASE,
            poll_interval=timedelta(milliseconds=200),
            stop_timeout=STOP,
            pool_size=3,
            publishers={"*": Broker(pool, seed)},
            outgoing=OPTIONS,
        )
        watch = asyncio.create_task(_end_with(os.getppid()))
        register(orchestrator, World(Books(pool), seed, blocks=1.6 * LEASE.total_seconds()))
        try:
            await orchestrator.run_forever()
        except StoreUnavailableError:
            return NO_DATABASE
        finally:
            watch.cancel()
        return 0


async def _end_with(driver: int) -> None:
    """End at once when the process is gone that has begun this one: nothing else would end it."""
    while os.getppid() == driver:
        await asyncio.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    clock = JumpingClock(int(sys.argv[3]))
    setattr(time, "time", clock.time)  # noqa: B010 - a builtin's type is not that of a method
    setattr(time, "time_ns", clock.time_ns)  # noqa: B010 - as above
    signal.signal(signal.SIGUSR1, clock.jump)
    print(f"ready {os.getpid()}", file=sys.stderr, flush=True)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    sys.exit(asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
