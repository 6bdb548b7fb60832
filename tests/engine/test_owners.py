"""A journal names the processes that had a saga, so that who owned it is told after they are gone."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime, timedelta

from saga_fn import FixedRetry, SagaAdmin, StepRef, saga, step
from tests.support.stores import Make
from tests.support.until import suspended

HERE = f"{socket.gethostname()}:{os.getpid()}"
_failures: list[int] = []


@step(retry_policy=FixedRetry(max_attempts=2, delay=timedelta(seconds=60)))
async def deliver(parcel: int) -> int:
    if parcel not in _failures:
        _failures.append(parcel)
        raise ConnectionError("the line is down")
    return parcel


@saga("parcel")
def parcel_saga(parcel: StepRef[int]) -> StepRef[int]:
    return deliver(parcel)


async def test_the_start_and_each_claim_name_their_process_and_nothing_else_does(make: Make) -> None:
    _failures[:] = [2]
    orchestrator = make()
    parcels = orchestrator.register(parcel_saga)
    async with orchestrator:
        at_once, later = await parcels.start(1), await parcels.start(2, delay=timedelta(milliseconds=20))
        admin = SagaAdmin(orchestrator)
        await later.result(timeout=20)
        await suspended(at_once)
        await admin.reschedule(at_once.id, datetime.now(UTC))
        await at_once.result(timeout=20)
        begun, waited = [(await admin.get_saga(run.id)).step_history for run in (at_once, later)]
    assert [entry.process for entry in begun if entry.kind == "started"] == [HERE]
    assert [entry.process for entry in waited if entry.kind == "started"] == [None]
    for history in (begun, waited):
        assert {entry.process for entry in history if entry.kind == "resumed"} == {HERE}
        assert {entry.process for entry in history if entry.kind not in ("started", "resumed")} == {None}


async def test_many_starts_in_one_statement_name_it_as_well(make: Make) -> None:
    _failures[:] = range(3)
    orchestrator = make()
    parcels = orchestrator.register(parcel_saga)
    async with orchestrator:
        runs = await parcels.start_many(range(3))
        for run in runs:
            await run.result(timeout=20)
        histories = [(await SagaAdmin(orchestrator).get_saga(run.id)).step_history for run in runs]
    owned = [entry.process for history in histories for entry in history if entry.process is not None]
    assert len(owned) >= len(runs)
    assert set(owned) == {HERE}
