"""Sets that remember what was added to them last."""

from __future__ import annotations

import time
from typing import Final, final
from uuid import UUID

_MOST: Final = 1000


@final
class Recent:
    """The last thousand ids that were added; a service that runs for a year keeps no more."""

    __slots__ = ("_ids",)

    def __init__(self) -> None:
        self._ids: dict[UUID, None] = {}

    def add(self, id: UUID) -> None:
        """Remember it, and forget the one that was added first if there are too many."""
        self._ids[id] = None
        if len(self._ids) > _MOST:
            del self._ids[next(iter(self._ids))]

    def __contains__(self, id: UUID) -> bool:
        """Whether it is one of them."""
        return id in self._ids


@final
class Seldom:
    """Lets each of the last thousand ids through once in a while."""

    __slots__ = ("_seconds", "_since")

    def __init__(self, seconds: float) -> None:
        """`seconds` is how long an id waits that was let through."""
        self._seconds = seconds
        self._since: dict[UUID, float] = {}

    def lets(self, id: UUID) -> bool:
        """Whether it is let through now."""
        now = time.monotonic()
        since = self._since.get(id)
        if since is not None and now < since + self._seconds:
            return False
        self._since.pop(id, None)
        self._since[id] = now
        if len(self._since) > _MOST:
            del self._since[next(iter(self._since))]
        return True
