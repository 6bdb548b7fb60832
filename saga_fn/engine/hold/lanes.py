"""The publishers of this process by topic: which lane a message waits in."""

from __future__ import annotations

from math import inf
from typing import Protocol, final

from saga_fn.engine.hold.lane import Lane
from saga_fn.engine.topics import AnyPublisher, Topics
from saga_fn.errors import shown
from saga_fn.outgoing import FailedForNow, OutgoingMessage, OutgoingOptions, PublishOutcome


class HookCaller(Protocol):
    """Publishes the calls of hooks; made for the relay by a room above it."""

    def knows(self, topic: str) -> bool:
        """Whether a topic stands for a hook of a definition that this process has."""
        ...

    def publisher(self, topic: str) -> AnyPublisher:
        """The publisher of that topic."""
        ...


@final
class Lanes:
    """The lanes of one process. A publisher has one lane, whichever patterns name it."""

    def __init__(self, topics: Topics, options: OutgoingOptions) -> None:
        self._topics = topics
        self._options = options
        self.hooks: HookCaller | None = None
        """Who calls hooks, if there is one."""
        self.begin_life()

    def begin_life(self) -> None:
        """Begin with no lane."""
        self._by_pattern: dict[str, Lane] = {}

    @property
    def all(self) -> list[Lane]:
        """The lanes of the publishers that were given something."""
        return list(dict.fromkeys(self._by_pattern.values()))

    def of(self, topic: str) -> Lane | None:
        """The lane of a topic; None if this process has no publisher for it."""
        pattern = self._topics.pattern_of(topic)
        publisher = None if pattern is None else self._topics.by_pattern[pattern]
        if publisher is not None and pattern is not None:
            return self._of_publisher(pattern, publisher)
        if self.hooks is None or not self.hooks.knows(topic):
            return None
        return self._by_pattern.get(topic) or self._of_publisher(
            topic, self.hooks.publisher(topic), bounds_its_own=True
        )

    def _of_publisher(self, pattern: str, publisher: AnyPublisher, *, bounds_its_own: bool = False) -> Lane:
        found = self._by_pattern.get(pattern)
        if found is None:
            same = next((lane for lane in self._by_pattern.values() if lane.publisher is publisher), None)
            options = self._options
            found = same or Lane(
                pattern,
                publisher,
                timeout=options.timeout.total_seconds(),
                room=options.waiting,
                batch=options.batch,
                bounds_its_own=bounds_its_own,
            )
            self._by_pattern[pattern] = found
        return found

    async def publish(self, message: OutgoingMessage) -> PublishOutcome:
        """Publish a message now, beside what waits: for a hook whose turn it is, which bounds it."""
        lane = self.of(message.topic)
        if lane is None:
            return FailedForNow(f"topic {shown(message.topic)} has no publisher in this process")
        (outcome,) = await lane.publish([message], [inf])
        return outcome or FailedForNow("its publisher fails")

    async def leave(self) -> None:
        """Leave the publishers that were entered."""
        for lane in self._by_pattern.values():
            await lane.leave()
