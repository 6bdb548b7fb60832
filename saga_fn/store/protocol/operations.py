"""Bulk operations and pauses, in a store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from saga_fn.core.acts import Trace
from saga_fn.snapshot import OperationState
from saga_fn.store.records import OperationRecord, PauseRecord, Progress


class Operations(Protocol):
    """Acts of operators; see `Store`.

    The methods share these parameters.

    Args:
        operation: The operation; its times and its token are the store's to say.
        operation_id: Its id.
        before: The moment and the id of the operation that the page before ended with.
        most: The greatest number of operations.
        names: The names of the definitions that this process has.
        token: The token of the claim.
        lease: How long a claim lasts, as a timedelta.
        progress: How far the operation has come.
        is_done: Whether it is over.
        kept: How long acts are kept, as a timedelta.
        after: The moment and the id of the act that the page before ended with.
        older: How long ago an act began at least, as a timedelta.
        saga_id: The saga of an act.
        act_id: The id of an act, of its message, or of its write.
    """

    async def record(self, act: OperationRecord) -> None:
        """Record an act that its caller carries out, and no other process, unless there is one of its id."""
        ...

    async def insert(self, operation: OperationRecord) -> OperationRecord:
        """Record an operation, unless there is one of its id; gives the one that is there."""
        ...

    async def read(self, operation_id: UUID) -> OperationRecord | None:
        """The operation; None if there is none."""
        ...

    async def page(self, *, before: tuple[datetime, UUID] | None, most: int) -> list[OperationRecord]:
        """The operations before that one, the newest first."""
        ...

    async def claim(self, names: Sequence[str], *, lease: timedelta) -> OperationRecord | None:
        """Take an operation that runs, and that no process carries out; None if there is none."""
        ...

    async def take(self, operation_id: UUID, *, seen: OperationState, lease: timedelta) -> OperationRecord | None:
        """Take this operation; None if another process carries it out, or it is not in the state that the caller has seen.

        So a stop stands that came after a caller has seen the operation running.
        """
        ...

    async def advance(
        self, operation_id: UUID, token: UUID, progress: Progress, *, lease: timedelta, is_done: bool
    ) -> OperationState | None:
        """Write how far it has come; gives its state, or None if the token is another one by now."""
        ...

    async def stop(self, operation_id: UUID) -> bool:
        """Stop it; False if it does not run."""
        ...

    async def close(self, operation_id: UUID, progress: Progress) -> None:
        """Write the outcome of an act that was recorded as over before it was done."""
        ...

    async def unfinished(
        self, *, after: tuple[datetime, UUID] | None, older: timedelta, most: int
    ) -> list[OperationRecord]:
        """The acts after that one that began longer ago, and whose outcome no process has written; the oldest first."""
        ...

    async def trace(self, saga_id: UUID, act_id: UUID) -> Trace:
        """The traces that the act has left in the saga."""
        ...

    async def drop(self, *, kept: timedelta) -> int:
        """Delete `OPERATIONS_AT_ONCE` acts that are over and began longer ago, the oldest first; gives how many."""
        ...


class Pauses(Protocol):
    """The pauses: claims of a name that is paused find nothing, and `Store.due_shards` does not tell of it. One statement each.

    The methods share these parameters.

    Args:
        name: The name of the sagas; the empty text is everything.
        actor: Who pauses them, or None.
        reason: Why, or None.
    """

    async def read(self) -> list[PauseRecord]:
        """All that is paused, the oldest pause first; takes no lock."""
        ...

    async def add(self, name: str, *, actor: str | None, reason: str | None) -> bool:
        """Pause a name; False, and the pause that there is stays, if it is paused already."""
        ...

    async def remove(self, name: str, *, since: datetime | None = None) -> bool:
        """End the pause of a name, or only the one that began then; False if there is none."""
        ...

    async def open_writers(self) -> frozenset[str]:
        """The transactions that may have started a saga and are open, by names that no other ones ever have.

        A saga that is on its way at this moment is seen by every statement that begins when all of these are over.
        """
        ...
