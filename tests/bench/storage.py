"""What a step writes: bytes of WAL, and how many updates leave every index alone (HOT)."""

from __future__ import annotations

import asyncpg

from saga_fn.embedded import EmbeddedPostgres
from tests.bench.report import Report, Value, median
from tests.bench.sagas import measure, orchestrator, sequence

_SAGAS = 2000
_LENGTHS = (1, 3, 11)


async def run(server: EmbeddedPostgres, report: Report, *, rounds: int) -> None:
    """The price of one more step is the difference between long and short sagas; the rest is start and end."""
    observer = await asyncpg.connect(server.dsn)
    wal: dict[int, float] = {}
    rows: list[list[Value]] = []
    for steps in _LENGTHS:
        await _run(server.dsn, steps, 500)
        await observer.execute("CHECKPOINT")
        await _run(server.dsn, steps, 500)  # pages that are new since then are in the WAL as a whole
        found = [await _of_each(server.dsn, observer, steps) for _ in range(rounds)]
        wal[steps] = median([written for written, _ in found])
        hot = median([hot for _, hot in found])
        rows.append([f"a saga of {steps}", wal[steps], f"{hot:.1%}" if steps > 1 else None])
    await observer.close()
    first, second, last = _LENGTHS
    rows.append([f"one more step, in a saga of {second}", (wal[second] - wal[first]) / (second - first), None])
    rows.append([f"one more step, in a saga of {last}", (wal[last] - wal[second]) / (last - second), None])
    report.table(
        f"What is written, median of {rounds}; input and output of 200 bytes each",
        ["steps", "bytes of WAL", "HOT, of the updates that end no saga"],
        rows,
    )


async def _of_each(dsn: str, observer: asyncpg.Connection[asyncpg.Record], steps: int) -> tuple[float, float]:
    """WAL bytes of a saga, and the part of the updates within it that were HOT."""
    before = await _written(observer)
    await _run(dsn, steps, _SAGAS)
    after = await _written(observer)
    updates, hot = after[1] - before[1], after[2] - before[2]
    inner = updates - _SAGAS  # the last update of each saga ends it, and leaves the index of what is due
    return (after[0] - before[0]) / _SAGAS, hot / inner if inner else 1.0


async def _run(dsn: str, steps: int, sagas: int) -> None:
    """With connections of its own: the counters of those that stay open lag behind."""
    async with orchestrator(dsn, in_flight=100) as running:
        await measure(running.register(f"storage_{steps}", sequence(steps)), in_flight=100, sagas=sagas)


async def _written(observer: asyncpg.Connection[asyncpg.Record]) -> tuple[int, int, int]:
    """WAL bytes so far, updates so far, HOT ones among them."""
    row = await observer.fetchrow(
        "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint AS wal, n_tup_upd, n_tup_hot_upd"
        " FROM pg_stat_user_tables WHERE schemaname = 'saga_fn' AND relname = 'saga'"
    )
    assert row is not None
    return row["wal"], row["n_tup_upd"], row["n_tup_hot_upd"]
