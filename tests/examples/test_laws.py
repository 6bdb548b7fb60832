"""The sagas of the examples and of the demo, held to every law: README's own among them."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from saga_fn import NOT_DONE, Done, NotDone, StepContext
from saga_fn.demo import messages as demo
from saga_fn.demo.orders import SHIPPED_ORDERS, read_orders
from saga_fn.demo.saga import make_fulfil_order
from saga_fn.examples import events, failures, shop
from saga_fn.testing import LawCase, World
from tests.support.law_cases import hold, law_cases


def bank(world: World) -> Callable[[], object]:
    taken: dict[str, int] = {}

    def charge(order: shop.Order, ctx: StepContext) -> str:
        _ = taken.setdefault(ctx.idempotency_key, order.cents)
        return "receipt"

    def find(order: shop.Order, ctx: StepContext) -> Done[str] | NotDone:
        return Done("receipt") if ctx.idempotency_key in taken else NOT_DONE

    world.fake(shop.charge, charge)
    world.fake_probe(shop.charge, find)
    return lambda: sum(taken.values())


def services(world: World) -> None:
    world.fake("review", returns=demo.Review("1"))
    world.fake("reserve", lambda asked: demo.Reservation(f"of {asked.order_id}"))
    world.fake("charge", lambda asked: demo.Payment("1", asked.amount_cents))
    world.fake("ship", returns=demo.Shipment("parcel"))


def itself(world: World) -> None:
    """Its steps call nobody."""


ORDER = shop.Order(order_id="7", cents=900)
APPROVED = shop.approval, shop.Approval(order_id="7", by="ann")
PAID = events.payment, events.Payment(900), "invoice-7"
EVERY = [
    *law_cases(shop.order_saga, bank, ORDER, events=[APPROVED]),
    *law_cases(events.large_order, itself, events.Order("1"), events=[(events.approved, events.Approved("ann")), PAID]),
    *law_cases(
        events.large_order,
        itself,
        events.Order("1"),
        events=[(events.rejected, events.Rejected("dear"))],
        unjudged="ship|commit of invoice",
    ),
    *law_cases(failures.sell, itself, failures.Order("1", card="good", address="Main Street 1")),
    *law_cases(
        make_fulfil_order(httpx.AsyncClient()),
        services,
        read_orders(SHIPPED_ORDERS)[0],
        events=[(demo.decision, demo.Decision(approved=True, by="a rule"))],
        only_fakes=False,  # require_approval asks nobody
    ),
]


@pytest.mark.parametrize(
    "case, is_judged",
    [each for each in EVERY if "always" not in str(each.id)],  # for a week, a try a time
)
async def test_an_example_keeps_its_laws(case: LawCase, is_judged: bool) -> None:
    await hold(case, is_judged=is_judged)
