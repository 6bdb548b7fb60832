"""A participant's guard: for services with PostgreSQL that saga steps call.

A request of a step may come twice. Its compensation may come before it, and it may come long after its compensation:
the request was delayed, or the worker was paused. One small table in the service's own schema and two calls within its
own transaction make all three harmless:

    async with pool.acquire() as connection, connection.transaction():
        match await guard.done(connection, operation):
            case Doing.FIRST: ...   # book it
            case Doing.AGAIN: ...   # answer as you did then
            case Doing.LATE: ...    # refuse: it has been undone
            case Doing.INSTEAD: ... # book back what was done, and book this

    async with pool.acquire() as connection, connection.transaction():
        match await guard.undone(connection, operation):
            case Undoing.NEEDED: ...    # book it back
            case Undoing.NOTHING: ...   # it never came here, and if it comes it will be refused
            case Undoing.AGAIN: ...     # it has been undone already

`operation` is `StepContext.operation`, the same for a step and its compensation: send it along, and book under it, so that
the compensation finds what it undoes. A step whose input may change between two attempts, because it depends on outside
events or because an operator accepts another, sends `StepContext.generation` along as well: `guard.done(connection,
operation, generation)` then tells a later input, which takes the place of the earlier one, from a repetition, and refuses an
earlier one that comes late. Only participants of steps that send `generation` can get `Doing.INSTEAD`.

A step that an operator has taken back by `SagaAdmin.rewind` has another operation from then on, and so has its compensation.
The guard takes it for new work, whatever it knows of the former. Work that the operator has forgotten stands beside it.

The guard needs nothing else of this library: neither sagas nor their store. `python -m saga_fn.guard --print` prints the
table's SQL, for a migration tool of your own, and for services that are not written in Python.
"""

from saga_fn.guard.guard import Doing, Guard, Undoing

__all__ = ["Doing", "Guard", "Undoing"]
