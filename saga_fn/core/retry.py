"""When a failed attempt may be repeated: one pure schedule behind every retry policy."""

from __future__ import annotations

import math

import msgspec

LONGEST_DELAY = 365 * 24 * 3600 * 1_000_000
"""No delay is longer than a year (in microseconds), so that no moment ever overflows the database's clock."""


class RetrySchedule(msgspec.Struct, frozen=True, array_like=True):
    """How often an attempt may fail, and how long to wait in between. All times are whole microseconds.

    `attempts` counts attempts, not retries: 3 runs at most 3 times. The wait after the n-th failure is
    `base * multiplier ** (n - 1)`, at most `cap`, less a share of up to `jitter` (0 to 1) of itself.

    >>> RetrySchedule(attempts=3, base=1_000_000, multiplier=2.0).delay_after(2, draw=0.0)
    2000000
    >>> RetrySchedule(attempts=3).delay_after(3, draw=0.0) is None
    True
    """

    attempts: int = 1
    base: int = 0
    multiplier: float = 1.0
    cap: int = LONGEST_DELAY
    jitter: float = 0.0

    def delay_after(self, failures: int, *, draw: float) -> int | None:
        """Microseconds to wait after `failures` failed attempts, or None when there is to be no further attempt.

        `draw` in [0, 1) is the randomness, drawn by the caller and recorded on the event.
        """
        if failures >= self.attempts:
            return None
        return int(self._full_delay(failures) * (1.0 - self.jitter * draw))

    def _full_delay(self, failures: int) -> int:
        # Compared as logarithms first: `multiplier ** n` itself overflows for a large n.
        cap = min(self.cap, LONGEST_DELAY)
        if self.base <= 0:
            return 0
        if math.log(self.base) + (failures - 1) * math.log(self.multiplier) >= math.log(max(cap, 1)):
            return cap
        return int(self.base * self.multiplier ** (failures - 1))
