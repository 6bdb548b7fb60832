"""Outgoing messages as signed webhooks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final, Self, final

import httpx
import msgspec
from typing_extensions import override

from saga_fn.arguments import check_whole
from saga_fn.brokers.sending import UnsendableError, headers_of, seconds_of, send_each, told
from saga_fn.errors import SagaError
from saga_fn.outgoing import FailedForNow, OutgoingMessage, Published, PublishOutcome, RefusedForGood
from saga_fn.webhook.signing import Signer

_LONGEST_WAIT: Final = timedelta(hours=1)
"""The longest time for which a receiver may ask to be left alone."""
_RESERVED: Final = frozenset(
    {
        *(
            "accept-encoding",
            "authorization",
            "connection",
            "content-encoding",
            "content-length",
            "cookie",
            "expect",
            "forwarded",
        ),
        *("host", "keep-alive", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade", "user-agent"),
        *("webhook-id", "webhook-signature", "webhook-timestamp"),
    }
)
"""Headers that say how a request travels, who sends it, or that it is genuine."""


@final
class WebhookPublisher:
    """Posts messages to an address, signed as the Standard Webhooks say.

    The body is `{"type": topic, "timestamp": ..., "data": payload}`, with the message's key as "key" if it has one. The headers
    `webhook-id`, `webhook-timestamp` and `webhook-signature` (HMAC-SHA256) let a receiver check it, and drop repeats by the id.
    Any answer of 2xx counts as published. No redirect is followed.

    Args:
        url: The address, http or https.
        secret: The secret that the receiver knows: "whsec_" and 24 to 64 random bytes in base64; or several, while receivers
            change to the first one: each message is then signed with each.
        client: A client of yours, for certificates, proxies and limits; you close it. Default: None, one of its own.
        timeout: How long a batch may take, as a timedelta; let it be below `OutgoingOptions.timeout`. Default: 5 seconds.
        concurrency: How many requests go on at once, 1 or more. Default: 10.

    Raises:
        SagaError: An argument is not what it has to be.
    """

    def __init__(
        self,
        url: str,
        *,
        secret: str | Sequence[str],
        client: httpx.AsyncClient | None = None,
        timeout: timedelta = timedelta(seconds=5),
        concurrency: int = 10,
    ) -> None:
        self._url = _checked(url)
        self._signer = Signer(*(secret if isinstance(secret, list | tuple) else [secret]))
        self._timeout = seconds_of(timeout)
        check_whole("concurrency", concurrency, least=1)
        self._concurrency = concurrency
        self._given = client
        self._own: httpx.AsyncClient | None = None

    @override
    def __repr__(self) -> str:
        return f"WebhookPublisher({self._url.host})"

    async def __aenter__(self) -> Self:
        """Do nothing: a connection is made by the first message."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the client, if it is the publisher's own."""
        own, self._own = self._own, None
        if own is not None:
            await own.aclose()

    async def publish(self, messages: Sequence[OutgoingMessage], /) -> list[PublishOutcome]:
        """Post a batch; see `saga_fn.outgoing.Publisher`.

        Args:
            messages: The messages.

        Returns:
            An outcome for each, in order. A message is refused for good by 410 (gone) and 413 (too large), and for an unusable
            header. So is a payload of bytes that is not one JSON value.
        """
        room = asyncio.Semaphore(self._concurrency)

        async def send(message: OutgoingMessage) -> PublishOutcome:
            headers = headers_of(message, _RESERVED, ascii_only=True)
            body = _body(message)
            async with room:
                signed = self._signer.headers(str(message.id), int(time.time()), body)
                return await self._post({**headers, "content-type": "application/json", **signed}, body)

        return await send_each(messages, send, _judge, within=self._timeout)

    async def _post(self, headers: dict[str, str], body: bytes) -> PublishOutcome:
        client = self._given or self._own
        if client is None:
            # A cookie that one answer sets would travel with the messages of every other saga.
            none = CookieJar(DefaultCookiePolicy(allowed_domains=()))
            client = self._own = httpx.AsyncClient(timeout=self._timeout, cookies=none)
        # The answer's body is not read: a receiver could send one without end.
        async with client.stream("POST", self._url, content=body, headers=headers, follow_redirects=False) as answer:
            return _outcome(answer)


def _checked(url: object) -> httpx.URL:
    try:
        parsed = httpx.URL(url) if isinstance(url, str) else None
    except (httpx.InvalidURL, ValueError):
        parsed = None
    if parsed is None or parsed.scheme not in ("http", "https") or not parsed.host:
        raise SagaError("the address of a webhook is a URL of http or https", hint='"https://partner.example/hooks"')
    return parsed


def _body(message: OutgoingMessage) -> bytes:
    try:
        # It becomes a part of what is signed: with more than one value in it, it could name another type, or another time.
        _ = msgspec.json.decode(message.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UnsendableError(
            "its payload is not one JSON value: give a webhook a value, or bytes that hold one"
        ) from None
    fields: dict[str, object] = {
        "type": message.topic,
        "timestamp": message.created_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "data": msgspec.Raw(message.body),
    }
    if message.key is not None:
        fields["key"] = message.key
    return msgspec.json.encode(fields)


def _outcome(answer: httpx.Response) -> PublishOutcome:
    status = answer.status_code
    if answer.is_success:
        return Published()
    if status == HTTPStatus.GONE:
        return RefusedForGood("the receiver answered 410: it takes no messages any more")
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return RefusedForGood("the receiver answered 413: it takes none of that size")
    reason = f"the receiver answered {status}"
    return FailedForNow(reason, _asked_for(answer.headers.get("retry-after", "")))


def _asked_for(retry_after: str) -> timedelta | None:
    """How long the receiver asks to be left alone; None if it does not, or not in words that can be read."""
    wait: timedelta
    try:
        wait = timedelta(seconds=int(retry_after))
    except (ValueError, OverflowError):
        try:
            wait = parsedate_to_datetime(retry_after) - datetime.now(UTC)
        except (ValueError, TypeError, OverflowError):
            return None
    return min(wait, _LONGEST_WAIT) if wait > timedelta(0) else None


def _judge(error: BaseException) -> PublishOutcome:
    match error:
        case TimeoutError() | httpx.TimeoutException():
            return FailedForNow("the receiver did not answer in time")
        case _:
            return FailedForNow(told(error))
