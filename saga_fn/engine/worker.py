"""The worker loop: looks for due sagas, claims no more than there are free slots, and drives what it claimed.

Nothing depends on being told: a NOTIFY, a start or an end in this process only shorten the wait for the next look.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
import time
from uuid import UUID

from saga_fn.core.ids import Moment
from saga_fn.engine.engine import SagaEngine
from saga_fn.errors import StoreError

_log = logging.getLogger("saga_fn")
_SHORTEST_WAIT = 0.05


class Worker:
    """Claims and drives due sagas for as long as it runs."""

    def __init__(self, engine: SagaEngine) -> None:
        self._engine = engine
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._wakes: list[Moment] = []
        self._backlog = False
        self.failures = 0
        """Passes in a row that failed; 0 when the last one went well."""
        self.last_error: str | None = None
        engine.on_slot_freed = self.wake

    @property
    def running(self) -> bool:
        """Whether the loop is alive."""
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        """Begin to look for due sagas."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Claim nothing more; what was claimed goes on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def wake(self) -> None:
        """Look now."""
        self._wake.set()

    def wake_at(self, moment: Moment) -> None:
        """Look when this moment of database time has come."""
        heapq.heappush(self._wakes, moment)
        self.wake()

    def may_own_starts(self) -> bool:
        """Whether a saga that starts now may go on in this process at once.

        Not past what is already due: a quarter of the slots never goes to starts, and none do while there is a backlog.
        """
        free = self._free()
        return self.running and not self._backlog and free > self._engine.options.concurrency // 4

    def _free(self) -> int:
        engine = self._engine
        if engine.stopping or engine.suspects or engine.committer.stalled:
            return 0
        return engine.options.concurrency - len(engine.held)

    async def _run(self) -> None:
        wait = _SHORTEST_WAIT
        while True:
            try:
                claimed = await self._look()
                self.failures, self.last_error = 0, None
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - the loop never dies silently: it logs, backs off and goes on
                self.failures += 1
                self.last_error = error.fact if isinstance(error, StoreError) else repr(error)
                log = _log.warning if isinstance(error, StoreError) else _log.exception
                log("the worker could not look for due sagas: %s", self.last_error)
                claimed = 0
                await asyncio.sleep(min(0.1 * 2 ** min(self.failures, 6), 5.0) * random.uniform(0.5, 1.0))
            if claimed:
                wait = _SHORTEST_WAIT
                if self._backlog and self._free() > 0:
                    continue
            await self._rest(wait * random.uniform(1.0, 1.2))
            wait = min(wait * 2, self._engine.options.poll_interval.total_seconds())

    async def _look(self) -> int:
        """One pass: the idle poll, then claims in the shards that have something. Returns how many were claimed."""
        engine = self._engine
        pairs = engine.registry.pairs
        free = self._free()
        if free <= 0 or not pairs:
            return 0
        shards = await engine.store.due_shards(pairs)
        random.shuffle(shards)
        self._backlog = False
        claimed = 0
        for shard in shards:
            asked = self._free()
            if asked <= 0:
                self._backlog = True
                break
            sent = time.monotonic()
            claims = await engine.store.claim_due(
                shard, pairs, owner=engine.owner, limit=asked, lease=engine.options.lease
            )
            claimed += len(claims)
            self._backlog = self._backlog or len(claims) == asked
            await engine.drive_claimed(claims, sent)
        return claimed

    async def _rest(self, seconds: float) -> None:
        now = self._engine.store.now()
        while self._wakes and self._wakes[0] <= now:
            heapq.heappop(self._wakes)
            seconds = 0.0
        if self._wakes:
            seconds = min(seconds, (self._wakes[0] - now) / 1_000_000)
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()


async def drive_due(engine: SagaEngine, limit: int) -> int:
    """Claim and drive what is due now, at most `limit` sagas, never more at a time than there are slots.

    Returns how many were claimed, when each of them was given up again.
    """
    slots = engine.options.concurrency or 16
    pairs = engine.registry.pairs
    claimed = 0
    mine: set[asyncio.Task[None]] = set()
    for shard in await engine.store.due_shards(pairs) if pairs else []:
        while claimed < limit:
            free = min(slots - len(mine), limit - claimed)
            if free <= 0:
                _, mine = await asyncio.wait(mine, return_when=asyncio.FIRST_COMPLETED)
                continue
            sent = time.monotonic()
            claims = await engine.store.claim_due(
                shard, pairs, owner=engine.owner, limit=free, lease=engine.options.lease
            )
            claimed += len(claims)
            mine |= set(await engine.drive_claimed(claims, sent))
            if len(claims) < free:
                break
    while mine:
        _, mine = await asyncio.wait(mine)
    return claimed


async def drive_one(engine: SagaEngine, saga_id: UUID) -> bool:
    """Claim and drive one saga until it is given up; False if it could not be claimed."""
    sent = time.monotonic()
    claim = await engine.store.claim(saga_id, owner=engine.owner, lease=engine.options.lease)
    if claim is None:
        return False
    tasks = await engine.drive_claimed([claim], sent)
    if tasks:
        await asyncio.wait(tasks)
    return True
