"""Sagas as archives and exports have them, read back: a line of JSON each."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias, cast
from uuid import UUID

import msgspec

from saga_fn.core.events import Event
from saga_fn.core.ids import PlanId
from saga_fn.core.plan import Plan
from saga_fn.core.plan_flaws import PlanFlawError
from saga_fn.core.state import SagaState
from saga_fn.definition.archive import EXPORT_FORMAT
from saga_fn.errors import SagaError, StoredDataError, is_a, shown
from saga_fn.store.records import decode_event, decode_plan, decode_state

Export: TypeAlias = str | os.PathLike[str] | Iterable[str]
"""The path of a file of exported sagas, or its lines."""
_NO_LINES = "pass the path of a file that JsonlArchive or SagaAdmin.export has written, or its lines"


class DamagedError(Exception):
    """A line, or a part of it, is none that an export has. The first argument says so in words."""

    @property
    def fact(self) -> str:
        """The fault, in one sentence."""
        return str(self)


class ExportedEntry(msgspec.Struct, frozen=True):
    """An entry of the journal."""

    seq: int
    event: bytes
    input: msgspec.Raw = msgspec.Raw(b"null")
    payload: msgspec.Raw = msgspec.Raw(b"null")

    def told(self, place: int) -> Event:
        """The event of the entry that stands at this place, from 1; raises DamagedError."""
        if self.seq != place:
            raise DamagedError(f"it is said to be entry {self.seq}")
        try:
            return decode_event(self.event)
        except StoredDataError as error:
            raise DamagedError(error.fact) from None


class ExportedSaga(msgspec.Struct, frozen=True):
    """A saga, as far as a replay needs it."""

    format: int
    id: UUID
    saga_name: str
    version: int
    plan: str
    revision: int
    state: bytes
    journal: list[ExportedEntry]
    plans: Mapping[str, bytes] = msgspec.field(default_factory=dict[str, bytes])
    """The plans that it ran by, by their fingerprints, as far as they could be read."""

    def last(self) -> SagaState:
        """The state that was stored; raises DamagedError."""
        try:
            return decode_state(self.state, self.revision)
        except StoredDataError as error:
            raise DamagedError(error.fact) from None

    def known_plans(self) -> dict[PlanId, Plan]:
        """The plans that it ran by; raises DamagedError."""
        try:
            found = [Plan.from_data(decode_plan(data)) for data in self.plans.values()]
        except (StoredDataError, PlanFlawError):
            raise DamagedError("a plan of it cannot be read") from None
        if [each.id for each in found] != list(self.plans):
            raise DamagedError("a plan of it has another fingerprint than is said")
        return {each.id: each for each in found}


_decode = msgspec.json.Decoder(ExportedSaga).decode
_TRUNCATED: Final = "truncated"
"""msgspec says so of JSON that ends too early."""


def saga_in(line: str | bytes) -> ExportedSaga | None:
    """The saga of that line; None for one that is torn: a process died while it wrote it. Raises DamagedError for any other."""
    try:
        found = _decode(line.rstrip())  # the end of the line, in a text that is torn, would be no JSON
    except msgspec.ValidationError as error:
        raise DamagedError(f"it is JSON, but no saga: {error}") from None
    except (ValueError, RecursionError) as error:
        if line[:1] in ("{", b"{") and _TRUNCATED in str(error):
            return None
        raise DamagedError("it is no JSON") from None
    if found.format != EXPORT_FORMAT:
        raise DamagedError(f"it has the format {found.format}; this version of the library reads {EXPORT_FORMAT}")
    return found


def lines_of(export: Export) -> Iterator[str | bytes]:
    """The lines that are not blank; raises SagaError if there are none to read."""
    if isinstance(export, str | os.PathLike):
        yield from _in_file(export)
        return
    if not is_a(export, Iterable) or is_a(export, (bytes, bytearray, Mapping)):
        raise SagaError(f"an export is a path or lines of text, not {shown(export)}", hint=_NO_LINES)
    for line in cast("Iterable[object]", export):
        if not isinstance(line, str):
            raise SagaError(f"a line of an export is text, not {shown(line)}", hint=_NO_LINES)
        if line.strip():
            yield line


def _in_file(path: str | os.PathLike[str]) -> Iterator[bytes]:
    try:
        with Path(path).open("rb") as file:
            yield from (line for line in file if line.strip())
    except (OSError, ValueError, TypeError) as error:  # ValueError: of a name that no file can have
        why = error.strerror if isinstance(error, OSError) and error.strerror else "no file can have that name"
        raise SagaError(f"the export {shown(str(path))} cannot be read: {why}", hint=_NO_LINES) from error


def payload_forms(payload: msgspec.Raw) -> Iterator[bytes]:
    """The bytes that the payload may have had: one that was no JSON stands in an export as base64 text in an object."""
    data = bytes(payload)
    yield data
    try:
        yield msgspec.json.decode(data, type=_NoJson).base64
    except (ValueError, RecursionError):
        return


class _NoJson(msgspec.Struct, forbid_unknown_fields=True):
    base64: bytes
