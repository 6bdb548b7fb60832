"""One run of chaos: people do things, faults happen, then all is calm and everything that can end ends; then the audit."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final
from uuid import UUID

import asyncpg
import attrs

from saga_fn import SagaAdmin, SagaOrchestrator
from saga_fn.embedded import EmbeddedPostgres
from tests.faults.chaos.audit import Facts, findings
from tests.faults.chaos.books import ROWS, TABLES, Books
from tests.faults.chaos.broker import TABLE
from tests.faults.chaos.deeds import Office, Person
from tests.faults.chaos.gather import UNSENT, UNSETTLED, gather
from tests.faults.chaos.sagas import Note, World, called, register
from tests.faults.chaos.stage import WORKERS, Stage, Worker
from tests.faults.chaos.told import Told
from tests.support.wire import Wire, wired

PEOPLE: Final = 12
TROUBLES: Final = 3
"""How many faults may go on at the same time."""
STANDSTILL: Final = 25.0
"""Seconds without any change after which what has not ended is taken to go on no more."""
_FAST: Final = {"fsync": "off", "full_page_writes": "off", "max_connections": "200"}
"""Servers are killed here, machines are not: what was written to a file is there afterwards."""


@attrs.frozen
class Report:
    """What a run came to."""

    seed: int
    facts: Facts
    findings: Sequence[str]
    took: Mapping[str, int]
    """Seconds that each part of the run has taken."""

    def table(self) -> str:
        """The counts of the run, in one table."""
        told, sagas = self.facts.told, self.facts.sagas.values()
        ends = Counter(saga.status.value if saga.ended else f"waiting ({saga.parked or 'event'})" for saga in sagas)
        begun = Counter(each.direction for each in self.facts.begun)
        verbs = Counter(
            f"{a.verb} {'applied' if a.answer else 'refused' if a.answer is False else 'unknown'}" for a in told.asked
        )
        sent = Counter(each.answer for each in told.sent)
        parts: Mapping[str, Mapping[str, int]] = {
            "sagas": {
                "all": len(self.facts.sagas),
                "rolled back with their callers": len(told.rolled_back),
                **_sorted(ends),
            },
            "executions": _sorted(begun),
            "faults": _sorted(told.faults),
            "deeds": _sorted(told.deeds),
            "events": _sorted(sent),
            "messages out": {
                "all": sum(len(saga.messages) for saga in sagas),
                "times that the broker got one": len(self.facts.received),
                "calls of hooks": len(self.facts.calls),
            },
            "rows of transactional steps": {"all": len(self.facts.rows)},
            "verbs": _sorted(verbs),
            "errors that callers saw": _sorted(told.refusals),
            "seconds": self.took,
            "findings": {"all": len(self.findings)},
        }
        lines = [f"chaos, seed {self.seed}"]
        for part, counts in parts.items():
            lines += [f"{part if first else '':26}{what:44}{count:8}" for first, what, count in _numbered(counts)]
        return "\n".join(lines)

    def text(self) -> str:
        """The table, and what was found."""
        return "\n".join([self.table(), *(f"FOUND {line}" for line in self.findings)])


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def _numbered(counts: Mapping[str, int]) -> list[tuple[bool, str, int]]:
    return [(place == 0, what, count) for place, (what, count) in enumerate(counts.items())]


async def run(seed: int, seconds: float) -> Report:
    """Let chaos reign for so many seconds, and judge what comes of it."""
    folder = Path(tempfile.mkdtemp(prefix="saga-fn-chaos-"))
    folder.chmod(0o755)  # the server may run as another user
    server = EmbeddedPostgres(folder / "sagas", settings=_FAST)
    try:
        async with server, EmbeddedPostgres(settings=_FAST) as books, wired(server.dsn) as wire:
            try:
                return await _run(seed, seconds, server, books.dsn, wire, folder)
            finally:
                await asyncio.sleep(0)
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _run(seed: int, seconds: float, server: EmbeddedPostgres, books_dsn: str, wire: Wire, folder: Path) -> Report:
    told, took = Told(), dict[str, int]()
    workers = [
        Worker(f"worker {place}", wire.dsn if place % 2 else server.dsn, folder / f"worker-{place}.log")
        for place in range(WORKERS)
    ]
    stage = Stage(server=server, dsn=server.dsn, wire=wire, books=books_dsn, seed=seed, told=told, workers=workers)
    async with asyncpg.create_pool(books_dsn, min_size=1, max_size=8) as books:
        await books.execute(f"{TABLES}; {TABLE}")
        async with (
            SagaOrchestrator(server.dsn, migrate=True, concurrency=0),
            asyncpg.create_pool(server.dsn, min_size=1, max_size=1) as own,
        ):
            await own.execute(ROWS)
        stage.begin_all()
        try:
            async with (
                _office(server.dsn, seed, books) as near,
                _office(wire.dsn, seed, books) as far,
            ):
                with _timed(took, "chaos"):
                    await _chaos(stage, [near, far], seed, seconds)
                with _timed(took, "until all is settled"):
                    await _settle(stage, near)
                with _timed(took, "until workers have ended"):
                    await stage.retire_all()
            async with (
                asyncpg.create_pool(server.dsn, min_size=1, max_size=4) as pool,
            ):
                orchestrator = SagaOrchestrator(pool, concurrency=0)
                booked = register(orchestrator, World(Books(books), seed))["booked"].definition.plan
                with _timed(took, "gathering facts"):
                    facts = await gather(told, orchestrator, booked, pool, books)
        finally:
            stage.end_all()
    return Report(seed, facts, findings(facts), took)


@contextmanager
def _timed(took: dict[str, int], what: str) -> Generator[None]:
    began = time.monotonic()
    yield
    took[what] = round(time.monotonic() - began)


@asynccontextmanager
async def _office(dsn: str, seed: int, books: asyncpg.Pool) -> AsyncGenerator[Office]:
    async with SagaOrchestrator(dsn, concurrency=0, pool_size=3) as orchestrator:
        yield Office(orchestrator, register(orchestrator, World(Books(books), seed)))


async def _chaos(stage: Stage, offices: Sequence[Office], seed: int, seconds: float) -> None:
    end = time.monotonic() + seconds

    def over() -> bool:
        return time.monotonic() > end

    known: list[tuple[UUID, str]] = []
    people = [
        Person(
            dice=random.Random(f"{seed} person {number}"),
            offices=offices,
            told=stage.told,
            dsn=stage.dsn,
            known=known,
            first=1_000_000 * (number + 1),
        )
        for number in range(PEOPLE)
    ]
    async with asyncio.TaskGroup() as living:
        for person in people:
            living.create_task(person.live(over))
        async with asyncio.TaskGroup() as troubles:
            for number in range(TROUBLES):
                troubles.create_task(stage.trouble(random.Random(f"{seed} trouble {number}"), over))
        await stage.calm()  # what people still wait for can come now


async def _settle(stage: Stage, office: Office) -> None:
    """Wait until nothing goes on by itself any more; for half of those that wait for a call, it comes."""
    admin = SagaAdmin(office.orchestrator)
    async with asyncpg.create_pool(stage.dsn, min_size=1, max_size=1) as pool:
        waiting = await pool.fetch(
            "SELECT id FROM saga_fn.saga WHERE name = 'patient' AND ended_at IS NULL ORDER BY id"
        )
        for place, (saga_id,) in enumerate(waiting):
            if place % 2:
                seen = await admin.get_saga(saga_id)
                number = seen.context["initial_data"]["number"]
                sender = office.orchestrator.to(saga_id, called)
                try:
                    await sender.send(Note(-place), correlation_id=f"job {number}", event_id=f"calm-{place}")
                except Exception as error:  # noqa: BLE001 - as in every other call
                    stage.told.strange.append(f"send, in calm, raised {type(error).__name__}: {error}")
        seen_last, since = None, time.monotonic()
        while time.monotonic() - since < STANDSTILL:
            stage.look()
            going = [row[0] for row in await pool.fetch(UNSETTLED)]
            unsent = await pool.fetchval(UNSENT)
            if not going and not unsent:
                return
            moved = (await pool.fetchval("SELECT sum(rev) FROM saga_fn.saga"), unsent)
            if moved != seen_last:
                seen_last, since = moved, time.monotonic()
            await asyncio.sleep(0.2)
