"""The index that a claim walks, in three forms: with few names and with many, behind sagas that no process works on.

The forms are by name and version, which is the one that there is; by name, version and priority; and by priority alone, where a
claim walks past all definitions that its process does not know.
"""

from __future__ import annotations

import time
from typing import Final

import asyncpg

from saga_fn.embedded import EmbeddedPostgres
from saga_fn.store.migrate import migrate
from tests.bench.report import Report, Value, median

_NAMES: Final = (3, 3_000)
_UNOWNED: Final = 100_000
_DUE: Final = 30_000
_ASLEEP: Final = 100_000
_BATCH: Final = 100
_WALK: Final = 10_000
"""So many rows a bounded walk looks at."""

_FILL: Final = """
    INSERT INTO saga_fn.saga (shard, era, id, name, version, trace_id, request, plan, format, status, waits, state, rev, due_at)
    SELECT 0, 312, gen_random_uuid(), $1::text || n % $2::integer, 1, 't', '', 'p', 1, 'SUSPENDED', 1,
           convert_to(repeat('s', 200), 'UTF8'), 9, now() + $3::text::interval + n * interval '1 ms'
    FROM generate_series(1, $4::integer) AS n
"""
_DROP: Final = "DROP INDEX IF EXISTS saga_fn.saga_due, saga_fn.saga_due_0, saga_fn.saga_due_1, saga_fn.saga_due_2"
_SIZE: Final = "SELECT sum(pg_relation_size(oid)) / 1048576.0 FROM pg_class WHERE relname LIKE 'saga\\_due\\__'"
_CLAIM: Final = """
    WITH due AS MATERIALIZED ({due}), numbered AS (SELECT due.id, gen_random_uuid() AS token FROM due)
    UPDATE saga_fn.saga AS s
    SET token = n.token, owner = n.token, due_at = now() + interval '30 s', updated_at = now()
    FROM numbered AS n
    WHERE s.shard = 0 AND s.id = ANY(ARRAY(SELECT due.id FROM due)) AND s.id = n.id
    RETURNING s.id, s.name, s.state
"""
_PRIORITIES: Final = "unnest('{0,1,2}'::smallint[]) AS p (priority)"
_OF_NAME: Final = """
    SELECT d.id
    FROM unnest($1::text[]) AS w (name) CROSS JOIN LATERAL (
        SELECT s.id, s.due_at
        FROM saga_fn.saga AS s
        WHERE s.shard = 0 AND s.name = w.name AND s.version = 1 AND s.due_at <= now()
        ORDER BY s.due_at LIMIT $2::integer FOR NO KEY UPDATE SKIP LOCKED
    ) AS d
    ORDER BY d.due_at LIMIT $2::integer
"""
_OF_FIRST_NAMES: Final = _OF_NAME.replace(
    "FROM unnest($1::text[]) AS w (name)",
    """FROM (
        SELECT n.name
        FROM unnest($1::text[]) AS n (name) CROSS JOIN LATERAL (
            SELECT s.due_at
            FROM saga_fn.saga AS s
            WHERE s.shard = 0 AND s.name = n.name AND s.version = 1 AND s.due_at <= now()
            ORDER BY s.due_at LIMIT 1
        ) AS f
        ORDER BY f.due_at LIMIT $2::integer
    ) AS w""",
)
"""The oldest rows are of the names whose first rows are the oldest: no more names than rows are wanted have to be gone through."""
_OF_NAME_AND_PRIORITY: Final = (
    _OF_NAME.replace("AS w (name)", f"AS w (name) CROSS JOIN {_PRIORITIES}")
    .replace("s.version = 1", "s.version = 1 AND s.priority = p.priority")
    .replace("ORDER BY d.due_at", "ORDER BY p.priority, d.due_at")
)
_EACH: Final = " UNION ALL ".join(
    f"""SELECT e.id, e.due_at, {priority} AS priority FROM (
        SELECT s.id, s.due_at
        FROM saga_fn.saga AS s
        WHERE s.shard = 0 AND s.name = w.name AND s.version = 1 AND s.priority = {priority} AND s.due_at <= now()
        ORDER BY s.due_at LIMIT $2::integer FOR NO KEY UPDATE SKIP LOCKED
    ) AS e"""
    for priority in range(3)
)
_OF_NAME_EACH_PRIORITY: Final = f"""
    SELECT d.id
    FROM unnest($1::text[]) AS w (name) CROSS JOIN LATERAL ({_EACH}) AS d
    ORDER BY d.priority, d.due_at LIMIT $2::integer
"""
_OF_PRIORITY: Final = f"""
    SELECT d.id
    FROM {_PRIORITIES} CROSS JOIN LATERAL (
        SELECT s.id, s.due_at
        FROM saga_fn.saga AS s
        WHERE s.shard = 0 AND s.priority = p.priority AND s.due_at <= now() AND s.name = ANY($1::text[]) AND s.version = 1
        ORDER BY s.due_at LIMIT $2::integer FOR NO KEY UPDATE SKIP LOCKED
    ) AS d
    ORDER BY p.priority, d.due_at LIMIT $2::integer
"""
_OF_PRIORITY_BOUNDED: Final = f"""
    SELECT s.id
    FROM saga_fn.saga AS s
    WHERE s.shard = 0 AND s.due_at <= now() AND s.id = ANY(ARRAY(
        SELECT d.id
        FROM {_PRIORITIES} CROSS JOIN LATERAL (
            SELECT e.id, e.name, e.version, e.due_at
            FROM saga_fn.saga AS e
            WHERE e.shard = 0 AND e.priority = p.priority AND e.due_at <= now()
            ORDER BY e.due_at LIMIT {_WALK}
        ) AS d
        WHERE d.name = ANY($1::text[]) AND d.version = 1
        ORDER BY p.priority, d.due_at LIMIT $2::integer
    ))
    ORDER BY s.id
    FOR NO KEY UPDATE SKIP LOCKED
"""
_DUE_AT: Final = "(shard, name, version, due_at) WHERE due_at IS NOT NULL"
_BY_PRIORITY: Final = "(shard, priority, due_at) WHERE due_at IS NOT NULL"
_FORMS: Final = {
    "name, version, due_at": ([_DUE_AT], _OF_NAME),
    "the same, the names that are due first": ([_DUE_AT], _OF_FIRST_NAMES),
    "the same, an index for each priority": (
        [f"{_DUE_AT} AND priority = {priority}" for priority in range(3)],
        _OF_NAME_EACH_PRIORITY,
    ),
    "name, version, priority, due_at": (
        ["(shard, name, version, priority, due_at) WHERE due_at IS NOT NULL"],
        _OF_NAME_AND_PRIORITY,
    ),
    "priority, due_at": ([_BY_PRIORITY], _OF_PRIORITY),
    f"priority, due_at, {_WALK:,} rows at most": ([_BY_PRIORITY], _OF_PRIORITY_BOUNDED),
}


async def run(server: EmbeddedPostgres, report: Report, *, rounds: int) -> None:
    """Each form with few names and with many: a claim, a claim of one name alone, and a look when nothing is due."""
    connection = await asyncpg.connect(server.dsn)
    await migrate(connection)
    await connection.execute("ALTER TABLE saga_fn.saga ADD COLUMN IF NOT EXISTS priority smallint NOT NULL DEFAULT 1")
    rows: list[list[Value]] = []
    for names in _NAMES:
        await connection.execute("TRUNCATE saga_fn.saga")
        for what, at, count in (
            ("alien ", "-1 day", _UNOWNED),
            ("saga ", "-1 hour", _DUE),
            ("saga ", "1 day", _ASLEEP),
        ):
            await connection.execute(_FILL, what, 50 if what == "alien " else names, at, count, timeout=600)
        own = [f"saga {number}" for number in range(names)]
        for form, (indexes, due) in _FORMS.items():
            await connection.execute(_DROP)
            for number, definition in enumerate(indexes):
                statement = f"CREATE INDEX saga_due_{number} ON saga_fn.saga {definition}"
                await connection.execute(statement, timeout=600)
            await connection.execute("VACUUM ANALYZE saga_fn.saga", timeout=600)
            size = await connection.fetchval(_SIZE)
            claim = _CLAIM.format(due=due)
            found, all_of_them = await _milliseconds(connection, claim, own, rounds)
            _, one = await _milliseconds(connection, claim, own[:1], rounds)
            _, none = await _milliseconds(connection, claim, [f"no {name}" for name in own], rounds)
            rows.append([f"{names:,} names; {form}", found, all_of_them, one, none, float(size)])
    await connection.close()
    report.table(
        f"A claim of {_BATCH}, {_DUE:,} due behind {_UNOWNED:,} that nobody works on, median of {3 * rounds}, milliseconds",
        ["index", "claimed", "of all names", "of one name", "nothing due", "index, MB"],
        rows,
    )


async def _milliseconds(
    connection: asyncpg.Connection[asyncpg.Record], claim: str, names: list[str], rounds: int
) -> tuple[int, float]:
    """How many were claimed, and how long that took; each claim is taken back."""
    times: list[float] = []
    found = 0
    for _ in range(3 * rounds):
        transaction = connection.transaction()
        await transaction.start()
        begun = time.perf_counter()
        found = len(await connection.fetch(claim, names, _BATCH))
        times.append(1000 * (time.perf_counter() - begun))
        await transaction.rollback()
    return found, median(times)
