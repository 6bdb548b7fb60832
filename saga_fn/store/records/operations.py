"""Bulk operations, and pauses: acts of operators on many sagas."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from saga_fn.core.ids import Moment
from saga_fn.snapshot import OperationState
from saga_fn.store.records.encoding import decoded


class PauseRecord(msgspec.Struct, frozen=True):
    """A pause of a name, or with the empty name of everything."""

    name: str
    actor: str | None
    reason: str | None
    since: datetime

    def holds(self, name: str) -> bool:
        """Whether sagas of that name are paused by it."""
        return self.name in ("", name)


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far an operation has come, and which sagas it is at."""

    done: int = 0
    asked: int = 0
    """Sagas whose owners were asked, and have not answered yet."""
    refusals: dict[str, int] = {}
    """How many sagas have refused the verb, by the reason."""
    at: Moment | None = None
    """The place in the list after the sagas of the batch: the moment of the last one, and its id."""
    at_id: UUID | None = None
    batch: tuple[tuple[UUID, int], ...] = ()
    """The sagas that it is at, each with the revision that it was read at."""
    is_last: bool = False
    """Whether no saga comes after those of the batch."""
    began: Moment | None = None
    """When the first batch was."""
    spent: int = 0
    """The time in which a process was at its sagas: microseconds."""


class OperationRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An act of an operator."""

    id: UUID
    verb: str
    step_id: str | None = None
    saga_id: UUID | None = None
    actor: str | None = None
    reason: str | None = None
    request: bytes = b""
    needs: str | None = None
    state: OperationState
    progress: Progress
    unreadable: str | None = None
    """Why its progress cannot be read, if a page has it all the same: `progress` is an empty one then."""
    token: UUID | None = None
    began_at: datetime
    updated_at: datetime


_encode_progress = msgspec.msgpack.Encoder().encode
_decode_progress = msgspec.msgpack.Decoder(Progress).decode


def encode_progress(progress: Progress) -> bytes:
    """The progress as it is stored."""
    return _encode_progress(progress)


def decode_progress(data: bytes) -> Progress:
    """The progress that was stored. Raises StoredDataError for bytes that are not one."""
    return decoded("progress", _decode_progress, data)
