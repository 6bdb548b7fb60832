"""Facts about claims, slots and leases of this process, and about the names that it works on; and what the log says of each."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Final, TypeAlias
from uuid import UUID

from typing_extensions import override

from saga_fn.engine.observe.fact import PROCESS, FactBase, Line
from saga_fn.errors import StoreError, shown

_MOST_NAMED: Final = 5


class ClaimRound(FactBase, frozen=True):
    """The worker, or `run_due`, has looked for due sagas.

    Attributes:
        claimed: How many it has claimed.
    """

    claimed: int


class ClaimRoundFailed(FactBase, frozen=True):
    """The worker could not look for due sagas, and will again; `told` is the error as it may stand in a log."""

    error: Exception
    told: str

    @override
    def _line(self) -> Line:
        text = "the worker could not look for due sagas: %s"
        if isinstance(self.error, StoreError):
            return Line(logging.WARNING, text, (self.told,))
        return Line(logging.ERROR, text, (self.told,), error=self.error)


class WorkerCancelled(FactBase, frozen=True):
    """Other code has cancelled the worker's task, which may have meant this whole process."""

    @override
    def _line(self) -> Line:
        return Line(
            logging.ERROR,
            "the worker's task was cancelled by code outside of this library: this process claims no saga any more until"
            " its orchestrator is left and entered again",
        )


class SlotsHeld(FactBase, frozen=True):
    """The same sagas have held all slots of this process for long."""

    slots: int
    seconds: float
    sagas: tuple[tuple[UUID, str], ...]
    """The sagas with their names."""

    @override
    def _line(self) -> Line:
        some = ", ".join(f"{saga_id} ({name})" for saga_id, name in self.sagas[:_MOST_NAMED])
        text = "the same sagas have held all %d slots of this process for %.0f s, so it takes on no other: %s"
        return Line(logging.WARNING, text, (self.slots, self.seconds, some))


class NameLeftOut(FactBase, frozen=True):
    """The database's encoding cannot hold the name of a saga that is registered here."""

    name: str

    @override
    def _line(self) -> Line:
        text = "the database's encoding cannot hold the saga name %r: no saga of it is looked for"
        return Line(logging.ERROR, text, (self.name,))


class LeasesRanOut(FactBase, frozen=True):
    """The leases on these sagas could not be renewed in time: they are left to the processes that take them over."""

    sagas: tuple[UUID, ...]

    @override
    def _line(self) -> Line:
        text = "the leases on %d sagas ran out before they could be renewed, among them saga %s"
        return Line(logging.WARNING, text, (len(self.sagas), self.sagas[0]))


class RenewalFailed(FactBase, frozen=True):
    """A round of renewals has failed; the next may do better."""

    error: Exception

    @override
    def _line(self) -> Line:
        if isinstance(self.error, StoreError):
            return Line(logging.WARNING, "leases could not be renewed: %s", (self.error.fact,))
        return Line(logging.ERROR, "leases could not be renewed", error=self.error)


class SuspectsWait(FactBase, frozen=True):
    """Sagas that may be what kills their processes have waited long for their turns."""

    sagas: int
    seconds: float

    @override
    def _line(self) -> Line:
        text = "%d sagas may be what kills their processes: they have waited %.0f s for their turns, each apart from others"
        return Line(logging.WARNING, text, (self.sagas, self.seconds), logger=PROCESS)


class WorksOn(FactBase, frozen=True):
    """This process works on these definitions (name, version); none of them is registered before the first."""

    definitions: tuple[tuple[str, int], ...]
    process: str
    """Its host and its number there."""
    owner: UUID
    """The id under which it claims."""

    @override
    def _line(self) -> Line:
        if not self.definitions:
            text = "works on nothing, as %s (%s): no saga is registered with this process yet"
            return Line(logging.INFO, text, (self.process, self.owner), logger=PROCESS)
        told = ", ".join(f"{name} v{version}" for name, version in self.definitions)
        return Line(logging.INFO, "works on %s, as %s (%s)", (told, self.process, self.owner), logger=PROCESS)


class NamePaused(FactBase, frozen=True):
    """This process has seen a pause of a name that it works on, or of everything."""

    name: str
    """The name; empty for everything."""
    since: datetime
    actor: str | None

    @override
    def _line(self) -> Line:
        text = "%s are paused since %s UTC%s: nothing of them begins before the end of that pause"
        by = "" if self.actor is None else f", by {self.actor}"
        args = (_sagas_of(self.name), f"{self.since.astimezone(UTC):%Y-%m-%d %H:%M:%S}", by)
        return Line(logging.INFO, text, args, {"saga_name": self.name or None}, logger=PROCESS)


class NameResumed(FactBase, frozen=True):
    """This process has seen that such a pause has ended."""

    name: str
    """The name; empty for everything."""

    @override
    def _line(self) -> Line:
        extra: dict[str, object] = {"saga_name": self.name or None}
        return Line(logging.INFO, "the pause of %s has ended", (_sagas_of(self.name),), extra, logger=PROCESS)


class NotOnRoster(FactBase, frozen=True):
    """The store does not take what this process works on."""

    error: StoreError

    @override
    def _line(self) -> Line:
        text = "this process cannot say what it works on: %s"
        return Line(logging.WARNING, text, (self.error.fact,), logger=PROCESS)


class NotOffRoster(FactBase, frozen=True):
    """The store does not take that this process works on nothing any more."""

    error: StoreError

    @override
    def _line(self) -> Line:
        text = "this process could not take leave: %s"
        return Line(logging.INFO, text, (self.error.fact,), logger=PROCESS)


class VersionUnowned(FactBase, frozen=True):
    """Sagas of a version are due, and no process works on it."""

    name: str
    version: int
    counted: str
    """How many, in words."""
    saga_id: UUID
    """One of them."""

    @override
    def _line(self) -> Line:
        text = (
            "%s of %s v%d: due, but no process works on this version: register it until they have ended "
            "(among them saga %s)"
        )
        extra: dict[str, object] = {"saga_name": self.name, "version": self.version, "saga_id": str(self.saga_id)}
        return Line(logging.WARNING, text, (self.counted, self.name, self.version, self.saga_id), extra, logger=PROCESS)


ClaimFact: TypeAlias = (
    ClaimRound
    | ClaimRoundFailed
    | WorkerCancelled
    | SlotsHeld
    | NameLeftOut
    | LeasesRanOut
    | RenewalFailed
    | SuspectsWait
    | WorksOn
    | NamePaused
    | NameResumed
    | NotOnRoster
    | NotOffRoster
    | VersionUnowned
)


def _sagas_of(name: str) -> str:
    return f"the sagas named {shown(name)}" if name else "all sagas"
