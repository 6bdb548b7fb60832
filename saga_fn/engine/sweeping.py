"""The sweep: events for business keys that were left on their way are handed over, and expired ones forgotten.

A sender, or a start, that dies between two statements leaves an event behind. Each worker looks for those now and then.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, final

import attrs

from saga_fn.engine.log import PROCESS
from saga_fn.store.faults import RowRefusedError
from saga_fn.store.ids import shard_of_key
from saga_fn.store.records import EXPIRED_AT_ONCE, FIRST_KEY, STRANDED_AT_ONCE

if TYPE_CHECKING:
    from saga_fn.engine.engine import SagaEngine

_LONGEST: Final = 0.5
"""Seconds after which a sweep begins no further portion of a shard: the worker claims nothing meanwhile."""


@final
@attrs.define
class Swept:
    """How far the sweeps of one process have come."""

    after: dict[int, tuple[str, str]] = attrs.field(factory=dict)
    """By shard, the key behind which the next sweep goes on; a shard that is missing begins anew."""
    refused: dict[tuple[str, str], str] = attrs.field(factory=dict)
    """The keys whose events the store refuses to hand over, and why, as the log has it."""
    seen: set[tuple[str, str]] = attrs.field(factory=set)
    """Those of them that were met since the sweep began anew."""


async def sweep(engine: SagaEngine) -> None:
    """Hand over events that a sender or a start has left behind, and forget those that have expired."""
    give_up = time.monotonic() + _LONGEST
    for shard in range(engine.store.shards) if engine.registry.awaits_events else ():
        await _sweep_shard(engine, shard, give_up)
    await forget_expired(engine)


async def _sweep_shard(engine: SagaEngine, shard: int, give_up: float) -> None:
    """Go through the keys of a shard in order, from where the last sweep stopped, so that no key is in the way of others."""
    swept = engine.swept
    after = swept.after.pop(shard, FIRST_KEY)
    while True:
        page = await engine.store.kept_events.stranded(shard, after=after)
        for key in page:
            await _hand_over(engine, key)
        if len(page) < STRANDED_AT_ONCE:
            break
        after = page[-1]
        if time.monotonic() > give_up:
            swept.after[shard] = after
            return
    of_shard = {key for key in swept.refused if shard_of_key(key[1], engine.store.shards) == shard}
    for key in of_shard - swept.seen:
        del swept.refused[key]
    swept.seen -= of_shard


async def _hand_over(engine: SagaEngine, key: tuple[str, str]) -> None:
    """Give the saga that is active under the key what was kept for it; what the store refuses costs this key, and no other."""
    swept = engine.swept
    try:
        saga_id = await engine.store.kept_events.hand_over(shard_of_key(key[1], engine.store.shards), key)
    except RowRefusedError as error:
        swept.seen.add(key)
        if swept.refused.get(key) != error.fact:  # it is told once for as long as it is so
            swept.refused[key] = error.fact
            PROCESS.warning("events for a saga %r cannot be handed over: %s", key[0], error.fact)
        return
    if saga_id is not None:
        engine.announce(saga_id)


async def forget_expired(engine: SagaEngine) -> None:
    """Forget the events for business keys that have expired, as many as there are."""
    for shard in range(engine.store.shards):
        while await engine.store.kept_events.drop_expired(shard) == EXPIRED_AT_ONCE:
            pass
