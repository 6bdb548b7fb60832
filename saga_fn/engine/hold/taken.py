"""Sagas that were taken from this process: what ran of them here when that happened, and whether it has ended.

An abort says until when what it cut short may run on: to the end of the owner's lease, for the owner may not have heard of it.
The process that was the owner knows better. It remembers that for as long as it matters: until the lease would be over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Set as AbstractSet
from typing import Final, final
from uuid import UUID

import msgspec

from saga_fn import steady
from saga_fn.core.ids import StepId
from saga_fn.core.owning import executing
from saga_fn.core.state import SagaState

_A_MOMENT: Final = 1.0
"""Seconds that a process which goes on with a saga waits for what was just cut short, at most: most of it ends in a few turns."""


class _Cut(msgspec.Struct, frozen=True):
    rev: int
    """The saga's revision as this process has known it last."""
    steps: tuple[StepId, ...]
    """The executions that ran of it by then."""
    stopping: AbstractSet[asyncio.Task[None]]
    """The executions that have not ended yet; each leaves when it has."""
    forget: float
    """Monotonic time."""


@final
class TakenAway:
    """The sagas that were taken from this process in the last seconds, `patience` of them."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._cut: dict[UUID, _Cut] = {}

    def add(self, saga_id: UUID, state: SagaState, stopping: AbstractSet[asyncio.Task[None]]) -> None:
        """The saga is another's from now on."""
        now = steady.now()
        for old in [each for each, cut in self._cut.items() if cut.forget < now]:
            del self._cut[old]
        steps = executing(state)
        self._cut.pop(saga_id, None)
        if steps:
            self._cut[saga_id] = _Cut(state.rev, steps, stopping, now + self._patience)

    async def stopped(self, saga_id: UUID, rev: int) -> tuple[StepId, ...]:
        """The steps that ran here of the saga until it was taken by what made it `rev`, if all are known to have ended.

        It waits a moment for what is still being cut short.
        """
        cut = self._cut.get(saga_id)
        if cut is None or rev != cut.rev + 1:
            return ()
        if cut.stopping:
            await asyncio.wait({*cut.stopping}, timeout=_A_MOMENT)
        return () if cut.stopping else cut.steps
