"""Webhooks over real HTTP, judged by the library that receivers of Standard Webhooks use."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from uuid import UUID

import attrs
import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from saga_fn import SagaError
from saga_fn.outgoing import FailedForNow, Published
from saga_fn.webhook import WebhookPublisher
from saga_fn.webhook.signing import Signer
from tests.brokers.messages import HOSTILE_HEADERS, all_published, failed, outgoing, refused

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(range(32, 64))).decode()


@attrs.define
class Receiver:
    """An HTTP server that notes what it is sent, and answers as told."""

    url: str = ""
    answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    endless: bool = False
    silent: bool = False
    requests: list[tuple[str, dict[str, str], bytes]] = attrs.field(factory=list)
    most_at_once: int = 0
    _now: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = dict(line.split(": ", 1) for line in head[1:] if line)
                lowered = {name.lower(): value for name, value in headers.items()}
                body = await reader.readexactly(int(lowered.get("content-length", "0")))
                self.requests.append((head[0], lowered, body))
                self._now += 1
                self.most_at_once = max(self.most_at_once, self._now)
                await asyncio.sleep(0.01)
                self._now -= 1
                if self.silent:
                    await asyncio.sleep(60)
                writer.write(self.answer)
                while self.endless:
                    writer.write(b"x" * 4096)
                    await writer.drain()
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hooks"
    yield receiver
    server.close()


@pytest.fixture
async def publisher(receiver: Receiver) -> AsyncIterator[WebhookPublisher]:
    async with WebhookPublisher(receiver.url, secret=SECRET, timeout=timedelta(seconds=2)) as publisher:
        yield publisher


async def test_a_receiver_of_the_standard_reads_it(receiver: Receiver, publisher: WebhookPublisher) -> None:
    message = outgoing("order.paid", b'{"cents": 900}', key="käse", headers={"x-trace": "abc"})
    assert await publisher.publish([message]) == [Published()]
    ((line, headers, body),) = receiver.requests
    assert line == "POST /hooks HTTP/1.1"
    assert Webhook(SECRET).verify(body, headers) == {
        "type": "order.paid",
        "timestamp": "2026-11-29T00:00:00Z",
        "data": {"cents": 900},
        "key": "käse",
    }
    assert (headers["webhook-id"], headers["x-trace"]) == (str(message.id), "abc")
    assert headers["content-type"] == "application/json"


async def test_a_repeat_has_the_same_id(receiver: Receiver, publisher: WebhookPublisher) -> None:
    message = outgoing("order.paid", id=UUID(int=7))
    await publisher.publish([message])
    await publisher.publish([message])
    assert [headers["webhook-id"] for _, headers, _ in receiver.requests] == [str(UUID(int=7))] * 2


def test_the_vector_of_the_standard() -> None:
    # From the specification's own libraries.
    signed = Signer("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert signed["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_it_signs_as_the_library_of_the_standard_does() -> None:
    for body in (b"", b"{}", "käse".encode(), b"a.b.c" * 100):
        now = datetime.fromtimestamp(1_800_000_000, UTC)
        theirs = Webhook(SECRET).sign("msg_1", now, body.decode())
        assert Signer(SECRET).headers("msg_1", 1_800_000_000, body)["webhook-signature"] == theirs


async def test_while_a_secret_changes_receivers_of_both_can_read_it(receiver: Receiver) -> None:
    async with WebhookPublisher(receiver.url, secret=[OTHER, SECRET]) as publisher:
        assert all_published(await publisher.publish([outgoing("order.paid")]))
    ((_, headers, body),) = receiver.requests
    assert Webhook(SECRET).verify(body, headers) == Webhook(OTHER).verify(body, headers)


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 409, 429, 500, 503])
async def test_an_answer_that_is_no_success_is_tried_again(
    receiver: Receiver, publisher: WebhookPublisher, status: int
) -> None:
    receiver.answer = f"HTTP/1.1 {status} No\r\nLocation: {receiver.url}\r\nContent-Length: 0\r\n\r\n".encode()
    assert await publisher.publish([outgoing("order.paid")]) == [FailedForNow(f"the receiver answered {status}")]
    assert len(receiver.requests) == 1, "no redirect was followed"


@pytest.mark.parametrize("status", [410, 413])
async def test_an_answer_for_good_is_not(receiver: Receiver, publisher: WebhookPublisher, status: int) -> None:
    receiver.answer = f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode()
    (outcome,) = await publisher.publish([outgoing("order.paid")])
    assert str(status) in refused(outcome)


@pytest.mark.parametrize(
    "asked, given",
    [
        ("30", timedelta(seconds=30)),
        ("99999999999999999999", None),
        ("86400", timedelta(hours=1)),
        ("-5", None),
        ("soon", None),
        (format_datetime(datetime(2999, 1, 1, tzinfo=UTC)), timedelta(hours=1)),
        (format_datetime(datetime(2009, 1, 1, tzinfo=UTC)), None),
        ("Wed, 21 Oct 2999", None),
        ("", None),
    ],
)
async def test_a_receiver_says_when_to_come_again(
    receiver: Receiver, publisher: WebhookPublisher, asked: str, given: timedelta | None
) -> None:
    receiver.answer = f"HTTP/1.1 503 No\r\nRetry-After: {asked}\r\nContent-Length: 0\r\n\r\n".encode()
    assert await publisher.publish([outgoing("order.paid")]) == [FailedForNow("the receiver answered 503", given)]


async def test_an_answer_without_end_costs_nothing(receiver: Receiver, publisher: WebhookPublisher) -> None:
    receiver.answer, receiver.endless = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", True
    assert all_published(await publisher.publish([outgoing("order.paid")]))


async def test_a_receiver_that_is_silent_or_gone_fails_the_message_in_time(receiver: Receiver) -> None:
    receiver.silent = True
    async with WebhookPublisher(receiver.url, secret=SECRET, timeout=timedelta(seconds=0.3)) as publisher:
        (outcome,) = await publisher.publish([outgoing("order.paid")])
        assert "in time" in failed(outcome)
    async with WebhookPublisher("http://127.0.0.1:1/", secret=SECRET) as publisher:
        (outcome,) = await publisher.publish([outgoing("order.paid")])
        assert "ConnectError" in failed(outcome)


async def test_no_more_requests_go_on_at_once_than_it_may(receiver: Receiver) -> None:
    async with WebhookPublisher(receiver.url, secret=SECRET, concurrency=3) as publisher:
        assert all_published(await publisher.publish([outgoing("order.paid") for _ in range(20)]))
    assert (len(receiver.requests), receiver.most_at_once) == (20, 3)


@pytest.mark.parametrize(
    "headers",
    [
        *HOSTILE_HEADERS,
        {"Webhook-Signature": "v1,x"},
        {"Host": "other"},
        {"Transfer-Encoding": "chunked"},
        {"Authorization": "x"},
        {"x-note": "käse"},
    ],
)
async def test_a_header_smuggles_nothing_in(
    receiver: Receiver, publisher: WebhookPublisher, headers: dict[str, str]
) -> None:
    (outcome,) = await publisher.publish([outgoing("order.paid", headers=headers)])
    assert "header" in refused(outcome)
    assert receiver.requests == []


async def test_a_topic_and_a_key_of_any_text_stay_inside_the_signed_body(
    receiver: Receiver, publisher: WebhookPublisher
) -> None:
    message = outgoing('a","data":1,"type":"b\r\n', key='"}\r\nX: 1')
    assert all_published(await publisher.publish([message]))
    assert json.loads(receiver.requests[0][2])["type"] == message.topic


@pytest.mark.parametrize(
    "body",
    [
        b'1,"type":"order.refunded"',
        b"",
        b"no json",
        b"\xff",
        b'"\xff"',
        b"1 2",
        b'{"a":1}}',
        b"NaN",
        b"[" * 100_000,
        b"'a'",
    ],
    ids=[
        "another type",
        "empty",
        "text",
        "no text",
        "no text in one",
        "two",
        "one and a half",
        "NaN",
        "deep",
        "quotes",
    ],
)
async def test_a_payload_that_is_not_one_json_value_is_not_signed(
    receiver: Receiver, publisher: WebhookPublisher, body: bytes
) -> None:
    bad, good = await publisher.publish([outgoing("order.paid", body), outgoing("order.paid", b" [1] ")])
    assert "not one JSON value" in refused(bad)
    assert good == Published()
    assert [json.loads(body)["data"] for _, _, body in receiver.requests] == [[1]]


async def test_a_cookie_of_one_answer_does_not_travel_with_the_next_message(
    receiver: Receiver, publisher: WebhookPublisher
) -> None:
    receiver.answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: who=ann; Path=/\r\nContent-Length: 0\r\n\r\n"
    for _ in range(2):
        assert all_published(await publisher.publish([outgoing("order.paid")]))
    assert ["cookie" in headers for _, headers, _ in receiver.requests] == [False, False]


async def test_secrets_are_in_no_log_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with WebhookPublisher("http://ann:pa55word@127.0.0.1:1/hooks", secret=SECRET) as publisher:
        (outcome,) = await publisher.publish([outgoing("order.paid")])
        told = failed(outcome) + repr(publisher) + repr(vars(publisher)["_signer"]) + caplog.text
    assert "pa55word" not in told
    assert SECRET.removeprefix("whsec_") not in told


async def test_a_client_of_the_callers_own_stays_open() -> None:
    async def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(204)

    client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    async with WebhookPublisher("https://partner.example/", secret=SECRET, client=client) as publisher:
        assert all_published(await publisher.publish([outgoing("order.paid")]))
    assert not client.is_closed
    await client.aclose()


@pytest.mark.parametrize(
    "make",
    [
        lambda: WebhookPublisher("ftp://x/", secret=SECRET),
        lambda: WebhookPublisher("/hooks", secret=SECRET),
        lambda: WebhookPublisher("http://x:y/", secret=SECRET),
        lambda: WebhookPublisher(None, secret=SECRET),  # type: ignore[arg-type] # that is the test
        lambda: WebhookPublisher("https://x/", secret=[]),
        lambda: WebhookPublisher("https://x/", secret="hunter2"),
        lambda: WebhookPublisher("https://x/", secret="whsec_hunter2"),
        lambda: WebhookPublisher("https://x/", secret="whsec_" + base64.b64encode(b"hunter2").decode()),
        lambda: WebhookPublisher("https://x/", secret=None),  # type: ignore[arg-type] # that is the test
        lambda: WebhookPublisher("https://x/", secret=SECRET, concurrency=0),
        lambda: WebhookPublisher("https://x/", secret=SECRET, timeout=timedelta(0)),
        lambda: WebhookPublisher("https://x/", secret=SECRET, timeout=5),  # type: ignore[arg-type] # that is the test
    ],
)
def test_wrong_arguments_are_refused_without_showing_a_secret(make: Callable[[], object]) -> None:
    with pytest.raises(SagaError) as caught:
        make()
    assert caught.value.hint
    assert "hunter2" not in str(caught.value)
