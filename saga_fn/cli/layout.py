"""Parts of an answer as lines of text: pure functions, with no colour and no markup.

Every text is made printable here, whatever a payload, a name or an error holds. So no part can forget it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, assert_never

import attrs
from rich.cells import cell_len

from saga_fn.cli.answers import Drawn, Facts, Lines, Part, Table
from saga_fn.printable import printable

_LONGEST_LINE: Final = 4000
_LONGEST_CELL: Final = 500
"""Characters; `--json` has all of it."""
_GAP: Final = "  "


@attrs.frozen
class Line:
    """A line, and whether it is a heading, or a picture that is written as it is."""

    text: str
    is_heading: bool = False
    is_drawn: bool = False


def laid_out(parts: Iterable[Part], width: int | None) -> list[Line]:
    """The lines of the parts. `width` is that of the terminal; None if there is none, and lines may have any length."""
    found: list[Line] = []
    for part in parts:
        block = list(_lines_of(part, width))
        if found and block and not isinstance(part, Lines):
            found.append(Line(""))
        found += block
    return found


def _lines_of(part: Part, width: int | None) -> Iterator[Line]:
    match part:
        case Lines(lines=texts):
            yield from (Line(printable(each, _LONGEST_LINE)) for each in texts)
        case Facts(heading=heading, facts=pairs):
            yield from _heading(heading)
            yield from _block(pairs, "  " if heading else "")
        case Table():
            yield from _heading(part.heading)
            yield from _table(part, width)
        case Drawn(text=text):
            yield Line(text.rstrip("\n"), is_drawn=True)
        case _:
            assert_never(part)


def _heading(text: str) -> Iterator[Line]:
    if text:
        yield Line(printable(text, _LONGEST_LINE), is_heading=True)


def _block(pairs: Iterable[tuple[str, str]], indent: str) -> Iterator[Line]:
    cells = [(_cell(name), _cell(value, _LONGEST_LINE)) for name, value in pairs]
    longest = max((cell_len(name) for name, _ in cells), default=0)
    yield from (Line(f"{indent}{_padded(name, longest)}{_GAP}{value}".rstrip()) for name, value in cells)


def _table(table: Table, width: int | None) -> Iterator[Line]:
    rows = [tuple(_cell(each) for each in row) for row in (table.columns, *table.rows)]
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    if width is not None and sum(widths) + len(_GAP) * (len(widths) - 1) > width and table.rows:
        for number, row in enumerate(table.rows):
            if number:
                yield Line("")
            yield from _block([(name, each) for name, each in zip(table.columns, row, strict=True) if each], "")
        return
    for number, row in enumerate(rows):
        padded = (_padded(each, size) for each, size in zip(row, widths, strict=True))
        yield Line(_GAP.join(padded).rstrip(), is_heading=not number)


def _cell(text: str, longest: int = _LONGEST_CELL) -> str:
    return printable(text, longest)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))
