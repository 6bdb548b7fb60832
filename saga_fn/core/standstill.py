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


def after(moment: Moment, stretches: tuple[Stretch, ...]) -> tuple[Stretch, ...]:
    """The time in them that is after the moment."""
    if not stretches or moment <= stretches[0][0]:
        return stretches
    return tuple((max(first, moment), last) for first, last in stretches if last > moment)


def elapsed(moment: Moment, stretches: tuple[Stretch, ...]) -> int:
    """The time up to a moment, but for that in which the saga stood still."""
    return moment - sum(max(0, min(last, moment) - first) for first, last in stretches)


def comes_at(time: int, stretches: tuple[Stretch, ...]) -> int:
    """The moment by which so much time has gone by, but for that in which the saga stood still."""
    for first, last in stretches:
        if time <= first:
            break  # it had come when that pause began
        time += last - first
    return time


def moved(moment: Moment, set_at: Moment, before: tuple[Stretch, ...], now: tuple[Stretch, ...]) -> int:
    """The moment, once more is known of when the saga stood still: as much time goes by from `set_at` to it.

    It never becomes an earlier one.
    """
    return max(moment, comes_at(elapsed(moment, after(set_at, before)), after(set_at, now)))


def counted(began: Moment, before: tuple[Stretch, ...], now: tuple[Stretch, ...]) -> int:
    """When a count began, once more is known of when the saga stood still. So much later as it stood still after that.

    A count that has begun later by all that was known before has begun earlier in truth.
    """
    truly = Moment(comes_at(began - length(before), before))
    return began + length(after(truly, now)) - length(after(truly, before))
