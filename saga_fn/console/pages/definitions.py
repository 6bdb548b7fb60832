"""Definitions: their graphs, how many sagas of each live, and which processes run them."""

from __future__ import annotations

from typing import Final

import htpy as h
from htpy import Node
from starlette.exceptions import HTTPException

from saga_fn.console import forms, html
from saga_fn.console.context import Context, Page

_MOST_VERSION: Final = 2**31 - 1


async def definitions(context: Context) -> Page:
    """Every definition that this process knows."""
    rows: list[tuple[Node, ...]] = [
        (_link(context, each.name, each.version), str(len(each.definition.steps)))
        for each in sorted(context.orchestrator.engine.registry.all, key=lambda one: (one.name, one.version))
    ]
    return Page("Definitions", html.table(("definition", "steps"), rows))


async def definition(context: Context) -> Page:
    """One of them, with its graph."""
    name, version = (
        context.query.get("name", ""),
        forms.number_in(context.query, "version", least=1, most=_MOST_VERSION),
    )
    known = context.orchestrator.engine.registry.find(name, version)
    if known is None:
        raise HTTPException(404, "This process does not know the definition.")
    wanted = {"saga_name": name, "version": version}
    live: list[Node] = [
        h.p(".row")[
            h.a(".button", href=context.to("sagas", **wanted, active="true"))["Those that live"],
            h.a(".button", href=context.to("sagas", **wanted, waits="parked"))["Those that are parked"],
        ],
        html.picture(known.definition.diagram("svg", name=name, embedded=True)),
    ]
    return Page(f"{html.text(name, 100)} v{version}", live)


def _link(context: Context, name: str, version: int) -> Node:
    return h.a(href=context.to("definition", name=name, version=version))[f"{html.text(name)} v{version}"]
