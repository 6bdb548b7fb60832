"""A sender is killed around its events, which may have claimed their sagas: each is taken once all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from saga_fn import Delivery, SagaAdmin, SagaOrchestrator, SagaRun
from tests.faults.processes import Processes, processes
from tests.faults.waiter import DEFINITIONS, Answer, Start, answer, waits
from tests.support.until import SOON, suspended

SAGAS = 4
POINTS = [(point, where) for where in ("events:", "EventReceived:") for point in ("before", "in", "after")]


@pytest.fixture
async def sagas(dsn: str) -> AsyncIterator[SagaOrchestrator]:
    """This process, which starts, sends and looks."""
    async with SagaOrchestrator(dsn, concurrency=0) as orchestrator:
        for definition in DEFINITIONS:
            orchestrator.register(definition)
        yield orchestrator


@pytest.fixture
def workers(dsn: str) -> Iterator[Processes]:
    """Those who work, and send."""
    with processes("tests.faults.waiter", dsn) as begun:
        yield begun


async def assert_taken_once(sagas: SagaOrchestrator, run: SagaRun[int]) -> None:
    assert await run.result(SOON) == 7
    admin = SagaAdmin(sagas)
    history = (await admin.get_saga(run.id)).step_history
    assert [entry.kind for entry in history].count("event_received") == 1
    assert await admin.verify(run.id) == []


@pytest.mark.parametrize("by_key", [False, True], ids=["by id", "by key"])
@pytest.mark.parametrize("point, where", POINTS, ids=[f"{point} {where[:-1]}" for point, where in POINTS])
async def test_a_sender_that_is_killed_around_its_events_loses_none_and_doubles_none(
    sagas: SagaOrchestrator, workers: Processes, point: str, where: str, by_key: bool
) -> None:
    runs = [
        await sagas.handle(waits).start(Start(), aggregation_id=f"key-{number}" if by_key else None)
        for number in range(SAGAS)
    ]
    with workers.killed():
        for run in runs:
            await suspended(run)
    targets = [f"key-{number}" if by_key else str(run.id) for number, run in enumerate(runs)]
    sender = workers.begin(point, where, str(SAGAS // 2), *targets)
    await workers.died(sender)
    workers.begin()
    again = await asyncio.gather(
        *[
            sagas.to(("waits", target) if by_key else run.id, answer).send(Answer(7), event_id="m1")
            for target, run in zip(targets, runs, strict=True)
        ]
    )
    assert set(again) <= {Delivery.ACCEPTED, Delivery.DUPLICATE, Delivery.BUFFERED, Delivery.KEPT}
    for run in runs:
        await assert_taken_once(sagas, run)
