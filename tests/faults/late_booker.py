"""A process that writes a saga too late: `python -m tests.faults.late_booker DSN [FILE]`.

With FILE it stops itself, as SIGSTOP does, when its first step has returned. It writes the saga when it is let go on.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

from saga_fn import SagaBuilder, SagaDefinition, SagaOrchestrator, TransactionalContext, step
from saga_fn.store.records import Committed, SagaWrite
from saga_fn.store.step_transaction import PostgresTransaction
from tests.support.shop import Done, Order

STEPS = ("s0", "s1", "s2")
TABLE = "CREATE TABLE booking (saga uuid, step text, pid int)"


@step(transactional=True, timeout=timedelta(minutes=5))  # none of them comes to it
async def book(inp: Order, ctx: TransactionalContext) -> Done:
    """Write a row."""
    await ctx.connection.execute("INSERT INTO booking VALUES ($1, $2, $3)", ctx.saga_id, ctx.step_id, os.getpid())
    return Done(ctx.step_id)


def bookings() -> SagaDefinition[Order, None]:
    """A saga of three such steps."""
    builder = SagaBuilder(Order)
    for name in STEPS:
        builder.add_step(book, input_map=lambda ctx: ctx.initial_data, step_id=name)
    return builder.build()


def stop_before_a_write(told: Path) -> None:
    """Stop this process before its first write of a saga in a step's transaction. When it goes on it writes, come what may.

    The file is there as soon as it stops. It says then whether the write has found the saga as it was: `matched` or `refused`.
    """
    write = PostgresTransaction.write

    async def stop_and_write(self: PostgresTransaction, given: SagaWrite) -> Committed:
        if told.exists():
            return await write(self, given)
        told.touch()
        os.kill(os.getpid(), signal.SIGSTOP)
        writing, cut = asyncio.create_task(write(self, given)), None
        while not writing.done():
            try:
                await asyncio.wait((writing,))
            except asyncio.CancelledError as error:  # it has seen that its lease is over
                cut = error
        told.write_text("matched" if given.id in writing.result().inbox_sent else "refused")
        if cut is not None:
            raise cut
        return writing.result()

    setattr(PostgresTransaction, "write", stop_and_write)  # noqa: B010 - the class is final


async def main(dsn: str, told: str = "") -> None:
    """Work until SIGTERM."""
    if told:
        stop_before_a_write(Path(told))
    orchestrator = SagaOrchestrator(
        dsn, lease=timedelta(seconds=1), poll_interval=timedelta(milliseconds=50), pool_size=2
    )
    orchestrator.register("booking", bookings())
    await orchestrator.run_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
