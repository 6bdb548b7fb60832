"""The sagas of the examples and of the demo in a World: each end that their texts promise, without a server or a wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from returns.result import Failure

from saga_fn import (
    Compensated,
    Done,
    Failed,
    RetryLater,
    SagaCompensatedError,
    SagaDefinition,
    SagaHandle,
    SagaParkedError,
    SagaStatus,
    StepContext,
)
from saga_fn.definition import AnySaga
from saga_fn.demo import messages as demo
from saga_fn.demo.orders import SHIPPED_ORDERS, read_orders
from saga_fn.demo.orders import Order as DemoOrder
from saga_fn.demo.saga import make_fulfil_order
from saga_fn.examples import branches, events, failures, payment, shop, time, unknown_outcomes, waiting_undo, web
from saga_fn.testing import World, explore

START = datetime(2026, 1, 1, tzinfo=UTC)
BANK = unknown_outcomes.Bank(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # it is not asked


# shop: README's own saga.


async def test_an_approved_order_is_charged_once_though_the_worker_dies_after_the_charge() -> None:
    async with World() as world:
        orders = world.register(shop.order_saga)
        world.fake(shop.charge, lambda order: f"receipt for {order.cents}")
        world.crash(shop.charge, at="after")
        run = await orders.start(shop.Order(order_id="7", cents=900))
        await world.until(run, waits_for=shop.approval)
        await world.send(run, shop.approval, shop.Approval(by="ann"))
        assert await run.result() == "receipt for 900"
        assert world.called == ("charge", "probe charge")


async def test_an_order_that_nobody_approves_is_not_charged() -> None:
    async with World(only_fakes=True) as world:
        run = await world.register(shop.order_saga).start(shop.Order(order_id="7", cents=900))
        await world.advance(timedelta(days=3))
        assert isinstance(await run.outcome(), Compensated)
        assert world.calls == ()


async def test_a_charge_whose_answer_is_lost_is_found_out() -> None:
    taken: dict[str, int] = {}

    def charge(order: shop.Order, ctx: StepContext) -> str:
        taken[ctx.idempotency_key] = order.cents
        raise httpx.ReadTimeout("the bank is slow")

    def find(order: shop.Order, ctx: StepContext) -> Done[str]:
        assert ctx.idempotency_key in taken
        return Done("receipt")

    async with World() as world:
        orders = world.register(shop.order_saga)
        world.fake(shop.charge, charge)
        world.fake_probe(shop.charge, find)
        run = await orders.start(shop.Order(order_id="7", cents=900), aggregation_id="7")
        await world.orchestrator.to(("order", "7"), shop.approval).send(shop.Approval(by="ann"))
        assert await run.result() == "receipt"
        assert list(taken.values()) == [900]


# payment


@pytest.fixture
def pay() -> SagaDefinition[payment.Order, payment.Payment]:
    return payment.make_pay(httpx.AsyncClient())


async def test_a_card_is_declined(pay: SagaDefinition[payment.Order, payment.Payment]) -> None:
    async with World(only_fakes=True) as world:
        payments = world.register(pay)
        world.fake("charge", raises=payment.CardDeclinedError("stolen"))
        run = await payments.start(payment.Order("1", 900))
        end = await run.outcome()
        assert isinstance(end, Compensated)
        assert end.failure is not None
        assert end.failure.error == payment.CardDeclinedError("stolen")


async def test_a_bank_says_when_to_come_back(pay: SagaDefinition[payment.Order, payment.Payment]) -> None:
    async with World(start=START) as world:
        payments = world.register(pay)
        world.fake("charge", returns=payment.Payment("1"))
        world.fake("charge", raises=RetryLater(timedelta(minutes=10)), times=2)
        assert await payments.run(payment.Order("1", 900)) == payment.Payment("1")
        assert [call.at for call in world.calls] == [START + number * timedelta(minutes=10) for number in range(3)]


# events


async def test_a_large_order_is_paid_by_its_own_invoice() -> None:
    async with World() as world:
        run = await world.register(events.large_order).start(events.Order("1"))
        await world.until(run, waits_for=events.approved)
        await world.send(run, events.approved, events.Approved("ann"), event_id="m1")
        assert await world.send(run, events.approved, events.Approved("ann"), event_id="m1") == "duplicate"
        await world.until(run, waits_for="payment")
        await world.send(run, events.payment, events.Payment(1), correlation_id="invoice-6")
        await world.send(run, events.payment, events.Payment(4200), correlation_id="invoice-7")
        assert await run.result() == "shipped, 4200 cents paid"


async def test_a_large_order_that_nobody_answers_is_rejected() -> None:
    async with World(start=START) as world:
        run = await world.register(events.large_order).start(events.Order("1"))
        await world.advance(timedelta(days=3) - timedelta(microseconds=1))
        assert world.called == ("reserve",)
        await world.advance(timedelta(microseconds=1))
        assert [call.what for call in world.calls] == ["reserve", "invoice", "undo reserve"]
        assert world.calls[1].input == events.Rejected("nobody answered")
        assert (await run.snapshot()).status is SagaStatus.COMPENSATED


# time


async def test_a_trial_is_billed_after_its_two_months() -> None:
    async with World(start=START) as world:
        trials = world.register(time.trial)
        world.fake(time.grant, lambda inp: time.Access(inp.customer, world.now + timedelta(days=60)))
        run = await trials.start(time.Trial("ann"), delay=timedelta(days=7))
        assert await run.result() == "ann is billed"
        days = [(call.what, (call.at - START).days) for call in world.calls]
        assert days == [("grant", 7), ("remind", 19), ("bill", 67)]


async def test_an_order_is_rolled_back_at_its_deadline() -> None:
    async with World(start=START) as world:
        run = await world.register(time.order).start(time.Trial("bob"))
        assert isinstance(await run.outcome(), Compensated)
        assert world.now == START + timedelta(hours=1)
        assert world.called.count("call_a_bank_that_is_away") == 12


# branches


async def test_a_journey_is_booked_while_workers_die() -> None:
    async with World() as world:
        journeys = world.register(branches.book)
        world.crash("seat[1]", at="after")
        world.crash(branches.room, at="before")
        voucher = await journeys.run(branches.Journey("1", ["ann", "bob", "cyd"], price=5000))
        assert voucher.text == "room-of-1, seat-of-ann, seat-of-bob, seat-of-cyd, policy-of-1"


async def test_a_journey_is_given_back_as_a_whole() -> None:
    async with World() as world:
        run = await world.register(branches.book).start(branches.Journey("1", ["ann", "nobody"], price=300))
        assert isinstance(await run.outcome(), Compensated)
        assert set(world.called) == {"room", "seat[0]", "seat[1]", "undo room", "undo seat[0]"}


async def test_one_branch_stands_still_and_the_other_goes_on() -> None:
    async with World() as world:
        run = await world.register(branches.book).start(branches.Journey("1", ["ann"], price=300))
        await world.until(run, step=branches.room)
        await world.until(run, step="voucher")
        assert set(world.called) == {"room", "seat[0]"}


# failures


async def test_past_the_pivot_a_person_decides() -> None:
    async with World() as world:
        orders = world.register(failures.sell)
        run = await orders.start(failures.Order("1", address="unknown"))
        seen = await world.until(run)
        assert (seen.current_step_id, seen.parked) == ("ship", "past_pivot")
        with pytest.raises(SagaParkedError):
            await run.result()
        await world.admin.skip_step(run.id, "ship", failures.Parcel("fetched"), expect=seen.revision, reason="a call")
        assert await run.result() == failures.Parcel("fetched")


async def test_a_bank_that_is_away_is_asked_again() -> None:
    async with World() as world:
        orders = world.register(failures.sell)
        world.fake(failures.charge, raises=failures.BankAwayError(), times=3)
        assert await orders.run(failures.Order("1")) == failures.Parcel("parcel-of-1")
        assert world.called == ("reserve", "charge", "charge", "charge", "charge", "ship")


# unknown_outcomes


async def test_a_payment_in_doubt_is_undone_without_a_receipt() -> None:
    async with World(only_fakes=True) as world:
        buying = world.register(unknown_outcomes.make_buy(BANK))
        world.fake("deposit", returns=unknown_outcomes.Receipt("1"))
        world.fake("payment", returns=unknown_outcomes.Receipt("2"))
        world.late("payment")
        run = await buying.start(unknown_outcomes.Purchase("Cyd", 900))
        assert isinstance(await run.outcome(), Compensated)
        assert [(call.what, call.output) for call in world.calls if call.phase == "compensate"] == [
            ("undo payment", None),
            ("undo deposit", unknown_outcomes.Receipt("1")),
        ]


# waiting_undo


async def test_an_undo_waits_for_the_bank() -> None:
    async with World(start=START) as world:
        run = await world.register(waiting_undo.sell_ticket).start(waiting_undo.Order("1"))
        await world.until(run, waits_for=waiting_undo.refunded)
        await world.advance(timedelta(days=9))
        await world.send(run, waiting_undo.refunded, waiting_undo.Refund(accepted=True), correlation_id="payment-of-1")
        assert isinstance(await run.outcome(), Compensated)
        assert world.called == ("pay", "seat", "undo pay", "undo pay")


async def test_a_bank_that_never_answers_leaves_the_payment_over() -> None:
    async with World(start=START) as world:
        run = await world.register(waiting_undo.sell_ticket).start(waiting_undo.Order("1"))
        end = await run.outcome()
        assert isinstance(end, Failed)
        assert [each.step_id for each in end.left_over] == ["pay"]
        assert world.now == START + timedelta(days=21), "ten days, one more, and ten again"


# web: code that has an orchestrator of its own.


async def test_the_handlers_of_a_service_run_on_a_world(monkeypatch: pytest.MonkeyPatch) -> None:
    async with World() as world:
        monkeypatch.setattr(web, "orders", world.register(web.create_order))
        monkeypatch.setattr(web, "orchestrator", world.orchestrator)
        world.crash(web.charge, at="after")
        transport = httpx.ASGITransport(web.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            made = await client.post("/orders", json={"order_id": "7", "amount_cents": 900})
            shown = [(await client.get(made.headers["Location"])).json() for _ in range(10)]
        assert shown[0] == {"status": "in progress"}, "it waits 5 s, and the lease of the process that died is longer"
        assert shown[-1] == {"status": "paid", "payment_id": "payment-of-7"}


# The demo.


@pytest.fixture
def order() -> DemoOrder:
    return read_orders(SHIPPED_ORDERS)[0]


def fake_services(world: World) -> SagaHandle[DemoOrder, demo.Shipment]:
    orders = world.register(make_fulfil_order(httpx.AsyncClient()))
    world.fake("review", returns=demo.Review("1"))
    world.fake("reserve", lambda asked: demo.Reservation(f"of {asked.order_id}"))
    world.fake("charge", lambda asked: demo.Payment("1", asked.amount_cents))
    world.fake("ship", returns=demo.Shipment("parcel"))
    return orders


async def test_an_order_of_the_demo_is_fulfilled(order: DemoOrder) -> None:
    async with World() as world:
        run = await fake_services(world).start(order)
        await world.until(run, waits_for=demo.decision)
        await world.send(run, demo.decision, demo.Decision(approved=True, by="a rule"))
        world.late("charge")  # and it is simply asked again
        world.crash("ship", at="after")
        assert await run.result() == demo.Shipment("parcel")
        assert world.called == ("review", "reserve", "require_approval", "charge", "charge", "ship", "probe ship")


@pytest.mark.parametrize("approved", [False, None])
async def test_an_order_of_the_demo_is_refused(order: DemoOrder, approved: bool | None) -> None:
    async with World(start=START) as world:
        run = await fake_services(world).start(order)
        await world.until(run, waits_for=demo.decision)
        if approved is not None:
            await world.send(run, demo.decision, demo.Decision(approved, by="a person"))
        with pytest.raises(SagaCompensatedError):
            await run.result()
        assert world.called[-1] == "undo reserve"
        assert "charge" not in world.called


async def test_the_carrier_keeps_a_parcel(order: DemoOrder) -> None:
    async with World() as world:
        orders = fake_services(world)
        world.fake("ship", lambda asked: Failure("409 no such country"))
        run = await orders.start(order)
        await world.send(run, demo.decision, demo.Decision(approved=True, by="a rule"))
        assert isinstance(await run.outcome(), Compensated), "it was refused before the point of no return"
        assert world.called[-3:] == ("ship", "undo charge", "undo reserve")


# Every end of theirs, by the rules alone.


@pytest.mark.parametrize(
    "definition",
    [
        shop.order_saga,
        events.large_order,
        failures.sell,
        payment.make_pay(httpx.AsyncClient()),
        waiting_undo.sell_ticket,
        web.create_order,
        time.order,
        time.trial,
        make_fulfil_order(httpx.AsyncClient()),
        unknown_outcomes.make_buy(BANK),
    ],
    ids=lambda definition: definition.name,
)
def test_no_end_is_of_another_kind_than_the_three(definition: AnySaga) -> None:
    found = explore(definition)
    assert found.is_all
    assert {end.status for end in found.ends} <= {SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.FAILED}
    assert all(end.left_over for end in found.ends if end.status is SagaStatus.FAILED)
