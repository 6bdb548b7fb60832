"""The timeline of a saga, from its journal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from saga_fn.core.plan import Plan
from saga_fn.diagram.options import TimelineFormat, check_format, check_width
from saga_fn.diagram.seen import EntrySeen, SagaSeen
from saga_fn.diagram.timeline_svg import timeline_svg
from saga_fn.diagram.timeline_text import timeline_text
from saga_fn.printable import printable


def timeline(
    entries: Iterable[EntrySeen],
    format: TimelineFormat = "svg",
    /,
    *,
    plan: Plan | None = None,
    name: str | None = None,
    seen: SagaSeen | None = None,
    width: int = 100,
    color: bool = False,
    plain: bool = False,
    embedded: bool = False,
) -> str:
    """Draw what has happened to a saga, in the order of time. `SagaAdminSnapshot.timeline` calls it.

    A long history is shown with its begin and its end; between them it says how many entries are left out.

    Args:
        entries: The history, a page or several pages of it, in the order of their numbers.
        format: "svg" or "text". Default: "svg".
        plan: The plan, which tells when a step could begin. Default: None, it is guessed.
        name: The name for its title. Default: None, there is none.
        seen: The saga as it is now, which tells what goes on yet. Default: None, the picture ends with the last entry.
        width: The greatest number of characters of a line, for "text", 40 to 400. Default: 100.
        color: Whether "text" has colours for a terminal. Default: False.
        plain: Whether "text" is of ASCII alone. Default: False.
        embedded: Whether "svg" is for a page that has `STYLE` in its style sheet. Default: False, it brings its style.

    Returns:
        The picture.

    Raises:
        SagaError: There is no such format, or `width` is out of its range.
    """
    check_format(format, TimelineFormat)
    check_width(width)
    kept = list(entries)
    title = f"{printable(name or 'saga', 255)}: timeline"
    match format:
        case "svg":
            return timeline_svg(kept, plan, seen, title, embedded=embedded)
        case "text":
            return timeline_text(kept, plan, seen, title, width=width, color=color, plain=plain)
        case _:
            assert_never(format)
