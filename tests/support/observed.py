"""Facts that an orchestrator tells, for tests that wait for a moment of its work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from saga_fn import SagaOrchestrator
from saga_fn.engine.observe.observers import Fact
from tests.support.until import SOON

F = TypeVar("F", bound=Fact)


class Observed:
    """What has happened in one orchestrator since it was watched, in order."""

    def __init__(self, orchestrator: SagaOrchestrator) -> None:
        self.facts: list[Fact] = []
        self._more = asyncio.Event()
        orchestrator.engine.observers.add(self._take)

    def _take(self, fact: Fact) -> None:
        self.facts.append(fact)
        self._more.set()

    def all(self, kind: type[F]) -> list[F]:
        """The facts of one kind."""
        return [fact for fact in self.facts if isinstance(fact, kind)]

    async def until(self, kind: type[F], where: Callable[[F], bool] = lambda _: True, *, times: int = 1) -> F:
        """Wait until that has happened so often, since it was watched; gives the last of them."""
        async with asyncio.timeout(SOON):
            while True:
                found = [fact for fact in self.all(kind) if where(fact)]
                if len(found) >= times:
                    return found[-1]
                self._more.clear()
                await self._more.wait()
