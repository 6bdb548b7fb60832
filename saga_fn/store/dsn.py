"""Where the database is: one reader for every form in which people write it down.

It takes URLs (`postgres://`, `postgresql://`, `postgresql+asyncpg://` and other drivers' names), several hosts, sockets, and
libpq's keyword form (`host=db dbname=shop`). The settings of libpq that the driver does not know are left out. No message
quotes the DSN, for it holds the password.
"""

from __future__ import annotations

import inspect
import os
import re
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode

import asyncpg
import attrs
from asyncpg import connect_utils

from saga_fn.errors import StoreRefusedError

_CACHE: Final = frozenset({"statement_cache_size", "prepared_statement_cache_size"})
_LEFT_OUT: Final = frozenset(
    {
        "async_fallback",
        "channel_binding",
        "fallback_application_name",
        "gssdelegation",
        "gssencmode",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "load_balance_hosts",
        "requirepeer",
        "sslcompression",
        "sslsni",
        "tcp_user_timeout",
    }
)
_PAIR: Final = re.compile(r"(\w+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)*))\s*")
_HOST: Final = re.compile(r"(?:\[[^\[\]]*\]|[^:\[\]]*)(?::(\d*))?")
_HINT: Final = "check the DSN: it looks like postgresql://user:password@host:5432/database"
_MOST_PORTS: Final = 65535
_VERIFYING: Final = frozenset({"verify-ca", "verify-full"})


@attrs.frozen
class Address:
    """A database, as the driver is told of it."""

    dsn: str = attrs.field(repr=False)
    """A URL that the driver reads; it may hold a password."""
    statement_cache_size: int = 100
    """How many prepared statements a connection keeps (default: the driver's); 0 for none."""
    connect_timeout: float = 10.0
    """Seconds."""
    sslmode: str | None = None
    sslrootcert: str | None = None

    def check_certificate(self) -> None:
        """Raise StoreRefusedError if the server is to be verified and there is nothing to verify it by."""
        if self.sslmode not in _VERIFYING:
            return
        named = self.sslrootcert or os.environ.get("PGSSLROOTCERT")
        found = Path(named) if named else Path.home() / ".postgresql" / "root.crt"
        if not found.is_file():
            raise StoreRefusedError(
                f"sslmode={self.sslmode} needs the certificate of the CA, and {found} is not there",
                hint="check the DSN: name the file by sslrootcert=/path/to/ca.pem (or PGSSLROOTCERT)",
            )


def read_dsn(dsn: str, *, statement_cache_size: int | None = None) -> Address:
    """Read a DSN in any of its forms; `statement_cache_size` goes before the one that it names.

    Raises StoreRefusedError for one that is empty or cannot be read.
    """
    text = dsn.strip()
    if not text:
        raise StoreRefusedError("the DSN is empty", hint="check the DSN: was a variable of the environment not set?")
    try:
        head, pairs = _url(text) if "://" in text else ("postgresql://", _keywords(text))
        kept: list[tuple[str, str]] = []
        named: dict[str, str] = {}
        for name, value in pairs:
            known = "sslmode" if name == "ssl" else name
            named[known] = "require" if name == "ssl" and value.lower() == "true" else value
            if known not in _CACHE | _LEFT_OUT | {"connect_timeout"}:
                kept.append((known, named[known]))
        for port in named.get("port", "").split(","):
            _check_port(port)
        cache = statement_cache_size
        for name in sorted(_CACHE & set(named)):
            cache = int(named[name]) if cache is None else cache
        timeout = float(named.get("connect_timeout") or 0)
    except ValueError:
        # Without the reason, and without the error itself: either may quote the DSN.
        raise StoreRefusedError("the DSN cannot be read", hint=_HINT) from None
    return Address(
        dsn=head + (f"?{urlencode(kept, quote_via=quote)}" if kept else ""),
        statement_cache_size=100 if cache is None else cache,
        connect_timeout=timeout if timeout > 0 else 10.0,
        sslmode=named.get("sslmode"),
        sslrootcert=named.get("sslrootcert"),
    )


def place_of(dsn: str) -> tuple[str, str]:
    """The hosts and the database that the driver goes to by this DSN and the environment (PGHOST, PGDATABASE, PGSERVICEFILE).

    The driver itself is asked, so that no second reading of its rules can name another database. Raises StoreRefusedError for
    a DSN that cannot be read.
    """
    address = read_dsn(dsn)
    # Any, by its name: the driver's reader of its arguments is no part of its interface, and its parameters grow.
    reader: Any = vars(connect_utils)["_parse_connect_dsn_and_args"]
    given = dict.fromkeys(inspect.signature(reader).parameters)
    try:
        found, parameters = reader(**{**given, "dsn": address.dsn})
    except (ValueError, OSError, asyncpg.InterfaceError):
        raise StoreRefusedError("the DSN cannot be read", hint=_HINT) from None
    hosts = [each if isinstance(each, str) else f"{each[0]}:{each[1]}" for each in found]
    if len(hosts) > 1 and all(each.startswith(("/", "localhost:")) for each in hosts):
        hosts = [f"this host:{hosts[-1].rpartition(':')[2]}"]  # no host is named: the driver tries the usual sockets
    return ",".join(hosts), str(parameters.database)


def _url(text: str) -> tuple[str, list[tuple[str, str]]]:
    scheme, _, rest = text.partition("://")
    if scheme.lower().partition("+")[0] not in ("postgres", "postgresql"):
        raise ValueError
    head, _, query = rest.partition("?")
    place, _, database = head.partition("/")
    slash = "/" if database else ""  # the driver takes a slash alone for a name of no letters, and leaves dbname= out
    account, at, hosts = place.rpartition("@")
    for host in hosts.split(","):
        match = _HOST.fullmatch(host)
        if match is None:
            raise ValueError
        _check_port(match[1] or "")
    user, colon, password = account.partition(":")
    account = f"{_quoted(user)}{colon}{_quoted(password)}"  # a password may hold an @ of its own
    pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    return f"postgresql://{account}{at}{hosts}{slash}{database}", pairs


def _keywords(text: str) -> list[tuple[str, str]]:
    """As libpq reads them: `key = value`, values quoted if need be, a backslash before a quote or a backslash."""
    pairs: list[tuple[str, str]] = []
    place = 0
    while place < len(text):
        match = _PAIR.match(text, place)
        if match is None:
            raise ValueError
        value = match[2] if match[2] is not None else match[3]
        pairs.append((match[1], re.sub(r"\\(.)", r"\1", value)))
        place = match.end()
    names = {name for name, _ in pairs}
    return [("host" if name == "hostaddr" and "host" not in names else name, value) for name, value in pairs
            if name != "hostaddr" or "host" not in names]  # fmt: skip


def _check_port(port: str) -> None:
    if port and not 0 < int(port) <= _MOST_PORTS:
        raise ValueError


def _quoted(part: str) -> str:
    return quote(unquote(part), safe="")
