"""How wide a text is, without the font: estimated from above. And texts broken into lines."""

from __future__ import annotations

import re
from typing import Final

from saga_fn.printable import printable

_NARROW: Final = frozenset("iljtf.,:;'|!()[] ")
_WIDE: Final = frozenset("mwMW@%—…")
MONO: Final = 0.62
"""The width of a character of a monospaced font, in its size."""
_PIECES: Final = re.compile(r"[^\s_./:-]*[\s_./:-]?")


def text_width(text: str, size: float) -> float:
    """The greatest width that a text is likely to have, in pixels."""
    units = 0.0
    for each in text:
        if each in _NARROW:
            units += 0.34
        elif each in _WIDE or ord(each) > 0x2E80:  # noqa: PLR2004 - where the scripts with square characters begin
            units += 1.05
        elif each.isupper():
            units += 0.72
        else:
            units += 0.6
    return units * size


def broken(text: str, most: int, lines: int) -> list[str]:
    """The text in lines of at most so many characters, broken behind a separator where there is one; the rest is left out.

    >>> broken("charge_the_customer", 12, 2)
    ['charge_the_', 'customer']
    """
    text = printable(text, longest=most * lines * 2)
    found: list[str] = [""]
    for piece in _PIECES.findall(text):
        rest = piece
        while rest:
            room = most - len(found[-1])
            if len(rest.rstrip()) <= room:
                found[-1] += rest
                rest = ""
            elif len(rest) > most or not found[-1]:
                found[-1] += rest[:room]
                rest = rest[room:]
                found.append("")
            else:
                found.append("")
    kept = [line.rstrip() for line in found if line.strip()]
    if len(kept) > lines:
        kept = [*kept[: lines - 1], kept[lines - 1][: most - 1] + "…"]
    return kept or [""]
