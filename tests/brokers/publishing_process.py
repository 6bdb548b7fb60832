"""A process that starts sagas which publish to NATS, until a test kills it."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

from saga_fn import SagaOrchestrator, StepContext, StepRef, saga, step
from saga_fn.nats import NatsPublisher
from saga_fn.outgoing import OutgoingOptions

STEPS = 3
LEASE = timedelta(seconds=1)
OPTIONS = OutgoingOptions(
    first_delay=timedelta(milliseconds=50), longest_delay=timedelta(milliseconds=200), max_attempts=10_000
)


@step
async def tell(number: int, ctx: StepContext) -> int:
    ctx.publish("orders.told", number, key=str(ctx.saga_id))
    return number + 1


@saga("telling")
def telling(zero: StepRef[int]) -> StepRef[int]:
    return tell(tell(tell(zero, step_id="first"), step_id="second"), step_id="third")


async def main(dsn: str, address: str, number: int) -> None:
    publisher = NatsPublisher(address, timeout=timedelta(seconds=2))
    async with SagaOrchestrator(
        dsn, publishers={"orders.*": publisher}, outgoing=OPTIONS, lease=LEASE, poll_interval=timedelta(seconds=0.2)
    ) as orchestrator:
        handle = orchestrator.register(telling)
        for count in range(number):
            print((await handle.start(0)).id, flush=True)
            if count % 10 == 9:
                await asyncio.sleep(0.02)
        await asyncio.sleep(3600)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
