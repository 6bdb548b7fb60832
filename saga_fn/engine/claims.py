"""Claims that a caller asks for, beside the worker's loop: of one saga, or of all that is due now."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from uuid import UUID

from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.room import rooms as rooms_of


def with_room(engine: SagaEngine, turn: int) -> tuple[list[tuple[str, int]], dict[tuple[str, int], int], bool]:
    """The definitions there is room for, how much there is of each whose name has a limit, and whether any such runs."""
    registry = engine.registry
    if not registry.limits:
        return registry.pairs, {}, False
    running = engine.running_of(registry.limits)
    pairs, rooms = rooms_of(registry.pairs, registry.limits, running, turn)
    return pairs, rooms, any(running[name] for name in registry.limits)


async def drive_due(engine: SagaEngine, limit: int) -> int:
    """Claim and drive what is due now, at most `limit` sagas, never more at a time than there are slots and a name's limit.

    Returns how many were claimed, when each of them was given up again.
    """
    slots = engine.options.concurrency or 16
    await engine.roster.beat()
    if engine.registry.awaits_events:
        await engine.sweep.run()
    pairs = engine.registry.pairs
    claimed = turn = in_vain = 0
    mine: set[asyncio.Future[None]] = set()
    shards = list(await engine.store.due_shards(pairs) if pairs else [])
    while shards and claimed < limit and in_vain <= len(pairs):  # by then each version has had its turn
        random.shuffle(shards)
        before = claimed
        behind: list[int] = []
        for shard in shards:
            while claimed < limit:
                free = min(slots - len(mine), limit - claimed)
                if free <= 0:
                    _, mine = await asyncio.wait(mine, return_when=asyncio.FIRST_COMPLETED)
                    continue
                turn += 1
                open_to, rooms, _ = with_room(engine, turn)
                sent = time.monotonic()
                claims = await engine.store.claim_due(
                    shard, open_to, owner=engine.owner, limit=free, lease=engine.options.lease, rooms=rooms
                )
                claimed += len(claims)
                mine |= set(await engine.drive_claimed(claims, sent))
                if len(claims) < free:
                    taken = Counter((claim.name, claim.version) for claim in claims)
                    if len(open_to) < len(pairs) or any(taken[pair] == room for pair, room in rooms.items()):
                        behind.append(shard)  # there may be more of a name that has a limit
                    break
        shards = behind
        in_vain = in_vain + 1 if claimed == before else 0
        if shards and mine:
            _, mine = await asyncio.wait(mine, return_when=asyncio.FIRST_COMPLETED)
    while mine:
        _, mine = await asyncio.wait(mine)
    return claimed


async def drive_one(engine: SagaEngine, saga_id: UUID) -> bool:
    """Claim and drive one saga until it is given up; False if it could not be claimed."""
    await engine.roster.beat()
    sent = time.monotonic()
    claim = await engine.store.claim(saga_id, owner=engine.owner, lease=engine.options.lease, past_locks=True)
    if claim is None:
        return False
    tasks = await engine.drive_claimed([claim], sent)
    if tasks:
        await asyncio.wait(tasks)
    return True
