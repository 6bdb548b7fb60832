"""What is measured: sagas of steps that do nothing but return what they were given."""

from __future__ import annotations

import asyncio
import statistics
import time

import msgspec

from saga_fn import SagaBuilder, SagaDefinition, SagaHandle, SagaOrchestrator, step

STEPS = 3
BYTES = 200


class Shape(msgspec.Struct, frozen=True):
    """So many sagas at once in so many processes, each of so many steps with so large an input and output."""

    in_flight: int
    steps: int = STEPS
    bytes: int = BYTES
    fails: bool = False
    """The last step fails, and all others are undone."""
    processes: int = 1
    uvloop: bool = False
    tuned: bool = False
    """By `saga_fn.tuning.run`: uvloop, and the garbage collector's settings."""

    @property
    def transitions(self) -> int:
        """Durable transitions of one saga: its start, each step, and each step undone."""
        return 1 + self.steps + (self.steps - 1 if self.fails else 0)


class Data(msgspec.Struct, frozen=True):
    """Input and output of every step."""

    text: str = "x" * BYTES


def sequence(steps: int, *, fails: bool = False) -> SagaDefinition[Data, Data]:
    """So many steps, one after another; the last may fail."""

    async def work(inp: Data) -> Data:
        return inp

    async def fail(inp: Data) -> Data:
        raise ValueError("no")

    async def undo(inp: Data, out: Data) -> None:
        return None

    builder = SagaBuilder(Data)
    ref = builder.initial
    for number in range(1, steps + 1):
        made = (
            step(fail, step_id="last")
            if fails and number == steps
            else step(work, compensate=undo, step_id=f"step_{number}")
        )
        ref = builder.add_step(made, depends_on=ref)
    return builder.build(output=ref)


class Measured(msgspec.Struct, frozen=True):
    """Sagas a second, the CPU seconds of the process for each, and how long one took, in milliseconds."""

    per_second: float
    cpu: float
    p50: float
    p99: float


async def measure(
    handle: SagaHandle[Data, Data], *, in_flight: int, sagas: int, bytes_: int = BYTES, fails: bool = False
) -> Measured:
    """Run so many sagas with so many of them in flight, the result of each awaited by the caller that started it."""
    waiting = iter(range(sagas))
    data = Data("x" * bytes_)
    took: list[float] = []

    async def one_after_another() -> None:
        for _ in waiting:
            begun = time.perf_counter()
            run = await handle.start(data)
            await (run.outcome(300) if fails else run.result(300))
            took.append(time.perf_counter() - begun)

    begun, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(one_after_another() for _ in range(in_flight)))
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    parts = statistics.quantiles(took, n=100, method="inclusive")
    return Measured(sagas / seconds, cpu / sagas, parts[49] * 1e3, parts[98] * 1e3)


def orchestrator(dsn: str, *, in_flight: int, schema: str = "saga_fn") -> SagaOrchestrator:
    """One that runs what it starts: a sixteenth of its slots never goes to starts."""
    return SagaOrchestrator(dsn, schema=schema, migrate=True, concurrency=in_flight * 2)
