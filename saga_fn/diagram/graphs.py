"""The graph of a plan, or of a saga with the states of its steps, in each of its forms."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from saga_fn.core.plan import Plan
from saga_fn.core.projection import SagaStatus
from saga_fn.diagram.graph_svg import graph_svg
from saga_fn.diagram.graph_text import graph_text
from saga_fn.diagram.looks import look_of_saga
from saga_fn.diagram.mermaid import mermaid
from saga_fn.diagram.options import GraphFormat, check_format, check_width
from saga_fn.diagram.seen import SagaSeen
from saga_fn.diagram.shape import Heading, boxes_of, heading
from saga_fn.printable import printable


def card(title: str, status: SagaStatus, lines: Iterable[str]) -> str:
    """A saga of which no steps are known, in words, as SVG."""
    look = look_of_saga(status)
    said = ((look.text, look), *((printable(line, 200), None) for line in lines))
    return graph_svg((), Heading(printable(title), f"A saga: {status.value}.", said), embedded=False)


def graph(
    plan: Plan | None,
    format: GraphFormat = "svg",
    /,
    *,
    name: str | None = None,
    seen: SagaSeen | None = None,
    width: int = 100,
    color: bool = False,
    plain: bool = False,
    embedded: bool = False,
) -> str:
    """Draw the steps of a plan and the order between them. `SagaDefinition.diagram` and `SagaAdminSnapshot.diagram` call it.

    Args:
        plan: The plan, of a definition or of a saga; None if it cannot be read.
        format: "svg", "mermaid" or "text". Default: "svg".
        name: The name for its title. Default: None, there is none.
        seen: The saga whose states the steps are shown with. Default: None, without states.
        width: The greatest number of characters of a line, for "text", 40 to 400. Default: 100.
        color: Whether "text" has colours for a terminal. Default: False.
        plain: Whether "text" is of ASCII alone. Default: False.
        embedded: Whether "svg" is for a page that has `STYLE` in its style sheet. Default: False, it brings its style.

    Returns:
        The picture.

    Raises:
        SagaError: There is no such format, or `width` is out of its range.
    """
    check_format(format, GraphFormat)
    check_width(width)
    boxes = boxes_of(plan, seen)
    head = heading(plan, name, seen)
    match format:
        case "svg":
            return graph_svg(boxes, head, embedded=embedded)
        case "mermaid":
            return mermaid(boxes, head.title)
        case "text":
            return graph_text(boxes, head, width=width, color=color, plain=plain)
        case _:
            assert_never(format)
