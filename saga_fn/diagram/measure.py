"""How wide a text is, without the font: estimated from above. And texts broken into lines."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from saga_fn.printable import printable

_NARROW: Final = frozenset("iljtf.,:;'|!()[] ")
_WIDE: Final = frozenset("mwMW@%—…")
MONO: Final = 0.62
"""The width of a character of a monospaced font, in its size."""
_UNITS: Final = ((172_800, "days", 86_400), (3600, "h", 3600), (60, "min", 60), (1, "s", 1), (0.001, "ms", 0.001))
"""From which length on a unit is used, and how many seconds it is."""
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


def length(time: timedelta) -> str:
    """A length of time in short, in a unit that fits.

    >>> length(timedelta(milliseconds=1.4)), length(timedelta(seconds=90)), length(timedelta(days=3, hours=7))
    ('1.4 ms', '1.5 min', '3.3 days')
    """
    seconds = time.total_seconds()
    for least, unit, size in _UNITS:
        if abs(seconds) >= least:
            return f"{round(seconds / size, 1):,g} {unit}"
    return "0" if abs(seconds) < 0.000_05 else f"{round(seconds * 1000, 1):g} ms"  # noqa: PLR2004 - what rounds to 0.1 ms
