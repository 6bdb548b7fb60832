"""Numbers about all sagas, told to observers from time to time, for instruments that have asked for them."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import final

from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.observe.of_process import StatsRead
from saga_fn.engine.upkeep import Upkeep
from saga_fn.engine.views.stats import read_stats
from saga_fn.errors import StoreError, StoreRefusedError
from saga_fn.stats import SagaStats
from saga_fn.store.records import OutgoingCounts


@final
class Gauges:
    """Reads the numbers while the orchestrator is entered. A store that does not answer costs nothing but their age."""

    def __init__(self, engine: SagaEngine) -> None:
        self._engine = engine
        self._reading: Upkeep | None = None
        self._last: SagaStats | None = None

    def start(self) -> None:
        """Begin, if an instrument wants them."""
        every = self._engine.options.stats_every
        if every is not None:
            self._reading = Upkeep("reads numbers for instruments", lambda: self._read(every), self._engine.observers)
            self._reading.start()

    async def stop(self) -> None:
        """End it."""
        reading, self._reading = self._reading, None
        if reading is not None:
            await reading.stop(0.5)
        last, self._last = self._last, None
        if last is not None:  # a sum of the slots of several orchestrators must not count these any more
            self._engine.observers.tell(StatsRead(last, 0, 0, self._engine.owner))

    async def _messages(self) -> OutgoingCounts:
        """The counts of outgoing messages; none for a role that may not read them."""
        try:
            return await self._engine.store.outgoing.counts()
        except StoreRefusedError:
            return OutgoingCounts(0, None, 0)

    async def _read(self, every: float) -> None:
        engine = self._engine
        while True:
            with contextlib.suppress(StoreError):
                stats = await engine.stats.get(False, lambda: read_stats(engine.store, ends=False), max_age=every / 2)
                self._last = stats
                counts = await self._messages()
                slots, used = engine.options.concurrency, len(engine.held)
                engine.observers.tell(
                    StatsRead(stats, slots, used, engine.owner, counts.waiting, counts.dead, counts.oldest)
                )
            await asyncio.sleep(every * random.uniform(0.8, 1.0))
