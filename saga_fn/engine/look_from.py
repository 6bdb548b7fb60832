"""From which moment on a look for due sagas asks: for all that is due now and then, and between for what is new.

While any transaction is open, the server keeps an entry in the index for each saga that has ended since that one began.
A look at all that is due walks them. One from a moment ago on walks few of them, however long that transaction is open.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias, final

import msgspec

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


_Known: TypeAlias = tuple[str, int]
"""A definition, by name and version."""
_NONE: Final[Mapping[_Known, Moment]] = MappingProxyType({})


class _Look(msgspec.Struct):
    began: float
    """When (monotonic time)."""
    since: Moment
    """From when on it asks."""
    unasked: dict[_Known, Moment]
    """The definitions that there was no room for as it began."""
    next_from: Moment | None
    """From when on the next one is to ask; None if it does not ask every shard."""


@final
class LookFrom:
    """The looks of one worker."""

    def __init__(self, clock: Callable[[], Moment]) -> None:
        self._clock = clock
        self._since = LONG_AGO
        """From when on the next look asks."""
        self._crowded: dict[_Known, Moment] = {}
        """The definitions that there was no room for, each with the moment from when on a look asks that has room for it."""
        self._at_all_at = 0.0
        """When (monotonic time) the next look at all is."""
        self._took: deque[float] = deque(maxlen=3)
        """Seconds that the last looks at all took. The shortest counts: one may be slow for another reason."""
        self._look: _Look | None = None
        """The one that is going on."""

    def begin(
        self, asked: Collection[_Known] = (), known: Collection[_Known] = (), *, every_shard: bool = True
    ) -> Moment | None:
        """Begin one, which asks for what is due since the moment that it gives; None: for all that is due.

        It asks for sagas of some of the known definitions, or for those of all where it is for all that is due in every shard:
        then it is known since when there are some that there is no room for. After one that does not ask every shard, the next
        one asks from the same moment on.
        """
        began = steady.now()
        if every_shard and began >= self._at_all_at:
            self._since = LONG_AGO
        since = min([self._since, *(self._crowded[each] for each in asked if each in self._crowded)])
        is_of_all = len(asked) == len(known) or (every_shard and since == LONG_AGO)
        unasked = {} if is_of_all else dict.fromkeys(set(known).difference(asked), self._since)
        self._look = _Look(began, since, unasked, Moment(self._clock() - _OVERLAP) if every_shard else None)
        return None if since == LONG_AGO else since

    def end(self, *, took: float, left: Moment | None, crowded: Mapping[_Known, Moment] = _NONE) -> None:
        """End it.

        `took`: seconds until it was known what is due. `left`: since when something is due that was left. `crowded`: since when
        there is something of a definition that there was no room for.
        """
        look, self._look = self._look, None
        if look is None:
            return
        if look.next_from is not None:
            if look.since == LONG_AGO:
                self._took.append(took)
                wait = min(AT_ALL_AT_LEAST_EVERY, max(AT_ALL_EVERY, min(self._took) / _PART))
                self._at_all_at = look.began + wait
            self._since = look.next_from if left is None else min(left, look.next_from)
            self._crowded = {each: since for each, since in self._crowded.items() if each in look.unasked}
        self._leave(look.unasked)
        self._leave(crowded)

    def _leave(self, crowded: Mapping[_Known, Moment]) -> None:
        for each, since in crowded.items():
            self._crowded[each] = min(since, self._crowded.get(each, since))

    def include(self, since: Moment) -> None:
        """See to it that the next look finds a saga that has been due since then."""
        self._since = min(self._since, since)
        if self._look is not None and self._look.next_from is not None:
            self._look.next_from = min(self._look.next_from, since)
