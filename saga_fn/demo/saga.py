"""How an order is fulfilled: the saga's definition."""

from __future__ import annotations

from datetime import timedelta

import httpx

from saga_fn import FixedRetry, SagaDefinition, StepOptions, StepRef, saga, step
from saga_fn.demo.clients import Inventory, Payments, RiskOffice, Shipping, require_approval
from saga_fn.demo.messages import (
    SAGA,
    ChargeRequest,
    ReserveRequest,
    ReviewRequest,
    Shipment,
    ShipRequest,
    decision,
)
from saga_fn.demo.orders import Order

PATIENCE = StepOptions(
    timeout=timedelta(seconds=1.5),
    retry_policy=FixedRetry(max_attempts=5, delay=timedelta(milliseconds=200)),
    unknown_retry_policy=FixedRetry(max_attempts=10, delay=timedelta(milliseconds=200)),
    business_error_settles=True,  # the services answer a request that is repeated as they did the first time
    compensation_retry_policy=FixedRetry(max_attempts=20, delay=timedelta(milliseconds=200)),
)
"""Short delays, because people watch. A service that took no order for hours would need patience of another kind."""

DECISION_TIMEOUT = timedelta(seconds=4)
"""How long an order waits for the risk office, which takes up to a second, before it is rolled back."""


def make_fulfil_order(http: httpx.AsyncClient) -> SagaDefinition[Order, Shipment]:
    """Ask the risk office, reserve, wait for its decision, charge, ship; what was done is undone, last first, on a refusal.

    The decision is an event: it may come before the saga waits for it, twice, or never. While it waits no process
    has the saga in its hands.

    Asking, reserving and charging are simply repeated when they were not answered. The carrier keeps a parcel that it has:
    shipping is the pivot, and whether it has happened is found out before anything else is done.

    `http` is a client whose base URL is where the services are.
    """
    office, inventory, payments, shipping = RiskOffice(http), Inventory(http), Payments(http), Shipping(http)
    review = step(office.review, **PATIENCE)
    reserve = step(inventory.reserve, compensate=inventory.release, **PATIENCE)
    approved = step(require_approval)
    charge = step(payments.charge, compensate=payments.refund, **PATIENCE)
    ship = step(shipping.ship, probe=shipping.find, **PATIENCE)

    @saga(SAGA)
    def fulfil_order(order: StepRef[Order]) -> StepRef[Shipment]:
        review(order, using=lambda o: ReviewRequest(o.order_id, o.total_cents))
        reserved = reserve(order, using=lambda o: ReserveRequest(o.order_id, {li.sku: li.quantity for li in o.lines}))
        approved(decision.wait(timeout=DECISION_TIMEOUT))
        charge(order, using=lambda o: ChargeRequest(o.order_id, o.card_token, o.total_cents))
        return ship(
            order,
            reserved,
            using=lambda o, r: ShipRequest(o.order_id, r.reservation_id, o.customer, o.address.country),
            pivot=True,
        )

    return fulfil_order
