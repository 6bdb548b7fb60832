"""The ends that a saga may come to, as a tree: what happens on the shortest ways there, and an end at each leaf."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from saga_fn.core.ids import StepId
from saga_fn.core.plan import StepKind
from saga_fn.core.projection import SagaStatus
from saga_fn.diagram.graph_svg import graph_svg
from saga_fn.diagram.looks import Look, look_of_saga
from saga_fn.diagram.mermaid import mermaid
from saga_fn.diagram.options import EndsFormat, check_format
from saga_fn.diagram.shape import Box, Heading
from saga_fn.printable import printable


@attrs.frozen
class EndSeen:
    """An end, or a state that waits for a person, as a picture shows it."""

    status: SagaStatus
    """How the saga has ended, or that it waits."""
    path: tuple[str, ...]
    """The shortest way there, a sentence for each thing that happens."""
    said: tuple[str, ...]
    """The lines below its status."""


def ends_tree(name: str, extent: str, ends: Sequence[EndSeen], format: EndsFormat = "svg", /) -> str:
    """Draw the ends of a saga.

    Args:
        name: The saga's name, for the title.
        extent: How many there are, in words.
        ends: The ends to draw.
        format: "svg" or "mermaid". Default: "svg".

    Returns:
        The picture.

    Raises:
        SagaError: There is no such format.
    """
    check_format(format, EndsFormat)
    title = f"{printable(name, 255)}: its ends"
    boxes = _boxes(ends)
    if format == "mermaid":
        return mermaid(boxes, title)
    about = f"The ends that the saga may come to: {extent}."
    return graph_svg(boxes, Heading(title, about, ((extent, None),)), embedded=False)


def _boxes(ends: Sequence[EndSeen]) -> tuple[Box, ...]:
    """A box for each sentence, those that begin alike in common, and one for each end; numbers tell equal sentences apart."""
    known: dict[tuple[str, ...], Box] = {}
    leaves: list[Box] = []
    for end in ends:
        for length in range(1, len(end.path) + 1):
            path = end.path[:length]
            if path not in known:
                known[path] = _box(f"{len(known) + 1}. {path[-1]}", known.get(path[:-1]))
        leaf = _box(f"{end.status.value} {len(leaves) + 1}", known.get(end.path), look_of_saga(end.status), end.said)
        leaves.append(leaf)
    return (*known.values(), *leaves)


def _box(text: str, before: Box | None, look: Look | None = None, said: tuple[str, ...] = ()) -> Box:
    return Box(
        step=StepId(text),
        kind=StepKind.STEP,
        after=() if before is None else (before.step,),
        notes=(),
        marks=(),
        is_conditional=False,
        is_pivot=False,
        fans_out=False,
        look=look,
        told=said,
    )
