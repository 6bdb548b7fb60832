"""The first page: what needs a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

import htpy as h
from htpy import Node

from saga_fn import Attention, AttentionKind, Health, SagaFilter, SagaRow, SagaStats, SagaStatus, WaitReason
from saga_fn.console import html, paused
from saga_fn.console.context import Context, Page
from saga_fn.console.pages import unsent
from saga_fn.console.pages.definitions import FRESH, overdue
from saga_fn.diagram import Age, Column, ages, bars

_ROWS: Final = 10
_MINUTES: Final = 60
_LATEST: Final = 20
"""The minutes of them that a phone shows."""
_WIDE: Final = 900
_NARROW: Final = 340
_PARKED: Final = {"waits": "parked"}
_FAILED: Final = {"status": SagaStatus.FAILED.value, "acknowledged": "false"}
_URGENT: Final = frozenset(
    {
        AttentionKind.PARKED,
        AttentionKind.FAILED,
        AttentionKind.OVERDUE,
        AttentionKind.UNOWNED,
        AttentionKind.STILL,
        AttentionKind.DEAD_MESSAGES,
    }
)


async def home(context: Context) -> Page:
    """The findings of `health`, the sagas that wait for a person, and how fast sagas end."""
    health = await context.orchestrator.health()
    parked = await context.admin.list(SagaFilter(waits=WaitReason.PARKED), limit=_ROWS, oldest_first=True)
    failed = await context.admin.list(SagaFilter(status=SagaStatus.FAILED, acknowledged=False), limit=_ROWS)
    stats = await context.admin.stats(max_age=FRESH)
    number, messages = await unsent.dead(context)
    problems = [h.div(".box.bad", role="alert")[html.text(each)] for each in health.problems]
    findings = sorted(health.attention, key=lambda each: each.kind not in _URGENT)
    pauses, alone = await context.admin.pauses(), await context.admin.count(SagaFilter(waits=WaitReason.PAUSED))
    live: list[Node] = [
        problems,
        paused.boxes(pauses, " ", h.a(href=context.to("acts"))["Acts"]),
        paused.alone(context, alone),
        [_finding(context, each) for each in findings],
        _nothing_found(health, seen=bool(findings or parked.rows or failed.rows or number)),
        _some(context, "Parked, the oldest first", parked.rows, "They wait for a person.", _PARKED),
        _some(context, "FAILED and not acknowledged", failed.rows, "Something of them is left in the world.", _FAILED),
        messages,
        overdue(context, stats),
        html.section("Rates", _ends(stats), _oldest(stats)),
    ]
    return Page("Needs a person", live)


def _nothing_found(health: Health, *, seen: bool) -> Node:
    """The answer where nothing is found; a database that has not told its findings is no proof that there are none."""
    if not (health.database and health.schema):
        return h.p(".box.warn", role="alert")["It is not known whether something needs a person."]
    return None if seen else h.p(".box.good")["Nothing needs a person: no saga is parked, and none has FAILED unseen."]


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


def _ends(stats: SagaStats) -> Node:
    """The ends of the last hour, minute by minute. A minute is not known if not all of its ends were counted."""
    unknown: set[int] = set()
    counts: list[Counter[str]] = [Counter() for _ in range(_MINUTES)]
    for each in stats.definitions:
        for status, minutes in each.ends.items():
            unknown |= {number for number, ended in enumerate(minutes) if ended is None}
            for column, ended in zip(counts, minutes, strict=True):
                column[status.value] += ended or 0
    known = [None if number in unknown else dict(column) for number, column in enumerate(counts)]
    begins = (stats.at - timedelta(minutes=_MINUTES - 1 - number) for number in range(_MINUTES))
    columns = [Column(f"{at:%H:%M}", column) for at, column in zip(begins, known, strict=True)]
    latest = f"Ends a minute, the last {_LATEST} minutes"
    return html.chart(
        bars(columns, title="Ends a minute", width=_WIDE, embedded=True),
        bars(columns[-_LATEST:], title=latest, width=_NARROW, embedded=True),
    )


def _oldest(stats: SagaStats) -> Node:
    """The definitions whose oldest saga has been due for longest."""
    due = sorted(
        (each.oldest_due, f"{each.saga_name} v{each.version}") for each in stats.definitions if each.oldest_due
    )
    rows = [Age(name, max(stats.at - since, timedelta(0))) for since, name in due[:_ROWS]]
    if not rows:
        return h.p(".empty")["No saga is due."]
    title = "How long the oldest saga has been due"
    return html.chart(
        ages(rows, title=title, width=_WIDE, embedded=True), ages(rows, title=title, width=_NARROW, embedded=True)
    )
