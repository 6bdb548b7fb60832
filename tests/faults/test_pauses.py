"""Processes that are killed in a pause: before it, within it, and while it ends. Nothing begins, and moments are moved once."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import msgspec

from saga_fn import Completed, OperationState, SagaAdmin, SagaOrchestrator, SagaRun
from saga_fn.engine.drive.asked import Asked
from saga_fn.engine.requests.stored_operation import Ending, ending_of
from tests.faults.ledger import Job
from tests.faults.processes import Processes
from tests.faults.stage import Stage
from tests.support.shop import Order, Shop, make_saga
from tests.support.until import SOON

MANY = 40
HOUR = timedelta(hours=1)


async def test_a_process_that_is_killed_while_it_moves_moments_leaves_the_rest_to_another(dsn: str) -> None:
    processes = Processes("tests.faults.carrier", dsn)
    try:
        async with SagaOrchestrator(dsn, concurrency=0, lease=timedelta(seconds=1)) as orchestrator:
            admin, store = SagaAdmin(orchestrator), orchestrator.engine.store
            handle = orchestrator.register("shop", make_saga(Shop()))
            runs = await handle.start_many([Order(str(each)) for each in range(MANY)], delay=HOUR)
            before = {run.id: (await run.snapshot()).begins_at for run in runs}
            await admin.pause("shop")
            (pause,) = await store.pauses.read()
            slow = ending_of(pause, "resume", Asked("ann@shop"), store.now())
            request = msgspec.json.decode(slow.request, type=Ending)
            slow = msgspec.structs.replace(slow, request=msgspec.structs.replace(request, per_second=8).encode())
            begun = await store.operations.insert(slow)
            for killed_at in (1, 12):
                with processes.killed():
                    async with asyncio.timeout(SOON):
                        while (await admin.get_operation(begun.id)).done < killed_at:
                            await asyncio.sleep(0.01)
                assert len(await admin.pauses()) == 1
            assert (await admin.get_operation(begun.id)).state is OperationState.RUNNING
            assert await admin.resume("shop", extend=True)
            assert await admin.pauses() == ()
            for run in runs:
                seen = await admin.get_saga(run.id)
                was, now = before[run.id], seen.begins_at
                assert was is not None
                assert now is not None
                moved = [each.timestamp for each in seen.step_history if each.kind == "moments_moved"]
                assert now - was == moved[-1] - pause.since
                assert await admin.verify(run.id) == []
    finally:
        processes.stop()


async def test_a_saga_of_its_own_pause_stays_paused_whichever_process_is_killed(stage: Stage) -> None:
    admin = SagaAdmin(stage.orchestrator)
    run = await stage.sagas.jobs.start(Job(hangs="two"))
    with stage.processes.killed():  # before it is paused
        await stage.entered(run, "two")
    asked = asyncio.create_task(admin.pause_saga(run.id))  # its lease is running: the next owner answers
    with stage.processes.killed():  # in the pause: the lost step is not repeated
        await asked
        await asyncio.sleep(1.5)  # longer than a lease
    assert (await stage.executions()).by_step() == {"one": 1, "two": 1}
    await admin.resume_saga(run.id)
    with stage.processes.killed():  # after it
        await stage.entered_again(run, "two", 2)
    await stage.takes_over(run, end=Completed)
    assert (await stage.executions()).by_step() == {"one": 1, "two": 3, "three": 1}


async def test_a_saga_of_a_paused_name_stays_as_it_is_whichever_process_is_killed(stage: Stage) -> None:
    admin = SagaAdmin(stage.orchestrator)
    run = await stage.sagas.jobs.start(Job(hangs="two"))
    with stage.processes.killed():
        await stage.entered(run, "two")
        await admin.pause_all(reason="OPS-12")
        await told(admin, run, "paused", 1)
    with stage.processes.killed():
        await asyncio.sleep(1.5)  # longer than a lease
    assert (await stage.executions()).by_step() == {"one": 1, "two": 1}
    assert await admin.resume_all(extend=True)
    with stage.processes.killed():
        await stage.entered_again(run, "two", 2)
    await stage.takes_over(run, end=Completed)
    assert (await stage.executions()).by_step() == {"one": 1, "two": 3, "three": 1}


async def told(admin: SagaAdmin, run: SagaRun[Job], kind: str, times: int) -> None:
    """Wait until the journal has so many entries of that kind."""
    async with asyncio.timeout(SOON):
        while [each.kind for each in (await admin.get_saga(run.id)).step_history].count(kind) < times:
            await asyncio.sleep(0.02)
