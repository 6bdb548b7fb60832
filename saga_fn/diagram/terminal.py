"""Texts for a terminal: colours, ASCII in place of other characters, and lines that are not too long."""

from __future__ import annotations

import textwrap
from typing import Final

from saga_fn.diagram.looks import Tone
from saga_fn.printable import ascii_only, printable

_COLOURS: Final = {
    Tone.IDLE: "2",
    Tone.GOOD: "32",
    Tone.BUSY: "34",
    Tone.WAIT: "35",
    Tone.AGAIN: "33",
    Tone.PERSON: "1;33",
    Tone.BAD: "31",
    Tone.UNDONE: "2",
}
_LONGEST: Final = 1000
"""Characters of one text."""


def colored(text: str, tone: Tone | None, *, color: bool) -> str:
    """The text in the colour of the tone, if there is to be any."""
    return f"\x1b[{_COLOURS[tone]}m{text}\x1b[0m" if color and tone is not None and text else text


def bold(text: str, *, color: bool) -> str:
    """The text as a heading."""
    return f"\x1b[1m{text}\x1b[0m" if color and text else text


def told(text: str, *, plain: bool, longest: int = _LONGEST) -> str:
    """A text from elsewhere, as it may stand in a terminal."""
    return ascii_only(text, longest) if plain else printable(text, longest)


def wrapped(text: str, width: int) -> list[str]:
    """The text in lines of at most so many characters."""
    return textwrap.wrap(text, width, break_on_hyphens=False) or [""]
