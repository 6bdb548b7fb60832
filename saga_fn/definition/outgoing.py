"""Messages that a definition declares, and its hooks."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Final, Generic, Protocol, TypeAlias, TypeVar, final
from uuid import UUID

import msgspec
from typing_extensions import TypeIs

from saga_fn.arguments import check_key, check_size, is_async
from saga_fn.codec.containers import is_sequence
from saga_fn.codec.message import encode_message, kept_headers
from saga_fn.core.hooks import Hook
from saga_fn.errors import PayloadError, PayloadTooLargeError, SagaDefinitionError, shown
from saga_fn.printable import HidingStruct

D = TypeVar("D")

MOST_OUTGOING: Final = 100
"""One event of a saga publishes no more messages than this."""
MOST_OUTGOING_BYTES: Final = 4 * 1024 * 1024
"""Nor more bytes, or `max_payload_bytes` if that is more: one statement writes them, which has seconds for it."""
_LONGEST_TOPIC: Final = 255


class SagaNews(msgspec.Struct, frozen=True, kw_only=True):
    """The news that a hook is about. It is the payload of a hook's message, unless that computes another."""

    hook: Hook
    """The hook, that is what has happened."""
    saga_id: UUID
    """The saga's id."""
    saga_name: str
    """The saga's name."""
    version: int
    """The version of its definition."""
    aggregation_id: str | None
    """Its business key, or None."""
    trace_id: str
    """Its id for logs."""
    at: datetime
    """The time of the event that brought it."""
    error: str | None = None
    """The type of the error that the saga failed with last, or None."""
    parked: str | None = None
    """The reason why it waits for a person, or None."""


@final
class HookContext(HidingStruct, Generic[D], frozen=True):
    """The argument of the functions of a hook's message."""

    _hidden: ClassVar[frozenset[str]] = frozenset({"initial_data", "result"})

    news: SagaNews
    """The news."""
    initial_data: D
    """The saga's initial data."""
    result: Any = None  # Any: sagas of all results
    """The saga's result, for `on_completed`; else None."""


HookFunction: TypeAlias = Callable[[SagaNews], Awaitable[object]]
"""An async function that is called with the news, at least once, by any worker that has the definition."""


@final
class Outgoing(msgspec.Struct, frozen=True, eq=False):
    """A message that is published with a step's success (`publishes=`), or by a hook.

    Its functions are given the step's output, or for a hook the `HookContext`. They must be pure.

    Args:
        topic: The topic, 1 to 255 printable characters.
        payload: A function that gives the payload: what can be written as JSON, or bytes, which stay as they are. Default: None,
            the output itself, or a hook's `SagaNews`.
        key: A function that gives the key, a string of 1 to 255 characters. Default: None, the saga's `aggregation_id`, or its id.
        headers: A function that gives the headers, a mapping of strings of 8,192 bytes at most. Default: None, no headers.

    Raises:
        SagaDefinitionError: The topic is none, or one of the others is no function.

    Example::

        @step(publishes=Outgoing("orders.paid", payload=lambda receipt: {"receipt": receipt}))
        async def charge(order: Order) -> str: ...
    """

    topic: str
    """The topic."""
    payload: Callable[[Any], object] | None = None  # Any: outputs of all types
    """The function that gives the payload, or None."""
    key: Callable[[Any], str] | None = None  # Any: as above
    """The function that gives the key, or None."""
    headers: Callable[[Any], Mapping[str, str]] | None = None  # Any: as above
    """The function that gives the headers, or None."""

    def __post_init__(self) -> None:
        """Judge what was given."""
        check_topic(self.topic)
        for name in ("payload", "key", "headers"):
            given: object = getattr(self, name)
            if given is not None and (not callable(given) or inspect.iscoroutinefunction(given)):
                raise SagaDefinitionError(
                    f"{name} of a message must be a function, not async, not {shown(given)}",
                    hint=f'Outgoing("orders.paid", {name}=lambda output: ...)',
                )


GivenHook: TypeAlias = Outgoing | HookFunction
"""A hook: a message, or an async function."""


@final
class Draft(msgspec.Struct, frozen=True, gc=False):
    """A message that a saga publishes, before the commit that writes it."""

    topic: str
    key: str | None
    headers: bytes | None
    body: bytes

    @property
    def size(self) -> int:
        """How many bytes it takes."""
        return len(self.body) + len(self.headers or b"")

    @classmethod
    def of(cls, topic: str, payload: object, *, key: object, headers: object, most: int | None) -> Draft:
        """Make it. Raises PayloadError for what cannot be stored, or takes more than `most` bytes."""
        body = encode_message(payload)
        if most is not None and len(body) > most:
            check_size(f"a message for topic {shown(topic)}", body, most)
        check_key("key", key)
        assert key is None or isinstance(key, str), "just checked"
        return cls(topic, key, kept_headers(headers), body)


def plain_draft(declared: Outgoing, data: bytes, *, most: int) -> Draft | None:
    """The message that is just an output, whose bytes are `data`; None if it asks a function, or is too large."""
    asks = declared.payload is not None or declared.key is not None or declared.headers is not None
    return None if asks or len(data) > most else Draft(declared.topic, None, None, data)


def draft_of(declared: Outgoing, value: object, *, payload: object = None, most: int | None) -> Draft:
    """The message of a value; `payload` stands for it where no function computes one. Raises whatever its functions do."""
    body = declared.payload(value) if declared.payload is not None else value if payload is None else payload
    key = None if declared.key is None else declared.key(value)
    headers = None if declared.headers is None else declared.headers(value)
    return Draft.of(declared.topic, body, key=key, headers=headers, most=most)


class Outlet(Protocol):
    """Where a step's messages go; the engine has it."""

    def collect(
        self, run: str, topic: str, payload: object, key: str | None, headers: Mapping[str, str] | None
    ) -> None:
        """Take a message of an execution, which is named by `run`. Raises PayloadError or SagaDefinitionError."""
        ...


class Hooks(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The hooks of a definition."""

    on_started: GivenHook | None = None
    on_completed: GivenHook | None = None
    on_compensated: GivenHook | None = None
    on_failed: GivenHook | None = None
    on_parked: GivenHook | None = None

    def __post_init__(self) -> None:
        """Judge what was given."""
        for hook in Hook:
            given: object = getattr(self, hook.value)
            if given is not None and not isinstance(given, Outgoing) and not is_async(given):
                raise SagaDefinitionError(
                    f"{hook.value} must be an Outgoing message or an async function, not {shown(given)}",
                    hint=f'{hook.value}=Outgoing("orders.news"), or an `async def told(news: SagaNews) -> None`',
                )

    def of(self, hook: Hook) -> GivenHook | None:
        """The hook for that moment."""
        match hook:
            case Hook.STARTED:
                return self.on_started
            case Hook.COMPLETED:
                return self.on_completed
            case Hook.COMPENSATED:
                return self.on_compensated
            case Hook.FAILED:
                return self.on_failed
            case Hook.PARKED:
                return self.on_parked

    @property
    def all(self) -> dict[Hook, GivenHook]:
        """The hooks that there are."""
        return {hook: given for hook in Hook if (given := self.of(hook)) is not None}

    @property
    def topics(self) -> list[str]:
        """The topics of those that are messages."""
        return [given.topic for given in self.all.values() if isinstance(given, Outgoing)]


def hook_topic(name: str, version: int, hook: Hook) -> str:
    """The topic that stands for a hook of a definition. No message can have it, for it does not print."""
    return f"\t{hook.value}\t{version}\t{name}"


def hook_in(topic: str) -> tuple[str, int, Hook] | None:
    """The name, version and hook that a topic stands for; None if it is one of messages."""
    if not topic.startswith("\t"):
        return None
    _, hook, version, name = topic.split("\t", 3)
    return name, int(version), Hook(hook)


def shown_topic(topic: str) -> str:
    """The topic as a person is told it: of a hook's the hook's name."""
    hook = hook_in(topic)
    return topic if hook is None else hook[2].value


def is_topic(topic: object) -> TypeIs[str]:
    """Whether it can be a topic: such a string prints, and no topic of a hook does."""
    return isinstance(topic, str) and 0 < len(topic) <= _LONGEST_TOPIC and topic.isprintable()


def check_topic(topic: object) -> None:
    """Raise SagaDefinitionError for what is no topic."""
    if not is_topic(topic):
        raise SagaDefinitionError(
            f"a topic is a string of 1 to {_LONGEST_TOPIC} printable characters, not {shown(topic)}",
            hint='e.g. "orders.paid"',
        )


def check_publishes(name: str, value: object) -> tuple[Outgoing, ...]:
    """The messages that a step publishes. Raises SagaDefinitionError for what is none."""
    given = value if is_sequence(value) else (value,)
    messages = tuple(each for each in given if isinstance(each, Outgoing))
    if len(messages) < len(given):
        raise SagaDefinitionError(
            f"{name} must be an Outgoing message, or a tuple of them, not {shown(value)}",
            hint='publishes=Outgoing("orders.paid")',
        )
    if len(messages) > MOST_OUTGOING:
        raise SagaDefinitionError(f"a step publishes at most {MOST_OUTGOING} messages, not {len(messages)}")
    return messages


def check_together(count: int, size: int, most: int) -> None:
    """Raise PayloadError for more messages, or more bytes of them, than one execution may publish.

    `most` is what one payload may take: so much can be published, if nothing else is.
    """
    if count > MOST_OUTGOING:
        raise PayloadError(
            f"an execution publishes at most {MOST_OUTGOING} messages",
            hint="publish one message with a list in it, or fan out",
        )
    limit = max(MOST_OUTGOING_BYTES, most)
    if count > 1 and size > limit:
        raise PayloadTooLargeError(
            "all that one execution publishes",
            size=size,
            limit=limit,
            hint="publish references to large data that is kept elsewhere, or publish from several steps, or the items of a fan-out",
        )
