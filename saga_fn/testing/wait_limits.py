"""The timeouts of those who wait for the end of a saga in a World: they go by its clock, as all else does there."""

from __future__ import annotations

import asyncio
from typing import Any, TypeAlias, final

from saga_fn.testing.virtual_loop import VirtualTime

_Told: TypeAlias = asyncio.Future[Any]  # Any: it is only told that its time is over


@final
class VirtualLimits:
    """Tells each wait None when its time is over, by a clock that does not move by itself."""

    def __init__(self, time: VirtualTime) -> None:
        self._time = time
        self._until: dict[_Told, float] = {}
        """When each wait that is not over gives up, in seconds of the time."""
        self._over: set[_Told] = set()

    def now(self) -> float:
        """Tell the seconds of the clock that it goes by."""
        return self._time.monotonic()

    @property
    def next(self) -> float | None:
        """When the first wait gives up, in seconds of the time; None if none has a timeout."""
        return min(self._until.values(), default=None)

    def watch(self, what: _Told, seconds: float, /) -> None:
        """Tell the wait None in so many seconds, unless `end` comes first; without a delay if there are none."""
        self._until[what] = self.now() + seconds
        if seconds <= 0:  # the World does not go on for a caller that does not wait
            _ = self.give_up()

    def end(self, what: _Told, seconds: float, /) -> bool:  # noqa: ARG002 - other limits find it by its length
        """Watch it no more: whether its time was over before."""
        is_over = what in self._over
        self._over.discard(what)
        _ = self._until.pop(what, None)
        return is_over

    def give_up(self) -> bool:
        """Tell the waits whose time is over: whether there are any."""
        over = [told for told, until in self._until.items() if until <= self.now()]
        for told in over:
            del self._until[told]
            self._over.add(told)
            if not told.done():
                told.set_result(None)
        return bool(over)
