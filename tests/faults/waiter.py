"""A worker process whose sagas wait: `python -m tests.faults.waiter DSN [POINT EVENT:STEP MANY [SAGA ...]]`.

With POINT it kills itself there, see `tests.faults.death`. To each SAGA, an id or the business key of a saga `waits`, it sends
the event that it waits for, all at once. A saga `race` says on standard output when each of its steps
is about to return, and the number of that step, so that another process can send it an event just then.
"""

from __future__ import annotations

import asyncio
import random
import sys
from datetime import timedelta
from uuid import UUID

import msgspec

from saga_fn import Event, SagaBuilder, SagaDefinition, SagaOrchestrator, StepContext, StepRef, saga, sleep, step
from tests.faults.death import die_at

ROUNDS = 4
BRIEFLY = timedelta(milliseconds=300)
LONG = timedelta(minutes=10)


class Start(msgspec.Struct, frozen=True):
    name: str = ""


class Answer(msgspec.Struct, frozen=True):
    number: int


answer = Event("answer", Answer)


def race() -> SagaDefinition[Start, list[int]]:
    """Ask and wait, so many times; the result is what was answered."""

    async def ask(inp: Start, ctx: StepContext) -> UUID:
        print(ctx.saga_id, ctx.step_id.removeprefix("ask "), flush=True)
        await asyncio.sleep(random.uniform(0.0, 0.5))  # about as long as an event takes that is sent now
        return ctx.saga_id

    async def collect(inp: list[int]) -> list[int]:
        return inp

    builder = SagaBuilder(Start)
    waits: list[StepRef[Answer]] = []
    for number in range(ROUNDS):
        builder.add_step(step(ask, step_id=f"ask {number}"), depends_on=builder.initial)
        waits.append(builder.add_event(answer, step_id=f"wait {number}"))
    collected = builder.add_step(step(collect), input_map=lambda ctx: [ctx.output(wait).number for wait in waits])
    return builder.build(output=collected)


@step
async def note(inp: int) -> int:
    return inp


async def undo(inp: Start, out: int) -> None:
    """Nothing that could be told apart."""


@step(compensate=undo)
async def first(inp: Start) -> int:
    return 1


@saga("waits")
def waits(start: StepRef[Start]) -> StepRef[int]:
    """Do something, wait for as long as it takes, and go on."""
    first(start)
    return note(answer.wait(), using=lambda found: found.number)


@saga("impatient")
def impatient(start: StepRef[Start]) -> StepRef[int]:
    """Wait for a moment only, then roll back."""
    first(start)
    return note(answer.wait(timeout=BRIEFLY), using=lambda found: found.number)


@saga("content")
def content(start: StepRef[Start]) -> StepRef[int]:
    """Wait for a moment only, then go on without."""
    return note(answer.wait(timeout=BRIEFLY, default=Answer(-1)), using=lambda found: found.number)


@saga("sleepy")
def sleepy(start: StepRef[Start]) -> StepRef[int]:
    """Sleep between two steps."""
    one = first(start)
    sleep(BRIEFLY)
    return note(one)


DEFINITIONS = (waits, impatient, content, sleepy)


async def main(dsn: str, point: str = "", where: str = ":", many: str = "1", *sagas: str) -> None:
    """Work until SIGTERM, or until that point."""
    event, _, step_id = where.partition(":")
    # A test waits for the lease of one that dies. One that lives keeps what it works on, on a busy machine, too.
    lease = timedelta(seconds=1 if point else 15)
    orchestrator = SagaOrchestrator(
        dsn, concurrency=256, lease=lease, poll_interval=timedelta(milliseconds=100), pool_size=2
    )
    orchestrator.register("race", race())
    for definition in DEFINITIONS:
        orchestrator.register(definition)
    if point:
        die_at(orchestrator.engine.store, point, event, step_id, int(many))
    if sagas:
        async with orchestrator:
            await asyncio.sleep(0.3)  # it looks for work, and so has slots
            targets = [("waits", saga) if saga.startswith("key") else UUID(saga) for saga in sagas]
            await asyncio.gather(*[orchestrator.to(to, answer).send(Answer(7), event_id="m1") for to in targets])
        return
    await orchestrator.run_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
