"""What is measured: sagas of steps that do nothing but return 200 bytes."""

from __future__ import annotations

import asyncio
import statistics
import time

import attrs
import msgspec

from saga_fn import SagaBuilder, SagaDefinition, SagaHandle, SagaOrchestrator, step

PAYLOAD = "x" * 200


class Data(msgspec.Struct, frozen=True):
    """Input and output of every step: 200 bytes."""

    text: str = PAYLOAD


def sequence(steps: int) -> SagaDefinition[Data, Data]:
    """So many steps, one after another."""

    async def work(inp: Data) -> Data:
        return inp

    builder = SagaBuilder(Data)
    ref = builder.initial
    for number in range(steps):
        ref = builder.add_step(step(work, step_id=f"step_{number}"), depends_on=ref)
    return builder.build(output=ref)


@attrs.frozen
class Measured:
    """How fast sagas ran: so many a second, each one's time from start to end in seconds, CPU seconds of this process."""

    per_second: float
    took: list[float]
    cpu: float

    def percentile(self, percent: int) -> float:
        """The time, in milliseconds, within which so many of a hundred sagas ended."""
        return statistics.quantiles(self.took, n=100, method="inclusive")[percent - 1] * 1e3


async def measure(handle: SagaHandle[Data, Data], *, in_flight: int, sagas: int) -> Measured:
    """Run sagas with so many of them in flight, each awaited by the caller that started it."""
    waiting = iter(range(sagas))
    took: list[float] = []

    async def one_after_another() -> None:
        for _ in waiting:
            begun = time.perf_counter()
            await (await handle.start(Data())).result(300)
            took.append(time.perf_counter() - begun)

    begun, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(one_after_another() for _ in range(in_flight)))
    return Measured(sagas / (time.perf_counter() - begun), took, time.process_time() - cpu)


def orchestrator(dsn: str, *, in_flight: int) -> SagaOrchestrator:
    """One that runs what it starts: a quarter of its slots never goes to starts."""
    return SagaOrchestrator(dsn, migrate=True, concurrency=in_flight * 2)
