"""A process for the crash tests of transactional steps: `python -m tests.faults.booker DSN FILE [POINT COUNT]`.

It publishes to FILE. With POINT it kills itself at its COMMIT of that number: `before` it is sent, `in` it, or `after` its answer
has come. Or around its message of that number: while it is `publishing`, when it has `published` it, or `deleted` its row.
"""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import timedelta

from saga_fn import SagaBuilder, SagaDefinition, SagaOrchestrator, TransactionalContext, step
from saga_fn.outgoing import OutgoingOptions
from saga_fn.store.postgres import PostgresStore
from saga_fn.store.step_transaction import PostgresTransaction
from tests.faults.broker_file import BrokerFile, die_at_confirm
from tests.faults.deleter import die
from tests.support.shop import Done, Order

LEASE = timedelta(seconds=1)
STEPS = ("s0", "s1", "s2")
TABLE = "CREATE TABLE booking (saga uuid, step text, pid int)"


async def unbook(inp: Order, out: Done, ctx: TransactionalContext) -> None:
    """Take the row back, which must be there once, and say so."""
    told = await ctx.connection.execute("DELETE FROM booking WHERE saga = $1 AND step = $2", ctx.saga_id, ctx.step_id)
    assert told == "DELETE 1", told
    ctx.publish("bookings", f"-{ctx.step_id}".encode())


@step(transactional=True, compensate=unbook, timeout=timedelta(seconds=5))
async def book(inp: Order, ctx: TransactionalContext) -> Done:
    """Write a row and a message, and fail in the last step if that is asked for."""
    await ctx.connection.execute("INSERT INTO booking VALUES ($1, $2, $3)", ctx.saga_id, ctx.step_id, os.getpid())
    ctx.publish("bookings", f"+{ctx.step_id}".encode())
    if ctx.step_id == STEPS[-1] and inp.order_id == "fails":
        raise KeyError(inp.order_id)
    return Done(ctx.step_id)


def bookings() -> SagaDefinition[Order, None]:
    """A saga of three such steps."""
    builder = SagaBuilder(Order)
    for name in STEPS:
        builder.add_step(book, input_map=lambda ctx: ctx.initial_data, step_id=name)
    return builder.build()


def die_at_commit(point: str, count: int) -> None:
    """Kill this process at the COMMIT of that number."""
    commit, seen = PostgresTransaction.commit, 0

    async def commit_and_die(self: PostgresTransaction) -> None:
        nonlocal seen
        seen += 1
        if seen < count:
            await commit(self)
            return
        if point == "before":
            die()
        committing = asyncio.create_task(commit(self))
        if point == "in":
            await asyncio.sleep(0)  # it is on its way, and whether it is committed is not known
            await asyncio.sleep(0.0002)
            die()
        await committing
        die()

    if point in ("before", "in", "after"):
        setattr(PostgresTransaction, "commit", commit_and_die)  # noqa: B010 - the class is final


async def main(dsn: str, path: str, point: str = "", count: str = "0") -> None:
    """Work until SIGTERM, or until that point."""
    store = PostgresStore(dsn, pool_size=2)
    die_at_commit(point, int(count))
    die_at_confirm(store, point, int(count))
    orchestrator = SagaOrchestrator(
        store,
        publishers={"bookings": BrokerFile(path, point, int(count))},
        outgoing=OutgoingOptions(timeout=LEASE, batch=5),
        concurrency=32,
        lease=LEASE,
        poll_interval=timedelta(milliseconds=50),
    )
    orchestrator.register("booking", bookings())
    await orchestrator.run_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
