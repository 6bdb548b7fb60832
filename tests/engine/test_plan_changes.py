"""Sagas that live through a deploy: steps put in, payloads changed, versions side by side."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from saga_fn import (
    Compensated,
    Completed,
    LeftOverKind,
    SagaAdmin,
    SagaBuilder,
    SagaDefinition,
    SagaOrchestrator,
    SagaParkedError,
    step,
)
from saga_fn.core.ids import PlanId
from saga_fn.core.plan import Plan
from saga_fn.engine.observe.of_sagas import SagaParked
from saga_fn.engine.observe.of_troubles import ReadElsewhere, SagaSetAside
from saga_fn.store.records import Standing
from tests.support.approval import Approval, approval
from tests.support.observed import Observed
from tests.support.shop import Done, Order, Shop
from tests.support.stores import Make
from tests.support.until import SOON, suspended, until

BRIEFLY = timedelta(milliseconds=50)


class Priced(msgspec.Struct, frozen=True):
    what: str
    cents: int


async def undo_priced(inp: Order, out: Priced) -> None:
    raise AssertionError("nothing is rolled back")


@pytest.mark.predecessor(22)
async def test_a_deploy_that_cannot_read_what_is_stored_parks_and_undoes_nothing(make: Make) -> None:
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


def reserved_and_approved(shop: Shop, reserve: str) -> SagaDefinition[Order, None]:
    """Reserve, by a step of that name, then wait to be approved, then charge."""
    builder = SagaBuilder(Order)
    builder.add_step(step(shop.reserve, compensate=shop.release), depends_on=builder.initial, step_id=reserve)
    builder.add_event(approval)
    builder.add_step(step(shop.charge), depends_on=builder.initial)
    return builder.build()


async def parked_by_its_plan(desk: SagaOrchestrator, saga_id: UUID) -> None:
    """Work on what is due until the saga waits for a definition: it is handed back for a while before."""
    async with asyncio.timeout(SOON):
        while (await SagaAdmin(desk).get_saga(saga_id)).parked != "plan_changed":
            await desk.run_due()
            await asyncio.sleep(0.01)


async def test_no_preview_promises_an_undo_that_no_definition_can_do(make: Make) -> None:
    shop = Shop()
    async with make() as before:
        run = await before.register("shop", reserved_and_approved(shop, "reserve")).start(Order("1"))
        await suspended(run)
    async with make(concurrency=0) as desk:
        admin = SagaAdmin(desk)
        async with asyncio.timeout(SOON):
            while await admin.processes():  # the one that has left may be read of for a moment yet
                await asyncio.sleep(0.005)
        kept = (await admin.explain(run.id)).of("cancel")
        assert kept is not None
        assert not kept.no_plan_fits, "no process is known that works with another definition"
        desk.register("shop", reserved_and_approved(shop, "hold_stock"))
        for _ in range(2):  # as it waits for the event, and once it is parked
            seen = await admin.explain(run.id)
            cancel, abort = seen.of("cancel"), seen.of("abort")
            assert cancel is not None
            assert abort is not None
            assert (cancel.is_legal, cancel.no_plan_fits, cancel.course, cancel.ends_as) == (True, True, (), None)
            assert "no definition that processes work with fits what it has done: it is parked again" in cancel.text
            assert [(each.step_id, each.kind) for each in abort.left_over] == [("reserve", LeftOverKind.NOT_UNDONE)]
            await admin.cancel(run.id)
            assert "next: no definition that processes work with fits what it has done" in str(
                await admin.explain(run.id)
            )
            await parked_by_its_plan(desk, run.id)
        await admin.abort(run.id)
        ended = await admin.get_saga(run.id)
        assert [(each.step_id, each.kind) for each in ended.left_over] == [("reserve", LeftOverKind.NOT_UNDONE)]
        assert shop.done == ["reserve"]


async def test_a_step_that_was_given_up_before_its_first_call_has_not_failed(make: Make) -> None:
    shop = Shop()
    async with make() as before:
        run = await before.register("shop", reserved_and_approved(shop, "reserve")).start(Order("1"))
        await suspended(run)
    async with make(concurrency=0) as desk:
        admin = SagaAdmin(desk)
        desk_handle = desk.register("shop", reserved_and_approved(shop, "hold_stock"))
        await desk.to(run.id, approval).send(Approval("ann"))
        await parked_by_its_plan(desk, run.id)
        assert {each.step_id: each.parked for each in (await admin.get_saga(run.id)).steps}["charge"] == "plan_changed"
        with pytest.raises(SagaParkedError, match="deploy a build whose definition fits it"):
            await desk_handle.attach(run.id).result(SOON)
        await admin.cancel(run.id)
        assert {each.step_id: each.status for each in (await admin.get_saga(run.id)).steps}["charge"] == "PENDING"
    async with make() as after:
        again = after.register("shop", reserved_and_approved(shop, "reserve")).attach(run.id)
        assert isinstance(await again.outcome(SOON), Compensated)
        assert {each.step_id: each.status for each in (await SagaAdmin(after).get_saga(run.id)).steps}[
            "charge"
        ] == "PENDING"


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


@pytest.mark.predecessor(27)
async def test_a_step_inserted_ahead_of_a_live_saga_is_run_in_its_place(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    async with make(stop_timeout=BRIEFLY) as before:
        run = await before.register("shop", chain(shop, "reserve", "charge", "ship")).start(Order("1"))
        await until(lambda: len(shop.keys) == 2)
    assert shop.hold is not None
    shop.hold.set()
    async with make() as after:
        again = after.register("shop", chain(shop, "reserve", "charge", "pack", "ship")).attach(run.id)
        assert isinstance(await again.outcome(SOON), Completed)
        assert shop.begun == ["reserve", "charge", "charge", "pack", "ship"]


@pytest.mark.predecessor(27)
async def test_a_step_inserted_behind_a_live_saga_parks_it_and_two_versions_live_side_by_side(
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
        assert shop.begun == ["reserve", "charge"], "no step is run in another's place, and none is undone"
    async with make() as careful:
        again = careful.register("shop", old, version=1).attach(run.id)
        fresh = await careful.register("shop", new, version=2).start(Order("2"))
        assert isinstance(await again.outcome(SOON, wait_parked=True), Completed), "it goes on by itself"
        assert isinstance(await fresh.outcome(SOON), Completed)
        of_the_old = [key.split(":")[1] for key in shop.keys if key.startswith(str(run.id))]
        assert of_the_old == ["reserve", "charge", "charge", "ship"]
        assert [(await one.snapshot()).version for one in (again, fresh)] == [1, 2]


@pytest.mark.parametrize("missed", ["the plan", "the saga, too", pytest.param("for good", marks=pytest.mark.raw_rows)])
async def test_a_saga_whose_plan_may_have_been_asked_of_another_server_is_claimed_again(
    make: Make, monkeypatch: pytest.MonkeyPatch, missed: str
) -> None:
    """As in a failover, when some connections lead to the old server still: it lacks the plan, or also the claim."""
    shop = Shop(hold=asyncio.Event())
    async with make(stop_timeout=BRIEFLY) as before:
        await before.register("shop", chain(shop, "reserve", "charge", "ship")).start(Order("1"))
        await until(lambda: len(shop.keys) == 2)
        kind = type(before.engine.store)
    plan, standing = kind.plan, kind.standing
    looks: list[str] = []

    async def plan_there(store: Any, plan_id: PlanId, **given: Any) -> Plan | None:
        looks.append("plan")
        return None if missed == "for good" or len(looks) == 1 else await plan(store, plan_id, **given)

    async def standing_there(store: Any, saga_id: UUID, seq: int) -> Standing | None:
        looks.append("saga")
        return None if missed == "the saga, too" and len(looks) == 2 else await standing(store, saga_id, seq)

    async with make(lease=timedelta(seconds=1)) as after:
        told = Observed(after)
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(kind, "plan", plan_there)
            elsewhere.setattr(kind, "standing", standing_there)
            after.register("shop", chain(shop, "check", "reserve", "charge", "ship"))
            if missed == "for good":
                assert "was the table saga_plan emptied?" in str((await told.until(SagaSetAside)).error)
            else:
                assert (await told.until(SagaParked)).reason == "plan_changed"
        assert len(told.all(ReadElsewhere)) == (missed != "for good")
    assert (
        looks
        == {
            "the plan": ["plan", "saga", "plan", "plan"],
            "the saga, too": ["plan", "saga", "plan"],
            "for good": ["plan", "saga", "plan"],
        }[missed]
    )
