"""From which moment on a look for due sagas asks: for all that is due now and then, and between for what is new.

While any transaction is open, the server keeps an entry in the index for each saga that has ended since that one began.
A look at all that is due walks them. One from a moment ago on walks few of them, however long that transaction is open.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, final

from saga_fn import steady
from saga_fn.core.ids import LONG_AGO, Moment

AT_ALL_EVERY: Final = 1.0
"""Seconds between two looks at all. A worker that was woken looks again sooner than that, in longer and longer intervals."""
AT_ALL_AT_LEAST_EVERY: Final = 20.0
"""Seconds between two looks at all that take long."""
_PART: Final = 0.005
"""So much of a worker's time goes to looks at all, unless that would be more seldom than the seconds above."""
_OVERLAP: Final = 250_000
"""Microseconds before a look from which on the next one asks: for rows that were being written at that time."""


def is_old(since: Moment, now: Moment) -> bool:
    """Whether a look that is made now and asks for what is new may pass by a saga that has been due since then.

    Half of what it goes back is for the way that the word of it takes.
    """
    return since < now - _OVERLAP // 2


@final
class LookFrom:
    """The looks of one worker."""

    def __init__(self, clock: Callable[[], Moment]) -> None:
        self._clock = clock
        self._since = LONG_AGO
        """From when on the next look asks."""
        self._at_all_at = 0.0
        """When (monotonic time) the next look at all is."""
        self._took: deque[float] = deque(maxlen=3)
        """Seconds that the last looks at all took. The shortest counts: one may be slow for another reason."""
        self._going_on: Moment | None = None
        """From when on one is to ask that comes after the look that is going on; None: from when on that one asked."""
        self._is_at_all = False
        self._began = 0.0
        """When (monotonic time) it began."""

    def begin(self, *, every_shard: bool = True) -> Moment | None:
        """Begin one, which asks for what is due since the moment that it gives; None: for all that is due.

        After one that does not ask every shard, the next one asks from the same moment on.
        """
        self._began = steady.now()
        if every_shard and self._began >= self._at_all_at:
            self._since = LONG_AGO
        self._is_at_all = every_shard and self._since == LONG_AGO
        self._going_on = Moment(self._clock() - _OVERLAP) if every_shard else None
        return None if self._since == LONG_AGO else self._since

    def end(self, *, took: float, has_left: bool) -> None:
        """End it. `took`: seconds until it was known what is due. `has_left`: something was left, for which there was no room."""
        if self._is_at_all:
            self._took.append(took)
            wait = min(AT_ALL_AT_LEAST_EVERY, max(AT_ALL_EVERY, min(self._took) / _PART))
            self._at_all_at = self._began + wait
        if self._going_on is not None and not has_left:
            self._since = self._going_on
        self._going_on, self._is_at_all = None, False

    def include(self, since: Moment) -> None:
        """See to it that the next look finds a saga that has been due since then."""
        self._since = min(self._since, since)
        if self._going_on is not None:
            self._going_on = min(self._going_on, since)
