"""How a store fails, told apart by what helps: another value, another try, or waiting."""

from __future__ import annotations

from saga_fn.errors import StoreError


class RowRefusedError(StoreError):
    """The store cannot keep a value of this batch. The same call never succeeds; smaller batches find the row.

    `constraint` names the database's rule that was broken, where it was one.
    """

    constraint: str | None = None


class StoreBusyError(StoreError):
    """The store gave this call up for the sake of others: the same call is to be made again."""


class RowLockedError(StoreBusyError):
    """Somebody else keeps a row of this batch locked: the same call is to be made past such rows."""
