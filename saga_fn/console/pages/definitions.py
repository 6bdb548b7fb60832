"""Definitions: their graphs, how many sagas of each live, and which processes run them."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import htpy as h
from htpy import Node
from starlette.exceptions import HTTPException

from saga_fn import DefinitionStats, SagaStats, WorkingProcess
from saga_fn.console import forms, html
from saga_fn.console.context import Context, Page

FRESH: Final = timedelta(seconds=5)
"""Numbers that are no older are shown to all who ask."""
_MOST_VERSION: Final = 2**31 - 1
_MOST_SHOWN: Final = 500
"""Definitions, or processes, on one page."""
_HEADS: Final = (
    "definition",
    "running",
    "compensating",
    "suspended",
    "parked",
    "paused alone",
    "FAILED, not acknowledged",
    "overdue",
    "oldest due",
    "processes",
)


async def definitions(context: Context) -> Page:
    """Every definition of which there are sagas, or that a process works on, or that this process knows."""
    stats = await context.admin.stats(max_age=FRESH)
    found = {(each.saga_name, each.version): each for each in stats.definitions}
    known = context.orchestrator.engine.registry.pairs
    rows = [_cells(context, key, found.get(key)) for key in sorted({*found, *known})]
    more = h.p[f"{_MOST_SHOWN} of {len(rows)}."] if len(rows) > _MOST_SHOWN else None
    return Page("Definitions", [html.table(_HEADS, rows[:_MOST_SHOWN], empty="There are no sagas yet."), more])


def overdue(context: Context, stats: SagaStats) -> Node:
    """Definitions whose sagas are due and were not begun for a minute. Without a process that works on them they are unowned."""
    found = [each for each in stats.definitions if each.overdue.sagas or each.is_unowned]
    rows = [_cells(context, (each.saga_name, each.version), each) for each in found]
    if not rows:
        return None
    return html.section(
        "Overdue", h.p["They are due, and no process begins them."], html.table(_HEADS, rows[:_MOST_SHOWN])
    )


def _cells(context: Context, key: tuple[str, int], stats: DefinitionStats | None) -> tuple[Node, ...]:
    name, version = key
    link = h.a(href=context.to("definition", name=name, version=version))[f"{html.text(name, 200)} v{version}"]
    if stats is None:
        return (link, *(html.NOTHING for _ in _HEADS[1:]))
    wanted = {"saga_name": name, "version": version}
    return (
        [link, h.small[" paused"] if stats.paused else None, [" ", html.code("unowned")] if stats.is_unowned else None],
        str(stats.running),
        str(stats.compensating),
        str(stats.suspended),
        _counted(context, str(stats.parked), **wanted, waits="parked"),
        _counted(context, str(stats.paused_alone), **wanted, waits="paused"),
        _counted(context, str(stats.failed), **wanted, status="FAILED", acknowledged="false"),
        str(stats.overdue),
        html.time(stats.oldest_due),
        str(stats.processes),
    )


def _counted(context: Context, number: str, **wanted: object) -> Node:
    return number if number == "0" else h.a(href=context.to("sagas", **wanted))[number]


async def definition(context: Context) -> Page:
    """One of them: its graph, its numbers, and the processes that work on it."""
    name = context.query.get("name", "")
    version = forms.number_in(context.query, "version", least=1, most=_MOST_VERSION)
    known = context.orchestrator.engine.registry.find(name, version)
    stats = await context.admin.stats(max_age=FRESH)
    counted = next((each for each in stats.definitions if (each.saga_name, each.version) == (name, version)), None)
    if known is None and counted is None:
        raise HTTPException(404, "There is no such definition.")
    wanted = {"saga_name": name, "version": version}
    processes = [each for each in await context.admin.processes() if (name, version) in each.definitions]
    graph: Node = h.p(".empty")["This process has not registered it, and cannot draw it."]
    if known is not None:
        graph = html.picture(known.definition.diagram("svg", name=name, embedded=True))
    live: list[Node] = [
        h.p(".row")[
            h.a(".button", href=context.to("sagas", **wanted, active="true"))["Those that live"],
            h.a(".button", href=context.to("sagas", **wanted, waits="parked"))["Those that are parked"],
        ],
        html.table(_HEADS, [_cells(context, (name, version), counted)]),
        html.section("Graph", graph),
        html.section("Processes that work on it", _processes(processes)),
    ]
    return Page(f"{html.text(name, 100)} v{version}", live)


def _processes(found: list[WorkingProcess]) -> Node:
    rows: list[tuple[Node, ...]] = [
        (html.text(each.process), h.code[str(each.id)], html.time(each.seen_at)) for each in found[:_MOST_SHOWN]
    ]
    return html.table(("process", "id", "seen"), rows, empty="No process that was seen lately works on it.")
