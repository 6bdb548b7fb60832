"""Lists and numbers of sagas."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from saga_fn.core.ids import Moment
from saga_fn.snapshot import SagaRow
from saga_fn.store.listing import Listing
from saga_fn.store.records import Counted


class Lists(Protocol):
    """Lists of sagas; see `Store`.

    The methods share these parameters.

    Args:
        asked: The page: the filter, the way to its sagas, where it begins, and how many rows it may have.
        saga_ids: The ids of sagas.
        name: The name of sagas; None stands for every name.
        key: The name of a search attribute.
        span: Two texts of values.
        overdue: How long a saga may be due, as a timedelta.
        seen_within: How long ago a process may have been seen last, as a timedelta.
        ends_since: The moment from which on ends are counted, in microseconds since 1970; None counts none.
    """

    async def page(self, asked: Listing) -> list[SagaRow]:
        """The rows of one page, in order: `asked.has` them, and `asked.place_of` sorts them; takes no lock."""
        ...

    async def attributes(self, saga_ids: Sequence[UUID]) -> dict[UUID, dict[str, str]]:
        """The search attributes of these sagas: the text of each value by its name, in the order of names; takes no lock."""
        ...

    async def knows_values(self, name: str | None, key: str, span: tuple[str, str]) -> bool:
        """Whether a saga has a value of that attribute from the first of these texts on and before the second; takes no lock."""
        ...

    async def stats(self, *, overdue: timedelta, seen_within: timedelta, ends_since: Moment | None) -> list[Counted]:
        """Numbers about all sagas, by name and version; takes no lock.

        Counts stop at `MOST_IN_STATS` for each state, those of ends at `MOST_ENDS`.
        """
        ...
