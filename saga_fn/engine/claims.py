"""Claims: how due sagas are taken, and what a caller claims beside the worker's loop, one saga or all that is due now."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Final, final
from uuid import UUID

import msgspec

from saga_fn import steady
from saga_fn.core.ids import Moment
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.hold.at_once import AtOnce
from saga_fn.engine.hold.room import rooms as rooms_of
from saga_fn.engine.observe.of_claims import ClaimRound
from saga_fn.engine.observe.of_troubles import SagaNotClaimable
from saga_fn.errors import StoreError, StoreUnavailableError
from saga_fn.store.errors import is_an_answer
from saga_fn.store.records import OF_SENT, ClaimedSaga

_MOST_CLAIMS: Final = 500
_SOME: Final = 20
"""So many are tried before all are taken to be refused."""
_PASSED_OVER: Final = 60.0
"""Seconds for which a saga is passed over that could not be claimed; twice as long each time."""
_LONGEST_PASSED_OVER: Final = 3600.0
_MOST_PASSED_OVER: Final = 200


class ClaimedInShard(msgspec.Struct, frozen=True):
    """The sagas that were claimed in one shard, at one go."""

    shard: int
    claimed: int
    driven: Sequence[asyncio.Future[None]]
    """Each is done when its saga is given up again."""
    full: bool
    """As much was claimed as was asked for: there may be more."""
    since: Moment | None
    """Since when the first of them was due; None if there is none."""
    crowded: Collection[tuple[str, int]]
    """The definitions that there may be more of, for their names have a limit."""


@final
class Claims:
    """The claims of what is due. A row that the store does not let be claimed keeps no other from it."""

    def __init__(self, engine: SagaEngine) -> None:
        self._engine = engine
        self._at_once = AtOnce(_MOST_CLAIMS)
        self._turn = 0
        self.crowded: bool = False
        """Whether sagas run whose name has a limit: when one ends, others of its name may begin."""
        self._refused: dict[UUID, tuple[float, float]] = {}
        """The sagas that could not be claimed: until when (monotonic time) they are passed over, and for how long."""

    def with_room(self) -> list[tuple[str, int]]:
        """The definitions whose names have room. Where it is too little for all versions of one, these have it in turns."""
        registry, running = self._engine.registry, self._running()
        if not registry.limits:
            return registry.pairs
        return [pair for pair in registry.pairs if running[pair[0]] < registry.limits.get(pair[0], math.inf)]

    def _room(self, turn: int) -> tuple[list[tuple[str, int]], dict[tuple[str, int], int]]:
        """The definitions with room in that turn, and how much there is of each whose name has a limit."""
        registry, running = self._engine.registry, self._running()
        return rooms_of(registry.pairs, registry.limits, running, turn) if registry.limits else (registry.pairs, {})

    def _running(self) -> Counter[str]:
        limits = self._engine.registry.limits
        running = self._engine.running_of(limits) if limits else Counter[str]()
        self.crowded = any(running[name] for name in limits)
        return running

    async def round(
        self, shards: Mapping[int, Moment | None], free: Callable[[], int]
    ) -> AsyncIterator[ClaimedInShard]:
        """Claim in each of these shards, and drive what was claimed: only what is due since the moment that it has.

        No more at a time than `free` says by then. They are gone through in another order each time, for the first ones may
        take all the slots. In each it ends with the first claim that took something, or when each version has had its turn.
        """
        self._turn += 1
        for shard, since in random.sample([*shards.items()], len(shards)):
            turn = self._turn
            asked = self._most(free())
            pairs, rooms = self._room(turn)
            claims: Sequence[ClaimedSaga] = []
            driven: Sequence[asyncio.Future[None]] = []
            had_turns: set[tuple[str, int]] = set()
            while asked > 0 and not claims and not had_turns.issuperset(pairs):
                sent = steady.now()
                claims = await self._take(shard, pairs, rooms, asked, since)
                driven = await self._drive(claims, sent)
                if not claims:  # what was found may be of a version whose turn is the next
                    had_turns.update(pairs)
                    turn += 1
                    asked = self._most(free())
                    pairs, rooms = self._room(turn)
            full = len(claims) == max(asked, 0)
            first = min((each.was_due for each in claims if each.was_due is not None), default=None)
            yield ClaimedInShard(shard, len(claims), driven, full, first, self._crowded_out(pairs, rooms, claims))

    def _crowded_out(
        self,
        pairs: Sequence[tuple[str, int]],
        rooms: Mapping[tuple[str, int], int],
        claims: Sequence[ClaimedSaga],
    ) -> Collection[tuple[str, int]]:
        known = self._engine.registry.pairs
        unasked = set(known).difference(pairs) if len(pairs) < len(known) else set[tuple[str, int]]()
        taken = Counter((claim.name, claim.version) for claim in claims if rooms)
        return unasked.union(pair for pair, room in rooms.items() if taken[pair] == room)

    async def _take(
        self,
        shard: int,
        pairs: Sequence[tuple[str, int]],
        rooms: Mapping[tuple[str, int], int],
        limit: int,
        since: Moment | None,
    ) -> Sequence[ClaimedSaga]:
        """Claim at most `limit` due sagas of these definitions."""
        engine = self._engine
        passed_over = [*engine.roster.passed_over(), *self._passed_over()]
        try:
            return await engine.store.claim_due(
                shard,
                pairs,
                owner=engine.owner,
                limit=limit,
                lease=engine.options.lease,
                rooms=rooms,
                passed_over=passed_over,
                since=since,
            )
        except StoreError as error:
            if not is_an_answer(error):
                raise
            return await self._one_by_one(shard, pairs, rooms, limit, passed_over, error)

    def _most(self, limit: int) -> int:
        """How many are claimed at once where there is room for `limit`."""
        return min(limit, self._at_once.now)

    async def _drive(self, claims: Sequence[ClaimedSaga], sent: float) -> list[asyncio.Future[None]]:
        """Go on with what was claimed; where the store was too slow to give what they need, fewer are claimed from then on."""
        try:
            driven = await self._engine.taking_up.drive(claims, sent)
        except StoreUnavailableError:
            self._at_once.were_too_many(len(claims))
            raise
        if claims:
            self._at_once.came_in_time()
        return driven

    def _passed_over(self) -> list[UUID]:
        if not self._refused:
            return []
        now = steady.now()
        return [saga for saga, (until, _) in self._refused.items() if until > now]

    async def _one_by_one(
        self,
        shard: int,
        pairs: Sequence[tuple[str, int]],
        rooms: Mapping[tuple[str, int], int],
        limit: int,
        passed_over: Sequence[UUID],
        error: StoreError,
    ) -> Sequence[ClaimedSaga]:
        """The store has refused to let so many be claimed: it may be for one saga's sake. Raises if it refuses all."""
        engine = self._engine
        most = min([limit, *rooms.values()])  # whose each of them is shows when it is claimed
        claims: list[ClaimedSaga] = []
        refused: dict[UUID, StoreError] = {}
        found = await engine.store.due_ids(shard, pairs, limit=max(limit, _SOME), passed_over=passed_over)
        for saga_id in found:
            try:
                claim = await engine.store.claim(
                    saga_id, owner=engine.owner, lease=engine.options.lease, skip_locked=True
                )
            except StoreError as refusal:
                if not is_an_answer(refusal):
                    break  # what was claimed is to be driven
                refused[saga_id] = refusal
                if len(refused) >= _SOME and not claims:
                    break
            else:
                claims += [claim] if claim is not None else []
            if len(claims) == most:
                break
        if not claims and refused.keys() - self._refused.keys():
            raise error
        for saga_id, why in refused.items():
            self._pass_over(saga_id, why)
        return claims

    def _pass_over(self, saga_id: UUID, error: StoreError) -> None:
        _, seconds = self._refused.pop(saga_id, (0.0, _PASSED_OVER / 2))
        seconds = min(seconds * 2, _LONGEST_PASSED_OVER)
        self._refused[saga_id] = steady.now() + seconds, seconds
        if len(self._refused) > _MOST_PASSED_OVER:
            del self._refused[next(iter(self._refused))]
        self._engine.observers.tell(SagaNotClaimable(saga_id, seconds, error))


async def drive_due(engine: SagaEngine, limit: int) -> int:
    """Claim and drive what is due now, at most `limit` sagas, never more at a time than there are slots and a name's limit.

    Returns how many were claimed, when each of them was given up again.
    """
    slots = engine.options.concurrency or 16
    await engine.roster.beat()
    if engine.registry.awaits_events:
        await engine.sweep.run()
    pairs = engine.registry.pairs
    claims = Claims(engine)
    claimed = in_vain = 0
    mine: set[asyncio.Future[None]] = set()

    def free() -> int:
        return min(slots - len(mine), limit - claimed)

    due = await engine.store.due_shards(pairs) if pairs else {}
    if OF_SENT in due:
        await engine.handing_over.run()
        due = await engine.store.due_shards(pairs)
    shards: dict[int, Moment | None] = {shard: since for shard, since in due.items() if shard != OF_SENT}
    while shards and claimed < limit and in_vain <= len(pairs):  # by then each version has had its turn
        before = claimed
        behind: list[ClaimedInShard] = []
        async for taken in claims.round(shards, free):
            claimed += taken.claimed
            mine.update(taken.driven)
            if taken.full or taken.crowded:
                behind.append(taken)
        shards = {taken.shard: shards[taken.shard] for taken in behind}
        in_vain = in_vain + 1 if claimed == before else 0
        if mine and behind and (len(mine) >= slots or not any(taken.full for taken in behind)):
            _, mine = await asyncio.wait(mine, return_when=asyncio.FIRST_COMPLETED)
    if engine.observers.listens:
        engine.observers.tell(ClaimRound(claimed))
    while mine:
        _, mine = await asyncio.wait(mine)
    await engine.relay.work_off()
    return claimed


async def drive_one(engine: SagaEngine, saga_id: UUID) -> bool:
    """Claim and drive one saga until it is given up; False if it could not be claimed."""
    await engine.roster.beat()
    await engine.pauses.look()
    sent = steady.now()
    claim = await engine.store.claim(saga_id, owner=engine.owner, lease=engine.options.lease, skip_locked=True)
    if claim is None:
        return False
    tasks = await engine.taking_up.drive([claim], sent)
    if tasks:
        await asyncio.wait(tasks)
    return bool(tasks) or engine.pauses.of(claim.name) is None
