"""Leases of many sagas at once: renewed in time, judged one by one, and spoken of once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from uuid import UUID

import pytest

from saga_fn import Completed, Failed, MemoryStore, NoRetry, SagaAdmin, SagaBuilder, SagaOrchestrator, step
from saga_fn.core.ids import Moment
from saga_fn.engine.hold import leases
from saga_fn.engine.observe.of_claims import LeasesRanOut
from saga_fn.engine.observe.of_sagas import SagaLost
from saga_fn.errors import StoreUnavailableError
from saga_fn.store.records import ActiveToken, Committed
from tests.support.crash import born, dies, end_leases
from tests.support.observed import Observed
from tests.support.shop import Counted, Done, Order, Shop, make_saga, one_step
from tests.support.stores import Make
from tests.support.until import SOON, until

LEASE = timedelta(seconds=2)
"""A process that has to wait for a processor for a third of it, as on a busy machine, loses nothing."""


async def test_many_long_steps_outlive_their_leases_and_run_once(make: Make) -> None:
    started: list[str] = []

    async def long(inp: Order) -> None:
        started.append(inp.order_id)
        await asyncio.sleep(2.5 * LEASE.total_seconds())

    builder = SagaBuilder(Order)
    builder.add_step(step(long), depends_on=builder.initial)
    async with make(concurrency=1000, lease=LEASE) as orchestrator:
        handle = orchestrator.register("long", builder.build())
        runs = await handle.start_many(Order(str(number)) for number in range(600))
        for run in runs:
            await run.result(SOON)
        assert sorted(started, key=int) == [str(number) for number in range(600)]


async def test_leases_that_run_out_are_spoken_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore()

    async def unreachable(shard: int, held: Mapping[UUID, UUID], *, owner: UUID, lease: timedelta) -> Committed:
        raise StoreUnavailableError("out of reach")

    monkeypatch.setattr(store, "renew", unreachable)
    hold = asyncio.Event()
    async with SagaOrchestrator(store, lease=LEASE, poll_interval=timedelta(seconds=60)) as orchestrator:
        told = Observed(orchestrator)
        handle = orchestrator.register("shop", make_saga(Shop(hold=hold)))
        await handle.start_many(Order(str(number)) for number in range(10))
        await told.until(SagaLost, times=10)
        hold.set()
    ran_out = told.all(LeasesRanOut)
    assert sum(len(fact.sagas) for fact in ran_out) == 10
    assert len(ran_out) <= 2  # all at once, or in two looks if they were started a moment apart
    said = [record.getMessage() for record in caplog.records if "ran out" in record.getMessage()]
    assert len(said) == len(ran_out)


async def test_a_lease_whose_row_is_another_s_is_given_up_and_the_others_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = MemoryStore()
    stolen: set[UUID] = set()
    active_tokens = store.active_tokens

    async def renew(shard: int, held: Mapping[UUID, UUID], *, owner: UUID, lease: timedelta) -> Committed:
        kept = await MemoryStore.renew(store, shard, held, owner=owner, lease=lease)
        # Half of the others are locked just now: not returned, and still ours.
        shown = {saga: count for saga, count in kept.inbox_sent.items() if saga not in stolen and saga.int % 2}
        return Committed(shown, kept.now)

    async def read(shard: int, saga_ids: Sequence[UUID]) -> dict[UUID, ActiveToken]:
        found = await active_tokens(shard, saga_ids)
        return {saga: ActiveToken(UUID(int=0), parked=False) if saga in stolen else found[saga] for saga in found}

    monkeypatch.setattr(store, "renew", renew)
    monkeypatch.setattr(store, "active_tokens", read)
    hold = asyncio.Event()
    async with SagaOrchestrator(store, lease=LEASE, poll_interval=timedelta(seconds=60)) as orchestrator:
        told = Observed(orchestrator)
        handle = orchestrator.register("shop", make_saga(Shop(hold=hold)))
        runs = await handle.start_many(Order(str(number)) for number in range(10))
        stolen |= {runs[0].id, runs[1].id}
        await told.until(SagaLost, times=2)
        assert stolen.isdisjoint(orchestrator.engine.held)
        hold.set()
        for run in runs[2:]:
            if run.id.int % 2:
                await run.result(SOON)


async def test_what_a_process_claims_while_it_holds_it_is_cut_short_first(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()

    async def locked(shard: int, held: Mapping[UUID, UUID], *, owner: UUID, lease: timedelta) -> Committed:
        return Committed({}, store.now())  # and `live` finds it ours

    monkeypatch.setattr(store, "renew", locked)
    begun: list[str] = []
    cut_short = asyncio.Event()

    async def long(inp: Order) -> None:
        begun.append(inp.order_id)
        if len(begun) == 1:
            try:
                await asyncio.Event().wait()
            finally:
                cut_short.set()

    builder = SagaBuilder(Order)
    builder.add_step(step(long), depends_on=builder.initial)
    async with SagaOrchestrator(store, poll_interval=timedelta(milliseconds=20)) as orchestrator:
        run = await orchestrator.register("long", builder.build()).start(Order("1"))
        await until(lambda: begun == ["1"])
        await end_leases(orchestrator)
        await run.result(SOON)
        async with asyncio.timeout(SOON):
            await cut_short.wait()
    assert begun == ["1", "1"], "the row was free before its lease could be renewed: it was claimed"


async def test_nothing_is_started_before_a_lease_that_has_run_out_is_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    free = asyncio.Event()
    looks = 0

    async def locked(shard: int, held: Mapping[UUID, UUID], *, owner: UUID, lease: timedelta) -> Committed:
        nonlocal looks
        looks += 1
        if free.is_set():
            return await MemoryStore.renew(store, shard, held, owner=owner, lease=lease)
        return Committed({}, store.now())  # and `live` finds it ours

    async def nothing(definitions: Sequence[tuple[str, int]], *, since: Moment | None = None) -> list[int]:
        return []  # no process can claim it

    monkeypatch.setattr(store, "renew", locked)
    monkeypatch.setattr(store, "due_shards", nothing)
    monkeypatch.setattr(leases, "_TRUST", SOON)  # so long may this process stand still between two looks
    hold = asyncio.Event()
    shop = Shop(hold=hold)
    async with SagaOrchestrator(store, lease=LEASE) as orchestrator:
        run = await orchestrator.register("shop", make_saga(shop)).start(Order("1"))
        async with asyncio.timeout(SOON):
            while looks < 12:  # past the lease: its last half has room for four
                await asyncio.sleep(0.01)
            hold.set()
            while (await run.snapshot()).current_step_id != "ship":
                await asyncio.sleep(0.01)
            seen = looks
            while looks < seen + 3:
                await asyncio.sleep(0.01)
            assert len(shop.keys) == 2, "its start is durable, and waits for the lease"
            free.set()
        await run.result(SOON)
        assert len(shop.keys) == 3
        kinds = [entry.kind for entry in (await SagaAdmin(orchestrator).get_saga(run.id)).step_history]
        assert kinds == ["started", *["step_succeeded"] * 3], "no process took it over"


async def test_a_saga_that_is_left_at_a_stop_is_not_renewed_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()

    async def locked(shard: int, held: Mapping[UUID, UUID], *, owner: UUID, lease: timedelta) -> Committed:
        return Committed({}, store.now())  # and `live` finds it ours

    async def nothing(definitions: Sequence[tuple[str, int]], *, since: Moment | None = None) -> list[int]:
        return []  # no process can claim it

    monkeypatch.setattr(store, "renew", locked)
    monkeypatch.setattr(store, "due_shards", nothing)
    monkeypatch.setattr(leases, "_TRUST", SOON)  # so long may this process stand still between two looks
    hold = asyncio.Event()
    before = asyncio.all_tasks()
    lease = timedelta(milliseconds=400)
    async with SagaOrchestrator(store, lease=lease, stop_timeout=timedelta(milliseconds=50)) as orchestrator:
        run = await orchestrator.register("shop", make_saga(Shop(hold=hold))).start(Order("1"))
        interpreter = orchestrator.engine.held[run.id]
        async with asyncio.timeout(SOON):
            while time.monotonic() < interpreter.saga.deadline:
                await asyncio.sleep(0.01)
            hold.set()
            while (await run.snapshot()).current_step_id != "ship":
                await asyncio.sleep(0.01)
    async with asyncio.timeout(SOON):
        while asyncio.all_tasks() - before:
            await asyncio.sleep(0.01)


@pytest.mark.predecessor(1)
async def test_a_crash_between_two_steps_loses_nothing(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    definition = make_saga(shop)
    first = await born(make())
    run = await first.register("shop", definition).start(Order("1"))
    await until(lambda: len(shop.keys) == 2)  # the success of the first step is durable, the next has no result
    await dies(first)
    async with make() as second:
        again = second.register("shop", definition).attach(run.id)
        assert (await again.snapshot()).deadline_at is not None, "no live saga is without a time to look at it"
        assert shop.hold is not None
        shop.hold.set()
        assert await again.result(SOON) == Done("ship")
        assert shop.done == ["reserve", "charge", "ship"]


@pytest.mark.predecessor(2)
async def test_a_saga_that_runs_cannot_be_run_beside_itself(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    definition = make_saga(shop)
    async with make() as one, make() as other:
        other.register("shop", definition)
        run = await one.register("shop", definition).start(Order("1"))
        await until(lambda: len(shop.keys) == 2)
        assert [await one.resume(run.id), await other.resume(run.id)] == [False, False]
        assert [await one.run_due(), await other.run_due()] == [0, 0]
        assert shop.hold is not None
        shop.hold.set()
        assert await run.result(SOON) == Done("ship")
        assert len(shop.keys) == 3, "each step was begun once"


@pytest.mark.predecessor(3)
async def test_a_backlog_that_takes_longer_than_a_lease_runs_once(make: Make) -> None:
    counted = Counted(seconds=0.4 * LEASE.total_seconds())
    definition = one_step(counted.work)
    options = {"concurrency": 1, "lease": LEASE, "poll_interval": timedelta(milliseconds=20)}
    async with make(concurrency=0) as starter, make(**options) as one, make(**options) as other:
        handle = starter.register("slow", definition)
        runs = [await handle.start(Order(str(number))) for number in range(4)]
        one.register("slow", definition)
        other.register("slow", definition)
        await asyncio.gather(one.run_due(), other.run_due())
        for run in runs:
            assert isinstance(await run.outcome(SOON), Completed)
        assert sorted(counted.begun) == ["0", "1", "2", "3"]


@pytest.mark.predecessor(4)
async def test_a_timeout_as_long_as_the_lease_counts_and_nobody_steals_the_step(make: Make) -> None:
    counted = Counted(seconds=None)
    definition = one_step(counted.work, {"timeout": LEASE, "unknown_retry_policy": NoRetry()})
    async with AsyncExitStack() as stack:
        options = {"lease": LEASE, "poll_interval": timedelta(milliseconds=20)}
        pollers = [await stack.enter_async_context(make(**options)) for _ in range(4)]
        handles = [poller.register("hangs", definition) for poller in pollers]
        runs = [await handles[number % 4].start(Order(str(number))) for number in range(15)]
        ends = await asyncio.gather(*(run.outcome(SOON) for run in runs))
        assert len(counted.begun) == 15
        for run, end in zip(runs, ends, strict=True):
            assert isinstance(end, Failed)
            assert [left.kind.value for left in end.left_over] == ["may have run"]
            history = (await SagaAdmin(pollers[0]).get_saga(run.id)).step_history
            assert [(entry.attempt, entry.error) for entry in history if entry.phase == "execute"] == [
                (1, "TimeoutError: did not return within 2 s")
            ]


@pytest.mark.predecessor(5)
async def test_a_step_longer_than_the_lease_runs_once(make: Make) -> None:
    counted = Counted(seconds=2.2 * LEASE.total_seconds())
    definition = one_step(counted.work)
    options = {"lease": LEASE, "poll_interval": timedelta(milliseconds=20)}
    async with make(**options) as one, make(**options) as other:
        other.register("long", definition)
        run = await one.register("long", definition).start(Order("1"))
        assert await run.result(SOON) == Done("1")
        assert counted.begun == ["1"]
        kinds = [entry.kind for entry in (await SagaAdmin(one).get_saga(run.id)).step_history]
        assert kinds == ["started", "step_succeeded"], "no process took it over"
