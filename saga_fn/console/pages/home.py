"""The first page: what needs a person."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import htpy as h
from htpy import Node

from saga_fn import Attention, AttentionKind, SagaFilter, SagaRow, SagaStatus, WaitReason
from saga_fn.console import html
from saga_fn.console.context import Context, Page

_ROWS: Final = 10
_PARKED: Final = {"waits": "parked"}
_FAILED: Final = {"status": SagaStatus.FAILED.value, "acknowledged": "false"}
_URGENT: Final = frozenset(
    {AttentionKind.PARKED, AttentionKind.FAILED, AttentionKind.OVERDUE, AttentionKind.UNOWNED, AttentionKind.STILL}
)


async def home(context: Context) -> Page:
    """The findings of `health`, the sagas that wait for a person, and how fast sagas end."""
    health = await context.orchestrator.health()
    parked = await context.admin.list(SagaFilter(waits=WaitReason.PARKED), limit=_ROWS, oldest_first=True)
    failed = await context.admin.list(SagaFilter(status=SagaStatus.FAILED, acknowledged=False), limit=_ROWS)
    problems = [h.div(".box.bad", role="alert")[html.text(each)] for each in health.problems]
    findings = sorted(health.attention, key=lambda each: each.kind not in _URGENT)
    live: list[Node] = [
        problems,
        [_finding(context, each) for each in findings]
        or h.p(".box.good")["Nothing needs a person: no saga is parked, and none has FAILED unseen."],
        _some(context, "Parked, the oldest first", parked.rows, "They wait for a person.", _PARKED),
        _some(context, "FAILED and not acknowledged", failed.rows, "Something of them is left in the world.", _FAILED),
    ]
    return Page("Needs a person", live)


def _finding(context: Context, found: Attention) -> Node:
    wanted = _wanted(found)
    return h.div(class_="box bad" if found.kind in _URGENT else "box warn")[
        h.p[
            html.code(found.kind),
            " ",
            html.text(found.text),
            None if wanted is None else [" ", h.a(href=context.to("sagas", **wanted))["Look at them"]],
        ],
        h.p[[[html.saga_link(context, each), " "] for each in found.saga_ids]] if found.saga_ids else None,
    ]


def _wanted(found: Attention) -> dict[str, object] | None:
    """The list that shows the sagas of a finding; None if no list does."""
    named = {"saga_name": found.saga_name, "version": found.version}
    match found.kind:
        case AttentionKind.PARKED:
            return {**_PARKED, **named}
        case AttentionKind.FAILED:
            return {**_FAILED, **named}
        case AttentionKind.UNOWNED | AttentionKind.STILL | AttentionKind.PAUSED:
            return {"active": "true", **named}
        case _:
            return None


def _some(context: Context, title: str, rows: Iterable[SagaRow], said: str, wanted: dict[str, str]) -> Node:
    cells = [html.row_cells(context, row) for row in rows]
    if not cells:
        return None
    return html.section(
        title,
        h.p[said, " ", h.a(href=context.to("sagas", **wanted))["All of them"]],
        html.table(html.ROW_HEADS, cells),
    )
