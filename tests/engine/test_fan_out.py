"""Steps done once for each item of a list. Through the public API, on all stores."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, assert_type, cast

import attrs
import msgspec
import pytest

from saga_fn import (
    Compensated,
    Completed,
    Failed,
    FixedRetry,
    NoRetry,
    RetryPolicy,
    SagaAdmin,
    SagaBuilder,
    SagaDefinition,
    SagaOrchestrator,
    StepContext,
    StepRef,
    StepStatus,
    saga,
    step,
)
from saga_fn.core.ids import StepId
from tests.support.crash import born, dies
from tests.support.stores import Make
from tests.support.until import SOON, retrying, suspended


class Cart(msgspec.Struct, frozen=True):
    names: list[str]


class Piece(msgspec.Struct, frozen=True):
    name: str


class Packed(msgspec.Struct, frozen=True):
    what: str


class Parcel(msgspec.Struct, frozen=True):
    packed: list[Packed]


@attrs.define
class House:
    """Steps that count how many of them run at once; what is in `fails` fails so often, what is in `holds` hangs."""

    fails: dict[str, int] = attrs.field(factory=dict)
    holds: set[str] = attrs.field(factory=set)
    sends: bool = True
    pause: float = 0.01
    told: list[str] = attrs.field(factory=list)
    keys: list[str] = attrs.field(factory=list)
    at_once: int = 0
    most: int = 0

    async def pack(self, inp: Piece, ctx: StepContext) -> Packed:
        await self._work(inp.name, ctx)
        return Packed(inp.name)

    async def unpack(self, inp: Piece, out: Packed, ctx: StepContext) -> None:
        assert inp.name == out.what
        await self._work(f"undo {inp.name}", ctx)

    async def send(self, inp: Parcel) -> Parcel:
        if not self.sends:
            raise RuntimeError("not sent")
        return inp

    async def _work(self, name: str, ctx: StepContext) -> None:
        self.keys.append(ctx.idempotency_key)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await asyncio.sleep(self.pause)
            while name in self.holds:
                await asyncio.sleep(0.005)
            if self.fails.get(name, 0) > 0:
                self.fails[name] -= 1
                raise RuntimeError(f"{name} fails")
        finally:
            self.at_once -= 1
        self.told.append(name)


def make_saga(house: House, *, concurrency: int = 3, retry: RetryPolicy | None = None) -> SagaDefinition[Cart, Parcel]:
    soon = FixedRetry(max_attempts=2)
    pack = step(house.pack, compensate=house.unpack, compensation_retry_policy=soon).each(concurrency=concurrency)
    send = step(house.send)

    @saga("parcel")
    def parcel(cart: StepRef[Cart]) -> StepRef[Parcel]:
        packed = pack(
            cart,
            using=lambda c: [Piece(name) for name in c.names],
            retry_policy=NoRetry() if retry is None else retry,
        )
        assert_type(packed, StepRef[list[Packed]])
        return send(packed, using=Parcel)

    return parcel


def cart(count: int) -> Cart:
    return Cart([f"n{number}" for number in range(count)])


async def test_each_item_is_done_and_the_results_come_in_their_order(make: Make) -> None:
    house = House()
    async with make() as orchestrator:
        run = await orchestrator.register(make_saga(house)).start(cart(7))
        assert await run.result(SOON) == Parcel([Packed(f"n{number}") for number in range(7)])
        assert house.most == 3, "as many at once as declared"
        assert len(set(house.keys)) == 7, "each under a key of its own"
        seen = await SagaAdmin(orchestrator).get_saga(run.id)
        assert [(one.step_id, one.status) for one in seen.steps] == [
            ("pack", StepStatus.SUCCEEDED),
            *((f"pack[{number}]", StepStatus.SUCCEEDED) for number in range(7)),
            ("send", StepStatus.SUCCEEDED),
        ]
        assert seen.context["step_outputs"]["pack"] == [{"what": f"n{number}"} for number in range(7)]
        assert seen.current_step_index == 2
        journaled = {entry.step_id: (entry.input, entry.output) for entry in seen.step_history}
        assert journaled["pack[4]"] == ({"name": "n4"}, {"what": "n4"})


@pytest.mark.parametrize("count", [0, 1, 200])
async def test_lists_of_any_length(make: Make, count: int) -> None:
    house = House(pause=0.0)
    async with make() as orchestrator:
        handle = orchestrator.register(make_saga(house, concurrency=50))
        run = await handle.start(cart(count))
        assert len((await run.result(SOON)).packed) == count
        assert len(house.keys) == count
        assert await SagaAdmin(orchestrator).verify(run.id) == []


async def test_more_than_200_items_park_the_saga_with_what_to_do(make: Make) -> None:
    async with make() as orchestrator:
        run = await orchestrator.register(make_saga(House())).start(cart(201))
        await suspended(run)
        seen = await SagaAdmin(orchestrator).get_saga(run.id)
        assert seen.parked == "input_failed"
        error = next(entry.error for entry in seen.step_history if entry.error)
        assert "is given 201 items; a saga has at most 200 in all" in error
        assert "HINT: split the list over several sagas" in error


async def test_lists_that_are_too_long_together_park_the_saga_with_what_to_do(make: Make) -> None:
    """They begin together: the second finds no room, though there was enough before the first."""
    builder = SagaBuilder(Cart, order="graph")
    for name in ("one", "two"):
        pack = step(House(pause=0).pack).each(concurrency=200)
        builder.add_step(pack, depends_on=builder.initial, input_map=_pieces, step_id=name)
    async with make() as orchestrator:
        run = await orchestrator.register("two", builder.build()).start(cart(101))
        await suspended(run)
        seen = await SagaAdmin(orchestrator).get_saga(run.id)
    assert seen.parked == "input_failed"
    (error,) = [entry.error for entry in seen.step_history if entry.error is not None]
    assert "step 'two' is given 101 items; a saga has at most 200 in all, and 99 are left" in error
    assert "split the list" in error


def _pieces(inp: Cart) -> list[Piece]:
    return [Piece(name) for name in inp.names]


async def test_what_is_no_list_parks_the_saga_with_what_to_do(make: Make) -> None:
    builder = SagaBuilder(Cart)
    each = step(House().pack).each(concurrency=1)
    builder.add_step(each, input_map=lambda ctx: cast("list[Piece]", "abc"))  # a mistake that checkers refuse
    async with make() as orchestrator:
        run = await orchestrator.register("no list", builder.build()).start(cart(1))
        await suspended(run)
        error = next(e.error for e in (await SagaAdmin(orchestrator).get_saga(run.id)).step_history if e.error)
        assert "its input_map gave a str" in error
        assert "give it a list" in error


async def test_each_item_has_its_own_attempts_under_one_key(make: Make) -> None:
    house = House(fails={"n1": 2})
    policy = FixedRetry(max_attempts=3, delay=timedelta(milliseconds=20))
    async with make() as orchestrator:
        run = await orchestrator.register(make_saga(house, retry=policy)).start(cart(3))
        assert isinstance(await run.outcome(SOON), Completed)
        assert sorted(house.keys.count(key) for key in set(house.keys)) == [1, 1, 3]


async def test_what_waits_for_its_retry_and_then_for_a_place_does_not_spin(make: Make) -> None:
    house = House(fails={"n0": 1}, holds={"n1"})
    policy = FixedRetry(max_attempts=3, delay=timedelta(milliseconds=10))
    async with make() as orchestrator:
        run = await orchestrator.register(make_saga(house, retry=policy, concurrency=1)).start(cart(2))
        await asyncio.sleep(0.3)
        house.holds.clear()
        assert isinstance(await run.outcome(SOON), Completed)
        history = (await SagaAdmin(orchestrator).get_saga(run.id)).step_history
        assert [entry.kind for entry in history].count("ticked") < 10


async def test_an_item_that_fails_undoes_those_that_are_done(make: Make) -> None:
    house = House(fails={"n3": 9}, pause=0.02)
    async with make() as orchestrator:
        run = await orchestrator.register(make_saga(house, concurrency=2)).start(cart(5))
        assert isinstance(await run.outcome(SOON), Compensated)
        done = [name for name in house.told if not name.startswith("undo")]
        assert {f"undo {name}" for name in done} == set(house.told) - set(done)
        assert "n4" not in done or house.told.index("n4") < house.told.index("undo n0")
        assert house.most == 2, "back as well as forward"
        seen = await SagaAdmin(orchestrator).get_saga(run.id)
        assert seen.steps[0].status is StepStatus.FAILED
        assert seen.steps[1].status is StepStatus.COMPENSATED


async def test_what_follows_fails_and_every_item_is_undone(make: Make) -> None:
    house = House(sends=False, fails={"undo n1": 1})
    async with make() as orchestrator:
        run = await orchestrator.register(make_saga(house)).start(cart(4))
        assert isinstance(await run.outcome(SOON), Compensated)
        assert sorted(house.told[4:]) == [f"undo n{number}" for number in range(4)]
        steps = (await SagaAdmin(orchestrator).get_saga(run.id)).steps
        assert {one.status for one in steps[:5]} == {StepStatus.COMPENSATED}


async def test_what_cannot_be_undone_is_left_over_by_item(make: Make) -> None:
    house = House(sends=False, fails={"undo n1": 9})
    async with make() as orchestrator:
        run = await orchestrator.register(make_saga(house)).start(cart(3))
        ended = await run.outcome(SOON)
        assert isinstance(ended, Failed)
        assert [(left.step_id, left.kind.value) for left in ended.left_over] == [("pack[1]", "undo failed")]
        house.fails.clear()
        await SagaAdmin(orchestrator).compensate_step(run.id)
        await _until_ended(orchestrator, run.id)
        assert house.told.count("undo n1") == 1


async def test_a_process_dies_between_items_and_another_goes_on(make: Make) -> None:
    house = House(holds={"n2", "n3"})
    first = await born(make())
    handle = first.register(make_saga(house, concurrency=2))
    run = await handle.start(cart(5))
    async with asyncio.timeout(SOON):
        while len(house.keys) < 4:
            await asyncio.sleep(0.005)
        while sum(one.status is StepStatus.SUCCEEDED for one in (await SagaAdmin(first).get_saga(run.id)).steps) < 2:
            await asyncio.sleep(0.005)
    await dies(first)
    house.holds.clear()
    async with make() as second:
        result = await second.register(make_saga(house, concurrency=2)).attach(run.id).result(SOON)
        assert result == Parcel([Packed(f"n{number}") for number in range(5)])
        assert len(set(house.keys)) == 5
        assert sorted(house.keys.count(key) for key in set(house.keys)) == [1, 1, 1, 2, 2], "what was done stands"
        assert await SagaAdmin(second).verify(run.id) == []


async def test_a_person_helps_one_item(make: Make) -> None:
    house = House(fails={"n1": 1})
    delay = FixedRetry(max_attempts=9, delay=timedelta(hours=1))
    async with make() as orchestrator:
        run = await orchestrator.register(make_saga(house, retry=delay)).start(cart(2))
        await suspended(run)
        admin = SagaAdmin(orchestrator)
        assert (await run.snapshot()).current_step_id == "pack[1]"
        await admin.skip_step(run.id, "pack[1]", {"what": "by hand"})
        assert await run.result(SOON) == Parcel([Packed("n0"), Packed("by hand")])


async def test_a_person_gives_the_whole_list(make: Make) -> None:
    house = House()
    builder = SagaBuilder(Cart)

    def broken(carted: Cart) -> Sequence[Piece]:
        raise KeyError(carted.names[0])

    packed = builder.add_step(
        step(house.pack).each(concurrency=2), depends_on=builder.initial, input_map=broken, step_id="pack"
    )
    sent = builder.add_step(step(house.send), depends_on=packed, input_map=Parcel)
    async with make() as orchestrator:
        run = await orchestrator.register("given", builder.build(output=sent)).start(cart(2))
        await suspended(run)
        await SagaAdmin(orchestrator).step(run.id, packed).skip([Packed("x"), Packed("y")])
        assert await run.result(SOON) == Parcel([Packed("x"), Packed("y")])


async def test_a_list_may_be_a_sagas_result_and_conditional(make: Make) -> None:
    house = House()
    builder = SagaBuilder(Cart)
    pack = step(house.pack).each(concurrency=2).when(lambda pieces: len(pieces) > 1)
    packed = builder.add_step(
        pack, depends_on=builder.initial, input_map=lambda c: [Piece(name) for name in c.names], step_id="pack"
    )
    definition = builder.build(output=packed)
    async with make() as orchestrator:
        handle = orchestrator.register("maybe", definition)
        assert await (await handle.start(cart(2))).result(SOON) == [Packed("n0"), Packed("n1")]
        few = await handle.start(cart(1))
        assert await few.result(SOON) is None
        many = await handle.start(cart(3))
        await many.outcome(SOON)
    async with make() as other:  # from the store, in a process that has not run it
        found = await other.register("maybe", definition).attach(many.id).result(SOON)
        assert found == [Packed(f"n{number}") for number in range(3)]


async def test_items_that_changed_meanwhile_are_parked(make: Make) -> None:
    house = House(fails={"n1": 1})
    lists: list[list[Piece]] = [[Piece("n0"), Piece("other")], [Piece("n0"), Piece("n1")]]
    builder = SagaBuilder(Cart)

    def unstable(carted: Cart) -> list[Piece]:
        return lists.pop() if len(lists) > 1 else lists[0]

    packed = builder.add_step(
        step(house.pack).each(concurrency=2),
        depends_on=builder.initial,
        input_map=unstable,
        retry_policy=FixedRetry(max_attempts=3, delay=timedelta(seconds=1)),
    )
    definition = builder.build(output=packed)
    first = await born(make())
    run = await first.register("unstable", definition).start(cart(2))
    await retrying(run)  # the next attempt is the second process' where the first dies in time
    await dies(first)
    async with make() as second:
        handle = second.register("unstable", definition)
        async with asyncio.timeout(SOON):
            while (await handle.attach(run.id).snapshot()).parked is None:
                await asyncio.sleep(0.01)
        assert (await handle.attach(run.id).snapshot()).parked == "input_changed"


async def test_a_fan_out_beside_a_branch(make: Make) -> None:
    house = House(fails={"undo n0": 1})
    builder = SagaBuilder(Cart, order="graph")
    pack = step(house.pack, compensate=house.unpack)
    many = builder.add_step(
        pack.each(concurrency=2),
        depends_on=builder.initial,
        input_map=lambda c: [Piece(name) for name in c.names],
        step_id="many",
    )
    one = builder.add_step(pack, depends_on=builder.initial, input_map=lambda c: Piece("single"), step_id="one")
    sent = builder.add_step(
        step(house.send), depends_on=(many, one), input_map=lambda several, single: Parcel([*several, single])
    )
    async with make() as orchestrator:
        handle = orchestrator.register("beside", builder.build(output=sent))
        result = await (await handle.start(cart(3))).result(SOON)
        assert [packed.what for packed in result.packed] == ["n0", "n1", "n2", "single"]
        house.sends = False
        assert isinstance(await (await handle.start(cart(3))).outcome(SOON), Compensated)


async def test_a_fan_out_alone() -> None:
    house = House()
    pack = step(house.pack, compensate=house.unpack).each(concurrency=2)
    pieces = [Piece("a"), Piece("b")]
    packed = await pack.execute(pieces)
    assert packed == [Packed("a"), Packed("b")]
    await pack.compensate(pieces, packed)
    assert house.told == ["a", "b", "undo b", "undo a"]


async def _until_ended(orchestrator: SagaOrchestrator, saga_id: Any) -> None:
    async with asyncio.timeout(SOON):
        while not (await orchestrator.get_snapshot(saga_id)).status.is_terminal:
            await asyncio.sleep(0.01)


def test_the_name_of_an_item_is_a_step_id() -> None:
    assert StepId("pack[0]") == "pack[0]"


@step
async def hand_on(inp: Cart) -> Cart:
    return inp


@step
async def pack_one(inp: Piece) -> Packed:
    return Packed(inp.name)


async def test_the_biggest_saga_that_can_be_defined_can_be_run(make: Make) -> None:
    builder = SagaBuilder(Cart)
    cart = builder.initial
    for number in range(98):
        cart = builder.add_step(hand_on, depends_on=cart, step_id=f"{number:02}".ljust(64, "s"))
    packed = builder.add_step(
        pack_one.each(concurrency=200),
        depends_on=cart,
        input_map=lambda given: [Piece(name) for name in given.names],
        step_id="p" * 32,
    )
    async with make(lease=timedelta(seconds=15)) as orchestrator:
        handle = orchestrator.register("big", builder.build(output=packed))
        found = await handle.run(Cart([str(number) for number in range(200)]), timeout=3 * SOON)
        assert [each.what for each in found] == [str(number) for number in range(200)]
