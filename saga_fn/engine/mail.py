"""Letters to sagas that somebody owns: an operator's verb or an outside event, as the core's events.

Only the owner decides, everybody else leaves a letter. Its body is JSON, and its kind is the verb's name.
"""

from __future__ import annotations

import base64
from uuid import UUID

import msgspec

from saga_fn.core.events import (
    CompensationRequested,
    Event,
    EventReceived,
    RetryRequested,
    StepSkipped,
)
from saga_fn.core.ids import Digest, Moment, StepId
from saga_fn.core.state import SagaState
from saga_fn.engine.execution import Incoming
from saga_fn.snapshot import Unreadable
from saga_fn.store.ids import new_uuid
from saga_fn.store.records import Letter


class _Body(msgspec.Struct, frozen=True, omit_defaults=True):
    step: str | None = None
    payload: str | None = None
    """Base64 of the payload's bytes."""
    name: str = ""
    """Of an event, if it has one; then what it is about, in hexadecimal digits, and when it is void."""
    about: str = ""
    expires: Moment | None = None


def write_mail(item: Incoming) -> Letter:
    """The letter that asks a saga's owner for this event."""
    match item.event:
        case RetryRequested():
            return _letter("retry_step", _Body(payload=_text(item.payload)))
        case StepSkipped(step=step):
            return _letter("skip_step", _Body(step, _text(item.payload)))
        case CompensationRequested():
            return _letter("compensate_step", _Body(payload=_text(item.payload)))
        case EventReceived() as event:
            return event_letter(new_uuid(), event, item.payload)
        case _:
            raise AssertionError(f"{type(item.event).__name__} is never sent by mail")


def read_mail(letter: Letter, at: Moment) -> Incoming:
    """The event a letter asks for, as of now."""
    body = msgspec.json.decode(letter.body, type=_Body)
    payload = None if body.payload is None else base64.b64decode(body.payload)
    return Incoming(_event(letter, body, at), payload=payload, letter=letter.id)


def _event(letter: Letter, body: _Body, at: Moment) -> Event:
    match letter.kind:
        case "retry_step":
            return RetryRequested(at)
        case "skip_step":
            return StepSkipped(at, StepId(body.step or ""))
        case "compensate_step":
            return CompensationRequested(at)
        case "event":
            return EventReceived(at, body.name, Digest(bytes.fromhex(body.about)), body.expires)
        case _:
            raise AssertionError(f"a letter of unknown kind {letter.kind!r}")


def event_letter(letter_id: UUID, event: EventReceived, payload: bytes | None) -> Letter:
    """The letter that brings an event; its id tells events apart."""
    body = _Body(None, _text(payload), event.name, event.about.hex(), event.expires)
    return Letter(letter_id, "event", msgspec.json.encode(body))


def payload_in(body: bytes) -> object:
    """What a letter brings, as plain JSON; `Unreadable` where it cannot be read."""
    try:
        payload = msgspec.json.decode(body, type=_Body).payload
        return None if payload is None else msgspec.json.decode(base64.b64decode(payload))
    except (ValueError, RecursionError):  # those of JSON, base64 and UTF-8
        return Unreadable(len(body))


def answer_to(event: Event, state: SagaState) -> str:
    """What to answer a letter that was folded, and led to that state."""
    if not isinstance(event, EventReceived) or not event.name:
        return "applied"
    return "buffered" if any(kept.seq == state.rev for kept in state.buffered) else "accepted"


def _text(payload: bytes | None) -> str | None:
    return None if payload is None else base64.b64encode(payload).decode("ascii")


def _letter(kind: str, body: _Body) -> Letter:
    return Letter(new_uuid(), kind, msgspec.json.encode(body))
