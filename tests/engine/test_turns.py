"""Suspects that wait for their turn: whatever comes for them waits with them."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import attrs
import msgspec

from saga_fn import Event, MemoryStore, SagaBuilder, SagaDefinition, SagaOrchestrator, step
from tests.support.crash import end_leases
from tests.support.shop import Order
from tests.support.until import SOON


class Approved(msgspec.Struct, frozen=True):
    by: str


APPROVED = Event("approved", Approved)


@attrs.define
class Killer:
    """Its first step may be what kills the process; the other one waits for an event."""

    runs: list[str] = attrs.field(factory=list)

    async def kill(self, inp: Order) -> str:
        self.runs.append("kill")
        await asyncio.Event().wait()
        return ""

    async def reserve(self, inp: Order) -> str:
        return inp.order_id

    async def ship(self, inp: Approved) -> str:
        self.runs.append("ship")
        return inp.by

    def definition(self) -> SagaDefinition[Order, str]:
        builder = SagaBuilder(Order, order="graph")
        builder.add_step(step(self.kill), depends_on=builder.initial)
        reserved = builder.add_step(step(self.reserve), depends_on=builder.initial)
        approved = builder.add_event(APPROVED, timeout=timedelta(hours=1), step_id="approved", after=reserved)
        return builder.build(output=builder.add_step(step(self.ship), depends_on=approved))


async def test_nothing_of_a_suspect_begins_before_its_turn_whatever_comes_for_it(memory: MemoryStore) -> None:
    killer = Killer()
    soon = timedelta(milliseconds=50)
    async with (
        asyncio.timeout(SOON),
        SagaOrchestrator(memory, poll_interval=soon, stop_timeout=soon) as orchestrator,
    ):
        engine = orchestrator.engine
        run = await orchestrator.register("kills", killer.definition()).start(Order("1"))
        for times in (1, 2):  # the process dies
            while killer.runs != ["kill"] * times or not (await run.snapshot()).waiting_for:
                await asyncio.sleep(0.01)
            engine.held[run.id].leave_to_lease()
            await end_leases(orchestrator)
        async with engine.suspects._turn:  # pyright: ignore[reportPrivateUsage]  # another's turn
            while not engine.suspects.waiting:
                await asyncio.sleep(0.01)
            del killer.runs[:]
            await orchestrator.to(run.id, APPROVED).send(Approved("me"))
            await asyncio.sleep(0.2)
            assert killer.runs == []
        while "ship" not in killer.runs:
            await asyncio.sleep(0.01)
        assert killer.runs == ["kill", "ship"], "each once"
