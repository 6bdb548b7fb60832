"""Numbers about all sagas, for dashboards and consoles: the values that `SagaAdmin.stats` and `SagaAdmin.processes` give."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import msgspec
from typing_extensions import override

from saga_fn.core.projection import SagaStatus
from saga_fn.printable import LONGEST_NAME, printable
from saga_fn.snapshot import SagaCount


class DefinitionStats(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers about the sagas of one name and version. Each is counted up to 10,000."""

    saga_name: str
    """The name of the sagas."""
    version: int
    """The number of the definition's version."""
    running: SagaCount
    """Those that are RUNNING."""
    compensating: SagaCount
    """Those that are COMPENSATING."""
    suspended: SagaCount
    """Those that are SUSPENDED: they wait for something, and no process holds them."""
    retrying: SagaCount
    """The suspended ones that wait for another attempt."""
    sleeping: SagaCount
    """The suspended ones that wait for a moment: in a sleep, or at an event that has a time. `waiting` has the latter, too."""
    waiting: SagaCount
    """The suspended ones that wait for an event, with a time or without."""
    parked: SagaCount
    """The suspended ones that wait for a person."""
    paused_alone: SagaCount
    """The suspended ones that an operator has paused by themselves, with `pause_saga`. A pause of their name is told by `paused`."""
    failed: SagaCount
    """Those that ended FAILED, acknowledged ones left out."""
    overdue: SagaCount
    """Those that have been due for longer than a minute. It counts none while they are paused."""
    oldest_due: datetime | None
    """The time since when the longest waiting one has been due. None: none is due, or they are paused."""
    processes: int
    """The number of processes seen lately that work on this name and version."""
    paused: bool
    """Whether their name, or everything, is paused."""
    ends: Mapping[SagaStatus, tuple[int | None, ...]]
    """How many sagas ended in each minute of the last hour, by the status that they ended with. The last of the 60 numbers is for
    the minute that has just begun. None stands for a minute that was not counted, because 100,000 have ended since. Sagas that
    were deleted are not counted. Empty if `stats` was not asked for ends."""

    @property
    def is_unowned(self) -> bool:
        """Whether some are overdue, and no process works on them."""
        return self.overdue.sagas > 0 and not self.processes


class SagaStats(msgspec.Struct, frozen=True):
    """Numbers about all sagas at one moment."""

    at: datetime
    """The moment, by the database's clock."""
    definitions: tuple[DefinitionStats, ...]
    """By name and version, in order: all of which there are sagas, or processes that work on them."""

    @override
    def __str__(self) -> str:
        """A line for each definition, with the numbers that are not 0."""
        return "\n".join(map(_line, self.definitions)) or "no sagas"


def _line(of: DefinitionStats) -> str:
    counts = (
        *(("running", of.running), ("compensating", of.compensating), ("suspended", of.suspended)),
        *(("parked", of.parked), ("failed", of.failed), ("overdue", of.overdue)),
    )
    told = ", ".join(f"{count} {name}" for name, count in counts if count.sagas) or "none that lives or failed"
    mark = ", paused" if of.paused else ", unowned" if of.is_unowned else ""
    return f"{printable(of.saga_name, LONGEST_NAME)} v{of.version}: {told}{mark}"


class WorkingProcess(msgspec.Struct, frozen=True):
    """A process that works on sagas."""

    id: UUID
    """Its id, as in the `owner` of a saga that it works on."""
    process: str
    """Its host and its number there (`shop-7f4c:41`), as in the journal and in its own log."""
    seen_at: datetime
    """The time when it last said that it is there: it does so each half minute."""
    definitions: tuple[tuple[str, int], ...]
    """The names and versions of the sagas that it works on."""
