"""A graph as text for a terminal: a step a line, and beside it rails that join it with what it follows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import zip_longest
from typing import Final

import attrs

from saga_fn.core.plan import StepKind
from saga_fn.diagram.shape import Box, Heading
from saga_fn.diagram.terminal import bold, colored, told, wrapped

_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
_RAILS: Final = " ╵╷│╴┘┐┤╶└┌├─┴┬┼"
"""By the sum of the directions that it leads to."""
_ASCII: Final = str.maketrans(
    {**dict.fromkeys("╵╷│", "|"), **dict.fromkeys("╴╶─", "-"), **dict.fromkeys("┘┐┤└┌├┴┬┼", "+")}
)
_SIGNS: Final = {StepKind.STEP: ("●", "o"), StepKind.EVENT: ("◇", "w"), StepKind.SLEEP: ("☾", "z")}
_MOST_NAME: Final = 32
"""Characters of the column of names."""
_LEAST_DETAILS: Final = 28
"""Details that have less room than so many characters stand below the name."""


@attrs.frozen
class _Node:
    """A step with its rails."""

    box: Box
    before: tuple[str, ...]
    """The lines of rails above it."""
    left: str
    """The rails to the left of its sign."""
    right: str
    under: str
    """The rails of the lines below it, up to the next."""


def graph_text(boxes: Sequence[Box], head: Heading, *, width: int, color: bool, plain: bool) -> str:
    """The graph."""
    lines = list(_heading(head, width=width, color=color, plain=plain))
    nodes = _nodes(boxes)
    rails = max((len(node.under) for node in nodes), default=0)
    if rails > width // 2:
        nodes = [_Node(box, (), "", "", "") for box in boxes]
        rails = 0
    names = min(_MOST_NAME, max((len(box.step) for box in boxes), default=0))
    for node in nodes:
        lines += [_drawn(each, plain=plain) for each in node.before]
        lines += _lines(node, rails, names, width=width, color=color, plain=plain, listed=not rails)
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _heading(head: Heading, *, width: int, color: bool, plain: bool) -> Iterator[str]:
    yield from (bold(line, color=color) for line in wrapped(told(head.title, plain=plain), width))
    for text, look in head.lines:
        sign = "" if look is None else f"{look.plain if plain else look.sign} "
        tone = None if look is None else look.tone
        yield from (colored(line, tone, color=color) for line in wrapped(sign + told(text, plain=plain), width))
    yield ""


def _drawn(rails: str, *, plain: bool) -> str:
    return rails.translate(_ASCII) if plain else rails


def _lines(node: _Node, rails: int, most: int, *, width: int, color: bool, plain: bool, listed: bool) -> Iterator[str]:
    """The lines of a step: its name, and beside it the details; where there is no room for them, below it."""
    look = node.box.look
    tone = None if look is None else look.tone
    sign = _SIGNS[node.box.kind][plain] if look is None else look.plain if plain else look.sign
    begin = f"{_drawn(node.left, plain=plain)}{sign}{_drawn(node.right, plain=plain)}".ljust(rails)
    below = _drawn(node.under, plain=plain).ljust(len(begin))
    name = told(node.box.step, plain=plain)
    details = [told(each, plain=plain) for each in _details(node.box, listed=listed)]
    room = width - len(begin) - 2
    if room - most - 2 >= _LEAST_DETAILS:
        beside = [line for each in details for line in wrapped(each, room - most - 2)]
        rows = list(zip_longest(_cut(name, most), beside, fillvalue=""))
    else:
        under = [line for each in details for line in wrapped(each, room - 2)]
        rows = [*((part, "") for part in _cut(name, room)), *(("", line) for line in under)]
        most = 0
    for place, (part, detail) in enumerate(rows):
        left = below if place else begin.replace(sign, colored(sign, tone, color=color), 1)
        gap = " " * (most + 2 - len(part))
        yield f"{left}  {bold(part, color=color)}{gap}{detail if place else colored(detail, tone, color=color)}"


def _cut(name: str, most: int) -> list[str]:
    return [name[at : at + most] for at in range(0, len(name), most)]


def _details(box: Box, *, listed: bool) -> list[str]:
    found = [", ".join(box.told)] if box.told else []
    if box.left is not None:
        found.append(box.left)
    found += [each for each in ["; ".join([*box.notes, *(text for _, text in box.marks)])] if each]
    if listed and box.after:
        found.append(f"after {', '.join(box.after)}")
    return found


def _nodes(boxes: Sequence[Box]) -> list[_Node]:
    """The steps with their rails, one below the other. A step's rail goes on until all that follow it have come."""
    open_for: dict[str, set[str]] = {box.step: set() for box in boxes}
    for box in boxes:
        for before in box.after:
            open_for[before].add(box.step)
    columns: list[str | None] = []
    found: list[_Node] = []
    for box in boxes:
        coming = [at for at, source in enumerate(columns) if source in box.after]
        for before in box.after:
            open_for[before].discard(box.step)
        over = [at for at in coming if not open_for[columns[at] or ""]]
        own = over[0] if over else next((at for at, source in enumerate(columns) if source is None), len(columns))
        after = [source if source is None or open_for[source] else None for source in columns]
        after += [None] * (own + 1 - len(after))
        above: tuple[str, ...] = ()
        if coming and coming != [own]:
            above = (_joined(columns, after, coming, own),)
        elif found and not coming and own < len(columns):
            above = (_upright(after),)
        left = _upright(after[:own])
        right = _upright(after[own + 1 :])
        columns = list(after)
        columns[own] = box.step if open_for[box.step] else None
        found.append(_Node(box, above, f"{left} " if left else "", f" {right}" if right else "", _upright(columns)))
        while columns and columns[-1] is None:
            _ = columns.pop()
    return found


def _upright(columns: Sequence[str | None]) -> str:
    return " ".join(_RAILS[0 if source is None else _UP | _DOWN] for source in columns)


def _joined(before: Sequence[str | None], after: Sequence[str | None], coming: Collection[int], own: int) -> str:
    """The line above a step on which the rails of what it follows come together."""
    first, last = min(*coming, own), max(*coming, own)
    drawn: list[str] = []
    for at in range(max(len(before), len(after))):
        up = at < len(before) and before[at] is not None
        goes_on = at < len(after) and after[at] is not None
        within = first <= at <= last
        if within and (at in coming or at == own):
            way = (_UP if at in coming else 0) | (_DOWN if goes_on or at == own else 0)
            way |= (_LEFT if at > first else 0) | (_RIGHT if at < last else 0)
        elif up:
            way = _UP | _DOWN
        else:
            way = _LEFT | _RIGHT if within else 0
        drawn.append(_RAILS[way] + (_RAILS[_LEFT | _RIGHT] if first <= at < last else " "))
    return "".join(drawn).rstrip()
