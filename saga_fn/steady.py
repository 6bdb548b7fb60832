"""The monotonic clock of this library, by one name: simulations of time put another one in its place.

Read it as `steady.now()`, never by a name of its own, which would keep the clock of the moment of its import.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

Clock: TypeAlias = Callable[[], float]

now: Clock = time.monotonic
"""Seconds that only grow. No clock of a database is compared with it."""
