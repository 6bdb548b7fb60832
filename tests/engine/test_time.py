"""Time: sleeps, deadlines and delayed starts, on every store; what waits for a moment is never early and fires once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from saga_fn import (
    Compensated,
    Completed,
    Failed,
    FixedRetry,
    MemoryStore,
    SagaAdmin,
    SagaBuilder,
    SagaCompensatedError,
    SagaDefinition,
    SagaError,
    SagaOrchestrator,
    SagaStatus,
    StepRef,
    Wait,
    WaitReason,
    saga,
    sleep,
    step,
)
from tests.support.shop import Done, Order, Shop
from tests.support.stores import Make
from tests.support.until import SOON, suspended, until

SHORT = timedelta(milliseconds=150)
HOUR = timedelta(hours=1)


class Shipped(msgspec.Struct, frozen=True):
    arrives_at: datetime


def napping(shop: Shop, nap: timedelta, *, deadline: timedelta | None = None) -> SagaDefinition[Order, Done]:
    """Reserve, sleep, ship."""
    builder = SagaBuilder(Order, deadline=deadline)
    builder.add_step(step(shop.reserve, compensate=shop.release), depends_on=builder.initial)
    builder.add_sleep(nap)
    shipped = builder.add_step(step(shop.ship), depends_on=builder.initial)
    return builder.build(output=shipped)


async def test_a_saga_sleeps_as_long_as_it_says_and_goes_on(make: Make) -> None:
    shop = Shop()
    async with make() as orchestrator:
        asleep = await orchestrator.register("asleep", napping(Shop(), timedelta(hours=1))).start(Order("1"))
        await suspended(asleep)
        seen = await asleep.snapshot()
        assert seen.waits == WaitReason.TIMER
        assert [(wait.step_id, wait.events) for wait in seen.waiting_for] == [("sleep", ())]
        assert seen.waiting_for[0].until == seen.deadline_at
        run = await orchestrator.register("napping", napping(shop, SHORT)).start(Order("1"))
        assert await run.result(SOON) == Done("ship")
        history = (await SagaAdmin(orchestrator).get_saga(run.id)).step_history
    reserved, woken = (next(e for e in history if e.kind == kind) for kind in ("step_succeeded", "resumed"))
    assert woken.timestamp - reserved.timestamp >= SHORT
    assert shop.done == ["reserve", "ship"]


async def test_nobody_owns_a_saga_that_sleeps_and_whoever_is_there_wakes_it(make: Make) -> None:
    shop = Shop()
    definition = napping(shop, timedelta(seconds=2))
    async with make() as first:
        run = await first.register("napping", definition).start(Order("1"))
        await suspended(run)
        await until(lambda: not first.engine.held)
    async with make() as second:
        assert await second.register("napping", definition).attach(run.id).result(SOON) == Done("ship")


async def test_the_clock_of_a_store_in_memory_jumps_over_sleeps(memory: MemoryStore) -> None:
    shop = Shop()
    orchestrator = SagaOrchestrator(memory)
    run = await orchestrator.register("napping", napping(shop, timedelta(days=30))).start(Order("1"))
    await orchestrator.run_until_idle()
    assert await run.result(SOON) == Done("ship")


async def test_a_saga_sleeps_until_a_moment_from_an_earlier_output(memory: MemoryStore) -> None:
    day = timedelta(days=1)
    begun = datetime.now(UTC)

    @step
    async def ship(inp: Order) -> Shipped:
        return Shipped(begun + day)

    @step
    async def greet(inp: Shipped) -> Order:
        return Order("greeted")

    @saga("arrival")
    def arrival(order: StepRef[Order]) -> StepRef[Order]:
        shipped = ship(order)
        sleep(until=shipped, using=lambda s: s.arrives_at, step_id="arrival")
        return greet(shipped)

    orchestrator = SagaOrchestrator(memory)
    run = await orchestrator.register(arrival).start(Order("1"))
    assert await orchestrator.run_due() == 1
    assert (await run.snapshot()).waiting_for == (Wait("arrival", (), begun + day),)
    await orchestrator.run_until_idle()
    assert await run.result(SOON) == Order("greeted")
    history = (await SagaAdmin(orchestrator).get_saga(run.id)).step_history
    assert next(e for e in history if e.kind == "resumed" and e.seq > 2).timestamp >= begun + day
    assert (await SagaAdmin(orchestrator).get_saga(run.id)).context["step_outputs"]["arrival"] is None


@pytest.mark.parametrize(
    "moment, told",
    [
        (datetime(2030, 1, 1), "naive datetime"),  # noqa: DTZ001 - the very point
        ("tomorrow", "is a str"),
    ],
)
async def test_a_moment_that_is_none_parks_the_saga_and_says_the_mend(
    memory: MemoryStore, moment: object, told: str
) -> None:
    shop = Shop()
    builder = SagaBuilder(Order)
    builder.add_sleep(until=builder.initial, input_map=lambda _: moment)  # type: ignore[arg-type,return-value]
    builder.add_step(step(shop.ship), depends_on=builder.initial)
    orchestrator = SagaOrchestrator(memory)
    run = await orchestrator.register("odd", builder.build()).start(Order("1"))
    await orchestrator.run_due()
    assert (await run.snapshot()).parked == "input_failed"
    history = (await SagaAdmin(orchestrator).get_saga(run.id)).step_history
    assert told in next(entry.error for entry in history if entry.error)
    assert "datetime.now(UTC)" in next(entry.error for entry in history if entry.error)


# The deadline of a saga.


async def test_a_saga_that_is_late_rolls_back(make: Make) -> None:
    shop = Shop()
    late = timedelta(seconds=1.5)  # time for the first step to be done in, on any machine
    builder = SagaBuilder(Order, deadline=late)
    builder.add_step(step(shop.reserve, compensate=shop.release), depends_on=builder.initial)
    shop.fails["ship"] = 1000
    again = FixedRetry(max_attempts=1000, delay=timedelta(milliseconds=20))
    builder.add_step(step(shop.ship), depends_on=builder.initial, retry_policy=again)
    async with make() as orchestrator:
        run = await orchestrator.register("late", builder.build()).start(Order("1"))
        assert (await run.snapshot()).rolls_back_at is not None
        ended = await run.outcome(SOON)
        assert isinstance(ended, Compensated)
        assert ended.error is not None
        assert "SagaDeadlineError" in ended.error
        assert "1.5 s" in ended.error
        seen = await SagaAdmin(orchestrator).get_saga(run.id)
    assert shop.done[-1] == "release reserve"
    assert (seen.rolls_back_at, seen.last_error) == (None, "SagaDeadlineError")
    turned = next(entry for entry in seen.step_history if entry.error and "Deadline" in entry.error)
    assert turned.timestamp - seen.step_history[0].timestamp >= late


async def test_a_deadline_waits_for_what_runs_and_keeps_its_result(make: Make) -> None:
    shop = Shop()
    reached = asyncio.Event()

    async def slow(inp: Order) -> Done:
        reached.set()
        await asyncio.sleep(1.2)
        return Done("slow")

    async def unslow(inp: Order, out: Done) -> None:
        shop.done.append("unslow")

    builder = SagaBuilder(Order, deadline=timedelta(seconds=1))  # the step begins before
    builder.add_step(step(slow, compensate=unslow), depends_on=builder.initial)
    builder.add_step(step(shop.ship), depends_on=builder.initial)
    async with make() as orchestrator:
        run = await orchestrator.register("slow", builder.build()).start(Order("1"))
        await reached.wait()
        ended = await run.outcome(SOON)
    assert isinstance(ended, Compensated), "it was awaited, and undone"
    assert shop.done == ["unslow"]


async def test_a_saga_in_time_has_no_more_to_do_with_its_deadline(make: Make) -> None:
    shop = Shop()
    async with make() as orchestrator:
        saga = orchestrator.register("napping", napping(shop, SHORT, deadline=HOUR))
        ended = await (await saga.start(Order("1"))).outcome(SOON)
    assert isinstance(ended, Completed)
    assert ended.snapshot.rolls_back_at is None


async def test_a_deadline_holds_whatever_the_saga_waits_for_even_a_person(memory: MemoryStore) -> None:
    shop = Shop()

    def broken(_: object) -> Order:
        raise KeyError("broken")

    builder = SagaBuilder(Order, deadline=HOUR)
    builder.add_step(step(shop.reserve, compensate=shop.release), depends_on=builder.initial)
    builder.add_step(step(shop.ship), input_map=broken)
    orchestrator = SagaOrchestrator(memory)
    run = await orchestrator.register("parked", builder.build()).start(Order("1"))
    await orchestrator.run_due()
    assert (await run.snapshot()).waits == WaitReason.PARKED | WaitReason.TIMER
    await orchestrator.run_until_idle()
    assert isinstance(await run.outcome(SOON), Compensated)


async def test_without_compensation_a_late_saga_ends_failed_and_a_person_may_go_on_with_it(memory: MemoryStore) -> None:
    shop = Shop()
    builder = SagaBuilder(Order, deadline=HOUR, compensate_on_failure=False)
    builder.add_step(step(shop.reserve, compensate=shop.release), depends_on=builder.initial)
    builder.add_sleep(timedelta(minutes=59))
    shop.fails["ship"] = 2
    again = FixedRetry(max_attempts=3, delay=timedelta(minutes=2))
    builder.add_step(step(shop.ship), depends_on=builder.initial, retry_policy=again)
    orchestrator = SagaOrchestrator(memory)
    run = await orchestrator.register("halting", builder.build()).start(Order("1"))
    await orchestrator.run_until_idle()
    assert isinstance(await run.outcome(SOON), Failed)
    await SagaAdmin(orchestrator).retry_step(run.id, "ship")
    await orchestrator.run_until_idle()
    assert isinstance(await run.outcome(SOON), Completed), "the deadline that is over does not count again"


async def test_past_its_pivot_a_saga_may_sleep_longer_than_its_deadline(memory: MemoryStore) -> None:
    shop = Shop()
    builder = SagaBuilder(Order, deadline=HOUR)
    builder.add_step(step(shop.charge), depends_on=builder.initial, pivot=True)
    builder.add_sleep(24 * HOUR)
    builder.add_step(step(shop.ship), depends_on=builder.initial)
    orchestrator = SagaOrchestrator(memory)
    run = await orchestrator.register("patient", builder.build()).start(Order("1"))
    await orchestrator.run_until_idle()
    assert isinstance(await run.outcome(SOON), Completed)
    assert shop.done == ["charge", "ship"]


async def test_sleeps_that_just_fit_into_the_deadline_do(memory: MemoryStore) -> None:
    shop = Shop()
    builder = SagaBuilder(Order, deadline=HOUR)
    builder.add_sleep(timedelta(minutes=40))
    builder.add_sleep(timedelta(minutes=19), step_id="again")
    builder.add_step(step(shop.ship), depends_on=builder.initial)
    orchestrator = SagaOrchestrator(memory)
    run = await orchestrator.register("patient", builder.build()).start(Order("1"))
    await orchestrator.run_until_idle()
    assert isinstance(await run.outcome(SOON), Completed)


# Delayed starts.


async def test_a_delayed_saga_begins_when_its_delay_is_over(make: Make) -> None:
    shop = Shop()
    async with make() as orchestrator:
        orders = orchestrator.register("napping", napping(shop, timedelta(0)))
        seen = await (await orders.start(Order("2"), delay=HOUR)).snapshot()
        assert (seen.status, seen.waits) == (SagaStatus.SUSPENDED, WaitReason.TIMER)
        assert seen.begins_at == seen.deadline_at
        assert shop.done == []
        run = await orders.start(Order("1"), delay=timedelta(milliseconds=300))
        assert await run.result(SOON) == Done("ship")
        history = (await SagaAdmin(orchestrator).get_saga(run.id)).step_history
    first = next(entry for entry in history if entry.kind == "resumed")
    assert first.timestamp - history[0].timestamp >= timedelta(milliseconds=300)


async def test_a_delayed_saga_is_found_by_another_process(make: Make) -> None:
    shop = Shop()
    definition = napping(shop, timedelta(0))
    async with make(concurrency=0) as starter:
        starter.register("napping", definition)
        saga_id = await starter.start(saga_name="napping", initial_data={"order_id": "1"}, delay=SHORT)
    async with make() as other:
        assert await other.register("napping", definition).attach(saga_id).result(SOON) == Done("ship")


async def test_a_delayed_saga_can_be_rolled_back_before_it_has_begun(memory: MemoryStore) -> None:
    shop = Shop()
    orchestrator = SagaOrchestrator(memory)
    run = await orchestrator.register("napping", napping(shop, SHORT)).start(Order("1"), delay=HOUR)
    await SagaAdmin(orchestrator).compensate_step(run.id)
    with pytest.raises(SagaCompensatedError):
        await run.result(SOON)
    assert shop.done == []


async def test_the_deadline_of_a_delayed_saga_counts_from_when_it_begins(memory: MemoryStore) -> None:
    shop = Shop()
    orchestrator = SagaOrchestrator(memory)
    delayed = orchestrator.register("napping", napping(shop, timedelta(minutes=30), deadline=HOUR))
    run = await delayed.start(Order("1"), delay=5 * HOUR)
    seen = await run.snapshot()
    assert seen.begins_at is not None
    assert seen.rolls_back_at == seen.begins_at + HOUR
    await orchestrator.run_until_idle()
    assert isinstance(await run.outcome(SOON), Completed)


@pytest.mark.parametrize("delay", [timedelta(seconds=-1), timedelta(days=366), 5, "soon"])
async def test_a_delay_that_is_none_is_refused(memory: MemoryStore, delay: object) -> None:
    orders = SagaOrchestrator(memory).register("napping", napping(Shop(), SHORT))
    with pytest.raises(SagaError, match="delay must be a timedelta from 0 to 365 days"):
        await orders.start(Order("1"), delay=delay)  # type: ignore[arg-type]


# Many at once.


async def test_sagas_that_begin_by_sleeping_take_no_owner_and_all_wake(make: Make) -> None:
    shop = Shop()
    builder = SagaBuilder(Order)
    builder.add_sleep(SHORT)
    builder.add_step(step(shop.ship), depends_on=builder.initial)
    async with make() as orchestrator:
        sleepers = orchestrator.register("sleepers", builder.build())
        runs = await sleepers.start_many([Order(str(number)) for number in range(20)])
        for run in runs:
            assert isinstance(await run.outcome(SOON), Completed)
    assert shop.done == ["ship"] * 20


@pytest.mark.parametrize(
    "moment, parked",
    [
        (datetime.min.replace(tzinfo=timezone(HOUR)), None),
        (datetime.max.replace(tzinfo=timezone(-HOUR)), "input_failed"),
    ],
)
async def test_a_moment_at_either_end_of_the_calendar_is_over_or_refused(
    make: Make, moment: datetime, parked: str | None
) -> None:
    builder = SagaBuilder(Shipped)
    builder.add_sleep(until=builder.initial, input_map=lambda shipped: shipped.arrives_at)
    async with make() as orchestrator:
        run = await orchestrator.register("ends of time", builder.build()).start(Shipped(moment))
        if parked is None:
            assert isinstance(await run.outcome(SOON), Completed)
            return
        async with asyncio.timeout(SOON):
            while (await run.snapshot()).parked is None:
                await asyncio.sleep(0.01)
        assert (await run.snapshot()).parked == parked
