"""Facts about commits, as this process sends them and the store answers; and what the log says of each."""

from __future__ import annotations

import logging
from typing import TypeAlias
from uuid import UUID

from typing_extensions import override

from saga_fn.engine.observe.fact import FactBase, Line
from saga_fn.errors import StoreError


class BatchCommitted(FactBase, frozen=True):
    """The store has answered a commit.

    Attributes:
        shard: The shard of the sagas.
        sagas: How many sagas were committed by one statement.
        seconds: How long that took, since it was sent first.
    """

    shard: int
    sagas: int
    seconds: float


class LateWriteRefused(FactBase, frozen=True):
    """A write was refused, because its saga is another process's by now, or is gone.

    Attributes:
        saga_id: The saga's id.
    """

    saga_id: UUID


class CommitsWait(FactBase, frozen=True):
    """The store does not answer: commits wait for it, and nothing new is taken on."""

    error: StoreError

    @override
    def _line(self) -> Line:
        text = "the store does not answer, commits wait for it: %s"
        return Line(logging.WARNING, text, (self.error.fact,))


class CommitsRefused(FactBase, frozen=True):
    """The store refuses all commits."""

    error: StoreError

    @override
    def _line(self) -> Line:
        text = "the store refuses commits, sagas stand still: %s (%s)"
        return Line(logging.ERROR, text, (self.error.fact, self.error.hint))


class CommitsRecovered(FactBase, frozen=True):
    """The store takes commits again."""


CommitFact: TypeAlias = BatchCommitted | LateWriteRefused | CommitsWait | CommitsRefused | CommitsRecovered
