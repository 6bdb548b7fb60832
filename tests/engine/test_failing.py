"""Failures that mean something: business errors, errors that are tried again and those that are not. On all stores."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import timedelta

import msgspec
import pytest
from returns.result import Failure, Result, Success

from saga_fn import (
    Compensated,
    Completed,
    Event,
    Failed,
    FixedRetry,
    NoRetry,
    SagaAdmin,
    SagaBuilder,
    SagaCompensatedError,
    SagaDefinition,
    Step,
    StepFailure,
    StepOptions,
    step,
)
from tests.support.shop import Done, Order, Shop
from tests.support.stores import Make
from tests.support.until import SOON, suspended


class Declined(msgspec.Struct, frozen=True):
    code: int


@dataclasses.dataclass
class CardDeclinedError(Exception):
    code: int


def failing(
    shop: Shop,
    charge: Step[Order, Done],
    options: StepOptions | None = None,
) -> SagaDefinition[Order, Done]:
    """Reserve, which can be undone, then a charge that fails in some way, and could be tried four times."""
    builder = SagaBuilder(Order)
    builder.add_step(step(shop.reserve, compensate=shop.release), depends_on=builder.initial)
    chosen: StepOptions = {"retry_policy": FixedRetry(max_attempts=4), "step_id": "charge"}
    chosen.update(options or {})
    charged = builder.add_step(charge, depends_on=builder.initial, **chosen)
    return builder.build(output=charged)


async def test_a_returned_failure_is_not_tried_again_and_its_error_is_kept_typed(make: Make) -> None:
    shop, attempts = Shop(), 0

    async def charge(inp: Order) -> Result[Done, Declined]:
        nonlocal attempts
        attempts += 1
        return Failure(Declined(7)) if inp.amount else Success(Done("charge"))

    async with make() as orchestrator:
        run = await orchestrator.register("failing", failing(shop, step(charge))).start(Order("1"))
        ended = await run.outcome(SOON)
        assert isinstance(ended, Compensated)
        assert ended.failure == StepFailure("charge", "Declined", "Declined(code=7)", Declined(7))
        with pytest.raises(SagaCompensatedError, match="code=7") as caught:
            await run.result(SOON)
        assert caught.value.failure == ended.failure
        assert ended.snapshot.last_error == "Declined"
        seen = await SagaAdmin(orchestrator).get_saga(run.id)
        assert seen.failure == ended.failure
        assert [entry.business_error for entry in seen.step_history if entry.kind == "step_failed"] == [{"code": 7}]
    assert attempts == 1
    assert shop.done == ["reserve", "release reserve"]


async def test_a_declared_business_error_is_not_tried_again_and_is_kept_typed(make: Make) -> None:
    shop, attempts = Shop(), 0

    async def charge(inp: Order) -> Done:
        nonlocal attempts
        attempts += 1
        raise CardDeclinedError(9)

    async with make() as orchestrator:
        saga = failing(shop, step(charge), {"give_up_on": CardDeclinedError})
        ended = await (await orchestrator.register("failing", saga).start(Order("1"))).outcome(SOON)
        assert isinstance(ended, Compensated)
        assert ended.failure is not None
        match ended.failure.error:
            case CardDeclinedError(code=code):
                assert code == 9
            case other:
                raise AssertionError(other)
    assert attempts == 1


async def test_who_does_not_know_the_definition_sees_plain_data(make: Make) -> None:
    async def charge(inp: Order) -> Result[Done, Declined]:
        return Failure(Declined(7))

    shop = Shop()
    async with make() as orchestrator:
        run = await orchestrator.register("failing", failing(shop, step(charge))).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Compensated)
        async with make(concurrency=0) as stranger:
            seen = await SagaAdmin(stranger).get_saga(run.id)
            assert seen.failure is not None
            assert seen.failure.error == {"code": 7}

    async def changed(inp: Order) -> Done:
        return Done("charge")

    async with make(concurrency=0) as successor:
        successor.register("failing", failing(shop, step(changed)))
        seen = await SagaAdmin(successor).get_saga(run.id)
        assert seen.failure is not None
        assert seen.failure.error == {"code": 7}


@pytest.mark.parametrize(
    "options, attempts",
    [
        ({}, 4),
        ({"retry_on": ConnectionError}, 4),
        ({"retry_on": (KeyError, OSError)}, 4),
        ({"retry_on": KeyError}, 1),
        ({"give_up_on": ConnectionRefusedError}, 1),
        ({"give_up_on": ConnectionRefusedError, "retry_on": ConnectionError}, 1),
        ({"give_up_on": KeyError}, 4),
    ],
)
async def test_retry_on_and_give_up_on_say_how_often_it_is_tried(
    make: Make, options: StepOptions, attempts: int
) -> None:
    shop, tried = Shop(), 0

    async def charge(inp: Order) -> Done:
        nonlocal tried
        tried += 1
        raise ConnectionRefusedError("gone")

    async with make() as orchestrator:
        run = await orchestrator.register("failing", failing(shop, step(charge), options)).start(Order("1"))
        ended = await run.outcome(SOON)
        assert isinstance(ended, Compensated)
        assert ended.failure is not None
        assert (ended.failure.type, ended.failure.message) == ("ConnectionRefusedError", "gone")
        failed_for_good = "ConnectionRefusedError('gone')" if "give_up_on" in options and attempts == 1 else "None"
        assert repr(ended.failure.error) == failed_for_good
    assert tried == attempts


async def test_a_budget_in_time_ends_the_attempts(make: Make) -> None:
    shop, tried = Shop(), 0

    async def charge(inp: Order) -> Done:
        nonlocal tried
        tried += 1
        raise ConnectionRefusedError("gone")

    policy = FixedRetry(delay=timedelta(milliseconds=60), within=timedelta(milliseconds=150))
    async with make() as orchestrator:
        run = await orchestrator.register("failing", failing(shop, step(charge), {"retry_policy": policy})).start(
            Order("1")
        )
        assert isinstance(await run.outcome(SOON), Compensated)
    assert 1 <= tried <= 3


async def test_a_timeout_says_nothing_about_the_business(make: Make) -> None:
    """A timeout leaves open what happened, and goes by the policy for that alone."""
    shop, tried = Shop(), 0

    async def charge(inp: Order) -> Done:
        nonlocal tried
        tried += 1
        if tried < 3:
            await asyncio.Event().wait()
        return Done("charge")

    options: StepOptions = {
        "retry_on": KeyError,
        "give_up_on": (OSError, ValueError),
        "timeout": timedelta(milliseconds=30),
        "retry_policy": NoRetry(),
        "unknown_retry_policy": FixedRetry(max_attempts=3),
    }
    async with make() as orchestrator:
        run = await orchestrator.register("failing", failing(shop, step(charge), options)).start(Order("1"))
        assert await run.result(SOON) == Done("charge")


@pytest.mark.parametrize("settles", [True, False])
async def test_a_business_error_of_a_repeat_settles_an_earlier_timeout_only_where_that_is_said(
    make: Make, settles: bool
) -> None:
    shop, tried = Shop(), 0

    async def charge(inp: Order) -> Done:
        nonlocal tried
        tried += 1
        if tried == 1:
            await asyncio.Event().wait()
        raise CardDeclinedError(1)

    options: StepOptions = {
        "give_up_on": CardDeclinedError,
        "timeout": timedelta(milliseconds=30),
        "unknown_retry_policy": FixedRetry(max_attempts=2),
        "business_error_settles": settles,
    }
    async with make() as orchestrator:
        run = await orchestrator.register("failing", failing(shop, step(charge), options)).start(Order("1"))
        ended = await run.outcome(SOON)
        assert isinstance(ended, Compensated if settles else Failed)
        assert ended.failure is not None
        assert ended.failure.error == CardDeclinedError(1)
        if isinstance(ended, Failed):
            assert [(left.step_id, left.kind.value) for left in ended.left_over] == [("charge", "may have run")]
    assert tried == 2
    assert shop.done == ["reserve", "release reserve"]


async def test_a_fatal_error_does_not_settle_it(make: Make) -> None:
    shop, tried = Shop(), 0

    async def charge(inp: Order) -> Done:
        nonlocal tried
        tried += 1
        if tried == 1:
            await asyncio.Event().wait()
        raise ValueError("a bug")

    options: StepOptions = {
        "retry_on": ConnectionError,
        "retry_policy": NoRetry(),
        "timeout": timedelta(milliseconds=30),
    }
    async with make() as orchestrator:
        run = await orchestrator.register("failing", failing(shop, step(charge), options)).start(Order("1"))
        ended = await run.outcome(SOON)
        assert isinstance(ended, Failed)
        assert [(left.step_id, left.kind.value) for left in ended.left_over] == [("charge", "may have run")]
        assert ended.failure == StepFailure("charge", "ValueError", "a bug")


# Which failure it was.


async def declined(inp: Order) -> Done:
    if inp.order_id == "bad":
        raise CardDeclinedError(7)
    return Done(inp.order_id)


async def test_the_error_of_an_item_is_kept_typed_too(make: Make) -> None:
    builder = SagaBuilder(list[Order])
    builder.add_step(step(declined, give_up_on=CardDeclinedError).each(concurrency=2), depends_on=builder.initial)
    async with make() as orchestrator:
        run = await orchestrator.register("items", builder.build()).start([Order("good"), Order("bad")])
        ended = await run.outcome(SOON)
    assert isinstance(ended, Compensated)
    assert ended.failure is not None
    assert (ended.failure.step_id, ended.failure.error) == ("declined[1]", CardDeclinedError(7))


async def test_what_made_a_saga_turn_back_is_not_what_failed_of_its_siblings_afterwards(make: Make) -> None:
    turned = asyncio.Event()

    async def fails_too(inp: Order) -> Done:
        await turned.wait()
        raise ValueError("a bug")

    builder = SagaBuilder(Order, order="graph")
    builder.add_step(step(declined, give_up_on=CardDeclinedError), depends_on=builder.initial)
    builder.add_step(step(fails_too), depends_on=builder.initial)
    async with make() as orchestrator:
        run = await orchestrator.register("siblings", builder.build()).start(Order("bad"))
        admin = SagaAdmin(orchestrator)
        while (first := (await admin.get_saga(run.id)).failure) is None:
            await asyncio.sleep(0.005)
        assert first.step_id == "declined"
        turned.set()
        ended = await run.outcome(SOON)
        assert isinstance(ended, Compensated)
        assert ended.failure == first == (await admin.get_saga(run.id)).failure
    assert ended.error is not None
    assert ended.error.startswith("CardDeclinedError")


async def test_a_sibling_that_succeeds_does_not_make_a_row_forget_the_error(make: Make) -> None:
    turned = asyncio.Event()

    async def succeeds(inp: Order) -> Done:
        await turned.wait()
        return Done("after all")

    builder = SagaBuilder(Order, order="graph")
    builder.add_step(step(declined, give_up_on=CardDeclinedError), depends_on=builder.initial)
    builder.add_step(step(succeeds), depends_on=builder.initial)
    async with make() as orchestrator:
        run = await orchestrator.register("siblings", builder.build()).start(Order("bad"))
        while (await run.snapshot()).last_error is None:
            await asyncio.sleep(0.005)
        turned.set()
        assert (await run.outcome(SOON)).snapshot.last_error == "CardDeclinedError"


@pytest.mark.parametrize(
    "fails", [{"charge": 1}, {"charge": 9}, {"reserve": 1, "charge": 9}, {"charge": 9, "release reserve": 1}], ids=str
)
async def test_an_end_that_was_seen_here_is_told_without_a_look_into_the_store(
    make: Make, fails: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, again = Shop(fails=dict(fails)), FixedRetry(max_attempts=2)
    reserve = step(shop.reserve, compensate=shop.release, retry_policy=again, compensation_retry_policy=again)
    builder = SagaBuilder(Order)
    builder.add_step(reserve, depends_on=builder.initial)
    builder.add_step(step(shop.charge, retry_policy=again), depends_on=builder.initial)
    async with make() as orchestrator:
        sagas = orchestrator.register("seen", builder.build())
        run = await sagas.start(Order("1"))
        with monkeypatch.context() as blind:
            for look in ("journal", "read"):
                blind.setattr(orchestrator.engine.store, look, None)
            ended = await run.outcome(SOON)
        read = await sagas.attach(run.id).outcome(SOON)
    assert ended == read
    assert isinstance(ended, Completed if fails == {"charge": 1} else Compensated)


async def test_the_end_of_a_saga_that_was_claimed_at_its_beginning_is_told_without_its_journal(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(fails={"charge": 9})
    builder = SagaBuilder(Order)
    builder.add_step(step(shop.reserve, compensate=shop.release), depends_on=builder.initial)
    builder.add_step(step(shop.charge), depends_on=builder.initial)
    async with make() as orchestrator:
        sagas = orchestrator.register("claimed", builder.build())
        with monkeypatch.context() as blind:
            blind.setattr(orchestrator.engine.store, "journal", None)
            (run,) = await sagas.start_many([Order("1")])
            ended = await run.outcome(SOON)
        assert ended == await sagas.attach(run.id).outcome(SOON)
    assert isinstance(ended, Compensated)
    assert ended.failure == StepFailure("charge", "ShopError", "charge failed")


async def test_what_failed_and_was_done_after_all_is_not_why_a_person_turned_a_saga_back(make: Make) -> None:
    shop = Shop(fails={"reserve": 1})
    builder = SagaBuilder(Order)
    again = FixedRetry(max_attempts=2)
    builder.add_step(step(shop.reserve, compensate=shop.release, retry_policy=again), depends_on=builder.initial)
    builder.add_event(Event("approval", str))
    async with make() as orchestrator:
        run = await orchestrator.register("waits", builder.build()).start(Order("1"))
        await suspended(run)
        assert (await SagaAdmin(orchestrator).get_saga(run.id)).failure is None
        await SagaAdmin(orchestrator).compensate_step(run.id)
        ended = await run.outcome(SOON)
    assert isinstance(ended, Compensated)
    assert (ended.failure, ended.error) == (None, None)


async def test_a_saga_that_was_taken_up_again_is_told_by_what_failed_then(make: Make) -> None:
    shop = Shop(fails={"charge": 1})
    late = timedelta(milliseconds=200)
    builder = SagaBuilder(Order, compensate_on_failure=False)
    builder.add_step(step(shop.charge), depends_on=builder.initial)
    builder.add_event(Event("approval", str), timeout=late)
    async with make() as orchestrator:
        sagas = orchestrator.register("again", builder.build())
        run = await sagas.start(Order("1"))
        first = await run.outcome(SOON)
        assert isinstance(first, Failed)
        assert first.failure == StepFailure("charge", "ShopError", "charge failed")
        await SagaAdmin(orchestrator).retry_step(run.id, "charge")
        ended = await sagas.attach(run.id).outcome(SOON)
    assert isinstance(ended, Failed)
    assert ended.failure is not None
    assert (ended.failure.step_id, ended.failure.type) == ("approval", "WaitTimeoutError")
