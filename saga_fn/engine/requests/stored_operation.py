"""An operation on many sagas as it is stored: its act, its filter, and the page of the sagas that come next.

The act is a verb, or the moving of moments before the end of a pause.
"""

from __future__ import annotations

import hashlib
from typing import Final, TypeVar
from uuid import UUID

import msgspec

from saga_fn.arguments import plain
from saga_fn.core.ids import Moment
from saga_fn.core.listing import NotServed, Wanted, way_of
from saga_fn.engine.drive.asked import Asked
from saga_fn.engine.requests.deeds import Deed
from saga_fn.errors import (
    StoredDataError,
)
from saga_fn.snapshot import OperationState
from saga_fn.store.listing import Listing, Place
from saga_fn.store.records import OperationRecord, PauseRecord, Progress, moment_of, time_of

R = TypeVar("R")
ENDINGS: Final = ("resume", "resume_all")
"""The operations that end a pause, if they run."""


class Request(msgspec.Struct, frozen=True):
    """An operation on many sagas, as it is stored."""

    deed: Deed
    wanted: Wanted
    per_second: int

    def encode(self) -> bytes:
        """As it is stored."""
        return msgspec.json.encode(self, enc_hook=plain)


class Ending(msgspec.Struct, frozen=True):
    """The end of a pause, before which the moments of its sagas are moved by its length, as it is stored."""

    wanted: Wanted
    name: str
    """The name that is paused; the empty one is everything."""
    since: Moment
    """When it began: by that the pause is told from a later one."""
    per_second: int = 1000

    def encode(self) -> bytes:
        """As it is stored."""
        return msgspec.json.encode(self, enc_hook=plain)


def ending_of(pause: PauseRecord, verb: str, asked: Asked, now: Moment) -> OperationRecord:
    """The operation that ends this pause, `resume` or `resume_all`. Its id is that of the pause: it is begun once."""
    text = f"{moment_of(pause.since)} {pause.name}".encode("utf-8", "surrogatepass")
    wanted = Wanted(name=pause.name or None, active=True)
    return OperationRecord(
        id=UUID(bytes=hashlib.blake2b(text, digest_size=16, person=b"end of a pause").digest()),
        verb=verb,
        actor=asked.actor,
        reason=asked.reason,
        request=Ending(wanted, pause.name, moment_of(pause.since)).encode(),
        state=OperationState.RUNNING,
        progress=Progress(),
        began_at=time_of(now),
        updated_at=time_of(now),
    )


class Aim(msgspec.Struct, frozen=True):
    """The sagas that an act of an operator is for: all of a request but what is done to them. A pause stores no more."""

    wanted: Wanted

    def encode(self) -> bytes:
        """As it is stored."""
        return msgspec.json.encode(self, enc_hook=plain)


def request_in(operation: OperationRecord) -> Request | Ending:
    """The act and the filter of an operation. Raises StoredDataError for bytes that say nothing."""
    return _read(operation, Ending) if operation.verb in ENDINGS else _read(operation, Request)


def aim_of(operation: OperationRecord) -> Wanted:
    """The filter of an operation, or of a pause. Raises StoredDataError for bytes that say nothing."""
    return _read(operation, Aim).wanted


def _read(operation: OperationRecord, kind: type[R]) -> R:
    try:
        return msgspec.json.decode(operation.request, type=kind)
    except (ValueError, RecursionError) as error:
        raise StoredDataError("operation", type(error).__name__) from None


def listing(wanted: Wanted, progress: Progress, most: int) -> Listing:
    """The page of the sagas that come next."""
    way = way_of(wanted)
    if isinstance(way, NotServed):
        raise StoredDataError("operation", way.fact)
    at, at_id = progress.at, progress.at_id
    place = None if at is None or at_id is None else Place(time_of(at), at_id)
    return Listing(wanted, way, place, most)
