"""Facts about a saga that something stands in the way of: a refused event, a row, a message, a lease; and the log's line of each."""

from __future__ import annotations

import logging
from typing import TypeAlias
from uuid import UUID

from typing_extensions import override

from saga_fn.core.ids import StepId
from saga_fn.engine.observe.fact import FactBase, Line, SagaFactBase, about, only_id
from saga_fn.engine.observe.traces import in_lines
from saga_fn.errors import StoreError
from saga_fn.printable import name_of_type


class AttributeUnknown(SagaFactBase, frozen=True):
    """A search attribute could not be computed of the output of a step; the saga goes on without a value of it."""

    attribute: str
    step: StepId
    error: str
    """The name of the error's type."""

    @override
    def _line(self) -> Line:
        text = "saga %s: attribute %s could not be computed of the output of step %s: %s; no search by a value finds it"
        return Line(logging.WARNING, text, (self.saga.id, self.attribute, self.step, self.error), about(self.saga))


class EventRejected(SagaFactBase, frozen=True):
    """The core has refused an event."""

    event: str
    """The name of its kind."""
    why: str


class ResultDropped(SagaFactBase, frozen=True):
    """A result came when the saga was another process's.

    Attributes:
        saga: The saga.
        event: The name of its kind.
        step: The step that it was a result of; None if it was of none.
    """

    event: str
    step: StepId | None

    @override
    def _line(self) -> Line:
        text = "saga %s: a late result of step %s was dropped"
        return Line(logging.WARNING, text, (self.saga.id, self.step), about(self.saga))


class RejectionNotRecorded(SagaFactBase, frozen=True):
    """The store does not take what was to be remembered of a refusal, or of a late result."""

    what: str
    error: StoreError

    @override
    def _line(self) -> Line:
        text = f"saga %s: {self.what} could not be noted: %s"
        return Line(logging.WARNING, text, (self.saga.id, self.error.fact), about(self.saga))


class MessagesUnreadable(FactBase, frozen=True):
    """Messages to a saga cannot be read; they are answered by that."""

    saga_id: UUID
    first: UUID
    count: int

    @override
    def _line(self) -> Line:
        more = f", and {self.count - 1} more" if self.count > 1 else ""
        args = (self.saga_id, self.first, more)
        return Line(logging.WARNING, "saga %s: message %s cannot be read%s", args, only_id(self.saga_id))


class MessageNotAnswered(FactBase, frozen=True):
    """The store does not take the answer to a message that cannot be read."""

    saga_id: UUID
    error: StoreError

    @override
    def _line(self) -> Line:
        args = (self.saga_id, self.error.fact)
        return Line(logging.WARNING, "saga %s: a message could not be answered: %s", args, only_id(self.saga_id))


class WaitsForStore(SagaFactBase, frozen=True):
    """The saga has waited for about a second for something that the store is to give."""

    what: str
    error: StoreError

    @override
    def _line(self) -> Line:
        args = (self.saga.id, self.what, self.error.fact)
        return Line(logging.WARNING, "saga %s waits for %s: %s", args, about(self.saga))


class RowRefused(SagaFactBase, frozen=True):
    """The database does not keep what the saga has come to."""

    error: StoreError

    @override
    def _line(self) -> Line:
        args = (self.saga.id, self.error.fact)
        return Line(logging.ERROR, "the database refused saga %s: %s", args, about(self.saga))


class WriteSetAside(FactBase, frozen=True):
    """The store takes others' writes and not this one, which is sent beside them from now on."""

    saga_id: UUID
    error: StoreError

    @override
    def _line(self) -> Line:
        text = "the store does not take what saga %s has come to: %s"
        return Line(logging.WARNING, text, (self.saga_id, self.error.fact))


class SagaSetAside(FactBase, frozen=True):
    """The saga cannot be driven, for whatever is stored of it, and is to be parked as it stands."""

    saga_id: UUID
    error: BaseException

    @property
    def why(self) -> str:
        """The error in words that may stand in a log."""
        return self.error.fact if isinstance(self.error, StoreError) else name_of_type(self.error)

    @override
    def _line(self) -> Line:
        known = isinstance(self.error, StoreError)
        text = "saga %s cannot be driven and is parked: %s"
        error = None if known else in_lines(self.error)
        return Line(logging.ERROR, text, (self.saga_id, self.why), only_id(self.saga_id), error)


class SagaNotSetAside(FactBase, frozen=True):
    """Not even that could be written: the saga's lease runs out, and another process meets it."""

    saga_id: UUID
    error: StoreError

    @override
    def _line(self) -> Line:
        text = "saga %s could not be parked; its lease runs out: %s"
        return Line(logging.ERROR, text, (self.saga_id, self.error.fact), only_id(self.saga_id))


class DefinitionDoesNotFit(SagaFactBase, frozen=True):
    """The saga is handed back again and again, because the definition here does not fit it: others may have one that does.

    It is told once of a saga.
    """

    misfit: str
    """How it does not fit."""

    @override
    def _line(self) -> Line:
        text = "saga %s: %s; it is left to a process whose definition fits it, and stands still while none takes it"
        return Line(logging.WARNING, text, (self.saga.id, self.misfit), about(self.saga))


class ReadElsewhere(FactBase, frozen=True):
    """The saga could not be read together with its journal or its plan: it is claimed again after a lease.

    As in a failover, when some connections lead to the old server still.
    """

    saga_id: UUID

    @override
    def _line(self) -> Line:
        text = "saga %s could not be read together with its journal or its plan; it is claimed again later"
        return Line(logging.WARNING, text, (self.saga_id,), only_id(self.saga_id))


class SagaNotClaimable(FactBase, frozen=True):
    """The store does not let the saga be claimed: it is passed over for so many seconds."""

    saga_id: UUID
    seconds: float
    error: StoreError

    @override
    def _line(self) -> Line:
        text = "saga %s cannot be claimed, and is passed over for %.0f s: %s"
        args = (self.saga_id, self.seconds, self.error.fact)
        return Line(logging.ERROR, text, args, only_id(self.saga_id))


class LeftToLease(SagaFactBase, frozen=True):
    """The saga could not be driven for a reason that is not its own: its lease runs out."""

    error: BaseException

    @override
    def _line(self) -> Line:
        if isinstance(self.error, StoreError):  # it does not answer: no traceback says more
            text = "saga %s could not be driven; its lease runs out: %s"
            return Line(logging.WARNING, text, (self.saga.id, self.error.fact), about(self.saga))
        text = "saga %s could not be driven; its lease runs out"
        return Line(logging.ERROR, text, (self.saga.id,), about(self.saga), self.error)


class LeftByProgram(SagaFactBase, frozen=True):
    """The program ends in the middle of the saga, which is left to its lease."""

    @override
    def _line(self) -> Line:
        text = "saga %s is left to its lease: the program ends"
        return Line(logging.WARNING, text, (self.saga.id,), about(self.saga))


class LeaseNotRenewed(FactBase, frozen=True):
    """The lease of one saga could not be renewed when it was wanted at once."""

    saga_id: UUID
    error: StoreError

    @override
    def _line(self) -> Line:
        text = "the lease on saga %s could not be renewed: %s"
        return Line(logging.WARNING, text, (self.saga_id, self.error.fact))


TroubleFact: TypeAlias = (
    AttributeUnknown
    | DefinitionDoesNotFit
    | EventRejected
    | ResultDropped
    | RejectionNotRecorded
    | MessagesUnreadable
    | MessageNotAnswered
    | WaitsForStore
    | RowRefused
    | WriteSetAside
    | SagaSetAside
    | SagaNotSetAside
    | ReadElsewhere
    | SagaNotClaimable
    | LeftToLease
    | LeftByProgram
    | LeaseNotRenewed
)
