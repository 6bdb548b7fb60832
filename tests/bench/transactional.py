"""The cost of a transactional step, beside the user's own transaction with the bare statements that nobody could do without."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Final
from uuid import uuid4

import asyncpg

from saga_fn import SagaBuilder, SagaDefinition, SagaOrchestrator, TransactionalContext, step
from saga_fn.embedded import EmbeddedPostgres
from tests.bench.report import Report, Value
from tests.bench.sagas import Data

_STEPS: Final = 20
_AT_ONCE: Final = 4
_BOOK: Final = "INSERT INTO booking VALUES ($1, $2)"


@step(transactional=True)
async def book(data: Data, ctx: TransactionalContext) -> Data:
    """One row of the user's."""
    await ctx.connection.execute(_BOOK, ctx.saga_id, ctx.attempt)
    return data


def _booking() -> SagaDefinition[Data, None]:
    builder = SagaBuilder(Data)
    for number in range(_STEPS):
        builder.add_step(book, input_map=lambda ctx: ctx.initial_data, step_id=f"s{number}")
    return builder.build()


async def run(server: EmbeddedPostgres, report: Report, *, rounds: int) -> None:
    """One at a time, and four at once: medians of rounds that take turns."""
    took: dict[tuple[int, str], list[float]] = {}
    async with asyncpg.create_pool(server.dsn, min_size=_AT_ONCE, max_size=_AT_ONCE) as pool:
        await pool.execute("CREATE TABLE booking (saga uuid, number integer)")
        await pool.execute("CREATE TABLE bare (id uuid PRIMARY KEY, n integer, state bytea) WITH (fillfactor = 50)")
        await pool.execute("CREATE TABLE line (id uuid, n integer, event bytea, PRIMARY KEY (id, n))")
        async with SagaOrchestrator(server.dsn, migrate=True) as orchestrator:
            handle = orchestrator.register("booking", _booking())
            await (await handle.start(Data())).result(60)
            for _ in range(3 * rounds):
                for many in (1, _AT_ONCE):
                    begun = time.perf_counter()
                    await asyncio.gather(*(_own(pool) for _ in range(many)))
                    took.setdefault((many, "own"), []).append(time.perf_counter() - begun)
                    begun = time.perf_counter()
                    runs = [await handle.start(Data()) for _ in range(many)]
                    await asyncio.gather(*(run.result(60) for run in runs))
                    took.setdefault((many, "step"), []).append(time.perf_counter() - begun)
    rows: list[list[Value]] = []
    for many in (1, _AT_ONCE):
        own, ours = (statistics.median(took[many, kind]) * 1e3 / (_STEPS * many) for kind in ("own", "step"))
        rows.append([f"{many} at once", ours, own, f"{ours / own:.2f}x"])
    report.table(
        "A transactional step, and the user's own transaction with a bare UPDATE and INSERT in it",
        ["what", "ms a step", "ms a transaction", "ratio"],
        rows,
    )


async def _own(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    """As many transactions as a saga has steps."""
    row, payload = uuid4(), Data().text.encode()
    await pool.execute("INSERT INTO bare VALUES ($1, 0, $2)", row, payload)
    for number in range(_STEPS):
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(_BOOK, row, number)
            await connection.execute("UPDATE bare SET n = $2, state = $3 WHERE id = $1", row, number, payload)
            await connection.execute("INSERT INTO line VALUES ($1, $2, $3)", row, number, payload)
