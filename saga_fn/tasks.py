"""Tasks of the library's own: each in an empty context, and ended by who began it.

A task copies the context variables of the task that makes it. The library's tasks are made in the middle of callers' requests, so
each of them begins in an empty context: no step may see the tenant, the user or the trace of a request that happened to be
there when a batch left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextvars import Context
from typing import TypeAlias, TypeVar, final

T = TypeVar("T")
Work: TypeAlias = Coroutine[object, object, T]


def spawn(work: Work[T]) -> asyncio.Task[T]:
    """Begin this work in an empty context."""
    return asyncio.get_running_loop().create_task(work, context=Context())


def call_later(seconds: float, then: Callable[[], object]) -> asyncio.TimerHandle:
    """Call `then` after that many seconds, in an empty context."""
    return asyncio.get_running_loop().call_later(seconds, then, context=Context())


async def cut_short(tasks: Iterable[asyncio.Task[T]], patience: float | None, *, first: float = 0.0) -> None:
    """Give these tasks `first` seconds, then cancel them, and wait until they are over.

    No longer than `patience` seconds; None: as long as that takes.
    """
    left = {task for task in tasks if not task.done()}
    if left and first:
        _, left = await asyncio.wait(left, timeout=first)
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=patience)


@final
class Errands:
    """Tasks that go on beside their owner, each of which comes to an end by itself. They are kept until then."""

    def __init__(self, then: Callable[[asyncio.Task[None]], None] | None = None) -> None:
        """`then` is called with each that is over."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._then = then

    @property
    def running(self) -> bool:
        """Whether any goes on at this moment."""
        return not all(task.done() for task in self._tasks)

    @property
    def tasks(self) -> frozenset[asyncio.Task[None]]:
        """Those that go on at this moment."""
        return frozenset(self._tasks)

    def add(self, work: Work[None]) -> None:
        """Begin one more."""
        _ = self.begin(work)

    def begin(self, work: Work[None]) -> asyncio.Task[None]:
        """The same, and gives its task."""
        task = spawn(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._then is not None:
            self._then(task)

    async def wait(self, patience: float | None = None) -> None:
        """Return when all are over, or after `patience` seconds."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=patience)

    async def stop(self, patience: float | None = None, *, first: float = 0.0) -> None:
        """End them as `cut_short` does."""
        await cut_short(self._tasks, patience, first=first)


def cancellations() -> int:
    """How often this task was asked to end: user code may raise CancelledError of its own, as of a task that it waits for."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()
