"""A result is that of the saga asked for: by its own name, its own version and the plan that it was run by."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import msgspec
import pytest

from saga_fn import (
    Completed,
    MemoryStore,
    PayloadError,
    SagaBuilder,
    SagaDefinition,
    SagaHandle,
    SagaNotFoundError,
    SagaOrchestrator,
    SagaStatus,
    step,
)
from tests.support.shop import Order, Shop, make_saga
from tests.support.stores import Make
from tests.support.until import SOON


class Paid(msgspec.Struct, frozen=True):
    amount: int


class Shipped(msgspec.Struct, frozen=True):
    parcel: str


async def pay(inp: Order) -> Paid:
    return Paid(inp.amount)


async def ship(inp: Order) -> Shipped:
    return Shipped(inp.order_id)


async def thank(inp: Order) -> Shipped | None:
    return None


def saga_of(*steps: tuple[str, Callable[[Order], Awaitable[Any]]], output: str | None) -> SagaDefinition[Order, Any]:
    """Of these steps, each of them given the order."""
    builder = SagaBuilder(Order)
    refs = {"": builder.initial} | {
        name: builder.add_step(step(work), step_id=name, depends_on=builder.initial) for name, work in steps
    }
    return builder.build() if output is None else builder.build(output=refs[output])


PAY, SHIP, THANK = ("pay", pay), ("ship", ship), ("thank", thank)
FIRST = saga_of(PAY, SHIP, output="ship")


@attrs.frozen
class Change:
    """What the definition has become, and whether it is registered as the next version, and the first one as well."""

    later: SagaDefinition[Order, Any]
    version: int = 1
    beside: bool = False


CHANGES = {
    "a step is added at the end": Change(saga_of(PAY, SHIP, THANK, output="thank")),
    "as the next version": Change(saga_of(PAY, SHIP, THANK, output="thank"), version=2),
    "as the next version, beside the first": Change(saga_of(PAY, SHIP, THANK, output="thank"), version=2, beside=True),
    "the last step has another name": Change(saga_of(PAY, ("dispatch", ship), output="dispatch"), version=2),
    "another step gives the result": Change(saga_of(PAY, SHIP, output="pay"), version=2),
    "there is no result any more": Change(saga_of(PAY, SHIP, output=None), version=2, beside=True),
}


async def _asked(orchestrator: SagaOrchestrator, change: Change) -> SagaHandle[Order, Any]:
    if change.beside:
        orchestrator.register("shop", FIRST)
    return orchestrator.register("shop", change.later, version=change.version)


@pytest.mark.parametrize("name", CHANGES)
async def test_a_later_definition_reads_the_result_that_the_saga_has(make: Make, name: str) -> None:
    change = CHANGES[name]
    async with make() as before:
        run = await before.register("shop", FIRST).start(Order("parcel"))
        assert await run.result(SOON) == Shipped("parcel")
    async with make() as after:
        attached = (await _asked(after, change)).attach(run.id)
        assert await attached.result(SOON) == Shipped("parcel")
        outcome = await attached.outcome(SOON)
        assert isinstance(outcome, Completed)
        assert outcome.result == Shipped("parcel")


async def test_a_saga_that_gives_its_initial_data_goes_on_to_do_so(make: Make) -> None:
    async with make() as before:
        run = await before.register("whole", saga_of(PAY, output="")).start(Order("2"))
        assert await run.result(SOON) == Order("2")
    async with make() as after:
        later = after.register("whole", saga_of(PAY, SHIP, output="ship"), version=2)
        assert await later.attach(run.id).result(SOON) == Order("2")


@pytest.mark.parametrize("beside", [False, True])
async def test_a_result_that_the_sagas_version_does_not_give_is_not_made_up(make: Make, beside: bool) -> None:
    none = saga_of(PAY, output=None)
    async with make() as before:
        first = before.register("shop", none)
        run = await first.start(Order("1"))
        assert await run.result(SOON) is None
        if beside:  # what this very process has seen end
            later = before.register("shop", FIRST, version=2).attach(run.id)
            with pytest.raises(PayloadError, match="version 1 of 'shop', which gives no result"):
                await later.result(SOON)
    async with make() as after:
        if beside:
            assert await after.register("shop", none).attach(run.id).result(SOON) is None
        attached = after.register("shop", FIRST, version=2).attach(run.id)
        for look in (attached.result, attached.outcome):
            with pytest.raises(PayloadError, match="version 1 of 'shop', which gives no result") as refused:
                await look(SOON)
            assert refused.value.stored
            assert "version=1" in (refused.value.hint or "")
        assert (await attached.snapshot()).status is SagaStatus.COMPLETED
        maybe = after.register("shop", saga_of(PAY, THANK, output="thank"), version=3)
        assert await maybe.attach(run.id).result(SOON) is None, "None is one of its results"


CANNOT_READ = {
    "no result, and not the step": saga_of(PAY, output=None),
    "a result, but not the step": saga_of(PAY, output="pay"),
    "the step gives another type": saga_of(("ship", pay), output="ship"),
}


@pytest.mark.parametrize("name", CANNOT_READ)
async def test_a_result_that_cannot_be_read_without_its_version_says_so(make: Make, name: str) -> None:
    async with make() as before:
        run = await before.register("shop", FIRST).start(Order("parcel"))
        assert await run.result(SOON) == Shipped("parcel")
    async with make() as after:
        attached = after.register("shop", CANNOT_READ[name], version=2).attach(run.id)
        for look in (attached.result, attached.outcome):
            with pytest.raises(PayloadError, match="version 1 of 'shop', which is not registered here") as refused:
                await look(SOON)
            assert "register('shop', its_definition, version=1)" in (refused.value.hint or "")
        after.register("shop", FIRST)
        assert await attached.result(SOON) == Shipped("parcel"), "the mend"


async def test_the_list_of_a_fan_out_stays_a_list(make: Make) -> None:
    def fanned(*, more: bool) -> SagaDefinition[Order, Any]:
        builder = SagaBuilder(Order)
        orders = [Order(str(number)) for number in range(3)]
        each = builder.add_step(step(ship).each(concurrency=2), step_id="each", input_map=lambda ctx: orders)
        return builder.build(
            output=builder.add_step(step(pay), step_id="more", depends_on=builder.initial) if more else each
        )

    parcels = [Shipped("0"), Shipped("1"), Shipped("2")]
    async with make() as before:
        run = await before.register("fan", fanned(more=False)).start(Order("1"))
        assert await run.result(SOON) == parcels
    async with make() as after:
        assert await after.register("fan", fanned(more=True), version=2).attach(run.id).result(SOON) == parcels


async def test_a_saga_of_another_name_is_not_there(make: Make) -> None:
    async with make() as orchestrator:
        shop, other = (
            orchestrator.register("shop", FIRST),
            orchestrator.register("other", saga_of(PAY, SHIP, output="ship")),
        )
        run = await other.start(Order("1"))
        for look in (shop.attach(run.id).result, shop.attach(run.id).outcome):
            with pytest.raises(SagaNotFoundError, match="is a 'other'"):
                await look(SOON)
        await run.result(SOON)
        for again in (shop.attach(run.id).result, shop.attach(run.id).outcome, shop.attach(run.id).snapshot):
            with pytest.raises(SagaNotFoundError, match="is a 'other'"):
                await again()


async def test_a_run_of_an_older_version_in_this_process_gives_that_version_s_result(memory: MemoryStore) -> None:
    async with SagaOrchestrator(memory) as orchestrator:
        first = orchestrator.register("shop", FIRST)
        second = orchestrator.register("shop", saga_of(PAY, SHIP, THANK, output="thank"), version=2)
        run = await first.start(Order("1"))
        assert await second.attach(run.id).result(SOON) == Shipped("1")


@pytest.mark.parametrize(
    "end, fails",
    [
        (SagaStatus.COMPLETED, {}),
        (SagaStatus.COMPENSATED, {"ship": 1}),
        (SagaStatus.FAILED, {"ship": 1, "refund charge": 9}),
    ],
    ids=["completed", "compensated", "failed"],
)
async def test_an_end_seen_here_is_told_as_it_is_read(make: Make, end: SagaStatus, fails: dict[str, int]) -> None:
    """The snapshot of an outcome is made without the row."""
    shop = Shop(fails=dict(fails))
    async with make() as orchestrator:
        run = await orchestrator.register("shop", make_saga(shop)).start(Order("1"), aggregation_id="o")
        told = (await run.outcome(SOON)).snapshot
        assert told.status is end
        assert told == await run.snapshot()
