"""The life of one orchestrator: entered and left, once or again; who may use it, where and when."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from typing import final
from uuid import UUID

from saga_fn.engine.attendance import attending
from saga_fn.engine.engine import Gate, SagaEngine
from saga_fn.engine.gauges import Gauges
from saga_fn.engine.home import Home
from saga_fn.engine.options import EngineOptions
from saga_fn.engine.requests.start import Starter
from saga_fn.engine.views.hooks import HookCalls
from saga_fn.engine.worker import Worker
from saga_fn.errors import SagaError, StoreRefusedError
from saga_fn.store.protocol import Store
from saga_fn.store.records import Hint
from saga_fn.tasks import spawn


@final
class Life:
    """An engine with its worker and its starts over one store, from entering to leaving.

    A store that was given open, as one over a pool is, may be used without entering: then nothing works on what is due.
    """

    def __init__(
        self, store: Store, options: EngineOptions, *, migrate: bool, read_only: bool, needs_entering: bool
    ) -> None:
        gate = Gate(self.require_open, self._require_attendance, self._is_attended, self._require_writes)
        self.engine: SagaEngine = SagaEngine(store, options, gate)
        self.worker: Worker = Worker(self.engine)
        self.starter: Starter = Starter(self.engine, self._slots_for_starts)
        self.engine.slots = self._slots_for_starts
        self._gauges = Gauges(self.engine)
        self.engine.relay.call_hooks(HookCalls(self.engine))
        self.read_only: bool = read_only
        self.entered: bool = False
        self._store = store
        self._migrate = migrate
        self._needs_entering = needs_entering
        self._entering = False
        self._was_left = False
        self._leaving: asyncio.Task[None] | None = None
        self._home = Home()

    # Entering and leaving.

    async def enter(self) -> None:
        """Open the store and begin to work; raises as `SagaOrchestrator.__aenter__` says."""
        if self.entered or self._entering:
            if not self._home.is_gone:
                self._home.check()
                raise SagaError(
                    "this orchestrator is entered already", hint="use one `async with` around its whole life"
                )
            self.entered = False  # its event loop was closed before it was left
        self._entering, self._leaving = True, None
        try:
            await self._enter()
        finally:
            self._entering = False

    async def _enter(self) -> None:
        self._home.move_in()
        self._begin()
        try:
            await self._store.open(migrate=self._migrate, listen=self._on_notify)
            if not self.read_only:
                await self.engine.definitions.keep_plans()
            if self.engine.options.concurrency:
                await self.engine.pauses.look_first()
        except BaseException:
            await self._store.close()
            raise
        self.entered = True
        self._gauges.start()
        if not self.read_only:
            self.engine.relay.start()
        if self.engine.options.concurrency:
            self.worker.start()
            if self._store.attendants is not None:
                self._store.attendants.add(self)

    def _begin(self) -> None:
        self.engine.begin_life()
        self.starter.begin_life()

    async def leave(self) -> None:
        """Stop to work and close the store, though a caller cancels it in the middle; it does nothing unless it was entered."""
        leaving = self._leaving
        if not self.entered and (leaving is None or leaving.done()):
            return
        self._home.check()
        self.entered, self._was_left = False, True
        cancelled: asyncio.CancelledError | None = None
        while leaving is None or not leaving.done() or leaving.cancelled():
            if leaving is None or leaving.done():  # other code may cancel it, as it may cancel any task
                leaving = self._leaving = spawn(self._leave())
            try:
                await asyncio.shield(leaving)
            except asyncio.CancelledError as by_caller:
                cancelled = by_caller if not leaving.cancelled() else cancelled
                self.engine.hurry()
        if cancelled is not None:
            raise cancelled
        leaving.result()

    async def _leave(self) -> None:
        try:
            await self._gauges.stop()
            await self.worker.stop(patience=0.5)
            await self.engine.stop()
            await self.engine.relay.stop()
        finally:
            if self._store.attendants is not None:
                self._store.attendants.discard(self)
            await self._store.close()

    # Who may use it.

    def check_home(self) -> None:
        """Raise SagaError for a caller in another process, thread or event loop than the one that has entered it."""
        self._home.check()

    def require_open(self) -> None:
        """Raise SagaError where the store cannot be used."""
        if self.entered:
            self._home.check()
            return
        if self._needs_entering:
            raise SagaError(
                "this orchestrator was made with a DSN and is not entered, so it has no connection",
                hint="use `async with orchestrator:`, or give it a pool of your own.",
            )
        if self._home.moves():
            self._begin()

    def attending(self) -> AbstractContextManager[None]:
        """Count the caller as one who works on what is due, while the block lasts."""
        return attending(self._store)

    def _is_attended(self) -> bool:
        return self._store.attendants is None or bool(self._store.attendants)

    def _require_attendance(self) -> None:
        if self._was_left and not self.entered and not self._is_attended():
            raise SagaError(
                f"this orchestrator was left, and nothing else works on its {type(self._store).__name__}: the saga would never run",
                hint="start it inside of `async with orchestrator:`, or await orchestrator.run_until_idle() in a test",
            )

    def _require_writes(self) -> None:
        if self.read_only:
            raise StoreRefusedError(
                "this process only looks at sagas: it was made with read_only=True",
                hint="ask through SagaOrchestrator(dsn, concurrency=0) on the primary, with an operator's rights",
            )

    def _slots_for_starts(self, name: str) -> int:
        return self.worker.slots_for_starts(name) if self.entered else 0

    def _on_notify(self, hint: Hint) -> None:
        if isinstance(hint, UUID):
            self.worker.wake()  # it may be due by its messages
            self.engine.recheck_inbox(hint)
        else:
            self.worker.wake_at(hint)
