"""Due work while starts would take all slots: how late it begins, by the share of the slots that starts leave to it.

`python -m tests.bench.lateness DSN SCHEMA PART` is the process that is measured: starts leave 1/PART of its slots to what is due.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Final

import asyncpg
import msgspec

from saga_fn import SagaBuilder, SagaDefinition, SagaOrchestrator, step
from saga_fn.embedded import EmbeddedPostgres
from saga_fn.engine import worker
from tests.bench.kinds import Data, chain
from tests.bench.report import Report, Value, median

ROOT: Final = Path(__file__).parents[2]
PARTS: Final = (4, 8, 16, 32)
_SLOTS: Final = 1_000
_DUE: Final = 1_000
_DUE_IN: Final = (3.0, 5.0, 7.0)
"""Seconds."""
_LENGTH: Final = 9.0
"""Seconds."""
_TRANSITIONS: Final = 4


class Late(msgspec.Struct, frozen=True):
    """Milliseconds between the moment of a timer and the begin of what it is for; straight sagas beside."""

    p50: float
    p99: float
    per_second: float
    cpu: float
    """Microseconds of the process for each transition."""


async def run(server: EmbeddedPostgres, report: Report, *, rounds: int, parts: tuple[int, ...] = PARTS) -> None:
    """The rounds go through all shares in turn."""
    seen: dict[int, list[Late]] = {part: [] for part in parts}
    for number in range(rounds):
        for part in parts if number % 2 == 0 else parts[::-1]:
            seen[part].append(await _measured(server.dsn, part))
    rows: list[list[Value]] = [
        [
            f"1/{part}",
            median([one.p50 for one in found]),
            median([one.p99 for one in found]),
            median([one.per_second for one in found]),
            median([one.cpu for one in found]),
        ]
        for part, found in seen.items()
    ]
    report.table(
        f"{len(_DUE_IN)} times {_DUE:,} timers at one moment, while {_SLOTS:,} callers start sagas in {_SLOTS:,} slots;"
        f" median of {rounds}",
        ["slots left to what is due", "late p50 ms", "late p99 ms", "straight sagas/s", "us of CPU a transition"],
        rows,
    )


async def _measured(dsn: str, part: int) -> Late:
    observer = await asyncpg.connect(dsn)
    await observer.execute("DROP SCHEMA IF EXISTS lateness CASCADE; CHECKPOINT")
    await observer.close()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.lateness", dsn, "lateness", str(part)),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    told, _ = await process.communicate()
    return msgspec.json.decode(told, type=Late)


class _Due(msgspec.Struct, frozen=True):
    at: float
    """By the clock of the machine, which the server has, too."""


def _timed(late: list[float]) -> SagaDefinition[_Due, None]:
    async def begin(due: _Due) -> None:
        late.append(time.time() - due.at)

    builder = SagaBuilder(_Due)
    builder.add_step(step(begin, step_id="begin"), depends_on=builder.initial)
    return builder.build()


async def _main(dsn: str, schema: str, part: int) -> None:
    logging.getLogger("saga_fn").setLevel(logging.CRITICAL)
    worker.PART_FOR_DUE = part
    late: list[float] = []
    ended = 0
    orchestrator = SagaOrchestrator(dsn, schema=schema, migrate=True, concurrency=_SLOTS)
    straight, timed = orchestrator.register("straight", chain()), orchestrator.register("timed", _timed(late))
    async with orchestrator:
        begun, give_up = time.time(), time.monotonic() + _LENGTH
        for seconds in _DUE_IN:
            at = begun + seconds
            await timed.start_many([_Due(at)] * _DUE, delay=timedelta(seconds=at - time.time()))

        async def call() -> None:
            nonlocal ended
            while time.monotonic() < give_up:
                await (await straight.start(Data())).outcome(60)
                ended += 1

        seconds, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*[call() for _ in range(_SLOTS)])
        seconds, cpu = time.perf_counter() - seconds, time.process_time() - cpu
        while len(late) < _DUE * len(_DUE_IN):
            await asyncio.sleep(0.01)
    cuts = statistics.quantiles(late, n=100, method="inclusive")
    print(
        msgspec.json.encode(
            Late(cuts[49] * 1e3, cuts[98] * 1e3, ended / seconds, cpu / ended / _TRANSITIONS * 1e6)
        ).decode()
    )


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
