"""Branches and items whose outcome is unknown are settled as their step says. On all stores."""

from __future__ import annotations

import asyncio

import attrs

from saga_fn import (
    NOT_DONE,
    Compensated,
    Done,
    Failed,
    NotDone,
    SagaAdmin,
    SagaBuilder,
    SagaDefinition,
    StepContext,
    StepRef,
    saga,
    step,
)
from tests.support import shop
from tests.support.crash import born, dies
from tests.support.shop import Order
from tests.support.stores import Make
from tests.support.until import SOON, until

Paid = shop.Done


@attrs.define
class Bank:
    """Charges, and remembers what it was asked; the first attempt for a name in `hangs` never returns."""

    hangs: set[str] = attrs.field(factory=set)
    took: set[str] = attrs.field(factory=set)
    """What it has done before it hung."""
    told: list[str] = attrs.field(factory=list)

    async def charge(self, inp: Order, ctx: StepContext) -> Paid:
        self.told.append(f"charge {inp.order_id}")
        if inp.order_id in self.hangs:
            self.hangs.discard(inp.order_id)
            await asyncio.Event().wait()
        return Paid(inp.order_id)

    async def find(self, inp: Order) -> Done[Paid] | NotDone:
        self.told.append(f"find {inp.order_id}")
        return Done(Paid(f"found {inp.order_id}")) if inp.order_id in self.took else NOT_DONE

    async def refund(self, inp: Order, out: Paid) -> None:
        self.told.append(f"refund {out.what}")

    async def refund_perhaps(self, inp: Order, out: Paid | None) -> None:
        self.told.append(f"refund {inp.order_id}" + ("" if out is not None else " if charged"))

    async def fail(self, inp: Order) -> Paid:
        await until(lambda: not self.hangs)
        raise RuntimeError("no")


async def test_a_sibling_that_was_cut_short_is_undone_as_what_may_have_run(make: Make) -> None:
    bank = Bank(hangs={"1"})
    builder = SagaBuilder(Order, order="graph", siblings_on_failure="cancel")
    perhaps = step(bank.charge, compensate=bank.refund_perhaps, on_unknown="undo")
    builder.add_step(perhaps, depends_on=builder.initial)
    builder.add_step(step(bank.fail), depends_on=builder.initial)
    async with make() as orchestrator:
        run = await orchestrator.register("pair", builder.build()).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Compensated)
        assert bank.told == ["charge 1", "refund 1 if charged"]


async def test_a_sibling_that_was_cut_short_is_looked_into(make: Make) -> None:
    for took, told in (({"1"}, "refund found 1"), (set[str](), None)):
        bank = Bank(hangs={"1"}, took=took)
        builder = SagaBuilder(Order, order="graph", siblings_on_failure="cancel")
        builder.add_step(step(bank.charge, compensate=bank.refund, probe=bank.find), depends_on=builder.initial)
        builder.add_step(step(bank.fail), depends_on=builder.initial)
        async with make() as orchestrator:
            run = await orchestrator.register("pair", builder.build()).start(Order("1"))
            assert isinstance(await run.outcome(SOON), Compensated)
            assert bank.told == ["charge 1", "find 1", *([told] if told else [])]


async def test_a_sibling_that_was_cut_short_and_cannot_be_settled_is_left_over(make: Make) -> None:
    bank = Bank(hangs={"1"})
    builder = SagaBuilder(Order, order="graph", siblings_on_failure="cancel")
    builder.add_step(step(bank.charge, compensate=bank.refund), depends_on=builder.initial)
    builder.add_step(step(bank.fail), depends_on=builder.initial)
    async with make() as orchestrator:
        run = await orchestrator.register("pair", builder.build()).start(Order("1"))
        ended = await run.outcome(SOON)
        assert isinstance(ended, Failed)
        assert [(left.step_id, left.kind.value) for left in ended.left_over] == [("charge", "may have run")]


def each(bank: Bank, *, probes: bool) -> SagaDefinition[Order, list[Paid]]:
    probed = step(bank.charge, compensate=bank.refund, probe=bank.find)
    charge = probed if probes else step(bank.charge, compensate=bank.refund_perhaps, on_unknown="undo")

    @saga("each")
    def found(order: StepRef[Order]) -> StepRef[list[Paid]]:
        return charge.each(concurrency=2)(order, using=lambda o: [Order(f"{o.order_id}.{n}") for n in range(4)])

    return found


async def test_items_that_a_dead_process_ran_are_looked_into_one_by_one(make: Make) -> None:
    bank = Bank(hangs={"1.0", "1.1"}, took={"1.1"})
    first = await born(make())
    run = await first.register(each(bank, probes=True)).start(Order("1"))
    await until(lambda: not bank.hangs)
    await dies(first)
    async with make() as second:
        handle = second.register(each(bank, probes=True))
        found = await handle.attach(run.id).result(SOON)
        assert found == [Paid("1.0"), Paid("found 1.1"), Paid("1.2"), Paid("1.3")]
        assert bank.told.count("charge 1.0") == 2, "it had not been done"
        assert bank.told.count("charge 1.1") == 1, "it had"
        assert await SagaAdmin(second).verify(run.id) == []


async def test_items_that_a_dead_process_ran_are_undone_as_what_may_have_run(make: Make) -> None:
    bank = Bank(hangs={"1.2"})
    first = await born(make())
    run = await first.register(each(bank, probes=False)).start(Order("1"))
    await until(lambda: "charge 1.3" in bank.told)
    admin = SagaAdmin(first)
    async with asyncio.timeout(SOON):
        while [one.status.value for one in (await admin.get_saga(run.id)).steps].count("SUCCEEDED") < 3:
            await asyncio.sleep(0.005)
    await dies(first)
    async with make() as second:
        handle = second.register(each(bank, probes=False))
        assert isinstance(await handle.attach(run.id).outcome(SOON), Compensated)
        assert sorted(bank.told[4:]) == ["refund 1.0", "refund 1.1", "refund 1.2 if charged", "refund 1.3"]
        assert await SagaAdmin(second).verify(run.id) == []
