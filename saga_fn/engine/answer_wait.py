"""A caller waits for the answer to a verb, which the owner of a saga gives."""

from __future__ import annotations

from typing import final
from uuid import UUID

from saga_fn import steady


@final
class AnswerWait:
    """One call's wait. Two calls may wait for the answer to one message: each has a wait of its own."""

    __slots__ = ("_until", "failure", "patience", "saga_id")

    def __init__(self, saga_id: UUID, patience: float) -> None:
        """`patience` is how many seconds it takes at most."""
        self.saga_id: UUID = saga_id
        self.patience: float = patience
        self._until: float = steady.now() + patience
        self.failure: BaseException | None = None
        """The reason why nothing answers any more. The call raises it."""

    def goes_on(self) -> bool:
        """Whether it is not too late yet; raises the failure, if there is one."""
        if self.failure is not None:
            raise self.failure
        return not self.is_over

    @property
    def is_over(self) -> bool:
        """Whether it has taken as long as it may."""
        return steady.now() >= self._until

    def give_up(self) -> None:
        """Let it be over, for a clock that is not this process's own: one of a test."""
        self._until = steady.now()
