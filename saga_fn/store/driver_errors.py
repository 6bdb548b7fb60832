"""The driver's exceptions, told apart by what helps; the only place that knows them."""

from __future__ import annotations

import asyncpg

from saga_fn.errors import StoreError, StoreUnavailableError
from saga_fn.store.faults import RowLockedError, RowRefusedError, StoreBusyError

_REFUSED = ("22", "23", "54")
DRIVER_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what the driver makes of a connection that is ended at the wrong moment
    OSError,
    TimeoutError,
    ValueError,
    OverflowError,
)
_BUSY = ("40001", "40P01", "57014")


def told_apart(error: Exception) -> StoreError:
    """The store's error for a driver's. Parameters are not in its text."""
    if isinstance(error, asyncpg.DataError | ValueError | OverflowError) and not isinstance(
        error, asyncpg.PostgresError
    ):
        return RowRefusedError(f"a value cannot be sent to PostgreSQL: {type(error).__name__}")
    if isinstance(error, asyncpg.PostgresError):
        state: str = error.sqlstate or ""
        if state[:2] in _REFUSED:
            refused = RowRefusedError(f"PostgreSQL refused the row: {type(error).__name__} ({state})")
            refused.constraint = error.constraint_name
            return refused
        if state == "55P03":
            return RowLockedError("somebody else keeps a row locked")
        if state in _BUSY:
            return StoreBusyError(f"PostgreSQL gave the statement up: {type(error).__name__} ({state})")
        if state[:2] == "42":
            return StoreError(
                f"PostgreSQL does not know what this library asks for: {error}",
                hint="is the schema migrated? python -m saga_fn.store.migrate --dsn ... applies it",
            )
        return StoreUnavailableError(f"PostgreSQL cannot work now: {type(error).__name__} ({state})")
    return StoreUnavailableError(
        f"PostgreSQL does not answer: {type(error).__name__}", hint="check the DSN, and that the server is running"
    )
