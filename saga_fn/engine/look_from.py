"""From which moment on a look for due sagas asks: for all that is due once a second, and between for what is new.

While any transaction is open, the server keeps an entry in the index for each saga that has ended since that one began.
A look at all that is due walks them. One that begins a second ago walks few of them, however long it is open.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from saga_fn import steady
from saga_fn.core.ids import Moment

AT_ALL_EVERY: Final = 1.0
"""Seconds. A worker that was woken looks again sooner than that, in longer and longer intervals."""
LONG_AGO: Final = Moment(0)
"""Since when a saga may have been due of which nobody knows since when."""
_OVERLAP: Final = 1_000_000
"""Microseconds before a look at all from which on the next ones ask: for rows that were being written at that time."""


def is_old(due: Moment, now: Moment) -> bool:
    """Whether a look of another process for what is new may pass by a saga that has been due since then.

    It begins a second before that process looked at all. Half of that is for the way that the word takes.
    """
    return due < now - _OVERLAP // 2


@final
class LookFrom:
    """The looks of one worker."""

    def __init__(self, clock: Callable[[], Moment]) -> None:
        self._clock = clock
        self._until = 0.0
        """Until when (monotonic time) a look may ask for what is new."""
        self._since = LONG_AGO
        """From when on it then asks."""
        self._began: tuple[float, Moment] | None = None
        """When the look at all that is going on began, and from when on those after it may ask."""

    def begin(self, *, every_shard: bool = True) -> Moment | None:
        """Begin one, which asks for what is due since the moment that it gives; None: for all that is due.

        One that does not ask every shard asks those for all.
        """
        self._began = None
        if not every_shard:
            return None
        now = steady.now()
        if now < self._until:
            return self._since
        self._began = (now, Moment(self._clock() - _OVERLAP))
        return None

    def end(self, *, has_left: bool) -> None:
        """End it; `has_left`: of what it found something was left, for which there was no room."""
        if has_left:
            self._until = 0.0
        elif self._began is not None:
            began, since = self._began
            self._until, self._since = began + AT_ALL_EVERY, since
        self._began = None

    def include(self, due: Moment) -> None:
        """See to it that the next look finds a saga that has been due since then."""
        if due < self._since or (self._began is not None and due < self._began[1]):
            self._until, self._began = 0.0, None
