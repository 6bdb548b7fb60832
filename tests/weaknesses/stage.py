"""What the tests of weaknesses share: the smallest saga, waiting for a condition, and the death of a process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import attrs

from saga_fn import SagaBuilder, SagaDefinition, SagaOrchestrator, SagaRun, SagaStatus, StepOptions, step
from tests.engine.shop import Done, Order

SOON = 20.0
"""Seconds that nothing here takes, but on a machine that does not move."""


def one_step(
    work: Callable[[Order], Awaitable[Done]], options: StepOptions | None = None
) -> SagaDefinition[Order, Done]:
    """A saga of one step."""
    builder = SagaBuilder(Order)
    only = builder.add_step(step(work), depends_on=builder.initial, **(options or {}))
    return builder.build(output=only)


@attrs.define
class Counted:
    """A step that counts how often it was begun, by order, and takes `seconds` (None: until it is cut short)."""

    seconds: float | None = 0.0
    begun: list[str] = attrs.field(factory=list)

    async def work(self, inp: Order) -> Done:
        self.begun.append(inp.order_id)
        if self.seconds is None:
            await asyncio.Event().wait()
        else:
            await asyncio.sleep(self.seconds)
        return Done(inp.order_id)


async def until(condition: Callable[[], bool]) -> None:
    """Return as soon as the condition holds."""
    async with asyncio.timeout(SOON):
        while not condition():
            await asyncio.sleep(0.002)


async def suspended(run: SagaRun[object]) -> None:
    """Return as soon as the saga waits, for a retry or a person."""
    async with asyncio.timeout(SOON):
        while (await run.snapshot()).status is not SagaStatus.SUSPENDED:
            await asyncio.sleep(0.005)


async def born(orchestrator: SagaOrchestrator) -> SagaOrchestrator:
    """Enter an orchestrator that is never left, because its process `dies`."""
    return await AsyncExitStack().enter_async_context(orchestrator)


async def dies(orchestrator: SagaOrchestrator) -> None:
    """Its process dies, as far as one can here: whatever goes on is cut off, and nothing more is written."""
    for interpreter in list(orchestrator.engine.held.values()):
        interpreter.abandon()
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    await orchestrator.engine.store.close()
