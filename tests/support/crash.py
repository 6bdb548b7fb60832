"""The death of a process, as far as one can die inside of the tests' own."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from saga_fn import SagaOrchestrator


async def born(orchestrator: SagaOrchestrator) -> SagaOrchestrator:
    """Enter an orchestrator that is never left, because its process `dies`."""
    return await AsyncExitStack().enter_async_context(orchestrator)


async def dies(orchestrator: SagaOrchestrator) -> None:
    """Its process dies: whatever goes on is cut off, and nothing more is written."""
    for interpreter in list(orchestrator.engine.held.values()):
        interpreter.leave_to_lease()
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    await orchestrator.engine.store.close()
