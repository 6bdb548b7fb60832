"""Steps that are taken only if their input says so. Through the public API, on all stores."""

from __future__ import annotations

from typing import assert_type, cast

import attrs
import msgspec

from saga_fn import (
    Compensated,
    Completed,
    InputContext,
    SagaAdmin,
    SagaBuilder,
    SagaDefinition,
    SagaStatus,
    StepRef,
    StepStatus,
    saga,
    step,
)
from tests.support.shop import Done, Order
from tests.support.stores import Make
from tests.support.until import SOON, suspended


class Bill(msgspec.Struct, frozen=True):
    lines: list[str]


@attrs.define
class Till:
    """Steps that write down what is done."""

    done: list[str] = attrs.field(factory=list)
    fails: bool = False

    async def insure(self, inp: Order) -> Done:
        self.done.append("insure")
        return Done(f"policy of {inp.order_id}")

    async def cancel_policy(self, inp: Order, out: Done) -> None:
        self.done.append(f"cancel {out.what}")

    async def ship(self, inp: Bill) -> Bill:
        self.done.append("ship")
        if self.fails:
            raise RuntimeError("no ship")
        return inp


def make_saga(till: Till) -> SagaDefinition[Order, Bill]:
    insure = step(till.insure, compensate=till.cancel_policy).when(lambda order: order.amount > 100)
    ship = step(till.ship)

    @saga("insured")
    def insured(order: StepRef[Order]) -> StepRef[Bill]:
        policy = insure(order)
        assert_type(policy, StepRef[Done | None])
        return ship(order, policy, using=lambda o, p: Bill([o.order_id, "none" if p is None else p.what]))

    return insured


async def test_a_step_is_taken_if_its_input_says_so(make: Make) -> None:
    till = Till()
    async with make() as orchestrator:
        insured = orchestrator.register(make_saga(till))
        dear = await insured.start(Order("dear", 200))
        cheap = await insured.start(Order("cheap", 1))
        assert await dear.result(SOON) == Bill(["dear", "policy of dear"])
        assert await cheap.result(SOON) == Bill(["cheap", "none"])
        assert till.done.count("insure") == 1
        seen = await SagaAdmin(orchestrator).get_saga(cheap.id)
        assert [(one.step_id, one.status) for one in seen.steps] == [
            ("insure", StepStatus.SKIPPED),
            ("ship", StepStatus.SUCCEEDED),
        ]
        assert seen.context["step_outputs"]["insure"] is None
        assert seen.current_step_index == 2


async def test_what_was_not_taken_is_not_undone(make: Make) -> None:
    till = Till(fails=True)
    async with make() as orchestrator:
        insured = orchestrator.register(make_saga(till))
        assert isinstance(await (await insured.start(Order("cheap", 1))).outcome(SOON), Compensated)
        assert till.done == ["ship"]
        assert isinstance(await (await insured.start(Order("dear", 200))).outcome(SOON), Compensated)
        assert till.done[1:] == ["insure", "ship", "cancel policy of dear"]


async def test_a_saga_may_take_none_of_its_steps(make: Make) -> None:
    till = Till()
    insure = step(till.insure)

    @saga("none")
    def none(order: StepRef[Order]) -> StepRef[Done | None]:
        first = insure.when(lambda order: order.amount > 100)(order)
        again = insure.when(lambda order: order.amount > 100)
        return again(first, order, using=lambda one, o: Order("again", o.amount if one is None else 0), step_id="two")

    async with make() as orchestrator:
        handle = orchestrator.register(none)
        run = await handle.start(Order("1"))
        assert await run.result(SOON) is None
        assert await handle.attach(run.id).result(SOON) is None
        assert isinstance(await run.outcome(SOON), Completed)
        assert till.done == []
    async with make() as other:  # from the store, in a process that has not run it
        assert await other.register(none).attach(run.id).result(SOON) is None


async def test_a_condition_that_says_neither_yes_nor_no_parks_the_saga_with_what_to_do(make: Make) -> None:
    till = Till()
    answers: list[object] = ["perhaps", "perhaps"]

    def unsure(order: Order) -> bool:
        return cast("bool", answers.pop() if answers else True)  # a mistake that checkers refuse

    builder = SagaBuilder(Order)
    output = builder.add_step(step(till.insure).when(unsure), depends_on=builder.initial)
    async with make() as orchestrator:
        run = await orchestrator.register("unsure", builder.build(output=output)).start(Order("1"))
        await suspended(run)
        admin = SagaAdmin(orchestrator)
        seen = await admin.get_saga(run.id)
        assert (seen.parked, seen.steps[0].status) == ("input_failed", StepStatus.PARKED)
        error = next(entry.error for entry in seen.step_history if entry.error)
        assert "the condition of step 'insure' returned a str, which is not a bool" in error
        assert "HINT: make it say True or False" in error
        await admin.retry_step(run.id, "insure")  # it is mended by now
        assert await run.result(SOON) == Done("policy of 1")


async def test_a_condition_that_raises_parks_the_saga(make: Make) -> None:
    def broken(order: Order) -> bool:
        raise KeyError(order.order_id)

    builder = SagaBuilder(Order)
    builder.add_step(step(Till().insure).when(broken), depends_on=builder.initial)
    async with make() as orchestrator:
        run = await orchestrator.register("broken", builder.build()).start(Order("1"))
        await suspended(run)
        assert (await run.snapshot()).parked == "input_failed"
        assert (await run.snapshot()).status is SagaStatus.SUSPENDED


async def test_a_person_gives_the_output_of_a_conditional_step_or_none(make: Make) -> None:
    def broken(order: Order) -> bool:
        raise KeyError(order.order_id)

    seen: list[object] = []

    async def look(inp: Bill) -> Bill:
        return inp

    def lines(ctx: InputContext[Order]) -> Bill:
        policy = ctx.output(insured)
        assert_type(policy, Done | None)
        seen.append(policy)
        return Bill([])

    builder = SagaBuilder(Order)
    insured = builder.add_step(step(Till().insure).when(broken), depends_on=builder.initial)
    builder.add_step(step(look), input_map=lines)
    async with make() as orchestrator:
        handle = orchestrator.register("skipped", builder.build())
        admin = SagaAdmin(orchestrator)
        for given in (None, Done("by hand")):
            run = await handle.start(Order("1"))
            await suspended(run)
            await admin.step(run.id, insured).skip(given)
            assert isinstance(await run.outcome(SOON), Completed)
            assert seen[-1] == given


async def test_a_graph_takes_the_branch_that_its_data_says(make: Make) -> None:
    till = Till()
    insure = step(till.insure)

    @saga("either", order="graph")
    def either(order: StepRef[Order]) -> StepRef[Bill]:
        high = insure.when(lambda o: o.amount > 100)(order, step_id="high")
        low = insure.when(lambda o: o.amount <= 100)(order, step_id="low")
        return step(till.ship)(high, low, using=lambda one, two: Bill([("h" if one else "") + ("l" if two else "")]))

    async with make() as orchestrator:
        handle = orchestrator.register(either)
        assert await (await handle.start(Order("1", 500))).result(SOON) == Bill(["h"])
        assert await (await handle.start(Order("1", 5))).result(SOON) == Bill(["l"])


async def test_a_conditional_step_alone() -> None:
    till = Till()
    insure = step(till.insure, compensate=till.cancel_policy).when(lambda order: order.amount > 100)
    assert await insure.execute(Order("1")) is None
    await insure.compensate(Order("1"), None)
    assert till.done == []
    assert await insure.execute(Order("1", 200)) == Done("policy of 1")
    await insure.compensate(Order("1", 200), Done("policy of 1"))
    assert till.done == ["insure", "cancel policy of 1"]
