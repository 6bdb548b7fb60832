"""The meaning of the usual clients' exceptions for a request: whether it may have arrived, without importing any client.

A class is known by its package and its name, and counts as the nearest of its bases that the table has. The sources are
the clients themselves, in the versions of autumn 2026; the developer who adds a line reads there where the exception is raised.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from saga_fn.arguments import is_whole

DetailReader = Callable[[Any], object]  # Any: an exception of a client that is not imported here


class Arrival(enum.Enum):
    """Whether what a step has asked for may have been done."""

    OPEN = "open"
    """The request may have arrived, and what became of it is not known."""
    NEVER = "never"
    """It has certainly not left."""
    ANSWERED = "answered"
    """It was answered: it has not been done."""


class _By(enum.Enum):
    """The attributes that tell where a class of exceptions stands for several things."""

    BEHIND = "the exception that it was raised from: open unless that says that nothing has left"
    STATUS = "the HTTP status of the response in it"
    SQLSTATE = "PostgreSQL's code"
    CODE = "gRPC's code"


_OPEN, _NEVER, _ANSWERED = Arrival.OPEN, Arrival.NEVER, Arrival.ANSWERED
_BEHIND, _STATUS, _SQLSTATE, _CODE = _By.BEHIND, _By.STATUS, _By.SQLSTATE, _By.CODE


def _named(**kinds: str) -> dict[str, Arrival | _By]:
    """A package's table, from lists of names."""
    by_word: Mapping[str, Arrival | _By] = {
        "open": _OPEN,
        "never": _NEVER,
        "behind": _BEHIND,
        "status": _STATUS,
        "sqlstate": _SQLSTATE,
        "code": _CODE,
    }
    return {name: by_word[word] for word, names in kinds.items() for name in names.split()}


_KNOWN: Final[Mapping[str, Mapping[str, Arrival | _By]]] = {
    # docs.python.org/3/library/exceptions.html#os-exceptions. A bare OSError or ConnectionError says nothing.
    "builtins": _named(
        open="TimeoutError ConnectionResetError ConnectionAbortedError BrokenPipeError", never="ConnectionRefusedError"
    ),
    # CancelledError: a step's own call was cancelled under its hands. IncompleteReadError: the peer hung up while answering.
    "asyncio": _named(open="TimeoutError CancelledError IncompleteReadError"),
    "socket": _named(never="gaierror herror"),
    "ssl": _named(open="SSLError", never="SSLCertVerificationError"),
    "http": _named(open="IncompleteRead BadStatusLine RemoteDisconnected", never="CannotSendRequest InvalidURL"),
    "urllib": _named(behind="URLError", status="HTTPError", open="ContentTooShortError"),
    "subprocess": _named(open="TimeoutExpired"),
    "concurrent": _named(open="TimeoutError BrokenProcessPool BrokenThreadPool BrokenExecutor"),
    # httpx/_exceptions.py, httpcore/_exceptions.py. A PoolTimeout waited for a connection, a ProxyError for a tunnel.
    # LocalProtocolError: HTTP/2 raises it while reading, too.
    "httpx": _named(
        open="RequestError TransportError TimeoutException ReadTimeout WriteTimeout NetworkError ReadError WriteError "
        "CloseError ProtocolError LocalProtocolError RemoteProtocolError DecodingError TooManyRedirects",
        never="ConnectError ConnectTimeout PoolTimeout ProxyError UnsupportedProtocol",
        status="HTTPStatusError",
    ),
    "httpcore": _named(
        open="TimeoutException ReadTimeout WriteTimeout NetworkError ReadError WriteError ProtocolError "
        "LocalProtocolError RemoteProtocolError",
        never="ConnectError ConnectTimeout PoolTimeout ProxyError UnsupportedProtocol ConnectionNotAvailable",
    ),
    "anyio": _named(open="BrokenResourceError EndOfStream IncompleteRead"),
    # aiohttp/client_exceptions.py. Connector errors stand before the request; a ConnectionTimeoutError for the pool, too.
    "aiohttp": _named(
        open="ClientError ClientConnectionError ClientConnectionResetError ClientOSError ServerConnectionError "
        "ServerDisconnectedError ServerTimeoutError SocketTimeoutError ClientPayloadError UploadAbortedError "
        "HttpProcessingError BadHttpMessage BadStatusLine LineTooLong PayloadEncodingError TransferEncodingError "
        "ContentLengthError ContentEncodingError",
        never="ClientConnectorError ClientConnectorDNSError ClientConnectorSSLError ClientConnectorCertificateError "
        "ClientSSLError ClientProxyConnectionError UnixClientConnectorError ConnectionTimeoutError "
        "ServerFingerprintMismatch ClientHttpProxyError InvalidURL InvalidUrlClientError NonHttpUrlClientError",
        status="ClientResponseError ContentTypeError TooManyRedirects WSServerHandshakeError",
    ),
    # requests/exceptions.py, requests/adapters.py: a ConnectionError is raised while urllib3's own is handled.
    "requests": _named(
        open="RequestException Timeout ReadTimeout ChunkedEncodingError ContentDecodingError RetryError "
        "TooManyRedirects UnrewindableBodyError InvalidJSONError JSONDecodeError StreamConsumedError",
        never="ConnectTimeout ProxyError InvalidURL InvalidSchema MissingSchema URLRequired InvalidHeader InvalidProxyURL",
        behind="ConnectionError SSLError",
        status="HTTPError",
    ),
    # urllib3/exceptions.py, urllib3/connectionpool.py: a MaxRetryError is raised from its reason.
    "urllib3": _named(
        open="HTTPError TimeoutError ReadTimeoutError ProtocolError IncompleteRead InvalidChunkLength DecodeError "
        "ResponseError HeaderParsingError UnrewindableBodyError",
        never="NewConnectionError NameResolutionError ConnectTimeoutError ProxyError EmptyPoolError ClosedPoolError "
        "FullPoolError HostChangedError LocationValueError LocationParseError URLSchemeUnknown InvalidHeader",
        behind="MaxRetryError SSLError",
    ),
    # asyncpg/exceptions, asyncpg/protocol/protocol.pyx: "connection was closed in the middle of operation".
    "asyncpg": _named(
        open="ConnectionDoesNotExistError",
        never="CannotConnectNowError ClientCannotConnectError ConnectionRejectionError TooManyConnectionsError "
        "InvalidPasswordError InvalidAuthorizationSpecificationError InvalidCatalogNameError",
        sqlstate="PostgresError PostgresConnectionError OperatorInterventionError ConnectionFailureError "
        "AdminShutdownError CrashShutdownError TransactionResolutionUnknownError StatementCompletionUnknownError",
    ),
    # psycopg/errors.py: an OperationalError without an SQLSTATE is a lost connection, one with a `pgconn` never was one.
    "psycopg": _named(sqlstate="OperationalError", never="ConnectionTimeout"),
    "psycopg_pool": _named(never="PoolTimeout TooManyRequests PoolClosed"),
    # grpc.github.io/grpc/core/md_doc_statuscodes.html
    "grpc": _named(code="RpcError AioRpcError", open="FutureTimeoutError FutureCancelledError"),
    # botocore/exceptions.py, botocore/httpsession.py
    "botocore": _named(
        open="HTTPClientError ConnectionError ConnectionClosedError ReadTimeoutError IncompleteReadError "
        "ResponseStreamingError EventStreamError ChecksumError FlexibleChecksumError",
        never="EndpointConnectionError ConnectTimeoutError ProxyConnectionError",
        behind="SSLError",
        status="ClientError",
    ),
    # redis/exceptions.py, redis/asyncio/connection.py: a ConnectionError is raised while the OSError is handled.
    "redis": _named(
        open="TimeoutError InvalidResponse",
        never="AuthenticationError AuthorizationError BusyLoadingError MaxConnectionsError ExternalAuthProviderError",
        behind="ConnectionError",
    ),
    # aiormq/exceptions.py, aiormq/connection.py: an AMQPConnectionError is raised from the OSError of connecting.
    "aiormq": _named(
        open="ConnectionClosed ChannelClosed AMQPChannelError InvalidFrameError ProtocolSyntaxError",
        never="AuthenticationError ProbableAuthenticationError IncompatibleProtocolError ConnectionNotAllowed "
        "ChannelNotFoundEntity ChannelAccessRefused ChannelPreconditionFailed ChannelLockedResource "
        "DuplicateConsumerTag",
        behind="AMQPConnectionError",
    ),
}
_ORDINARY: Final = (Exception, BaseExceptionGroup)
_PACKAGES: Final[Mapping[str, str]] = {"aio_pika": "aiormq"}
"""Packages whose exceptions are another's."""

_SAID_TO_BE_OPEN: Final = frozenset(
    {"CANCELLED", "UNKNOWN", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
"""UNAVAILABLE is what a client says if a connection breaks under a request, as well as where there is none."""
_NOT_CONNECTED: Final = ("failed to connect to all addresses", "name resolution", "dns resolution", "errors resolving")

_LOST: Final = frozenset({"08000", "08003", "08006", "08007", "08P01", "40003", "57P01", "57P02"})
"""postgresql.org/docs/current/errcodes-appendix.html: connections that broke, commits of which nothing is known."""

_REQUEST_TIMEOUT: Final = 408
_AN_ERROR: Final = range(400, 500)
_NOT_DONE: Final = frozenset({501, 503, 505, 521, 523, 525, 526})
"""Server errors that say that nothing was done; 520 and above are of a proxy that could not reach the server."""


def arrival(error: BaseException) -> Arrival | None:
    """Whether the request may have arrived, as far as the exception by itself is known to say; None if it is not known.

    An exception that is no Exception has cut the step short: it may have been in the middle of a request.
    """
    _, said = _look_up(type(error))
    if said is None:
        return None if isinstance(error, _ORDINARY) else Arrival.OPEN
    match said:
        case _By.BEHIND:
            return Arrival.NEVER if _nothing_left(error) else Arrival.OPEN
        case _By.STATUS:
            return _by_status(error)
        case _By.SQLSTATE:
            return _by_sqlstate(error)
        case _By.CODE:
            return _by_code(error)
        case _:
            return said


def may_be_named(error: BaseException, named: type[BaseException]) -> bool:
    """Whether to name that class of the exception's says that the request has not been done.

    Where the exception by itself leaves that open, only a class says so that stands for no other case. Such a class is one
    of the table's, or below it. A base of several (OSError, httpx.HTTPError), or a class whose exceptions have to be told
    apart (httpx.HTTPStatusError), is named for what was refused or has never left.
    """
    if arrival(error) is not Arrival.OPEN:
        return True
    base, said = _look_up(type(error))
    return issubclass(named, base) and (said is Arrival.OPEN or named is not base)


def is_open_timeout(cls: type[BaseException]) -> bool:
    """Whether the class is a client's timeout, or Python's own, after which the request may always have arrived.

    A base of such timeouts and of others (httpx.TimeoutException) is none, nor is a class that a program makes of one.
    """
    base, said = _look_up(cls)
    if base is not cls or said is not Arrival.OPEN or "Timeout" not in cls.__name__:
        return False
    return all(_look_up(each)[1] is Arrival.OPEN for each in _below(cls) if _package(each) == _package(cls))


def _below(cls: type[BaseException]) -> Iterator[type[BaseException]]:
    for each in cls.__subclasses__():
        yield each
        yield from _below(each)


def _package(cls: type) -> str:
    return str(cls.__module__).partition(".")[0]


def _look_up(cls: type[BaseException]) -> tuple[type, Arrival | _By | None]:
    """The first of its bases that the table knows, and what it says of that; else `object`, of which it says nothing."""
    found = _FOUND.get(cls)
    if found is None:
        if len(_FOUND) >= _MOST_FOUND:  # a program may make classes without end
            _FOUND.clear()
        found = _FOUND[cls] = _search(cls)
    return found


_FOUND: Final[dict[type[BaseException], tuple[type, Arrival | _By | None]]] = {}
"""The classes that were looked up before: the failures of a step are mostly of a few."""
_MOST_FOUND: Final = 256


def _search(cls: type[BaseException]) -> tuple[type, Arrival | _By | None]:
    for base in cls.__mro__:
        package = _package(base)
        known = _KNOWN.get(_PACKAGES.get(package, package))
        if known is not None and base.__name__ in known:
            return base, known[base.__name__]
    return object, None


def causes(error: BaseException) -> Iterator[BaseException]:
    """The exceptions that this one was raised from, or while handling them, to the first."""
    seen = {id(error)}
    each = error
    while True:
        cause = each.__cause__
        behind = each.__context__ if cause is None and not each.__suppress_context__ else cause
        if behind is None or id(behind) in seen:
            return
        seen.add(id(behind))
        yield behind
        each = behind


def origins(error: BaseException) -> Iterator[BaseException]:
    """The exception, and those that it was raised from, to the first.

    Those that were handled meanwhile are left out: what went wrong then may be another thing.
    """
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__


def _nothing_left(error: BaseException) -> bool:
    """Whether the first exception behind it that is known says that nothing has left."""
    known = (_look_up(type(each))[1] for each in causes(error))
    return next((said for said in known if said is not None and said is not _By.BEHIND), None) is Arrival.NEVER


def _by_status(error: BaseException) -> Arrival:
    """An error in the request is an answer; a server or proxy that has failed, or a redirection, is none."""
    if error.__cause__ is not None and _look_up(type(error.__cause__))[1] is Arrival.OPEN:
        return Arrival.OPEN  # aiohttp makes a 400 of a response that it cannot read
    for read in _STATUSES:
        status = _detail(error, read)
        if is_whole(status):
            answered = status in _NOT_DONE or (status in _AN_ERROR and status != _REQUEST_TIMEOUT)
            return Arrival.ANSWERED if answered else Arrival.OPEN
    return Arrival.OPEN


_STATUSES: Final[tuple[DetailReader, ...]] = (
    lambda error: error.response.status_code,  # httpx, requests
    lambda error: error.status,  # aiohttp, urllib
    lambda error: error.response["ResponseMetadata"]["HTTPStatusCode"],  # botocore
)


def _by_sqlstate(error: BaseException) -> Arrival:
    """A server that said something has answered; a connection that broke without a word is open, unless it was never made."""
    code = _detail(error, lambda error: error.sqlstate)
    if code is None:
        return Arrival.OPEN if _detail(error, lambda error: error.pgconn) is None else Arrival.NEVER
    return Arrival.OPEN if code in _LOST else Arrival.ANSWERED


def _by_code(error: BaseException) -> Arrival:
    code = _detail(error, lambda error: error.code().name)
    if code not in _SAID_TO_BE_OPEN and code is not None:
        return Arrival.ANSWERED
    details = str(_detail(error, lambda error: error.details())).lower()
    return Arrival.NEVER if code == "UNAVAILABLE" and any(each in details for each in _NOT_CONNECTED) else Arrival.OPEN


def _detail(error: BaseException, read: DetailReader) -> object:
    """The value that the exception holds; None if it does not, or if looking at it raises."""
    try:
        return read(error)
    except Exception:  # noqa: BLE001 - another's property: whatever it raises, the step's outcome is still to be told
        return None


def is_clients(cls: type) -> bool:
    """Whether the class is one of a client's own, or of the standard library's, which no option can declare otherwise."""
    package = _package(cls)
    return package in _KNOWN or package in _PACKAGES or package in sys.stdlib_module_names
