"""Questions that a trial asks its database past all wires, many times a second, on connections that are kept."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import asyncpg

from saga_fn.store.driver_errors import DRIVER_ERRORS


class Questions:
    """A connection is kept for the next question; a broken one is replaced."""

    def __init__(self) -> None:
        self._free: defaultdict[str, list[asyncpg.Connection]] = defaultdict(list)

    async def ask(self, dsn: str, question: str, *arguments: object) -> Any:  # Any: whatever a row has
        """The answer; None if the database does not answer on a new connection either."""
        free = self._free[dsn]
        while True:
            new = not free
            try:
                connection = await asyncpg.connect(dsn, timeout=5) if new else free.pop()
                try:
                    answer = await connection.fetchval(question, *arguments)
                except BaseException:
                    connection.terminate()
                    raise
            except (*DRIVER_ERRORS, TimeoutError):
                if new:
                    return None
                continue
            free.append(connection)
            return answer

    def end(self) -> None:
        """Leave all connections."""
        for free in self._free.values():
            for connection in free:
                connection.terminate()
