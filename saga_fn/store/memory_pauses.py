"""The pauses, in memory."""

from __future__ import annotations

from datetime import datetime
from typing import final

from saga_fn.store.protocol import Store
from saga_fn.store.records import PauseRecord, time_of


@final
class MemoryPauses:
    """The names that are paused; the empty name is everything."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pauses: dict[str, PauseRecord] = {}

    def holds(self, name: str) -> bool:
        """Whether sagas of that name are paused."""
        return bool(self._pauses) and any(pause.holds(name) for pause in self._pauses.values())

    async def read(self) -> list[PauseRecord]:
        """All that is paused, the oldest pause first; takes no lock."""
        return sorted(self._pauses.values(), key=lambda pause: (pause.since, pause.name))

    async def add(self, name: str, *, actor: str | None, reason: str | None) -> bool:
        """Pause a name; False, and the pause that there is stays, if it is paused already."""
        if name in self._pauses:
            return False
        self._pauses[name] = PauseRecord(name, actor, reason, time_of(self._store.now()))
        return True

    async def remove(self, name: str, *, since: datetime | None = None) -> bool:
        """End the pause of a name, or only the one that began then; False if there is none."""
        found = self._pauses.get(name)
        if found is None or since not in (None, found.since):
            return False
        del self._pauses[name]
        return True

    async def open_writers(self) -> frozenset[str]:
        """None: what is started is there at once."""
        return frozenset()
