"""The sagas that this process has started in callers' transactions, as long as it has not heard of the commit."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final, final
from uuid import UUID

import msgspec

from saga_fn.core.ids import Micros, Moment
from saga_fn.engine.recent import Recent
from saga_fn.store.connection import CallerConnection

_MOST: Final = 1000
_LATELY: Final = Micros(1_000_000)
"""A connection that is in a transaction may be in another one than the saga was started in: its pool lends it again at once."""


class _Begun(msgspec.Struct, frozen=True):
    connection: CallerConnection
    transaction: object
    """Asyncpg's, which it has begun on the connection; None where another driver, or a statement, has begun it."""
    since: Moment

    @property
    def is_over(self) -> bool:
        """Whether the connection is in none any more, or in another one."""
        return not _is_within(self.connection) or _transaction_of(self.connection) is not self.transaction


@final
class Uncommitted:
    """The last thousand of them, and since when they are due."""

    def __init__(self) -> None:
        self._ids = Recent()
        self._open: deque[_Begun] = deque(maxlen=_MOST)

    def add(self, ids: Iterable[UUID], connection: CallerConnection, since: Moment) -> None:
        """Remember what was started by this connection, and since when the first of them is due."""
        for each in ids:
            self._ids.add(each)
        if len(self._open) == _MOST:  # the oldest leaves its moment to the next: one transaction may start more
            before = self._open.popleft().since
            next_one = self._open.popleft()
            self._open.appendleft(msgspec.structs.replace(next_one, since=min(before, next_one.since)))
        self._open.append(_Begun(connection, _transaction_of(connection), since))

    def __contains__(self, id: UUID) -> bool:
        """Whether it is one of them, or was."""
        return id in self._ids

    def committed(self, now: Moment) -> Moment | None:
        """Since when those may be due whose transactions are over, which are forgotten; None if there are none.

        Those of a transaction that stays open are not among them: to look for these would go back as far each time.
        """
        still_open: list[_Begun] = []
        since_when: list[Moment] = []
        for begun in self._open:
            is_over = begun.is_over
            if not is_over:
                still_open.append(begun)
            if is_over or begun.since > now - _LATELY:
                since_when.append(begun.since)
        self._open = deque(still_open, maxlen=_MOST)
        return min(since_when, default=None)


def _is_within(connection: CallerConnection) -> bool:
    try:
        return connection.is_in_transaction()
    except Exception:  # noqa: BLE001 - a pool's, after it went back; which class that is only the driver knows
        return False


def _transaction_of(connection: CallerConnection) -> object:
    """The open transaction, as asyncpg knows it. A connection that a pool has lent again has another one.

    A pool's own connections go back to it for good. Those that SQLAlchemy's pool lends are the same each time.
    """
    return getattr(getattr(connection, "_con", connection), "_top_xact", None)
