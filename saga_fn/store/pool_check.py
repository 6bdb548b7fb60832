"""The check of a pool or connection of the caller's: large enough, and with the driver's own codecs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg

from saga_fn.errors import StoreError
from saga_fn.store._queries import Queries
from saga_fn.store.connection import CallerConnection, Pool

_log = logging.getLogger("saga_fn")
_listeners: dict[int, int] = {}
"""How many connections of a pool are taken for listening, by all orchestrators of this process. By the pool's `id`, only as
long as one of them holds it."""

_TIME: Final = datetime(2020, 2, 29, 12, 30, 15, 123456, tzinfo=UTC)
_ID: Final = UUID(int=0x0123456789ABCDEF0123456789ABCDEF)

_WORD: Final = " Text 01 "
"""A codec may change the case or the spaces."""
JUDGED: Final[Mapping[str, object]] = {
    "uuid": _ID,
    "timestamptz": _TIME,
    "interval": timedelta(days=1, microseconds=7),
    "int8": 2**40,
    "int4": 2**20,
    "int2": 7,
    "bool": True,
    "text": _WORD,
    "bytea": b"\0bytes",
}
"""A value of each type that statements take and give, by the type's name."""


def take_place(pool: Pool, *, listens: bool, max_connections: int) -> None:
    """Count a listener in. Raises StoreError if the pool then has no connection left for statements."""
    listening = _listeners.get(id(pool), 0) + listens
    size: object = getattr(pool, "get_max_size", lambda: None)()
    if isinstance(size, int):
        wanted = listening + max_connections
        mend = f"make it with max_size={wanted} or more, or pass listen=False (or listen_dsn=)"
        fact = f"the pool has {size} connections at most, of which {listening} are taken for listening"
        if size <= listening:
            raise StoreError(fact, hint=mend)
        if size < wanted:
            _log.warning("%s, and %d are wanted for statements. HINT: %s", fact, max_connections, mend)
    if listening:
        _listeners[id(pool)] = listening


def leave_place(pool: Pool) -> None:
    """Count a listener out."""
    left = _listeners.pop(id(pool), 1) - 1
    if left:
        _listeners[id(pool)] = left


async def check_codecs(queries: Queries, connection: CallerConnection, *, whose: str = "pool") -> None:
    """Send one value of each type there and back. Raises StoreError if one comes back as something else.

    Other errors of the server or the driver are raised as they come.
    """
    sent = JUDGED
    try:
        row = await queries.read_values(
            connection,
            an_id=_ID,
            a_time=_TIME,
            a_length=timedelta(days=1, microseconds=7),
            a_number=2**40,
            a_middling=2**20,
            a_small=7,
            a_truth=True,
            a_word=_WORD,
            a_body=b"\0bytes",
        )
    except asyncpg.DataError as error:  # what the driver makes of an encoder that raises
        raise _spoilt(whose, f"refuses the driver's own values: {type(error).__name__}") from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
        raise
    except Exception as error:  # what a decoder of the caller's raises
        if hasattr(error, "sqlstate"):  # another driver's
            raise
        raise _spoilt(whose, f"refuses the driver's own values: {type(error).__name__}") from error
    got: tuple[object, ...] = (
        row.an_id, row.a_time, row.a_length, row.a_number, row.a_middling, row.a_small, row.a_truth, row.a_word, row.a_body,
    )  # fmt: skip
    for (name, value), back in zip(sent.items(), got, strict=True):
        if not isinstance(back, type(value)) or not _equal(value, back):
            changed = f"as {type(back).__name__}, not as {type(value).__name__}"
            raise _spoilt(whose, f"gives {name} {'as another value' if type(back) is type(value) else changed}")


def _equal(value: object, back: object) -> bool:
    if isinstance(value, datetime) and isinstance(back, datetime) and back.tzinfo is None:
        return False
    return value == back


def _spoilt(whose: str, fact: str) -> StoreError:
    return StoreError(
        f"a codec of the {whose} {fact}",
        hint="give saga_fn a pool without that set_type_codec(), or a DSN for connections of its own"
        if whose == "pool"
        else "pass a connection without that set_type_codec()",
    )
