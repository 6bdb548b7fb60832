"""Sagas that wait, and processes that die meanwhile, at each point of it, or send in the very moment it begins."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from uuid import UUID

import pytest

from saga_fn import (
    Compensated,
    Completed,
    Delivery,
    Outcome,
    SagaAdmin,
    SagaOrchestrator,
    SagaRun,
)
from saga_fn.engine.requests.outside_event import OutsideEvent, id_of
from tests.faults.processes import ROOT, Processes, processes
from tests.faults.waiter import DEFINITIONS, ROUNDS, Answer, Start, answer, content, impatient, race, sleepy, waits
from tests.support.until import SOON, suspended

TRIES = int(os.environ.get("SAGA_FN_RACES", "10000"))
"""How often an event is sent in the moment in which a saga gives itself up."""
PATIENCE = 600
"""Seconds that all of them may take; on a machine with nothing else to do it is half a minute."""
AT_ONCE = 250
SENDERS = 64


@pytest.fixture
async def sagas(dsn: str) -> AsyncIterator[SagaOrchestrator]:
    """This process, which starts, sends and looks."""
    async with SagaOrchestrator(dsn, concurrency=0) as orchestrator:
        for definition in DEFINITIONS:
            orchestrator.register(definition)
        yield orchestrator


@pytest.fixture
def workers(dsn: str) -> Iterator[Processes]:
    """Those who wait."""
    with processes("tests.faults.waiter", dsn) as begun:
        yield begun


async def assert_told_once(sagas: SagaOrchestrator, run: SagaRun[object], kind: str, times: int = 1) -> None:
    """The journal says so that often, and folds to the stored state."""
    admin = SagaAdmin(sagas)
    history = (await admin.get_saga(run.id)).step_history
    assert [entry.kind for entry in history].count(kind) == times
    assert await admin.verify(run.id) == []


async def test_killed_while_a_saga_waits(sagas: SagaOrchestrator, workers: Processes) -> None:
    run = await sagas.handle(waits).start(Start())
    with workers.killed():
        await suspended(run)
    assert await sagas.to(run.id, answer).send(Answer(7)) is Delivery.ACCEPTED
    workers.begin()
    assert await run.result(SOON) == 7
    await assert_told_once(sagas, run, "event_received")


async def test_the_sender_is_killed_between_the_message_and_its_match(
    sagas: SagaOrchestrator, workers: Processes, stranger: SagaOrchestrator
) -> None:
    """The scan finds the rows that it has left, though no process was told of them."""
    run = await sagas.handle(waits).start(Start())
    workers.begin()
    await suspended(run)
    message = OutsideEvent(id_of("answer", "m1"), "answer", b'{"number":7}').message()
    await stranger.engine.store.send(run.id, message)
    assert await run.result(SOON) == 7
    await assert_told_once(sagas, run, "event_received")


POINTS = [("claimed", ":"), ("before", "EventReceived:"), ("in", "EventReceived:"), ("after", "EventReceived:")]


@pytest.mark.parametrize("point, where", POINTS, ids=[point for point, _ in POINTS])
async def test_killed_between_the_message_and_its_match(
    sagas: SagaOrchestrator, workers: Processes, stranger: SagaOrchestrator, point: str, where: str
) -> None:
    run = await sagas.handle(waits).start(Start())
    with workers.killed():
        await suspended(run)
    reader = workers.begin(point, where)
    await asyncio.sleep(0.5)  # it is there, and looks
    sending = asyncio.create_task(stranger.to(run.id, answer).send(Answer(7), event_id="m1"))
    await workers.died(reader)
    workers.begin()
    assert await run.result(SOON) == 7
    assert await sending in (Delivery.ACCEPTED, Delivery.BUFFERED)
    assert await stranger.to(run.id, answer).send(Answer(8), event_id="m1") is Delivery.DUPLICATE
    await assert_told_once(sagas, run, "event_received")


TIMED = [
    (point, where)
    for point in ("before", "in", "after")
    for where in ("StepSucceeded:first", "Resumed:", "WaitDefaulted:answer")
]


@pytest.mark.parametrize("point, where", TIMED, ids=[f"{point}-{where}" for point, where in TIMED])
async def test_killed_around_a_timer(sagas: SagaOrchestrator, workers: Processes, point: str, where: str) -> None:
    """As a wait or a sleep begins, as it is over, and as a default is given: it is over once, and not before its time."""
    if where.startswith("Wait"):
        definitions = [content]
    elif where.startswith("Step"):
        definitions = [impatient, sleepy]
    else:
        definitions = [impatient, content, sleepy]
    runs = [await sagas.handle(each).start(Start()) for each in definitions]
    await workers.one_dies_at(point, where)
    workers.begin()
    ends: list[Outcome[int]] = [await run.outcome(SOON) for run in runs]
    for run, definition, end in zip(runs, definitions, ends, strict=True):
        assert isinstance(end, Compensated if definition is impatient else Completed), (definition.name, end)
        await assert_told_once(sagas, run, "wait_defaulted", times=1 if definition is content else 0)


@pytest.mark.timeout(PATIENCE + 60)
async def test_an_event_and_a_suspension_never_miss_each_other(
    sagas: SagaOrchestrator, stranger: SagaOrchestrator, dsn: str
) -> None:
    """Another process runs the sagas; whenever one is about to wait, this one sends it what it is going to wait for."""
    races = sagas.register("race", race())
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.waiter", dsn, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert worker.stdout is not None
    wanted = -(-TRIES // ROUNDS)
    sent: set[tuple[UUID, int]] = set()
    answers: Counter[Delivery] = Counter()
    slots = asyncio.Semaphore(SENDERS)
    deadline = time.monotonic() + PATIENCE

    async def send(saga_id: UUID, number: int) -> None:
        sender = stranger if number % 2 else sagas  # who may, reads the message in the owner's stead
        async with slots:
            answers[await sender.to(saga_id, answer).send(Answer(number), event_id=f"m{number}")] += 1

    async def hear(lines: asyncio.StreamReader, tasks: asyncio.TaskGroup) -> None:
        while len(sent) < wanted * ROUNDS:
            line = await asyncio.wait_for(lines.readline(), deadline - time.monotonic())
            saga_id, _, number = line.decode().partition(" ")
            waits_for = UUID(saga_id), int(number)
            if waits_for not in sent:  # a step that was repeated says so again
                sent.add(waits_for)
                tasks.create_task(send(*waits_for))

    try:
        async with asyncio.TaskGroup() as tasks:
            hearing = tasks.create_task(hear(worker.stdout, tasks))
            runs: list[SagaRun[list[int]]] = []
            while len(runs) < wanted:
                runs += await races.start_many([Start()] * min(AT_ONCE, wanted - len(runs)))
                await asyncio.gather(*(run.result(deadline - time.monotonic()) for run in runs[-AT_ONCE:]))
            await hearing
    finally:
        worker.kill()
        await worker.wait()
    results = [await run.result(SOON) for run in runs]
    assert all(result == list(range(ROUNDS)) for result in results), "none lost, none taken twice, in order"
    assert sum(answers.values()) >= TRIES
    assert set(answers) <= {Delivery.ACCEPTED, Delivery.BUFFERED}
    assert min(answers[Delivery.ACCEPTED], answers[Delivery.BUFFERED]) > 0, f"both sides of the window: {answers}"
