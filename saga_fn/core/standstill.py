"""The time for which a saga stood still: its clock stands while anything pauses it, if each pause moves moments when it ends."""

from __future__ import annotations

from typing import Final, TypeAlias

from saga_fn.core.ids import Moment

Stretch: TypeAlias = tuple[Moment, Moment]
"""From a moment until a later one."""
MOST: Final = 8
"""The most stretches that a state keeps."""


def joined(stretches: tuple[Stretch, ...], since: Moment, until: Moment) -> tuple[Stretch, ...]:
    """Disjoint stretches in the order of time, and one more: what it touches becomes one with it."""
    if since >= until:
        return stretches
    apart: list[Stretch] = []
    for first, last in stretches:
        if last < since or until < first:
            apart.append((first, last))
        else:
            since, until = min(since, first), max(until, last)
    return tuple(sorted((*apart, (since, until))))


def at_most(stretches: tuple[Stretch, ...]) -> tuple[Stretch, ...]:
    """As a state keeps them. If there are more than `MOST`, the oldest become one: time between them is then never made up for."""
    old, kept = stretches[: 1 - MOST], stretches[1 - MOST :]
    return ((old[0][0], old[-1][1]), *kept) if old else kept


def length(stretches: tuple[Stretch, ...]) -> int:
    """All the time in them."""
    return sum(last - first for first, last in stretches)


def elapsed(moment: Moment, stretches: tuple[Stretch, ...]) -> int:
    """The time up to a moment, but for that in which the saga stood still."""
    return moment - sum(max(0, min(last, moment) - first) for first, last in stretches)


def moved(moment: Moment, before: tuple[Stretch, ...], now: tuple[Stretch, ...]) -> int:
    """The moment, once more is known of when the saga stood still: as much time goes by before it. It never becomes an earlier one."""
    found = elapsed(moment, before)
    for first, last in now:
        if found <= first:
            break  # it had come when that pause began
        found += last - first
    return max(moment, found)
