"""The life of a consumer: it is entered, takes messages in, connects again, and is left without losing one."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import ClassVar, Final, Self

import attrs

from saga_fn import steady
from saga_fn.arguments import check_is, check_whole
from saga_fn.backoff import Backoff
from saga_fn.brokers.incoming import IncomingMessage, Read
from saga_fn.brokers.intake import Intake, OnDropped, Unreadable
from saga_fn.brokers.sending import seconds_of, told
from saga_fn.engine.observe.of_incoming import ConsumerFailed, ConsumerLosesBroker, IncomingDead, IncomingWaits
from saga_fn.errors import SagaError, shown
from saga_fn.orchestrator import SagaOrchestrator
from saga_fn.printable import a_type_of, printable
from saga_fn.tasks import Errands, cut_short, spawn

PATIENCE: Final = 10.0
"""Seconds that each answer to a broker may take."""

_WINDOW: Final = 300.0
"""Seconds."""
_OFTEN: Final = 5
"""So many losses of the broker within the window are no accident."""
_AHEAD: Final = 4
"""How many times as many messages as are sent at once are in hand: those for one busy saga wait there, and others pass them."""
_LAST_LOOK: Final = 2.0
"""Seconds that a look for messages that goes on may take at the end: what it brings would else lie about until it comes again."""


@attrs.frozen
class Received:
    """A message that this process has in hand, and what the broker can be told of it."""

    message: IncomingMessage
    acknowledge: Callable[[], Awaitable[object]]
    """Its fate is known: it need not come again."""
    bury: Callable[[str], Awaitable[object]]
    """It cannot be read: give it to the dead letters, with this reason, and then acknowledge it."""
    give_back: Callable[[], Awaitable[object]]
    """It is to come again, here or elsewhere."""


class Consumer(ABC):
    """Takes messages from a broker and sends each as an event to its saga.

    It is an async context manager: entering connects and begins, leaving ends gracefully. Enter it after the orchestrator, and
    leave it before.
    """

    opening: ClassVar[float] = PATIENCE
    """Seconds that connecting may take."""

    def __init__(
        self,
        orchestrator: SagaOrchestrator,
        read: Read,
        *,
        source: str,
        on_dropped: OnDropped | None,
        concurrency: int,
        max_attempts: int,
        grace: timedelta,
    ) -> None:
        check_is(
            orchestrator, SagaOrchestrator, "an orchestrator", error=SagaError, hint="the one that sends the events"
        )
        for name, given in (("read", read), ("on_dropped", on_dropped or bool)):
            if not callable(given):
                raise SagaError(f"{name} must be a function, not {a_type_of(given)}", hint=f"{name}=your_function")
        check_whole("concurrency", concurrency, least=1, most=10_000)
        check_whole("max_attempts", max_attempts, least=1)
        self._orchestrator = orchestrator
        self._source = source
        self._concurrency = concurrency
        self._grace = seconds_of(grace, "grace")
        self._most_in_hand = _AHEAD * concurrency
        self._intake = Intake(
            orchestrator, read, on_dropped=on_dropped, max_attempts=max_attempts, source=source, concurrency=concurrency
        )
        self._in_hand = Errands()
        self._loop: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._losses: deque[float] = deque()
        """When (monotonic time) the broker was lost that had been there, within the window."""

    async def __aenter__(self) -> Self:
        """Connect, and begin to take messages.

        Returns:
            The consumer.

        Raises:
            SagaError: The broker is not there, or has no such queue, stream or topic; or it is entered already.
        """
        if self._loop is not None:
            raise SagaError("this consumer is entered already", hint="make one for each `async with`")
        self._stopping.clear()
        try:
            async with asyncio.timeout(self.opening):
                await self._open()
        except BaseException as error:
            await self._shut()
            if not isinstance(error, Exception):
                raise
            raise SagaError(
                f"the consumer of {shown(self._source)} cannot begin: {told(error)}", hint=self._mend()
            ) from error
        self._loop = spawn(self._go_on())
        self._orchestrator.engine.troubles.append(self._trouble)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Take no more messages, finish those in hand within `grace`, give the others back, and close the connection."""
        loop, self._loop = self._loop, None
        self._stopping.set()
        if loop is not None:
            self._orchestrator.engine.troubles.remove(self._trouble)
            await cut_short((loop,), PATIENCE, first=_LAST_LOOK + self._grace)
            await self._in_hand.stop(PATIENCE, first=self._grace)
        await self._shut()

    @abstractmethod
    async def _open(self) -> None:
        """Connect."""

    @abstractmethod
    async def _take(self) -> None:
        """Give messages to `_begin` until `_stopping` is set. It raises when the connection is lost."""

    @abstractmethod
    async def _close(self) -> None:
        """Close the connection, if there is one."""

    @abstractmethod
    def _mend(self) -> str:
        """The mend where it cannot begin."""

    async def _go_on(self) -> None:
        backoff = Backoff(0.1, 10.0)
        while not self._stopping.is_set():
            try:
                await self._take()
            except Exception as error:  # noqa: BLE001 - of the client's: the connection is made again, whatever it was
                if not self._times_lost():
                    backoff.reset()
                self._note_loss(error)
                await self._in_hand.stop(PATIENCE)  # the broker hears nothing more of them, and sends them again
                await self._open_again(backoff)

    def _times_lost(self) -> int:
        """How often the broker was lost lately that had been there."""
        while self._losses and self._losses[0] < steady.now() - _WINDOW:
            self._losses.popleft()
        return len(self._losses)

    @property
    def _is_lost_often(self) -> bool:
        return self._times_lost() >= _OFTEN

    def _note_loss(self, error: Exception) -> None:
        self._losses.append(steady.now())
        observers = self._orchestrator.engine.observers
        observers.tell(ConsumerFailed(self._source, told(error)))
        if self._times_lost() == _OFTEN:
            observers.tell(ConsumerLosesBroker(self._source, _OFTEN, told(error)))

    def _trouble(self) -> str | None:
        """The trouble that a person should look at."""
        if not self._is_lost_often:
            return None
        return (
            f"the consumer of {shown(self._source)} has lost its broker {self._times_lost()} times in 5 minutes: the network fails, "
            "or there is a message that the broker's client library cannot read"
        )

    async def _open_again(self, backoff: Backoff) -> None:
        while not self._stopping.is_set():
            await self._shut()
            await backoff.pause()
            try:
                async with asyncio.timeout(self.opening):
                    await self._open()
                return
            except Exception as error:  # noqa: BLE001 - as above
                self._orchestrator.engine.observers.tell(ConsumerFailed(self._source, told(error)))

    async def _shut(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._close()
        except Exception:  # noqa: BLE001, S110 - it is of no use any more, whatever its client says at its end
            pass

    def _begin(self, received: Received) -> asyncio.Task[None]:
        """Deal with one message, beside others."""
        return self._in_hand.begin(self._deal_with(received))

    async def _deal_with(self, received: Received) -> None:
        try:
            match await self._intake.take(received.message):
                case Unreadable(reason):
                    await self._bury(received, reason)
                case None:
                    await self._answer(received.acknowledge)
        except asyncio.CancelledError:
            await self._answer(received.give_back)
            raise

    async def _bury(self, received: Received, reason: str) -> None:
        observers = self._orchestrator.engine.observers
        observers.tell(IncomingDead(self._source, printable(str(received.message.id), 100), reason))
        backoff = Backoff(0.1, 10.0)
        while True:
            try:
                async with asyncio.timeout(PATIENCE):
                    await received.bury(reason)
                return
            except Exception as error:  # noqa: BLE001 - of the client's: it stays in hand until the dead letters have it
                observers.tell(IncomingWaits(self._source, f"the dead letters do not take one: {told(error)}"))
            await backoff.pause()

    async def _answer(self, answer: Callable[[], Awaitable[object]]) -> None:
        """Tell the broker. If it cannot be told it sends the message again, and then the message is a repeat."""
        try:
            async with asyncio.timeout(PATIENCE):
                _ = await answer()
        except Exception:  # noqa: BLE001, S110 - as just said
            pass


def of_texts(headers: Mapping[str, object]) -> dict[str, str]:
    """The headers whose values are text."""
    texts = {
        name: value.decode("utf-8", "replace") if isinstance(value, bytes) else value for name, value in headers.items()
    }
    return {name: value for name, value in texts.items() if isinstance(value, str)}


def about_dead(source: str, reason: str) -> dict[str, str]:
    """The headers that a copy in the dead letters has besides its own."""
    return {
        "dead-letter-source": source.encode("ascii", "replace").decode(),
        "dead-letter-reason": reason.encode("ascii", "replace").decode(),
    }


def named(option: str, value: object) -> str:
    """A name that the broker knows; raises SagaError for what is none."""
    if not isinstance(value, str) or not value:
        raise SagaError(
            f"{option} is the name of something at the broker, not {shown(value)}", hint=f'{option}="orders"'
        )
    return value


def named_apart(option: str, value: object, source: str) -> str:
    """The same for what must not be the source itself: a dead letter would come in again, for ever."""
    name = named(option, value)
    if name == source:
        raise SagaError(
            f"{option} is {shown(source)}, from which messages are taken",
            hint=f'{option}="orders.dead", a place of its own',
        )
    return name
