"""A person says what has become of a step that may have run, or of an undo that failed. On all stores."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from saga_fn import (
    Compensated,
    Failed,
    NoRetry,
    OutcomeUnknown,
    PayloadError,
    SagaAdmin,
    SagaBuilder,
    SagaOrchestrator,
    SagaRun,
    SagaStateError,
    SagaStatus,
    StepStatus,
    step,
)
from tests.engine.test_unknown import BRIEFLY, Bank, Paid, paying
from tests.support.crash import born, dies
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.stores import Make
from tests.support.until import SOON, suspended, until

FOUND = {"what": "found in the books"}


async def left_to_a_person(orchestrator: SagaOrchestrator, shop: Shop, bank: Bank) -> SagaRun[Done]:
    """A saga that waits for a person: its bank has not answered, and may have charged."""
    saga = paying(shop, step(bank.charge, compensate=bank.refund), {"on_unknown": "park"})
    run = await orchestrator.register("paying", saga).start(Order("1"))
    await suspended(run)
    return run


async def ends_as(run: SagaRun[Done], status: SagaStatus) -> None:
    async with asyncio.timeout(SOON):
        while (await run.snapshot()).status is not status:
            await asyncio.sleep(0.01)


async def test_what_was_done_goes_on_and_is_undone_with_what_the_person_gave(make: Make) -> None:
    shop, bank = Shop(fails={"ship": 9}), Bank()
    async with make() as orchestrator:
        run = await left_to_a_person(orchestrator, shop, bank)
        admin = SagaAdmin(orchestrator, actor="ann@shop")
        await admin.settle_done(run.id, "charge", FOUND, reason="asked the bank")
        assert isinstance(await run.outcome(SOON), Compensated)
        assert bank.told == ["charge", "refund found in the books"]
        seen = await admin.get_saga(run.id)
        (entry,) = [each for each in seen.step_history if each.kind == "step_settled"]
        assert (entry.step_id, entry.output, entry.actor, entry.reason) == (
            "charge",
            FOUND,
            "ann@shop",
            "asked the bank",
        )
        assert await admin.verify(run.id) == []


async def test_another_process_undoes_what_was_settled_by_the_input_in_the_journal(make: Make) -> None:
    shop, bank = Shop(fails={"ship": 9}), Bank()
    saga = paying(shop, step(bank.charge, compensate=bank.refund), {"on_unknown": "park"})
    async with make() as first:
        run = await first.register("paying", saga).start(Order("1"))
        await suspended(run)
        async with make(concurrency=0) as desk:
            desk.register("paying", saga)
            await SagaAdmin(desk).settle_done(run.id, "charge", FOUND)
        assert isinstance(await run.outcome(SOON), Compensated)
        assert bank.told == ["charge", "refund found in the books"]


async def test_what_never_ran_is_attempted_again_when_the_person_says_so(make: Make) -> None:
    shop, bank = Shop(), Bank()
    async with make() as orchestrator:
        run = await left_to_a_person(orchestrator, shop, bank)
        admin = SagaAdmin(orchestrator)
        await admin.settle_never_ran(run.id, "charge")
        seen = await admin.get_saga(run.id)
        assert (seen.parked, seen.steps[1].status) == ("settled", StepStatus.PARKED)
        await admin.retry_step(run.id, "charge")
        assert await run.result(SOON) == Paid("ship")
    assert len(bank.keys) == 1


async def test_what_was_undone_by_hand_is_attempted_again_under_another_key(make: Make) -> None:
    shop, bank = Shop(), Bank()
    async with make() as orchestrator:
        run = await left_to_a_person(orchestrator, shop, bank)
        admin = SagaAdmin(orchestrator)
        await admin.settle_undone(run.id, "charge")
        await admin.retry_step(run.id, "charge")
        assert await run.result(SOON) == Paid("ship")
    assert len(bank.keys) == 2, "the bank takes the first for paid"


@pytest.mark.parametrize("verb", ["settle_undone", "settle_never_ran"])
async def test_a_failed_saga_says_what_a_person_has_found_out(
    make: Make, verb: str, caplog: pytest.LogCaptureFixture
) -> None:
    shop, bank = Shop(), Bank()
    async with make() as orchestrator:
        run = await left_to_a_person(orchestrator, shop, bank)
        admin = SagaAdmin(orchestrator)
        await admin.compensate_step(run.id)
        ended = await run.outcome(SOON)
        assert isinstance(ended, Failed)
        assert [left.step_id for left in ended.left_over] == ["charge"]
        previewed = (await admin.explain(run.id)).of(verb, "charge")
        assert previewed is not None
        assert (previewed.another_key, previewed.ends_as) == ((), SagaStatus.COMPENSATED)
        await getattr(admin, verb)(run.id, "charge")
        seen = await run.snapshot()
        assert (seen.status, seen.left_over) == (SagaStatus.COMPENSATED, ())
        assert not [message for message in caplog.messages if "resumed from FAILED" in message]
        finding = verb.removeprefix("settle_").replace("_", " ")
        explained = await admin.explain(run.id)
        assert explained.last[-1].finding == finding
        assert f"step_settled charge: {finding}" in str(explained)
        with pytest.raises(SagaStateError, match="has ended"):
            await getattr(admin, verb)(run.id, "charge")
        assert await admin.verify(run.id) == []


async def test_a_failed_saga_undoes_what_is_found_to_be_done(make: Make) -> None:
    shop, bank = Shop(), Bank()
    async with make() as orchestrator:
        run = await left_to_a_person(orchestrator, shop, bank)
        admin = SagaAdmin(orchestrator)
        await admin.compensate_step(run.id)
        assert isinstance(await run.outcome(SOON), Failed)
        await admin.settle_done(run.id, "charge", FOUND)
        seen = await run.snapshot()
        assert (seen.status, [left.kind.value for left in seen.left_over]) == (SagaStatus.FAILED, ["not undone"])
        await admin.compensate_step(run.id)
        await ends_as(run, SagaStatus.COMPENSATED)
    assert bank.told == ["charge", "refund found in the books"]


async def test_a_step_that_is_only_passed_over_in_doubt_is_named_at_the_end(make: Make) -> None:
    shop, bank = Shop(fails={"ship": 9}), Bank()
    async with make() as orchestrator:
        run = await left_to_a_person(orchestrator, shop, bank)
        admin = SagaAdmin(orchestrator)
        await admin.skip_step(run.id, "charge", FOUND)
        ended = await run.outcome(SOON)
        assert isinstance(ended, Failed)
        assert {left.step_id: left.kind.value for left in ended.left_over} == {"charge": "may have run"}
        await admin.settle_undone(run.id, "charge")
        await ends_as(run, SagaStatus.COMPENSATED)
    assert bank.told == ["charge"]


async def test_what_was_done_is_of_the_steps_own_type(make: Make) -> None:
    shop, bank = Shop(), Bank()
    async with make() as orchestrator:
        run = await left_to_a_person(orchestrator, shop, bank)
        admin = SagaAdmin(orchestrator)
        for wrong in (None, {}, {"paid": 1}, 7):
            with pytest.raises(PayloadError):
                await admin.settle_done(run.id, "charge", wrong)
        assert (await run.snapshot()).parked == "outcome_unknown"


SETTLED: dict[str, Callable[[SagaAdmin, SagaRun[None]], Awaitable[None]]] = {
    "done": lambda admin, run: admin.settle_done(run.id, "charge", FOUND),
    "undone": lambda admin, run: admin.settle_undone(run.id, "charge"),
    "never ran": lambda admin, run: admin.settle_never_ran(run.id, "charge"),
}


@pytest.mark.parametrize("settled", SETTLED)
async def test_an_owner_settles_what_another_process_asks_for(make: Make, settled: str) -> None:
    """The step beside it runs on, so that the saga has an owner, who reads the request as a message."""
    shop, bank = Shop(hold=asyncio.Event()), Bank()
    assert shop.hold is not None
    builder = SagaBuilder(Order, order="graph")
    builder.add_step(
        step(bank.charge, compensate=bank.refund),
        depends_on=builder.initial,
        step_id="charge",
        timeout=BRIEFLY,
        on_unknown="park",
    )
    builder.add_step(step(shop.charge), depends_on=builder.initial, step_id="beside", timeout=None)
    saga = builder.build()
    async with make() as owner, make(concurrency=0) as desk:
        run = await owner.register("two", saga).start(Order("1"))
        desk.register("two", saga)
        admin = SagaAdmin(desk, actor="ann@shop")

        async def parked() -> bool:
            return (await admin.get_saga(run.id)).steps[0].status is StepStatus.PARKED

        async with asyncio.timeout(SOON):
            while not await parked():
                await asyncio.sleep(0.01)
        await SETTLED[settled](admin, run)
        seen = await admin.get_saga(run.id)
        assert seen.steps[1].status is StepStatus.RUNNING
        assert seen.steps[0].status is (StepStatus.SUCCEEDED if settled == "done" else StepStatus.PARKED)
        assert [each.actor for each in seen.step_history if each.kind == "step_settled"] == ["ann@shop"]
        if settled != "done":
            await admin.retry_step(run.id, "charge")
        shop.hold.set()
        await run.outcome(SOON)
        assert await admin.verify(run.id) == []


async def test_what_died_with_its_process_is_undone_with_its_input_computed_again(make: Make) -> None:
    shop, bank = Shop(fails={"ship": 9}), Bank()
    saga = paying(shop, step(bank.charge, compensate=bank.refund), {"on_unknown": "park", "timeout": None})
    orchestrator = await born(make())
    run = await orchestrator.register("paying", saga).start(Order("7"))
    await until(lambda: bank.told == ["charge"])
    await dies(orchestrator)  # it has written no more of the input than its fingerprint
    async with make() as survivor:
        again = survivor.register("paying", saga)
        await suspended(again.attach(run.id))
        await SagaAdmin(survivor).settle_done(run.id, "charge", FOUND)
        assert isinstance(await again.attach(run.id).outcome(SOON), Compensated)
    assert bank.told == ["charge", "refund found in the books"]


async def test_an_undo_that_failed_is_settled_in_a_saga_that_has_failed(make: Make) -> None:
    shop = Shop(fails={"ship": 1, "refund charge": 99})
    async with make() as orchestrator:
        run = await orchestrator.register("shop", make_saga(shop)).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Failed)
        admin = SagaAdmin(orchestrator)
        await admin.settle_undone(run.id, "charge")
        await ends_as(run, SagaStatus.COMPENSATED)
        assert shop.done == ["reserve", "charge", "release reserve"]


@pytest.mark.parametrize("died", [False, True])
async def test_an_item_that_was_settled_is_undone_with_its_own_input(make: Make, died: bool) -> None:
    """Also where its process has died in the attempt: then nothing but its list's fingerprint tells the input."""
    undone: list[tuple[str, str]] = []
    begun, hold = asyncio.Event(), asyncio.Event()
    shop = Shop(fails={"ship": 9})

    async def pack(inp: Order) -> Done:
        begun.set()
        if died:
            await hold.wait()
        raise OutcomeUnknown("no answer")

    async def unpack(inp: Order, out: Done) -> None:
        undone.append((inp.order_id, out.what))

    builder = SagaBuilder(Order)
    builder.add_step(
        step(pack, compensate=unpack, on_unknown="park").each(concurrency=1),
        input_map=lambda ctx: [Order(f"{ctx.initial_data.order_id}-0")],
    )
    builder.add_step(step(shop.ship), input_map=lambda ctx: ctx.initial_data)
    saga = builder.build()
    orchestrator = await born(make())
    run = await orchestrator.register("packed", saga).start(Order("1"))
    await asyncio.wait_for(begun.wait(), SOON)
    if not died:
        await suspended(run)
    await dies(orchestrator)
    async with make() as survivor:
        again = survivor.register("packed", saga)
        await suspended(again.attach(run.id))
        admin = SagaAdmin(survivor, actor="ann@shop")
        await admin.settle_done(run.id, "pack[0]", FOUND, reason="asked them")
        assert isinstance(await again.attach(run.id).outcome(SOON), Compensated)
        assert await admin.verify(run.id) == []
    assert undone == [("1-0", "found in the books")]


async def test_what_an_end_past_the_pivot_has_left_is_undone_by_hand_and_the_journal_tells_who_said_so(
    make: Make,
) -> None:
    shop = Shop(fails={"ship": 9})

    @step(pivot=True)
    async def promise(inp: Done) -> Done:
        return inp

    builder = SagaBuilder(Order)
    reserved = builder.add_step(step(shop.reserve, compensate=shop.release), depends_on=builder.initial)
    promised = builder.add_step(promise, depends_on=reserved)
    builder.add_step(step(shop.ship, retry_policy=NoRetry()), depends_on=promised, input_map=lambda _: Order("1"))
    async with make() as orchestrator:
        run = await orchestrator.register("past", builder.build(output=promised)).start(Order("1"))
        await suspended(run)
        admin = SagaAdmin(orchestrator, actor="ann@shop")
        await admin.abort(run.id)
        left = (await admin.explain(run.id)).left_over
        assert [(each.step_id, each.kind.value) for each in left] == [("reserve", "not undone")]
        await admin.acknowledge(run.id)
        said = (await admin.explain(run.id)).of("settle_undone", "reserve")
        assert said is not None
        assert (said.is_legal, said.ends_as, said.left_over) == (True, SagaStatus.FAILED, ())
        await admin.settle_undone(run.id, "reserve", reason="released at the counter, OPS-12")
        seen = await admin.get_saga(run.id)
        assert (seen.status, seen.left_over, seen.acknowledged) == (SagaStatus.FAILED, (), False)
        entry = seen.step_history[-1]
        assert (entry.kind, entry.step_id, entry.actor, entry.reason) == (
            "step_settled",
            "reserve",
            "ann@shop",
            "released at the counter, OPS-12",
        )
        assert next(each for each in seen.steps if each.step_id == "reserve").status is StepStatus.COMPENSATED
        with pytest.raises(SagaStateError, match="has been undone in part"):
            await admin.retry_step(run.id, "ship")
        with pytest.raises(SagaStateError, match="nothing open"):
            await admin.settle_undone(run.id, "reserve")
        assert shop.done == ["reserve"], "nothing was called"
        assert await admin.verify(run.id) == []
