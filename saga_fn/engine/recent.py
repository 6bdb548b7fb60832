"""Ids that were added or let through last, and answers that were given last."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar, final
from uuid import UUID

from saga_fn import steady

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

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

    def discard(self, id: UUID) -> None:
        """Forget it, if it is one of them."""
        self._ids.pop(id, None)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._ids)

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
        now = steady.now()
        since = self._since.get(id)
        if since is not None and now < since + self._seconds:
            return False
        self._since.pop(id, None)
        self._since[id] = now
        if len(self._since) > _MOST:
            del self._since[next(iter(self._since))]
        return True


@final
class Shared(Generic[K, T]):
    """The last answer to each question: those who ask within some seconds share it, and one at a time asks for a new one."""

    __slots__ = ("_asking", "_known")

    def __init__(self) -> None:
        self._asking = asyncio.Lock()
        self._known: dict[K, tuple[float, T]] = {}
        """When it was asked for, and the answer."""

    async def get(self, question: K, ask: Callable[[], Awaitable[T]], *, max_age: float) -> T:
        """An answer that was asked for no more than so many seconds ago."""
        wanted = steady.now() - max_age
        async with self._asking:
            asked, answer = self._known.get(question, (None, None))
            if asked is None or answer is None or asked < wanted:
                asked = steady.now()
                answer = await ask()
                self._known[question] = asked, answer
            return answer
