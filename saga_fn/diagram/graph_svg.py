"""A graph as SVG."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from typing import Final, TypeAlias

import attrs

from saga_fn.core.plan import StepKind
from saga_fn.diagram.arrange import BEGIN, END, Arranged, arranged
from saga_fn.diagram.icons import Icon, icon
from saga_fn.diagram.layout import Line, Place, Size
from saga_fn.diagram.looks import Tone
from saga_fn.diagram.measure import MONO, broken, text_width
from saga_fn.diagram.shape import Box, Heading
from saga_fn.diagram.svg import Attribute, element, number, picture, words

_MARGIN: Final = 20
_PAD: Final = 12
_SIGN: Final = 20
"""Pixels that a sign takes before a text."""
_MARK: Final = 15
"""The same before a mark."""
_NAME_SIZE: Final = 12.5
_NOTE_SIZE: Final = 11
_BOLD: Final = 1.1
"""How much wider a bold text is."""
_MOST_INSIDE: Final = 190
"""Pixels of the texts in a box."""
_LEAST_WIDTH: Final = 124
_LEAST_PICTURE: Final = 280
_STACK: Final = 5
"""Pixels by which what stands behind a fan-out looks out."""
_ITEM: Final = 7
_MOST_ITEMS: Final = 36
"""A fan-out of more items has a bar with their shares."""
_Point: TypeAlias = tuple[float, float]


@attrs.frozen
class _Row:
    """A line in a box."""

    text: str
    kind: str
    height: int
    width: float
    sign: Icon | None = None
    sign_kind: str = ""
    marks: tuple[tuple[Icon, str], ...] = ()


@attrs.frozen
class _Card:
    """A box with its rows."""

    box: Box
    rows: tuple[_Row, ...]
    size: Size


def graph_svg(boxes: Sequence[Box], head: Heading, *, embedded: bool) -> str:
    """The graph."""
    cards = _cards(boxes)
    found = arranged(boxes, {name: card.size for name, card in cards.items()})
    inner = max(found.width, _LEAST_PICTURE - 2 * _MARGIN)
    above = list(_above(head, inner))
    top = _MARGIN + sum(row.height for row in above) + (10 if boxes else 0)
    left = _MARGIN + (inner - found.width) / 2
    inside = list(_column(above, _MARGIN, _MARGIN, None))
    inside.append(element("g", {"transform": f"translate({number(left)} {number(top)})"}, _drawn(cards, found)))
    return picture(inner + 2 * _MARGIN, top + found.height + _MARGIN, head.title, head.about, inside, embedded=embedded)


def _drawn(cards: dict[str, _Card], found: Arranged) -> Iterator[str]:
    yield from _lines(found.lines, {name for name, card in cards.items() if card.box.is_conditional})
    for frame in found.frames:
        at: dict[str, Attribute] = {"x": frame.x, "y": frame.y, "width": frame.width, "height": frame.height}
        yield element("rect", {"class": "sfn-frame", **at, "rx": 10})
    for name, place in found.places.items():
        if name == BEGIN:
            yield element("circle", {"class": "sfn-dot", "cx": place.middle, "cy": place.y + 7, "r": 4})
        elif name == END:
            yield element("circle", {"class": "sfn-ring", "cx": place.middle, "cy": place.y + 6, "r": 5})
            yield element("circle", {"class": "sfn-dot", "cx": place.middle, "cy": place.y + 6, "r": 2.5})
        else:
            yield from _card(cards[name], place)
            if cards[name].box.is_pivot and any(line.before == name and line.after != END for line in found.lines):
                way = f"M0 {number(place.bottom + 12)}H{number(found.width)}"
                yield element("path", {"class": "sfn-pivot", "d": way})


def _lines(lines: Sequence[Line], conditional: Collection[str]) -> Iterator[str]:
    """The lines. A part that several share is drawn once, and dashed if all of them are."""
    dashed: dict[tuple[_Point, _Point], bool] = {}
    for line in lines:
        *way, (x, y) = line.points
        for part in pairwise([*way, (x, y - 4)]):
            if part[0] != part[1]:
                dashed[part] = dashed.get(part, True) and line.after in conditional
    ways: dict[bool, list[str]] = {}
    for ((x1, y1), (x2, y2)), is_dashed in dashed.items():
        half = number((y1 + y2) / 2)
        bend = f"V{number(y2)}" if x1 == x2 else f"C{number(x1)} {half} {number(x2)} {half} {number(x2)} {number(y2)}"
        ways.setdefault(is_dashed, []).append(f"M{number(x1)} {number(y1)}{bend}")
    for is_dashed, parts in ways.items():
        attributes: dict[str, Attribute] = {"class": "sfn-edge", "d": "".join(parts)}
        if is_dashed:
            attributes["stroke-dasharray"] = "4 3"
        yield element("path", attributes)
    yield from (_tip(*each) for each in dict.fromkeys(line.points[-1] for line in lines))


def _tip(x: float, y: float) -> str:
    return element("path", {"class": "sfn-tip", "d": f"M{number(x)} {number(y)}l-4 -7h8z"})


def _card(card: _Card, place: Place) -> Iterator[str]:
    box = card.box
    stack = _STACK if box.fans_out else 0
    outline: dict[str, Attribute] = {
        "class": "sfn-box",
        "x": place.x,
        "y": place.y,
        "width": place.width - stack,
        "height": place.height - stack,
        "rx": 6 if box.kind is StepKind.STEP else 14,
    }
    if box.is_conditional:
        outline["stroke-dasharray"] = "4 3"
    if box.is_pivot:
        outline["stroke-width"] = 2.5
    inside = [
        element("rect", {**outline, "class": "sfn-behind", "x": place.x + by, "y": place.y + by})
        for by in ((stack, stack / 2) if stack else ())
    ]
    inside.append(element("rect", outline))
    inside += _column(card.rows, place.x + _PAD, place.y + _PAD - 2, box)
    tone = Tone.IDLE if box.look is None else box.look.tone
    yield element("g", {"class": f"sfn-step sfn-{tone.value}"}, inside)


def _column(rows: Sequence[_Row], x: float, y: float, box: Box | None) -> Iterator[str]:
    indent = _SIGN if any(row.sign for row in rows) and box is not None else 0
    for row in rows:
        before = indent or (_SIGN if row.sign_kind else 0)
        if row.sign is not None:
            yield icon(row.sign, x + 6, y + row.height / 2, row.sign_kind)
        if row.kind == "items" and box is not None:
            yield from _items(box, x + indent, y)
        elif row.marks:
            yield from _marks(row, x + indent, y)
        else:
            yield words(x + before, y + row.height - 4.5, row.text, row.kind)
        y += row.height


def _marks(row: _Row, x: float, y: float) -> Iterator[str]:
    for sign, text in row.marks:
        yield icon(sign, x + 5, y + 8, "sfn-mark")
        yield words(x + _MARK, y + row.height - 4.5, text, row.kind)
        x += _mark_width(text)


def _mark_width(text: str) -> float:
    return _MARK + text_width(text, _NOTE_SIZE) + 8


def _items(box: Box, x: float, y: float) -> Iterator[str]:
    if len(box.items) <= _MOST_ITEMS:
        line = (_MOST_ITEMS + 1) // 2
        for place, look in enumerate(box.items):
            at: dict[str, Attribute] = {
                "class": f"sfn-bar sfn-{look.tone.value}",
                "x": x + (place % line) * (_ITEM + 2),
                "y": y + 3 + place // line * (_ITEM + 2),
                "width": _ITEM,
                "height": _ITEM,
                "rx": 1.5,
            }
            yield element("rect", at)
        return
    whole = _MOST_INSIDE - _SIGN
    begun = 0
    for tone, count in Counter(look.tone for look in box.items).items():
        at = {
            "class": f"sfn-bar sfn-{tone.value}",
            "x": x + whole * begun / len(box.items),
            "y": y + 3,
            "width": whole * count / len(box.items),
            "height": _ITEM,
        }
        yield element("rect", at)
        begun += count


def _cards(boxes: Sequence[Box]) -> dict[str, _Card]:
    """The boxes with their rows, all of the same width."""
    rows = {box.step: tuple(_rows(box)) for box in boxes}
    width = max((row.width for each in rows.values() for row in each), default=0.0) + 2 * _PAD
    width = max(_LEAST_WIDTH, round(width))
    found: dict[str, _Card] = {}
    for box in boxes:
        stack = _STACK if box.fans_out else 0
        height = sum(row.height for row in rows[box.step]) + 2 * _PAD - 4 + stack
        found[box.step] = _Card(box, rows[box.step], Size(width + (stack and 2 * stack), height))
    return found


def _rows(box: Box) -> Iterator[_Row]:
    sign = _sign(box)
    indent = _SIGN if sign is not None or box.left is not None else 0
    for place, text in enumerate(broken(box.step, int((_MOST_INSIDE - indent) / (_NAME_SIZE * MONO)), 4)):
        width = indent + len(text) * _NAME_SIZE * MONO
        yield _Row(text, "sfn-name", 17, width, sign if place == 0 else None)
    for place, text in enumerate(box.told):
        yield from _noted(text, "sfn-note" if place else "sfn-note sfn-state", indent)
    if box.items:
        lines = 1 if len(box.items) > _MOST_ITEMS else -(-len(box.items) // ((_MOST_ITEMS + 1) // 2))
        yield _Row("", "items", 3 + lines * (_ITEM + 2), _MOST_INSIDE)
    for text in box.notes:
        yield from _noted(text, "sfn-note", indent)
    yield from _mark_rows(box, indent)
    if box.left is not None:
        yield from _noted(box.left, "sfn-note sfn-left", indent, Icon.FLAG)


def _mark_rows(box: Box, indent: int) -> Iterator[_Row]:
    """The marks, as many on a line as there is room for."""
    lines: list[list[tuple[Icon, str]]] = []
    width = 0.0
    for sign, text in box.marks:
        whole = broken(text, int((_MOST_INSIDE - indent - _MARK) / (_NOTE_SIZE * 0.56)), 3)
        for place, part in enumerate(whole):
            wide = _mark_width(part)
            if place or not lines or width + wide > _MOST_INSIDE - indent:
                lines.append([])
                width = 0.0
            lines[-1].append((sign, part))
            width += wide
    for line in lines:
        wide = sum(_mark_width(text) for _, text in line) - 8
        yield _Row("", "sfn-note", 16, indent + wide, marks=tuple(line))


def _noted(text: str, kind: str, indent: int, sign: Icon | None = None) -> Iterator[_Row]:
    size = _NOTE_SIZE * (1 if kind == "sfn-note" else _BOLD)
    most = int((_MOST_INSIDE - indent) / (size * 0.56))
    for place, line in enumerate(broken(text, most, 3)):
        yield _Row(line, kind, 15, indent + text_width(line, size), sign if place == 0 else None)


def _sign(box: Box) -> Icon | None:
    if box.look is not None:
        return box.look.icon
    return {StepKind.STEP: None, StepKind.EVENT: Icon.LETTER, StepKind.SLEEP: Icon.MOON}[box.kind]


def _above(head: Heading, width: float) -> Iterator[_Row]:
    for text in broken(head.title, int(width / 8.6), 3):
        yield _Row(text, "sfn-title", 22, 0)
    for text, look in head.lines:
        for place, line in enumerate(broken(text, int((width - _SIGN) / 6.4), 3)):
            if look is None:
                yield _Row(line, "sfn-about", 18, 0)
            else:
                sign = None if place else look.icon
                yield _Row(line, f"sfn-about sfn-said-{look.tone.value}", 18, 0, sign, f"sfn-{look.tone.value}")
