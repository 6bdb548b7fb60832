"""The messages that this process holds in memory, in a line for each saga: which may stand there, and when a line is at an end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import final
from uuid import UUID

from saga_fn.core.ids import Moment
from saga_fn.engine.hold.lane import Line
from saga_fn.engine.hold.lanes import Lanes
from saga_fn.engine.hold.relay_deletion import LastDeleted
from saga_fn.engine.hold.relay_sweep import Sweep
from saga_fn.store.records import HeldMessage, OutgoingRow, time_of


@final
class Lines:
    """The lines of one process. A message that has no place in one is left to the sweep."""

    def __init__(self, lanes: Lanes, sweep: Sweep) -> None:
        self._lanes = lanes
        self._sweep = sweep
        self.clear()

    def clear(self) -> None:
        """Hold nothing."""
        self._by_saga: dict[UUID, Line] = {}
        self._last_deleted = LastDeleted()

    @property
    def sagas(self) -> set[UUID]:
        """The sagas that have one."""
        return set(self._by_saga)

    def holds(self, saga_id: UUID) -> bool:
        """Whether messages of the saga wait in memory."""
        return saga_id in self._by_saga

    def written(
        self, saga_id: UUID, name: str, version: int, rows: Sequence[OutgoingRow], earlier: int, at: Moment
    ) -> Line | None:
        """Take messages that this process has just committed; gives the line if its first message is to be published now.

        `earlier` is the revision of the last message that the saga had before; 0 if there is none. Where that one is not
        the last that is held here, or that was deleted here, these are not taken: a process that takes the saga's first message
        goes on to them.
        """
        line = self._by_saga.get(saga_id)
        if line is None:
            if earlier and not self._last_deleted.was(saga_id, earlier):
                self._sweep.watch(saga_id)
                return None
            line = Line(saga_id, name, version)
        elif line.closed or (earlier and earlier != line.last):
            line.is_passed_by |= not line.closed
            line.closed = True
            return None
        was_empty = not line.messages
        for row in rows:
            lane = None if row.token is None else self._lanes.of(row.topic)
            if lane is None or not lane.room:
                line.closed = True
                if lane is not None:
                    lane.has_more = True
                break
            message = HeldMessage(
                saga_id, row.rev, row.n, row.topic, row.key, row.headers, row.body, 0, time_of(at), name, version
            )
            line.add(message, lane, row.made + row.lease.total_seconds())
        if not line.messages:
            self._sweep.leave_behind(saga_id)
            return None
        self._by_saga[saga_id] = line
        return line if was_empty else None

    def taken(self, held: Iterable[HeldMessage], until: float) -> list[Line]:
        """Take messages that the store has given, until that monotonic time; gives the lines that begin with one of them.

        Each is the first of its saga, which may have more.
        """
        begun: list[Line] = []
        for message in held:
            known = self._by_saga.get(message.saga_id)
            if known is not None:
                known.closed = True
                first = known.messages[0] if known.messages else None
                # Its lease had run out while it waited here.
                if first is not None and (first.rev, first.n) == (message.rev, message.n):
                    known.renew(until)
                continue
            lane = self._lanes.of(message.topic)
            if lane is None or not lane.room:
                self._sweep.leave_behind(message.saga_id)
                continue
            line = self._by_saga[message.saga_id] = Line(
                message.saga_id, message.saga_name, message.version, closed=True
            )
            line.add(message, lane, until)
            begun.append(line)
        return begun

    def settled(self, lines: Iterable[Line]) -> list[Line]:
        """One message more of each of these lines is gone from the store; gives the lines that are at an end.

        Before, each later message of the saga comes behind one that this process has published: it is no other's.
        """
        emptied: list[Line] = []
        for line in lines:
            line.unsettled -= 1
            if not line.messages and not line.unsettled and self._by_saga.get(line.saga_id) is line:
                del self._by_saga[line.saga_id]
                emptied.append(line)
                if not line.closed:
                    self._last_deleted.add(line)
        return emptied

    def drop(self, line: Line) -> None:
        """Leave the line to the process that takes its first message next."""
        line.drop()
        self._by_saga.pop(line.saga_id, None)
