"""A graph as SVG."""

from __future__ import annotations

from collections.abc import Sequence

from saga_fn.diagram.shape import Box
from saga_fn.diagram.svg import element, picture, words


def graph_svg(boxes: Sequence[Box], title: str, about: str, *, embedded: bool) -> str:
    """The graph, one step under the other."""
    inside: list[str] = []
    for place, box in enumerate(boxes):
        top = 16 + place * 64
        tone = "" if box.look is None else f" sfn-{box.look.tone.value}"
        said = "; ".join([*box.told, *box.notes, *([box.left] if box.left else [])])
        inside.append(
            element(
                "g",
                {"class": f"sfn-step{tone}"},
                [
                    element("rect", {"class": "sfn-box", "x": 16, "y": top, "width": 360, "height": 48, "rx": 6}),
                    words(28, top + 20, box.step),
                    words(28, top + 38, said[:60], "sfn-note"),
                ],
            )
        )
    return picture(392, 32 + len(boxes) * 64, title, about, inside, embedded=embedded)
