"""Steps, compensations and definitions: what is run, what is undone, and what is nobody's business failure."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import cast

import msgspec
import pytest
from typing_extensions import override

from saga_fn import (
    BaseStep,
    Compensated,
    Completed,
    Failed,
    FixedRetry,
    NoRetry,
    SagaAdmin,
    SagaBuilder,
    SagaDefinition,
    SagaStatus,
    step,
)
from tests.engine.conftest import Make
from tests.engine.shop import Done, Order, Shop, make_saga
from tests.weaknesses.stage import SOON, one_step, suspended, until

HOUR = timedelta(hours=1)
BRIEFLY = timedelta(milliseconds=50)


@pytest.mark.parametrize(
    "verb, end, done",
    [
        ("retry", Completed, ["reserve", "ship"]),
        ("skip", Completed, ["reserve"]),
        ("compensate", Compensated, ["reserve", "release reserve"]),
    ],
)
async def test_weakness_01_a_saga_whose_input_map_raised_waits_for_a_person_and_obeys(
    make: Make, verb: str, end: type, done: list[str]
) -> None:
    broken = [True]
    shop = Shop()

    def mapping(out: Done) -> Order:
        if broken:
            raise KeyError(out.what)
        return Order(out.what)

    builder = SagaBuilder(Order)
    reserved = builder.add_step(step(shop.reserve, compensate=shop.release), depends_on=builder.initial)
    shipped = builder.add_step(step(shop.ship), depends_on=reserved, input_map=mapping)
    async with make() as orchestrator:
        run = await orchestrator.register("mapped", builder.build(output=shipped)).start(Order("1"))
        await suspended(run)
        assert (await run.snapshot()).parked == "input_failed"
        assert await orchestrator.run_due() == 0
        broken.clear()
        admin = SagaAdmin(orchestrator)
        match verb:
            case "retry":
                await admin.retry_step(run.id, "ship")
            case "skip":
                await admin.skip_step(run.id, "ship", {"what": "by hand"})
            case _:
                await admin.compensate_step(run.id)
        assert isinstance(await run.outcome(SOON), end)
        assert shop.done == done


async def test_weakness_09_a_rollback_passes_over_a_step_without_compensation(make: Make) -> None:
    class Announce(BaseStep[Done, Done]):
        @override
        async def execute(self, inp: Done, /) -> Done:
            return inp

    shop = Shop(fails={"ship": 1})
    builder = SagaBuilder(Order)
    reserved = builder.add_step(step(shop.reserve, compensate=shop.release), depends_on=builder.initial)
    builder.add_step(Announce(), depends_on=reserved)
    builder.add_step(step(shop.ship), depends_on=builder.initial)
    async with make() as orchestrator:
        run = await orchestrator.register("announced", builder.build()).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Compensated)
        assert shop.done == ["reserve", "release reserve"]


async def test_weakness_10_a_skipped_step_does_not_break_the_rollback_and_is_not_undone(make: Make) -> None:
    shop = Shop(fails={"charge": 1, "ship": 1})
    retry = FixedRetry(max_attempts=2, delay=HOUR)
    builder = SagaBuilder(Order)  # whose inputs have a required field, which a skip does not give
    builder.add_step(step(shop.reserve, compensate=shop.release), depends_on=builder.initial)
    builder.add_step(step(shop.charge, compensate=shop.refund), depends_on=builder.initial, retry_policy=retry)
    builder.add_step(step(shop.ship), depends_on=builder.initial)
    async with make() as orchestrator:
        run = await orchestrator.register("shop", builder.build()).start(Order("1"))
        await suspended(run)
        await SagaAdmin(orchestrator).skip_step(run.id, "charge", {"what": "by hand"})
        assert isinstance(await run.outcome(SOON), Compensated)
        assert shop.done == ["reserve", "release reserve"], "what never ran is never undone"


async def test_weakness_22_a_step_is_called_with_what_its_own_signature_asks_for(make: Make) -> None:
    seen: list[object] = []

    @step
    async def old(inp: Order, note: str = "my own default", *more: object, **named: object) -> Done:
        seen.extend((inp, note, more, named))
        return Done("old")

    class Old(BaseStep[Order, Done]):
        @override
        async def execute(self, inp: Order, /, *more: object, **named: object) -> Done:
            seen.extend((inp, more, named))
            return Done("old")

    builder = SagaBuilder(Order)
    builder.add_step(old, depends_on=builder.initial)
    output = builder.add_step(Old(), depends_on=builder.initial, step_id="class")
    async with make() as orchestrator:
        run = await orchestrator.register("old", builder.build(output=output)).start(Order("1"))
        assert await run.result(SOON) == Done("old")
        assert seen == [Order("1"), "my own default", (), {}, Order("1"), (), {}]


class Priced(msgspec.Struct, frozen=True):
    what: str
    cents: int


async def test_weakness_22_a_deploy_that_cannot_read_what_is_stored_parks_and_undoes_nothing(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())

    async def priced(inp: Order) -> Priced:
        raise AssertionError("it ran before the deploy")

    async def charge(inp: Priced) -> Done:
        raise AssertionError("it has no input")

    builder = SagaBuilder(Order)
    reserved = builder.add_step(step(priced, compensate=undo_priced), depends_on=builder.initial, step_id="reserve")
    builder.add_step(step(charge), depends_on=reserved)
    async with make(stop_timeout=BRIEFLY) as before:
        run = await before.register("shop", chain(shop, "reserve", "charge")).start(Order("1"))
        await until(lambda: len(shop.keys) == 2)
    async with make() as after:
        again = after.register("shop", builder.build()).attach(run.id)
        await suspended(again)
        assert (await again.snapshot()).parked == "payload_unreadable"
        assert shop.done == ["reserve"], "nothing was rolled back"


async def undo_priced(inp: Order, out: Priced) -> None:
    raise AssertionError("nothing is rolled back")


def chain(shop: Shop, *names: str) -> SagaDefinition[Order, None]:
    """A saga of these steps, in this order."""
    builder = SagaBuilder(Order)
    for name in names:
        match name:
            case "reserve":
                builder.add_step(step(shop.reserve, compensate=shop.release), depends_on=builder.initial)
            case "charge":
                builder.add_step(step(shop.charge, compensate=shop.refund), depends_on=builder.initial)
            case _:
                builder.add_step(step(shop.ship), depends_on=builder.initial, step_id=name)
    return builder.build()


def begun(shop: Shop) -> list[str]:
    """The ids of the steps that were begun, in order."""
    return [key.split(":")[1] for key in shop.keys]


async def test_weakness_27_a_step_inserted_ahead_of_a_live_saga_is_run_in_its_place(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    async with make(stop_timeout=BRIEFLY) as before:
        run = await before.register("shop", chain(shop, "reserve", "charge", "ship")).start(Order("1"))
        await until(lambda: len(shop.keys) == 2)
    assert shop.hold is not None
    shop.hold.set()
    async with make() as after:
        again = after.register("shop", chain(shop, "reserve", "charge", "pack", "ship")).attach(run.id)
        assert isinstance(await again.outcome(SOON), Completed)
        assert begun(shop) == ["reserve", "charge", "charge", "pack", "ship"]


async def test_weakness_27_a_step_inserted_behind_a_live_saga_parks_it_and_two_versions_live_side_by_side(
    make: Make,
) -> None:
    shop = Shop(hold=asyncio.Event())
    old, new = chain(shop, "reserve", "charge", "ship"), chain(shop, "check", "reserve", "charge", "ship")
    async with make(stop_timeout=BRIEFLY) as before:
        run = await before.register("shop", old).start(Order("1"))
        await until(lambda: len(shop.keys) == 2)
    assert shop.hold is not None
    shop.hold.set()
    async with make() as careless:
        again = careless.register("shop", new).attach(run.id)
        await suspended(again)
        assert (await again.snapshot()).parked == "plan_changed"
        assert begun(shop) == ["reserve", "charge"], "no step is run in another's place, and none is undone"
    async with make() as careful:
        again = careful.register("shop", old, version=1).attach(run.id)
        fresh = await careful.register("shop", new, version=2).start(Order("2"))
        assert isinstance(await again.outcome(SOON, wait_parked=True), Completed), "it goes on by itself"
        assert isinstance(await fresh.outcome(SOON), Completed)
        of_the_old = [key.split(":")[1] for key in shop.keys if key.startswith(str(run.id))]
        assert of_the_old == ["reserve", "charge", "charge", "ship"]
        assert [(await one.snapshot()).version for one in (again, fresh)] == [1, 2]


async def test_weakness_28_a_compensation_has_a_timeout_and_a_policy_of_its_own(make: Make) -> None:
    undone: list[str] = []

    async def undo(inp: Order, out: Done) -> None:
        undone.append(out.what)
        if len(undone) == 1:
            await asyncio.Event().wait()

    shop = Shop(fails={"ship": 1})
    builder = SagaBuilder(Order)
    builder.add_step(
        step(
            shop.reserve,
            compensate=undo,
            retry_policy=NoRetry(),
            compensation_retry_policy=FixedRetry(max_attempts=2),
            compensation_timeout=BRIEFLY,
        ),
        depends_on=builder.initial,
    )
    builder.add_step(step(shop.ship), depends_on=builder.initial)
    async with make() as orchestrator:
        run = await orchestrator.register("shop", builder.build()).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Compensated)
        assert undone == ["reserve", "reserve"]
        history = (await SagaAdmin(orchestrator).get_saga(run.id)).step_history
        assert [entry.error for entry in history if entry.phase == "compensate"] == [
            "TimeoutError: did not return within 0.05 s",
            None,
        ]


async def test_weakness_28_the_policy_of_the_step_does_not_retry_its_compensation(make: Make) -> None:
    shop = Shop(fails={"ship": 1, "release reserve": 9})
    builder = SagaBuilder(Order)
    builder.add_step(
        step(
            shop.reserve,
            compensate=shop.release,
            retry_policy=FixedRetry(max_attempts=5),
            compensation_retry_policy=NoRetry(),
        ),
        depends_on=builder.initial,
    )
    builder.add_step(step(shop.ship), depends_on=builder.initial)
    async with make() as orchestrator:
        run = await orchestrator.register("shop", builder.build()).start(Order("1"))
        ended = await run.outcome(SOON)
        assert isinstance(ended, Failed)
        assert [(left.step_id, left.kind.value) for left in ended.left_over] == [("reserve", "undo failed")]
        assert begun(shop) == ["reserve", "ship", "reserve"]


@pytest.mark.parametrize("asked", [False, True])
async def test_weakness_29_a_rollback_with_nothing_to_undo_is_over_at_once(make: Make, asked: bool) -> None:
    shop = Shop(fails={"reserve": 9})
    retry = FixedRetry(max_attempts=2, delay=HOUR) if asked else NoRetry()
    async with make() as orchestrator:
        run = await orchestrator.register("shop", make_saga(shop, retry=retry)).start(Order("1"))
        if asked:
            await suspended(run)
            await SagaAdmin(orchestrator).compensate_step(run.id)
        assert isinstance(await run.outcome(SOON), Compensated)
        snapshot = await run.snapshot()
        assert (snapshot.status, snapshot.deadline_at) == (SagaStatus.COMPENSATED, None)
        assert await orchestrator.run_due() == 0


async def test_weakness_31_a_step_that_returns_none_is_run_once_and_waits_for_a_person(make: Make) -> None:
    calls: list[Order] = []

    async def forgets(inp: Order) -> Done:
        calls.append(inp)
        return cast("Done", None)

    async with make() as orchestrator:
        run = await orchestrator.register(
            "forgets", one_step(forgets, {"retry_policy": FixedRetry(max_attempts=3)})
        ).start(Order("1"))
        await suspended(run)
        for _ in range(3):
            assert await orchestrator.run_due() == 0
        seen = await SagaAdmin(orchestrator).get_saga(run.id)
        assert (seen.parked, calls) == ("output_lost", [Order("1")])
        assert any("None" in (entry.error or "") for entry in seen.step_history)
        await SagaAdmin(orchestrator).skip_step(run.id, "forgets", {"what": "by hand"})
        assert await run.result(SOON) == Done("by hand")
