"""The cost of a transactional step, beside the user's own transaction with the bare statements that no user could do without.

Twice: with a bare UPDATE and INSERT of the library's own tables, in the columns that its commit writes; and of two tables that
have no more than a key. Only the first has the constraints, the indexes and the width that a saga's rows have.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, NamedTuple
from uuid import UUID, uuid4

import asyncpg

from saga_fn import SagaBuilder, SagaDefinition, SagaOrchestrator, TransactionalContext, step
from saga_fn.embedded import EmbeddedPostgres
from tests.bench.report import Report, Value
from tests.bench.sagas import Data

_STEPS: Final = 20
_AT_ONCE: Final = 4
_BOOK: Final = "INSERT INTO booking VALUES ($1, $2)"
_UPDATE: Final = """
    UPDATE saga_fn.saga
    SET rev = $2, token = $3, owner = $3, due_at = $4, plan = $5, status = 'RUNNING', waits = 0, state = $6,
        retry_counter = 0, last_error = NULL, parked = NULL, problem_step = NULL, acknowledged = false,
        updated_at = statement_timestamp(), ended_at = NULL
    WHERE shard = 0 AND id = $1"""
_INSERT: Final = """
    INSERT INTO saga_fn.saga_journal (shard, era, saga_id, seq, writer, kind, step_id, event, input_of, payload)
    VALUES (0, $1, $2, $3, $4, 'step_succeeded', 's0', $5, 0, $6)"""


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


class _Rows(NamedTuple):
    """The widths of what a saga's commit writes: those of a saga that has run."""

    plan: str
    state: bytes
    event: bytes
    payload: bytes


async def run(server: EmbeddedPostgres, report: Report, *, rounds: int) -> None:
    """One at a time, and four at once: medians of rounds that take turns."""
    took: dict[tuple[int, str], list[float]] = {}
    async with asyncpg.create_pool(server.dsn, min_size=_AT_ONCE, max_size=_AT_ONCE) as pool:
        await pool.execute("CREATE TABLE booking (saga uuid, number integer)")
        await pool.execute("CREATE TABLE bare (id uuid PRIMARY KEY, n integer, state bytea) WITH (fillfactor = 50)")
        await pool.execute("CREATE TABLE line (id uuid, n integer, event bytea, PRIMARY KEY (id, n))")
        async with SagaOrchestrator(server.dsn, migrate=True) as orchestrator:
            handle = orchestrator.register("booking", _booking())
            sample = await handle.start(Data())
            await sample.result(60)
            rows = await _rows_of(pool, sample.id)

            async def once() -> None:
                await (await handle.start(Data())).result(60)

            kinds: dict[str, Callable[[], Awaitable[None]]] = {
                "step": once,
                "ours": partial(_with_ours, pool, rows),
                "least": partial(_with_least, pool),
            }
            for _ in range(3 * rounds):
                for many in (1, _AT_ONCE):
                    for kind, work in kinds.items():
                        begun = time.perf_counter()
                        await asyncio.gather(*(work() for _ in range(many)))
                        took.setdefault((many, kind), []).append(time.perf_counter() - begun)
    table: list[list[Value]] = []
    for many in (1, _AT_ONCE):
        step_, ours, least = (statistics.median(took[many, kind]) * 1e3 / (_STEPS * many) for kind in kinds)
        table.append([f"{many} at once", step_, ours, f"{step_ / ours:.2f}x", least, f"{step_ / least:.2f}x"])
    report.table(
        "A transactional step, and the user's own transaction with a bare UPDATE and INSERT in it: of ours, at most "
        "1.3x; and of tables with no more than a key",
        ["what", "ms a step", "ms with ours", "ratio", "ms with the least", "ratio to it"],
        table,
    )


async def _rows_of(pool: asyncpg.Pool[asyncpg.Record], saga: UUID) -> _Rows:
    """The row and the event that a commit in the middle of this saga has written."""
    found = await pool.fetchrow(
        """SELECT s.plan, s.state, j.event, j.payload
        FROM saga_fn.saga AS s JOIN saga_fn.saga_journal AS j ON j.saga_id = s.id
        WHERE s.id = $1 AND j.kind = 'step_succeeded' ORDER BY j.seq OFFSET $2 LIMIT 1""",
        saga,
        _STEPS // 2,
    )
    assert found is not None, "the saga has run"
    return _Rows(*found)


async def _with_ours(pool: asyncpg.Pool[asyncpg.Record], rows: _Rows) -> None:
    """As many transactions as a saga has steps, on a row of `saga` and rows of `saga_journal` that no process works on."""
    saga, token = uuid4(), uuid4()
    lease = datetime.now(UTC) + timedelta(hours=1)
    await pool.execute(
        """INSERT INTO saga_fn.saga (shard, era, id, name, version, trace_id, request, plan, format, status, waits,
            token, owner, due_at, rev, state)
        VALUES (0, 0, $1, 'nobody works on it', 1, $2, $3, $4, 1, 'RUNNING', 0, $5, $5, $6, 0, $7)""",
        saga,
        saga.hex,
        saga.bytes,
        rows.plan,
        token,
        lease,
        rows.state,
    )
    for number in range(1, _STEPS + 1):
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(_BOOK, saga, number)
            await connection.execute(_UPDATE, saga, number, token, lease, rows.plan, rows.state)
            await connection.execute(_INSERT, 0, saga, number, token, rows.event, rows.payload)


async def _with_least(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    """The same on two tables that have a key, and nothing else that costs."""
    row, payload = uuid4(), Data().text.encode()
    await pool.execute("INSERT INTO bare VALUES ($1, 0, $2)", row, payload)
    for number in range(_STEPS):
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(_BOOK, row, number)
            await connection.execute("UPDATE bare SET n = $2, state = $3 WHERE id = $1", row, number, payload)
            await connection.execute("INSERT INTO line VALUES ($1, $2, $3)", row, number, payload)
