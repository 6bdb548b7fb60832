"""The processes that work on sagas, in a store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from saga_fn.stats import WorkingProcess
from saga_fn.store.records import Definition, Noticed, Process, SeenProcess, UnfitSaga


class Processes(Protocol):
    """Which process works on which definitions, and the sagas that none works on; see `Store`.

    The methods share these parameters.

    Args:
        process: The process, with the definitions that it works on.
        process_id: The id of a process.
        seen_within: How long ago a process may have been seen last, as a timedelta.
        left_behind: The same, for names of which a process works on other versions. Default: None, which is `seen_within`.
        definitions: The names and versions of definitions.
        shard: The shard of the sagas, a number from 0.
        saga_ids: The ids of sagas.
        after: The saga's id to go on after.
        most: The greatest number of processes.
    """

    async def note(self, process: Process) -> None:
        """Say that the process is there, and what it works on."""
        ...

    async def forget(self, process_id: UUID) -> None:
        """Forget the process."""
        ...

    async def forget_silent(self) -> int:
        """Forget `FORGOTTEN_AT_ONCE` of those that have said nothing for `SILENT`; gives how many there were."""
        ...

    async def find(self, process_id: UUID) -> SeenProcess | None:
        """Where the process runs, and when it was last seen; None if it is not known; takes no lock."""
        ...

    async def others(self, process_id: UUID, *, seen_within: timedelta) -> frozenset[Definition]:
        """The definitions that other processes work on that were seen within that time; takes no lock.

        It counts the `MOST_PROCESSES` that were seen last, and of each at most `MOST_DEFINITIONS`.
        """
        ...

    async def seen(self, *, seen_within: timedelta, most: int) -> list[WorkingProcess]:
        """The processes that were seen within that time, the last seen first; no more than `most`; takes no lock."""
        ...

    async def notices(self, *, seen_within: timedelta, left_behind: timedelta | None = None) -> list[Noticed]:
        """The findings for a person, a line for each kind, name and version; takes no lock.

        A saga is unowned if it has been due for longer than `seen_within`, and no process seen within that time works on its
        name and version. `left_behind` (default: `seen_within`) takes its place where one works on other versions of the name.
        """
        ...

    async def unfit(self, definitions: Sequence[tuple[str, int]], *, after: UUID) -> list[UnfitSaga]:
        """Sagas of these that were parked because a plan did not fit them, by their ids, from the next one after `after` on.

        At most `MOST_UNFIT` of them; takes no lock.
        """
        ...

    async def wake(self, shard: int, saga_ids: Sequence[UUID]) -> None:
        """Make those of these sagas due now that are still parked because a plan did not fit them."""
        ...
