"""Small charts: counts over time, and ages."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Final, cast

import attrs

from saga_fn.arguments import check_whole
from saga_fn.diagram.measure import length, text_width
from saga_fn.diagram.svg import Attribute, element, escaped, number, picture, words
from saga_fn.errors import SagaError
from saga_fn.printable import printable

_LEAST_WIDTH: Final = 100
_LEAST_HEIGHT: Final = 80
_MOST_SIZE: Final = 4000
_MOST_COLUMNS: Final = 500
_MOST_ROWS: Final = 100
_MOST_COUNT: Final = 10**15
_LONGEST_LABEL: Final = 60
_AXIS: Final = 11
_BETWEEN: Final = 18.0
"""Pixels between two labels."""
_MARKS: Final = 4
_SIZES: Final = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))
_MOST_COLUMN: Final = 48.0
"""Pixels of a column."""
_AGE_ROW: Final = 22
_AGE_ROOM: Final = 76
"""Pixels for the length that is written behind a bar."""
ENDS: Final = {
    "COMPLETED": "sfn-soft sfn-good",
    "COMPENSATED": "sfn-soft sfn-undone",
    "FAILED": "sfn-bar sfn-bad",
}
"""The looks of the ends of sagas, by their statuses."""
_OTHERS: Final = (
    "sfn-soft sfn-busy",
    "sfn-bar sfn-wait",
    "sfn-soft sfn-again",
    "sfn-bar sfn-undone",
    "sfn-soft sfn-person",
)
_NOT_KNOWN: Final = "sfn-break"
_NOT_COUNTED: Final = "not counted"


@attrs.frozen
class Column:
    """One column of a bar chart, such as a minute."""

    label: str
    """The text under it, such as "09:41"."""
    counts: Mapping[str, int] | None
    """The height of each part, by name, from 0: "COMPLETED", "COMPENSATED" and "FAILED" have their colours. None stands for
    a column that was not counted, and is drawn so."""


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
        height: The height as a number of pixels, 80 to 4,000. Default: 160.
        embedded: Whether it is for a page that has `STYLE` in its style sheet. Default: False, it brings its style.

    Returns:
        The picture.

    Raises:
        SagaError: There are too many columns, or a number is out of its range.
    """
    check_whole("width", width, least=_LEAST_WIDTH, most=_MOST_SIZE)
    check_whole("height", height, least=_LEAST_HEIGHT, most=_MOST_SIZE)
    _check_many("columns", columns, Column, _MOST_COLUMNS)
    names = _names(columns)
    totals = {name: sum(_count(column, name) for column in columns) for name in names}
    heights = [sum(_count(column, name) for name in names) for column in columns]
    top, bottom = 30.0, height - 38.0
    most_of_all = max(heights, default=0)
    most, step = _scale_of(most_of_all)
    left = 14 + max(text_width(_short(value), _AXIS) for value in (most, step))
    inside = [words(8, 16, title, "sfn-chart")]
    for value in range(0, most + 1, step):
        y = bottom - (bottom - top) * value / most
        way = f"M{number(left)} {number(y)}H{number(width - 8)}"
        inside.append(element("path", {"class": "sfn-rule" if not value else "sfn-grid", "d": way}))
        inside.append(words(left - 6, y + 3.5, _short(value), "sfn-axis", anchor="end"))
    room = min(_MOST_COLUMN, (width - 8 - left) / max(1, len(columns)))
    unknown = sum(column.counts is None for column in columns)
    if not most_of_all and not unknown:
        inside.append(words((left + width) / 2, (top + bottom) / 2, "nothing", "sfn-axis", anchor="middle"))
    shown = -1e9
    for place, column in enumerate(columns):
        x = left + place * room
        if column.counts is None:
            inside.append(_unknown(column, x, room, top, bottom))
        else:
            inside.append(_stack(column, names, x, room, bottom, (bottom - top) / most))
        wide = text_width(printable(column.label, _LONGEST_LABEL), _AXIS)
        begin = min(x, width - 8 - wide)
        if begin - shown >= _BETWEEN:
            inside.append(words(begin, bottom + 14, printable(column.label, _LONGEST_LABEL), "sfn-axis"))
            shown = begin + wide
    inside += _legend(names, totals, unknown, height - 8.0, width)
    told = [f"{name}: {total:,}" for name, total in totals.items()]
    about = ", ".join([*told, f"{_NOT_COUNTED}: {unknown} columns"] if unknown else told) or "nothing"
    return picture(width, height, title, f"{len(columns)} columns; {about}.", inside, embedded=embedded)


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
    check_whole("width", width, least=_LEAST_WIDTH, most=_MOST_SIZE)
    _check_many("rows", rows, Age, _MOST_ROWS)
    labels = [printable(row.label, _LONGEST_LABEL) for row in rows]
    left = min(width / 2, 20 + max((text_width(label, 12) for label in labels), default=0.0))
    room = max(8.0, width - left - _AGE_ROOM)
    oldest = max((_steps(row.age) for row in rows), default=0.0)
    inside = [words(8, 16, title, "sfn-chart")]
    if not rows:
        inside.append(words(8, 38, "nothing", "sfn-axis"))
    for place, (row, label) in enumerate(zip(rows, labels, strict=True)):
        y = 28.0 + place * _AGE_ROW
        said = "none" if row.age is None else length(row.age)
        inside.append(words(left - 10, y + 12, _cut(label, left - 18), "sfn-about", anchor="end"))
        long = room * _steps(row.age) / oldest if oldest else 0.0
        if row.age is not None:
            at: dict[str, Attribute] = {"class": "sfn-soft sfn-busy", "x": left, "y": y + 2, "rx": 3}
            inside.append(element("rect", {**at, "width": max(3.0, long), "height": 12}))
        inside.append(words(left + max(3.0, long) + 8 if row.age is not None else left, y + 12, said, "sfn-note"))
    about = "; ".join(
        f"{label}: {'none' if row.age is None else length(row.age)}" for row, label in zip(rows, labels, strict=True)
    )
    return picture(width, 34 + _AGE_ROW * max(1, len(rows)), title, about or "nothing", inside, embedded=embedded)


def _names(columns: Sequence[Column]) -> list[str]:
    """The names of the parts, from the bottom to the top."""
    found = dict.fromkeys(name for column in columns for name in column.counts or ())
    return sorted(found, key=lambda name: list(ENDS).index(name) if name in ENDS else len(ENDS))


def _count(column: Column, name: str) -> int:
    return max(0, min((column.counts or {}).get(name, 0), _MOST_COUNT))


def _looks(names: Sequence[str]) -> dict[str, str]:
    others = [name for name in names if name not in ENDS]
    return {
        **{name: ENDS[name] for name in names if name in ENDS},
        **{name: _OTHERS[place % len(_OTHERS)] for place, name in enumerate(others)},
    }


def _stack(column: Column, names: Sequence[str], x: float, room: float, bottom: float, per_one: float) -> str:
    counts = [f"{name}: {_count(column, name):,}" for name in names]
    inside = [element("title", None, [escaped(f"{column.label} {', '.join(counts)}", 500)])]
    looks = _looks(names)
    wide = max(1.0, room - (2 if room > 6 else 0.5))  # noqa: PLR2004 - narrow columns stand nearer
    y = bottom
    for name in names:
        tall = _count(column, name) * per_one
        if tall:
            y -= tall
            at: dict[str, Attribute] = {"class": looks[name], "x": x, "y": y, "width": wide, "height": tall}
            inside.append(element("rect", at))
    return element("g", None, inside)


def _unknown(column: Column, x: float, room: float, top: float, bottom: float) -> str:
    """A column that was not counted, as high as the picture: it is not one of height 0."""
    title = element("title", None, [escaped(f"{column.label} {_NOT_COUNTED}", 500)])
    at: dict[str, Attribute] = {"class": _NOT_KNOWN, "x": x, "y": top, "width": room, "height": bottom - top}
    return element("g", None, [title, element("rect", at)])


def _legend(names: Sequence[str], totals: Mapping[str, int], unknown: int, y: float, width: float) -> Iterator[str]:
    x = 8.0
    looks = _looks(names)
    entries = [(looks[name], f"{printable(name, _LONGEST_LABEL)} {totals[name]:,}") for name in names]
    for look, text in [*entries, (_NOT_KNOWN, _NOT_COUNTED)] if unknown else entries:
        if x + 16 + text_width(text, _AXIS) > width:
            return
        at: dict[str, Attribute] = {"class": look, "x": x, "y": y - 9, "width": 10, "height": 10, "rx": 2}
        yield element("rect", at)
        yield words(x + 15, y, text, "sfn-axis")
        x += 24 + text_width(text, _AXIS)


def _scale_of(most: int) -> tuple[int, int]:
    """The end of a scale up to that number, and the distance of its marks.

    >>> _scale_of(0), _scale_of(7), _scale_of(230)
    ((1, 1), (8, 2), (300, 100))
    """
    step = 1
    for tens in range(20):
        for each in (1, 2, 5):
            step = each * 10**tens
            if step * _MARKS >= most:
                return max(1, -(-most // step)) * step, step
    return step * _MARKS, step


def _short(value: int) -> str:
    """A mark of a scale.

    >>> _short(200), _short(20_000), _short(5_000_000_000)
    ('200', '20k', '5G')
    """
    for size, unit in _SIZES:
        if value >= 10 * size or (value >= size and not value % size):
            return f"{value // size:,}{unit}"
    return str(value)


def _steps(age: timedelta | None) -> float:
    """How far an age reaches: a step for each ten times as long."""
    return 0.0 if age is None else math.log10(1 + max(0.0, age.total_seconds()))


def _cut(text: str, room: float) -> str:
    while len(text) > 1 and text_width(text, 12) > room:
        text = text[:-2] + "…"
    return text


def _check_many(name: str, values: object, kind: type, most: int) -> None:
    hint = f"{kind.__name__} is in saga_fn.diagram"
    given = cast("Sequence[object]", values) if isinstance(values, Sequence) else None  # of whatever a caller passes
    if given is None or len(given) > most:
        raise SagaError(f"{name} must be a list of at most {most}", hint=hint)
    if not all(isinstance(each, kind) for each in given):
        raise SagaError(f"{name} must be a list of {kind.__name__}", hint=hint)
