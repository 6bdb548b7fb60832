"""Sagas that wait, and processes that die meanwhile, at each point of it, or send in the very moment it begins."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from uuid import UUID

import attrs
import pytest

from saga_fn import (
    Compensated,
    Completed,
    Delivery,
    Outcome,
    SagaAdmin,
    SagaOrchestrator,
    SagaRun,
    SagaStatus,
)
from saga_fn.engine.sending import OutsideEvent, id_of
from tests.faults.conftest import ROOT, SOON
from tests.faults.waiter import ROUNDS, Answer, Start, answer, content, impatient, race, sleepy, waits

TRIES = int(os.environ.get("SAGA_FN_RACES", "10000"))
"""How often an event is sent in the moment in which a saga gives itself up."""
AT_ONCE = 250
SENDERS = 64


@attrs.define
class Stage:
    """One database, the processes that work on it, and this process, which starts, sends and looks."""

    dsn: str
    orchestrator: SagaOrchestrator
    stranger: SagaOrchestrator
    """Knows no definition, so that it can do no more than leave a letter."""
    processes: list[subprocess.Popen[bytes]] = attrs.field(factory=list)

    def work(self, *point: str) -> subprocess.Popen[bytes]:
        """Begin another worker process, which may kill itself at a point."""
        process = subprocess.Popen([sys.executable, "-m", "tests.faults.waiter", self.dsn, *point], cwd=ROOT)
        self.processes.append(process)
        return process

    async def suspended(self, run: SagaRun[object]) -> None:
        """Return when the saga waits."""
        async with asyncio.timeout(SOON):
            while (await run.snapshot()).status is not SagaStatus.SUSPENDED:
                await asyncio.sleep(0.01)

    async def assert_told_once(self, run: SagaRun[object], kind: str, times: int = 1) -> None:
        """The journal says so that often, and folds to the stored state."""
        admin = SagaAdmin(self.orchestrator)
        history = (await admin.get_saga(run.id)).step_history
        assert [entry.kind for entry in history].count(kind) == times
        assert await admin.verify(run.id) == []


@pytest.fixture
async def stage(dsn: str) -> AsyncIterator[Stage]:
    async with SagaOrchestrator(dsn, concurrency=0) as knowing, SagaOrchestrator(dsn, concurrency=0) as stranger:
        for definition in (waits, impatient, content, sleepy):
            knowing.register(definition)
        made = Stage(dsn, knowing, stranger)
        yield made
        for process in made.processes:
            if process.poll() is None:
                process.kill()
            process.wait()


async def test_killed_while_a_saga_waits(stage: Stage) -> None:
    run = await stage.orchestrator.handle(waits).start(Start())
    worker = stage.work()
    await stage.suspended(run)
    worker.kill()
    worker.wait()
    assert await stage.orchestrator.to(run.id, answer).send(Answer(7)) is Delivery.ACCEPTED
    stage.work()
    assert await run.result(SOON) == 7
    await stage.assert_told_once(run, "event_received")


async def test_the_sender_is_killed_between_the_letter_and_its_match(stage: Stage) -> None:
    """What it has left is found by the scan, though nobody was told of it."""
    run = await stage.orchestrator.handle(waits).start(Start())
    stage.work()
    await stage.suspended(run)
    letter = OutsideEvent(id_of("m1"), "answer", b'{"number":7}').letter()
    await stage.stranger.engine.store.send(run.id, letter)
    assert await run.result(SOON) == 7
    await stage.assert_told_once(run, "event_received")


POINTS = [("claimed", ":"), ("before", "EventReceived:"), ("in", "EventReceived:"), ("after", "EventReceived:")]


@pytest.mark.parametrize("point, where", POINTS, ids=[point for point, _ in POINTS])
async def test_killed_between_the_letter_and_its_match(stage: Stage, point: str, where: str) -> None:
    run = await stage.orchestrator.handle(waits).start(Start())
    waiting = stage.work()
    await stage.suspended(run)
    waiting.kill()
    waiting.wait()
    first = stage.work(point, where)
    await asyncio.sleep(0.5)  # it is there, and looks
    sending = asyncio.create_task(stage.stranger.to(run.id, answer).send(Answer(7), event_id="m1"))
    assert await asyncio.to_thread(first.wait, SOON) == -signal.SIGKILL, "it got to that point"
    stage.work()
    assert await run.result(SOON) == 7
    assert await sending in (Delivery.ACCEPTED, Delivery.BUFFERED)
    assert await stage.stranger.to(run.id, answer).send(Answer(8), event_id="m1") is Delivery.DUPLICATE
    await stage.assert_told_once(run, "event_received")


TIMED = [
    (point, where)
    for point in ("before", "in", "after")
    for where in ("StepSucceeded:first", "Resumed:", "WaitDefaulted:answer")
]


@pytest.mark.parametrize("point, where", TIMED, ids=[f"{point}-{where}" for point, where in TIMED])
async def test_killed_around_a_timer(stage: Stage, point: str, where: str) -> None:
    """As a wait or a sleep begins, as it is over, and as a default is given: it is over once, and not before its time."""
    if where.startswith("Wait"):
        definitions = [content]
    elif where.startswith("Step"):
        definitions = [impatient, sleepy]
    else:
        definitions = [impatient, content, sleepy]
    runs = [await stage.orchestrator.handle(each).start(Start()) for each in definitions]
    first = stage.work(point, where)
    assert await asyncio.to_thread(first.wait, SOON) == -signal.SIGKILL, "it got to that point"
    stage.work()
    ends: list[Outcome[int]] = [await run.outcome(SOON) for run in runs]
    for run, definition, end in zip(runs, definitions, ends, strict=True):
        assert isinstance(end, Compensated if definition is impatient else Completed), (definition.name, end)
        await stage.assert_told_once(run, "wait_defaulted", times=1 if definition is content else 0)


async def test_an_event_and_a_suspension_never_miss_each_other(stage: Stage) -> None:
    """Another process runs the sagas; whenever one is about to wait, this one sends it what it is going to wait for."""
    races = stage.orchestrator.register("race", race())
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.waiter", stage.dsn, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert worker.stdout is not None
    sagas = -(-TRIES // ROUNDS)
    sent: Counter[UUID] = Counter()
    answers: Counter[Delivery] = Counter()
    slots = asyncio.Semaphore(SENDERS)
    deadline = time.monotonic() + 600

    async def send(saga_id: UUID, number: int) -> None:
        sender = stage.stranger if number % 2 else stage.orchestrator  # who may, reads the letter in the owner's stead
        async with slots:
            answers[await sender.to(saga_id, answer).send(Answer(number), event_id=f"m{number}")] += 1

    async def hear(lines: asyncio.StreamReader, tasks: asyncio.TaskGroup) -> None:
        for _ in range(sagas * ROUNDS):
            line = await asyncio.wait_for(lines.readline(), deadline - time.monotonic())
            saga_id = UUID(line.decode().strip())
            tasks.create_task(send(saga_id, sent[saga_id]))
            sent[saga_id] += 1

    try:
        async with asyncio.TaskGroup() as tasks:
            hearing = tasks.create_task(hear(worker.stdout, tasks))
            runs: list[SagaRun[list[int]]] = []
            while len(runs) < sagas:
                runs += await races.start_many([Start()] * min(AT_ONCE, sagas - len(runs)))
                await asyncio.gather(*(run.result(SOON) for run in runs[-AT_ONCE:]))
            await hearing
    finally:
        worker.kill()
        await worker.wait()
    results = [await run.result(SOON) for run in runs]
    assert all(result == list(range(ROUNDS)) for result in results), "none lost, none taken twice, in order"
    assert sum(answers.values()) >= TRIES
    assert set(answers) <= {Delivery.ACCEPTED, Delivery.BUFFERED}
    assert min(answers[Delivery.ACCEPTED], answers[Delivery.BUFFERED]) > 0, f"both sides of the window: {answers}"
