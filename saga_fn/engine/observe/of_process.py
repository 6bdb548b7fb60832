"""Facts about this process, and about what stands between it and the store; and what the log says of each."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Final, TypeAlias
from uuid import UUID

from typing_extensions import override

from saga_fn.core.projection import SagaStatus
from saga_fn.engine.observe.fact import PROCESS, FactBase, Line
from saga_fn.engine.observe.of_messages import IncomingFact
from saga_fn.errors import SagaError, StoreError, shown
from saga_fn.printable import counted, name_of_type, printable
from saga_fn.stats import SagaStats

_MOST_TOLD: Final = 20
_MOST_NAMED: Final = 5


class BatchCommitted(FactBase, frozen=True):
    """The store has answered a commit.

    Attributes:
        shard: The shard of the sagas.
        sagas: How many sagas were committed by one statement.
        seconds: How long that took, since it was sent first.
    """

    shard: int
    sagas: int
    seconds: float


class LateWriteRefused(FactBase, frozen=True):
    """A write was refused, because its saga is another process's by now, or is gone.

    Attributes:
        saga_id: The saga's id.
    """

    saga_id: UUID


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


class CommitsWait(FactBase, frozen=True):
    """The store does not answer: commits wait for it, and nothing new is taken on."""

    error: StoreError

    @override
    def _line(self) -> Line:
        text = "the store does not answer, commits wait for it: %s"
        return Line(logging.WARNING, text, (self.error.fact,))


class CommitsRefused(FactBase, frozen=True):
    """The store refuses all commits."""

    error: StoreError

    @override
    def _line(self) -> Line:
        text = "the store refuses commits, sagas stand still: %s (%s)"
        return Line(logging.ERROR, text, (self.error.fact, self.error.hint))


class CommitsRecovered(FactBase, frozen=True):
    """The store takes commits again."""


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


class LoopBlocked(FactBase, frozen=True):
    """The event loop has stood still for so long."""

    seconds: float

    @override
    def _line(self) -> Line:
        text = "the event loop stood still for %.1f s: a step runs code that does not await, or the process was held up"
        return Line(logging.WARNING, text, (self.seconds,))


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


def _sagas_of(name: str) -> str:
    return f"the sagas named {shown(name)}" if name else "all sagas"


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
            "%s of %s v%d are due, but no process works on them: register this version until they have ended "
            "(among them saga %s)"
        )
        extra: dict[str, object] = {"saga_name": self.name, "version": self.version, "saga_id": str(self.saga_id)}
        return Line(logging.WARNING, text, (self.counted, self.name, self.version, self.saga_id), extra, logger=PROCESS)


class SweepFailed(FactBase, frozen=True):
    """The store did not let events be handed over that were left on their way."""

    error: StoreError

    @override
    def _line(self) -> Line:
        text = "events that were left on their way could not be handed over: %s"
        return Line(logging.WARNING, text, (self.error.fact,), logger=PROCESS)


class OperationHeldUp(FactBase, frozen=True):
    """An operation on many sagas could not go on; a process goes on with it when its lease is over."""

    error: StoreError

    @override
    def _line(self) -> Line:
        text = "an operation on many sagas could not go on: %s"
        return Line(logging.WARNING, text, (self.error.fact,), logger=PROCESS)


class AroundStartFailed(FactBase, frozen=True):
    """Code around a start has raised after the saga had begun; the caller is told of the start alone."""

    name: str
    """The saga's."""
    error: Exception

    @override
    def _line(self) -> Line:
        text = "code around the start of a saga %r has raised %s after the start"
        return Line(logging.WARNING, text, (self.name, name_of_type(self.error)), logger=PROCESS)


class KeyNotHandedOver(FactBase, frozen=True):
    """The store refuses to hand over the events for one business key."""

    name: str
    """The saga's."""
    error: StoreError

    @override
    def _line(self) -> Line:
        text = "events for a saga %r cannot be handed over: %s"
        return Line(logging.WARNING, text, (self.name, self.error.fact), logger=PROCESS)


class SentEventDropped(FactBase, frozen=True):
    """An event that was sent in a caller's transaction was dropped after its commit, and its sender cannot be told.

    Attributes:
        target: The saga's id, or its name and business key.
        event: The name of the event.
        why: The reason, in words.
    """

    target: UUID | tuple[str, str]
    event: str
    why: str

    @override
    def _line(self) -> Line:
        text = "event %r for saga %s, which was sent in a caller's transaction, was dropped after the commit: %s"
        saga = str(self.target) if isinstance(self.target, UUID) else shown(self.target[0])
        return Line(logging.WARNING, text, (self.event, saga, self.why), logger=PROCESS)


class MessagesTried(FactBase, frozen=True):
    """A publisher was given outgoing messages, or a hook was called.

    Attributes:
        topics: The key that the publisher was given by, or the hook's name.
        published: How many of them it has published.
        failed: How many of them it has not.
    """

    topics: str
    published: int
    failed: int


class MessageDied(FactBase, frozen=True):
    """An outgoing message is not tried any more: it was refused for good, or failed as often as it is tried.

    Attributes:
        saga_id: The saga that it comes from.
        topic: Its topic.
        message_id: Its id.
        attempts: How often it was tried.
    """

    saga_id: UUID
    topic: str
    message_id: UUID
    attempts: int

    @override
    def _line(self) -> Line:
        text = "message %s of saga %s for topic %s is dead after %s: see it with SagaAdmin.outgoing, then redrive or discard it"
        args = (self.message_id, self.saga_id, printable(self.topic), counted(self.attempts, "attempt"))
        return Line(logging.ERROR, text, args, logger=PROCESS)


class PublisherFailed(FactBase, frozen=True):
    """The publisher of these topics publishes nothing at present; its messages wait.

    Attributes:
        topics: The key that it was given by: a topic, or a prefix with a star.
        reason: The failure in words.
        error: The type name of what it raised; None if it has said itself that it failed. Default: None.
        hangs: Whether its call goes on though it was cut short. Default: False.
    """

    topics: str
    reason: str
    error: str | None = None
    hangs: bool = False

    @override
    def _line(self) -> Line:
        if self.hangs:
            text = "the publisher of %s goes on with a call that was cut short, its messages wait: it must not swallow CancelledError"
            return Line(logging.WARNING, text, (printable(self.topics),), logger=PROCESS)
        if self.error is None:
            text = "the publisher of %s fails, its messages wait: SagaAdmin.outgoing says why"
            return Line(logging.WARNING, text, (printable(self.topics),), logger=PROCESS)
        text = "the publisher of %s fails (%s), its messages wait: SagaAdmin.outgoing says why"
        return Line(logging.WARNING, text, (printable(self.topics), self.error), logger=PROCESS)


class PublisherRecovered(FactBase, frozen=True):
    """The publisher of these topics publishes again.

    Attributes:
        topics: The key that it was given by.
    """

    topics: str

    @override
    def _line(self) -> Line:
        return Line(logging.INFO, "the publisher of %s works again", (printable(self.topics),), logger=PROCESS)


class RelayHeldUp(FactBase, frozen=True):
    """The store does not take what has become of outgoing messages: some may be published twice, under the same id.

    Or it does not give those that wait, if `is_taking`.
    """

    error: StoreError
    is_taking: bool = False

    @override
    def _line(self) -> Line:
        text = "what became of outgoing messages cannot be written: %s"
        if self.is_taking:
            text = "outgoing messages that wait cannot be taken: %s"
        return Line(logging.WARNING, text, (self.error.fact,), logger=PROCESS)


class SagasDeleted(FactBase, frozen=True):
    """Sagas were deleted, because their retention was over."""

    name: str
    version: int
    status: SagaStatus
    sagas: int

    @override
    def _line(self) -> Line:
        text = "deleted %d sagas of %r v%d that had ended %s"
        return Line(logging.INFO, text, (self.sagas, self.name, self.version, self.status), logger=PROCESS)


class RetentionFailed(FactBase, frozen=True):
    """Sagas whose retention is over were not deleted: the archive raised, or the store refused. They are tried again."""

    name: str
    version: int
    error: BaseException

    @override
    def _line(self) -> Line:
        text = "sagas of %r v%d are kept, though their retention is over: %s"
        why = self.error.fact if isinstance(self.error, SagaError) else type(self.error).__name__
        return Line(logging.WARNING, text, (self.name, self.version, why), logger=PROCESS)


class RetentionStopped(FactBase, frozen=True):
    """The store did not let this process look for sagas whose retention is over."""

    error: StoreError

    @override
    def _line(self) -> Line:
        text = "sagas whose retention is over cannot be deleted: %s"
        return Line(logging.WARNING, text, (self.error.fact,), logger=PROCESS)


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


class UpkeepFailed(FactBase, frozen=True):
    """A task of the engine's own has failed, and begins again; `what` it does is said in words."""

    what: str
    error: BaseException

    @override
    def _line(self) -> Line:
        return Line(logging.ERROR, "the task that %s failed; it begins again", (self.what,), error=self.error)


class UpkeepBegunAgain(FactBase, frozen=True):
    """A task of the engine's own begins again."""

    what: str

    @override
    def _line(self) -> Line:
        text = "the task that %s was ended by other code of this process; it begins again"
        return Line(logging.WARNING, text, (self.what,))


ProcessFact: TypeAlias = (
    BatchCommitted
    | LateWriteRefused
    | StatsRead
    | CommitsWait
    | CommitsRefused
    | CommitsRecovered
    | ClaimRound
    | ClaimRoundFailed
    | WorkerCancelled
    | SlotsHeld
    | NameLeftOut
    | LoopBlocked
    | LeasesRanOut
    | RenewalFailed
    | SuspectsWait
    | WorksOn
    | NamePaused
    | NameResumed
    | NotOnRoster
    | NotOffRoster
    | VersionUnowned
    | SweepFailed
    | OperationHeldUp
    | AroundStartFailed
    | KeyNotHandedOver
    | SentEventDropped
    | MessagesTried
    | MessageDied
    | PublisherFailed
    | PublisherRecovered
    | RelayHeldUp
    | SagasDeleted
    | RetentionFailed
    | RetentionStopped
    | StopCutsShort
    | StopLeaves
    | StopOverdue
    | UpkeepFailed
    | UpkeepBegunAgain
    | IncomingFact
)
