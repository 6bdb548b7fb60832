"""Outgoing messages that are not published: on their saga's page, on the first one, and the forms that decide on one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeAlias
from uuid import UUID

import htpy as h
from htpy import Node
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from saga_fn import PayloadError, SagaError, UnsentMessage
from saga_fn.admin.text_fields import id_of
from saga_fn.console import forms, html
from saga_fn.console.context import SEAL, Context, Page
from saga_fn.console.operators import Permission

_Verb: TypeAlias = Literal["redrive", "discard"]
_MOST: Final = 1000
_FIRST: Final = 20
"""Dead messages on the first page."""
_HEADS: Final = ("topic", "key", "attempts", "written", "next attempt", "dead since", "why", "payload")
_MEANT: Final[Mapping[_Verb, str]] = {
    "redrive": "The message is tried again at once, from the first attempt on. Those behind it wait for it, as before.",
    "discard": "The message is never published: it is gone from the database. Those behind it go on.",
}


def of_saga(context: Context, found: Sequence[UnsentMessage]) -> Node:
    """The messages of one saga, in the order in which they are published; nothing if there is none."""
    if not found:
        return None
    return html.section("Messages that are not published", _table(context, found, of_one=True))


async def dead(context: Context) -> tuple[int, Node]:
    """How many dead messages the first page shows, and their list; nothing if there is none."""
    found = await context.admin.outgoing(limit=_FIRST)
    if not found:
        return 0, None
    said = "They are not tried any more, and wait for a person: those that died first."
    return len(found), html.section("Messages that are dead", h.p[said], _table(context, found, of_one=False))


def _table(context: Context, found: Sequence[UnsentMessage], *, of_one: bool) -> Node:
    rows = [
        (
            *(() if of_one else (html.saga_link(context, each.saga_id),)),
            *_cells(context, each),
            _buttons(context, each),
        )
        for each in found
    ]
    return html.table((*(() if of_one else ("saga",)), *_HEADS, ""), rows)


def _cells(context: Context, each: UnsentMessage) -> tuple[Node, ...]:
    sees = context.sees_payloads  # a key, and what a broker says, may be made of the payload
    return (
        [html.text(each.topic), " (hook)" if each.is_hook else None],
        html.text(each.key) if sees else html.NOTHING,
        str(each.attempts),
        html.time(each.created_at),
        html.time(each.next_attempt),
        html.time(each.dead_at),
        html.text(each.error or html.NOTHING) if sees else html.NOTHING,
        h.details(id=f"message-{each.id}")[h.summary["payload"], _payload(each)] if sees else html.NOTHING,
    )


def _payload(each: UnsentMessage) -> Node:
    return html.text(f"{len(each.payload):,} bytes") if isinstance(each.payload, bytes) else html.value(each.payload)


def _buttons(context: Context, each: UnsentMessage) -> Node:
    if not context.may(Permission.MESSAGES):
        return None
    verbs: tuple[_Verb, ...] = ("discard",) if each.dead_at is None else ("redrive", "discard")
    return h.ul(".verbs")[
        (
            h.li[h.a(".button", href=context.to("sagas", each.saga_id, "messages", each.id, verb))[f"{verb} …"]]
            for verb in verbs
        )
    ]


async def decide_page(context: Context) -> Page:
    """The message, what would come of it, and the question."""
    return await _page(context)


async def decide_act(context: Context, form: Mapping[str, str]) -> Page | Response:
    """Redrive or discard the message, as its page has shown it."""
    verb, saga_id, found = await _asked(context)
    if found is None or not context.has_shown(form, _sealed(context, found)):
        return await _page(context, forms.CHANGED, 409, form)
    act = context.admin.redrive if verb == "redrive" else context.admin.discard
    try:
        done = await act(saga_id, found.id, reason=forms.reason_in(form))
    except PayloadError as error:
        return await _page(context, error, 400, form)
    if (
        not done
    ):  # it was published, or decided on by another operator, in this moment; or a process has it in its hands
        return await _page(context, forms.CHANGED, 409, form)
    return RedirectResponse(context.to("sagas", saga_id), status_code=303)


async def _asked(context: Context) -> tuple[_Verb, UUID, UnsentMessage | None]:
    """The verb, the saga, and the message if it is one that the verb is for."""
    named = context.path["verb"]
    if named not in _MEANT:
        raise HTTPException(404, "There is no such verb.")
    if not context.may(Permission.MESSAGES):
        raise HTTPException(403, f"You need the permission {Permission.MESSAGES}.")
    verb: _Verb = "redrive" if named == "redrive" else "discard"
    saga_id, message_id = id_of(context.path["saga_id"]), id_of(context.path["message_id"], "a message's id")
    found = next((each for each in await context.admin.outgoing(saga_id, limit=_MOST) if each.id == message_id), None)
    if found is not None and verb == "redrive" and found.dead_at is None:
        found = None
    return verb, saga_id, found


def _sealed(context: Context, found: UnsentMessage) -> dict[str, str]:
    return {**context.path, "attempts": str(found.attempts), "dead": str(found.dead_at)}


async def _page(
    context: Context, error: SagaError | None = None, status: int = 200, form: Mapping[str, str] | None = None
) -> Page:
    verb, saga_id, found = await _asked(context)
    back = h.a(href=context.to("sagas", saga_id))["Back to the saga"]
    after: list[Node] = [None if error is None else html.told(error)]
    if found is None:
        gone = "It is published, or an operator has decided on it." if verb == "discard" else "It is not dead."
        after.append(h.p[gone, " ", back])
    else:
        after += [
            h.p[_MEANT[verb]],
            html.table(_HEADS, [_cells(context, found)]),
            html.post(
                context,
                context.to("sagas", saga_id, "messages", found.id, verb),
                html.hidden({SEAL: context.seal(_sealed(context, found))}),
                html.reason_field("" if form is None else form.get("reason", "")),
                h.p(".row")[h.button(".do")[f"{verb} this message"], back],
            ),
        ]
    return Page(f"{verb} a message", after=after, status=status)
