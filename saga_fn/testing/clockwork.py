"""Turns the processes of a World whenever they can go on, and moves its clock where nothing else can happen.

Everything of the library's runs in the processes' own loops. They are turned by a callback of the user's event loop, so nothing of
the library's ever runs beside the user's code. The user's code runs in the user's loop, as it does everywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextvars import Context, ContextVar
from datetime import datetime
from typing import Any, Final, TypeVar, final
from uuid import UUID

from saga_fn.store.records import moment_of
from saga_fn.testing.processes import Process
from saga_fn.testing.virtual_loop import VirtualTime

T = TypeVar("T")
_TURNS: Final = 200
"""After so many turns the user's loop has its own."""
_POLITE: Final = 5
"""Turns that the user's loop has before time moves: what a step has begun beside itself goes on meanwhile."""
_MICROS: Final = 1_000_000


@final
class Outside:
    """One call of the user's code, which a process waits for."""

    __slots__ = ("_alarm", "_clock", "_cut", "_loop", "_task", "_told", "_work", "awaits", "process", "what")

    def __init__(
        self,
        process: Process,
        clock: Clockwork,
        what: str,
        work: Callable[[], Awaitable[object]],
    ) -> None:
        self.process: Process = process
        self.what: str = what
        self.awaits: set[UUID] = set()
        """The sagas of this World whose ends it has awaited so far."""
        self._clock = clock
        self._loop = loop = clock.loop
        self._work = work
        self._told: asyncio.Future[None] = process.loop.create_future()
        self._task: asyncio.Task[object] | None = None
        self._cut = False
        # Not here: this is the turn of the process, and a task belongs to the loop that it begins in.
        loop.call_soon(self._begin, context=Context())
        self._alarm = loop.call_later(clock.patience, clock.on_impatience, self, context=Context())

    def _begin(self) -> None:
        if self._cut:
            self._over(None)
            return
        context = Context()
        context.run(CALLED.set, self)
        self._task = self._loop.create_task(_awaited(self._work), context=context)
        self._task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[object] | None) -> None:
        if task is not None and not task.cancelled():
            _ = task.exception()  # where its process is dead, no task hears of it: asyncio would complain of that
        if not self._told.done():
            self._alarm.cancel()
            self._clock.out.discard(self)
            self._told.set_result(None)

    def cut(self) -> None:
        """Cut it short, as a timeout does."""
        self._cut = True
        if self._task is not None:
            self._task.cancel()

    def leave(self) -> None:
        """Cut it short, and wait for it no more: its process is dead."""
        if not self._loop.is_closed():
            self.cut()
        self._over(None)

    def __await__(self) -> Generator[Any, None, object]:  # Any: as asyncio has it
        return self._answer().__await__()

    async def _answer(self) -> object:
        """Wait for it in the process; raises what it raises. It is cut short where this is, and waited for all the same."""
        while not self._told.done():
            try:
                await asyncio.wait((self._told,))
            except asyncio.CancelledError:
                self.cut()
        if self._task is None or not self._task.done() or self._task.cancelled():
            raise asyncio.CancelledError
        return self._task.result()


CALLED: Final[ContextVar[Outside | None]] = ContextVar("saga_fn_world_called", default=None)
"""The call of the user's code that runs here; None outside of all of them."""


async def _awaited(work: Callable[[], Awaitable[object]]) -> object:
    return await work()


@final
class Clockwork:
    """The time of a World, and its processes."""

    def __init__(self, start: datetime, *, patience: float) -> None:
        """`patience` is how long a call of the user's code may take, in real seconds."""
        self._start = moment_of(start)
        self.patience: float = patience
        # Half a microsecond beside whole ones, so that the store's clock, which cuts off, shows the moment that was meant.
        self.time: VirtualTime = VirtualTime((self._start + 0.5) / _MICROS)
        self.processes: list[Process] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._scheduled = False
        self._news = asyncio.Event()
        self.on_rest: Callable[[], None] = _nothing
        """Called each time when nothing can go on at this moment."""
        self.on_impatience: Callable[[Outside], object] = _no_call
        """Told of a call that has taken so long."""
        self.waits: Callable[[Outside], bool] = _no_call
        """Whether a call waits for the World itself: for the end of another saga."""
        self.out: set[Outside] = set()
        """The calls of the user's code that are not over."""

    # Turning.

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The user's event loop."""
        assert self._loop is not None, "it is wound up first"
        return self._loop

    @property
    def is_wound_up(self) -> bool:
        """Whether it runs in an event loop."""
        return self._loop is not None

    def wind_up(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run in the user's event loop from now on."""
        self._loop = loop
        self.wake()

    def unwind(self) -> None:
        """Turn nothing any more."""
        self._loop = None

    def wake(self) -> None:
        """Something can go on: turn the processes soon."""
        if self._loop is not None and not self._scheduled and not self._loop.is_closed():
            self._scheduled = True
            self._loop.call_soon(self._turn, context=Context())

    def _turn(self) -> None:
        self._scheduled = False
        for _ in range(_TURNS):
            ready = [process for process in self.processes if process.runs and process.loop.ready]
            if not ready:
                break
            for process in ready:
                process.turn()  # of one that a turn of another has killed, nothing runs
        else:
            self.wake()
            return
        self.tell()
        self.on_rest()

    def tell(self) -> None:
        """Have the tasks that wait for something look again."""
        self._news.set()

    async def news(self) -> None:
        """Wait until something may have changed."""
        self._news.clear()
        await self._news.wait()

    @property
    def turns(self) -> bool:
        """Whether anything of the library's can go on at this moment."""
        return self._scheduled or any(process.runs and process.loop.ready for process in self.processes)

    @property
    def at_rest(self) -> bool:
        """Whether nothing can go on at this moment: nothing of the library's, and none of the user's code but what waits for it."""
        return not self.turns and all(not each.process.runs or self.waits(each) for each in self.out)

    async def pause(self) -> None:
        """Let the user's own tasks go on for a few turns."""
        for _ in range(_POLITE):
            await asyncio.sleep(0)

    def call(self, process: Process, what: str, work: Callable[[], Awaitable[object]]) -> Outside:
        """Call the user's code in the user's loop, for a process."""
        called = Outside(process, self, what, work)
        self.out.add(called)
        return called

    # Time.

    def next_timers(self) -> tuple[float | None, float | None]:
        """When the first timers are due, in seconds of the time: of processes that work on something, and of the others."""
        running = [process for process in self.processes if process.runs]
        return _first(each for each in running if each.works), _first(each for each in running if not each.works)

    def seconds_at(self, moment: datetime) -> float:
        """The time, in seconds of it, at which the store's clock shows a moment."""
        return (moment_of(moment) - self._start) / _MICROS

    def move_to(self, moment: float) -> None:
        """Move the time forward."""
        self.time.advance_to(moment)
        self.wake()


def _first(processes: Iterable[Process]) -> float | None:
    return min((timer for each in processes if (timer := each.loop.next_timer) is not None), default=None)


def _nothing() -> None:
    return None


def _no_call(_: Outside) -> bool:
    return False


def at_once(work: Awaitable[T]) -> T:
    """Give the result of a call that waits for nothing, as one of a store in memory."""
    steps: Any = work.__await__()  # Any: as typeshed has it
    try:
        next(steps)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("a store in memory waits for nothing")
