"""What the exceptions of clients say of a request: whether it may have arrived, told without importing any of them.

The classes are made here, by the clients' packages and names; httpx is asked itself, with a server that misbehaves.
"""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
import struct
import subprocess
import urllib.error
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest

from saga_fn.core.events import FailureKind
from saga_fn.definition import ErrorPolicy
from saga_fn.definition.steps.clients import Arrival, arrival
from saga_fn.errors import SagaDefinitionError

OPEN, NEVER, ANSWERED = Arrival.OPEN, Arrival.NEVER, Arrival.ANSWERED


def made(name: str, *bases: type[BaseException], **holds: object) -> Any:  # Any: an exception with whatever it holds
    """An exception that looks like that of a client: `httpx.ReadTimeout`, `aiohttp.client_exceptions.ClientError`."""
    module, _, cls = name.rpartition(".")
    error = type(cls, bases or (Exception,), {"__module__": module})()
    for key, value in holds.items():
        setattr(error, key, value)
    return error


def base(name: str, *bases: type[BaseException]) -> type[BaseException]:
    """The class of such an exception."""
    error: BaseException = made(name, *bases)
    return type(error)


class Response:
    def __init__(self, status_code: object) -> None:
        self.status_code = status_code

    def __bool__(self) -> bool:
        """A response of requests that tells of an error is false."""
        return False


class BrokenError(Exception):
    """Looking at anything of it raises."""

    __module__ = "httpx"
    __qualname__ = "HTTPStatusError"

    @property
    def response(self) -> object:
        raise RuntimeError("the request has not been set")

    @property
    def status(self) -> object:
        raise KeyError("status")


BrokenError.__name__ = "HTTPStatusError"


@pytest.mark.parametrize(
    "error, said",
    [
        (TimeoutError(), OPEN),
        (asyncio.CancelledError(), OPEN),
        (asyncio.IncompleteReadError(b"", 3), OPEN),
        (ConnectionResetError(), OPEN),
        (ConnectionAbortedError(), OPEN),
        (BrokenPipeError(), OPEN),
        (http.client.RemoteDisconnected(""), OPEN),
        (ssl.SSLError(), OPEN),
        (ssl.SSLCertVerificationError(), NEVER),
        (ConnectionRefusedError(), NEVER),
        (socket.gaierror(), NEVER),
        (urllib.error.URLError("odd"), OPEN),
        (ConnectionError(), None),
        (OSError(), None),
        (ValueError(), None),
        (ExceptionGroup("", [TimeoutError()]), None),
    ],
)
def test_the_standard_librarys(error: BaseException, said: Arrival | None) -> None:
    assert arrival(error) is said


@pytest.mark.parametrize(
    "name, said",
    [
        ("httpx.ReadTimeout", OPEN),
        ("httpx.WriteError", OPEN),
        ("httpx.RemoteProtocolError", OPEN),
        ("httpx.ConnectTimeout", NEVER),
        ("httpx.PoolTimeout", NEVER),
        ("httpcore.ReadError", OPEN),
        ("httpcore.ConnectError", NEVER),
        ("aiohttp.client_exceptions.ServerDisconnectedError", OPEN),
        ("aiohttp.client_exceptions.ClientOSError", OPEN),
        ("aiohttp.client_exceptions.ClientConnectorDNSError", NEVER),
        ("aiohttp.client_exceptions.ConnectionTimeoutError", NEVER),
        ("requests.exceptions.ReadTimeout", OPEN),
        ("requests.exceptions.ChunkedEncodingError", OPEN),
        ("requests.exceptions.ConnectTimeout", NEVER),
        ("urllib3.exceptions.ProtocolError", OPEN),
        ("urllib3.exceptions.NewConnectionError", NEVER),
        ("asyncpg.exceptions.ConnectionDoesNotExistError", OPEN),
        ("asyncpg.exceptions.CannotConnectNowError", NEVER),
        ("psycopg_pool.PoolTimeout", NEVER),
        ("botocore.exceptions.ReadTimeoutError", OPEN),
        ("botocore.exceptions.EndpointConnectionError", NEVER),
        ("redis.exceptions.TimeoutError", OPEN),
        ("redis.exceptions.BusyLoadingError", NEVER),
        ("redis.exceptions.ResponseError", None),
        ("aiormq.exceptions.ConnectionClosed", OPEN),
        ("aio_pika.exceptions.AMQPConnectionError", OPEN),
        ("aiormq.exceptions.AuthenticationError", NEVER),
        ("shop.ReadTimeout", None),
    ],
)
def test_a_clients_by_package_and_name(name: str, said: Arrival | None) -> None:
    assert arrival(made(name)) is said


def test_a_class_counts_as_the_nearest_of_its_bases_that_is_known() -> None:
    server_timeout = base("aiohttp.client_exceptions.ServerTimeoutError", TimeoutError)
    assert arrival(made("shop.BankTimeout", server_timeout)) is OPEN
    assert arrival(made("aiohttp.client_exceptions.ConnectionTimeoutError", server_timeout)) is NEVER


STATUSES = [
    *((status, OPEN) for status in (204, 302, 408, 500, 502, 504, 507, 520, 524)),
    *((status, ANSWERED) for status in (400, 401, 404, 409, 422, 425, 429, 501, 503, 521)),
]


def holding(client: str, status: int) -> BaseException:
    """An exception of that client for a response of that status."""
    error: BaseException
    match client:
        case "httpx":
            error = made("httpx.HTTPStatusError", response=Response(status))
        case "requests":
            error = made("requests.exceptions.HTTPError", OSError, response=Response(status))
        case "aiohttp":
            error = made("aiohttp.client_exceptions.ClientResponseError", status=status)
        case "botocore":
            error = made("botocore.exceptions.ClientError", response={"ResponseMetadata": {"HTTPStatusCode": status}})
        case _:
            error = urllib.error.HTTPError("http://bank", status, "", http.client.HTTPMessage(), None)
    return error


@pytest.mark.parametrize("status, said", STATUSES)
@pytest.mark.parametrize("client", ["httpx", "requests", "aiohttp", "botocore", "urllib"])
def test_a_status_tells_whether_it_was_answered(client: str, status: int, said: Arrival) -> None:
    assert arrival(holding(client, status)) is said


@pytest.mark.parametrize("status", ["404", None, True, 4.04])
def test_a_status_that_is_no_number_tells_nothing(status: object) -> None:
    assert arrival(made("httpx.HTTPStatusError", response=Response(status))) is OPEN


def test_an_exception_that_cannot_be_looked_at_is_in_doubt() -> None:
    assert arrival(BrokenError()) is OPEN
    assert arrival(made("grpc.RpcError")) is OPEN
    assert arrival(made("psycopg.OperationalError")) is OPEN


def test_a_response_that_could_not_be_read_is_no_answer() -> None:
    error = made("aiohttp.client_exceptions.ClientResponseError", status=400)
    error.__cause__ = made("aiohttp.http_exceptions.BadStatusLine")
    assert arrival(error) is OPEN


@pytest.mark.parametrize(
    "name",
    [
        "requests.exceptions.ConnectionError",
        "redis.exceptions.ConnectionError",
        "aiormq.exceptions.AMQPConnectionError",
    ],
)
def test_where_a_class_stands_for_both_what_is_behind_it_tells(name: str) -> None:
    def behind(error: BaseException) -> BaseException:
        wrapped = made("urllib3.exceptions.MaxRetryError")
        wrapped.__cause__ = error
        outer: BaseException = made(name)
        outer.__context__ = wrapped
        return outer

    assert arrival(behind(made("urllib3.exceptions.NewConnectionError"))) is NEVER
    assert arrival(behind(ConnectionRefusedError())) is NEVER
    assert arrival(behind(made("urllib3.exceptions.ProtocolError"))) is OPEN
    assert arrival(behind(ValueError())) is OPEN
    assert arrival(made(name)) is OPEN
    odd = made(name)
    odd.__context__ = odd
    assert arrival(odd) is OPEN


@pytest.mark.parametrize(
    "code, said",
    [("57P01", OPEN), ("40003", OPEN), ("08006", OPEN), ("23505", ANSWERED), ("40001", ANSWERED), ("57014", ANSWERED)],
)
def test_what_postgresql_said_it_answered_unless_it_was_going_down(code: str, said: Arrival) -> None:
    assert arrival(made("psycopg.OperationalError", sqlstate=code)) is said
    assert arrival(made("asyncpg.exceptions._base.PostgresError", sqlstate=code)) is said


def test_a_connection_of_psycopg_that_was_never_made_carried_nothing() -> None:
    assert arrival(made("psycopg.OperationalError", sqlstate=None, pgconn=None)) is OPEN
    assert arrival(made("psycopg.OperationalError", sqlstate=None, pgconn=object())) is NEVER


class Code:
    def __init__(self, name: str) -> None:
        self.name = name


@pytest.mark.parametrize(
    "code, details, said",
    [
        ("DEADLINE_EXCEEDED", "", OPEN),
        ("UNAVAILABLE", "Socket closed", OPEN),
        ("UNAVAILABLE", "failed to connect to all addresses; last error: ...", NEVER),
        ("INTERNAL", "failed to connect to all addresses", OPEN),
        ("RESOURCE_EXHAUSTED", "", ANSWERED),
        ("NOT_FOUND", "", ANSWERED),
    ],
)
def test_a_code_of_grpc(code: str, details: str, said: Arrival) -> None:
    error = made("grpc.aio._call.AioRpcError", base("grpc.RpcError"))
    error.code = lambda: Code(code)
    error.details = lambda: details
    assert arrival(error) is said


# How that is judged, beside what a step names.


def test_what_may_have_arrived_is_in_doubt_and_what_never_left_is_not() -> None:
    plain = ErrorPolicy.of({}, None)
    assert plain.judge(TimeoutError()) is FailureKind.UNKNOWN
    assert plain.judge(ConnectionRefusedError()) is FailureKind.ERROR
    picky = ErrorPolicy.of({"retry_on": KeyError}, None)
    assert picky.judge(TimeoutError()) is FailureKind.UNKNOWN
    assert picky.judge(ConnectionRefusedError()) is FailureKind.FATAL


class SlowError(TimeoutError):
    pass


class BankDownError(httpx.HTTPStatusError):
    pass


def test_what_a_step_names_is_what_it_says() -> None:
    assert ErrorPolicy.of({"retry_on": SlowError}, None).judge(SlowError()) is FailureKind.ERROR
    assert ErrorPolicy.of({"retry_on": SlowError}, None).judge(TimeoutError()) is FailureKind.UNKNOWN
    assert ErrorPolicy.of({"retry_on": ConnectionResetError}, None).judge(ConnectionResetError()) is FailureKind.ERROR
    assert ErrorPolicy.of({"give_up_on": SlowError}, None).judge(SlowError()) is FailureKind.BUSINESS_ERROR
    assert ErrorPolicy.of({"unknown_on": OSError}, None).judge(ConnectionRefusedError()) is FailureKind.UNKNOWN


@pytest.mark.parametrize("option, kind", [("retry_on", FailureKind.ERROR), ("give_up_on", FailureKind.BUSINESS_ERROR)])
def test_a_base_class_says_nothing_of_the_doubt_below_it(option: str, kind: FailureKind) -> None:
    request = httpx.Request("POST", "http://bank")
    lost, nobody = httpx.ReadTimeout("lost", request=request), httpx.ConnectError("nobody there", request=request)
    for base in (httpx.HTTPError, httpx.TransportError, httpx.TimeoutException, Exception):
        assert ErrorPolicy.of({option: base}, None).judge(lost) is FailureKind.UNKNOWN
    assert ErrorPolicy.of({option: httpx.HTTPError}, None).judge(nobody) is kind
    broken = httpx.ReadError("lost", request=request)
    assert ErrorPolicy.of({option: (httpx.HTTPError, httpx.ReadError)}, None).judge(broken) is kind
    assert ErrorPolicy.of({option: OSError}, None).judge(ConnectionResetError()) is FailureKind.UNKNOWN
    assert ErrorPolicy.of({option: OSError}, None).judge(ConnectionRefusedError()) is kind
    for status, meant in ((502, FailureKind.UNKNOWN), (503, kind), (402, kind)):
        answer = httpx.Response(status, request=request)
        error = httpx.HTTPStatusError("no", request=request, response=answer)
        assert ErrorPolicy.of({option: httpx.HTTPStatusError}, None).judge(error) is meant
    own = BankDownError("no", request=request, response=httpx.Response(502, request=request))
    assert ErrorPolicy.of({option: BankDownError}, None).judge(own) is kind


@pytest.mark.parametrize("option", ["retry_on", "give_up_on"])
@pytest.mark.parametrize(
    "timeout",
    [TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout, subprocess.TimeoutExpired, (KeyError, asyncio.TimeoutError)],
)
def test_a_timeout_after_which_all_is_open_cannot_be_said_to_have_done_nothing(option: str, timeout: Any) -> None:
    with pytest.raises(SagaDefinitionError, match=f"{option} names .*, which says that nothing was done") as refused:
        ErrorPolicy.of({option: timeout}, None)
    assert "leave it out" in str(refused.value)


@pytest.mark.parametrize("option", ["retry_on", "give_up_on"])
@pytest.mark.parametrize(
    "named", [httpx.ConnectTimeout, httpx.PoolTimeout, httpx.TimeoutException, OSError, SlowError, Exception]
)
def test_a_timeout_before_the_request_may_be_named_and_a_base_and_one_of_the_programs_own(
    option: str, named: type[Exception]
) -> None:
    ErrorPolicy.of({option: named}, None)


def test_to_try_again_whatever_is_raised_is_the_default_and_asks_what_stands_behind() -> None:
    wrapped = RuntimeError()
    wrapped.__cause__ = TimeoutError()
    broad = ErrorPolicy.of({"retry_on": (KeyError, Exception)}, None)
    assert broad.judge(wrapped) is FailureKind.UNKNOWN
    assert broad.judge(ValueError()) is FailureKind.ERROR


def test_what_never_left_is_not_in_doubt_whatever_is_behind_it() -> None:
    error = made("httpx.ConnectTimeout")
    error.__cause__ = SlowError()
    assert ErrorPolicy.of({}, None).judge(error) is FailureKind.ERROR
    assert ErrorPolicy.of({"retry_on": KeyError}, None).judge(error) is FailureKind.FATAL
    assert ErrorPolicy.of({"retry_on": SlowError}, None).judge(error) is FailureKind.ERROR
    assert ErrorPolicy.of({"unknown_on": TimeoutError}, None).judge(error) is FailureKind.ERROR
    wrapped = RuntimeError()
    wrapped.__cause__ = error
    assert ErrorPolicy.of({}, None).judge(wrapped) is FailureKind.ERROR


def test_doubt_behind_what_a_step_names_in_no_option_is_doubt() -> None:
    error = made("httpx.ReadTimeout")
    error.__cause__ = ConnectionRefusedError()
    assert ErrorPolicy.of({"retry_on": ConnectionRefusedError}, None).judge(error) is FailureKind.UNKNOWN
    group = ExceptionGroup("unhandled errors in a TaskGroup", [KeyError(), made("httpx.ReadTimeout")])
    assert ErrorPolicy.of({"give_up_on": KeyError}, None).judge(group) is FailureKind.UNKNOWN


# httpx itself.


@asynccontextmanager
async def server(answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]) -> AsyncGenerator[str]:
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await answer(reader, writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        done.set()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
        await done.wait()


async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def hang_up(_: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    pass


async def say_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()  # until the client gives up


def status(number: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {number} Odd\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()

    return answer


async def asked(url: str) -> BaseException:
    """What a request there raises."""
    async with httpx.AsyncClient(timeout=httpx.Timeout(10, read=0.2), trust_env=False) as client:
        with pytest.raises(httpx.HTTPError) as raised:
            (await client.post(url, content=b"x")).raise_for_status()
    return raised.value


@pytest.mark.parametrize(
    "answer, kind",
    [
        (reset, FailureKind.UNKNOWN),
        (hang_up, FailureKind.UNKNOWN),
        (say_nothing, FailureKind.UNKNOWN),
        (status(502), FailureKind.UNKNOWN),
        (status(503), FailureKind.ERROR),
        (status(429), FailureKind.ERROR),
        (status(404), FailureKind.ERROR),
    ],
)
async def test_httpx_with_a_server_that_misbehaves(answer: Any, kind: FailureKind) -> None:
    async with server(answer) as url:
        error = await asked(url)
    assert ErrorPolicy.of({}, None).judge(error) is kind


async def test_httpx_with_a_server_that_is_not_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        error = await asked(f"http://127.0.0.1:{taken.getsockname()[1]}/")
    assert isinstance(error, httpx.ConnectError)
    assert ErrorPolicy.of({}, None).judge(error) is FailureKind.ERROR
