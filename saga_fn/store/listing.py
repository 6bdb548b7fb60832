"""A page of a list, as a store is asked for it, and how its rows are sorted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from saga_fn.core.ids import Moment, StepId, owner_of
from saga_fn.core.listing import Wanted, Way, has_value, is_on_the_way, statuses_of
from saga_fn.errors import StoreError
from saga_fn.snapshot import SagaRow
from saga_fn.store.records import moment_of, time_of

MOST_FOUND: Final = 5000
"""No list goes through more names and versions, in all shards together, than this."""
MOST_WALKED: Final = 10_000
"""No page looks at more sagas with a value of a search attribute than this, however few of them the rest of a filter leaves."""
LEAST_ID: Final = UUID(int=0)
_FIRST: Final = datetime.min.replace(tzinfo=UTC)
_LAST: Final = datetime.max.replace(tzinfo=UTC)
_BY_END: Final = (Way.ENDED, Way.FAILED)
"""These are sorted by the end."""


class Place(NamedTuple):
    """Where a page ended: the moment that its last row is sorted by, and that row's id."""

    at: datetime
    id: UUID


class Listing(msgspec.Struct, frozen=True):
    """One page of a list."""

    wanted: Wanted
    way: Way
    """The way that `way_of` says."""
    after: Place | None
    """Where the page before ended; None for the first."""
    most: int
    """How many rows the page may have."""

    def span(self, now: Moment) -> tuple[Place, datetime]:
        """Where the page begins, that place left out, and the moment at which the list ends."""
        wanted = self.wanted
        if self.way in _BY_END:
            first, before = wanted.ended_from, wanted.ended_before
        else:
            first, before = wanted.created_from, wanted.created_before
        if self.way not in _BY_END and wanted.older_than is not None:
            old = Moment(now - wanted.older_than + 1)
            before = old if before is None else min(before, old)
        lower = _FIRST if first is None else time_of(first)
        upper = _LAST if before is None else time_of(before)
        if wanted.oldest_first:
            return self.after or Place(lower, LEAST_ID), upper
        begin = Place(upper, LEAST_ID)
        return begin if self.after is None else min(begin, self.after), lower

    def place_of(self, row: SagaRow) -> Place:
        """The place of a row in the list."""
        return Place(row.ended_at or row.created_at if self.way in _BY_END else row.created_at, row.id)

    def has(self, row: SagaRow, now: Moment, value: str | None = None) -> bool:
        """Whether the row belongs to the page, or to one after it. `value` is that of the attribute that is asked for."""
        (place, bound), at = self.span(now), self.place_of(row)
        inside = place < at and at.at < bound if self.wanted.oldest_first else at < place and at.at >= bound
        return inside and has_value(self.wanted, value) and fits(self.wanted, self.way, row)


def fits(wanted: Wanted, way: Way, row: SagaRow) -> bool:
    """Whether a saga is one that is asked for, the time by which the list is sorted apart."""
    asked = (
        (wanted.name, row.saga_name),
        (wanted.version, row.version),
        (wanted.aggregation_id, row.aggregation_id),
        (wanted.parked, row.parked),
        (wanted.error, row.last_error),
        (wanted.acknowledged, row.acknowledged),
    )
    return (
        all(said is None or said == found for said, found in asked)
        and (wanted.step is None or _is_at(row, wanted.step))
        and row.status in statuses_of(wanted)
        and wanted.waits & ~row.waits == 0
        and is_on_the_way(way, row.waits)
        and (wanted.ended_from is None or (row.ended_at is not None and moment_of(row.ended_at) >= wanted.ended_from))
        and (
            wanted.ended_before is None or (row.ended_at is not None and moment_of(row.ended_at) < wanted.ended_before)
        )
    )


def _is_at(row: SagaRow, step: str) -> bool:
    """Whether that step is parked or failed, or an item of it."""
    at = row.problem_step
    return at is not None and step in (at, owner_of(StepId(at)))


def too_many_values(*, in_range: bool) -> StoreError:
    """The error for a list that would look at too many sagas with a value."""
    if in_range:
        return StoreError(
            f"more than {MOST_WALKED:,} sagas have a value in that range",
            hint="ask for a smaller range, or for one value",
        )
    return StoreError(
        f"the filter leaves none or few of more than {MOST_WALKED:,} sagas with that value",
        hint="name an earlier or later time with created_before= and created_from=, or leave the rest of the filter out",
    )


def too_many_definitions() -> StoreError:
    """The error for a list that would go through too many names and versions."""
    return StoreError(
        f"there are sagas of more than {MOST_FOUND:,} names and versions",
        hint="name one: SagaFilter(saga_name=...)",
    )
