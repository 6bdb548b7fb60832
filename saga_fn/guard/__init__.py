"""A participant's guard: for services with PostgreSQL that saga steps call, and that are not sure when they are called.

A step may be called twice, or be undone before it was called at all, or arrive when it has been undone long since: its
request was delayed, its worker paused. One small table in the service's own schema and two calls within its own
transaction make all three harmless:

    async with pool.acquire() as connection, connection.transaction():
        match await guard.done(connection, operation):
            case Doing.FIRST: ...   # book it
            case Doing.AGAIN: ...   # answer as you did then
            case Doing.LATE: ...    # refuse: it has been undone

    async with pool.acquire() as connection, connection.transaction():
        match await guard.undone(connection, operation):
            case Undoing.NEEDED: ...    # book it back
            case Undoing.NOTHING: ...   # it never came here, and if it comes it will be refused
            case Undoing.AGAIN: ...     # it has been undone already

`operation` is `StepContext.operation`, the same for a step and its compensation: send it along. It needs nothing else of
this library: neither sagas nor their store. The table is in `sql/guard/schema`, for services that are not written in
Python, too.
"""

from saga_fn.guard.guard import Doing, Guard, Undoing

__all__ = ["Doing", "Guard", "Undoing"]
