"""A graph as text for a terminal: a step a line, and beside it rails that join it with what it follows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
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
    box = node.box
    look = box.look
    sign = _SIGNS[box.kind][plain] if look is None else look.plain if plain else look.sign
    tone = None if look is None else look.tone
    name = told(box.step, plain=plain)
    details = _details(box, listed=listed)
    left = _drawn(node.left, plain=plain)
    right = _drawn(node.right, plain=plain)
    begin = f"{left}{colored(sign, tone, color=color)}{right}".ljust(rails + len(colored(sign, tone, color=color)) - 1)
    start = max(rails, 1) + 2
    column = start + most + 2
    below = _drawn(node.under, plain=plain).ljust(max(rails, 1))
    if width - column < _LEAST_DETAILS:
        column = start + 2
        yield from _named(begin, name, below, width - start, color=color)
        rest = [line for each in details for line in wrapped(told(each, plain=plain), width - column)]
        first: str | None = None
    else:
        every = [line for each in details for line in wrapped(told(each, plain=plain), width - column)]
        first, *rest = every or [""]
        parts = [name[at : at + most] for at in range(0, len(name), most)]
        yield f"{begin}  {bold(parts[0], color=color)}{' ' * (most + 2 - len(parts[0]))}" + colored(
            first, tone, color=color
        )
        for part in parts[1:]:
            more = rest.pop(0) if rest else ""
            yield f"{below}  {bold(part, color=color)}{' ' * (most + 2 - len(part))}{more}"
    yield from (f"{below}{' ' * (column - max(rails, 1))}{line}" for line in rest)


def _named(begin: str, name: str, below: str, room: int, *, color: bool) -> Iterator[str]:
    for at in range(0, len(name), room):
        yield f"{begin if not at else below}  {bold(name[at : at + room], color=color)}"


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
