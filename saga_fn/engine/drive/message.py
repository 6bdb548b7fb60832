"""Messages to sagas that another process may own: an operator's verb or an outside event, as the core's events.

Only the owner decides, everybody else leaves a message. Its body is JSON, and its kind is the verb's name. Messages come out
of a table that others may write to, too, and from older builds: the process that reads one judges all of it (`judge`).
"""

from __future__ import annotations

import base64
from typing import Final
from uuid import UUID

import msgspec

from saga_fn.core.events import (
    CompensationRequested,
    Event,
    EventReceived,
    Finding,
    MomentsMoved,
    PauseRequested,
    Rescheduled,
    ResumeRequested,
    RetryRequested,
    RewindRequested,
    StepSettled,
    StepSkipped,
)
from saga_fn.core.flaws import LAST_MOMENT
from saga_fn.core.ids import Digest, Moment, StepId
from saga_fn.definition import AnySaga
from saga_fn.engine.drive.asked import Asked, asked_in
from saga_fn.engine.drive.earlier import digest_of
from saga_fn.engine.drive.incoming import Incoming
from saga_fn.errors import PayloadError
from saga_fn.snapshot import Unreadable
from saga_fn.store.ids import new_uuid
from saga_fn.store.records import InboxMessage

UNREADABLE: Final = "unreadable"
"""The answer to a message that cannot be read."""
_ROOM: Final = 16_384
"""Bytes that a message's body may have beside its payload: every other field is short."""
_LARGEST: Final = 2**63 - 1
"""A revision, or a moment, is no larger."""
_DIGEST_SIZES: Final = (0, 8)
"""Bytes."""


class _Body(msgspec.Struct, frozen=True, omit_defaults=True):
    step: str | None = None
    payload: str | None = None
    """Base64 of the payload's bytes."""
    name: str = ""
    """For an event, if it has one; then its correlation, in hexadecimal digits, and when it is void."""
    correlation: str = ""
    expires: Moment | None = None
    not_begun: bool = False
    """For a verb: whether a step that has not begun is meant too, the revision that the operator saw, who asked, and why."""
    expect: int | None = None
    actor: str | None = None
    reason: str | None = None
    forget: tuple[str, ...] = ()
    """The steps that an operator lets a saga forget that is taken back."""
    finding: str = ""
    """The operator's finding about a step: `done`, with its output as the payload, `undone` or `never_ran`."""
    to: Moment = Moment(0)
    """For what sleeps: when it is to go on. For moments that are moved: the end of the time that they are moved by."""
    since: Moment = Moment(0)
    """For those: its beginning."""
    extend: bool = False
    """For the end of a pause: whether the saga's moments are moved by its length."""


class Flaw(msgspec.Struct, frozen=True):
    """Why a message cannot be read, without any value of it."""

    message: UUID
    fact: str


def message_of(item: Incoming) -> InboxMessage:
    """The message that asks a saga's owner for this event."""
    asked = asked_in(item.input)
    match item.event:
        case RetryRequested(step=step, expect=expect, digest=digest):
            given = _text(item.payload) if digest else None
            body = _Body(step, given, expect=expect, actor=asked.actor, reason=asked.reason)
            return _message("retry_step", body)
        case StepSkipped(step=step, expect=expect, not_begun=not_begun):
            body = _Body(
                step,
                _text(item.payload),
                not_begun=not_begun,
                expect=expect,
                actor=asked.actor,
                reason=asked.reason,
            )
            return _message("skip_step", body)
        case RewindRequested(step=step, forget=forget, expect=expect):
            body = _Body(step, forget=forget, expect=expect, actor=asked.actor, reason=asked.reason)
            return _message("rewind", body)
        case CompensationRequested(expect=expect):
            return _message("compensate_step", _Body(expect=expect, actor=asked.actor, reason=asked.reason))
        case StepSettled(step=step, expect=expect, finding=finding):
            body = _Body(
                step,
                _text(item.payload) if finding is Finding.DONE else None,
                finding=finding.name.lower(),
                expect=expect,
                actor=asked.actor,
                reason=asked.reason,
            )
            return _message("settle_step", body)
        case Rescheduled(to=to, step=step, expect=expect):
            body = _Body(step or None, to=to, expect=expect, actor=asked.actor, reason=asked.reason)
            return _message("reschedule", body)
        case PauseRequested(expect=expect):
            return _message("pause_saga", _Body(expect=expect, actor=asked.actor, reason=asked.reason))
        case ResumeRequested(expect=expect, extend=extend):
            body = _Body(expect=expect, actor=asked.actor, reason=asked.reason, extend=extend)
            return _message("resume_saga", body)
        case MomentsMoved(since=since, until=until):
            body = _Body(to=until, since=since, actor=asked.actor, reason=asked.reason)
            return _message("move_moments", body)
        case EventReceived() as event:
            return event_message(new_uuid(), event, item.payload)
        case _:
            raise AssertionError(f"{type(item.event).__name__} is never sent as a message")


def event_in(message: InboxMessage, at: Moment) -> Event | None:
    """The event that a message asks for, as of now; None if it cannot be read. Its payload is not judged."""
    try:
        body = msgspec.json.decode(message.body, type=_Body)
        payload = None if body.payload is None else base64.b64decode(body.payload, validate=True)
        return _event(message, body, at, payload)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def judge(
    definition: AnySaga,
    message: InboxMessage,
    at: Moment,
    *,
    most: int,
) -> Incoming | Flaw:
    """The event that a message asks for, as of now, or why it cannot be read.

    Its payload is what the step or the wait that it is for can read, and has `most` bytes at most.
    """
    try:
        if len(message.body) > _ROOM + most * 4 // 3:
            return Flaw(message.id, f"a message of {len(message.body):,} bytes is too long")
        body = msgspec.json.decode(message.body, type=_Body)
        payload = None if body.payload is None else base64.b64decode(body.payload, validate=True)
        if not all(0 <= (number or 0) <= _LARGEST for number in (body.expect, body.expires)):
            return Flaw(message.id, "a number in a message is out of range")
        event = _event(message, body, at, payload)
        asked = Asked.of(body.actor, body.reason).encode()
        if event is None:
            return Flaw(message.id, "a message of a kind that is not known here")
        if payload is not None and len(payload) > most:
            return Flaw(message.id, f"a payload of {len(payload):,} bytes is too long")
        flaw = _unreadable(definition, event, payload or b"null")
    except PayloadError as error:
        return Flaw(message.id, error.fact)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        return Flaw(message.id, f"a message cannot be decoded ({type(error).__name__})")
    if flaw is not None:
        return Flaw(message.id, flaw.fact)
    return Incoming(event, asked, payload, message.id)


def _event(message: InboxMessage, body: _Body, at: Moment, payload: bytes | None) -> Event | None:
    step = StepId(body.step or "")
    match message.kind:
        case "retry_step":
            return RetryRequested(at, step, body.expect, digest=Digest(b"") if payload is None else digest_of(payload))
        case "skip_step":
            return StepSkipped(at, step, not_begun=body.not_begun, expect=body.expect)
        case "rewind":
            return RewindRequested(at, step, tuple(map(StepId, body.forget)), body.expect)
        case "compensate_step":
            return CompensationRequested(at, body.expect)
        case "settle_step":
            return _settled(body, StepSettled(at, step, body.expect))
        case "reschedule":
            return Rescheduled(at, body.to, step, body.expect) if 0 <= body.to <= LAST_MOMENT else None
        case "pause_saga":
            return PauseRequested(at, body.expect)
        case "resume_saga":
            return ResumeRequested(at, body.expect, body.extend)
        case "move_moments":
            return MomentsMoved(at, body.since, body.to) if 0 <= body.since <= body.to <= LAST_MOMENT else None
        case "event":
            correlation = bytes.fromhex(body.correlation)
            return (
                EventReceived(at, body.name, Digest(correlation), body.expires)
                if len(correlation) in _DIGEST_SIZES
                else None
            )
        case _:
            return None


def _settled(body: _Body, event: StepSettled) -> StepSettled | None:
    """The event with what the message says is so; None if that is not known here."""
    if body.finding.upper() not in Finding.__members__:
        return None
    finding = Finding[body.finding.upper()]
    return (
        None if (finding is Finding.DONE) is (body.payload is None) else msgspec.structs.replace(event, finding=finding)
    )


def _unreadable(definition: AnySaga, event: Event, payload: bytes) -> PayloadError | None:
    """Why nothing of the saga could read what comes with the event."""
    match event:
        case StepSkipped(step=step) | StepSettled(step=step, finding=Finding.DONE) if (
            binding := definition.binding(step)
        ) is not None:
            binding.given_for(step).decode(payload)
        case RetryRequested(step=step, digest=digest) if digest and (binding := definition.binding(step)) is not None:
            binding.input_type.decode(payload)
        case EventReceived(name=""):
            if not isinstance(msgspec.json.decode(payload), dict):
                return PayloadError("an event without a name must be a JSON object")
        case EventReceived(name=name):
            return definition.unreadable(name, payload)
        case _:
            pass
    return None


def event_message(message_id: UUID, event: EventReceived, payload: bytes | None) -> InboxMessage:
    """The message that brings an event; its id tells events apart."""
    body = _Body(None, _text(payload), event.name, event.correlation.hex(), event.expires)
    return InboxMessage(message_id, "event", msgspec.json.encode(body))


def payload_in(body: bytes) -> object:
    """The payload of a message, as plain JSON; `Unreadable` where it cannot be read."""
    try:
        payload = msgspec.json.decode(body, type=_Body).payload
        return None if payload is None else msgspec.json.decode(base64.b64decode(payload))
    except (ValueError, RecursionError):  # those of JSON, base64 and UTF-8
        return Unreadable(len(body))


def _text(payload: bytes | None) -> str | None:
    return None if payload is None else base64.b64encode(payload).decode("ascii")


def _message(kind: str, body: _Body) -> InboxMessage:
    return InboxMessage(new_uuid(), kind, msgspec.json.encode(body))
