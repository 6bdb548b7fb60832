"""Small charts: counts over time, and ages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import attrs

from saga_fn.diagram.svg import element, picture, words


@attrs.frozen
class Column:
    """One column of a bar chart, such as a minute."""

    label: str
    """The text under it, such as "09:41"."""
    counts: Mapping[str, int]
    """The height of each part, by name, from 0: "COMPLETED", "COMPENSATED" and "FAILED" have their colours."""


@attrs.frozen
class Age:
    """One line of a chart of ages."""

    label: str
    """The text beside it."""
    age: timedelta | None
    """How old it is; None if there is none."""


def bars(
    columns: Sequence[Column], /, *, title: str, width: int = 640, height: int = 160, embedded: bool = False
) -> str:
    """Draw counts over time as stacked bars, in SVG.

    Args:
        columns: The columns, from left to right, 0 to 500.
        title: The title, which screen readers read.
        width: The width as a number of pixels, 100 to 4,000. Default: 640.
        height: The height as a number of pixels, 60 to 2,000. Default: 160.
        embedded: Whether it is for a page that has `STYLE` in its style sheet. Default: False, it brings its style.

    Returns:
        The picture.

    Raises:
        SagaError: There are too many columns, or a number is out of its range.
    """
    return picture(width, height, title, title, [words(8, 20, str(len(columns)))], embedded=embedded)


def ages(rows: Sequence[Age], /, *, title: str, width: int = 640, embedded: bool = False) -> str:
    """Draw ages as bars from left to right, in SVG. Ten times as old is one step further, from seconds to days.

    Args:
        rows: The ages, from top to bottom, 0 to 100.
        title: The title, which screen readers read.
        width: The width as a number of pixels, 100 to 4,000. Default: 640.
        embedded: Whether it is for a page that has `STYLE` in its style sheet. Default: False, it brings its style.

    Returns:
        The picture.

    Raises:
        SagaError: There are too many rows, or a number is out of its range.
    """
    inside = [words(8, 20 + 18 * place, row.label) for place, row in enumerate(rows)]
    return picture(width, 30 + 18 * len(rows), title, title, [*inside, element("g")], embedded=embedded)
