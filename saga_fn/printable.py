"""Texts from elsewhere, as they may stand in a line of a log: printable, and no longer than they have to be."""

from __future__ import annotations

from typing import Final

LONGEST_NAME: Final = 100


def printable(text: str, longest: int = 255) -> str:
    r"""The text with what does not print escaped, cut to `longest` characters.

    >>> print(printable("one\ntwo"))
    one\ntwo
    """
    if not text.isprintable():
        text = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def name_of_type(value: object) -> str:
    """The name of the value's type. Whoever makes a type chooses its name, with line breaks and all."""
    return printable(str(type(value).__name__), LONGEST_NAME)
