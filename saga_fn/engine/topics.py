"""The topics that this process publishes to, and where messages go that have just become durable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final, TypeAlias, final
from uuid import UUID

from typing_extensions import TypeIs

from saga_fn.arguments import is_async
from saga_fn.codec.containers import is_mapping
from saga_fn.core.hooks import Hook
from saga_fn.definition import AnySaga, Hooks, Outgoing
from saga_fn.definition.outgoing import GivenHook, is_topic
from saga_fn.errors import PayloadError, SagaDefinitionError, SagaError, shown
from saga_fn.outgoing import Publisher, PublishFunction
from saga_fn.store.records import OutgoingRow

AnyPublisher: TypeAlias = Publisher | PublishFunction
Written: TypeAlias = Callable[[UUID, str, int, Sequence[OutgoingRow], int], None]
"""Takes the messages of a saga, its name and version, and the revision of the last that it had before; 0 for none."""
SOME_EARLIER = -1
"""Stands for a revision that is not known: no message has it."""


def _leave(saga_id: UUID, name: str, version: int, rows: Sequence[OutgoingRow], earlier: int) -> None:
    """Nothing publishes here: the process that takes the messages does."""


@final
class Topics:
    """The publishers of a process, by topic. `works` says whether it runs sagas: only then must each topic have one."""

    def __init__(
        self,
        publishers: Mapping[str, AnyPublisher] | None = None,
        *,
        lease: timedelta = timedelta(0),
        works: bool = False,
    ) -> None:
        """Raise SagaError for what are no publishers. `lease`: for how long no other process takes a message of this one."""
        self.by_pattern: dict[str, AnyPublisher] = _judged({} if publishers is None else publishers)
        self.lease = lease
        self.works: bool = works
        """Whether this process runs sagas."""
        self.token: UUID | None = None
        """The token under which this process holds messages; None while it publishes none."""
        self.written: Written = _leave
        """Told of messages that have become durable."""
        self._exact = {topic for topic in self.by_pattern if not topic.endswith("*")}
        self._prefixes = sorted((each[:-1] for each in self.by_pattern if each.endswith("*")), key=len, reverse=True)

    def pattern_of(self, topic: str) -> str | None:
        """The key of the publisher of a topic: the topic itself, or its longest prefix; None if it has none.

        A topic that stands for a hook has none, whatever its prefix.
        """
        if not topic.isprintable():
            return None
        if topic in self._exact:
            return topic
        return next((f"{prefix}*" for prefix in self._prefixes if topic.startswith(prefix)), None)

    def check(self, topic: str) -> None:
        """Raise PayloadError for a topic that has no publisher here."""
        if self.works and self.pattern_of(topic) is None:
            raise PayloadError(f"topic {shown(topic)} has no publisher in this process", hint=_HINT)

    def check_definition(self, name: str, definition: AnySaga) -> None:
        """Raise SagaDefinitionError if a topic that the definition declares has no publisher here."""
        for topic in definition.topics if self.works else ():
            if self.pattern_of(topic) is None:
                raise SagaDefinitionError(
                    f"saga {shown(name)} publishes to topic {shown(topic)}, which has no publisher in this process",
                    hint=_HINT,
                )

    def token_for(self, topic: str) -> UUID | None:
        """The token under which a message of the topic is written: None leaves it to a process that has a publisher."""
        return None if self.token is None or self.pattern_of(topic) is None else self.token

    def token_for_hook(self, hooks: Hooks | None, hook: Hook) -> UUID | None:
        """The same for a hook: None leaves it to a process that knows the definition."""
        given = None if hooks is None else hooks.of(hook)
        return None if given is None or not self.can_call(given) else self.token

    def can_call(self, hook: GivenHook) -> bool:
        """Whether this process has all that the hook needs: a publisher, if it is a message."""
        return not isinstance(hook, Outgoing) or self.pattern_of(hook.topic) is not None


ONE_EACH: Final = "[Published() for _ in messages]"
"""The least that a publisher returns."""
_HINT = 'SagaOrchestrator(..., publishers={"orders.*": a_publisher})'


def _judged(publishers: object) -> dict[str, AnyPublisher]:
    if not is_mapping(publishers):
        raise SagaError(f"publishers are a mapping by topic, not {shown(publishers)}", hint=_HINT)
    found: dict[str, AnyPublisher] = {}
    for topic, publisher in publishers.items():
        if not is_topic(topic):
            raise SagaError(
                f"the key of a publisher is a topic, or a prefix with a star, not {shown(topic)}", hint=_HINT
            )
        if not _is_publisher(publisher):
            raise SagaError(
                f"the publisher of topic {shown(topic)} is no async function, and has no async method `publish`",
                hint=f"async def publish(messages): ..., which returns {ONE_EACH}",
            )
        found[topic] = publisher
    return found


def _is_publisher(value: object) -> TypeIs[AnyPublisher]:
    """Whether it can be awaited as one; the rest is seen when it is."""
    method: object = getattr(value, "publish", None)
    return not isinstance(value, type) and is_async(method if callable(method) else value)


NO_TOPICS: Final = Topics()
"""Those of a process that publishes nothing."""
