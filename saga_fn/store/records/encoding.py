"""States, events and plans as bytes: msgpack arrays under a format number. A reader knows every format up to its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from saga_fn.core.events import Event
from saga_fn.core.flaws import LAST_MOMENT, flaw_in
from saga_fn.core.plan import Plan, PlanData
from saga_fn.core.state import SagaState
from saga_fn.errors import StoredDataError

T = TypeVar("T")

FORMAT: Final = 1
"""The format this library writes; it reads `READABLE`."""
READABLE: Final = (1,)

_encode = msgspec.msgpack.Encoder().encode
_decode_state = msgspec.msgpack.Decoder(SagaState).decode
_decode_event: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Event)
_decode_plan = msgspec.msgpack.Decoder(PlanData).decode


def encode_state(state: SagaState) -> bytes:
    """The state as it is stored."""
    return _encode(state)


def decode_state(data: bytes, rev: int | None = None) -> SagaState:
    """The state that was stored, with that revision if it is known. Raises StoredDataError for bytes that are not one."""
    state = decoded("state", _decode_state, data)
    flaw = flaw_in(state, state.rev if rev is None else rev)
    if flaw is not None:
        raise StoredDataError("state", flaw)
    return state


def encode_event(event: Event) -> bytes:
    """The event as the journal keeps it."""
    return _encode(event)


def decode_event(data: bytes) -> Event:
    """The event that was journaled. Raises StoredDataError for bytes that are not one."""
    event = decoded("journal entry", _decode_event.decode, data)
    if not 0 <= event.at <= LAST_MOMENT:
        raise StoredDataError("journal entry", "it names a moment that is none")
    return event


def encode_plan(plan: PlanData) -> bytes:
    """The plan as it is stored."""
    return _encode(plan)


def decode_plan(data: bytes) -> PlanData:
    """The plan that was stored. Raises StoredDataError for bytes that are not one."""
    return decoded("plan", _decode_plan, data)


def plan_from(data: bytes) -> Plan:
    """The plan that was stored, ready for use. Raises StoredDataError for bytes that are not one."""
    try:
        return Plan.from_data(decode_plan(data))
    except (ValueError, LookupError) as error:
        raise StoredDataError("plan", type(error).__name__) from None


def decoded(what: str, decode: Callable[[bytes], T], data: bytes) -> T:
    """The value that was stored. Raises StoredDataError, which says that it is no `what`, for bytes that are not one."""
    try:
        return decode(data)
    except (
        ValueError,
        RecursionError,
        OverflowError,
        MemoryError,
    ) as error:  # msgspec's errors, and UnicodeDecodeError
        raise StoredDataError(what, type(error).__name__) from None
