"""The transactions of transactional steps."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from saga_fn.store.connection import Connection
from saga_fn.store.records import Committed, SagaWrite


class OpenTransaction(Protocol):
    """The open transaction of a step, which is rolled back unless it is committed."""

    @property
    def connection(self) -> Connection:
        """Its connection."""
        ...

    @property
    def is_broken(self) -> bool:
        """Whether its connection is gone: nothing more can be done in it."""
        ...

    def is_outdated(self, error: BaseException) -> bool:
        """Whether a statement of the step failed with this error because the driver knew a table, type or statement as it was once.

        The next try goes well.
        """
        ...

    def was_cut(self, error: BaseException) -> bool:
        """Whether a statement of the step was cut short by this error, which leaves nothing of another system's open."""
        ...

    def leave(self) -> None:
        """Let the step, which has returned, and what it has left behind, use the connection no more."""
        ...

    async def has_ended(self) -> bool:
        """Whether the step has ended it, as far as that can be seen."""
        ...

    async def check(self) -> None:
        """Raise TransactionEndedError if the step has ended it, and StoreError if it cannot be written in."""
        ...

    async def write(self, write: SagaWrite) -> Committed:
        """Do as `Store.commit` in it, as its last statement. Raises the same, and StoreError if it is aborted already."""
        ...

    async def commit(self) -> None:
        """Commit it.

        Raises CommitRefusedError if that was refused, or what is sent with it: whether it is committed has to be looked up. Raises
        AnswerLostError if it may be committed, or not.
        """
        ...


class Transactions(Protocol):
    """The transactions of transactional steps; see `Store`.

    The methods share these parameters.

    Args:
        isolation: The isolation level: `read_committed`, `repeatable_read` or `serializable`.
        seconds: How long the step may take, in seconds; None stands for no limit.
        name: The id of the step, for people who look at the server's sessions.
    """

    def check_room(self) -> None:
        """Raise StoreRefusedError if there is no connection for them."""
        ...

    def open(self, *, isolation: str, seconds: float | None, name: str) -> AbstractAsyncContextManager[OpenTransaction]:
        """Open one, once there is a connection for it: a commit never waits for those. Raises StoreError if it cannot."""
        ...
