"""Facts about this process as a whole: its numbers, its event loop and its stop; and what the log says of each."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID

from typing_extensions import override

from saga_fn.engine.observe.fact import PROCESS, FactBase, Line
from saga_fn.printable import name_of_type
from saga_fn.stats import SagaStats

_MOST_TOLD: Final = 20


class StatsRead(FactBase, frozen=True):
    """This process has read the numbers about all sagas, as an instrument has asked for.

    Attributes:
        stats: The numbers, without ends.
        slots: How many sagas this orchestrator runs at once at most; 0 when it is left.
        slots_used: How many it runs now.
        owner: The orchestrator's id, as in the `owner` of a saga that it works on.
        messages_waiting: How many outgoing messages of all sagas are not published, and not dead.
        messages_dead: How many are dead.
        oldest_message: When the oldest of those that wait was written; None if none waits.
    """

    stats: SagaStats
    slots: int
    slots_used: int
    owner: UUID
    messages_waiting: int = 0
    messages_dead: int = 0
    oldest_message: datetime | None = None


class LoopBlocked(FactBase, frozen=True):
    """The event loop has stood still for so long."""

    seconds: float

    @override
    def _line(self) -> Line:
        text = "the event loop stood still for %.1f s: a step runs code that does not await, or the process was held up"
        return Line(logging.WARNING, text, (self.seconds,))


class AroundStartFailed(FactBase, frozen=True):
    """Code around a start has raised after the saga had begun; the caller is told of the start alone."""

    name: str
    """The saga's."""
    error: Exception

    @override
    def _line(self) -> Line:
        text = "code around the start of a saga %r has raised %s after the start"
        return Line(logging.WARNING, text, (self.name, name_of_type(self.error)), logger=PROCESS)


class StopCutsShort(FactBase, frozen=True):
    """A stop has waited so long, and cuts short what runs now."""

    running: tuple[str, ...]
    seconds: float

    @override
    def _line(self) -> Line:
        more = f", and {len(self.running) - _MOST_TOLD} more" if len(self.running) > _MOST_TOLD else ""
        told = ", ".join(self.running[:_MOST_TOLD]) + more
        text = "the process stops: after %g s it cuts short, and hands back, %s"
        return Line(logging.WARNING, text, (self.seconds, told), logger=PROCESS)


class StopLeaves(FactBase, frozen=True):
    """A stop could not even hand these sagas back."""

    sagas: tuple[UUID, ...]

    @override
    def _line(self) -> Line:
        told = ", ".join(map(str, self.sagas[:_MOST_TOLD]))
        text = "the process stops: %d sagas are left to their leases: %s"
        return Line(logging.WARNING, text, (len(self.sagas), told), logger=PROCESS)


class StopOverdue(FactBase, frozen=True):
    """A stop took longer than it may."""

    error: TimeoutError

    @override
    def _line(self) -> Line:
        text = "the engine was not stopped in time: what is left of it ends by itself"
        return Line(logging.ERROR, text, error=self.error)


ProcessFact: TypeAlias = StatsRead | LoopBlocked | AroundStartFailed | StopCutsShort | StopLeaves | StopOverdue
