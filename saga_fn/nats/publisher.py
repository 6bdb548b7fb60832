"""Outgoing messages to NATS JetStream."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final, Self, final
from urllib.parse import quote

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js.api import Header

from saga_fn.brokers.connecting import Connection, connector
from saga_fn.brokers.sending import UnsendableError, headers_of, seconds_of, send_each, told
from saga_fn.nats.connecting import by_address
from saga_fn.outgoing import FailedForNow, OutgoingMessage, Published, PublishOutcome, RefusedForGood

_SUBJECT: Final = re.compile(r"(?!\$)[^\s.*>\x00-\x1f\x7f]+(\.[^\s.*>\x00-\x1f\x7f]+)*")
_RESERVED: Final = frozenset({"status", "description"})
_TOO_LARGE: Final = 10054
"""JetStream's code for a message that is larger than its stream takes."""


@final
class NatsPublisher:
    """Publishes messages to JetStream: the topic is the subject, and a stream has to store it.

    A message counts as published once its stream has acknowledged it, or knows it already. Each has its id in `Nats-Msg-Id`, by
    which a stream drops repeats within its `duplicate_window`; after that a repeat is stored again, and its consumers know it by
    the id.

    Args:
        address: The address of a server, or several separated by commas, as in "nats://localhost:4222"; or an async function that
            connects, for all other options of `nats.connect`.
        timeout: How long a batch may take, as a timedelta; let it be below `OutgoingOptions.timeout`. Default: 5 seconds.

    Raises:
        SagaError: An argument is not what it has to be.
    """

    def __init__(
        self, address: str | Callable[[], Awaitable[Client]], *, timeout: timedelta = timedelta(seconds=5)
    ) -> None:
        self._timeout = seconds_of(timeout)
        connect = connector(address, by_address, example='NatsPublisher("nats://localhost:4222")')
        self._connection = Connection(connect, lambda client: not client.is_closed, Client.close)

    async def __aenter__(self) -> Self:
        """Connect."""
        _ = await self._connection.get()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connection."""
        await self._connection.close()

    async def publish(self, messages: Sequence[OutgoingMessage], /) -> list[PublishOutcome]:
        """Publish a batch; see `saga_fn.outgoing.Publisher`.

        Args:
            messages: The messages.

        Returns:
            An outcome for each, in order. A message that is too large, or that has an unusable subject or header, is refused for
            good.
        """
        client = await self._connection.get()
        if not client.is_connected:  # what is published now would lie in the client's memory
            return [FailedForNow("there is no connection to NATS at the moment") for _ in messages]
        stream = client.jetstream()

        async def send(message: OutgoingMessage) -> PublishOutcome:
            headers = _headers(message)
            # The server counts the headers too, and ends the connection of a client that sends more.
            if (
                len(message.body) + sum(len(f"{name}: {value}\r\n".encode()) for name, value in headers.items()) + 12
                > client.max_payload
            ):
                raise UnsendableError(f"it is larger than the server takes: {client.max_payload} bytes")
            await stream.publish(message.topic, message.body, timeout=self._timeout, headers=headers)
            return Published()

        return await send_each(messages, send, _judge, within=self._timeout)


def _headers(message: OutgoingMessage) -> dict[str, str]:
    if not _SUBJECT.fullmatch(
        message.topic
    ):  # one that begins with $ is a command to the server, which answers as a stream does
        raise UnsendableError(
            "its topic is no subject: words separated by dots, without spaces, * and >, and without $ at its beginning"
        )
    headers = headers_of(message, _RESERVED)
    if any(name.lower().startswith("nats-") for name in headers):
        raise UnsendableError("a header that begins with Nats- has a meaning of its own here: give it another name")
    own = {Header.MSG_ID.value: str(message.id), "Content-Type": "application/json", "Saga-Id": str(message.saga_id)}
    if message.key is not None:
        own["Message-Key"] = quote(message.key, safe="")
    return {**headers, **own, "Saga-Name": quote(message.saga_name, safe="")}


def _judge(error: BaseException) -> PublishOutcome:
    match error:
        case TimeoutError():  # the client's own is one
            return FailedForNow("it was not acknowledged in time: is the user allowed to publish it?")
        case nats.js.errors.NoStreamResponseError():
            return FailedForNow("no stream stores its subject: create one, or add the subject to one")
        case nats.js.errors.APIError() if error.err_code == _TOO_LARGE:
            return RefusedForGood("it is larger than its stream takes")
        case nats.errors.MaxPayloadError():
            return RefusedForGood("it is larger than the server takes")
        case _:
            return FailedForNow(told(error))
