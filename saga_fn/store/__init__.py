"""Where sagas live: the `Store` protocol and its two implementations, PostgreSQL and memory.

`SagaOrchestrator` takes any object with the methods of `Store`. A wrapper passes most of them on to another store::

    class Measured:
        def __init__(self, inner: Store) -> None: ...
        async def commit(self, shard, writes, *, skip_locked=False):
            with timer("commit"):
                return await self._inner.commit(shard, writes, skip_locked=skip_locked)

    SagaOrchestrator(Measured(PostgresStore("postgresql://localhost/shop")))   # of saga_fn.store.postgres

Its methods take and return the types of `saga_fn.store.records`, and raise the errors of `saga_fn.store.errors`.
"""

from saga_fn.store.connection import CallerConnection
from saga_fn.store.protocol import (
    Deletion,
    KeptEvents,
    Lists,
    OpenTransaction,
    Operations,
    OutgoingMessages,
    Pauses,
    Processes,
    SentEvents,
    Store,
    Transactions,
)

__all__ = [
    "CallerConnection",
    "Deletion",
    "KeptEvents",
    "Lists",
    "OpenTransaction",
    "Operations",
    "OutgoingMessages",
    "Pauses",
    "Processes",
    "SentEvents",
    "Store",
    "Transactions",
]
