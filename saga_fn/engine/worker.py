"""The worker loop: looks for due sagas, claims no more than there are free slots, and drives what it claimed.

Nothing depends on being told: a NOTIFY, a start or an end in this process only shorten the wait for the next look.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Final

from saga_fn import steady
from saga_fn.backoff import Backoff
from saga_fn.core.ids import LONG_AGO, Moment
from saga_fn.engine.claims import Claims
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.look_from import LookFrom
from saga_fn.engine.observe.of_claims import ClaimRound, ClaimRoundFailed, SlotsHeld, WorkerCancelled, WorksOn
from saga_fn.engine.observe.of_upkeep import OperationHeldUp, RetentionStopped, SweepFailed
from saga_fn.engine.requests.bulk import carry_on
from saga_fn.engine.upkeep import Upkeep
from saga_fn.errors import StoreError, shown
from saga_fn.store.records import OF_SENT
from saga_fn.store.this_process import this_process
from saga_fn.tasks import call_later

_SHORTEST_WAIT = 0.05
SLOTS_HELD = 120.0
"""Seconds for which the same sagas may hold all slots before that is told."""
_SWEEP_EVERY = 10
"""Poll intervals."""
DELETE_EVERY: float = 60.0
"""Seconds."""
PART_FOR_DUE: int = 16
"""Starts leave one slot in so many to what is due, and one at least where there are `_FEW`."""
_FEW: Final = 4
"""Slots: of fewer, none is left, for it would be too large a part of them."""


class Worker:
    """Claims and drives due sagas for as long as it runs."""

    def __init__(self, engine: SagaEngine) -> None:
        self._engine = engine
        self._claims = Claims(engine)
        self._look_from = LookFrom(engine.store.now)
        self._wake: asyncio.Event | None = None
        self._loop = self._upkeep()
        self._behind: list[int] = []
        """Shards that had more to claim than there were slots."""
        self._next_poll = 0.0
        """When (monotonic time) every shard is to be asked again, however much there is to do in some."""
        self.failures: int = 0
        """Passes in a row that failed; 0 when the last one went well."""
        self.last_error: str | None = None
        self._told_full = False
        self._next_sweep = 0.0
        self._sweeping = self._sweeper()
        self._handing_over = self._hander()
        self._handed_badly = False
        self._carrying = self._carrier()
        self._swept_badly = False
        self._next_deletion = 0.0
        self._deleting = self._deleter()
        self._told = False
        """Whether the log says that there is nothing to work on."""
        engine.on_slot_freed = self._slot_freed
        engine.on_due = self.wake_at

    def _upkeep(self) -> Upkeep:
        return Upkeep("looks for due sagas", self._run, self._engine.observers, self._cancelled)

    def _sweeper(self) -> Upkeep:
        # Where other code has cancelled one, the next one comes in its time.
        what = "hands over events that were left behind"
        return Upkeep(what, self._sweep_once, self._engine.observers, on_cancel=lambda: None)

    def _hander(self) -> Upkeep:
        what = "hands over events that were sent in callers' transactions"
        return Upkeep(what, self._hand_over_once, self._engine.observers, on_cancel=lambda: None)

    def _carrier(self) -> Upkeep:
        what = "carries out operations on many sagas"
        return Upkeep(what, self._carry_on, self._engine.observers, on_cancel=lambda: None)

    def _deleter(self) -> Upkeep:
        what = "deletes sagas whose retention is over"
        return Upkeep(what, self._delete_once, self._engine.observers, on_cancel=lambda: None)

    @property
    def running(self) -> bool:
        """Whether the loop is alive."""
        return self._loop.running

    def start(self) -> None:
        """Begin to look for due sagas, in the event loop that runs."""
        self._wake = asyncio.Event()
        self._behind = []
        self._told = False
        self._next_poll = self._next_sweep = self._next_deletion = 0.0
        self.failures, self.last_error = 0, None
        self._loop, self._sweeping, self._deleting = self._upkeep(), self._sweeper(), self._deleter()
        self._carrying, self._handing_over = self._carrier(), self._hander()
        self._loop.start()

    async def stop(self, patience: float = 0.5) -> None:
        """Claim nothing more; what was claimed goes on. Waits `patience` seconds at most for a claim that is on its way."""
        await self._loop.stop(patience)
        await self._sweeping.stop(patience)
        await self._handing_over.stop(patience)
        await self._deleting.stop(patience)
        await self._carrying.stop(patience)
        self._wake = None

    def _cancelled(self) -> None:
        """Other code has cancelled the loop's task: it may have meant this whole process, so health tells, and the log."""
        self.last_error = "its task was cancelled by code outside of this library"
        self._engine.observers.tell(WorkerCancelled())

    def wake(self) -> None:
        """Look now."""
        if self._wake is not None:
            self._wake.set()

    def look_at_all(self) -> None:
        """Look now, for all that is due, however long it has been."""
        self.wake_at(LONG_AGO)

    def wake_at(self, moment: Moment) -> None:
        """Look when this moment of database time has come, at which a saga becomes due or was due."""
        self._look_from.include(moment)
        wait = (moment - self._engine.store.now()) / 1_000_000
        if wait <= 0:
            self.wake()
        elif self.running and wait < self._engine.options.poll_interval.total_seconds():  # else it is seen in time
            call_later(wait + 0.001, self.wake)

    def _slot_freed(self) -> None:
        if self._claims.crowded:  # a slot of a name that has a limit may be among those
            self.wake()
        if self._behind and self._free() > self._engine.options.concurrency // 32:
            self.wake()

    def slots_for_starts(self, name: str) -> int:
        """How many sagas of that name that start now may go on in this process at once.

        Not past what is already due: a sixteenth of the slots, and one at least of four or more, never goes to starts, and none
        do while there is a backlog.
        """
        pauses = self._engine.pauses
        if not self.running or self._behind or pauses.is_stale or pauses.of(name) is not None:
            return 0
        concurrency = self._engine.options.concurrency
        free = max(0, self._free() - max(concurrency // PART_FOR_DUE, concurrency >= _FEW))
        limit = self._engine.registry.limits.get(name)
        return free if limit is None else max(0, min(free, limit - self._engine.running_of((name,))[name]))

    def _free(self) -> int:
        engine = self._engine
        if engine.stopping or engine.suspects.apart or engine.committer.stalled:
            return 0
        return engine.options.concurrency - engine.running

    async def _run(self) -> None:
        wait, backoff = _SHORTEST_WAIT, Backoff(0.2, 5.0)
        while True:
            try:
                await self._engine.definitions.judge_names()
                await self._engine.roster.beat()
                await self._engine.pauses.look_if_due()
                self._watch_slots()
                claimed = await self._look()
                if self._engine.observers.listens:
                    self._engine.observers.tell(ClaimRound(claimed))
                self._sweep()
                self._delete()
                self.failures, self.last_error = 0, None
                backoff.reset()
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - the loop never dies silently: it logs, backs off and goes on
                self.failures += 1
                self.last_error = error.fact if isinstance(error, StoreError) else shown(error)
                self._engine.observers.tell(ClaimRoundFailed(error, self.last_error))
                claimed = 0
                await backoff.pause()
            if claimed and self._behind and self._free() > 0:
                continue
            longest = self._engine.options.poll_interval.total_seconds()
            woken = await self._rest(min(wait, longest) * random.uniform(1.0, 1.2))
            wait = _SHORTEST_WAIT if woken or claimed else min(wait * 2, longest)

    @property
    def slots_held(self) -> float:
        """Seconds for which the same sagas have held all slots; 0 while there is a free one, or if it is not long."""
        engine = self._engine
        if not self.running or len(engine.held) - engine.suspects.waiting < engine.options.concurrency:
            return 0.0
        held = steady.now() - engine.last_taken
        return held if held > SLOTS_HELD else 0.0

    def _watch_slots(self) -> None:
        """Name the sagas that hold all slots for long, once for as long as they do."""
        held = self.slots_held
        if held and not self._told_full:
            sagas = tuple((each.saga.id, each.saga.registered.name) for each in self._engine.held.values())
            self._engine.observers.tell(SlotsHeld(self._engine.options.concurrency, held, sagas))
        self._told_full = held > 0

    async def _hand_over_once(self) -> None:
        try:
            await self._engine.handing_over.run()
        except StoreError as error:
            if not self._handed_badly:
                self._engine.observers.tell(SweepFailed(error))
            self._handed_badly = True
        else:
            self._handed_badly = False

    def _sweep(self) -> None:
        """Now and then: hand over events that were left on their way to a business key's saga, and forget expired ones.

        Beside the looks: a session that keeps the table of events locked keeps no saga waiting.
        """
        if steady.now() >= self._next_sweep:
            every = _SWEEP_EVERY * self._engine.options.poll_interval.total_seconds()
            self._next_sweep = steady.now() + every * random.uniform(0.5, 1.0)
            self._sweeping.start()
            self._carrying.start()

    def _delete(self) -> None:
        """Now and then: delete sagas whose retention is over, beside the looks and with a small share of the time."""
        if steady.now() >= self._next_deletion and self._engine.deleting.wanted:
            self._next_deletion = steady.now() + DELETE_EVERY * random.uniform(0.5, 1.0)
            self._deleting.start()

    async def _delete_once(self) -> None:
        try:
            await self._engine.deleting.run()
        except StoreError as error:
            self._engine.observers.tell(RetentionStopped(error))

    async def _carry_on(self) -> None:
        try:
            await carry_on(self._engine)
        except StoreError as error:
            self._engine.observers.tell(OperationHeldUp(error))

    async def _sweep_once(self) -> None:
        try:
            await self._engine.sweep.run()
        except StoreError as error:
            if not self._swept_badly:
                self._engine.observers.tell(SweepFailed(error))
            self._swept_badly = True
        else:
            self._swept_badly = False

    async def _look(self) -> int:
        """One pass: the idle poll, then claims in the shards that have something. Returns how many were claimed."""
        engine = self._engine
        if not engine.registry.pairs and not self._told:
            self._told = True
            engine.observers.tell(WorksOn((), this_process(), engine.owner))
        pairs = self._claims.with_room()
        if not pairs or self._free() <= 0:
            if pairs and self._polls_now():  # nothing is claimed, but whether the store answers is told
                await self._due_shards(pairs, engine.store.now())
            return 0
        every_shard = self._polls_now() or not self._behind
        known = engine.registry.pairs
        since = self._look_from.begin(pairs, known, every_shard=every_shard)
        began = steady.now()
        shards: dict[int, Moment | None] = {}
        if every_shard:
            shards.update(await self._due_shards(known if since is None else pairs, since))
        else:
            shards.update(dict.fromkeys(self._behind, since))
        took = steady.now() - began
        self._behind = []
        claimed = 0
        left: list[Moment] = []
        crowded: dict[tuple[str, int], Moment] = {}
        async for taken in self._claims.round(shards, self._free):
            claimed += taken.claimed
            since_when = shards[taken.shard] or LONG_AGO
            if taken.full or not taken.claimed:
                # Nothing of a shard that has something: another session had locked it, and may give it back as it was.
                left.append(since_when)
            elif taken.since is not None:
                left.append(taken.since)  # a claim may be short of what is due, where so many rows are locked
            crowded |= {each: min(since_when, crowded.get(each, since_when)) for each in taken.crowded}
            if taken.full:
                self._behind.append(taken.shard)
        self._look_from.end(took=took, left=min(left, default=None), crowded=crowded)
        if not claimed:
            engine.suspects.nothing_else()
        return claimed

    async def _due_shards(self, pairs: Sequence[tuple[str, int]], since: Moment | None) -> dict[int, Moment]:
        """The shards that have something to claim, and since when it is due.

        Events that were sent in callers' transactions are handed over beside.
        """
        shards = await self._engine.store.due_shards(pairs, since=since)
        if shards.pop(OF_SENT, None) is not None:
            self._handing_over.start()
        return shards

    def _polls_now(self) -> bool:
        """Whether it is time to ask every shard again."""
        now = steady.now()
        if now < self._next_poll:
            return False
        self._next_poll = now + self._engine.options.poll_interval.total_seconds()
        return True

    async def _rest(self, seconds: float) -> bool:
        """Wait, or be woken sooner: whether it was so."""
        wake = self._wake
        assert wake is not None, "it was started"
        try:
            async with asyncio.timeout(seconds):
                await wake.wait()
        except TimeoutError:
            return False
        wake.clear()
        return True
