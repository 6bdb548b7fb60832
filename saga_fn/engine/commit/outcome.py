"""The outcome of a write of a saga's next state: each is certain, or says that this process failed to find out."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from saga_fn.core.ids import Moment
from saga_fn.store.errors import RowRejectedError


class Applied(msgspec.Struct, frozen=True, gc=False):
    """The write is durable, since `at`. `inbox_sent` counts the messages its saga has had.

    `earlier` is the revision of the last outgoing message that its saga had before; 0 if there is none. For a write that was
    looked up it is not known.
    """

    inbox_sent: int
    at: Moment
    earlier: int = 0


class Unread(msgspec.Struct, frozen=True):
    """The write would have passed a message that it must know; nothing was written. Read it, then decide again."""

    inbox_sent: int


class Lost(msgspec.Struct, frozen=True):
    """The saga is no longer this writer's, or is gone; nothing was written."""


class Refused(msgspec.Struct, frozen=True):
    """The database cannot keep this row; nothing was written."""

    error: RowRejectedError


class Unsettled(msgspec.Struct, frozen=True):
    """This process failed to find out; the next owner will."""

    error: BaseException


class RolledBack(msgspec.Struct, frozen=True):
    """The write was to be part of a step's transaction, and that is rolled back; nothing was written.

    The task that has run the step tells what becomes of that.
    """


Outcome: TypeAlias = Applied | Unread | Lost | Refused | Unsettled | RolledBack
