"""When an outgoing message that was not published is tried again, or that it is dead."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Final, final

from saga_fn.core.ids import Micros
from saga_fn.core.retry import RetrySchedule
from saga_fn.outgoing import FailedForNow, OutgoingOptions, RefusedForGood
from saga_fn.store.records import FailedMessage, HeldMessage

_JITTER: Final = 0.2


@final
class RetryOfMessages:
    """The verdict on each attempt that has failed, by the options."""

    def __init__(self, options: OutgoingOptions) -> None:
        self._schedule = RetrySchedule(
            attempts=options.max_attempts,
            base=_micros(options.first_delay),
            multiplier=2.0,
            cap=_micros(options.longest_delay),
            jitter=_JITTER,
        )

    def judge(self, message: HeldMessage, outcome: RefusedForGood | FailedForNow) -> FailedMessage:
        """The failure, as the store records it: with the delay before the next attempt, or as that of a dead message."""
        delay = None
        if isinstance(outcome, FailedForNow):
            wish = None if outcome.after is None else _micros(outcome.after)
            delay = self._schedule.delay_after(message.attempts + 1, jitter_draw=random.random(), wish=wish)
        later = timedelta(microseconds=delay or 0)
        return FailedMessage(message.saga_id, message.rev, message.n, later, outcome.reason, delay is None)


def _micros(length: timedelta) -> Micros:
    return Micros(length // timedelta(microseconds=1))
