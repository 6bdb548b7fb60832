"""The sagas of the examples and of the demo, held to every law: README's own among them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, final

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from typing_extensions import override

from saga_fn import NOT_DONE, Done, NotDone, StepContext, WaitFor
from saga_fn.demo import messages as demo
from saga_fn.demo.orders import SHIPPED_ORDERS, read_orders
from saga_fn.demo.saga import make_fulfil_order
from saga_fn.examples import branches, events, failures, payment, shop, time, unknown_outcomes, waiting_undo, web
from saga_fn.testing import LawCase, World
from tests.examples.participant import Participant
from tests.support.law_cases import hold, law_cases

Books = Callable[[], object]
TWO_MONTHS: Final = timedelta(days=60)


def bank(world: World) -> Books:
    taken: dict[str, int] = {}

    def charge(order: shop.Order, ctx: StepContext) -> str:
        _ = taken.setdefault(ctx.idempotency_key, order.cents)
        return "receipt"

    def find(order: shop.Order, ctx: StepContext) -> Done[str] | NotDone:
        return Done("receipt") if ctx.idempotency_key in taken else NOT_DONE

    world.fake(shop.charge, charge)
    world.fake_probe(shop.charge, find)
    return lambda: sum(taken.values())


def services(world: World) -> Books:
    """The demo's: what they cannot take back is in no books."""
    of = Participant(world)
    world.fake("review", returns=demo.Review("1"))
    of.does("reserve", lambda asked: demo.Reservation(f"of {asked.order_id}"))
    of.does("charge", lambda asked: demo.Payment("1", asked.amount_cents))
    world.fake("ship", returns=demo.Shipment("parcel"))
    return of.holds


def goods(world: World) -> Books:
    """A stock, of which goods are reserved; the other steps run themselves."""
    of = Participant(world)
    of.does("reserve", lambda order: f"goods of {order.order_id}")
    return of.holds


def sold(world: World) -> Books:
    of = Participant(world)
    of.does("reserve", lambda order: failures.Reservation(f"of {order.order_id}"))
    return of.holds


def journey(world: World) -> Books:
    """A hotel and an airline: nobody flies whose name is nobody."""

    def seat(traveller: branches.Traveller) -> branches.Seat:
        if traveller.name == "nobody":
            raise LookupError("no such traveller")
        return branches.Seat(f"seat of {traveller.name}")

    of = Participant(world)
    of.does("room", lambda journey: branches.Room(f"room of {journey.journey_id}"))
    of.does("seat", seat)
    return of.holds


def trial(world: World) -> Books:
    of = Participant(world)
    begin = world.now
    of.does("grant", lambda asked: time.Access(asked.customer, begin + TWO_MONTHS))
    return of.holds


def ticket(world: World) -> Books:
    """A bank that is asked to give back what it has taken, and has given it back once it has said so."""
    taken: set[str] = set()

    def pay(order: waiting_undo.Order, ctx: StepContext) -> waiting_undo.Payment:
        taken.add(ctx.operation)
        return waiting_undo.Payment(f"payment-of-{order.order_id}")

    async def give_back(order: waiting_undo.Order, paid: waiting_undo.Payment, ctx: StepContext) -> WaitFor | None:
        waits = await waiting_undo.give_back(order, paid, ctx)
        if waits is None:
            taken.discard(ctx.operation)
        return waits

    world.fake(waiting_undo.pay, pay)
    world.fake_undo(waiting_undo.pay, give_back)
    return lambda: sorted(taken)


def till(world: World) -> Books:
    of = Participant(world)
    of.does("charge", lambda order: web.Payment(f"payment of {order.order_id}"))
    return of.holds


@final
class ServedBank:
    """The bank of the example of a payment, as it is served; a new one for each case. The example's own step calls it."""

    def __init__(self) -> None:
        self._bank = payment.Bank()
        self.http: Final = httpx.AsyncClient(transport=httpx.ASGITransport(self._served), base_url="http://bank")

    async def _served(self, scope: Any, receive: Any, send: Any) -> None:  # Any: as ASGI has it
        routes = [
            Route("/charges", self._bank.charge, methods=["POST"]),
            Route("/charges", self._bank.find, methods=["GET"]),
        ]
        await Starlette(routes=routes)(scope, receive, send)

    def of_a_case(self, world: World) -> Books:
        """Open a new one."""
        bank = self._bank = payment.Bank()
        return lambda: sum(order.cents for order in bank.taken.values())


@final
class GuardedBank(unknown_outcomes.Bank):
    """The bank of the example of unknown outcomes, with its guard, and without a database."""

    def __init__(self) -> None:
        self._cents: dict[str, int] = {}
        self._undone: set[str] = set()

    @override
    async def take(self, operation: str, buyer: str, cents: int) -> bool:
        if operation not in self._undone:
            _ = self._cents.setdefault(operation, cents)
        return operation not in self._undone

    @override
    async def give_back(self, operation: str, buyer: str, cents: int) -> bool:
        self._undone.add(operation)
        return self._cents.pop(operation, None) is not None

    @override
    async def knows(self, operation: str) -> bool:
        return operation in self._cents

    def of_a_case(self, world: World) -> Books:
        """Open empty books."""
        cents, self._undone = dict[str, int](), set()
        self._cents = cents
        return lambda: sum(cents.values())


payments, guarded = ServedBank(), GuardedBank()
ORDER = shop.Order(order_id="7", cents=900)
APPROVED = shop.approval, shop.Approval(by="ann")
PAID = events.payment, events.Payment(900), "invoice-7"
REFUNDED = waiting_undo.refunded, waiting_undo.Refund(accepted=True), "payment-of-1"
REFUSED = waiting_undo.refunded, waiting_undo.Refund(accepted=False), "payment-of-1"
EVERY = [
    *law_cases(shop.order_saga, bank, ORDER, events=[APPROVED]),
    *law_cases(
        events.large_order,
        goods,
        events.Order("1"),
        events=[(events.approved, events.Approved("ann")), PAID],
        only_fakes=False,
    ),
    *law_cases(
        events.large_order,
        goods,
        events.Order("1"),
        events=[(events.rejected, events.Rejected("dear"))],
        unjudged="ship|commit of invoice",
        only_fakes=False,
    ),
    *law_cases(failures.sell, sold, failures.Order("1", card="good", address="Main Street 1"), only_fakes=False),
    *law_cases(payment.make_pay(payments.http), payments.of_a_case, payment.Order("1", 900)),
    *law_cases(branches.book, journey, branches.Journey("1", ["ann", "bob"], price=5000), only_fakes=False),
    *law_cases(
        branches.book,
        journey,
        branches.Journey("2", ["ann", "nobody"], price=300),
        unjudged="insure|voucher",
        only_fakes=False,
    ),
    *law_cases(time.trial, trial, time.Trial("ann"), only_fakes=False),
    *law_cases(time.order, trial, time.Trial("bob"), unjudged="commit of call_a_bank", only_fakes=False),
    *law_cases(unknown_outcomes.make_buy(guarded), guarded.of_a_case, unknown_outcomes.Purchase("Ada", 900)),
    *(
        case
        for refund in (REFUNDED, REFUSED)
        for case in law_cases(
            waiting_undo.sell_ticket,
            ticket,
            waiting_undo.Order("1"),
            events=[refund],
            unjudged="commit of seat",
            only_fakes=False,
        )
    ),
    *law_cases(web.create_order, till, web.Order("7", 900)),
    *law_cases(
        make_fulfil_order(httpx.AsyncClient()),
        services,
        read_orders(SHIPPED_ORDERS)[0],
        events=[(demo.decision, demo.Decision(approved=True, by="a rule"))],
        only_fakes=False,  # require_approval asks no person
    ),
]


@pytest.mark.parametrize("case, is_judged", EVERY)
async def test_an_example_keeps_its_laws(case: LawCase, is_judged: bool) -> None:
    await hold(case, is_judged=is_judged)
