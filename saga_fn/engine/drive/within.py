"""A result that stands in an open transaction: decided on as every other, and written there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias, final

from saga_fn.engine.commit.outcome import Outcome, RolledBack
from saga_fn.store.records import SagaWrite

Settle: TypeAlias = Callable[[Outcome], None]


@final
class Within:
    """The way of a write into the transaction in which a result was made. The task that made it waits at the other end."""

    __slots__ = ("_told",)

    def __init__(self) -> None:
        self.wait()

    @property
    def is_open(self) -> bool:
        """Whether something can be written there. If not, its task was cut short: nothing of the result has happened."""
        return not self._told.done()

    def hand_in(self, write: SagaWrite, settle: Settle) -> None:
        """Let this be written as the last of the transaction, and committed. `settle` is called when its fate is certain."""
        self._told.set_result((write, settle))

    def refuse(self) -> None:
        """Nothing can become of the result: let the transaction be rolled back."""
        if self.is_open:
            self._told.set_result(None)

    def wait(self) -> None:
        """From now on something can be written there: nothing was yet."""
        self._told: asyncio.Future[tuple[SagaWrite, Settle] | None] = asyncio.get_running_loop().create_future()

    async def told(self) -> tuple[SagaWrite, Settle] | None:
        """The write, and who is to be told of its fate; None if nothing is to be written."""
        try:
            return await self._told
        except asyncio.CancelledError:
            if not self._told.cancelled() and (order := self._told.result()) is not None:
                order[1](RolledBack())  # it was told in the same turn of the loop
            raise
