"""Events from NATS JetStream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, final
from urllib.parse import unquote

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, Header
from nats.js.errors import NotFoundError
from typing_extensions import override

from saga_fn.brokers.connecting import connector
from saga_fn.brokers.consumer import Consumer, Received, about_dead, named, named_apart, of_texts
from saga_fn.brokers.incoming import IncomingMessage, Read
from saga_fn.brokers.intake import OnDropped
from saga_fn.errors import shown
from saga_fn.nats.connecting import by_address
from saga_fn.orchestrator import SagaOrchestrator

_ACK_WAIT: Final = 30.0
"""Seconds after which JetStream sends a message again that was neither acknowledged nor said to be worked at, where we say so."""
_ASK: Final = 1.0
"""Seconds that one request for messages waits."""
_PAUSE: Final = 0.1
"""Seconds between two requests, where the server refuses one at once."""
_NEXT: Final = "$JS.API.CONSUMER.MSG.NEXT"
_ACKNOWLEDGE: Final = "$JS.ACK."
_TIMED_OUT: Final = "408"


@final
class NatsConsumer(Consumer):
    """Takes messages from a JetStream stream and sends each as an event to its saga.

    A message is acknowledged once its fate is known: stored, a repeat, or too late. Those for one saga are sent in the order in
    which they come, others at the same time. It is an async context manager.

    Args:
        address: The address of a server, or several separated by commas; or an async function that connects.
        orchestrator: The orchestrator that sends the events; enter it before.
        read: Says which event a message stands for: `EventFor`, or None for one that is for no saga. It is a plain function.
            If it raises, the message goes to the dead letters.
        stream: The name of the stream, which must exist.
        durable: The name of the consumer at the server, by which all processes of a service share the messages. It is created where
            there is none.
        dead_letters: The subject to which a copy of what cannot be read is published, with the header `dead-letter-reason`. A
            stream has to store it.
        subject: The subjects of the stream to take, where the consumer is created. Default: None, all.
        on_dropped: An async function that is told of each message that came too late, with `Delivery.ENDED` or `Delivery.EXPIRED`,
            before it is acknowledged; again if it raises. Default: None, the log tells it.
        concurrency: How many messages are sent at once, 1 to 10,000. Up to four times as many are in hand, so that others pass
            those for a busy saga, or a full one. If so many wait, all wait with them. Default: 50.
        max_attempts: How often a message is tried that has no saga, or that its saga does not take, 1 or more. Then it goes
            to the dead letters. One whose saga has too many unread events waits instead. Default: 5, which takes
            some 2 seconds.
        grace: How long leaving waits for what is in hand, as a timedelta. Default: 10 seconds.

    Raises:
        SagaError: An argument is not what it has to be.
    """

    def __init__(
        self,
        address: str | Callable[[], Awaitable[Client]],
        orchestrator: SagaOrchestrator,
        read: Read,
        *,
        stream: str,
        durable: str,
        dead_letters: str,
        subject: str | None = None,
        on_dropped: OnDropped | None = None,
        concurrency: int = 50,
        max_attempts: int = 5,
        grace: timedelta = timedelta(seconds=10),
    ) -> None:
        super().__init__(
            orchestrator,
            read,
            source=named("stream", stream),
            on_dropped=on_dropped,
            concurrency=concurrency,
            max_attempts=max_attempts,
            grace=grace,
        )
        self._connect = connector(address, by_address, example='NatsConsumer("nats://localhost:4222", ...)')
        self._stream = stream
        self._durable = named("durable", durable)
        self._dead_letters = named("dead_letters", dead_letters)
        self._subject = subject
        self._client: Client | None = None
        self._inbox: Subscription | None = None
        self._prefix = ""
        self._asked = 0
        self._ack_wait = _ACK_WAIT
        self._held: dict[int, Msg] = {}

    @override
    async def _open(self) -> None:
        self._client = await self._connect()
        context = self._client.jetstream()
        try:
            found = await context.consumer_info(self._stream, self._durable)
        except NotFoundError:
            wanted = ConsumerConfig(
                durable_name=self._durable,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=_ACK_WAIT,
                filter_subject=self._subject,
                max_ack_pending=max(1000, self._most_in_hand),
            )
            found = await context.add_consumer(self._stream, wanted)
        self._ack_wait = found.config.ack_wait or _ACK_WAIT
        await self._refuse_a_circle(context, found.config)
        self._prefix = self._client.new_inbox()
        self._inbox = await self._client.subscribe(f"{self._prefix}.*")

    async def _refuse_a_circle(self, context: JetStreamContext, config: ConsumerConfig) -> None:
        taken = config.filter_subjects or ([config.filter_subject] if config.filter_subject else None)
        if taken is None:
            with contextlib.suppress(nats.errors.TimeoutError):  # the user may not be allowed to ask
                taken = (await context.stream_info(self._stream)).config.subjects
        for subject in taken or ():
            if _takes(subject, self._dead_letters):
                _ = named_apart("dead_letters", self._dead_letters, self._dead_letters)

    @override
    def _mend(self) -> str:
        return f"is the server there, and has it a stream {shown(self._stream)}?"

    @override
    async def _take(self) -> None:
        assert self._client is not None
        context = self._client.jetstream()
        touching = asyncio.create_task(self._touch())
        try:
            while not self._stopping.is_set():
                if self._client.is_closed:
                    raise ConnectionError("the connection was lost")
                if (room := self._most_in_hand - len(self._held)) <= 0:
                    await asyncio.wait(self._in_hand.tasks, return_when=asyncio.FIRST_COMPLETED)
                    continue
                if not await self._ask(context, room):
                    _ = await context.consumer_info(self._stream, self._durable)  # raises if it was deleted
        finally:
            touching.cancel()

    async def _ask(self, context: JetStreamContext, most: int) -> bool:
        """Ask for so many messages, and take those that come in time; says whether any did.

        The client's own `fetch` takes a stored message with a header `Status` for the server's word on the request: it drops it, or
        raises, and what came with it is lost to this process. Only the server's messages have no subject for their acknowledgement.
        """
        assert self._client is not None
        assert self._inbox is not None
        request = msgspec.json.encode({"batch": most, "expires": int(_ASK * 1_000_000_000)})
        self._asked += 1
        reply = f"{self._prefix}.{self._asked}"
        await self._client.publish(f"{_NEXT}.{self._stream}.{self._durable}", request, reply=reply)
        taken = 0
        late = asyncio.get_running_loop().time() + 2 * _ASK
        while taken < most:
            try:
                msg = await self._inbox.next_msg(late - asyncio.get_running_loop().time())
            except nats.errors.TimeoutError:
                break
            if msg.reply.startswith(_ACKNOWLEDGE):
                self._hold(context, msg)
                taken += 1
            elif msg.subject == reply:  # and not the end of an earlier request
                if (msg.headers or {}).get(Header.STATUS.value) != _TIMED_OUT:
                    await asyncio.sleep(_PAUSE)  # it says no at once, and would say it again
                break
        return taken > 0

    def _hold(self, context: JetStreamContext, msg: Msg) -> None:
        self._held[id(msg)] = msg
        self._begin(self._received(context, msg)).add_done_callback(lambda _: self._held.pop(id(msg)))

    async def _touch(self) -> None:
        """Say of what is in hand that it is worked at, so that it does not come again meanwhile."""
        while True:
            await asyncio.sleep(self._ack_wait / 3)
            for msg in list(self._held.values()):
                with contextlib.suppress(nats.errors.Error):  # acknowledged meanwhile, or the connection is lost
                    await msg.in_progress()

    def _received(self, context: JetStreamContext, msg: Msg) -> Received:
        headers = of_texts(msg.headers or {})
        place = msg.metadata.sequence.stream
        message = IncomingMessage(
            id=headers.get(Header.MSG_ID.value) or f"{self._stream}:{place}",
            topic=msg.subject,
            key=unquote(headers["Message-Key"]) if "Message-Key" in headers else None,
            headers=headers,
            body=msg.data,
        )

        async def bury(reason: str) -> None:
            kept = {name: value for name, value in headers.items() if not _is_for_the_server(name.lower())}
            copy = {**kept, **about_dead(self._stream, reason), Header.MSG_ID.value: f"dead:{self._stream}:{place}"}
            _ = await context.publish(self._dead_letters, msg.data, headers=copy)
            await msg.term()

        return Received(message, msg.ack_sync, bury, msg.nak)

    @override
    async def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()


def _is_for_the_server(header: str) -> bool:
    """Whether it has a meaning of its own in a copy: to the server, or to clients that read one with it."""
    return header.startswith("nats-") or header in ("status", "description")


def _takes(pattern: str, subject: str) -> bool:
    """Whether a subject with wildcards takes this one."""
    wanted, given = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted = wanted[:-1]
        if len(given) <= len(wanted):
            return False
        given = given[: len(wanted)]
    return len(wanted) == len(given) and all(want in ("*", word) for want, word in zip(wanted, given, strict=True))
