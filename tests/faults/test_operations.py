"""An operation on many sagas goes on when its process is killed, and asks no saga twice."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from saga_fn import FixedRetry, OperationState, RetryStep, SagaAdmin, SagaFilter, SagaOrchestrator, WaitReason
from tests.faults.processes import Processes
from tests.support.shop import Order, Shop, make_saga
from tests.support.until import SOON, suspended

MANY = 40
RARELY = FixedRetry(max_attempts=9, delay=timedelta(hours=1))


async def test_an_operation_whose_process_is_killed_is_carried_on_by_another(dsn: str) -> None:
    processes = Processes("tests.faults.carrier", dsn)
    try:
        async with SagaOrchestrator(dsn, concurrency=0, lease=timedelta(seconds=1)) as orchestrator:
            handle = orchestrator.register("shop", make_saga(Shop(fails={"charge": MANY}), retry=RARELY))
            runs = await handle.start_many([Order(str(each)) for each in range(MANY)])
            while await orchestrator.run_due():
                pass
            for run in runs:
                await suspended(run)
            admin = SagaAdmin(orchestrator, actor="ann@shop")
            waiting = SagaFilter(saga_name="shop", waits=WaitReason.RETRY)
            begun = await admin.begin_operation(waiting, RetryStep("charge"), per_second=8)
            for killed_at in (1, 12):
                with processes.killed():
                    async with asyncio.timeout(SOON):
                        while (await admin.get_operation(begun.id)).done < killed_at:
                            await asyncio.sleep(0.01)
            left = await admin.get_operation(begun.id)
            assert left.state is OperationState.RUNNING
            done = await admin.continue_operation(begun.id)
            assert (done.state, done.done, done.refused) == (OperationState.DONE, MANY, 0)
            for run in runs:
                kinds = [entry.kind for entry in (await admin.get_saga(run.id)).step_history]
                assert kinds.count("retry_requested") == 1
    finally:
        processes.stop()
