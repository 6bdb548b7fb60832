"""The pauses that hold what a page shows: they are told before anything else."""

from __future__ import annotations

from collections.abc import Iterable

import htpy as h
from htpy import Node

from saga_fn import Pause, SagaCount
from saga_fn.console import html
from saga_fn.console.context import Context


def boxes(pauses: Iterable[Pause], *rest: Node) -> Node:
    """A box for each pause: what it is of, since when, by whom and why."""
    return [
        h.div(".box.warn")[
            h.p[
                f"{_whose(pause)} paused since ",
                html.time(pause.since),
                f" by {html.text(pause.actor or 'an unnamed operator')}",
                f": {html.text(pause.reason)}" if pause.reason else None,
                rest,
            ]
        ]
        for pause in pauses
    ]


def alone(context: Context, number: SagaCount) -> Node:
    """The number of sagas that are paused by themselves, and the way to them."""
    if not number.sagas:
        return None
    said = f"Sagas that are paused by themselves: {number}. "
    return h.div(".box")[h.p[said, h.a(href=context.to("sagas", waits="paused"))["Look at them"]]]


def _whose(pause: Pause) -> str:
    if pause.saga_id is not None:
        return "This saga is"
    return "Everything is" if pause.saga_name is None else f"All sagas named {html.text(pause.saga_name, 100)} are"
