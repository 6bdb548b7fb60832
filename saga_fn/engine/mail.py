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
from saga_fn.core.ids import Moment, StepId
from saga_fn.engine.execution import Incoming
from saga_fn.store.ids import new_uuid
from saga_fn.store.records import Letter


class _Body(msgspec.Struct, frozen=True, omit_defaults=True):
    step: str | None = None
    payload: str | None = None
    """Base64 of the payload's bytes."""


def write_mail(item: Incoming) -> Letter:
    """The letter that asks a saga's owner for this event."""
    match item.event:
        case RetryRequested():
            return _letter("retry_step", None, item.payload)
        case StepSkipped(step=step):
            return _letter("skip_step", step, item.payload)
        case CompensationRequested():
            return _letter("compensate_step", None, item.payload)
        case EventReceived():
            return _letter("event", None, item.payload)
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
            return EventReceived(at)
        case _:
            raise AssertionError(f"a letter of unknown kind {letter.kind!r}")


def _letter(kind: str, step: str | None, payload: bytes | None) -> Letter:
    encoded = None if payload is None else base64.b64encode(payload).decode("ascii")
    letter_id: UUID = new_uuid()
    return Letter(letter_id, kind, msgspec.json.encode(_Body(step, encoded)))
