"""How the services misbehave: drawn from the seed and the order alone, so that a run can be repeated.

Everything is a hash of (seed, what is asked): nothing depends on the order in which requests arrive, on which worker
sent them, or on how often one was killed.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, Literal

import attrs

Operation = Literal["review", "reserve", "release", "charge", "refund", "ship"]
Verdict = Literal["approved", "rejected", "forgotten"]

REFUSAL_RATE: Final[dict[Operation, float]] = {"reserve": 0.07, "charge": 0.08, "ship": 0.06}
"""How many orders a service turns down for good. Undoing is never refused."""

REJECTED_RATE: Final = 0.06
FORGOTTEN_RATE: Final = 0.04
"""How many of the orders that a person looks at are rejected, or never decided on."""

STUTTER_RATE: Final = 0.1
"""How many decisions are sent twice."""

LATE_RATE: Final = 0.03
UNAVAILABLE_RATE: Final = 0.12
"""How many attempts go wrong in either way, see `Weather.mishap`."""

MOST_MISHAPS: Final = 2
"""A request that is repeated succeeds (or is refused) at the third attempt at the latest."""


@attrs.frozen
class Weather:
    """The misfortunes of one run.

    >>> Weather(seed=1).refuses("order-0001", "charge") == Weather(seed=1).refuses("order-0001", "charge")
    True
    """

    seed: int

    def refuses(self, order_id: str, operation: Operation) -> bool:
        """Whether the service turns this order down: the same answer at every attempt."""
        return self._draw("refuse", order_id, operation) < REFUSAL_RATE.get(operation, 0.0)

    def mishap(self, order_id: str, operation: Operation, attempt: int) -> Literal["unavailable", "late"] | None:
        """The fault at this attempt (counted from 1 by the service itself), if there is one.

        `unavailable`: nothing is done and the answer is 503. `late`: it is done, but the answer takes so long that
        the caller has given up waiting: only an idempotency key saves the customer from a second charge.
        """
        if attempt > MOST_MISHAPS:
            return None
        draw = self._draw("mishap", order_id, operation, attempt)
        if draw < LATE_RATE:
            return "late"
        return "unavailable" if draw < LATE_RATE + UNAVAILABLE_RATE else None

    def latency(self, order_id: str, operation: Operation, attempt: int) -> float:
        """Seconds that the service takes to think: 20 ms to 300 ms, mostly short."""
        return 0.02 + 0.28 * self._draw("latency", order_id, operation, attempt) ** 2

    def verdict(self, order_id: str) -> Verdict:
        """The answer of a person who looks at the order."""
        draw = self._draw("person", order_id)
        if draw < REJECTED_RATE:
            return "rejected"
        return "forgotten" if draw < REJECTED_RATE + FORGOTTEN_RATE else "approved"

    def reflection(self, order_id: str) -> float:
        """Seconds that a person takes to decide: up to one."""
        return self._draw("reflection", order_id)

    def stutters(self, order_id: str) -> bool:
        """Whether a decision is sent twice, as by a queue that delivers at least once."""
        return self._draw("stutter", order_id) < STUTTER_RATE

    def _draw(self, *what: object) -> float:
        """A number in [0, 1), the same for the same seed and arguments on every machine."""
        digest = blake2b(repr((self.seed, *what)).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") / 2**64
