"""A graph as Mermaid, for a page that draws it in the browser."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from saga_fn.core.plan import StepKind
from saga_fn.diagram.looks import Tone
from saga_fn.diagram.shape import Box
from saga_fn.printable import printable

_UNSAFE: Final = re.compile(r"[^\w ,.:?!()/+-]")
_OPEN: Final = {StepKind.STEP: ("[", "]"), StepKind.EVENT: ("([", "])"), StepKind.SLEEP: ("([", "])")}
_COLOURS: Final = {
    Tone.GOOD: ("#e6f4ea", "#1a7f37"),
    Tone.BUSY: ("#e3effc", "#0969da"),
    Tone.WAIT: ("#f1eafd", "#8250df"),
    Tone.AGAIN: ("#fdf3d4", "#9a6700"),
    Tone.PERSON: ("#fdeadb", "#bc4c00"),
    Tone.BAD: ("#fde8e9", "#cf222e"),
    Tone.UNDONE: ("#eceff2", "#57606a"),
}


def mermaid(boxes: Sequence[Box], title: str) -> str:
    """The graph as a Mermaid flowchart."""
    return "\n".join(_lines(boxes, title)) + "\n"


def quoted(text: str) -> str:
    """The text as a label: nothing of it is a mark of Mermaid's, or of HTML.

    >>> quoted('a "b" <c>')
    '"a #34;b#34; #60;c#62;"'
    """
    return f'"{_label(text)}"'


def _label(text: str) -> str:
    return _UNSAFE.sub(lambda found: f"#{ord(found[0])};", printable(text, 200))


def _lines(boxes: Sequence[Box], title: str) -> Iterator[str]:
    names = {box.step: f"s{place}" for place, box in enumerate(boxes, 1)}
    yield "flowchart TD"
    yield f"    start([{quoted(title)}])"
    for box in boxes:
        left, right = ("{{", "}}") if box.is_pivot else _OPEN[box.kind]
        said = [box.step, *box.notes, *(text for _, text in box.marks), *_state(box)]
        yield f'    {names[box.step]}{left}"{"<br/>".join(_label(each) for each in said)}"{right}'
    for box in boxes:
        dotted = "-.->" if box.is_conditional else "-->"
        for before in box.after:
            yield f"    {names[before]} {dotted} {names[box.step]}"
        if not box.after:
            yield f"    start {dotted} {names[box.step]}"
    used = {box.look.tone for box in boxes if box.look is not None}
    for tone, (fill, line) in _COLOURS.items():
        if tone in used:
            yield f"    classDef {tone.value} fill:{fill},stroke:{line},color:#1f2328"
            yield f"    class {','.join(names[b.step] for b in boxes if b.look and b.look.tone is tone)} {tone.value}"


def _state(box: Box) -> Iterator[str]:
    if box.look is not None:
        first, *others = box.told
        yield f"{box.look.sign} {first}"
        yield from others
    if box.left is not None:
        yield box.left
