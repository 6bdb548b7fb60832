"""The pauses, as this process knows them: it looks at least twice in the time in which it renews a lease.

A claim needs no such knowledge, for its own statement finds nothing of what is paused. It is for what a process has in its
hands, and for what it starts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from saga_fn import steady
from saga_fn.engine.drive.asked import Asked
from saga_fn.engine.drive.interpreter import Interpreter
from saga_fn.engine.observe.observers import Observers
from saga_fn.engine.observe.of_claims import NamePaused, NameResumed
from saga_fn.engine.registry import Registry
from saga_fn.errors import StoreError
from saga_fn.store.protocol import Store
from saga_fn.store.records import PauseRecord


class Pauses:
    """The pauses that were found at the last look. The sagas in `held` that are paused are told by it."""

    def __init__(
        self, store: Store, registry: Registry, held: Mapping[UUID, Interpreter], observers: Observers, *, lease: float
    ) -> None:
        """`lease`: in seconds. A lease is renewed when half of it is spent."""
        self._registry = registry
        self._observers = observers
        self._told: dict[str, datetime] = {}
        """The pauses that the log has told of, by name: each since when."""
        self._store = store
        self._held = held
        self._every = lease / 4
        self._looked = steady.now()
        self._found: list[PauseRecord] = []

    @property
    def is_stale(self) -> bool:
        """Whether the last look is so long ago that a pause may have begun a whole renewal before now."""
        return steady.now() - self._looked > 2 * self._every

    def of(self, name: str) -> PauseRecord | None:
        """The pause of sagas of that name; None if they are not paused."""
        return next((pause for pause in self._found if pause.holds(name)), None) if self._found else None

    async def look_first(self) -> None:
        """Look before anything is started; if that fails, the worker looks again."""
        with contextlib.suppress(StoreError):
            await self.look()

    async def look_if_due(self) -> None:
        """Look again if that was not done lately."""
        if steady.now() - self._looked >= self._every:
            await self.look()

    async def look(self) -> None:
        """Look what is paused, and let no saga in hand go further that is."""
        asked = steady.now()
        self._found = await self._store.pauses.read()
        self._looked = asked
        self._tell_of_names()
        if not self._found:
            return
        for interpreter in list(self._held.values()):
            self.tell(interpreter)

    def _tell_of_names(self) -> None:
        """Say which pauses have come and gone since the last look, of what this process works on."""
        mine = {"", *self._registry.names}
        found = {pause.name: pause for pause in self._found if pause.name in mine}
        for name, since in list(self._told.items()):
            if name not in found or found[name].since != since:
                del self._told[name]
                self._observers.tell(NameResumed(name))
        for name, pause in found.items():
            if name not in self._told:
                self._told[name] = pause.since
                self._observers.tell(NamePaused(name, pause.since, pause.actor))

    def tell(self, interpreter: Interpreter) -> None:
        """Let a saga go no further if it is paused."""
        pause = self.of(interpreter.saga.registered.name)
        if pause is not None:
            interpreter.pause(Asked(pause.actor, pause.reason).encode())
