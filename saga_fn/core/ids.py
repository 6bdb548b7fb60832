"""Names for the values that the core tells apart but never looks into."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NewType

StepId = NewType("StepId", str)
"""A step's name within its plan. Steps are addressed by it, never by position."""

Moment = NewType("Moment", int)
"""A point in database time: microseconds since 1970-01-01 UTC. The core only compares and adds."""

Micros = NewType("Micros", int)
"""A length of time, in whole microseconds."""

LONG_AGO: Final = Moment(0)
"""Since when something has been of which nothing says since when."""

AT_ONCE: Final = Micros(0)
"""No time."""

Digest = NewType("Digest", bytes)
"""Fingerprint of a step's encoded input: a repeat must come with the same one."""

PlanId = NewType("PlanId", str)
"""Fingerprint of a plan: equal plans have equal ids, in every process."""

_ITEM: Final = re.compile(r"(.*)\[(0|[1-9][0-9]{0,2})\]", re.DOTALL)
_REMEMBERED: Final = 2048
"""Ids that are known to be an item's or not: each event of a saga asks of each of its items."""


def item_of(step: StepId, number: int) -> StepId:
    """The id of one item.

    >>> item_of(StepId("charge"), 3)
    'charge[3]'
    """
    return StepId(f"{step}[{number}]")


@lru_cache(maxsize=_REMEMBERED)
def number_of(item: StepId) -> int | None:
    """The number of an item; None for what is no item's id.

    >>> number_of(StepId("charge[3]"))
    3
    """
    found = _ITEM.fullmatch(item)
    return None if found is None else int(found[2])


@lru_cache(maxsize=_REMEMBERED)
def owner_of(step: StepId) -> StepId:
    """The step whose item has that id; the id itself if it is no item's.

    >>> owner_of(StepId("charge[3]"))
    'charge'
    """
    found = _ITEM.fullmatch(step)
    return step if found is None else StepId(found[1])
