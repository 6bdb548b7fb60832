"""A broker that records what it is given, and fails as it is told to."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Self
from uuid import UUID

import msgspec

from saga_fn.outgoing import FailedForNow, OutgoingMessage, Published, PublishOutcome
from tests.support.until import SOON


class Broker:
    """A publisher, and the messages that it has confirmed, in their order."""

    def __init__(self) -> None:
        self.messages: list[OutgoingMessage] = []
        self.batches: list[list[OutgoingMessage]] = []
        self.answer: Callable[[OutgoingMessage], PublishOutcome] = lambda _: Published()
        self.down: BaseException | None = None
        """Whatever each call raises."""
        self.open = asyncio.Event()
        """A call waits for this."""
        self.open.set()
        self.entered = self.left = 0
        self.calls = 0
        self._more = asyncio.Event()

    async def __aenter__(self) -> Self:
        self.entered += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        self.left += 1

    async def publish(self, messages: Sequence[OutgoingMessage], /) -> Sequence[PublishOutcome]:
        self.calls += 1
        await self.open.wait()
        if self.down is not None:
            self._more.set()
            raise self.down
        self.batches.append(list(messages))
        outcomes = [self.answer(message) for message in messages]
        self.messages += [
            message for message, outcome in zip(messages, outcomes, strict=True) if isinstance(outcome, Published)
        ]
        self._more.set()
        return outcomes

    async def until(self, number: int) -> list[OutgoingMessage]:
        """Wait until it has confirmed so many different messages; gives them in the order in which each came first."""
        async with asyncio.timeout(SOON):
            while len(self.first) < number:
                self._more.clear()
                await self._more.wait()
        return self.first

    async def until_calls(self, number: int) -> None:
        """Wait until it was called so often."""
        async with asyncio.timeout(SOON):
            while self.calls < number:
                await asyncio.sleep(0.002)

    @property
    def first(self) -> list[OutgoingMessage]:
        """Each message once, in the order in which it came first."""
        found: dict[UUID, OutgoingMessage] = {}
        for message in self.messages:
            found.setdefault(message.id, message)
        return list(found.values())

    @property
    def topics(self) -> list[str]:
        """The topics of these."""
        return [message.topic for message in self.first]

    @property
    def bodies(self) -> list[object]:
        """Their payloads."""
        return [msgspec.json.decode(message.body) for message in self.first]

    @property
    def by_saga(self) -> dict[UUID, list[OutgoingMessage]]:
        """These by saga."""
        found: dict[UUID, list[OutgoingMessage]] = defaultdict(list)
        for message in self.first:
            found[message.saga_id].append(message)
        return found


def refuse(*topics: str) -> Callable[[OutgoingMessage], PublishOutcome]:
    """Publish all but these topics."""
    return lambda message: FailedForNow("not now") if message.topic in topics else Published()
