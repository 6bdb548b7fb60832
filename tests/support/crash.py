"""The death of a process, as far as one can die inside of the tests' own."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import msgspec

from saga_fn import SagaOrchestrator
from saga_fn.store.records import time_of


async def born(orchestrator: SagaOrchestrator) -> SagaOrchestrator:
    """Enter an orchestrator that is never left, because its process `dies`."""
    return await AsyncExitStack().enter_async_context(orchestrator)


async def dies(orchestrator: SagaOrchestrator, *, leases_are_over: bool = True) -> None:
    """Its process dies: whatever goes on is cut off, and nothing more is written.

    Its leases are over at once, unless they are to last: a short lease would end before that on a slow machine, too.
    """
    for interpreter in list(orchestrator.engine.held.values()):
        interpreter.leave_to_lease()
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    if leases_are_over:
        await end_leases(orchestrator)
    await orchestrator.engine.store.close()


async def end_leases(orchestrator: SagaOrchestrator) -> None:
    """Let time pass for the store: the leases of this process's sagas are over now. The process knows of them as before."""
    store: Any = orchestrator.engine.store  # Any: the stores' private parts
    owner = orchestrator.engine.owner
    if (sagas := getattr(store, "_sagas", None)) is None:
        async with store._database.work() as connection:
            await connection.execute("UPDATE saga_fn.saga SET due_at = now() WHERE owner = $1", owner)
        return
    for saga in sagas.values():
        if saga.record.owner == owner:
            saga.record = msgspec.structs.replace(saga.record, due_at=time_of(store.now()))
