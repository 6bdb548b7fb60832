"""A process that starts a saga and is killed in the middle of its second step: `tests.otel.test_traces` begins it."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

from saga_fn import SagaOrchestrator
from saga_fn.otel import names, traces
from tests.otel.spans import Spans, attribute, place
from tests.support.shop import Order, Shop, make_saga


async def main(dsn: str) -> None:
    """Say under which context the saga was started, and stand still in `charge`."""
    spans = Spans()
    instruments = [traces(tracer_provider=spans.provider)]
    shop = Shop(hold=asyncio.Event())
    async with SagaOrchestrator(dsn, instruments=instruments, lease=timedelta(seconds=1)) as orchestrator:
        await orchestrator.register("shop", make_saga(shop)).start(Order("1"))
        start = await spans.until("saga.start shop")
        await spans.until("saga.step reserve")
        while "charge" not in shop.begun:
            await asyncio.sleep(0.005)
        print(place(start).trace_id, place(start).span_id, attribute(names.SAGA_ID)(start), flush=True)
        await asyncio.sleep(3600)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
