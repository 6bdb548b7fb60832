"""Lists over a million sagas of which one in a thousand is looked for: how long one page takes, and one count."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import asyncpg

from saga_fn import Attribute, SagaAdmin, SagaFilter, SagaOrchestrator, SagaStatus, WaitReason
from saga_fn.embedded import EmbeddedPostgres
from tests.bench.report import Report, Value, median

_NAMES = 30
_PAGE = 100
_START = datetime(2026, 1, 1, tzinfo=UTC)

_FILL = """
    INSERT INTO saga_fn.saga (shard, era, id, name, version, trace_id, request, plan, format, status, waits, state, rev, due_at,
                              aggregation_id, created_at, updated_at, ended_at, parked, problem_step, last_error)
    SELECT 0, 312, gen_random_uuid(), 'saga ' || n % $2, 1, 't', '', 'p', 1, kind.status, kind.waits,
           convert_to(repeat('s', 200), 'UTF8'), 9,
           CASE WHEN kind.status = ANY (ARRAY['RUNNING', 'SUSPENDED']) AND kind.waits < 16 THEN now() END,
           CASE WHEN n % 10 = 0 THEN 'key ' || n % 100000 END,
           $3::timestamptz + n * interval '1 second', $3::timestamptz + n * interval '1 second',
           CASE WHEN kind.status = ANY (ARRAY['COMPLETED', 'FAILED']) THEN $3::timestamptz + n * interval '2 seconds' END,
           CASE WHEN kind.waits >= 16 THEN 'past_pivot' END,
           CASE WHEN kind.waits >= 16 OR kind.status = 'FAILED' THEN 'charge ' || n % 7 END,
           CASE WHEN kind.waits >= 16 OR kind.status = 'FAILED' THEN 'Boom' END
    FROM generate_series(1, $1::integer) AS n
    CROSS JOIN LATERAL (
        SELECT CASE n % 1009 WHEN 500 THEN 'FAILED' WHEN 501 THEN 'SUSPENDED' WHEN 502 THEN 'SUSPENDED' WHEN 503 THEN 'RUNNING'
                             ELSE 'COMPLETED' END AS status,
               CASE n % 1009 WHEN 501 THEN 24 WHEN 502 THEN 4 ELSE 0 END::smallint AS waits
    ) AS kind
"""

_ATTRIBUTES = """
    INSERT INTO saga_fn.saga_attribute (shard, name, key, value, created_at, saga_id)
    SELECT s.shard, s.name, each.key, each.value, s.created_at, s.id
    FROM (SELECT s.*, extract(epoch FROM s.created_at - $1::timestamptz)::bigint AS n FROM saga_fn.saga AS s) AS s
    CROSS JOIN LATERAL (
        VALUES ('customer', 'sc-' || s.n % 1009), ('region', 'seu'), ('total', 'i' || (10^19::numeric + s.n))
    ) AS each (key, value)
"""
_customer, _region, _total = Attribute("customer", str), Attribute("region", str), Attribute("total", int)


async def fill(connection: asyncpg.Connection[asyncpg.Record], sagas: int) -> None:
    """Put rows of so many sagas into the tables, which no engine could read."""
    await connection.execute(_FILL, sagas, _NAMES, _START, timeout=3600)
    await connection.execute(_ATTRIBUTES, _START, timeout=3600)


async def run(server: EmbeddedPostgres, report: Report, *, sagas: int, rounds: int) -> None:
    """Each list by its first page, by a page in the middle, and the count."""
    async with SagaOrchestrator(server.dsn, migrate=True, concurrency=0) as orchestrator:
        connection = await asyncpg.connect(server.dsn)
        await fill(connection, sagas)
        await connection.execute("VACUUM ANALYZE saga_fn.saga, saga_fn.saga_attribute", timeout=3600)
        await connection.close()
        admin = SagaAdmin(orchestrator)
        middle = _START + timedelta(seconds=sagas // 2)
        filters: dict[str, SagaFilter] = {
            "all": SagaFilter(),
            "all, started before the middle": SagaFilter(created_before=middle),
            "of a name": SagaFilter(saga_name="saga 7"),
            "parked": SagaFilter(waits=WaitReason.PARKED),
            "parked, at a step, by an error": SagaFilter(waits=WaitReason.PARKED, step="charge 3", error="Boom"),
            "FAILED": SagaFilter(status=SagaStatus.FAILED),
            "FAILED, of a name, at a step": SagaFilter(saga_name="saga 7", status=SagaStatus.FAILED, step="charge 3"),
            "COMPLETED, of a name": SagaFilter(saga_name="saga 7", status=SagaStatus.COMPLETED),
            "ended before the middle": SagaFilter(ended_before=middle),
            "not ended": SagaFilter(active=True),
            "RUNNING": SagaFilter(status=SagaStatus.RUNNING),
            "that wait for an event, of a name": SagaFilter(saga_name="saga 7", waits=WaitReason.EVENT),
            "of a business key": SagaFilter(aggregation_id="key 5000"),
            "with a value": SagaFilter(attribute=_customer.equals("c-7")),
            "with a value, of a name": SagaFilter(saga_name="saga 7", attribute=_customer.equals("c-7")),
            "with a value, FAILED": SagaFilter(attribute=_customer.equals("c-500"), status=SagaStatus.FAILED),
            "with the value that all have": SagaFilter(attribute=_region.equals("eu")),
            "with a value in a range": SagaFilter(attribute=_total.between(sagas // 2, sagas // 2 + 1000)),
        }
        rows = [[name, *await _figures(admin, wanted, rounds)] for name, wanted in filters.items()]
    report.table(
        f"Lists of {sagas:,} sagas of {_NAMES} names, median of {3 * rounds}, milliseconds",
        ["sagas", "rows", "first page", "second page", "count"],
        rows,
    )


async def _figures(admin: SagaAdmin, wanted: SagaFilter, rounds: int) -> list[Value]:
    """How many rows the first page has; and how long it takes, the second one, and a count."""
    page = await admin.list(wanted, limit=_PAGE)
    after = page.next
    first = await _milliseconds(rounds, lambda: admin.list(wanted, limit=_PAGE))
    second = await _milliseconds(rounds, lambda: admin.list(wanted, after=after, limit=_PAGE)) if after else None
    return [len(page.rows), first, second, await _milliseconds(rounds, lambda: admin.count(wanted))]


async def _milliseconds(rounds: int, call: Callable[[], Awaitable[object]]) -> float:
    """How long a call takes, once the server has its plan."""
    times: list[float] = []
    for _ in range(3 * rounds):
        begun = time.perf_counter()
        await call()
        times.append(1000 * (time.perf_counter() - begun))
    return median(times)
