"""When a failed attempt may be repeated: one pure schedule behind every retry policy."""

from __future__ import annotations

import math
from typing import Final

import msgspec

from saga_fn.core.ids import AT_ONCE, Micros

LONGEST_DELAY: Final = Micros(365 * 24 * 3600 * 1_000_000)
"""No delay is longer than a year (in microseconds), so that no moment ever overflows the database's clock."""


JOURNAL_LIMIT = 10_000
"""From this many journal entries on, whatever would be repeated waits for a person: no saga fills the store by itself."""
MOST_AT_ONCE = 3
"""So many attempts may be repeated without a wait."""
_LEAST = 10_000
_MOST_OF_LEAST = 1_000_000


class RetrySchedule(msgspec.Struct, frozen=True, array_like=True):
    """How often an attempt may fail, and how long to wait in between. All times are whole microseconds.

    `attempts` counts attempts, not retries: 3 runs at most 3 times. The wait after the n-th failure is
    `base * multiplier ** (n - 1)`, at most `cap`, less a share of up to `jitter` (0 to 1) of itself. With `within`, no
    attempt begins later than that after the first; 0 sets no such limit.

    It is stored as an array: a new field goes to the end, with a default.

    After the third failure there is a least wait, even if the schedule has none: 10 milliseconds, doubled with each failure up
    to a second. A saga that repeats without a wait would keep its slot from the others, and fill its journal.

    >>> RetrySchedule(attempts=3, base=1_000_000, multiplier=2.0).delay_after(2, jitter_draw=0.0)
    2000000
    >>> RetrySchedule(attempts=3).delay_after(3, jitter_draw=0.0) is None
    True
    """

    attempts: int = 1
    base: Micros = AT_ONCE
    multiplier: float = 1.0
    cap: Micros = LONGEST_DELAY
    jitter: float = 0.0
    within: Micros = AT_ONCE

    def __post_init__(self) -> None:
        """Refuse with ValueError what is no schedule, wherever it comes from, so that a delay can always be told."""
        if not 1 <= self.attempts < 1 << 63:
            raise ValueError(f"attempts must be from 1 to 2**63 - 1, not {self.attempts}")
        if not 0 <= self.base <= LONGEST_DELAY or not 0 <= self.cap <= LONGEST_DELAY:
            raise ValueError(f"base and cap must be from 0 to a year, not {self.base} and {self.cap} microseconds")
        if not 0 <= self.within <= LONGEST_DELAY:
            raise ValueError(f"within must be from 0 to a year, not {self.within} microseconds")
        if not 0.0 < self.multiplier < math.inf:
            raise ValueError(f"multiplier must be a positive number, not {self.multiplier}")
        if not 0.0 <= self.jitter <= 1.0:
            raise ValueError(f"jitter must be from 0 to 1, not {self.jitter}")

    def delay_after(
        self, failures: int, *, jitter_draw: float, spent: Micros = AT_ONCE, wish: Micros | None = None
    ) -> Micros | None:
        """Microseconds to wait after `failures` failed attempts, or None when there is to be no further attempt.

        `spent` is the time since the first attempt began, `wish` a delay that the attempt itself has asked for.
        `jitter_draw` in [0, 1) is the randomness, drawn by the caller and recorded on the event; anything else, NaN too,
        counts as 0.
        """
        if failures >= self.attempts:
            return None
        asked = self._delay(failures, jitter_draw) if wish is None else min(max(AT_ONCE, wish), LONGEST_DELAY)
        delay = max(asked, _least_delay(failures))
        return None if self.within and spent + delay > self.within else delay

    def _delay(self, failures: int, jitter_draw: float) -> Micros:
        share = self.jitter * max(0.0, jitter_draw) if jitter_draw < 1.0 else 0.0
        return Micros(int(self._full_delay(failures) * (1.0 - share)))

    def _full_delay(self, failures: int) -> Micros:
        if not self.base:
            return AT_ONCE
        try:
            grown = self.base * self.multiplier ** (failures - 1)
        except OverflowError:
            return self.cap
        return Micros(int(min(grown, self.cap)))


def _least_delay(failures: int) -> Micros:
    """The wait that no schedule goes below after that many failures, in microseconds."""
    if failures <= MOST_AT_ONCE:
        return AT_ONCE
    return Micros(min(_LEAST << min(failures - MOST_AT_ONCE - 1, 10), _MOST_OF_LEAST))
