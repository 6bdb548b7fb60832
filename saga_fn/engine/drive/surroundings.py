"""The parts of an execution that come from outside of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec

from saga_fn.core.ids import Moment
from saga_fn.engine.around import Around
from saga_fn.timeouts import Timeouts


class Surroundings(msgspec.Struct, frozen=True):
    """The parts of an execution from outside: the store's time, a random number in [0, 1), who cuts it short, code around it."""

    now: Callable[[], Moment]
    jitter_draw: Callable[[], float]
    timeouts: Timeouts = msgspec.field(default_factory=Timeouts)
    around: tuple[Around, ...] = ()
    lease: timedelta = timedelta(seconds=15)
    """How long the lease of a saga lasts."""
    connection: Any = None  # Any: a driver's; none is imported here
    """The connection of the transaction that it runs in; None if it runs in none."""
