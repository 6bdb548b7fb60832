"""A set that remembers what was added to it last."""

from __future__ import annotations

from typing import Final, final
from uuid import UUID

_MOST: Final = 1000


@final
class Recent:
    """The last thousand ids that were added; a service that runs for a year keeps no more."""

    __slots__ = ("_ids",)

    def __init__(self) -> None:
        self._ids: dict[UUID, None] = {}

    def add(self, id: UUID) -> None:
        """Remember it, and forget the one that was added first if there are too many."""
        self._ids[id] = None
        if len(self._ids) > _MOST:
            del self._ids[next(iter(self._ids))]

    def __contains__(self, id: UUID) -> bool:
        """Whether it is one of them."""
        return id in self._ids
