"""A World for a user's tests: time, fakes, faults, and errors that say what is the matter."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from weakref import WeakSet

import msgspec
import pytest
from returns.result import Failure, Result, Success

from saga_fn import (
    NOT_DONE,
    Done,
    Event,
    FixedRetry,
    NotDone,
    Outgoing,
    SagaBuilder,
    SagaCompensatedError,
    SagaDefinitionError,
    SagaError,
    SagaNews,
    SagaStateError,
    SagaStatus,
    StepContext,
    StepRef,
    TransactionalContext,
    saga,
    sleep,
    steady,
    step,
)
from saga_fn.testing import World, WorldError, processes
from tests.support.until import SOON, until

START = datetime(2026, 1, 1, tzinfo=UTC)


class Order(msgspec.Struct, frozen=True):
    id: str = "1"


class Basket(msgspec.Struct):
    cents: int


class Approval(msgspec.Struct, frozen=True):
    by: str


approval = Event("approval", Approval)


async def release(order: Order, reserved: str) -> None: ...


async def refund(order: Order, receipt: str) -> None: ...


async def find(order: Order) -> Done[str] | NotDone:
    return NOT_DONE


@step(compensate=release)
async def reserve(order: Order) -> str:
    return f"reserved for {order.id}"


@step(compensate=refund, probe=find, timeout=timedelta(seconds=10))
async def charge(order: Order) -> str:
    return f"receipt for {order.id}"


@step(timeout=timedelta(seconds=10))
async def ship(order: Order) -> str:
    return f"parcel for {order.id}"


@saga("shop")
def shop(order: StepRef[Order]) -> StepRef[str]:
    reserve(order)
    charge(order)
    return ship(order)


@saga("approved")
def approved(order: StepRef[Order]) -> StepRef[str]:
    reserve(order)
    approval.wait(timeout=timedelta(days=3))
    return charge(order)


@saga("unlimited")
def unlimited(order: StepRef[Order]) -> StepRef[str]:
    approval.wait()
    return ship(order)


# Time.


async def test_a_saga_runs_to_its_end_while_its_result_is_awaited() -> None:
    async with World() as world:
        run = await world.register(shop).start(Order("7"))
        assert await run.result() == "parcel for 7"
        assert world.called == ("reserve", "charge", "ship")


async def test_a_handle_runs_a_saga() -> None:
    async with World() as world:
        assert await world.register(shop).run(Order("7"), timeout=30) == "parcel for 7"


async def test_days_pass_in_no_time_and_on_the_worlds_clock() -> None:
    @saga("sleeper")
    def sleeper(order: StepRef[Order]) -> StepRef[str]:
        sleep(timedelta(days=300))
        return ship(order)

    async with World(start=START) as world:
        run = await world.register(sleeper).start(Order())
        await world.advance(timedelta(days=299))
        assert not world.called
        assert world.now == START + timedelta(days=299)
        await world.advance(timedelta(days=1))
        assert world.called == ("ship",)
        assert (await run.snapshot()).status is SagaStatus.COMPLETED
        assert world.now == START + timedelta(days=300)


async def test_a_timeout_never_fires_while_a_fake_is_answering() -> None:
    @step(timeout=timedelta(milliseconds=20))
    async def quick(order: Order) -> str:
        await asyncio.sleep(0.2)
        return "at last"

    @saga("quick")
    def quick_saga(order: StepRef[Order]) -> StepRef[str]:
        return quick(order)

    async with World(start=START) as world:
        assert await world.register(quick_saga).run(Order()) == "at last"
        assert world.called == ("quick",)
        assert world.now == START, "the clock has stood still"


async def test_the_clock_stands_still_for_what_a_step_has_begun_beside_itself() -> None:
    async with World(start=START) as world:
        tasks: list[asyncio.Task[object]] = []

        async def reserves(order: Order, ctx: StepContext) -> str:
            sending = world.orchestrator.to(ctx.saga_id, approval).send(Approval("ann"))
            tasks.append(asyncio.create_task(sending))
            return "reserved"

        run = await world.register(approved).start(Order())
        world.fake(reserve, reserves)
        assert await run.result() == "receipt for 1"
        assert world.now == START


async def test_a_fake_that_never_returns_fails_the_test() -> None:
    """Its step has a timeout. The clock stands still for a fake, so that timeout never comes."""

    async def silent(order: Order) -> str:
        await asyncio.Event().wait()
        return "never"

    async with World(start=START, patience=timedelta(milliseconds=50)) as world:
        orders = world.register(shop)
        world.fake(charge, silent)
        with pytest.raises(WorldError, match=r"charge was called 0.05 seconds ago, and has not returned\nHINT.*late"):
            await world.until(await orders.start(Order()))


async def test_whoever_awaits_a_result_hears_of_a_step_that_never_returns() -> None:
    @step
    async def stuck(order: Order) -> str:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await given_up.wait()
                return "at last"

    @saga("stuck")
    def stuck_saga(order: StepRef[Order]) -> StepRef[str]:
        return stuck(order)

    given_up = asyncio.Event()
    async with World(patience=timedelta(milliseconds=50)) as world:
        with pytest.raises(WorldError, match=r"stuck was called 0.05 seconds ago"):
            await world.register(stuck_saga).run(Order())
        given_up.set()


async def test_a_call_that_has_returned_in_time_is_no_matter_later() -> None:
    async with World(patience=timedelta(milliseconds=50)) as world:
        orders = world.register(shop)
        assert await orders.run(Order()) == "parcel for 1"
        await asyncio.sleep(0.1)
        assert await orders.run(Order("2")) == "parcel for 2"


async def test_a_step_awaits_the_end_of_another_saga() -> None:
    async with World(start=START) as world:
        orders, others = world.register(shop), world.register(approved)

        async def ask(order: Order) -> str:
            other = await others.start(order)
            await world.send(other, approval, Approval("ann"))
            return await other.result()

        world.fake(ship, ask)
        assert (await world.until(await orders.start(Order("1")))).status is SagaStatus.COMPLETED
        assert await orders.run(Order("2")) == "receipt for 2"
        assert world.now == START, "neither had to wait for anything"


async def test_a_step_that_awaits_another_saga_for_too_long_has_its_timeout() -> None:
    async with World(start=START) as world:
        orders, others = world.register(shop), world.register(approved)

        async def ask(order: Order) -> str:
            return await (await others.start(order)).result()

        world.fake(ship, ask)
        run = await orders.start(Order())
        assert (await world.until(run)).status is not SagaStatus.COMPLETED
        assert START + timedelta(seconds=10) <= world.now < START + timedelta(days=3)


async def test_a_step_that_awaits_in_vain_fails_the_test() -> None:
    @step(timeout=None)
    async def patient(order: Order) -> str:
        return await (await others.start(order)).result()

    @saga("patient")
    def patient_saga(order: StepRef[Order]) -> StepRef[str]:
        return patient(order)

    async with World(patience=timedelta(milliseconds=200)) as world:
        others = world.register(unlimited)
        with pytest.raises(WorldError, match=r"patient has awaited the end of saga .*: it waits for 'approval', which"):
            await world.register(patient_saga).run(Order())


async def test_retries_wait_on_the_worlds_clock() -> None:
    @step(retry_policy=FixedRetry(max_attempts=3, delay=timedelta(hours=1)))
    async def flaky(order: Order) -> str:
        return "done"

    @saga("flaky")
    def flaky_saga(order: StepRef[Order]) -> StepRef[str]:
        return flaky(order)

    async with World(start=START) as world:
        orders = world.register(flaky_saga)
        world.fake(flaky, raises=ValueError("not now"), times=2)
        assert await orders.run(Order()) == "done"
        assert [call.attempt for call in world.calls] == [1, 2, 3]
        assert [type(call.raised) for call in world.calls] == [ValueError, ValueError, type(None)]
        assert [call.at - START for call in world.calls] == [timedelta(hours=number) for number in range(3)]


# Waiting.


async def test_a_saga_stands_still_before_a_call() -> None:
    async with World() as world:
        run = await world.register(shop).start(Order())
        snapshot = await world.until(run, step="charge")
        assert world.called == ("reserve",)
        assert snapshot.current_step_id == "charge"
        snapshot = await world.until(run)
        assert snapshot.status is SagaStatus.COMPLETED


async def test_an_event_is_sent_when_the_saga_waits_for_it() -> None:
    async with World(start=START) as world:
        run = await world.register(approved).start(Order())
        snapshot = await world.until(run, waits_for=approval)
        assert [wait.until for wait in snapshot.waiting_for] == [START + timedelta(days=3)]
        assert await world.send(run, approval, Approval("ann")) == "accepted"
        assert await run.result() == "receipt for 1"


async def test_nobody_sends_the_event() -> None:
    async with World(start=START) as world:
        run = await world.register(approved).start(Order())
        await world.run()
        assert [call.what for call in world.calls] == ["reserve"]
        with pytest.raises(SagaCompensatedError):
            await run.result()
        assert world.called == ("reserve", "undo reserve")
        assert world.now == START + timedelta(days=3)


async def test_a_wait_that_never_ends_is_told_at_once() -> None:
    async with World() as world:
        run = await world.register(unlimited).start(Order())
        with pytest.raises(
            WorldError, match=r"its end is awaited, and that never comes: it waits for 'approval', which is"
        ):
            await world.until(run)
        with pytest.raises(WorldError, match=r"HINT: await world.send\(run, approval, ...\)"):
            await world.until(run, step=ship)
        with pytest.raises(WorldError, match="is not sent"):
            await run.result()
        await world.send(run, approval, Approval("ann"))
        assert await run.result() == "parcel for 1"


async def test_a_step_that_is_never_called_is_told_at_once() -> None:
    async with World() as world:
        orders = world.register(shop)
        world.fake(charge, lambda order: Failure("no money"))
        run = await orders.start(Order())
        with pytest.raises(
            WorldError,
            match=r"step 'ship' is to be called, and that never comes: it has ended COMPENSATED.*called so far: reserve, charge, undo",
        ):
            await world.until(run, step=ship)


# Fakes.


async def test_the_probe_of_a_step_whose_fake_returns_a_failure_says_that_nothing_was_done() -> None:
    async with World() as world:
        world.register(shop)
        world.fake(charge, lambda order: Failure("no money"))
        world.crash(charge, at="after")
        run = await world.register(shop).start(Order())
        assert (await world.until(run)).status is SagaStatus.COMPENSATED
        assert world.called == ("reserve", "charge", "probe charge", "charge", "undo reserve")


async def test_a_fake_is_named_by_the_step_by_its_id_or_by_its_reference() -> None:
    builder = SagaBuilder(Order)
    reserved = builder.add_step(step=reserve, input_map=lambda ctx: ctx.initial_data)
    builder.add_step(step=charge, input_map=lambda ctx: ctx.initial_data)
    shipped = builder.add_step(step=ship, input_map=lambda ctx: ctx.initial_data)
    async with World(only_fakes=True) as world:
        orders = world.register(builder.build(output=shipped), name="built")
        world.fake(reserved, lambda order: "by reference")
        world.fake("charge", lambda order: "by id")
        world.fake(ship, lambda order: "by itself")
        assert await orders.run(Order()) == "by itself"
        assert [call.returned for call in world.calls] == ["by reference", "by id", "by itself"]


async def test_a_step_without_a_fake_fails_the_test_where_only_fakes_are_wanted() -> None:
    world = World(only_fakes=True)
    with pytest.raises(WorldError, match=r"reserve was called, and has no fake\nHINT: world.fake\('reserve', ...\)"):
        async with world:
            await world.until(await world.register(shop).start(Order()))


async def test_an_assertion_in_a_fake_fails_the_test() -> None:
    async def charges(order: Order) -> str:
        assert order.id == "another"
        return "receipt"

    with pytest.raises(AssertionError, match="another"):  # noqa: PT012
        async with World() as world:
            orders = world.register(shop)
            world.fake(charge, charges)
            await orders.run(Order())


class NoError(BaseException):
    """As pytest.fail() and pytest.skip() raise one: no Exception."""


@pytest.mark.parametrize("awaited", ["run", "result", "outcome", "until"])
async def test_whoever_awaits_an_end_hears_of_a_fake_that_fails_or_skips_the_test(awaited: str) -> None:
    with pytest.raises(NoError, match="must not be called"):  # noqa: PT012
        async with World() as world, asyncio.timeout(60):
            orders = world.register(shop)
            world.fake(charge, raises=NoError("must not be called"))
            if awaited == "run":
                await orders.run(Order())
            run = await orders.start(Order())
            if awaited == "result":
                await run.result()
            if awaited == "outcome":
                await run.outcome()
            await world.until(run)


async def test_a_fake_that_returns_what_the_step_could_not_fails_the_test() -> None:
    with pytest.raises(  # noqa: PT012
        WorldError, match=r"the fake of step 'charge' has returned 7.*\nHINT: .* what the step returns: str"
    ):
        async with World() as world:
            orders = world.register(shop)
            world.fake("charge", returns=7)
            await orders.run(Order())


async def test_the_undo_and_the_probe_of_a_fake_go_by_what_it_has_done() -> None:
    async with World() as world:
        orders = world.register(shop)
        world.fake(charge, returns="receipt")
        world.fake(ship, raises=ValueError("no parcels"))
        world.crash(charge, at="after")
        run = await orders.start(Order())
        assert (await world.until(run)).status is SagaStatus.COMPENSATED
        assert world.called == ("reserve", "charge", "probe charge", "ship", "undo charge", "undo reserve")
        assert [call.output for call in world.calls if call.phase == "compensate"] == ["receipt", "reserved for 1"]


async def test_an_undo_and_a_probe_have_fakes_of_their_own() -> None:
    async with World() as world:
        orders = world.register(shop)
        world.fake_probe(charge, returns=Done("found"))
        world.fake_undo(charge, raises=ValueError("not now"), times=1)
        world.fake(ship, lambda order: Failure("no parcels"))
        world.crash(charge, at="before")
        run = await orders.start(Order())
        assert (await world.until(run)).status is SagaStatus.COMPENSATED
        assert world.called == (
            "reserve",
            "probe charge",
            "ship",
            "undo charge",
            "undo charge",
            "undo reserve",
        )
        assert world.calls[1].returned == Done("found")
        assert world.calls[3].output == "found"


async def test_a_fake_returns_a_result() -> None:
    async def asked(order: Order) -> Result[str, object]:
        return Success("yes")

    async with World() as world:
        orders = world.register(shop)
        world.fake(ship, asked)
        assert await orders.run(Order()) == "yes"


async def test_the_undo_of_work_that_was_really_done_is_really_called() -> None:
    undone: list[str] = []

    async def take_back(order: Order, out: str) -> None:
        undone.append(out)

    @step(compensate=take_back, retry_policy=FixedRetry(max_attempts=2, delay=timedelta(seconds=1)))
    async def taking(order: Order) -> str:
        return "really"

    @saga("taking")
    def taking_saga(order: StepRef[Order]) -> StepRef[str]:
        taking(order)
        return ship(order)

    async with World() as world:
        orders = world.register(taking_saga)
        world.fake(taking, raises=ValueError("at first"), times=1)
        world.fake(ship, lambda order: Failure("no parcels"))
        await world.until(await orders.start(Order()))
        assert undone == ["really"]


# Faults.


@pytest.mark.parametrize(
    "at, called",
    [
        ("before", ("reserve", "ship")),
        ("after", ("reserve", "ship", "ship")),
        ("after_commit", ("reserve", "ship")),
    ],
)
async def test_a_worker_is_killed(at: str, called: tuple[str, ...]) -> None:
    @saga("two")
    def two(order: StepRef[Order]) -> StepRef[str]:
        reserve(order)
        return ship(order)

    async with World(start=START) as world:
        orders = world.register(two)
        world.crash("ship", at=at)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # each of them
        assert await orders.run(Order()) == "parcel for 1"
        assert world.called == called
        keys = {call.idempotency_key for call in world.calls if call.step == "ship"}
        assert len(keys) == 1


@pytest.mark.parametrize("at", ["before", "after", "after_commit"])
async def test_nothing_of_a_dead_worker_is_called_and_nothing_of_it_runs_on(at: str) -> None:
    """All items are begun in one turn of the process, and it dies in the middle of that turn."""
    seen: list[str] = []

    async def give_back(name: str, given: str | None) -> None:
        seen.append(f"undo {name}")

    @step(compensate=give_back, on_unknown="undo")
    async def give(name: str) -> str:
        await asyncio.sleep(0.01)
        seen.append(name)
        return name

    @step
    async def close(names: list[str]) -> str:
        return ",".join(names)

    @saga("wide")
    def wide(names: StepRef[list[str]]) -> StepRef[str]:
        return close(give.each(concurrency=4)(names, using=lambda names: names))

    async with World(start=START) as world:
        gifts = world.register(wide)
        world.crash("give[0]" if at == "before" else "give", at=at)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # each of them
        run = await gifts.start(["a", "b", "c", "d"])
        await world.until(run)
        called = [call.what for call in world.calls if call.worker == 1]
        assert called == ([] if at == "before" else [f"give[{number}]" for number in range(4)])
        ended = list(seen)
        await asyncio.sleep(0.05)
        assert seen == ended, "nothing of it runs on"


@pytest.mark.parametrize("verb", ["cancel", "pause_saga", "retry_step"])
async def test_a_verb_after_a_crash_waits_for_the_lease_by_the_clock_of_the_world(verb: str) -> None:
    async with World(start=START) as world:
        run = await world.register(shop).start(Order())
        world.crash(reserve, at="after_commit")
        await world.advance(timedelta(seconds=1))
        assert world.called == ("reserve",)
        match verb:
            case "cancel":
                await world.admin.cancel(run.id, reason="a test")
            case "pause_saga":
                await world.admin.pause_saga(run.id, reason="a test")
            case _:
                with pytest.raises(SagaStateError, match="nothing that waits to be retried"):
                    await world.admin.retry_step(run.id, "reserve", reason="a test")
        assert START + timedelta(seconds=15) <= world.now <= START + timedelta(seconds=20)
        if verb == "cancel":
            assert (await world.until(run)).status is SagaStatus.COMPENSATED


async def test_a_verb_gives_up_by_the_clock_of_the_world_where_nobody_may_take_the_saga_over() -> None:
    async with World(start=START) as world:
        run = await world.register(shop).start(Order())
        world.crash(reserve, at="after_commit")
        await world.advance(timedelta(seconds=1))
        await world.admin.pause("shop")
        async with asyncio.timeout(SOON):
            with pytest.raises(SagaStateError, match="did not answer within 60 s"):
                await world.admin.cancel(run.id)
        assert world.now == START + timedelta(seconds=61)
        assert world.called == ("reserve",)
        await world.admin.resume("shop")
        assert (await world.until(run)).status is SagaStatus.COMPENSATED, "the request stands"


async def test_whoever_awaits_the_answer_to_a_verb_hears_of_a_call_that_never_returns() -> None:
    async def hangs(order: Order) -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await given_up.wait()
        return "at last"

    given_up = asyncio.Event()
    async with World(start=START, patience=timedelta(milliseconds=50)) as world:
        orders = world.register(shop)
        run = await orders.start(Order())
        world.crash(reserve, at="after_commit")
        await world.advance(timedelta(seconds=1))
        world.fake(reserve, hangs)
        await orders.start(Order("2"))
        async with asyncio.timeout(SOON):
            with pytest.raises(WorldError, match=r"reserve was called 0.05 seconds ago"):
                await world.admin.cancel(run.id)
        given_up.set()


async def test_a_crash_takes_a_lease_to_be_noticed() -> None:
    async with World(start=START) as world:
        orders = world.register(shop)
        world.crash(reserve, at="after_commit")
        await orders.run(Order())
        assert [(call.what, call.worker) for call in world.calls] == [
            ("reserve", 1),
            ("probe charge", 2),  # the result of a step and the begin of the next are one commit
            ("charge", 2),
            ("ship", 2),
        ]
        assert world.now >= START + timedelta(seconds=15)


async def test_a_worker_is_killed_in_an_undo_and_in_a_probe() -> None:
    async with World() as world:
        orders = world.register(shop)
        world.fake(ship, lambda order: Failure("no parcels"))
        world.crash(charge, at="after")
        world.crash(charge, at="in_probe")
        world.fake_probe(charge, returns=Done("found"))
        world.crash(charge, at="in_undo")
        run = await orders.start(Order())
        assert (await world.until(run)).status is SagaStatus.COMPENSATED
        assert world.called == (
            "reserve",
            "charge",
            "probe charge",
            "probe charge",
            "ship",
            "undo charge",
            "undo charge",
            "undo reserve",
        )


async def test_a_worker_is_killed_again_and_again() -> None:
    async with World() as world:
        orders = world.register(shop)
        world.crash(ship, at="before", times=3)
        run = await orders.start(Order())
        snapshot = await world.until(run)
        assert snapshot.status is SagaStatus.COMPLETED or snapshot.parked is not None


async def test_each_call_and_its_note_have_the_input_as_it_was_though_the_code_changes_it() -> None:
    async def refund_basket(basket: Basket, paid: Basket) -> None:
        basket.cents += 1
        paid.cents += 1

    @step(compensate=refund_basket)
    async def pay(basket: Basket) -> Basket:
        basket.cents += 5
        return basket

    @step
    async def fail(paid: Basket) -> Basket:
        raise ValueError("no")

    @saga("basket")
    def buy(basket: StepRef[Basket]) -> StepRef[Basket]:
        return fail(pay(basket))

    async with World() as world:
        baskets = world.register(buy)
        world.twice(pay)
        world.twice(pay, phase="compensate")
        run = await baskets.start(Basket(100))
        await world.run()
        assert (await run.snapshot()).status is SagaStatus.COMPENSATED
        assert [(call.what, call.input, call.output, call.returned) for call in world.calls] == [
            *[("pay", Basket(100), None, Basket(105))] * 2,
            ("fail", Basket(105), None, None),
            *[("undo pay", Basket(100), Basket(105), None)] * 2,
        ]


async def test_a_call_is_made_twice_under_one_key() -> None:
    async with World() as world:
        orders = world.register(shop)
        world.twice(charge)
        world.twice(reserve, phase="compensate")
        world.fake(ship, lambda order: Failure("no parcels"))
        run = await orders.start(Order())
        await world.until(run)
        assert world.called == ("reserve", "charge", "charge", "ship", "undo charge", "undo reserve", "undo reserve")
        assert len({call.idempotency_key for call in world.calls}) == 5


async def test_an_answer_comes_too_late() -> None:
    async with World(start=START) as world:
        orders = world.register(shop)
        world.late(ship)
        world.late(charge)
        world.fake_probe(charge, returns=Done("found"))
        assert await orders.run(Order()) == "parcel for 1"
        assert world.called == ("reserve", "charge", "probe charge", "ship", "ship")
        assert world.now > START + timedelta(seconds=20)


async def test_an_answer_without_a_timeout_comes_too_late_for_its_lease() -> None:
    @step(timeout=None)
    async def patient(order: Order) -> str:
        return "done"

    @saga("patient")
    def patient_saga(order: StepRef[Order]) -> StepRef[str]:
        return patient(order)

    async with World() as world:
        orders = world.register(patient_saga)
        world.late(patient)
        assert await orders.run(Order()) == "done"
        assert [(call.what, call.worker) for call in world.calls] == [("patient", 1), ("patient", 2)]


async def test_a_worker_stands_still_and_loses_its_lease() -> None:
    async with World() as world:
        run = await world.register(shop).start(Order())
        await world.until(run, step=ship)
        world.lose_lease(run)
        assert await run.result() == "parcel for 1"
        assert sorted(call.worker for call in world.calls if call.step == "ship") == [1, 2], (
            "the late one calls it, too"
        )
        with pytest.raises(WorldError, match="no process works on saga"):
            world.lose_lease(run)


async def test_a_lease_is_lost_in_the_middle_of_a_fake() -> None:
    async with World() as world:
        run = await world.register(shop).start(Order())

        async def charges(order: Order, ctx: StepContext) -> str:
            world.lose_lease(run)
            await asyncio.sleep(0)
            return "too late"

        world.fake(charge, returns="in time")
        world.fake(charge, charges, times=1)
        assert await run.result() == "parcel for 1"
        assert [(call.what, call.worker, call.returned) for call in world.calls if call.step == "charge"] == [
            ("charge", 1, "too late"),
            ("probe charge", 2, Done("too late")),
        ]


async def test_a_worker_dies_where_its_saga_stands_still() -> None:
    async with World() as world:
        run = await world.register(shop).start(Order())
        await world.until(run, step=charge)
        world.crash(charge, at="before")
        assert await run.result() == "parcel for 1"
        assert [(call.what, call.worker) for call in world.calls][1:3] == [("probe charge", 2), ("charge", 2)]


async def test_a_saga_is_turned_back_where_it_stands_still() -> None:
    async with World() as world:
        run = await world.register(shop).start(Order())
        await world.until(run, step=charge)
        await world.admin.cancel(run.id, reason="a test")
        assert (await world.until(run)).status is SagaStatus.COMPENSATED
        assert world.called == ("reserve", "charge", "undo charge", "undo reserve")


async def test_a_fault_that_never_comes_fails_the_test() -> None:
    with pytest.raises(WorldError, match=r"what was asked for never came: crash\(\"charge\", at=\"in_probe\"\)\nHINT"):  # noqa: PT012
        async with World() as world:
            orders = world.register(shop)
            world.crash(charge, at="in_probe")
            await orders.run(Order())


# Everything else of a saga.


async def test_messages_and_hooks_are_seen() -> None:
    heard: list[SagaNews] = []

    async def told(news: SagaNews) -> None:
        await asyncio.sleep(0)
        heard.append(news)

    @step(publishes=Outgoing("orders.packed"))
    async def pack(order: Order, ctx: StepContext) -> str:
        ctx.publish("orders.packing", order)
        return "packed"

    @saga("packing", on_completed=told)
    def packing(order: StepRef[Order]) -> StepRef[str]:
        return pack(order)

    async with World() as world:
        await world.register(packing).run(Order())
        await world.run()
        assert [message.topic for message in world.messages] == ["orders.packing", "orders.packed"]
        assert [msgspec.json.decode(message.body) for message in world.messages] == [{"id": "1"}, "packed"]
        assert [news.hook for news in heard] == ["on_completed"]


async def test_messages_are_published_though_the_saga_goes_on() -> None:
    @step(publishes=Outgoing("orders.packed"))
    async def pack(order: Order) -> str:
        return "packed"

    @saga("packing")
    def packing(order: StepRef[Order]) -> StepRef[str]:
        pack(order)
        return ship(order)

    async with World() as world:
        run = await world.register(packing).start(Order())
        await world.until(run, step=ship)
        assert [message.topic for message in world.messages] == ["orders.packed"]


async def test_a_topic_without_a_publisher_parks_the_step_as_in_production() -> None:
    @step
    async def pack(order: Order, ctx: StepContext) -> str:
        ctx.publish("order.packed", order)
        return "packed"

    @saga("packing")
    def packing(order: StepRef[Order]) -> StepRef[str]:
        return pack(order)

    async with World(topics=["orders.*"]) as world:
        run = await world.register(packing).start(Order())
        await world.run()
        assert (await run.snapshot()).parked == "output_lost"
        (reason,) = (await world.admin.explain(run.id)).reasons
        assert "topic 'order.packed' has no publisher" in reason.text
        assert world.messages == ()


async def test_a_declared_topic_without_a_publisher_is_refused_where_the_saga_is_registered() -> None:
    @step(publishes=Outgoing("order.packed"))
    async def pack(order: Order) -> str:
        return "packed"

    @saga("packing")
    def packing(order: StepRef[Order]) -> StepRef[str]:
        return pack(order)

    with pytest.raises(SagaDefinitionError, match=r"'order\.packed', which has no publisher"):
        World(topics=["orders.*"]).register(packing)
    async with World(topics=["order.packed"]) as world:
        assert await world.register(packing).run(Order()) == "packed"
        await world.run()
        assert [message.topic for message in world.messages] == ["order.packed"]


@pytest.mark.parametrize("topics", ["orders.*", 7, None, [""], [7]])
def test_topics_that_are_none_are_refused(topics: Any) -> None:  # Any: the checkers refuse each of these
    with pytest.raises(SagaError, match="topic"):
        World(topics=topics)


@step(transactional=True)
async def book(order: Order, ctx: TransactionalContext) -> str:
    await ctx.connection.execute("INSERT INTO booked VALUES ($1)", order.id)
    return "booked"


@saga("booking")
def booking(order: StepRef[Order]) -> StepRef[str]:
    return book(order)


async def test_a_transactional_step_is_faked() -> None:
    async with World() as world:
        orders = world.register(booking)
        world.fake(book, lambda order: "faked")
        world.crash(book, at="after")
        assert await orders.run(Order()) == "faked"
        assert world.called == ("book", "book"), "nothing of the first was committed"


async def test_a_transactional_step_without_a_fake_fails_the_test() -> None:
    with pytest.raises(WorldError, match=r"connection.execute, and a World has no database\nHINT: fake the step"):
        async with World() as world:
            await world.register(booking).run(Order())


async def test_an_operator_works_on_the_sagas() -> None:
    async with World() as world:
        run = await world.register(approved).start(Order())
        await world.until(run, waits_for="approval")
        await world.admin.cancel(run.id, reason="a test")
        await world.until(run)
        assert world.called == ("reserve", "undo reserve")


async def test_sagas_run_beside_each_other() -> None:
    async with World() as world:
        orders = world.register(shop)
        runs = [await orders.start(Order(str(number))) for number in range(50)]
        world.crash(charge, at="before")
        assert await asyncio.gather(*(run.result() for run in runs)) == [f"parcel for {number}" for number in range(50)]


# Words about mistakes.


async def test_an_unknown_step_is_named_with_those_that_there_are() -> None:
    async with World() as world:
        with pytest.raises(
            WorldError, match=r"no saga of this World has a step 'charge'\nHINT: register the saga first"
        ):
            world.fake(charge, returns="x")
        world.register(shop)
        with pytest.raises(WorldError, match=r"a step 'chrage'\nHINT: its steps are 'reserve', 'charge', 'ship'"):
            world.crash("chrage", at="after")


async def test_a_fake_that_drives_the_world_is_refused() -> None:
    async with World() as world:
        orders = world.register(shop)

        async def slow(order: Order) -> str:
            await world.advance(timedelta(hours=1))
            return "receipt"

        world.fake(charge, slow)
        run = await orders.start(Order())
        with pytest.raises(WorldError, match=r"is being driven already\nHINT.*world.late"):
            await world.until(run)


def test_a_world_needs_an_event_loop() -> None:
    world = World()
    orders = world.register(shop)
    world.fake(charge, returns="receipt")
    with pytest.raises(WorldError, match="lives in an event loop"):
        world.run().send(None)
    assert asyncio.run(orders.start(Order())).created


async def test_a_world_works_without_being_entered() -> None:
    world = World()
    orders = world.register(shop)
    run = await orders.start(Order())
    assert await run.result() == "parcel for 1"
    assert await orders.run(Order()) == "parcel for 1"
    world.close()
    world.close()


async def test_a_world_whose_end_raises_leaves_nothing_behind() -> None:
    async def forgets() -> None:
        async with world:
            assert await world.register(shop).run(Order()) == "parcel for 1"
            world.crash(charge, at="after")

    before, world = asyncio.all_tasks(), World()
    with pytest.raises(WorldError, match="never came"):
        await forgets()
    assert not world.orchestrator.entered
    await until(lambda: asyncio.all_tasks() == before)


def test_the_clock_of_the_process_is_the_real_one_again_after_the_last_world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steady, "now", time.monotonic)
    monkeypatch.setattr(processes, "_followers", WeakSet[object]())  # Worlds of other tests may be there still
    one, other = World(), World()
    one.close()
    assert steady.now is not time.monotonic
    other.close()
    assert steady.now is time.monotonic


@pytest.mark.parametrize("fault", [False, True])
def test_a_world_that_is_closed_after_its_loop_has_run_leaves_nothing_behind(*, fault: bool) -> None:
    async def test() -> None:
        assert await world.register(shop).run(Order()) == "parcel for 1"
        if fault:
            world.crash(charge, at="after")

    world, loop = World(), asyncio.new_event_loop()
    try:
        loop.run_until_complete(test())
        with pytest.raises(WorldError, match="never came") if fault else contextlib.nullcontext():
            world.close()
        assert not world.orchestrator.entered
        assert not asyncio.all_tasks(loop)
    finally:
        loop.close()


async def test_a_world_that_is_closed_while_its_loop_runs_leaves_nothing_behind() -> None:
    before, world = asyncio.all_tasks(), World()
    assert await world.register(shop).run(Order()) == "parcel for 1"
    world.close()
    world.close()
    await until(lambda: not world.orchestrator.entered and asyncio.all_tasks() == before)


async def test_asyncio_does_not_complain_of_a_call_that_fails_after_its_process_has_died() -> None:
    told: list[dict[str, object]] = []
    begun, over = asyncio.Event(), asyncio.Event()

    @step
    async def hangs(order: Order) -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
            return "never"
        finally:
            over.set()
            raise ValueError(order)

    @saga("hanging")
    def hanging(order: StepRef[Order]) -> StepRef[str]:
        return hangs(order)

    async def leaves_in_the_middle() -> None:
        async with World() as world:
            run = await world.register(hanging).start(Order())
            going_on = asyncio.create_task(world.until(run))
            await begun.wait()
            going_on.cancel()
        await over.wait()
        await asyncio.wait((going_on,))

    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    await leaves_in_the_middle()
    gc.collect()
    assert not told


async def test_the_end_of_a_world_says_nothing_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with World() as world:
        orders = world.register(shop)
        runs = [await orders.start(Order(str(number))) for number in range(5)]
        world.crash(charge, at="before")
        await asyncio.gather(*(run.result() for run in runs))
        told = len(caplog.records)
    assert caplog.records[told:] == []


async def test_the_clock_stands_still_when_there_is_nothing_left_to_do() -> None:
    async with World(start=START) as world:
        run = await world.register(shop).start(Order())
        await world.run()
        assert world.now == START
        assert (await run.snapshot()).status is SagaStatus.COMPLETED


async def test_days_that_pass_are_nothing_to_warn_of(caplog: pytest.LogCaptureFixture) -> None:
    async with World() as world:
        run = await world.register(approved).start(Order())
        await world.until(run, waits_for=approval)
        await world.advance(timedelta(days=2))
        await world.send(run, approval, Approval("ann"))
        await world.until(run)
    assert caplog.records == []


async def test_a_pause_is_told_of() -> None:
    async with World() as world:
        run = await world.register(approved).start(Order())
        await world.until(run, waits_for=approval)
        await world.admin.pause("approved", reason="a test")
        await world.send(run, approval, Approval("ann"))
        with pytest.raises(WorldError, match="it is paused, or its name is"):
            await world.until(run)
        await world.admin.resume("approved")
        assert await run.result() == "receipt for 1"


async def test_nothing_goes_on_in_a_world_that_is_closed() -> None:
    async with World() as world:
        orders = world.register(shop)
        ended = await orders.start(Order())
        await world.until(ended)
        run = await orders.start(Order())
    assert await ended.result() == "parcel for 1"
    assert (await run.snapshot()).status is SagaStatus.RUNNING
    with pytest.raises(WorldError, match="this World is closed"):
        await run.result()
    with pytest.raises(WorldError, match="this World is closed"):
        await world.until(run)
