"""The events that are kept for sagas that are not there yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import htpy as h
from htpy import Node
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from saga_fn import KeptEvent
from saga_fn.console import html
from saga_fn.console.context import Context, Page
from saga_fn.console.operators import Permission

_ROWS: Final = 200


async def kept(context: Context) -> Page:
    """The oldest of them."""
    found = await context.admin.kept_events()
    rows = [_cells(context, each) for each in found[:_ROWS]]
    heads = ("name", "business key", "event", "sent", "void at", "value", "")
    more = h.p[f"The oldest {_ROWS} of {len(found)}."] if len(found) > _ROWS else None
    return Page("Kept events", after=[html.table(heads, rows, empty="No event is kept."), more])


def _cells(context: Context, each: KeptEvent) -> tuple[Node, ...]:
    discard = None
    if context.may(Permission.KEPT_EVENTS):
        names = {"saga_name": each.saga_name, "aggregation_id": each.aggregation_id, "event": each.event}
        discard = html.post(context, context.to("kept"), html.hidden(names), h.button["Discard"])
    return (
        html.text(each.saga_name),
        html.text(each.aggregation_id),
        html.text(each.event),
        html.time(each.sent_at),
        html.time(each.expires_at),
        html.value(each.payload) if context.sees_payloads else html.NOTHING,
        discard,
    )


async def kept_act(context: Context, form: Mapping[str, str]) -> Response:
    """Discard the events of a name for one business key."""
    if not context.may(Permission.KEPT_EVENTS):
        raise HTTPException(403, f"You need the permission {Permission.KEPT_EVENTS}.")
    await context.admin.discard_kept(
        form.get("saga_name", ""), form.get("aggregation_id", ""), form.get("event") or None
    )
    return RedirectResponse(context.to("kept"), status_code=303)
