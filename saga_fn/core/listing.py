"""Which index serves a list of sagas: decided here, so that no filter is ever answered by a scan of the table.

Each way is a statement of its own. It reads ranges of one index in the order of its key, and no more rows than it gives. Where a
filter says more than the key of the index, the rows that it throws away are few by their kind: those of one business key, those
that are parked, or those that FAILED. Those with one value of an attribute may be many: a page looks at a bounded number of them.
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from saga_fn.core.ids import Moment
from saga_fn.core.projection import SagaStatus, WaitReason


class Way(enum.Enum):
    """How the sagas of a list are found, and by which moment they are sorted."""

    KEY = enum.auto()
    """By their business key, by the start."""
    PARKED = enum.auto()
    """Those that wait for a person, by the start: parked, or paused."""
    LIVE = enum.auto()
    """Those that have not ended, by status and reason, by the start."""
    ENDED = enum.auto()
    """Those that have ended, by status, by the end."""
    FAILED = enum.auto()
    """Those that FAILED, and that a person has looked at, or has not, by the end."""
    CREATED = enum.auto()
    """All, by the start."""
    ATTRIBUTE = enum.auto()
    """Those with a value of a search attribute, by the start."""
    RANGE = enum.auto()
    """Those with a value in a range, by the start: there may be no more of them than can be sorted."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """The sagas that are asked for. None, or no reason, stands for any."""

    name: str | None = None
    version: int | None = None
    status: SagaStatus | None = None
    active: bool | None = None
    waits: WaitReason = WaitReason.NOTHING
    aggregation_id: str | None = None
    created_from: Moment | None = None
    created_before: Moment | None = None
    ended_from: Moment | None = None
    ended_before: Moment | None = None
    older_than: int | None = None
    """Microseconds since the start, at least."""
    parked: str | None = None
    step: str | None = None
    error: str | None = None
    acknowledged: bool | None = None
    oldest_first: bool = False
    attribute: str | None = None
    """The name of a search attribute."""
    value: str = ""
    """The text of its value, or the first of a range."""
    value_before: str | None = None
    """The text that the range ends before; None for one value."""

    @property
    def by_start(self) -> bool:
        """Whether it says when the sagas began."""
        return (self.created_from, self.created_before, self.older_than) != (None, None, None)

    @property
    def by_end(self) -> bool:
        """Whether it says when the sagas ended."""
        return (self.ended_from, self.ended_before) != (None, None)


class NotServed(msgspec.Struct, frozen=True):
    """Why no index serves a filter, and what to ask instead."""

    fact: str
    mend: str


_LIVE: Final = tuple(status for status in SagaStatus if not status.is_terminal)
_ENDED: Final = tuple(status for status in SagaStatus if status.is_terminal)
_FOR_A_PERSON: Final = WaitReason.PARKED | WaitReason.PLAN | WaitReason.PAUSED

_BOTH: Final = NotServed(
    "no saga has ended and waits, or runs, at the same time",
    "leave out what belongs to the other: status=, active=, waits=, parked=, ended_from= or ended_before=",
)
_NOT_SUSPENDED: Final = NotServed(
    "only a SUSPENDED saga waits", "leave the status out, or say status=SagaStatus.SUSPENDED"
)
_WHOSE_PROBLEM: Final = NotServed(
    "parked, step and error are looked for among the parked or the FAILED sagas only",
    "add waits=WaitReason.PARKED, or status=SagaStatus.FAILED, or the business key",
)
_ONLY_FAILED: Final = NotServed(
    "only a FAILED saga is acknowledged, or is not",
    "say status=SagaStatus.FAILED beside it, or leave acknowledged= out",
)
_TWO_TIMES: Final = NotServed(
    "sagas that have ended are found by the time of their end, not of their start",
    "say ended_from= and ended_before= in the place of created_from=, created_before= and older_than=",
)
_NEWEST_ONLY: Final = NotServed(
    "sagas that have ended, those of a business key and those with an attribute are listed with the newest first",
    "leave oldest_first out; ended_before= and created_before= name where to begin",
)
_KEY_AND_ATTRIBUTE: Final = NotServed(
    "a business key and a search attribute stand in two indexes",
    "leave the attribute out: few sagas have the same business key",
)


def way_of(wanted: Wanted) -> Way | NotServed:
    """The way to the sagas that are asked for, or why there is none.

    >>> way_of(Wanted(status=SagaStatus.FAILED, step="charge")), way_of(Wanted(waits=WaitReason.PARKED))
    (<Way.ENDED: 4>, <Way.PARKED: 2>)
    """
    failed = wanted.status is SagaStatus.FAILED
    asks_parked = bool(wanted.waits & _FOR_A_PERSON) or (wanted.parked is not None and not failed)
    asks_ended = wanted.status in _ENDED or wanted.by_end or wanted.active is False
    waits = asks_parked or wanted.waits is not WaitReason.NOTHING
    asks_live = waits or wanted.status in _LIVE or wanted.active is True
    if asks_ended and asks_live:
        return _BOTH
    if waits and wanted.status not in (None, SagaStatus.SUSPENDED):
        return _NOT_SUSPENDED
    if wanted.acknowledged is not None and not failed:
        return _ONLY_FAILED
    if wanted.attribute is not None:
        return _by_attribute(wanted)
    if wanted.aggregation_id is not None:
        return _NEWEST_ONLY if wanted.oldest_first else Way.KEY
    if asks_parked:
        return Way.PARKED
    if not failed and (wanted.step, wanted.error) != (None, None):
        return _WHOSE_PROBLEM
    if not asks_ended:
        return Way.LIVE if asks_live else Way.CREATED
    if wanted.by_start:
        return _TWO_TIMES
    if wanted.oldest_first:
        return _NEWEST_ONLY
    return Way.ENDED if wanted.acknowledged is None else Way.FAILED


def _by_attribute(wanted: Wanted) -> Way | NotServed:
    if wanted.aggregation_id is not None:
        return _KEY_AND_ATTRIBUTE
    if wanted.oldest_first:
        return _NEWEST_ONLY
    return Way.ATTRIBUTE if wanted.value_before is None else Way.RANGE


def has_value(wanted: Wanted, value: str | None) -> bool:
    """Whether a saga with that value of the attribute is asked for. None: it has none.

    >>> has_value(Wanted(attribute="region", value="seu"), "seu"), has_value(Wanted(attribute="region", value="seu"), None)
    (True, False)
    """
    if wanted.attribute is None:
        return True
    if value is None:
        return False
    return value == wanted.value if wanted.value_before is None else wanted.value <= value < wanted.value_before


def statuses_of(wanted: Wanted) -> tuple[SagaStatus, ...]:
    """The statuses that the sagas asked for may have."""
    if wanted.status is not None:
        return (wanted.status,)
    if wanted.waits:
        return (SagaStatus.SUSPENDED,)
    if wanted.active is not None:
        return _LIVE if wanted.active else _ENDED
    return _ENDED if wanted.by_end else tuple(SagaStatus)


def live_kinds(wanted: Wanted) -> tuple[tuple[SagaStatus, WaitReason], ...]:
    """Each status with each set of reasons that the sagas asked for may have, if they have not ended."""
    return tuple(
        (status, waits)
        for status in statuses_of(wanted)
        for waits in (reasons_of(wanted.waits) if status is SagaStatus.SUSPENDED else (WaitReason.NOTHING,))
    )


def is_on_the_way(way: Way, waits: WaitReason) -> bool:
    """Whether a saga with these reasons stands in the index of that way, the other facts apart."""
    return way is not Way.PARKED or bool(waits & _FOR_A_PERSON)


def reasons_of(waits: WaitReason) -> tuple[WaitReason, ...]:
    """The reasons that a SUSPENDED saga may have together, with all of those asked for among them.

    >>> [int(each) for each in reasons_of(WaitReason.PLAN)]
    [48, 49, 50, 51, 52, 53, 54, 55]
    """
    every = (WaitReason(number) for number in range(1, 2 * WaitReason.PAUSED) if not number & ~_ALL)
    return tuple(each for each in every if waits & ~each == 0 and _may_stand_together(each))


def _may_stand_together(waits: WaitReason) -> bool:
    if WaitReason.PAUSED in waits:
        return waits & ~(WaitReason.PAUSED | WaitReason.PARKED) == 0
    return WaitReason.PLAN not in waits or WaitReason.PARKED in waits


_ALL: Final = sum(WaitReason)
