"""The verdict of a trial tells each kind of wrong: facts are forged, and a commit comes too late where the fence was taken away."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from typing import Final
from uuid import UUID

import asyncpg
import attrs
import pytest

from saga_fn import Completed, SagaOrchestrator
from tests.faults.ledger import TABLES, Job, Ledger
from tests.faults.sagas import Sagas
from tests.faults.trial.verdict import PARKED, Seen, Tried, look, verdict
from tests.mutation.sql_guards import FENCE
from tests.support.until import SOON, until
from tests.support.wire import wired

SAGA: Final = UUID(int=1)
LOSES: Final = 25
"""A fault of which a trial has to notice that it loses starts; 37 must lose none."""
TRIED: Final = Tried(37, "18", {SAGA: "COMPLETED"})
SEEN: Final = Seen({SAGA: "COMPLETED"})

# Forged facts.


def test_nothing_is_told_of_what_is_as_it_must_be() -> None:
    assert verdict(TRIED, SEEN).wrong == []
    assert verdict(attrs.evolve(TRIED, fault=LOSES), Seen({})).wrong == []


FORGED: Final[dict[str, tuple[Tried, Seen, str]]] = {
    "a lost start": (TRIED, Seen({}), "1 accepted starts are lost"),
    "a loss that is not seen": (attrs.evolve(TRIED, fault=LOSES), SEEN, "0 accepted starts are lost"),
    "another end": (TRIED, Seen({SAGA: "COMPENSATED"}), "is COMPENSATED, and had to be COMPLETED"),
    "a person who is asked for nothing": (TRIED, Seen({SAGA: PARKED}), "is PARKED, and had to be COMPLETED"),
    "a result that is recorded twice": (TRIED, attrs.evolve(SEEN, recorded_twice=1), "1 results are doubled"),
    "an execution under two keys": (TRIED, attrs.evolve(SEEN, under_two_keys=1), "1 results are doubled"),
    "a journal that folds to something else": (TRIED, attrs.evolve(SEEN, disagreements=["rev: 3, 4"]), "rev: 3, 4"),
    "an orphan": (attrs.evolve(TRIED, orphans=1), SEEN, "1 sagas stand where they should not"),
    "an error that is not ours": (
        attrs.evolve(TRIED, strange=["start raised KeyError"]),
        SEEN,
        "start raised KeyError",
    ),
}


@pytest.mark.parametrize("kind", FORGED)
def test_the_verdict_tells(kind: str) -> None:
    tried, seen, words = FORGED[kind]
    (line,) = verdict(tried, seen).wrong
    assert words in line


# Forged rows.


@attrs.frozen
class Trial:
    """One saga that has ended as it had to, and a look at what stands there."""

    pool: asyncpg.Pool
    saga: UUID

    async def wrong(self) -> list[str]:
        """The verdict's lines."""
        return verdict(attrs.evolve(TRIED, accepted={self.saga: "COMPLETED"}), await look(self.pool, self.pool)).wrong


@pytest.fixture
async def trial(dsn: str) -> AsyncIterator[Trial]:
    async with (
        asyncpg.create_pool(dsn, min_size=1, max_size=2) as pool,
        SagaOrchestrator(dsn) as orchestrator,
    ):
        await pool.execute(TABLES)
        run = await Sagas(orchestrator, Ledger(pool)).jobs.start(Job())
        assert isinstance(await run.outcome(SOON), Completed)
        yield Trial(pool, run.id)


LIES: Final[dict[str, tuple[str, Sequence[str]]]] = {
    "nothing": ("SELECT $1::uuid", []),
    "the saga is gone": ("DELETE FROM saga_fn.saga WHERE id = $1", ["1 accepted starts are lost"]),
    "it stands elsewhere than its journal says": (
        "UPDATE saga_fn.saga SET status = 'FAILED' WHERE id = $1",
        ["saga .*: .*status.*", "saga .* is FAILED, and had to be COMPLETED"],
    ),
    "a result stands there twice": (
        (
            "INSERT INTO saga_fn.saga_journal (shard, era, saga_id, seq, writer, kind, step_id, event)"
            " SELECT shard, era, saga_id, 100, writer, kind, step_id, event FROM saga_fn.saga_journal"
            " WHERE saga_id = $1 AND kind = 'step_succeeded' AND step_id = 'two'"
        ),
        ["1 results are doubled"],
    ),
    "a step was called under another key": (
        "INSERT INTO ledger (saga, step, direction, key, pid, phase) VALUES ($1, 'two', 'execute', 'other', 1, 'begin')",
        ["1 results are doubled"],
    ),
}


@pytest.mark.raw_rows
@pytest.mark.parametrize("lie", LIES)
async def test_the_verdict_sees_in_the_rows_that(trial: Trial, lie: str) -> None:
    forging, told = LIES[lie]
    await trial.pool.execute(forging, trial.saga)
    found = await trial.wrong()
    assert len(found) == len(told), found
    assert all(re.fullmatch(pattern, line) for pattern, line in zip(told, found, strict=True)), found


# A commit that comes to the server when its saga has gone on, as that of a worker that stood still would.

KEYLESS: Final = "ALTER TABLE saga_fn.saga_journal DROP CONSTRAINT saga_journal_pkey"
FIRST_STEP: Final = b"step_succeeded\x00\x00\x00\x03one"
"""The end of the first step, in a commit of one saga."""
IN_THE_LAST: Final = "SELECT EXISTS (SELECT FROM ledger WHERE saga = $1 AND step = 'three')"


async def after_a_late_commit(dsn: str, *, keyless: bool) -> list[str]:
    """The verdict's lines about a saga that was in its third step when the commit of its first one came a second time."""
    async with (
        asyncpg.create_pool(dsn, min_size=1, max_size=2) as pool,
        wired(dsn) as wire,
        SagaOrchestrator(wire.dsn) as orchestrator,
    ):
        await pool.execute(TABLES)
        if keyless:
            await pool.execute(KEYLESS)
        wire.lose("until later", FIRST_STEP)
        run = await Sagas(orchestrator, Ledger(pool)).jobs.start(Job(hangs="three"))
        async with asyncio.timeout(SOON):
            while not await pool.fetchval(IN_THE_LAST, run.id):
                await asyncio.sleep(0.01)
        assert wire.cuts == 1
        wire.arrive()
        await until(lambda: wire.late_answers == 1)
        await pool.execute("INSERT INTO released VALUES (1)")
        assert isinstance(await run.outcome(SOON), Completed)
        tried = attrs.evolve(TRIED, accepted={run.id: "COMPLETED"})
        return verdict(tried, await look(pool, pool)).wrong


@pytest.mark.fault(37)
async def test_a_late_commit_does_no_harm(dsn: str) -> None:
    assert await after_a_late_commit(dsn, keyless=False) == []


def take_the_fence_away(monkeypatch: pytest.MonkeyPatch) -> None:
    for guard in FENCE:
        monkeypatch.setattr(guard.statement, "TEXT", guard.statement.TEXT)  # so that it is there again afterwards
        guard.take_away()


async def test_without_the_fence_the_key_of_the_journal_refuses_it(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    take_the_fence_away(monkeypatch)
    assert await after_a_late_commit(dsn, keyless=False) == []


@pytest.mark.raw_rows
async def test_without_the_fence_and_that_key_the_verdict_tells_the_harm(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_the_fence_away(monkeypatch)
    folds, doubled = await after_a_late_commit(dsn, keyless=True)
    assert folds.startswith("saga ")
    assert doubled == "1 results are doubled"
