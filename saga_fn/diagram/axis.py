"""An axis of time on which a pause of days and an execution of milliseconds both have room."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

import attrs

_LEAST: Final = 12.0
"""Pixels between two moments, however near they are."""
_TENFOLD: Final = 20.0
"""More pixels for ten times as long, from a millisecond on."""
_NARROWEST: Final = 5.0
"""Pixels between two moments where many have to be shown."""
BREAK: Final = 64.0
"""Pixels for what is left out."""
_SHORT: Final = timedelta(minutes=1)
"""Times that are nearer to each other have milliseconds."""
_TICKS: Final = 104.0
"""Pixels between two ticks at least."""


@attrs.frozen
class Axis:
    """Moments and where they stand. In between it is even."""

    moments: tuple[datetime, ...]
    places: tuple[float, ...]
    breaks: tuple[tuple[float, float], ...]
    """Where something is left out."""

    @property
    def width(self) -> float:
        """The place of the last moment."""
        return self.places[-1] if self.places else 0.0

    def place(self, at: datetime) -> float:
        """Where a moment stands."""
        after = bisect_left(self.moments, at)
        if after >= len(self.moments):
            return self.width
        if self.moments[after] == at or after == 0:
            return self.places[after]
        first, last = self.moments[after - 1], self.moments[after]
        share = (at - first) / (last - first)
        return self.places[after - 1] + share * (self.places[after] - self.places[after - 1])

    def ticks(self) -> Iterator[tuple[float, str]]:
        """Places that have a label, and the label: a time, with its day where that is another one."""
        place_before, before = -_TICKS, self.moments[0] if self.moments else None
        for moment, place in zip(self.moments, self.places, strict=True):
            if before is not None and (place - place_before >= _TICKS or place == 0):
                day = f"{moment:%m-%d} " if moment.date() != before.date() else ""
                short = moment - before < _SHORT and moment - self.moments[0] < 60 * _SHORT
                yield place, day + (f"{moment:%H:%M:%S.%f}"[:12] if short else f"{moment:%H:%M:%S}")
                place_before, before = place, moment


def axis_of(
    moments: Iterable[datetime], hidden: Sequence[tuple[datetime, datetime]], *, least: float, most: float
) -> Axis:
    """An axis through the moments, from `least` to `most` pixels wide where that can be; what is hidden is a break."""
    every = sorted({*moments, *(each for both in hidden for each in both)})
    begins = {begin for begin, _ in hidden}
    kept = [each for each in every if not any(begin < each < end for begin, end in hidden)]
    gaps: list[float | None] = [
        None if begin in begins else _LEAST + _TENFOLD * math.log10(1 + (end - begin) / timedelta(milliseconds=1))
        for begin, end in pairwise(kept)
    ]
    wide = sum(gap for gap in gaps if gap is not None)
    room = BREAK * sum(gap is None for gap in gaps)
    stretch = (
        max(least - room, 0) / wide
        if 0 < wide < least - room
        else min(1.0, max(most - room, 0) / wide if wide else 1.0)
    )
    places = [0.0]
    for gap in gaps:
        places.append(places[-1] + (BREAK if gap is None else max(_NARROWEST, gap * stretch)))
    places = [float(round(place)) for place in places]
    broken = tuple((places[at], places[at + 1]) for at, gap in enumerate(gaps) if gap is None)
    return Axis(tuple(kept), tuple(places[: len(kept)]), broken)
