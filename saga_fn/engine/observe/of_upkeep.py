"""Facts about the work that goes on beside the sagas: sweeps, deletions, events on their way; and what the log says of each."""

from __future__ import annotations

import logging
from typing import TypeAlias
from uuid import UUID

from typing_extensions import override

from saga_fn.core.projection import SagaStatus
from saga_fn.engine.observe.fact import PROCESS, FactBase, Line
from saga_fn.errors import SagaError, StoreError, shown


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


UpkeepFact: TypeAlias = (
    SweepFailed
    | OperationHeldUp
    | KeyNotHandedOver
    | SentEventDropped
    | SagasDeleted
    | RetentionFailed
    | RetentionStopped
    | UpkeepFailed
    | UpkeepBegunAgain
)
