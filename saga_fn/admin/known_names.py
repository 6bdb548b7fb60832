"""Whether a saga's name is known: an unknown one is nearly always misspelt."""

from __future__ import annotations

from typing import Final

from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.hold.roster import seen_within
from saga_fn.listing import SagaFilter, listing_of

MOST_SHOWN: Final = 2000
"""No more processes than this are told of."""


async def is_known(engine: SagaEngine, name: str) -> bool:
    """Whether this process has registered the name, a saga of it is stored, or another process works on it."""
    if engine.registry.versions(name):
        return True
    asked = listing_of(SagaFilter(saga_name=name), oldest_first=False, after=None, most=1)
    if await engine.store.lists.page(asked):
        return True
    others = await engine.store.processes.seen(seen_within=seen_within(), most=MOST_SHOWN)
    return any(name == each for process in others for each, _ in process.definitions)
