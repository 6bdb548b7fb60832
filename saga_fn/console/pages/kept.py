"""The events that are kept for sagas that are not there yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import htpy as h
from htpy import Node
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from saga_fn import KeptEvent, PayloadError, SagaError
from saga_fn.console import forms, html
from saga_fn.console.context import SEAL, Context, Page
from saga_fn.console.operators import Permission

_ROWS: Final = 200
_HEADS: Final = ("name", "business key", "event", "sent", "void at", "value")


async def kept(context: Context) -> Page:
    """The oldest of them."""
    found = await context.admin.kept_events()
    counts = Counter(map(_name_of, found))
    rows = [_cells(context, each, counts[_name_of(each)]) for each in found[:_ROWS]]
    heads = (*_HEADS, "")
    more = h.p[f"The oldest {_ROWS} of {len(found)}."] if len(found) > _ROWS else None
    return Page("Kept events", after=[html.table(heads, rows, empty="No event is kept."), more])


def _name_of(each: KeptEvent) -> tuple[str, str, str]:
    """All events of one such name are discarded together."""
    return each.saga_name, each.aggregation_id, each.event


def _cells(context: Context, each: KeptEvent, number: int) -> tuple[Node, ...]:
    discard = None
    if context.may(Permission.KEPT_EVENTS):
        names = {"saga_name": each.saga_name, "aggregation_id": each.aggregation_id, "event": each.event}
        said = "Discard it …" if number == 1 else f"Discard all {number} of this name and key …"
        discard = h.a(".button", href=context.to("kept", "discard", **names))[said]
    return (*_facts(context, each), discard)


def _facts(context: Context, each: KeptEvent) -> tuple[Node, ...]:
    return (
        html.text(each.saga_name),
        html.text(each.aggregation_id),
        html.text(each.event),
        html.time(each.sent_at),
        html.time(each.expires_at),
        html.value(each.payload) if context.sees_payloads else html.NOTHING,
    )


async def discard_page(context: Context) -> Page:
    """The events that would be discarded, and the question."""
    return await _page(context, context.query)


async def discard_act(context: Context, form: Mapping[str, str]) -> Page | Response:
    """Discard the events that the page has shown, unless others have come meanwhile."""
    target, event = _target_in(context, form)
    shown = _sealed(target, event, await _found(context, target, event))
    if not context.has_shown(form, shown):
        return await _page(context, form, forms.CHANGED, 409)
    try:
        reason = forms.reason_in(form)
        await context.admin.discard_kept(*target, event, reason=reason)
    except PayloadError as error:
        return await _page(context, form, error, 400)
    return RedirectResponse(context.to("kept"), status_code=303)


def _target_in(context: Context, given: Mapping[str, str]) -> tuple[tuple[str, str], str | None]:
    """The name and the key of the saga, and the event's name; None for all, which has to be said."""
    if not context.may(Permission.KEPT_EVENTS):
        raise HTTPException(403, f"You need the permission {Permission.KEPT_EVENTS}.")
    event = given.get("event") or None
    if (event is None) != (given.get("all") == "true"):
        raise PayloadError("it is not said which events are meant", hint="name the event, or say all=true")
    return (given.get("saga_name", ""), given.get("aggregation_id", "")), event


async def _found(context: Context, target: tuple[str, str], event: str | None) -> list[KeptEvent]:
    return [each for each in await context.admin.kept_events(*target) if event in (None, each.event)]


def _sealed(target: tuple[str, str], event: str | None, found: Sequence[KeptEvent]) -> dict[str, str]:
    """The events, by the moments when they were sent."""
    moments = ",".join(each.sent_at.isoformat() for each in found)
    return {"saga_name": target[0], "aggregation_id": target[1], "event": event or "", "sent": moments}


async def _page(context: Context, given: Mapping[str, str], error: SagaError | None = None, status: int = 200) -> Page:
    target, event = _target_in(context, given)
    found = await _found(context, target, event)
    names: dict[str, object] = {"saga_name": target[0], "aggregation_id": target[1]}
    names |= {"all": "true"} if event is None else {"event": event}
    number = "one event" if len(found) == 1 else f"{len(found)} events"
    others = None
    if event is not None:
        others = h.a(href=context.to("kept", "discard", saga_name=target[0], aggregation_id=target[1], all="true"))[
            "All events for this key"
        ]
    after: list[Node] = [
        None if error is None else html.told(error),
        h.p["No saga will ever get them. They are gone from the database, too."],
        html.table(_HEADS, [_facts(context, each) for each in found[:_ROWS]], empty="No such event is kept."),
        h.p[f"The oldest {_ROWS} of {len(found)}."] if len(found) > _ROWS else None,
        html.post(
            context,
            context.to("kept", "discard"),
            html.hidden({**names, SEAL: context.seal(_sealed(target, event, found))}),
            html.reason_field(given.get("reason", "")) if found else None,
            h.p(".row")[
                h.button(".do")[f"Discard {number}"] if found else None,
                others,
                h.a(href=context.to("kept"))["Back to the kept events"],
            ],
        ),
    ]
    return Page("Discard kept events", after=after, status=status)
