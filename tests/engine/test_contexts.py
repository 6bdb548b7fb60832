"""Steps, compensations, input maps, retries and timers run in contexts of their own, whichever caller's request is there meanwhile."""

from __future__ import annotations

import asyncio
import contextvars
from datetime import timedelta

import attrs

from saga_fn import FixedRetry, SagaBuilder, SagaDefinition, SagaRun, step
from tests.support.shop import Done, Order
from tests.support.stores import Make
from tests.support.until import SOON

REQUESTS = 40
TENANT: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")


@attrs.define
class Seen:
    """What was seen of the tenant, by whom."""

    lines: list[tuple[str, str]] = attrs.field(factory=list)
    failed: set[str] = attrs.field(factory=set)

    def note(self, who: str) -> None:
        self.lines.append((who, TENANT.get()))

    async def first(self, inp: Order) -> Done:
        self.note("step")
        TENANT.set(f"left behind by {inp.order_id}")
        return Done(inp.order_id)

    async def unfirst(self, inp: Order, out: Done) -> None:
        self.note("compensation")

    async def retried(self, inp: Order) -> Done:
        self.note("retry")
        TENANT.set("left behind")
        if inp.order_id not in self.failed:
            self.failed.add(inp.order_id)
            raise ValueError("once")
        return Done(inp.order_id)

    async def unretried(self, inp: Order, out: Done) -> None:
        self.note("compensation")
        if f"un{inp.order_id}" not in self.failed:
            self.failed.add(f"un{inp.order_id}")
            raise ValueError("once")

    async def last(self, inp: Order) -> Done:
        self.note("after a timer")
        raise RuntimeError("turn back")

    def given(self, order: Order) -> Order:
        self.note("input map")
        return order


def definition(seen: Seen) -> SagaDefinition[Order, Done]:
    again = FixedRetry(max_attempts=3, delay=timedelta(milliseconds=5))
    builder = SagaBuilder(Order)
    builder.add_step(step(seen.first, compensate=seen.unfirst), depends_on=builder.initial, input_map=seen.given)
    builder.add_step(
        step(seen.retried, compensate=seen.unretried, retry_policy=again, compensation_retry_policy=again),
        depends_on=builder.initial,
        input_map=seen.given,
    )
    builder.add_sleep(timedelta(milliseconds=5))
    return builder.build(output=builder.add_step(step(seen.last), depends_on=builder.initial, input_map=seen.given))


async def test_no_request_is_seen_by_the_sagas_of_another(make: Make) -> None:
    seen = Seen()
    async with make(concurrency=8, poll_interval=timedelta(milliseconds=20)) as orchestrator:
        handle = orchestrator.register("tenants", definition(seen))

        async def request(number: int) -> None:
            TENANT.set(f"tenant {number}")
            run: SagaRun[Done] = await handle.start(Order(str(number)))
            if number % 2:
                await run.outcome(SOON)

        await asyncio.gather(*[asyncio.create_task(request(number)) for number in range(REQUESTS)])
        async with asyncio.timeout(SOON):
            while sum(who == "compensation" for who, _ in seen.lines) < 3 * REQUESTS:
                await asyncio.sleep(0.01)
    assert {tenant for _, tenant in seen.lines} == {"nobody"}
    assert {who for who, _ in seen.lines} == {"step", "retry", "after a timer", "compensation", "input map"}


async def test_whoever_drives_a_saga_by_hand_is_not_seen_either(make: Make) -> None:
    seen = Seen()
    async with make(concurrency=0, poll_interval=timedelta(milliseconds=20)) as orchestrator:
        handle = orchestrator.register("tenants", definition(seen))
        TENANT.set("whoever calls")
        run = await handle.start(Order("1"))
        await orchestrator.run_until_idle()
        await run.outcome(SOON)
    assert {tenant for _, tenant in seen.lines} == {"nobody"}
