"""Sagas of the examples, some at their ends and some on their way, exported: `python -m tests.examples.exported`.

The file stands for sagas that production has begun by an older build. Write it anew only where an example means to be another saga.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from saga_fn import MemoryStore, SagaOrchestrator, SagaRun
from saga_fn.examples import branches, events, failures, shop, time, waiting_undo, web
from saga_fn.testing import World

EXPORTED: Final = Path(__file__).with_name("exported.jsonl")
BEGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)


def this_build() -> SagaOrchestrator:
    """An orchestrator that has the examples of today registered."""
    orchestrator = SagaOrchestrator(MemoryStore())
    orchestrator.register(shop.order_saga)
    orchestrator.register(events.large_order)
    orchestrator.register(failures.sell)
    orchestrator.register(branches.book)
    orchestrator.register(time.trial)
    orchestrator.register(waiting_undo.sell_ticket)
    orchestrator.register(web.create_order)
    return orchestrator


async def awaits_approval(world: World) -> SagaRun[Any]:  # Any: as results of all types stand side by side
    """It waits for an event."""
    return await world.register(shop.order_saga).start(shop.Order(order_id="7", cents=900))


async def approved(world: World) -> SagaRun[Any]:  # Any: as above
    """It is COMPLETED, after a crash whose outcome was found out."""
    run = await awaits_approval(world)
    world.fake(shop.charge, returns="receipt")
    world.crash(shop.charge, at="after")
    await world.send(run, shop.approval, shop.Approval(by="ann"))
    return run


async def rejected(world: World) -> SagaRun[Any]:  # Any: as above
    """It is COMPENSATED."""
    run = await world.register(events.large_order).start(events.Order("1"))
    await world.send(run, events.rejected, events.Rejected("dear"))
    return run


async def unshipped(world: World) -> SagaRun[Any]:  # Any: as above
    """It waits for a person, past its pivot."""
    return await world.register(failures.sell).start(failures.Order("1", address="unknown"))


async def booked(world: World) -> SagaRun[Any]:  # Any: as above
    """It is COMPLETED, with branches and items."""
    return await world.register(branches.book).start(branches.Journey("1", ["ann", "bob"], price=5000))


async def given_back(world: World) -> SagaRun[Any]:  # Any: as above
    """It is COMPENSATED, with branches and items."""
    return await world.register(branches.book).start(branches.Journey("1", ["ann", "nobody"], price=300))


async def asleep(world: World) -> SagaRun[Any]:  # Any: as above
    """It sleeps."""
    trials = world.register(time.trial)
    world.fake(time.grant, returns=time.Access("ann", BEGIN + timedelta(days=60)))
    return await trials.start(time.Trial("ann"))


async def awaits_refund(world: World) -> SagaRun[Any]:  # Any: as above
    """A compensation of it waits."""
    return await world.register(waiting_undo.sell_ticket).start(waiting_undo.Order("1"))


async def charged(world: World) -> SagaRun[Any]:  # Any: as above
    """It is COMPLETED."""
    return await world.register(web.create_order).start(web.Order("7", 900))


SAGAS: Final[tuple[Callable[[World], Awaitable[SagaRun[Any]]], ...]] = (  # Any: as above
    awaits_approval,
    approved,
    rejected,
    unshipped,
    booked,
    given_back,
    asleep,
    awaits_refund,
    charged,
)


async def line(begun: Callable[[World], Awaitable[SagaRun[Any]]]) -> str:  # Any: as above
    """The saga an hour later, exported."""
    async with World(start=BEGIN) as world:
        run = await begun(world)
        await world.advance(timedelta(hours=1))
        told = await world.admin.export(run.id)
    return re.sub('"process":"[^"]*"', '"process":"shop:1"', told)


def main() -> None:
    """Write the file."""
    EXPORTED.write_text("".join(f"{asyncio.run(line(each))}\n" for each in SAGAS), encoding="utf-8")


if __name__ == "__main__":
    main()
