"""How a store fails, told apart by what helps: another value, another try, or waiting.

No user meets these: `engine/outward.py` makes public errors of those about which no code on the way could do anything.
"""

from __future__ import annotations

from saga_fn.errors import StoreError, StoreRefusedError, StoreUnavailableError


class RowRejectedError(StoreError):
    """The store cannot keep a value of this batch. The same call never succeeds; smaller batches find the row.

    `constraint` names the database's rule that was broken, where it was one. `is_of_a_value` says that a value is none that
    this database can hold, whatever its rows are.
    """

    constraint: str | None = None
    is_of_a_value: bool = False


class StoreBusyError(StoreError):
    """The store gave this call up for the sake of others: the same call is to be made again."""


class RowLockedError(StoreBusyError):
    """Another session keeps a row of this batch locked: the same call is to be made past such rows."""


class StatementFailedError(StoreUnavailableError):
    """The server has answered that this statement failed, for a reason of which the library knows nothing.

    It may be about one row: a trigger, or a damaged page.
    """


class TransactionEndedError(StoreError):
    """A transactional step has ended its own transaction: it cannot be told whether it was a COMMIT."""

    def __init__(self) -> None:
        super().__init__(
            "the step has ended its own transaction",
            hint="leave COMMIT and ROLLBACK to the library; `async with ctx.connection.transaction()` is a savepoint",
        )


class CommitRefusedError(StoreError):
    """The server has refused to commit a step's transaction, or what is sent with the COMMIT: `cause` is the driver's exception.

    In the first case it is rolled back; in the second it is committed.
    """

    def __init__(self, fact: str, cause: Exception) -> None:
        super().__init__(fact)
        self.cause: Exception = cause


class AnswerLostError(StoreError):
    """A step's transaction may be committed, or not: the answer was lost."""


def is_an_answer(error: StoreError) -> bool:
    """Whether the server has refused the statement, so that it may be about some of its rows, and not about all."""
    return isinstance(error, RowRejectedError | StoreRefusedError | StoreBusyError | StatementFailedError)
