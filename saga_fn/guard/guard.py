"""The guard itself."""

from __future__ import annotations

import enum
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, final

import asyncpg

from saga_fn.errors import SagaDefinitionError, SagaStateError, StoreRefusedError, StoreUnavailableError, shown
from saga_fn.guard._queries import TABLE, Queries
from saga_fn.printable import a_type_of
from saga_fn.store.connection import Connection
from saga_fn.store.driver_errors import DRIVER_ERRORS, told_of_given
from saga_fn.store.schema_name import with_schema

_LONGEST: Final = 512
_MANY: Final = 2**31


class Doing(enum.Enum):
    """The answer to a request to do something."""

    FIRST = "first"
    """Do it: it has neither been done nor undone before."""
    AGAIN = "again"
    """It has been done: answer as you did then."""
    INSTEAD = "instead"
    """It has been done with another input, which no longer holds: undo that, and do this in its place."""
    LATE = "late"
    """It has been undone, or its undoing came first, or a later input has come: do not do it any more."""


class Undoing(enum.Enum):
    """The answer to a request to undo something."""

    NEEDED = "needed"
    """Undo it: it has been done."""
    NOTHING = "nothing"
    """It has never been done, and will be refused from now on."""
    AGAIN = "again"
    """It has been undone already."""


@final
class Guard:
    """The guard of one service.

    Args:
        schema: The schema of its table, in the service's own database. Default: "public".

    Raises:
        SagaDefinitionError: The name cannot be a schema's.

    Example::

        match await guard.done(connection, operation):
            case Doing.FIRST:
                ...  # book it
    """

    def __init__(self, schema: str = "public") -> None:
        try:
            self._queries = Queries(schema)
            self._table = with_schema(TABLE, schema)
        except ValueError as error:
            fact, _, hint = str(error).partition("\nHINT: ")
            raise SagaDefinitionError(fact, hint=hint or None) from error

    async def create(self, connection: Connection) -> None:
        """Make the table if it is not there; its schema has to be.

        Args:
            connection: An asyncpg connection.

        Raises:
            StoreRefusedError: PostgreSQL refuses it.
            StoreUnavailableError: PostgreSQL cannot do it now.
            SagaDefinitionError: `connection` is none.
            StoreError: The driver refuses the connection.
        """
        _check_connection(connection)
        with _told_apart():
            await connection.execute(self._table)

    async def done(self, connection: Connection, operation: str, generation: int = 0) -> Doing:
        """Mark the operation as done with this transaction. It waits for other transactions on the same operation.

        The driver's own exception is the `__cause__` of an error.

        Args:
            connection: The asyncpg connection whose transaction does the work.
            operation: `StepContext.operation`, 1 to 512 characters.
            generation: `StepContext.generation`, a number of 0 or more, for steps that may be given another input before they were
                answered. Default: 0.

        Returns:
            Whether to do the work.

        Raises:
            SagaStateError: The connection is outside of a transaction. The mark and the work that it stands for have to be written
                together.
            SagaDefinitionError: An argument is not what it has to be.
            StoreRefusedError: The table or a right is missing.
            StoreUnavailableError: PostgreSQL gives the statement up, as for a deadlock. The transaction is aborted then, and safe to
                repeat.
            StoreError: The driver refuses the connection.
        """
        _check(connection, operation, generation)
        with _told_apart():
            row = await self._queries.guard_done(connection, operation=operation, generation=generation)
        if row.undone_at is not None or row.generation > generation:
            return Doing.LATE
        if row.repeats:
            return Doing.AGAIN
        return Doing.INSTEAD if row.replaced else Doing.FIRST

    async def undone(self, connection: Connection, operation: str) -> Undoing:
        """Mark the operation as undone with this transaction, with any input it was done with, or without having been done.

        Args:
            connection: The asyncpg connection whose transaction undoes the work.
            operation: `StepContext.operation`, 1 to 512 characters.

        Returns:
            Whether there is work to undo.

        Raises:
            SagaStateError: The connection is outside of a transaction. The mark and the work that it stands for have to be written
                together.
            SagaDefinitionError: An argument is not what it has to be.
            StoreRefusedError: The table or a right is missing.
            StoreUnavailableError: PostgreSQL gives the statement up, as for a deadlock. The transaction is aborted then, and safe to
                repeat.
            StoreError: The driver refuses the connection.
        """
        _check(connection, operation, 0)
        with _told_apart():
            row = await self._queries.guard_undone(connection, operation=operation)
        if row.done_at is None:
            return Undoing.NOTHING
        return Undoing.AGAIN if row.undos > 1 else Undoing.NEEDED


@contextmanager
def _told_apart() -> Generator[None]:
    """Turn the driver's errors on the service's own connection into errors of this library."""
    try:
        yield
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.InvalidSchemaNameError) as error:
        raise StoreRefusedError(
            f"the guard's table is not where it is looked for: {type(error).__name__} ({error.sqlstate})",
            hint="await guard.create(connection) makes it, in a schema that is there; Guard(schema) says where it is",
        ) from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise StoreRefusedError(
            f"PostgreSQL denies this role the guard's table: {type(error).__name__} ({error.sqlstate})",
            hint="GRANT SELECT, INSERT, UPDATE ON saga_guard, and USAGE on its schema; create() needs CREATE there",
        ) from error
    except (
        asyncpg.SerializationError,
        asyncpg.DeadlockDetectedError,
        asyncpg.LockNotAvailableError,
        asyncpg.QueryCanceledError,
    ) as error:
        raise StoreUnavailableError(
            f"PostgreSQL gave the guard's statement up: {type(error).__name__} ({error.sqlstate})",
            hint="roll the transaction back, and do all of it again: nothing of it has happened",
        ) from error
    except DRIVER_ERRORS as error:
        raise told_of_given(error) from error


def _can_be_stored(text: str) -> bool:
    return "\x00" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def _check_connection(connection: object) -> None:
    if not callable(getattr(connection, "fetchrow", None)) or not callable(getattr(connection, "execute", None)):
        raise SagaDefinitionError(
            f"a connection is wanted, not {a_type_of(connection)}",
            hint="pass the asyncpg connection whose transaction books what it is about",
        )


def _check(connection: Connection, operation: object, generation: object) -> None:
    _check_connection(connection)
    if not isinstance(operation, str) or not 0 < len(operation) <= _LONGEST or not _can_be_stored(operation):
        raise SagaDefinitionError(
            f"an operation is a text of 1 to {_LONGEST} characters, not {shown(operation)}",
            hint="send StepContext.operation along with the request",
        )
    if not isinstance(generation, int) or isinstance(generation, bool) or not 0 <= generation < _MANY:
        raise SagaDefinitionError(
            f"a generation is a whole number from 0 on, not {shown(generation)}",
            hint="send StepContext.generation along with the request",
        )
    within = getattr(connection, "is_in_transaction", None)
    if callable(within) and not within():
        raise SagaStateError(
            "the guard was called outside of a transaction",
            hint="call it in the one that books what it is about: async with connection.transaction(): ...",
        )
