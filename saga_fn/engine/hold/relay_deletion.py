"""The messages of one lane that are published: their rows are deleted together, a moment later.

No message waits for that, and neither does its saga. If the process dies meanwhile, they are published once more, under the same
ids.
"""

from __future__ import annotations

import asyncio
from typing import Final, final
from uuid import UUID

from saga_fn.engine.hold.lane import Line
from saga_fn.store.records import Place

LINGER: Final = 0.02
"""Seconds that a published message waits for others, so that one statement deletes them all."""
_ENOUGH: Final = 200
"""So many wait for no more."""
_MOST: Final = 1000
"""While so many wait, because the store does not answer, nothing more is published."""
_MOST_KEPT: Final = 5000
"""Sagas whose last deleted message is known."""


@final
class Deletions:
    """The messages that wait to be deleted."""

    def __init__(self) -> None:
        self._published: list[tuple[Line, Place]] = []
        self._no_longer = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        """The errand that deletes them, while there is one."""

    @property
    def waiting(self) -> bool:
        """Whether there is anything to delete, and no task that does."""
        return bool(self._published) and (self.task is None or self.task.done())

    @property
    def full(self) -> bool:
        """Whether so many wait that nothing more is to be published first."""
        return len(self._published) >= _MOST

    def add(self, line: Line, place: Place) -> None:
        """A message of the line is published."""
        self._published.append((line, place))
        if len(self._published) >= _ENOUGH:
            self.hurry()

    def hurry(self) -> None:
        """Wait for no others."""
        self._no_longer.set()

    async def together(self) -> list[tuple[Line, Place]]:
        """Those that are published by the end of the moment: they are the caller's to delete."""
        try:
            async with asyncio.timeout(LINGER):
                await self._no_longer.wait()
        except TimeoutError:
            pass
        self._no_longer.clear()
        published, self._published = self._published, []
        return published


@final
class LastDeleted:
    """Each saga's last message that was deleted, by its revision: a commit that was on its way by then may have met it yet."""

    def __init__(self) -> None:
        self._revisions: dict[UUID, int] = {}

    def add(self, line: Line) -> None:
        """All messages of the saga that this process knows of are published, and deleted."""
        self._revisions.pop(line.saga_id, None)
        self._revisions[line.saga_id] = line.last
        if len(self._revisions) > _MOST_KEPT:
            del self._revisions[next(iter(self._revisions))]

    def was(self, saga_id: UUID, revision: int) -> bool:
        """Whether it had this revision."""
        return self._revisions.get(saga_id) == revision

    def forget(self) -> None:
        """Begin with none."""
        self._revisions.clear()
