"""The guard itself."""

from __future__ import annotations

import enum
from typing import Final, final

from saga_fn.errors import SagaDefinitionError, SagaStateError
from saga_fn.guard._queries import TABLE, Queries
from saga_fn.store.connection import Connection
from saga_fn.store.schema_name import with_schema

_LONGEST: Final = 512


class Doing(enum.Enum):
    """What is to become of a request to do something."""

    FIRST = "first"
    """Do it: it has neither been done nor undone before."""
    AGAIN = "again"
    """It has been done: answer as you did then."""
    LATE = "late"
    """It has been undone, or was to be before it came: do not do it any more."""


class Undoing(enum.Enum):
    """What is to become of a request to undo something."""

    NEEDED = "needed"
    """Undo it: it has been done."""
    NOTHING = "nothing"
    """It has never been done, and will be refused from now on."""
    AGAIN = "again"
    """It has been undone already."""


@final
class Guard:
    """The guard of one service. `schema` is where its table is, in the service's own database.

    Raises SagaDefinitionError for what cannot be the name of a schema.
    """

    def __init__(self, schema: str = "public") -> None:
        try:
            self._queries = Queries(schema)
            self._table = with_schema(TABLE, schema)
        except ValueError as error:
            fact, _, hint = str(error).partition("\nHINT: ")
            raise SagaDefinitionError(fact, hint=hint or None) from error

    async def create(self, connection: Connection) -> None:
        """Make the table if it is not there; its schema has to be."""
        await connection.execute(self._table)

    async def done(self, connection: Connection, operation: str) -> Doing:
        """Say that the operation is done with this transaction. What is at it elsewhere is waited for.

        Raises SagaStateError outside of a transaction: the mark and what it stands for have to be written together.
        """
        _check(connection, operation)
        row = await self._queries.guard_done(connection, operation=operation)
        if row.undone_at is not None:
            return Doing.LATE
        return Doing.AGAIN if row.repeats else Doing.FIRST

    async def undone(self, connection: Connection, operation: str) -> Undoing:
        """Say that the operation is undone with this transaction, whether it has been done or not. Raises as `done` does."""
        _check(connection, operation)
        row = await self._queries.guard_undone(connection, operation=operation)
        if row.done_at is None:
            return Undoing.NOTHING
        return Undoing.AGAIN if row.undos > 1 else Undoing.NEEDED


def _check(connection: Connection, operation: object) -> None:
    if not isinstance(operation, str) or not 0 < len(operation) <= _LONGEST or "\x00" in operation:
        raise SagaDefinitionError(
            f"an operation is a text of 1 to {_LONGEST} characters, not {operation!r:.80}",
            hint="send StepContext.operation along with the request",
        )
    within = getattr(connection, "is_in_transaction", None)
    if callable(within) and not within():
        raise SagaStateError(
            "the guard was called outside of a transaction",
            hint="call it in the one that books what it is about: async with connection.transaction(): ...",
        )
