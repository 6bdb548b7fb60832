"""Deploys: workers with an old and a new definition side by side, a deploy that is taken back, a version that no worker runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from saga_fn import (
    AttentionKind,
    Completed,
    Event,
    FixedRetry,
    Health,
    MemoryStore,
    SagaAdmin,
    SagaBuilder,
    SagaDefinition,
    SagaOrchestrator,
    SagaRun,
    step,
)
from saga_fn.engine.hold import roster
from tests.support.shop import Done, Order, ShopError
from tests.support.stores import Make
from tests.support.until import SOON, until

SHORTLY = timedelta(milliseconds=100)
FOR_EVER = timedelta(hours=1)


class Line:
    """Steps by name; each fails as often as it is told to before it succeeds, and writes down what it did."""

    def __init__(self, *, fails: int = 0, hold: str | None = None) -> None:
        self.fails = fails
        self.hold = hold
        self.held = asyncio.Event()
        self.go = asyncio.Event()
        self.begun: dict[tuple[str, str], int] = {}
        self.done: list[tuple[str, str]] = []

    def saga(self, *names: str, retry: timedelta = SHORTLY) -> SagaDefinition[Order, Done]:
        builder = SagaBuilder(Order)
        policy = FixedRetry(max_attempts=20, delay=retry)
        refs = [
            builder.add_step(step(self.do(name), step_id=name, retry_policy=policy), depends_on=builder.initial)
            for name in names
        ]
        return builder.build(output=refs[-1])

    def do(self, name: str) -> Callable[[Order], Awaitable[Done]]:
        async def do(inp: Order) -> Done:
            key = name, inp.order_id
            self.begun[key] = self.begun.get(key, 0) + 1
            if self.begun[key] <= self.fails:
                raise ShopError(name)
            if self.hold == name:
                self.held.set()
                await self.go.wait()
            self.done.append(key)
            return Done(name)

        return do


OLD = ("reserve", "charge", "ship")
NEW = ("reserve", "check", "charge", "ship")


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes tell each other what they work on every 50 ms, and take one for gone that has not for 150."""
    monkeypatch.setattr(roster, "BEAT", 0.05)


async def becomes(orchestrator: SagaOrchestrator, condition: Callable[[Health], bool]) -> Health:
    async with asyncio.timeout(SOON):
        while not condition(health := await orchestrator.health()):
            await asyncio.sleep(0.02)
    return health


async def parked(run: SagaRun[Done]) -> None:
    async with asyncio.timeout(SOON):
        while (await run.snapshot()).parked is None:
            await asyncio.sleep(0.01)


@pytest.mark.fault(46)
async def test_a_rolling_deploy_that_inserts_a_step_under_the_same_version_parks_nobody(make: Make) -> None:
    line = Line(fails=2)
    old, new = line.saga(*OLD), line.saga(*NEW)
    runs: list[SagaRun[Done]] = []
    async with contextlib.AsyncExitStack() as deploy:
        before = await deploy.enter_async_context(make())
        runs += await before.register("line", old).start_many([Order(f"old {n}") for n in range(10)])
        async with asyncio.timeout(SOON):
            while not any(name == "charge" for name, _ in line.begun):
                await asyncio.sleep(0.005)
        after = await deploy.enter_async_context(make())
        handle = after.register("line", new)
        async with asyncio.timeout(SOON):
            while not await after.engine.store.processes.others(before.engine.owner, seen_within=FOR_EVER):
                await asyncio.sleep(0.01)
        runs += await handle.start_many([Order(f"new {n}") for n in range(10)])
        for run in runs:
            assert isinstance(await handle.attach(run.id).outcome(SOON, wait_parked=True), Completed)
        admin = SagaAdmin(after)
        for run in runs:
            kinds = [entry.kind for entry in (await admin.get_saga(run.id)).step_history]
            assert "saga_parked" not in kinds
    assert len(line.done) == len(set(line.done)), "nothing was done twice"


async def test_a_bad_deploy_that_is_taken_back_leaves_nobody_parked(make: Make) -> None:
    line = Line(hold="charge")
    old, bad = line.saga(*OLD), line.saga("check", *OLD)
    async with make(stop_timeout=SHORTLY) as before:
        runs = await before.register("line", old).start_many([Order(str(n)) for n in range(5)])
        await line.held.wait()
    line.go.set()
    async with make() as careless:
        handle = careless.register("line", bad)
        for run in runs:
            await parked(handle.attach(run.id))
        health = await careless.health()
        assert health.ok
        (told,) = health.attention
        assert (told.kind, told.sagas, told.saga_name, told.version) == (AttentionKind.PARKED, 5, "line", 1)
    async with make() as repaired:
        handle = repaired.register("line", old)
        for run in runs:
            assert isinstance(await handle.attach(run.id).outcome(SOON, wait_parked=True), Completed)
    assert not any(name == "check" for name, _ in line.done)


async def test_what_a_bad_deploy_parked_goes_on_by_a_mended_one(make: Make) -> None:
    line = Line(hold="charge")
    async with make(stop_timeout=SHORTLY) as before:
        run = await before.register("line", line.saga(*OLD)).start(Order("1"))
        await line.held.wait()
    line.go.set()
    async with make() as careless:
        await parked(careless.register("line", line.saga("check", *OLD)).attach(run.id))
    async with make() as mended:
        handle = mended.register("line", line.saga(*OLD, "thank"))
        assert isinstance(await handle.attach(run.id).outcome(SOON, wait_parked=True), Completed)


async def test_a_plan_that_does_not_fit_is_told_by_its_step_and_the_mend(make: Make) -> None:
    line = Line(hold="charge")
    async with make(stop_timeout=SHORTLY) as before:
        run = await before.register("line", line.saga(*OLD)).start(Order("1"))
        await line.held.wait()
    line.go.set()
    async with make() as careless:
        handle = careless.register("line", line.saga(*NEW))
        await parked(handle.attach(run.id))
        history = (await SagaAdmin(careless).get_saga(run.id)).step_history
    (entry,) = [entry for entry in history if entry.kind == "saga_parked"]
    told = str(entry.error)
    assert "step 'charge' has begun, but follows step 'check'" in told
    assert "register(definition, version=2)" in told


async def test_a_worker_alone_with_its_plan_parks_what_it_does_not_fit_at_once(make: Make) -> None:
    line = Line(hold="charge")
    async with make(stop_timeout=SHORTLY) as before:
        run = await before.register("line", line.saga(*OLD)).start(Order("1"))
        await line.held.wait()
    async with make(concurrency=0) as clerk, make() as careless:
        clerk.register("line", line.saga(*OLD))  # it only starts: it will never work on the saga
        await parked(careless.register("line", line.saga(*NEW)).attach(run.id))


async def test_a_saga_is_handed_back_for_a_while_and_then_parked(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roster, "HANDED_BACK_FOR", 300_000)
    line, busy = Line(hold="charge"), Line(hold="reserve")
    async with make(concurrency=1) as other:
        # It has no room for the saga that is handed back, but it has the plan.
        await other.register("line", busy.saga(*OLD)).start(Order("2"))
        await busy.held.wait()
        async with make(stop_timeout=SHORTLY) as before:
            run = await before.register("line", line.saga(*OLD)).start(Order("1"))
            await line.held.wait()
        async with make() as careless:
            await parked(careless.register("line", line.saga(*NEW)).attach(run.id))
        busy.go.set()


async def test_running_until_idle_leaves_a_saga_to_a_process_that_has_its_plan_and_goes_on_then(
    memory: MemoryStore,
) -> None:
    """It blocked the event loop: what is due, and is passed over here, is not to be jumped to."""
    line = Line()

    def approved(*names: str) -> SagaDefinition[Order, str]:
        builder = SagaBuilder(Order)
        for name in names:
            builder.add_step(step(line.do(name), step_id=name), depends_on=builder.initial)
        return builder.build(output=builder.add_event(Event("approval", str), timeout=FOR_EVER, default="nobody"))

    old, new = SagaOrchestrator(memory), SagaOrchestrator(memory)
    run = await old.register("line", approved(*OLD)).start(Order("1"))
    await old.run_until_idle()
    new.register("line", approved(*NEW))
    idle = asyncio.create_task(new.run_until_idle(past_waits=True))
    await until(lambda: bool(new.engine.roster.passed_over()))
    await old.run_until_idle(past_waits=True)
    await asyncio.wait_for(idle, SOON)
    assert await run.result(SOON) == "nobody"


@pytest.mark.usefixtures("often")
async def test_sagas_of_a_version_that_nobody_works_on_are_named(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    line = Line(hold="charge")
    async with make(stop_timeout=SHORTLY) as before:
        run = await before.register("line", line.saga(*OLD)).start(Order("1"))
        await line.held.wait()
    with caplog.at_level(logging.WARNING, "saga_fn"):
        async with make() as forgetful:
            forgetful.register("line", line.saga(*NEW), version=2)
            health = await becomes(forgetful, lambda health: bool(health.attention))
            await asyncio.sleep(0.3)
    assert health.ok
    (told,) = health.attention
    assert (told.kind, told.sagas, told.saga_name, told.version) == (AttentionKind.UNOWNED, 1, "line", 1)
    assert told.saga_ids == (run.id,)
    assert told.text == "1 saga of line v1: due, but no process works on this version"
    named = [record.getMessage() for record in caplog.records if "no process works on" in record.getMessage()]
    assert len(named) == 1, "told once"
    assert "1 saga of line v1" in named[0]


async def test_a_version_that_a_deploy_has_left_behind_is_named_soon(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roster, "LEFT_BEHIND", 0.2)
    line = Line(hold="charge")
    async with make(stop_timeout=SHORTLY) as before, make(concurrency=0) as clerk:
        run = await before.register("line", line.saga(*OLD)).start(Order("1"))
        await line.held.wait()
        async with make() as after:
            after.register("line", line.saga(*NEW), version=2)
            await asyncio.sleep(0.5)
            assert (await clerk.health()).attention == (), "the old worker is there"
            await before.__aexit__(None, None, None)
            health = await becomes(clerk, lambda health: bool(health.attention))
            assert [(each.kind, each.saga_ids) for each in health.attention] == [(AttentionKind.UNOWNED, (run.id,))]
        await becomes(clerk, lambda health: not health.attention)  # all are gone: perhaps they are only begun again
        await before.__aenter__()


@pytest.mark.usefixtures("often")
async def test_a_process_that_only_starts_sees_that_nobody_works(make: Make) -> None:
    async with make(concurrency=0) as clerk:
        handle = clerk.register("line", Line().saga(*OLD))
        await handle.start(Order("1"))
        health = await becomes(clerk, lambda health: bool(health.attention))
        assert {each.kind for each in health.attention} == {AttentionKind.UNOWNED}
        async with make() as worker:
            worker.register("line", Line().saga(*OLD))
            await becomes(clerk, lambda health: not health.attention)


@pytest.mark.usefixtures("often")
async def test_what_another_process_works_on_is_not_unowned(make: Make) -> None:
    line = Line(hold="reserve")
    async with make(concurrency=1) as busy, make() as beside:
        handle = busy.register("line", line.saga(*OLD))
        await handle.start_many([Order("1"), Order("2")])
        await line.held.wait()
        await asyncio.sleep(0.3)  # by now a process that does not know its own name would be taken for gone
        _ = await becomes(beside, lambda health: not health.attention)
        line.go.set()


async def test_a_failed_saga_is_named_and_the_process_is_well(make: Make) -> None:
    line = Line(hold="charge")
    async with make() as orchestrator:
        run = await orchestrator.register("line", line.saga(*OLD)).start(Order("1"))
        await line.held.wait()
        await SagaAdmin(orchestrator).abort(run.id)
        health = await becomes(orchestrator, lambda health: bool(health.attention))
        line.go.set()
    assert health.ok
    assert [(each.kind, each.saga_ids) for each in health.attention] == [(AttentionKind.FAILED, (run.id,))]
