"""A message becomes an event of a saga, whatever stands in the way; or it is said why it never will."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeAlias, final
from uuid import UUID

import attrs

from saga_fn.backoff import Backoff
from saga_fn.brokers.incoming import AnyEventFor, EventFor, IncomingMessage, Read
from saga_fn.engine.drive.step_error import program_end
from saga_fn.engine.observe.of_incoming import IncomingDropped, IncomingTaken, IncomingWaits
from saga_fn.engine.requests.event_checks import FULL
from saga_fn.engine.requests.outside_event import Delivery
from saga_fn.errors import (
    PayloadError,
    SagaDefinitionError,
    SagaDeletedError,
    SagaError,
    SagaNotFoundError,
    SagaNotRegisteredError,
    SagaStateError,
    is_a,
)
from saga_fn.orchestrator import SagaOrchestrator
from saga_fn.printable import a_type_of, name_of_type, printable
from saga_fn.tasks import cancellations

OnDropped: TypeAlias = Callable[[IncomingMessage, Delivery], Awaitable[object]]
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0


@attrs.frozen
class Unreadable:
    """It is no event for a saga, and never will be."""

    reason: str


class _Lanes:
    """Lets the messages of one saga through one after the other, in the order in which they came."""

    def __init__(self) -> None:
        self._locks: dict[UUID | tuple[str, str], tuple[asyncio.Lock, int]] = {}
        """Each with how many have it or wait for it."""

    @asynccontextmanager
    async def turn(self, target: UUID | tuple[str, str]) -> AsyncGenerator[None]:
        lock, users = self._locks.get(target, (asyncio.Lock(), 0))
        self._locks[target] = lock, users + 1
        try:
            async with lock:  # it lets them in as they came
                yield
        finally:
            _, users = self._locks[target]
            if users > 1:
                self._locks[target] = lock, users - 1
            else:
                del self._locks[target]


@final
class Intake:
    """Turns messages into events.

    Args:
        orchestrator: Sends them.
        read: The caller's.
        on_dropped: The caller's hook for messages that came too late.
        max_attempts: How often a message is tried that its saga, or the lack of one, refuses.
        source: The queue, stream or topic.
        concurrency: How many are sent at once. Those that wait are not among them: for another of their saga, or for their
            next try.
    """

    def __init__(
        self,
        orchestrator: SagaOrchestrator,
        read: Read,
        *,
        on_dropped: OnDropped | None,
        max_attempts: int,
        source: str,
        concurrency: int,
    ) -> None:
        self._orchestrator = orchestrator
        self._read = read
        self._on_dropped = on_dropped
        self._max_attempts = max_attempts
        self._source = source
        self._lanes = _Lanes()
        self._room = asyncio.Semaphore(concurrency)

    async def take(self, message: IncomingMessage) -> Unreadable | None:
        """Return once the fate of the message is known. Where the store does not answer, that is when it does again."""
        try:
            found = self._read(message)
            if found is not None and is_a(found, EventFor):
                hash(found.target)
        except BaseException as error:  # noqa: BLE001 - whatever it is, this message cannot be read
            _go_on_from(error)
            return Unreadable(_reason(error))
        if found is None:
            self._orchestrator.engine.observers.tell(IncomingTaken(self._source, None))
            return None
        if not is_a(found, EventFor):
            return Unreadable(f"read gave {a_type_of(found)}, which is no EventFor")
        event_id = found.event_id if found.event_id is not None else message.id
        if event_id is None:
            return Unreadable("it has no id, so that a repeat of it would count twice: let read give event_id=")
        async with self._lanes.turn(found.target):
            return await self._insist(message, found, event_id)

    async def _insist(self, message: IncomingMessage, found: AnyEventFor, event_id: str) -> Unreadable | None:
        backoff, refusals, asked = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE), 0, cancellations()
        while True:
            try:
                async with self._room:  # not while it waits for its next try: a full saga may stay full for days
                    delivery = await self._send(found, event_id)
                    await self._dropped(message, delivery)
                self._orchestrator.engine.observers.tell(IncomingTaken(self._source, delivery.value))
                return None
            except (PayloadError, SagaDefinitionError) as error:
                return Unreadable(_reason(error))
            except (SagaNotFoundError, SagaNotRegisteredError, SagaStateError) as error:
                if isinstance(error, SagaStateError) and error.refusal in FULL:  # it is taken later
                    self._orchestrator.engine.observers.tell(IncomingWaits(self._source, _reason(error)))
                else:
                    refusals += 1
                if refusals >= self._max_attempts:
                    return Unreadable(_reason(error))
            except BaseException as error:  # the store, this orchestrator or the hook: not the message's fault
                if isinstance(error, asyncio.CancelledError) and cancellations() > asked:
                    raise
                _go_on_from(error)
                self._orchestrator.engine.observers.tell(IncomingWaits(self._source, _reason(error)))
            await backoff.pause()

    async def _send(self, found: AnyEventFor, event_id: str) -> Delivery:
        sender = self._orchestrator.to(found.target, found.event, may_be_new=found.may_be_new)
        try:
            return await sender.send(
                found.payload, event_id=event_id, correlation_id=found.correlation_id, expires=found.expires
            )
        except SagaDeletedError:
            return Delivery.ENDED

    async def _dropped(self, message: IncomingMessage, delivery: Delivery) -> None:
        if delivery not in (Delivery.ENDED, Delivery.EXPIRED):
            return
        if self._on_dropped is not None:
            _ = await self._on_dropped(message, delivery)
        else:
            told = IncomingDropped(self._source, printable(str(message.id), 100), delivery.value)
            self._orchestrator.engine.observers.tell(told)


def _go_on_from(error: BaseException) -> None:
    """Raise it if the program ends by it."""
    ending = program_end(error)
    if ending is not None:
        raise ending from None


def _reason(error: BaseException) -> str:
    """The reason without what the message says: an exception of the caller's may hold it, and one about a value does."""
    match error:
        case PayloadError(path=str() as path):
            return printable(f"{name_of_type(error)} at `{path}`", 200)
        case SagaError() if not isinstance(error, PayloadError):
            return printable(f"{name_of_type(error)}: {error.fact}", 200)
        case _:
            return name_of_type(error)
