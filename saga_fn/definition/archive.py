"""Sagas as they are archived before they are deleted, and a file that keeps them."""

from __future__ import annotations

import asyncio
import base64
import errno
import fcntl
import os
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import ClassVar, Final, final
from uuid import UUID

import msgspec
from typing_extensions import override

from saga_fn.backoff import Backoff
from saga_fn.core.projection import SagaStatus
from saga_fn.errors import SagaDefinitionError, StoreError, is_a, shown
from saga_fn.printable import HidingStruct

EXPORT_FORMAT: Final = 1
"""The number of the format of a line."""
_PATIENCE: Final = 10.0
"""Seconds that a file may be locked by another process."""
_encode = msgspec.json.Encoder(order="deterministic").encode


@final
class ArchivedSaga(HidingStruct, frozen=True):
    """A saga that is about to be deleted, with its journal. Messages and verbs stand in no place of their own.

    Attributes:
        id: Its id.
        saga_name: The name that it was registered under.
        version: The version of its definition.
        status: The status that it ended with.
        aggregation_id: Its business key, or None.
        trace_id: The id for logs that it was started with.
        created_at: The time of its start.
        ended_at: The time of its end.
        data: The plans, the state, the search attributes, the journal, and the records beside it. Payloads are JSON values; bytes
            are base64 text.
    """

    _hidden: ClassVar[frozenset[str]] = frozenset({"data"})

    id: UUID
    saga_name: str
    version: int
    status: SagaStatus
    aggregation_id: str | None
    trace_id: str
    created_at: datetime
    ended_at: datetime
    data: Mapping[str, object]

    def to_json(self) -> str:
        """Give it as one line of JSON.

        Returns:
            The line, without its end.
        """
        return line_of(
            self.data,
            id=self.id,
            saga_name=self.saga_name,
            version=self.version,
            status=self.status,
            aggregation_id=self.aggregation_id,
            trace_id=self.trace_id,
            created_at=self.created_at,
            ended_at=self.ended_at,
        )


def line_of(data: Mapping[str, object], **columns: object) -> str:
    """A saga as one line of JSON, without its end."""
    return _encode({"format": EXPORT_FORMAT, **columns, **data}).decode()


def json_of(payload: bytes | None) -> object:
    """A stored payload as a JSON value; as base64 text if it is none."""
    if payload is None:
        return None
    try:
        value: object = msgspec.json.decode(payload)
    except (ValueError, RecursionError):  # msgspec's errors, and UnicodeDecodeError
        return {"base64": text_of(payload)}
    return value


def text_of(data: bytes) -> str:
    """Bytes as base64 text."""
    return base64.b64encode(data).decode()


def _is_encodable(path: str) -> bool:
    """Whether a file can have that name."""
    try:
        return b"\x00" not in os.fsencode(path)
    except UnicodeError:
        return False


@final
class JsonlArchive:
    """A file that sagas are appended to, one JSON object a line, before they are deleted. For `Retention(archive=)`.

    A batch is on the disk when the call returns. A saga may stand in it twice: the last line counts. Several processes of one
    machine may append to one file: each locks it, and gives up after 10 seconds. Nothing that stands in the file is ever taken
    away. A line that a dead process has not finished stays, as the only one that is no JSON: a reader leaves it out.

    Args:
        path: The path of the file. Its folder has to be there.

    Raises:
        SagaDefinitionError: `path` is no path.

    Example::

        Retention(completed=timedelta(days=30), archive=JsonlArchive("/var/archive/orders.jsonl"))
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if not is_a(path, (str, os.PathLike)) or not str(path) or not _is_encodable(str(path)):
            raise SagaDefinitionError(
                f"an archive is a path of a file, not {shown(path)}", hint='JsonlArchive("/var/archive/orders.jsonl")'
            )
        self._path = os.fspath(path)

    @override
    def __repr__(self) -> str:
        return f"<archive {self._path}>"

    async def __call__(self, sagas: Sequence[ArchivedSaga]) -> None:
        """Append sagas to the file.

        Args:
            sagas: The sagas.

        Raises:
            StoreError: The file cannot be written.
        """
        if not sagas:
            return
        lines = "".join(saga.to_json() + "\n" for saga in sagas).encode()
        try:
            await asyncio.to_thread(self._append, lines)
        except OSError as error:
            raise StoreError(
                f"the archive {self._path} cannot be written: {error.strerror or type(error).__name__}",
                hint="nothing of it was deleted; see that its folder is there, and has room",
            ) from error

    def _append(self, lines: bytes) -> None:
        with open(self._path, "a+b") as file:  # noqa: PTH123 - pathlib takes longer to import than most of this library
            _lock(file.fileno())
            if _ends_within_a_line(file.fileno()):
                file.write(b"\n")
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())


def _lock(file: int) -> None:
    """Lock the file; raises TimeoutError if another process keeps it: a thread that waits here would keep its process alive."""
    give_up, backoff = time.monotonic() + _PATIENCE, Backoff(0.01, 0.25)
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up:
                raise TimeoutError(errno.ETIMEDOUT, f"another process has kept it locked for {_PATIENCE:g} s") from None
            time.sleep(backoff.next())
        else:
            return


def _ends_within_a_line(file: int) -> bool:
    """Whether the file's last line has no end. It may be whole, or torn; another program may have written it: it stays."""
    size = os.fstat(file).st_size
    return size > 0 and os.pread(file, 1, size - 1) != b"\n"
