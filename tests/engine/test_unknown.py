"""Unknown outcomes: repeated, found out, undone as what may have run, or left to a person. On all stores."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import cast

import attrs
import pytest
from typing_extensions import override

from saga_fn import (
    NOT_DONE,
    BaseStep,
    Compensated,
    Done,
    Failed,
    FixedRetry,
    InputContext,
    NotDone,
    SagaAdmin,
    SagaBuilder,
    SagaDefinition,
    SagaStatus,
    Step,
    StepContext,
    StepOptions,
    StepStatus,
    step,
)
from tests.support import shop
from tests.support.crash import born, dies
from tests.support.shop import Order, Shop
from tests.support.stores import Make
from tests.support.until import SOON, suspended, until

BRIEFLY = timedelta(milliseconds=40)
Paid = shop.Done


@attrs.define
class Bank:
    """Charges, but does not answer the first `silent` times; what it knows of a charge the probe says, or raises."""

    silent: int = 1
    answers: list[Done[Paid] | NotDone | Exception | object] = attrs.field(factory=list)
    told: list[str] = attrs.field(factory=list)
    keys: set[str] = attrs.field(factory=set)

    async def charge(self, inp: Order, ctx: StepContext) -> Paid:
        self.told.append("charge")
        self.keys.add(ctx.idempotency_key)
        if self.silent:
            self.silent -= 1
            await asyncio.Event().wait()
        return Paid("charge")

    async def find(self, inp: Order, ctx: StepContext) -> Done[Paid] | NotDone:
        self.told.append("find")
        self.keys.add(ctx.idempotency_key)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return cast("Done[Paid] | NotDone", answer)

    async def refund(self, inp: Order, out: Paid) -> None:
        self.told.append(f"refund {out.what}")

    async def refund_perhaps(self, inp: Order, out: Paid | None) -> None:
        self.told.append(f"refund {out.what}" if out is not None else f"refund order {inp.order_id} if charged")

    @property
    def probed(self) -> Step[Order, Paid]:
        """The charge with a probe."""
        return step(self.charge, compensate=self.refund, probe=self.find, probe_retry_policy=FixedRetry(max_attempts=3))

    @property
    def undone(self) -> Step[Order, Paid]:
        """The charge with a compensation that can do without an output."""
        return step(self.charge, compensate=self.refund_perhaps, on_unknown="undo")


def paying(shop: Shop, charge: Step[Order, Paid], options: StepOptions | None = None) -> SagaDefinition[Order, Paid]:
    """Reserve, charge (which times out soon), ship; the first two can be undone."""
    builder = SagaBuilder(Order)
    builder.add_step(step(shop.reserve, compensate=shop.release), depends_on=builder.initial)
    chosen: StepOptions = {"timeout": BRIEFLY, **(options or {})}
    builder.add_step(charge, depends_on=builder.initial, **chosen)
    shipped = builder.add_step(step(shop.ship), depends_on=builder.initial)
    return builder.build(output=shipped)


async def test_a_probe_that_finds_it_done_goes_on_with_what_it_found(make: Make) -> None:
    shop, bank = Shop(), Bank(answers=[Done(Paid("found"))])
    async with make() as orchestrator:
        run = await orchestrator.register("paying", paying(shop, bank.probed)).start(Order("1"))
        assert await run.result(SOON) == Paid("ship")
        seen = await SagaAdmin(orchestrator).get_saga(run.id)
        assert seen.context["step_outputs"]["charge"] == {"what": "found"}
        (entry,) = [entry for entry in seen.step_history if entry.kind == "probe_answered"]
        assert (entry.phase, entry.status, entry.input, entry.output) == (
            "probe",
            "SUCCESS",
            {"order_id": "1", "amount": 1},
            {"what": "found"},
        )
        assert entry.finding == "done"
        assert "probe_answered charge (attempt 1): done" in str(await SagaAdmin(orchestrator).explain(run.id))
    assert bank.told == ["charge", "find"]
    assert len(bank.keys) == 1, "it asks for the very execution that did not answer"


async def test_what_a_probe_found_is_undone_like_any_other(make: Make) -> None:
    shop, bank = Shop(fails={"ship": 1}), Bank(answers=[Done(Paid("found"))])
    async with make() as orchestrator:
        run = await orchestrator.register("paying", paying(shop, bank.probed)).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Compensated)
    assert bank.told == ["charge", "find", "refund found"]
    assert shop.done == ["reserve", "release reserve"]


async def test_a_probe_that_finds_it_not_done_lets_it_be_repeated_as_often_as_the_policy_says(make: Make) -> None:
    shop, bank = Shop(), Bank(silent=2, answers=[NOT_DONE, NOT_DONE])
    policy: StepOptions = {"retry_policy": FixedRetry(max_attempts=3)}
    async with make() as orchestrator:
        run = await orchestrator.register("paying", paying(shop, bank.probed, policy)).start(Order("1"))
        assert await run.result(SOON) == Paid("ship")
    assert bank.told == ["charge", "find", "charge", "find", "charge"]


async def test_a_step_that_is_known_not_to_have_run_leaves_nothing(make: Make) -> None:
    shop, bank = Shop(), Bank(answers=[NOT_DONE])
    async with make() as orchestrator:
        run = await orchestrator.register("paying", paying(shop, bank.probed)).start(Order("1"))
        ended = await run.outcome(SOON)
        assert isinstance(ended, Compensated)
        assert ended.failure is not None
        assert (ended.failure.step_id, ended.failure.type) == ("charge", "TimeoutError")
    assert shop.done == ["reserve", "release reserve"]


async def test_a_probe_that_fails_is_asked_again(make: Make) -> None:
    shop, bank = Shop(), Bank(answers=[ConnectionError("away"), ConnectionError("away"), Done(Paid("found"))])
    async with make() as orchestrator:
        run = await orchestrator.register("paying", paying(shop, bank.probed)).start(Order("1"))
        assert await run.result(SOON) == Paid("ship")
    assert bank.told == ["charge", "find", "find", "find"]


@pytest.mark.parametrize("answers", [[ConnectionError("away")] * 3, ["done"], [Done("done")]])
async def test_a_probe_that_cannot_find_out_leaves_it_to_a_person(make: Make, answers: list[object]) -> None:
    shop, bank = Shop(), Bank(answers=list(answers))
    async with make() as orchestrator:
        admin = SagaAdmin(orchestrator)
        run = await orchestrator.register("paying", paying(shop, bank.probed)).start(Order("1"))
        await suspended(run)
        while (seen := await admin.get_saga(run.id)).parked is None:
            await asyncio.sleep(0.01)
        reasons = {3: "outcome_unknown", 1: "payload_unreadable" if answers == ["done"] else "output_lost"}
        assert seen.parked == reasons[len(answers)]
        assert seen.failure is not None
        assert seen.failure.type == "TimeoutError", "what failed is the step, not the one who was asked"
        # Though an operator wishes it tried again, it is not repeated blindly.
        bank.answers = [Done(Paid("found"))]
        await admin.retry_step(run.id, "charge")
        assert await run.result(SOON) == Paid("ship")
    assert bank.told[-1] == "find"
    assert bank.told.count("charge") == 1


async def test_a_rollback_waits_for_what_can_be_found_out(make: Make) -> None:
    """A sibling fails while the probe of another step has not found out yet: that is undone before what it was built on."""
    shop, bank = Shop(fails={"ship": 1}), Bank(answers=[ConnectionError("away"), Done(Paid("found"))])
    slowly = FixedRetry(max_attempts=3, delay=timedelta(milliseconds=150))
    builder = SagaBuilder(Order, order="graph")
    reserved = builder.add_step(step(shop.reserve, compensate=shop.release), depends_on=builder.initial)
    builder.add_step(
        bank.probed, depends_on=builder.initial, after=reserved, timeout=BRIEFLY, probe_retry_policy=slowly
    )

    async def ship(inp: Order, ctx: StepContext) -> Paid:
        await until(lambda: len(bank.told) == 2)
        return await shop.ship(inp, ctx)

    builder.add_step(step(ship), depends_on=builder.initial, after=reserved)
    async with make() as orchestrator:
        run = await orchestrator.register("paying", builder.build()).start(Order("1"))
        ended = await run.outcome(SOON)
        assert isinstance(ended, Compensated)
    assert bank.told == ["charge", "find", "find", "refund found"]
    assert shop.done == ["reserve", "release reserve"]


async def test_what_may_have_run_is_undone_without_its_output(make: Make) -> None:
    shop, bank = Shop(), Bank()
    policy: StepOptions = {"retry_policy": FixedRetry(max_attempts=5)}
    async with make() as orchestrator:
        run = await orchestrator.register("paying", paying(shop, bank.undone, policy)).start(Order("7"))
        ended = await run.outcome(SOON)
        assert isinstance(ended, Compensated)
        seen = await SagaAdmin(orchestrator).get_saga(run.id)
        assert [each.status for each in seen.steps] == [
            StepStatus.COMPENSATED,
            StepStatus.COMPENSATED,
            StepStatus.PENDING,
        ]
        assert "charge" not in seen.context["step_outputs"]
    assert bank.told == ["charge", "refund order 7 if charged"]
    assert shop.done == ["reserve", "release reserve"]


async def test_what_did_run_is_undone_with_its_output(make: Make) -> None:
    shop, bank = Shop(fails={"ship": 1}), Bank(silent=0)
    async with make() as orchestrator:
        run = await orchestrator.register("paying", paying(shop, bank.undone)).start(Order("7"))
        assert isinstance(await run.outcome(SOON), Compensated)
    assert bank.told == ["charge", "refund charge"]


async def test_an_undo_of_what_may_have_run_that_fails_is_left_over_and_taken_up_again(make: Make) -> None:
    shop, bank, fails = Shop(), Bank(), 2

    async def refund(inp: Order, out: Paid | None) -> None:
        nonlocal fails
        if fails:
            fails -= 1
            raise ConnectionError
        await bank.refund_perhaps(inp, out)

    charge = step(
        bank.charge, compensate=refund, on_unknown="undo", compensation_retry_policy=FixedRetry(max_attempts=2)
    )
    async with make() as orchestrator:
        run = await orchestrator.register("paying", paying(shop, charge)).start(Order("7"))
        ended = await run.outcome(SOON)
        assert isinstance(ended, Failed)
        assert {left.step_id: left.kind.value for left in ended.left_over} == {
            "reserve": "not undone",
            "charge": "undo failed",
        }
        await SagaAdmin(orchestrator).compensate_step(run.id)
        assert isinstance(await run.outcome(SOON), Compensated)
    assert bank.told == ["charge", "refund order 7 if charged"]


async def test_what_may_have_run_can_wait_for_a_person(make: Make) -> None:
    shop, bank = Shop(), Bank(silent=2)
    options: StepOptions = {"on_unknown": "park", "retry_policy": FixedRetry(max_attempts=5)}
    async with make() as orchestrator:
        admin = SagaAdmin(orchestrator)
        saga = paying(shop, step(bank.charge, compensate=bank.refund), options)
        handle = orchestrator.register("paying", saga)
        run = await handle.start(Order("1"))
        await suspended(run)
        seen = await admin.get_saga(run.id)
        assert (seen.status, seen.parked) == (SagaStatus.SUSPENDED, "outcome_unknown")
        assert seen.steps[1].status is StepStatus.PARKED
        # The person knows that it has not run, and later that it has.
        await admin.retry_step(run.id, "charge")
        await until(lambda: bank.told == ["charge", "charge"])
        await suspended(run)
        await admin.skip_step(run.id, "charge", {"what": "found in the books"})
        assert await run.result(SOON) == Paid("ship")
    assert bank.told == ["charge", "charge"]


async def test_a_person_who_rolls_back_what_may_have_run_is_told_so(make: Make) -> None:
    shop, bank = Shop(), Bank()
    async with make() as orchestrator:
        saga = paying(shop, step(bank.charge, compensate=bank.refund), {"on_unknown": "park"})
        run = await orchestrator.register("paying", saga).start(Order("1"))
        await suspended(run)
        await SagaAdmin(orchestrator).compensate_step(run.id)
        ended = await run.outcome(SOON)
        assert isinstance(ended, Failed)
        assert {left.step_id: left.kind.value for left in ended.left_over} == {"charge": "may have run"}


async def test_a_pivot_with_a_probe_knows_which_way_to_go(make: Make) -> None:
    for answer, end in ((Done(Paid("found")), "forward"), (NOT_DONE, "back")):
        shop, bank = Shop(), Bank(answers=[answer])
        builder = SagaBuilder(Order)
        builder.add_step(step(shop.reserve, compensate=shop.release), depends_on=builder.initial)
        builder.add_step(step(bank.charge, probe=bank.find, pivot=True), depends_on=builder.initial, timeout=BRIEFLY)
        builder.add_step(step(shop.ship), depends_on=builder.initial)
        async with make() as orchestrator:
            run = await orchestrator.register("paying", builder.build()).start(Order("1"))
            await run.outcome(SOON)
        assert shop.done == {"forward": ["reserve", "ship"], "back": ["reserve", "release reserve"]}[end]


class Charge(BaseStep[Order, Paid]):
    """The bank as a class."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank

    @override
    async def execute(self, inp: Order, /) -> Paid:
        self.bank.told.append("charge")
        await asyncio.Event().wait()
        raise AssertionError

    @override
    async def compensate(self, inp: Order, out: Paid | None, /) -> None:
        await self.bank.refund_perhaps(inp, out)


class Asked(Charge):
    """The same with a probe."""

    @override
    async def probe(self, inp: Order, /) -> Done[Paid] | NotDone:
        self.bank.told.append("find")
        return Done(Paid("found"))


def by_undo(bank: Bank) -> Step[Order, Paid]:
    return step(Charge(bank), on_unknown="undo")


def by_probe(bank: Bank) -> Step[Order, Paid]:
    return step(Asked(bank))


@pytest.mark.parametrize(
    "make_step, told",
    [
        (by_undo, ["charge", "refund order 1 if charged"]),
        (by_probe, ["charge", "find"]),
    ],
)
async def test_classes_say_it_as_well(
    make: Make, make_step: Callable[[Bank], Step[Order, Paid]], told: list[str]
) -> None:
    shop, bank = Shop(), Bank()
    async with make() as orchestrator:
        run = await orchestrator.register("paying", paying(shop, make_step(bank))).start(Order("1"))
        await run.outcome(SOON)
    assert bank.told == told


async def test_a_process_that_stops_leaves_what_it_cut_short_to_its_probe(make: Make) -> None:
    shop, bank = Shop(), Bank(answers=[Done(Paid("found"))])
    saga = paying(shop, bank.probed, {"timeout": None})
    async with make(stop_timeout=timedelta(milliseconds=10)) as orchestrator:
        run = await orchestrator.register("paying", saga).start(Order("1"))
        await until(lambda: bank.told == ["charge"])
    async with make() as successor:
        handle = successor.register("paying", saga)
        assert await handle.attach(run.id).result(SOON) == Paid("ship")
    assert bank.told == ["charge", "find"]


async def test_a_process_that_stops_leaves_what_it_cut_short_to_its_undo(make: Make) -> None:
    """The next process has not seen the step start: its input is computed again."""
    shop, bank = Shop(), Bank()
    saga = paying(shop, bank.undone, {"timeout": None})
    async with make(stop_timeout=timedelta(milliseconds=10)) as orchestrator:
        run = await orchestrator.register("paying", saga).start(Order("9"))
        await until(lambda: bank.told == ["charge"])
    async with make() as successor:
        handle = successor.register("paying", saga)
        assert isinstance(await handle.attach(run.id).outcome(SOON), Compensated)
    assert bank.told == ["charge", "refund order 9 if charged"]


@pytest.mark.parametrize("way", ["undo", "probe"])
async def test_an_input_that_became_another_is_not_undone_nor_asked_for(make: Make, way: str) -> None:
    bank, now = Bank(answers=[NOT_DONE]), ["first"]

    def changing(order: Order) -> Order:
        return Order(now[0])

    charge = bank.undone if way == "undo" else bank.probed
    builder = SagaBuilder(Order)
    builder.add_step(charge, depends_on=builder.initial, input_map=changing, timeout=None)
    saga = builder.build()
    orchestrator = await born(make())
    run = await orchestrator.register("paying", saga).start(Order("9"))
    await until(lambda: bank.told == ["charge"])
    await dies(orchestrator)  # it has written no more of the input than its fingerprint
    now[0] = "second"
    async with make() as successor:
        admin = SagaAdmin(successor)
        run = successor.register("paying", saga).attach(run.id)
        while (seen := await admin.get_saga(run.id)).parked is None:
            await asyncio.sleep(0.01)
        assert seen.parked == "payload_unreadable"
        assert bank.told == ["charge"]
        now[0] = "first"
        await admin.retry_step(run.id, "charge")
        await run.outcome(SOON) if way == "undo" else await until(lambda: len(bank.told) == 3)
    assert bank.told[1] == ("refund order first if charged" if way == "undo" else "find")


@pytest.mark.parametrize("way", ["undo", "probe"])
async def test_what_was_handed_back_is_undone_and_asked_for_by_the_very_input_it_was_given(
    make: Make, way: str
) -> None:
    bank, now = Bank(answers=[NOT_DONE]), ["first"]
    charge = bank.undone if way == "undo" else bank.probed
    builder = SagaBuilder(Order)
    builder.add_step(charge, depends_on=builder.initial, input_map=lambda order: Order(now[0]), timeout=None)
    saga = builder.build()
    async with make(stop_timeout=timedelta(milliseconds=10)) as orchestrator:
        run = await orchestrator.register("paying", saga).start(Order("9"))
        await until(lambda: bank.told == ["charge"])
    now[0] = "second"
    async with make() as successor:
        run = successor.register("paying", saga).attach(run.id)
        await run.outcome(SOON) if way == "undo" else await until(lambda: len(bank.told) == 2)
    assert bank.told[1] == ("refund order first if charged" if way == "undo" else "find")


async def test_what_may_have_run_is_given_no_other_input_by_an_event(make: Make) -> None:
    """A "no" to the other input would settle the doubt of the first, and the end would be untrue."""
    bank = Bank()

    def of_the_event(ctx: InputContext[Order]) -> Order:
        return ctx.initial_data if ctx.latest_event is None else Order(ctx.latest_event["order_id"])

    builder = SagaBuilder(Order)
    again = FixedRetry(max_attempts=5, delay=timedelta(hours=1))
    builder.add_step(
        step(bank.charge, compensate=bank.refund, timeout=BRIEFLY, unknown_retry_policy=again), input_map=of_the_event
    )
    async with make() as orchestrator:
        run = await orchestrator.register("paying", builder.build()).start(Order("1"))
        await suspended(run)
        token = (await run.snapshot()).step_execution_token
        assert token is not None
        await orchestrator.notify(run.id, token, {"order_id": "2"})

        async with asyncio.timeout(SOON):
            while (await run.snapshot()).parked != "input_changed":
                await asyncio.sleep(0.01)
        assert len(bank.keys) == 1
        await SagaAdmin(orchestrator).retry_step(run.id, "charge")  # a person has looked
        await run.result(SOON)
        assert len(bank.keys) == 2
