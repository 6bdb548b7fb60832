"""Signs as paths around a middle of (0, 0), so that no font has to have them."""

from __future__ import annotations

import enum

from saga_fn.diagram.svg import Attribute, element


class Icon(enum.Enum):
    """A sign, ten pixels wide."""

    CHECK = "M-4 .5L-1.2 3.5L4-3"
    CROSS = "M-3.2-3.2L3.2 3.2M3.2-3.2L-3.2 3.2"
    PLAY = "M-2.5-4L4 0L-2.5 4Z"
    BACK = "M2.5-4L-4 0L2.5 4Z"
    AGAIN = "M3.6-2A4.2 4.2 0 1 0 4.2.8M4.2-4.6V-1.8H1.4"
    QUESTION = "M-2.2-2A2.3 2.3 0 1 1 0 .4V1.4M0 3.9V4"
    BANG = "M0-4.2V1.2M0 3.9V4"
    CLOCK = "M4.2 0A4.2 4.2 0 1 1-4.2 0A4.2 4.2 0 1 1 4.2 0M0-2.4V0L1.8 1.2"
    MOON = "M3.8 1.6A4.4 4.4 0 1 1-1.6-3.8A3.6 3.6 0 0 0 3.8 1.6Z"
    UNDO = "M-1.6-4L-4.2-1.4L-1.6 1.2M-4.2-1.4H1.6A2.5 2.5 0 0 1 1.6 3.6H-1.4"
    DASH = "M-3.8 0H3.8"
    RING = "M3.4 0A3.4 3.4 0 1 1-3.4 0A3.4 3.4 0 1 1 3.4 0"
    LETTER = "M-4.6-3.2H4.6V3.2H-4.6ZM-4.6-2.8L0 .8L4.6-2.8"
    LENS = "M2-1A3 3 0 1 1-4-1A3 3 0 1 1 2-1M1.2 1.2L4.2 4.2"
    HAND = "M0-4.2A1.9 1.9 0 1 1 0-.4A1.9 1.9 0 1 1 0-4.2M-3.8 4.2A3.8 3.4 0 0 1 3.8 4.2"
    PIVOT = "M-4.2-4.2H4.2M0-4V3.4M-3 .6L0 3.8L3 .6"
    HOLD = "M-2-3.6V3.6M2-3.6V3.6"
    FLAG = "M-3 4.4V-4.2H3.8L1.8-1.8L3.8.6H-3"


def icon(sign: Icon, x: float, y: float, kind: str = "") -> str:
    """The sign at that place."""
    attributes: dict[str, Attribute] = {
        "class": f"sfn-sign {kind}".rstrip(),
        "transform": f"translate({round(x)} {round(y)})",
        "d": sign.value,
    }
    return element("path", attributes)
