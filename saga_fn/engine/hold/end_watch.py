"""Waiting for sagas to end: told at once by this process, found by one shared look at the store otherwise."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Callable, Container
from typing import Protocol, TypeAlias
from uuid import UUID

from saga_fn.backoff import Backoff
from saga_fn.engine.drive.owned_saga import OwnedSaga
from saga_fn.engine.observe.observers import Observers
from saga_fn.engine.upkeep import Upkeep
from saga_fn.errors import StoreError
from saga_fn.store.ids import shard_of
from saga_fn.store.protocol import Store
from saga_fn.timeouts import TimeLimits

_SHORTEST_PAUSE = 0.02
_LONGEST_PAUSE = 1.0

_Told: TypeAlias = asyncio.Future[OwnedSaga | None]


class WaitLimits(Protocol):
    """The time that waits have, and the clock that it goes by: the process's own, or that of a test."""

    def now(self) -> float:
        """Tell the seconds of that clock."""
        ...

    def watch(self, what: _Told, seconds: float, /) -> None:
        """Tell the wait None in so many seconds, unless `end` comes first."""
        ...

    def end(self, what: _Told, seconds: float, /) -> bool:
        """Watch it no more: whether its time was over before."""
        ...


class Ends:
    """Everybody in this process who waits for a saga to end. `held` are the sagas this process is running."""

    def __init__(
        self,
        store: Store,
        held: Container[UUID],
        observers: Observers,
        on_wait: Callable[[UUID], None] | None = None,
        limits: WaitLimits | None = None,
    ) -> None:
        """`on_wait` is told when a caller begins to wait: in a test nothing would go on else.

        `limits` None: waits go by this process's clock.
        """
        self._store = store
        self._held = held
        self._waiting: dict[UUID, dict[_Told, bool]] = {}
        self._looking = Upkeep("looks for the ends of sagas", self._look_while_anybody_waits, observers)
        self._backoff = Backoff(_SHORTEST_PAUSE, _LONGEST_PAUSE, factor=1.5)
        self._parked: set[UUID] = set()
        self._limits: WaitLimits = TimeLimits(_give_up, _leave) if limits is None else limits
        self._on_wait = on_wait

    def announce(self, saga: OwnedSaga) -> None:
        """The saga has ended here."""
        self._tell(saga.id, saga)

    def left(self, saga_id: UUID) -> None:
        """This process does not work on the saga any more, and no time is set for it: it may be parked."""
        self._tell_of_park(saga_id)

    def is_parked(self, saga_id: UUID) -> bool:
        """Whether the last look found the saga parked, for which a caller waits, or has just ceased to."""
        return saga_id in self._parked

    def now(self) -> float:
        """Tell the seconds of the clock that waits go by."""
        return self._limits.now()

    @property
    def awaited(self) -> tuple[UUID, ...]:
        """The sagas that callers wait for at this moment."""
        return tuple(self._waiting)

    def heard(self, saga_id: UUID, error: BaseException | None = None) -> None:
        """Have the callers that wait for the saga read it now; or, where it will never end, hear that by this error."""
        for told in list(self._waiting.get(saga_id, ())):
            if not told.done():
                told.set_result(None) if error is None else told.set_exception(error)

    async def wait(self, saga_id: UUID, seconds: float = math.inf, *, parked: bool = False) -> OwnedSaga | None:
        """Return when the saga has ended: with what this process knows, or None if the store is to be read.

        It may return None early, and does when the saga is parked, unless `parked` says to wait through that. Raises
        TimeoutError after so many seconds.
        """
        told = self.expect(saga_id, seconds, parked=parked)
        is_over = False
        try:
            found = await told
        finally:
            is_over = self.forget(saga_id, told, seconds)
        if is_over and found is None:
            raise TimeoutError
        return found

    def expect(self, saga_id: UUID, seconds: float, *, parked: bool) -> _Told:
        """The end of the saga, as `wait` gives it, to be awaited and then forgotten; None after so many seconds as well.

        For those who wait in their thousands: a coroutine less for each.
        """
        told: _Told = asyncio.get_running_loop().create_future()
        if not self._waiting:  # else it goes on, or begins again by itself
            self._looking.start()
        self._waiting.setdefault(saga_id, {})[told] = parked
        self._backoff.reset()
        if self._on_wait is not None:
            self._on_wait(saga_id)
        if seconds < math.inf:
            self._limits.watch(told, seconds)
        return told

    def forget(self, saga_id: UUID, told: _Told, seconds: float) -> bool:
        """Tell this one no more: whether its time was over."""
        waiters = self._waiting.get(saga_id)
        if waiters is not None:
            waiters.pop(told, None)
            if not waiters:
                del self._waiting[saga_id]
        return seconds < math.inf and self._limits.end(told, seconds)

    async def stop(self, patience: float = 0.5) -> None:
        """Look no more; waits `patience` seconds at most."""
        await self._looking.stop(patience)

    def _tell_of_park(self, saga_id: UUID) -> None:
        for told, through in self._waiting.get(saga_id, {}).items():
            if not through and not told.done():
                told.set_result(None)

    def _tell(self, saga_id: UUID, saga: OwnedSaga | None) -> None:
        for told in self._waiting.pop(saga_id, ()):
            if not told.done():
                told.set_result(saga)

    async def _look_while_anybody_waits(self) -> None:
        while self._waiting:
            await self._backoff.pause()
            by_shard: dict[int, list[UUID]] = defaultdict(list)
            for saga_id in self._waiting:
                if saga_id not in self._held:
                    by_shard[shard_of(saga_id, self._store.shards)].append(saga_id)
            for shard, ids in by_shard.items():
                await self._look(shard, sorted(ids))
        self._parked.clear()

    async def _look(self, shard: int, ids: list[UUID]) -> None:
        try:
            live = await self._store.active_tokens(shard, ids)
        except StoreError:
            live = {}  # each caller reads for itself, and hears what is wrong
        for saga_id in ids:
            found = live.get(saga_id)
            if found is None:
                self._tell(saga_id, None)
            elif found.parked:
                self._parked.add(saga_id)
                self._tell_of_park(saga_id)
            else:
                self._parked.discard(saga_id)


def _leave(_: _Told) -> None:
    """A wait whose time is over has nothing that is to be taken back."""


def _give_up(told: _Told) -> None:
    if not told.done():
        told.set_result(None)
