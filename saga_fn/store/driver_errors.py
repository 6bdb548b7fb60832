"""The driver's exceptions, told apart by what helps; the only place that knows them.

The codes are PostgreSQL's SQLSTATEs (Appendix A of its manual). The server's own sentence is kept: it names the table, the
role or the setting, and quotes no parameter. Its DETAIL may quote a row, and is left out.
"""

from __future__ import annotations

import re
from typing import Final

import asyncpg

from saga_fn.errors import StoreError, StoreRefusedError, StoreUnavailableError
from saga_fn.store.errors import RowLockedError, RowRejectedError, StatementFailedError, StoreBusyError

_ROW_REFUSED: Final = ("22", "23", "54")
_CHARACTERS: Final = ("22021", "22P05")
"""A character that the database's encoding does not have."""
DRIVER_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what the driver makes of a connection that is ended at the wrong moment
    OSError,
    TimeoutError,
    ValueError,
    OverflowError,
)
_BROKEN: Final = "08P01"
_BUSY: Final = ("40001", "40P01", "57014")

_POOLER: Final = (
    "PostgreSQL does not know a statement that was prepared on it",
    "give statement_cache_size=0: a pooler in transaction mode is in between (or set max_prepared_statements in PgBouncer 1.21)",
)
_GRANT: Final = "grant it: python -m saga_fn.store.migrate --dsn ... --grant"
_RIGHTS: Final = (
    "PostgreSQL denies this role what it needs",
    (
        f"{_GRANT} worker=ROLE, or the kind that this call needs: starter=ROLE starts sagas, sender=ROLE sends events, "
        "operator=ROLE applies verbs and pauses, pruner=ROLE deletes, viewer=ROLE looks"
    ),
)
_VERBS: Final = f"{_GRANT} operator=ROLE: verbs and pauses need it, or a worker's rights"
_DELETIONS: Final = f"{_GRANT} pruner=ROLE, beside what it has: to delete sagas needs it"
_RIGHTS_BY_TABLE: Final[dict[str, str]] = {
    "saga_pause": _VERBS,
    "saga_verb": _VERBS,
    "saga_operation": _VERBS,
    "saga_tombstone": _DELETIONS,
    "saga_retention": _DELETIONS,
}
"""The mend where the table that the server names says what was to be done."""
_TABLE_DENIED: Final = re.compile(r"for (?:table|relation) (\w+)$")
_LASTING: Final = {
    "42501": _RIGHTS,
    "26000": _POOLER,
    "42P05": _POOLER,
    "25006": (
        "the database is read-only",
        "connect to the primary (target_session_attrs=read-write), or end default_transaction_read_only",
    ),
    "3D000": ("there is no such database", "mend the database's name in the DSN, or create it"),
    "28": ("PostgreSQL does not let this user in", "mend user and password in the DSN, or pg_hba.conf on the server"),
    "0A": (
        "this server cannot do what this library asks for",
        "use PostgreSQL 15 or newer; with Citus leave the tables of the schema out of its metadata",
    ),
    "42704": (
        "PostgreSQL does not know what it is asked for",
        "mend a setting that the DSN names; if there is none, is the schema migrated? python -m saga_fn.store.migrate --dsn ...",
    ),
    "42": (
        "PostgreSQL does not know what this library asks for",
        "is the schema migrated? python -m saga_fn.store.migrate --dsn ... applies it",
    ),
}
"""By SQLSTATE or its class: what does not pass by itself."""
_PASSING: Final = {
    "57P": ("PostgreSQL is stopping, starting or has ended this session", "it goes on when the server is up again"),
    "53300": ("PostgreSQL has no connection left", "lower pool_size, or raise max_connections on the server"),
    "53": ("PostgreSQL is out of a resource", "free disk or memory on the server"),
    "08": ("the connection to PostgreSQL broke", "check the network between here and the server"),
}


class UnreachedError(OSError):
    """No connection has come about.

    Attributes:
        place: The hosts and the database, without the password.
        met: The error of the operating system, or of the name's look-up.
    """

    def __init__(self, place: str, met: OSError) -> None:
        super().__init__(str(met))
        self.place = place
        self.met = met


def translate_driver_error(error: Exception) -> StoreError:
    """The store's error for a driver's. Parameters are not in its text."""
    if isinstance(error, asyncpg.PostgresError):
        return _told_by_server(error)
    if isinstance(error, asyncpg.DataError | ValueError | OverflowError):
        unfit = RowRejectedError(f"a value cannot be sent to PostgreSQL: {type(error).__name__}")
        unfit.is_of_a_value = True
        return unfit
    if isinstance(error, asyncpg.InterfaceError) and "pool is clos" in str(error):
        return StoreUnavailableError(
            f"the pool is closed: {error}", hint="leave `async with orchestrator` before you close its pool"
        )
    if isinstance(error, asyncpg.InterfaceError) and "pool is not initialized" in str(error):
        return StoreRefusedError(
            f"the pool was made and not opened: {error}",
            hint="pool = await asyncpg.create_pool(...), or async with asyncpg.create_pool(...) as pool",
        )
    at, met = "", error
    if isinstance(error, UnreachedError):
        at, met = f" at {error.place}", error.met
    said = f": {met}" if isinstance(met, OSError | asyncpg.InterfaceError) and str(met) else ""
    return StoreUnavailableError(
        f"PostgreSQL does not answer{at}: {type(met).__name__}{said}",
        hint="check the DSN, and that the server is running",
    )


def of_another_driver(error: Exception) -> Exception:
    """The error of asyncpg's that stands for one of another driver's, where a caller's connection is such a one.

    By its `sqlstate`, as psycopg's have: None where the server said nothing. Any other error is given as it is.
    """
    if isinstance(error, DRIVER_ERRORS) or not hasattr(error, "sqlstate"):
        return error
    state: object = getattr(error, "sqlstate", None)
    said = str(error).partition("\n")[0]
    if isinstance(state, str):
        return asyncpg.PostgresError.new({"C": state, "M": said})
    return asyncpg.InterfaceError(said)


def told_of_given(error: Exception) -> StoreError:
    """The same for what happens on a connection of the caller's, in a transaction of the caller's."""
    if isinstance(error, asyncpg.InFailedSQLTransactionError):
        return StoreError(
            "the transaction of the connection given is aborted already: PostgreSQL refuses every statement in it",
            hint="let the error that aborted it pass, so that it is rolled back, and begin another one",
        )
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        return StoreRefusedError(
            f"the transaction of the connection given is read-only: {_said(error)}; it is aborted",
            hint="begin it without readonly=True, on a connection to the primary",
        )
    if isinstance(error, asyncpg.InterfaceError):
        return StoreError(
            f"the connection given cannot be used now: {error}",
            hint="pass one that is open, and that no other task uses at the same time",
        )
    return translate_driver_error(error)


def _told_by_server(error: asyncpg.PostgresError) -> StoreError:
    state: str = error.sqlstate or ""
    named = f"{type(error).__name__} ({state})"
    if state[:2] in _ROW_REFUSED:
        refused = RowRejectedError(f"PostgreSQL refused the row: {named}")
        refused.constraint = error.constraint_name
        refused.is_of_a_value = state in _CHARACTERS
        return refused
    if state == "55P03":
        return RowLockedError("another session keeps a row locked")
    if state in _BUSY:
        return StoreBusyError(f"PostgreSQL gave the statement up: {named}")
    if isinstance(error, asyncpg.InvalidCachedStatementError):
        return StoreUnavailableError(
            f"a column's type was changed under a prepared statement: {_said(error)} ({state})",
            hint="it mends itself on a direct connection; behind a pooler run RECONNECT in its console",
        )
    if state == _BROKEN and "startup parameter" in _said(error):  # the code is PgBouncer's for what passes, too
        return StoreRefusedError(
            f"the pooler does not take a setting of the DSN: {_said(error)} ({state})",
            hint="take it out of the DSN, or name it in the pooler's ignore_startup_parameters",
        )
    lasting = _by_class(_LASTING, state)
    if lasting is not None:
        denied = _TABLE_DENIED.search(_said(error)) if lasting is _RIGHTS else None
        mend = lasting[1] if denied is None else _RIGHTS_BY_TABLE.get(denied[1], lasting[1])
        return StoreRefusedError(f"{lasting[0]}: {_said(error)} ({state})", hint=mend)
    passing = _by_class(_PASSING, state)
    if passing is None:
        return StatementFailedError(f"PostgreSQL cannot do this: {_said(error)} ({named})")
    return StoreUnavailableError(f"{passing[0]}: {_said(error)} ({named})", hint=passing[1])


def _by_class(told: dict[str, tuple[str, str]], state: str) -> tuple[str, str] | None:
    for length in (5, 3, 2):
        if state[:length] in told:
            return told[state[:length]]
    return None


def _said(error: asyncpg.PostgresError) -> str:
    """The server's sentence, without what it adds in detail."""
    return str(error.args[0]).partition("\n")[0] if error.args else type(error).__name__
