"""A saga that publishes a message a step, beside the same saga that publishes none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from saga_fn import Outgoing, SagaBuilder, SagaDefinition, SagaOrchestrator, step
from saga_fn.embedded import EmbeddedPostgres
from saga_fn.outgoing import OutgoingMessage, Published, PublishOutcome
from tests.bench.report import Report, Value, median
from tests.bench.sagas import STEPS, Data

IN_FLIGHT = (1, 16, 100)


class _Sink:
    """A broker that takes everything at once."""

    def __init__(self) -> None:
        self.messages = 0

    async def publish(self, messages: Sequence[OutgoingMessage], /) -> Sequence[PublishOutcome]:
        self.messages += len(messages)
        return [Published() for _ in messages]


def _definition(*, publishes: bool) -> SagaDefinition[Data, Data]:
    async def work(inp: Data) -> Data:
        return inp

    builder = SagaBuilder(Data)
    last = builder.initial
    for number in range(STEPS):
        does = step(work, publishes=Outgoing("bench")) if publishes else step(work)
        last = builder.add_step(does, depends_on=last, step_id=f"step_{number}")
    return builder.build(output=last)


async def run(server: EmbeddedPostgres, report: Report, *, rounds: int, seconds: int) -> None:
    """Each round measures both, one after the other, so that the machine does the same to either."""
    rows: list[list[Value]] = []
    for in_flight in IN_FLIGHT:
        quiet: list[float] = []
        loud: list[float] = []
        for round_ in range(rounds):
            for publishes, seen in ((False, quiet), (True, loud)):
                schema = f"outgoing_{in_flight}_{round_}_{publishes}".lower()
                seen.append(await _once(server.dsn, schema, in_flight, seconds, publishes=publishes))
        without, with_messages = median(quiet), median(loud)
        rows.append([in_flight, without, with_messages, f"{without / with_messages:.2f}x"])
    columns = ["in flight", "sagas/s without messages", "sagas/s with a message a step", "takes"]
    report.table(f"Messages out: {STEPS} steps, median of {rounds}; a saga may take 1.5 times as long", columns, rows)


async def _once(dsn: str, schema: str, in_flight: int, seconds: int, *, publishes: bool) -> float:
    """Sagas a second, until the last of their messages is published and gone."""
    sink = _Sink()
    async with SagaOrchestrator(
        dsn, schema=schema, migrate=True, concurrency=2 * in_flight + 8, publishers={"bench": sink}
    ) as orchestrator:
        handle = orchestrator.register("bench", _definition(publishes=publishes))
        done, until = 0, time.perf_counter() + seconds
        begun = time.perf_counter()

        async def worker() -> None:
            nonlocal done
            while time.perf_counter() < until:
                await handle.run(Data())
                done += 1

        await asyncio.gather(*(worker() for _ in range(in_flight)))
        while (await orchestrator.engine.store.outgoing.counts()).waiting:
            await asyncio.sleep(0.01)
        assert sink.messages >= (STEPS * done if publishes else 0), "each message was published"
        return done / (time.perf_counter() - begun)
