"""Renewal of the leases a process holds: one statement for all of them, for as long as there are any.

A lease is compared only with the database's clock. This process keeps a local deadline beside it, measured from before
the request was sent: past that it starts nothing, cuts short what runs, and leaves the saga to the next owner.

A row that another session has locked cannot be renewed, and cannot be claimed either. As long as frequent looks find it ours,
what runs of it may go on past the deadline; nothing is started before the lease is renewed.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from saga_fn import steady
from saga_fn.engine.drive.interpreter import Interpreter
from saga_fn.engine.observe.observers import Observers
from saga_fn.engine.observe.of_claims import LeasesRanOut, RenewalFailed
from saga_fn.engine.observe.of_process import LoopBlocked
from saga_fn.engine.observe.of_troubles import LeaseNotRenewed
from saga_fn.engine.upkeep import Upkeep
from saga_fn.errors import StoreError
from saga_fn.store.errors import is_an_answer
from saga_fn.store.ids import shard_of
from saga_fn.store.protocol import Store

_MOST_ROWS = 500
_LOOK_EVERY = 0.25
"""Seconds between two looks at a row whose lease would have run out if another session did not keep it locked."""
_TRUST = 4 * _LOOK_EVERY
"""Seconds for which such a look is believed."""


class LeaseKeeper:
    """Keeps the leases of the interpreters in `held`, which others fill and empty."""

    def __init__(
        self,
        store: Store,
        held: Mapping[UUID, Interpreter],
        observers: Observers,
        *,
        owner: UUID,
        lease: timedelta,
        look: Callable[[], Awaitable[None]],
    ) -> None:
        """`look` is called with each round of renewals."""
        self._store = store
        self._observers = observers
        self._held = held
        self._owner = owner
        self._lease = lease
        self._look = look
        # Two tasks, each looked after by itself: a renewal that hangs must not keep a lost saga running.
        self._renewing = Upkeep("renews leases", self._renew_for_as_long_as_needed, observers)
        self._watching = Upkeep("watches the deadlines of leases", self._watch_deadlines, observers)
        self._found_locked: dict[UUID, float] = {}
        """When (monotonic time) a saga was last asked for that is ours and could not be renewed."""

    def ensure_running(self) -> None:
        """Begin to renew and to watch, unless both go on already. Each stops by itself when it finds nothing held."""
        self._renewing.start()
        self._watching.start()

    async def stop(self, patience: float = 0.5) -> None:
        """Renew nothing more; waits `patience` seconds at most."""
        await self._watching.stop(patience)
        await self._renewing.stop(patience)

    async def _watch_deadlines(self) -> None:
        """Apart from renewal, so that a renewal that hangs cannot keep a lost saga running."""
        pause = self._lease.total_seconds() / 10
        while self._held:
            asleep = steady.now()
            await asyncio.sleep(pause)
            now = steady.now()
            if now - asleep - pause > self._lease.total_seconds() / 3:
                blocked = now - asleep - pause
                self._observers.tell(LoopBlocked(blocked))
            over = [each for each in self._held.values() if now >= each.saga.deadline and not each.lost]
            over = [each for each in over if now >= self._found_locked.get(each.saga.id, 0.0) + _TRUST]
            if over:
                self._observers.tell(LeasesRanOut(tuple(each.saga.id for each in over)))
            for interpreter in over:
                interpreter.lose()
            for interpreter in list(self._held.values()):
                interpreter.look_after_tasks()

    async def _renew_for_as_long_as_needed(self) -> None:
        while self._held:
            pause = self._lease.total_seconds() / 8
            await asyncio.sleep(min(pause, _LOOK_EVERY) if self._found_locked else pause)
            try:
                await self._renew_half_spent()
                await self._look()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next round may do better
                self._observers.tell(RenewalFailed(error))

    async def _renew_half_spent(self) -> None:
        """Renew what has less than half of its lease left, the most urgent first; there are three more rounds for each."""
        self._found_locked = {saga: at for saga, at in self._found_locked.items() if saga in self._held}
        half = steady.now() + self._lease.total_seconds() / 2
        spent = [each for each in self._held.values() if each.saga.deadline < half and not each.lost]
        spent.sort(key=lambda each: each.saga.deadline)
        by_shard: dict[int, list[Interpreter]] = defaultdict(list)
        for interpreter in spent:
            by_shard[shard_of(interpreter.saga.id, self._store.shards)].append(interpreter)
        for shard, group in by_shard.items():
            for start in range(0, len(group), _MOST_ROWS):
                await self._renew(shard, group[start : start + _MOST_ROWS])

    async def renew(self, interpreter: Interpreter) -> bool:
        """Renew one lease now: whether it runs. If the saga turns out to be another's, its interpreter is told."""
        try:
            await self._renew(shard_of(interpreter.saga.id, self._store.shards), [interpreter])
        except StoreError as error:
            self._observers.tell(LeaseNotRenewed(interpreter.saga.id, error))
        return steady.now() < interpreter.saga.deadline

    async def _renew(self, shard: int, group: Sequence[Interpreter]) -> None:
        sent = steady.now()
        tokens = {each.saga.id: each.saga.token for each in group if not each.over}
        try:
            renewed = await self._store.renew(shard, tokens, owner=self._owner, lease=self._lease)
        except StoreError as error:
            if len(group) == 1 or not is_an_answer(error):
                raise
            await self._renew_in_parts(shard, group, error)
            return
        missing: list[Interpreter] = []
        for interpreter in group:
            saga = interpreter.saga
            inbox_sent = renewed.inbox_sent.get(saga.id)
            if inbox_sent is None:
                missing.append(interpreter)
                continue
            saga.deadline = sent + self._lease.total_seconds()
            self._found_locked.pop(saga.id, None)
            if inbox_sent > saga.inbox_sent:
                interpreter.recheck_inbox(inbox_sent)
        if missing:
            await self._read_back(shard, [each for each in missing if not each.over], sent)

    async def _renew_in_parts(self, shard: int, group: Sequence[Interpreter], error: StoreError) -> None:
        """The store has refused a renewal: it may be for one saga's sake, which is to cost the others nothing.

        Two are tried, each alone. Raises the error if the store refuses both, for then it is taken to refuse all.
        """
        if not any([await self._renewed(shard, [one]) for one in random.sample(group, 2)]):
            raise error
        half = len(group) // 2
        if not all([await self._renewed(shard, part) for part in (group[:half], group[half:])]):
            raise error

    async def _renewed(self, shard: int, part: Sequence[Interpreter]) -> bool:
        try:
            await self._renew(shard, part)
        except StoreError as error:
            if not is_an_answer(error):
                raise
            return False
        return True

    async def _read_back(self, shard: int, missing: Sequence[Interpreter], sent: float) -> None:
        """A row that renewal did not return is lost only if it says so: a commit, or a stranger, may have it locked."""
        live = await self._store.active_tokens(shard, [each.saga.id for each in missing])
        for interpreter in missing:
            saga = interpreter.saga
            if interpreter.over:
                continue
            found = live.get(saga.id)
            if found is not None and found.token == saga.token:
                self._found_locked[saga.id] = sent
            else:
                interpreter.lose()
