"""How many rows one statement takes: fewer where the store cannot give what they need in time, and then slowly more again."""

from __future__ import annotations

from typing import final


@final
class AtOnce:
    """So many rows are taken at once, `now`; never more than `most`.

    >>> at_once = AtOnce(500)
    >>> at_once.were_too_many(80)
    >>> at_once.came_in_time()
    >>> at_once.now
    46
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.now: int = most

    def were_too_many(self, asked: int) -> None:
        """So many were asked for, and the answer did not come in time."""
        self.now = max(1, asked // 2)

    def came_in_time(self) -> None:
        """The answer came in time."""
        self.now = min(self._most, self.now + 1 + self.now // 8)
