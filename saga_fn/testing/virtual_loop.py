"""The event loop of one process whose time is not the machine's: it is turned by hand, and its time is set by hand.

A process that is turned no more is a process that was killed: nothing of it runs again, no clean-up either. One that is turned
again later is one that stood still. Nothing here asks the machine for its time, for input or for chance, so what runs in such
loops alone runs the same way each time.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, Final, TypeVar, TypeVarTuple, final

from typing_extensions import override

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

if TYPE_CHECKING:
    _Base = asyncio.BaseEventLoop
    """To the checkers it has all that a loop has: what is missing raises NotImplementedError, as asyncio has it."""
else:
    _Base = asyncio.AbstractEventLoop

_EPOCH: Final = 1_767_225_600.0
"""The first second of the year 2026: where no moment is named, virtual time begins there."""


def _nothing() -> None:
    return None


@final
class VirtualTime:
    """The time of one test or simulation, in seconds, which moves when it is told to.

    Args:
        epoch: The seconds since 1970 at which it begins. Default: the beginning of 2026.
    """

    __slots__ = ("_epoch", "_now")

    def __init__(self, epoch: float = _EPOCH) -> None:
        self._epoch = epoch
        self._now = 0.0

    def monotonic(self) -> float:
        """Tell the seconds since it began.

        Returns:
            The seconds, from 0.
        """
        return self._now

    def time(self) -> float:
        """Tell the time of day, as `time.time` does.

        Returns:
            The seconds since 1970.
        """
        return self._epoch + self._now

    def advance_to(self, moment: float) -> None:
        """Go on to that moment; one that is past changes nothing.

        Args:
            moment: The seconds since it began.
        """
        self._now = max(self._now, moment)


def _made_by_loop(
    loop: asyncio.AbstractEventLoop,
    coro: Coroutine[Any, Any, T],
    **options: Any,  # Any: as asyncio has it
) -> asyncio.Task[T]:
    return loop.create_task(coro, **options)


class _Future(asyncio.Future[T]):
    """One whose place in a set is the same in every run: by its number, not by where it is in memory."""

    number: int

    @override
    def __hash__(self) -> int:
        return self.number


class _Task(asyncio.Task[T]):
    """The same of a task."""

    def __init__(
        self,
        coro: Coroutine[Any, Any, T],  # Any: as asyncio has it
        *,
        loop: asyncio.AbstractEventLoop,
        name: str,
        context: contextvars.Context | None,
        number: int,
    ) -> None:
        self._number = number  # before all else: a task is put into a set as it begins
        super().__init__(coro, loop=loop, name=name, context=context)

    @override
    def __hash__(self) -> int:
        return self._number


@final
class VirtualLoop(_Base):
    """The event loop of one process in virtual time: it has timers, tasks and futures, and no input or output.

    Args:
        time: Its time, which other loops may share.
        on_ready: Called when something becomes ready while the loop is not turned, as by an answer from outside. Default: nothing.
        pick: Given how many callbacks are ready, tells the place of the one that runs next. Default: the first, as in asyncio.
    """

    def __init__(
        self, time: VirtualTime, on_ready: Callable[[], None] = _nothing, pick: Callable[[int], int] | None = None
    ) -> None:
        self._time = time
        self._on_ready = on_ready
        self._pick = pick
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbers = itertools.count(1)
        self._turning = False
        self._closed = False
        self.unhandled: list[dict[str, Any]] = []  # Any: as asyncio has it
        """All that its exception handler was told, in order."""

    # The part that turns it.

    @property
    def ready(self) -> bool:
        """Whether something could run now; a timer that is due counts."""
        if self._ready:
            return True
        first = self.next_timer
        return first is not None and first <= self._time.monotonic()

    @property
    def next_timer(self) -> float | None:
        """When the first timer is due, in seconds of its time; None if there is none."""
        timers = self._timers
        while timers and timers[0][2].cancelled():
            _ = heapq.heappop(timers)
        return timers[0][0] if timers else None

    def forget_timers(self) -> None:
        """Let none of its timers be due any more: it is to end, and not to go on from where it stands."""
        self._timers.clear()

    def turn(self, goes_on: Callable[[], bool] | None = None) -> None:
        """Run what is ready now, once, as the running loop; what becomes ready meanwhile waits for the next turn.

        Args:
            goes_on: Asked before each callback: once it says no, the rest of them stay ready, in their order. A process may die in
                the middle of a turn, and nothing of it is to run after that. Default: always.
        """
        ready, timers, pick, now = self._ready, self._timers, self._pick, self._time.monotonic()
        while timers and (timers[0][0] <= now or timers[0][2].cancelled()):
            ready.append(heapq.heappop(timers)[2])
        outer = asyncio._get_running_loop()  # noqa: SLF001 - there is no other way to be the running loop and give it back
        asyncio._set_running_loop(self)  # noqa: SLF001
        self._turning = True
        try:
            for left in range(len(ready), 0, -1):
                if goes_on is not None and not goes_on():
                    break
                if pick is not None and left > 1:
                    ready.rotate(-(place := pick(left)))
                    handle = ready.popleft()
                    ready.rotate(place)
                else:
                    handle = ready.popleft()
                if not handle.cancelled():
                    handle._run()  # noqa: SLF001 - as each loop does
        finally:
            self._turning = False
            asyncio._set_running_loop(outer)  # noqa: SLF001

    # The part that asyncio uses.

    @override
    def time(self) -> float:
        """Tell its time.

        Returns:
            The seconds since the time began.
        """
        return self._time.monotonic()

    @override
    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """Call it in the next turn.

        Args:
            callback: The function to call.
            args: Its arguments.
            context: The context that it runs in. Default: a copy of the present one.

        Returns:
            The handle that cancels it.
        """
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        if not self._turning:
            self._on_ready()
        return handle

    @override
    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """Do as `call_soon`: no other thread takes part.

        Args:
            callback: The function to call.
            args: Its arguments.
            context: The context that it runs in. Default: a copy of the present one.

        Returns:
            The handle that cancels it.
        """
        return self.call_soon(callback, *args, context=context)

    @override
    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Call it when that time is over.

        Args:
            delay: How long, in seconds.
            callback: The function to call.
            args: Its arguments.
            context: The context that it runs in. Default: a copy of the present one.

        Returns:
            The handle that cancels it.
        """
        return self.call_at(self._time.monotonic() + delay, callback, *args, context=context)

    @override
    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Call it at that moment.

        Args:
            when: The moment, in seconds of its time.
            callback: The function to call.
            args: Its arguments.
            context: The context that it runs in. Default: a copy of the present one.

        Returns:
            The handle that cancels it.
        """
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._numbers), timer))
        if not self._turning:
            self._on_ready()
        return timer

    def _timer_handle_cancelled(  # pyright: ignore[reportUnusedFunction]  # asyncio calls it
        self, handle: asyncio.TimerHandle
    ) -> None:
        """Hear that a timer was cancelled: it is left out when its moment comes."""

    @override
    def create_future(self) -> asyncio.Future[Any]:  # Any: as asyncio has it
        """Make a future of this loop.

        Returns:
            The future.
        """
        future: _Future[Any] = _Future(loop=self)  # Any: as above
        future.number = next(self._numbers)
        return future

    @override
    def create_task(
        self,
        coro: Coroutine[Any, Any, T] | Generator[Any, None, T],  # Any: as asyncio has it
        *,
        name: object = None,
        context: contextvars.Context | None = None,
        **_: Any,  # Any: what later Pythons add
    ) -> asyncio.Task[T]:
        """Begin a task of this loop.

        Args:
            coro: The coroutine to run.
            name: Its name. Default: a number.
            context: The context that it runs in. Default: a copy of the present one.

        Returns:
            The task.
        """
        number = next(self._numbers)
        # A name of its own: asyncio's would count across all loops of the process.
        called = f"Task-{number}" if name is None else str(name)
        return _Task(coro, loop=self, name=called, context=context, number=number)  # type: ignore[arg-type]  # a generator is refused there

    @override
    def get_task_factory(self) -> Callable[..., asyncio.Task[Any]]:  # Any: as asyncio has it
        """Tell that it makes its tasks itself: one that is made past it has no number, and begins at once on newer Pythons.

        Returns:
            The function that makes a task.
        """
        return _made_by_loop

    @override
    def is_running(self) -> bool:
        """Tell whether it is used: it is, until it is closed, though it runs only while it is turned.

        Returns:
            Whether it is.
        """
        return not self._closed

    @override
    def is_closed(self) -> bool:
        """Tell whether it was closed.

        Returns:
            Whether it was.
        """
        return self._closed

    @override
    def close(self) -> None:
        """Forget what is ready and all timers: nothing of it runs any more."""
        self._closed = True
        self._ready.clear()
        self._timers.clear()

    @override
    def get_debug(self) -> bool:
        """Tell whether asyncio's debug mode is on.

        Returns:
            False.
        """
        return False

    @override
    def call_exception_handler(self, context: dict[str, Any]) -> None:  # Any: as asyncio has it
        """Keep what no other code has heard of, in `unhandled`.

        Args:
            context: The words of asyncio about it.
        """
        self.unhandled.append(context)

    @override
    async def shutdown_asyncgens(self) -> None:
        """Do nothing: asynchronous generators end with who iterates them."""

    @override
    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Do nothing: there are no threads.

        Args:
            timeout: Not looked at.
        """
