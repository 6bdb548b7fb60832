"""Places for the boxes of a graph, and ways for the lines between them: in layers, from top to bottom.

A box stands below all that it follows. A layer holds only so many boxes, so that a wide graph becomes a tall one. A line that
passes a layer goes through a lane there, which lines to the same box, or from the same one, share. The order within the layers
is improved for as long as lines cross less; then each box is moved as near as may be to the middle of its neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final, TypeAlias

import attrs

MOST_IN_LAYER: Final = 5
_SWEEPS: Final = 8
_LANE: Final = 10
"""The width of a lane, in pixels."""
_GAP: Final = 26
"""Pixels between two boxes of a layer."""
_LEAST_GAP: Final = 34
"""Pixels between two layers."""
_MOST_GAP: Final = 76
_STRAIGHT: Final = 6.0
"""How much more a straight lane matters than a box in the middle of its neighbours."""
_LOW: Final = 20
"""A layer of at most so many pixels needs less of a gap below it."""

Lane: TypeAlias = tuple[str, int, bool]
"""A place where lines pass a layer: the box that they share, the layer, and whether they come from it."""
Spot: TypeAlias = str | Lane


@attrs.frozen
class Size:
    """The size of a box, in pixels."""

    width: float
    height: float


@attrs.frozen
class Place:
    """Where a box stands."""

    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        """The middle, from left to right."""
        return self.x + self.width / 2

    @property
    def bottom(self) -> float:
        """The lower edge."""
        return self.y + self.height


@attrs.frozen
class Line:
    """The way from one box to another: points through which it goes, from top to bottom."""

    before: str
    after: str
    points: tuple[tuple[float, float], ...]


@attrs.frozen
class Layout:
    """All of them."""

    places: Mapping[str, Place]
    lines: tuple[Line, ...]
    width: float
    height: float


def layout(sizes: Mapping[str, Size], follows: Mapping[str, Sequence[str]]) -> Layout:
    """Lay out the boxes. Each is listed in `sizes` after all that it follows."""
    layer = _layers(sizes, follows)
    routes = _routes(sizes, follows, layer)
    layers = _spots(sizes, layer, routes)
    links = sorted({link for route in routes.values() for link in pairwise(route)}, key=_by_name)
    _order(layers, links)
    middles = _middles(layers, links, sizes)
    return _placed(layers, middles, sizes, routes)


def _layers(sizes: Mapping[str, Size], follows: Mapping[str, Sequence[str]]) -> dict[str, int]:
    layer: dict[str, int] = {}
    held: dict[int, int] = {}
    for name in sizes:
        own = max((layer[before] + 1 for before in follows[name]), default=0)
        while held.get(own, 0) >= MOST_IN_LAYER:
            own += 1
        layer[name] = own
        held[own] = held.get(own, 0) + 1
    return layer


def _routes(
    sizes: Mapping[str, Size], follows: Mapping[str, Sequence[str]], layer: Mapping[str, int]
) -> dict[tuple[str, str], tuple[Spot, ...]]:
    """For each line the spots that it goes through."""
    passing = [(before, name) for name in sizes for before in follows[name] if layer[name] - layer[before] > 1]
    leave = {name: sum(before == name for before, _ in passing) for name in sizes}
    reach = {name: sum(after == name for _, after in passing) for name in sizes}
    routes: dict[tuple[str, str], tuple[Spot, ...]] = {}
    for name in sizes:
        for before in follows[name]:
            comes = leave[before] >= reach[name]
            shared = before if comes else name
            lanes = [(shared, at, comes) for at in range(layer[before] + 1, layer[name])]
            routes[before, name] = (before, *lanes, name)
    return routes


def _spots(
    sizes: Mapping[str, Size],
    layer: Mapping[str, int],
    routes: Mapping[tuple[str, str], tuple[Spot, ...]],
) -> list[list[Spot]]:
    layers: list[list[Spot]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for name in sizes:
        layers[layer[name]].append(name)
    for route in routes.values():
        for spot in route[1:-1]:
            if not isinstance(spot, str) and spot not in layers[spot[1]]:
                layers[spot[1]].append(spot)
    return layers


def _by_name(link: tuple[Spot, Spot]) -> tuple[str, str]:
    return str(link[0]), str(link[1])


def _neighbours(links: Sequence[tuple[Spot, Spot]]) -> tuple[dict[Spot, list[Spot]], dict[Spot, list[Spot]]]:
    above: dict[Spot, list[Spot]] = {}
    below: dict[Spot, list[Spot]] = {}
    for upper, lower in links:
        above.setdefault(lower, []).append(upper)
        below.setdefault(upper, []).append(lower)
    return above, below


def _order(layers: list[list[Spot]], links: Sequence[tuple[Spot, Spot]]) -> None:
    """Put each layer into the order with the fewest crossings that is found."""
    above, below = _neighbours(links)
    best, least = [list(each) for each in layers], crossings(layers, below)
    for sweep in range(_SWEEPS):
        if not least:
            break
        down = sweep % 2 == 0
        known = above if down else below
        each = range(1, len(layers)) if down else range(len(layers) - 2, -1, -1)
        for at in each:
            fixed = {spot: place for place, spot in enumerate(layers[at - 1 if down else at + 1])}
            own = {spot: place for place, spot in enumerate(layers[at])}

            def wish(
                spot: Spot,
                fixed: Mapping[Spot, int] = fixed,
                own: Mapping[Spot, int] = own,
                known: Mapping[Spot, Sequence[Spot]] = known,
            ) -> tuple[float, int]:
                near = [fixed[other] for other in known.get(spot, ())]
                return (sum(near) / len(near) if near else own[spot], own[spot])

            layers[at].sort(key=wish)
        found = crossings(layers, below)
        if found < least:
            best, least = [list(each) for each in layers], found
    layers[:] = best


def crossings(layers: Sequence[Sequence[Spot]], below: Mapping[Spot, Sequence[Spot]]) -> int:
    """How often lines cross between the layers."""
    count = 0
    for upper, lower in pairwise(layers):
        place = {spot: at for at, spot in enumerate(lower)}
        ends = [at for spot in upper for at in sorted(place[each] for each in below.get(spot, ()))]
        count += sum(first > second for here, first in enumerate(ends) for second in ends[here + 1 :])
    return count


def _width(spot: Spot, sizes: Mapping[str, Size]) -> float:
    return sizes[spot].width if isinstance(spot, str) else _LANE


def _middles(
    layers: Sequence[Sequence[Spot]], links: Sequence[tuple[Spot, Spot]], sizes: Mapping[str, Size]
) -> dict[Spot, float]:
    above, below = _neighbours(links)
    middles: dict[Spot, float] = {}
    for spots in layers:
        wide = [_width(spot, sizes) + _GAP for spot in spots]
        at = -sum(wide) / 2
        for spot, width in zip(spots, wide, strict=True):
            middles[spot] = at + width / 2
            at += width
    alone = {spot for spot in middles if len(above.get(spot, ())) == 1 and len(below.get(spot, ())) == 1}
    for sweep in range(4 * _SWEEPS):
        down = sweep % 2 == 0
        near = above if down else below
        for spots in layers if down else reversed(layers):
            wishes = [_wish(spot, near.get(spot, ()), middles, alone=spot in alone) for spot in spots]
            apart = [(_width(a, sizes) + _width(b, sizes)) / 2 + _GAP for a, b in pairwise(spots)]
            middles.update(zip(spots, _apart(wishes, apart), strict=True))
    return middles


def _wish(spot: Spot, near: Sequence[Spot], middles: Mapping[Spot, float], *, alone: bool) -> tuple[float, float]:
    """Where the spot would best be, and how much that matters: a lane goes straight on before all else.

    A lane that several lines share stays where it is, and the boxes come to it; that of one line follows its box.
    """
    straight = [] if isinstance(spot, str) else [each for each in near if not isinstance(each, str)]
    if straight:
        return sum(middles[each] for each in straight) / len(straight), _STRAIGHT
    if near and (alone or isinstance(spot, str)):
        return sum(middles[each] for each in near) / len(near), 1.0
    return middles[spot], 0.1


def _apart(wishes: Sequence[tuple[float, float]], apart: Sequence[float]) -> list[float]:
    """The places nearest to those wished for, in the same order, and as far apart as they have to be."""
    offsets = [0.0]
    for each in apart:
        offsets.append(offsets[-1] + each)
    blocks: list[tuple[float, float, int]] = []
    for (wish, weight), offset in zip(wishes, offsets, strict=True):
        value, heavy, count = wish - offset, weight, 1
        while blocks and blocks[-1][0] > value:
            before, weighs, many = blocks.pop()
            value = (before * weighs + value * heavy) / (weighs + heavy)
            heavy, count = weighs + heavy, many + count
        blocks.append((value, heavy, count))
    flat = [value for value, _, count in blocks for _ in range(count)]
    return [value + offset for value, offset in zip(flat, offsets, strict=True)]


def _placed(
    layers: Sequence[Sequence[Spot]],
    middles: Mapping[Spot, float],
    sizes: Mapping[str, Size],
    routes: Mapping[tuple[str, str], tuple[Spot, ...]],
) -> Layout:
    left = min((middles[spot] - _width(spot, sizes) / 2 for spots in layers for spot in spots), default=0.0)
    at = {spot: float(math.ceil(middle - left)) for spot, middle in middles.items()}
    links = {link for route in routes.values() for link in pairwise(route)}
    places: dict[str, Place] = {}
    spans: dict[Spot, tuple[float, float]] = {}
    y = 0.0
    for here, spots in enumerate(layers):
        tall = max((sizes[spot].height for spot in spots if isinstance(spot, str)), default=0.0)
        for spot in spots:
            spans[spot] = (y, y + tall)
            if isinstance(spot, str):
                size = sizes[spot]
                places[spot] = Place(at[spot] - size.width / 2, y, size.width, size.height)
        far = max((abs(at[a] - at[b]) for a, b in links if a in spots), default=0.0) if here + 1 < len(layers) else 0.0
        y += tall + min(_MOST_GAP, _LEAST_GAP + far / 16) - (_LEAST_GAP / 3 if tall <= _LOW else 0)
    lines = [Line(before, after, _way(route, at, spans, places)) for (before, after), route in routes.items()]
    return Layout(
        places=places,
        lines=tuple(lines),
        width=max((at[spot] + _width(spot, sizes) / 2 for spot in at), default=0.0),
        height=max((place.bottom for place in places.values()), default=0.0),
    )


def _way(
    route: Sequence[Spot],
    at: Mapping[Spot, float],
    spans: Mapping[Spot, tuple[float, float]],
    places: Mapping[str, Place],
) -> tuple[tuple[float, float], ...]:
    """Down from the lower edge of the first, through both ends of each lane, to the upper edge of the last."""
    points: list[tuple[float, float]] = []
    for place, spot in enumerate(route):
        top, bottom = spans[spot]
        if isinstance(spot, str) and place == 0:
            points += [(at[spot], places[spot].bottom), (at[spot], bottom)]
        elif isinstance(spot, str):
            points.append((at[spot], top))
        else:
            points += [(at[spot], top), (at[spot], bottom)]
    return tuple(points)
