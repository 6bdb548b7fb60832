"""The list of sagas, by a filter that stands in the address; and the way from an id or a business key to a saga."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

import htpy as h
from htpy import Node
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from saga_fn import PayloadError, SagaError, SagaFilter, SagaNotFoundError
from saga_fn.admin.filter_fields import FILTER_FIELDS, filter_from
from saga_fn.admin.text_fields import FieldKind, TextField
from saga_fn.console import forms, html, paused
from saga_fn.console.context import Context, Page
from saga_fn.console.operators import Permission
from saga_fn.errors import shown

_ROWS: Final = 50
_FLAGS: Final = ("oldest_first", "after")
FIELDS: Final = tuple(field.name for field in FILTER_FIELDS)


def wanted_in(context: Context, given: Mapping[str, str]) -> SagaFilter:
    """The filter that fields name. Raises HTTPException (403) where it would tell values that the operator may not see."""
    for field in FILTER_FIELDS:
        if field.kind is FieldKind.CONDITION and given.get(field.name) and not context.sees_payloads:
            raise HTTPException(403, "To find sagas by their values you need the permission to see payloads.")
    try:
        return filter_from(given, context.orchestrator.engine.registry.all)
    except PayloadError:
        raise
    except SagaError as error:  # a number out of its range, which was given in the address
        raise PayloadError(error.fact, hint=error.hint) from None


def filter_fields(context: Context) -> list[TextField]:
    """The fields of a filter that the operator may use."""
    return [each for each in FILTER_FIELDS if each.kind is not FieldKind.CONDITION or context.sees_payloads]


def given_in(query: Mapping[str, str]) -> dict[str, str]:
    """The fields of a filter among these, without those that are empty.

    Raises PayloadError for a field that there is not: a list without it would show other sagas than were asked for.
    """
    for name in query:
        if name not in FIELDS and name not in _FLAGS:
            raise PayloadError(f"a filter has no field {shown(name)}", hint=f"its fields are {', '.join(FIELDS)}")
    return {name: value.strip() for name, value in query.items() if name in FIELDS and value.strip()}


async def sagas(context: Context) -> Page:
    """One page of the list."""
    query = context.query
    given = given_in(query)
    oldest = query.get("oldest_first", "") == "true"
    wanted = wanted_in(context, given)
    page = await context.admin.list(wanted, after=query.get("after") or None, limit=_ROWS, oldest_first=oldest)
    order: dict[str, object] = {"oldest_first": "true"} if oldest else {}
    turn = [
        h.a(".button", href=context.to("sagas", **given, **order))["First page"] if query.get("after") else None,
        None
        if page.next is None
        else h.a(".button", href=context.to("sagas", **given, **order, after=page.next), rel="next")["Next page"],
        _many(context, given),
    ]
    live: list[Node] = [
        paused.boxes(page.pauses),
        html.table(html.ROW_HEADS, [html.row_cells(context, row) for row in page.rows], empty="No saga is found."),
        h.p(".row")[turn],
    ]
    return Page("Sagas", live, before=_filter_form(context, given, oldest=oldest))


def _many(context: Context, given: Mapping[str, str]) -> Node:
    if not context.may(Permission.OPERATIONS):
        return None
    return h.a(".button", href=context.to("many", **given))["One verb for all of them …"]


def _filter_form(context: Context, given: dict[str, str], *, oldest: bool) -> Node:
    names = sorted({name for name, _ in context.orchestrator.engine.registry.pairs})
    fields = filter_fields(context)
    first, others = fields[:6], fields[6:]
    is_open = any(field.name in given for field in others)
    return h.form(method="get", action=context.to("sagas"))[
        h.datalist(id="names")[(h.option(value=name) for name in names)],
        h.div(".filters")[forms.inputs(first, given, show_help=False)],
        h.details(open=is_open)[
            h.summary["More of the filter"],
            h.div(".filters")[
                forms.inputs(others, given, show_help=False),
                h.label[
                    h.span["order"],
                    h.select(name="oldest_first")[
                        h.option(value="")["the newest first"],
                        h.option(value="true", selected=oldest)["the oldest first"],
                    ],
                ],
            ],
        ],
        h.p(".row")[h.button(".do")["Look"], h.a(href=context.to("sagas"))["All sagas"]],
    ]


async def find(context: Context) -> Response:
    """Go to the saga of an id, or to those of a business key, which may look like an id."""
    asked = context.query.get("q", "").strip()
    by_key = context.to("sagas", aggregation_id=asked)
    try:
        saga_id = UUID(asked)
    except ValueError:
        return RedirectResponse(by_key, status_code=303)
    try:
        await context.admin.explain(saga_id)
    except SagaNotFoundError:
        if (await context.admin.list(SagaFilter(aggregation_id=asked), limit=1)).rows:
            return RedirectResponse(by_key, status_code=303)
    return RedirectResponse(context.to("sagas", saga_id), status_code=303)
