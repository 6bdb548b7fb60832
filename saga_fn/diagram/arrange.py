"""The boxes of a graph in their places: with its begin and its end, and with many of a kind side by side in one frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from saga_fn.diagram.layout import MOST_IN_LAYER, Line, Place, Size, layout
from saga_fn.diagram.shape import Box

BEGIN: Final = ""
"""Where a graph begins. No step has such an id."""
END: Final = "\n"
"""Where it ends."""
_DOT: Final = Size(12, 12)
_PAD: Final = 14
"""Pixels between a frame and its boxes."""
_GAP: Final = 14
"""Pixels between the boxes in a frame."""


@attrs.frozen
class Arranged:
    """Places of boxes, of `BEGIN` and of `END`; lines between them, or between the frames that they stand in."""

    places: Mapping[str, Place]
    lines: tuple[Line, ...]
    frames: tuple[Place, ...]
    held: Mapping[str, str]
    """For each box in a frame, the first box of that frame, which names it in `lines`."""
    width: float
    height: float


def arranged(boxes: Sequence[Box], sizes: Mapping[str, Size]) -> Arranged:
    """Give each box its place. Boxes that follow the same, and are followed by the same, share a frame if they are many."""
    if not boxes:
        return Arranged({}, (), (), {}, 0.0, 0.0)
    frames = _frames(boxes)
    held = {name: frame[0] for frame in frames for name in frame}
    followed = {before for box in boxes for before in box.after}
    whole: dict[str, Size] = {BEGIN: _DOT}
    follows: dict[str, tuple[str, ...]] = {BEGIN: ()}
    grids = {frame[0]: _grid(frame, sizes) for frame in frames}
    for box in boxes:
        if held.get(box.step, box.step) == box.step:
            whole[box.step] = grids[box.step][0] if box.step in grids else sizes[box.step]
            follows[box.step] = _distinct([held.get(each, each) for each in box.after]) or (BEGIN,)
    whole[END] = _DOT
    follows[END] = _distinct([held.get(box.step, box.step) for box in boxes if box.step not in followed])
    found = layout(whole, follows)
    places: dict[str, Place] = {}
    for name, place in found.places.items():
        if name in grids:
            inner = grids[name][1].items()
            places |= {each: Place(place.x + at.x, place.y + at.y, at.width, at.height) for each, at in inner}
        else:
            places[name] = place
    outer = tuple(found.places[frame[0]] for frame in frames)
    return Arranged(places, found.lines, outer, held, found.width, found.height)


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _frames(boxes: Sequence[Box]) -> list[tuple[str, ...]]:
    followers: dict[str, set[str]] = {box.step: set() for box in boxes}
    for box in boxes:
        for before in box.after:
            followers[before].add(box.step)
    alike: dict[tuple[frozenset[str], frozenset[str]], list[str]] = {}
    for box in boxes:
        alike.setdefault((frozenset(box.after), frozenset(followers[box.step])), []).append(box.step)
    return [tuple(names) for names in alike.values() if len(names) > MOST_IN_LAYER]


def _grid(names: Sequence[str], sizes: Mapping[str, Size]) -> tuple[Size, dict[str, Place]]:
    """The size of a frame, and the places in it."""
    columns = 4 if len(names) % MOST_IN_LAYER and len(names) % 4 == 0 else MOST_IN_LAYER
    wide = max(sizes[name].width for name in names)
    places: dict[str, Place] = {}
    y = float(_PAD)
    for first in range(0, len(names), columns):
        row = names[first : first + columns]
        for column, name in enumerate(row):
            places[name] = Place(_PAD + column * (wide + _GAP), y, sizes[name].width, sizes[name].height)
        y += max(sizes[name].height for name in row) + _GAP
    return Size(2 * _PAD + columns * (wide + _GAP) - _GAP, y - _GAP + _PAD), places
