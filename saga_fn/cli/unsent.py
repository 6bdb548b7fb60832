"""The commands for outgoing messages that are not published."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final
from uuid import UUID

from cyclopts import Parameter

from saga_fn.admin.text_fields import id_of
from saga_fn.cli.answers import Answer, Part, Table, json_of, lines, said, text_of
from saga_fn.cli.exit_codes import ExitCode
from saga_fn.cli.looking import Id, Payloads
from saga_fn.cli.session import By, Given, Reason, Session, Yes
from saga_fn.cli.texts import unsent_data
from saga_fn.snapshot import UnsentMessage

NONE_IS_DEAD: Final = "No message is dead. With a saga's id this lists those of its messages that wait, too."
_Message = Annotated[str | None, Parameter(help="The id of one message. Without it all dead messages of the saga.")]

_Discarded = Annotated[
    str | None, Parameter(help="The id of one message, dead or waiting. Without it all dead messages of the saga.")
]


async def list_unsent(
    saga_id: Annotated[str | None, Parameter(help="The saga's id. Without it the dead messages of all sagas.")] = None,
    /,
    *,
    limit: Annotated[int, Parameter(help="The most messages, 1 to 1,000.")] = 100,
    payloads: Payloads = False,
    session: Given,
) -> Answer:
    """List outgoing messages that are not published: all of one saga, or the dead ones of all sagas."""
    async with session.looking() as place:
        found = await place.admin.outgoing(None if saga_id is None else id_of(saga_id), limit=limit)
    none = NONE_IS_DEAD if saga_id is None else "No message of this saga waits."
    return Answer([unsent_data(each, payloads=payloads) for each in found], _shown(found, payloads=payloads, none=none))


async def redrive(
    saga_id: Id,
    message: _Message = None,
    /,
    *,
    yes: Yes = False,
    by: By = None,
    reason: Reason = None,
    session: Given,
) -> Answer:
    """Try dead messages of a saga again, from the first attempt on."""
    return await _decide(
        session,
        id_of(saga_id),
        None if message is None else id_of(message),
        "redrive",
        "Try them again?",
        yes=yes,
        by=by,
        reason=reason,
    )


async def discard(
    saga_id: Id,
    message: _Discarded = None,
    /,
    *,
    yes: Yes = False,
    by: By = None,
    reason: Reason = None,
    session: Given,
) -> Answer:
    """Give dead messages of a saga up for good. Those behind them go on."""
    return await _decide(
        session,
        id_of(saga_id),
        None if message is None else id_of(message),
        "discard",
        "Discard them?",
        yes=yes,
        by=by,
        reason=reason,
    )


async def _decide(
    session: Session,
    saga_id: UUID,
    message: UUID | None,
    verb: str,
    question: str,
    *,
    yes: bool,
    by: str | None,
    reason: str | None,
) -> Answer:
    done = f"{verb}ed" if verb == "discard" else "redriven"
    async with session.acting(by) as place:
        found = [
            each
            for each in await place.admin.outgoing(saga_id, limit=1000)
            if message in (None, each.id) and (each.dead_at is not None or (verb == "discard" and message is not None))
        ]
        if not found:
            return said("No such message is dead.", {done: 0}, ExitCode.FOUND)
        session.before_the_question((lines(f"database: {place.where}"), *_shown(found, payloads=False)), yes=yes)
        if not session.agrees(question, yes=yes):
            return said("Nothing was changed.", {done: 0}, ExitCode.FOUND)
        act = place.admin.redrive if verb == "redrive" else place.admin.discard
        number = await act(saga_id, message, reason=reason)
    return said(f"{done.capitalize()}: {number:,}.", {done: number})


def _shown(found: Sequence[UnsentMessage], *, payloads: bool, none: str = NONE_IS_DEAD) -> tuple[Part, ...]:
    if not found:
        return (lines(none),)
    heads = ("message", "saga", "topic", "attempts", "dead since", "why", *(("payload",) if payloads else ()))
    rows = [
        (
            str(each.id),
            str(each.saga_id),
            each.topic,
            str(each.attempts),
            "" if each.dead_at is None else text_of(each.dead_at),
            each.error or "",
        )
        + ((_payload(each.payload),) if payloads else ())
        for each in found
    ]
    return (Table(heads, tuple(rows)),)


def _payload(payload: object) -> str:
    return f"{len(payload):,} bytes" if isinstance(payload, bytes) else json_of(payload)
