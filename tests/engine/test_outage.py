"""A broker that is down for a while under load: nothing is lost, no saga is held up, memory has a bound, and all comes in order.

`SAGA_FN_OUTAGE_SECONDS` says for how long it is down: by hand 60, say.
"""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta

import pytest

from saga_fn import SagaAdmin, SagaOrchestrator
from saga_fn.outgoing import OutgoingOptions
from tests.support.broker import Broker
from tests.support.ordering import Order, ordering
from tests.support.until import SOON

SECONDS = float(os.environ.get("SAGA_FN_OUTAGE_SECONDS", "3"))
ROOM = 50
OPTIONS = OutgoingOptions(
    timeout=timedelta(milliseconds=500),
    first_delay=timedelta(milliseconds=100),
    longest_delay=timedelta(seconds=1),
    waiting=ROOM,
)


@pytest.mark.timeout(SECONDS + 4 * SOON)
@pytest.mark.parametrize("lease", [0.4, 30.0], ids=["a lease shorter than the pauses", "a long lease"])
@pytest.mark.parametrize("hangs", [False, True], ids=["it raises", "it hangs"])
async def test_a_broker_that_is_down_under_load_loses_nothing_and_holds_up_no_saga(
    dsn: str, lease: float, hangs: bool
) -> None:
    broker, loop = Broker(), asyncio.get_running_loop()
    async with SagaOrchestrator(
        dsn, publishers={"*": broker}, outgoing=OPTIONS, lease=timedelta(seconds=lease)
    ) as orchestrator:
        handle = orchestrator.register(ordering)
        if hangs:
            broker.open.clear()
        else:
            broker.down = ConnectionError("away")
        sagas, most, until = 0, 0, loop.time() + SECONDS
        while loop.time() < until:
            runs = await handle.start_many([Order(number) for number in range(sagas, sagas + 20)])
            sagas += len(runs)
            for run in runs:
                await run.result(SOON)
            most = max(most, *(lane.messages for lane in orchestrator.engine.relay.lanes))
            await asyncio.sleep(0.05)
        assert broker.messages == []
        broker.down = None
        broker.open.set()
        found = await broker.until(2 * sagas)
        back = loop.time() - until
        assert not await SagaAdmin(orchestrator).outgoing(), "none died of it"
    print(
        f"{sagas} sagas ended in {SECONDS:.0f} s, at most {most} messages in memory, all published {back:.1f} s later"
    )
    assert most <= ROOM
    assert len(found) == 2 * sagas
    assert {tuple(each.topic for each in of) for of in broker.by_saga.values()} == {
        ("orders.charged", "orders.shipped")
    }
