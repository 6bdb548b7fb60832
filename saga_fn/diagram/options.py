"""How a picture is to look, judged."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

from saga_fn.arguments import check_whole
from saga_fn.errors import SagaError, shown

GraphFormat: TypeAlias = Literal["svg", "mermaid", "text"]
"""The forms of a graph."""
TimelineFormat: TypeAlias = Literal["svg", "text"]
"""The forms of a timeline."""
EndsFormat: TypeAlias = Literal["svg", "mermaid"]
"""The forms of a picture of ends."""
LEAST_WIDTH: Final = 40
MOST_WIDTH: Final = 400


def check_format(format: object, forms: object) -> None:
    """Raise SagaError for what is none of the forms."""
    known = get_args(forms)
    if not isinstance(format, str) or format not in known:
        raise SagaError(f"a picture has no format {shown(format)}", hint=f"one of {', '.join(map(shown, known))}")


def check_width(width: object) -> None:
    """Raise SagaError for what is no width of a text."""
    check_whole("width", width, least=LEAST_WIDTH, most=MOST_WIDTH)
