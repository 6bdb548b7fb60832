"""Work of the engine's own that goes on for as long as it is wanted, also if its task is ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, final

from saga_fn.engine.observe.observers import Observers
from saga_fn.engine.observe.of_upkeep import UpkeepBegunAgain, UpkeepFailed
from saga_fn.tasks import Work, call_later, cut_short, spawn

_AGAIN_AFTER: Final = 0.1
"""Seconds until a loop that other code has ended begins again: a loop of events that is closing is closed by then."""


@final
class Upkeep:
    """Work of the engine's that goes on in a task until it has nothing more to do, or is told to stop.

    The work may fail, and other code may cancel its task (a tear-down that cancels all tasks there are): then it is begun again,
    and the log says so under the name `what`. With `on_cancel`, work whose task is cancelled by other code is left, and
    `on_cancel` is called.
    """

    def __init__(
        self,
        what: str,
        work: Callable[[], Work[None]],
        observers: Observers,
        on_cancel: Callable[[], None] | None = None,
    ) -> None:
        self._what = what
        self._work = work
        self._observers = observers
        self._on_cancel = on_cancel
        self._task: asyncio.Task[None] | None = None
        self._again: asyncio.TimerHandle | None = None

    @property
    def running(self) -> bool:
        """Whether it goes on at this moment."""
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        """Begin, unless it goes on already."""
        if self._task is None or self._task.done():
            self._drop_timer()
            self._task = spawn(self._work())
            self._task.add_done_callback(self._ended)

    async def stop(self, patience: float) -> None:
        """End it, and wait at most `patience` seconds until it is over."""
        self._drop_timer()
        task, self._task = self._task, None
        if task is not None:
            await cut_short((task,), patience)

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if task is not self._task or not (task.cancelled() or error is not None):
            return
        if isinstance(error, KeyboardInterrupt | SystemExit):
            return  # the program ends
        if error is None and self._on_cancel is not None:
            self._on_cancel()
            return
        if error is not None:
            self._observers.tell(UpkeepFailed(self._what, error))
        self._again = call_later(_AGAIN_AFTER, self._begin_again)

    def _begin_again(self) -> None:
        if not self.running:
            self._observers.tell(UpkeepBegunAgain(self._what))
            self.start()

    def _drop_timer(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None
