"""Where sagas live: the `Store` protocol and its two implementations, PostgreSQL and memory.

`SagaOrchestrator` takes any object with the methods of `Store`. A wrapper passes most of them on to another store::

    class Measured:
        def __init__(self, inner: Store) -> None: ...
        async def commit(self, shard, writes, *, past_locks=False):
            with timer("commit"):
                return await self._inner.commit(shard, writes, past_locks=past_locks)

    SagaOrchestrator(Measured(PostgresStore("postgresql://localhost/shop")))   # of saga_fn.store.postgres

What its methods take and give is in `saga_fn.store.records`, what they raise in `saga_fn.store.errors`.
"""

from saga_fn.store.protocol import KeptEvents, Processes, Store

__all__ = ["KeptEvents", "Processes", "Store"]
