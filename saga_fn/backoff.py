"""Growing pauses between the tries of one thing."""

from __future__ import annotations

import asyncio
import random
from typing import final


@final
class Backoff:
    """Pauses that grow by a factor up to a longest one, each shortened at random so that processes do not keep step.

    Args:
        first: the first pause, in seconds.
        longest: the longest pause, in seconds.
        factor: how much longer each pause is than the one before it.

    >>> backoff = Backoff(0.1, 1.0)
    >>> [backoff.next() for _ in range(5)]
    [0.1, 0.2, 0.4, 0.8, 1.0]
    """

    __slots__ = ("_factor", "_first", "_longest", "_next")

    def __init__(self, first: float, longest: float, *, factor: float = 2.0) -> None:
        self._first = first
        self._longest = longest
        self._factor = factor
        self._next = first

    def next(self) -> float:
        """The next pause in seconds, not shortened."""
        pause = min(self._next, self._longest)
        self._next = min(pause * self._factor, self._longest)
        return pause

    def reset(self) -> None:
        """Begin with the first pause again."""
        self._next = self._first

    async def pause(self, *, least: float = 0.0, most: float | None = None) -> None:
        """Sleep for the next pause, or for `least` seconds if that is longer: half of it to all of it, at most `most` seconds."""
        seconds = max(self.next(), least) * random.uniform(0.5, 1.0)
        await asyncio.sleep(seconds if most is None else min(seconds, most))
