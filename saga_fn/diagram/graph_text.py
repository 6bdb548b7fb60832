"""A graph as text, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from saga_fn.diagram.shape import Box, Heading


def graph_text(boxes: Sequence[Box], head: Heading, *, width: int, color: bool, plain: bool) -> str:
    """The graph, a step a line."""
    del color, plain
    lines = [head.title]
    for box in boxes:
        said = "; ".join([*box.told, *box.notes, *(text for _, text in box.marks), *([box.left] if box.left else [])])
        lines.append(f"{box.look.sign if box.look else 'o'} {box.step}  {said}"[:width].rstrip())
    return "\n".join(lines) + "\n"
