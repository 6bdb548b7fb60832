"""Real processes, real signals: every accepted saga ends, and each result is recorded once."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import asyncpg
import pytest

from saga_fn import (
    Compensated,
    Completed,
    Failed,
    SagaAdmin,
    SagaOrchestrator,
    SagaRun,
    SagaStateError,
    SagaStatus,
)
from tests.faults.death import SURVIVES
from tests.faults.keyed import HELD
from tests.faults.ledger import Job, Ledger
from tests.faults.processes import ROOT
from tests.faults.sagas import Sagas
from tests.faults.stage import Stage
from tests.support.until import SOON


@pytest.mark.fault(2)
@pytest.mark.parametrize("step", ["one", "two", "three"])
async def test_killed_in_a_step(stage: Stage, step: str) -> None:
    run = await stage.sagas.jobs.start(Job(hangs=step))
    with stage.processes.killed():
        await stage.entered(run, step)
    await stage.takes_over(run, end=Completed)
    assert (await stage.executions()).by_step() == {"one": 1, "two": 1, "three": 1, step: 2}


@pytest.mark.fault(2)
async def test_killed_in_a_compensation(stage: Stage) -> None:
    run = await stage.sagas.jobs.start(Job(fails="three", hangs="undo one"))
    with stage.processes.killed():
        await stage.entered(run, "one", direction="compensate")
    await stage.takes_over(run, end=Compensated)
    assert (await stage.executions()).by_step("compensate") == {"two": 1, "one": 2}


@pytest.mark.fault(3)
async def test_killed_after_a_step_and_before_its_commit(stage: Stage, dsn: str) -> None:
    run = await stage.sagas.jobs.start(Job(hangs="two"))
    with stage.processes.killed():
        await stage.entered(run, "two")
        holder = await asyncpg.connect(dsn)
        transaction = holder.transaction()
        await transaction.start()
        await holder.fetch("SELECT 1 FROM saga_fn.saga FOR UPDATE")  # a commit of this saga cannot pass
        await stage.release()
        await stage.entered(run, "two", phase="end")
    await transaction.rollback()
    await holder.close()
    await stage.takes_over(run, end=Completed)


POINTS = [
    ("claimed", ":"),
    ("before", "StepSucceeded:one"),
    ("before", "StepSucceeded:two"),
    ("before", "StepSucceeded:three"),
    ("in", "StepSucceeded:two"),
    ("after", "StepSucceeded:one"),
    ("after", "StepSucceeded:two"),
    ("after", "StepSucceeded:three"),
    ("before", "CompensationSucceeded:two"),
    ("in", "CompensationSucceeded:two"),
    ("after", "CompensationSucceeded:two"),
    ("after", "CompensationSucceeded:one"),
]


@pytest.mark.fault(1, 3, 4)
@pytest.mark.parametrize("many", [1, 100])
@pytest.mark.parametrize("point, where", POINTS, ids=[f"{point}-{where}" for point, where in POINTS])
async def test_killed_at_a_point_with_many_sagas_at_it(stage: Stage, point: str, where: str, many: int) -> None:
    undoes = where.startswith("Compensation")
    runs = await stage.sagas.jobs.start_many([Job(fails="three") if undoes else Job()] * many)
    await stage.one_dies_at(point, where, many)
    committed = await stage.committed()
    await stage.takes_over(*runs, end=Compensated if undoes else Completed)
    await stage.assert_repeated_at_most_what_was_not(committed)
    if point == "after":
        assert len(committed) >= many


@pytest.mark.parametrize("many", [1, 100])
@pytest.mark.parametrize("point", ["before", "in", "after"])
async def test_killed_around_a_commit_that_sets_an_attribute(stage: Stage, point: str, many: int) -> None:
    runs = await stage.sagas.searched.start_many([Job()] * many)
    await stage.one_dies_at(point, "StepSucceeded:two", many)
    await stage.assert_attributes_true()
    await stage.takes_over(*runs, end=Completed)
    await stage.assert_attributes_true()
    assert (await SagaAdmin(stage.orchestrator).get_saga(runs[0].id)).attributes == {"done": "three"}


@pytest.mark.fault(37)
async def test_a_paused_worker_that_lost_its_lease_commits_nothing(stage: Stage) -> None:
    run = await stage.sagas.jobs.start(Job(hangs="two"))
    first = stage.processes.begin()
    await stage.entered(run, "two")
    os.kill(first, signal.SIGSTOP)
    stage.processes.begin(SURVIVES)
    await stage.until("SELECT count(DISTINCT pid) = 2 FROM ledger WHERE step = 'two'")
    await stage.release()
    assert isinstance(await run.outcome(SOON), Completed)
    before = len((await SagaAdmin(stage.orchestrator).get_saga(run.id)).step_history)
    os.kill(first, signal.SIGCONT)
    await asyncio.sleep(0.5)  # time for the late worker to do what it must not
    assert len((await SagaAdmin(stage.orchestrator).get_saga(run.id)).step_history) == before
    await stage.assert_recorded_once(run)


@pytest.mark.parametrize("workers", [2, 8])
async def test_many_processes_execute_each_step_once(stage: Stage, workers: int) -> None:
    runs = [await stage.sagas.jobs.start(Job()) for _ in range(40)]
    for _ in range(workers):
        stage.processes.begin(SURVIVES)
    for run in runs:
        assert isinstance(await run.outcome(SOON), Completed)
    begun = (await stage.executions()).begun
    assert set(begun.values()) == {1}
    assert len(begun) == 3 * len(runs)
    await stage.assert_recorded_once(*runs)


@pytest.mark.predecessor(6)
async def test_a_saga_that_kills_its_process_is_parked_alone(stage: Stage) -> None:
    runs = [await stage.sagas.jobs.start(Job()) for _ in range(10)]
    poison = await stage.sagas.jobs.start(Job(kills="two"))
    process = stage.processes.begin()
    async with asyncio.timeout(2 * SOON):
        while (await poison.snapshot()).parked is None:
            if not stage.processes.lives(process):
                process = stage.processes.begin()
            await asyncio.sleep(0.05)
    seen = await SagaAdmin(stage.orchestrator).get_saga(poison.id)
    assert (seen.status, seen.parked) == (SagaStatus.SUSPENDED, "crash_loop")
    assert [entry.kind for entry in seen.step_history].count("resumed") > 2, "each takeover is in the history"
    for run in runs:
        assert isinstance(await run.outcome(SOON), Completed)
    await stage.assert_recorded_once(poison, *runs)


@pytest.mark.fault(43)
@pytest.mark.parametrize(
    "job", [Job(), Job(fails="three"), Job(flaky="two"), Job(flaky="undo one", fails="three")], ids=repr
)
async def test_abort_races_whatever_another_process_does(stage: Stage, job: Job) -> None:
    """Completion, rollback, retry of a step and retry of a compensation: I16, an end is one and stays."""
    worker = stage.processes.begin(SURVIVES)
    takes = 0.0
    for _ in range(2):  # the first time they wait for the worker to begin
        begun = time.monotonic()
        for run in await stage.sagas.jobs.start_many([job] * 60):
            await run.outcome(SOON)
        takes = time.monotonic() - begun
    admin = SagaAdmin(stage.orchestrator)
    raced: list[SagaRun[Job]] = []

    async def abort(run: SagaRun[Job], seconds: float) -> bool:
        await asyncio.sleep(seconds)
        try:
            await admin.abort(run.id)
        except SagaStateError:
            return False  # it had ended
        return True

    ends: Counter[str] = Counter()
    async with asyncio.timeout(2 * SOON):
        while len(ends) < 2:  # until the race was run, and not only won by one side
            runs = await stage.sagas.jobs.start_many([job] * 60)
            aborted = await asyncio.gather(*(abort(run, random.uniform(0.0, 1.5 * takes)) for run in runs))
            for run, was_aborted in zip(runs, aborted, strict=True):
                ended = await run.outcome(SOON)
                assert isinstance(ended, Failed) == was_aborted, "who was told that it is aborted was told the truth"
                assert await run.outcome(SOON) == ended
                assert (await run.snapshot()).status.is_terminal
                ends[type(ended).__name__] += 1
            raced += runs
    before = await stage.pool.fetch("SELECT id, rev, status FROM saga_fn.saga ORDER BY id")
    await asyncio.sleep(1.2)  # whatever the worker still had in hand
    assert await stage.pool.fetch("SELECT id, rev, status FROM saga_fn.saga ORDER BY id") == before
    assert stage.processes.lives(worker)
    await stage.assert_recorded_once(*raced)


async def test_two_processes_that_start_the_same_sagas_start_each_once(stage: Stage, dsn: str) -> None:
    """By idempotency key and by business key, in any order, all at once."""
    command = [sys.executable, "-m", "tests.faults.starter", dsn, "100"]
    starters = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(2)]
    told = [json.loads((await asyncio.to_thread(starter.communicate))[0]) for starter in starters]
    assert told[0]["by_key"] == told[1]["by_key"], "one saga a key, whichever caller asks"
    assert [one + two for one, two in zip(told[0]["created"], told[1]["created"], strict=True)] == [1] * 100
    assert [one + two for one, two in zip(told[0]["active"], told[1]["active"], strict=True)] == [1] * 100
    assert await stage.pool.fetchval("SELECT count(*) FROM saga_fn.saga") == 200


async def test_a_key_that_a_callers_open_transaction_holds_costs_other_processes_that_start_alone(
    stage: Stage, dsn: str
) -> None:
    """The transaction is open for as long as the other process lives, which asks for the key once."""
    caller = SagaOrchestrator(dsn, concurrency=0)
    async with caller, stage.pool.acquire() as connection, connection.transaction():
        jobs = Sagas(caller, Ledger(stage.pool)).jobs
        await jobs.start(Job(), idempotency_key=HELD, aggregation_id=HELD, connection=connection)
        command = [sys.executable, "-m", "tests.faults.keyed", dsn, "50"]
        other = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
        told = json.loads((await asyncio.to_thread(other.communicate))[0])
    assert told == {"held": "busy", "others": ["created"] * 100}
