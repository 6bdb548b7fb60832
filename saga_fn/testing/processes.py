"""The worker processes of a World: each an orchestrator in an event loop of its own, which may be killed or stand still."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from contextvars import Context
from datetime import timedelta
from typing import Any, Final, final
from uuid import UUID
from weakref import WeakSet

from saga_fn import steady
from saga_fn.engine.topics import AnyPublisher
from saga_fn.observe import Fact
from saga_fn.orchestrator import SagaOrchestrator
from saga_fn.store.memory import MemoryStore
from saga_fn.testing.virtual_loop import VirtualLoop, VirtualTime

SLOTS: Final = 1000
"""So many sagas run at once in a process: a test that has more of them is one of load."""
_TURNS_TO_END: Final = 10_000


_followers: Final[WeakSet[object]] = WeakSet()


def follow_virtual_time(who: object) -> None:
    """Have the library's monotonic clock be that of a virtual loop where one runs, and the real one everywhere else."""
    _followers.add(who)
    steady.now = _now


def leave_virtual_time(who: object) -> None:
    """Have it be the real one alone, if no other World follows virtual time."""
    _followers.discard(who)
    if not _followers:
        steady.now = time.monotonic


def _now() -> float:
    running = asyncio._get_running_loop()  # noqa: SLF001 - the public one raises where none runs
    return running.time() if isinstance(running, VirtualLoop) else time.monotonic()


@final
class Process:
    """One worker process. It does nothing by itself: it is turned, and told when something is due."""

    def __init__(
        self,
        number: int,
        store: MemoryStore,
        time: VirtualTime,
        *,
        lease: timedelta,
        on_ready: Callable[[], None],
        on_fact: Callable[[Process, Fact], None],
        publishers: Mapping[str, AnyPublisher],
    ) -> None:
        self.number: int = number
        self.loop: VirtualLoop = VirtualLoop(time, on_ready)
        self.orchestrator: SagaOrchestrator = SagaOrchestrator(
            store,
            concurrency=SLOTS,
            lease=lease,
            observers=[self._hear],
            log_repeats=None,
            publishers=publishers,
        )
        self._on_fact = on_fact
        self.is_dead: bool = False
        self.stands_still_for: UUID | None = None
        """The saga that another process is to take from this one meanwhile; None if it runs."""
        self._working: set[asyncio.Task[Any]] = set()  # Any: numbers, which no code asks for
        self._waits_for: asyncio.Future[None] = self.loop.create_future()

    @property
    def runs(self) -> bool:
        """Whether it lives, and does not stand still."""
        return not self.is_dead and self.stands_still_for is None

    @property
    def works(self) -> bool:
        """Whether it has taken on any work that is not over."""
        return bool(self._working)

    def turn(self) -> None:
        """Let it go on, until it dies or stands still: that may come in the middle of a turn."""
        self.loop.turn(lambda: self.runs)

    def begin(self, work: Coroutine[Any, Any, object]) -> None:  # Any: as asyncio has it
        """Do this in its event loop."""
        task = self.loop.create_task(work, context=Context())
        self._working.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[Any]) -> None:  # Any: as above
        self._working.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.loop.call_exception_handler({"message": "work of a World has failed", "exception": error})

    def hear_of(self, saga_id: UUID) -> None:
        """A saga has messages, as NOTIFY tells it."""
        if not self.is_dead:
            self.loop.call_soon(self.orchestrator.engine.recheck_inbox, saga_id)

    def _hear(self, fact: Fact) -> None:
        self._on_fact(self, fact)

    async def never(self) -> None:
        """Wait for what does not come: the process is dead."""
        await asyncio.wait((self._waits_for,))

    def end(self) -> None:
        """Bring all of it to an end, and write nothing more: the test is over."""
        engine = self.orchestrator.engine
        self.is_dead = True
        self.loop.forget_timers()
        for interpreter in list(engine.held.values()):
            self.loop.call_soon(interpreter.leave_to_lease)
        self.loop.turn()
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        for _ in range(_TURNS_TO_END):
            if not self.loop.ready:
                break
            self.loop.turn()
        for task in tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001  # pyright: ignore[reportAttributeAccessIssue]  # no task awaits it
        self.loop.close()
