"""Graphs run as wide as they are, forward and back. Through the public API, on all stores."""

from __future__ import annotations

import asyncio
from typing import Literal

import attrs
import pytest

from saga_fn import (
    Compensated,
    Failed,
    InputContext,
    SagaAdmin,
    SagaBuilder,
    SagaDefinition,
    StepContext,
    StepRef,
    StepStatus,
    saga,
    step,
)
from tests.support.shop import Done, Order
from tests.support.stores import Make
from tests.support.until import SOON


@attrs.define
class Yard:
    """Steps that say when they begin and end; `together` of them, in one direction, wait until all have begun."""

    together: frozenset[str] = frozenset()
    fails: str = ""
    hangs: str = ""
    told: list[str] = attrs.field(factory=list)
    _begun: set[str] = attrs.field(factory=set)
    _all: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def do(self, inp: Order, ctx: StepContext) -> Done:
        await self._work(ctx.step_id)
        return Done(f"{ctx.step_id} of {inp.order_id}")

    async def undo(self, inp: Order, out: Done, ctx: StepContext) -> None:
        await self._work(f"undo {ctx.step_id}")

    async def _work(self, name: str) -> None:
        self.told.append(f"begin {name}")
        try:
            if name in self.together:
                self._begun.add(name)
                if self._begun >= self.together:
                    self._all.set()
                await asyncio.wait_for(self._all.wait(), SOON)
            if name == self.hangs:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0.05)  # it cleans up
            self.told.append(f"cut {name}")
            raise
        if name == self.fails:
            raise RuntimeError(f"{name} fails")
        self.told.append(f"end {name}")

    def place(self, name: str) -> int:
        return self.told.index(name)


def diamond(yard: Yard, *, siblings: Literal["await", "cancel"] = "await") -> SagaDefinition[Order, Done]:
    """One step, two beside each other, one that joins them; all but the last can be undone."""
    builder = SagaBuilder(Order, order="graph", siblings_on_failure=siblings)
    work = step(yard.do, compensate=yard.undo)
    top = builder.add_step(work, step_id="top", depends_on=builder.initial)
    left = builder.add_step(work, step_id="left", depends_on=top, input_map=lambda t: Order(t.what))
    right = builder.add_step(work, step_id="right", depends_on=top, input_map=lambda t: Order(t.what))
    join = builder.add_step(
        step(yard.do), step_id="join", depends_on=(left, right), input_map=lambda one, two: Order(one.what + two.what)
    )
    return builder.build(output=join)


async def test_branches_run_at_the_same_time_and_join_with_their_types(make: Make) -> None:
    yard = Yard(together=frozenset({"left", "right"}))
    async with make() as orchestrator:
        run = await orchestrator.register("diamond", diamond(yard)).start(Order("1"))
        assert await run.result(SOON) == Done("join of left of top of 1right of top of 1")


async def test_a_traced_saga_is_as_wide_as_its_data_flow(make: Make) -> None:
    yard = Yard(together=frozenset({"left", "right", "aside"}))
    work = step(yard.do, compensate=yard.undo)

    @saga("traced", order="graph")
    def traced(order: StepRef[Order]) -> StepRef[Done]:
        left = work(order, step_id="left")
        right = work(order, step_id="right")
        aside = work(order, step_id="aside")
        return work(left, right, after=aside, using=lambda one, two: Order(one.what + two.what), step_id="join")

    async with make() as orchestrator:
        run = await orchestrator.register(traced).start(Order("1"))
        assert await run.result(SOON) == Done("join of left of 1right of 1")
        assert yard.place("begin join") > yard.place("end aside"), "after= waits without taking an output"


async def test_lines_run_one_after_another_unless_declared_otherwise(make: Make) -> None:
    yard = Yard()
    work = step(yard.do)

    @saga("lines")
    def lines(order: StepRef[Order]) -> StepRef[Done]:
        work(order, step_id="left")
        return work(order, step_id="right")

    async with make() as orchestrator:
        await (await orchestrator.register(lines).start(Order("1"))).result(SOON)
        assert yard.told == ["begin left", "end left", "begin right", "end right"]


async def test_branches_are_undone_at_the_same_time_and_after_what_was_built_upon_them(make: Make) -> None:
    yard = Yard(together=frozenset({"undo left", "undo right"}), fails="join")
    async with make() as orchestrator:
        run = await orchestrator.register("diamond", diamond(yard)).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Compensated)
        assert yard.place("begin undo top") > max(yard.place("end undo left"), yard.place("end undo right"))


async def test_a_sibling_of_a_failure_is_awaited_and_undone(make: Make) -> None:
    yard = Yard(fails="left", hangs="right")
    released = asyncio.Event()

    @attrs.define
    class Slow:
        async def do(self, inp: Order, ctx: StepContext) -> Done:
            await released.wait()
            return await Yard.do(yard, inp, ctx)

    builder = SagaBuilder(Order, order="graph")
    yard.hangs = ""
    builder.add_step(step(yard.do, compensate=yard.undo), step_id="left", depends_on=builder.initial)
    builder.add_step(step(Slow().do, compensate=yard.undo), step_id="right", depends_on=builder.initial)
    async with make() as orchestrator:
        run = await orchestrator.register("pair", builder.build()).start(Order("1"))
        await _told(yard, "begin left")
        shown: dict[str, StepStatus] = {}
        async with asyncio.timeout(SOON):
            while shown.get("left") is not StepStatus.FAILED:
                shown = {one.step_id: one.status for one in (await SagaAdmin(orchestrator).get_saga(run.id)).steps}
        assert shown["right"] is StepStatus.RUNNING
        released.set()
        assert isinstance(await run.outcome(SOON), Compensated)
        assert yard.told == ["begin left", "begin right", "end right", "begin undo right", "end undo right"]


async def test_a_sibling_of_a_failure_is_cut_short_where_that_is_declared(make: Make) -> None:
    yard = Yard(together=frozenset({"left", "right"}), fails="left", hangs="right")
    async with make() as orchestrator:
        run = await orchestrator.register("diamond", diamond(yard, siblings="cancel")).start(Order("1"))
        ended = await run.outcome(SOON)
        assert isinstance(ended, Failed)
        assert [(left.step_id, left.kind.value) for left in ended.left_over] == [("right", "may have run")]
        assert yard.place("cut right") < yard.place("begin undo top"), "nothing is undone beside what still stops"
        seen = await SagaAdmin(orchestrator).get_saga(run.id)
        assert {one.step_id: one.status.value for one in seen.steps} == {
            "top": "COMPENSATED",
            "left": "FAILED",
            "right": "UNKNOWN",
            "join": "PENDING",
        }


async def test_a_graph_of_a_hundred_steps_runs_a_hundred_wide(make: Make) -> None:
    names = [f"s{number}" for number in range(99)]
    yard = Yard(together=frozenset(names))
    builder = SagaBuilder(Order, order="graph")
    work = step(yard.do)
    refs = tuple(builder.add_step(work, step_id=name, depends_on=builder.initial) for name in names)

    def last(ctx: InputContext[Order]) -> Order:
        return Order(" ".join(ctx.output(ref).what for ref in refs))

    end = builder.add_step(work, step_id="last", input_map=last, after=refs)
    async with make() as orchestrator:
        run = await orchestrator.register("wide", builder.build(output=end)).start(Order("1"))
        assert (await run.result(SOON)).what.count(" of 1") == 99


async def test_a_saga_that_fails_in_two_branches_is_undone_once(make: Make) -> None:
    yard = Yard(together=frozenset({"left", "right"}))
    yard.fails = "left"
    builder = SagaBuilder(Order, order="graph")
    top = builder.add_step(step(yard.do, compensate=yard.undo), step_id="top", depends_on=builder.initial)
    for name in ("left", "right"):
        builder.add_step(step(yard.do), step_id=name, depends_on=top, input_map=lambda t: Order(t.what))
    async with make() as orchestrator:
        run = await orchestrator.register("twice", builder.build()).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Compensated)
        assert yard.told.count("begin undo top") == 1


@pytest.mark.parametrize("siblings", ["await", "cancel"])
async def test_a_person_turns_a_saga_back_while_branches_run(make: Make, siblings: Literal["await", "cancel"]) -> None:
    yard = Yard(hangs="right" if siblings == "cancel" else "", together=frozenset({"left", "right"}))
    async with make() as orchestrator:
        run = await orchestrator.register("diamond", diamond(yard, siblings=siblings)).start(Order("1"))
        await _told(yard, "begin right")
        if siblings == "cancel":
            await SagaAdmin(orchestrator).compensate_step(run.id)
            assert isinstance(await run.outcome(SOON), Failed)
            assert "cut right" in yard.told
        else:
            await run.outcome(SOON)


async def _told(yard: Yard, what: str) -> None:
    async with asyncio.timeout(SOON):
        while what not in yard.told:
            await asyncio.sleep(0.005)
