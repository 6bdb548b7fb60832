"""How an order is fulfilled: the saga's definition."""

from __future__ import annotations

from datetime import timedelta

import httpx

from saga_fn import FixedRetry, SagaDefinition, StepOptions, StepRef, saga, step
from saga_fn.demo.clients import Inventory, Payments, Shipping
from saga_fn.demo.messages import ChargeRequest, ReserveRequest, Shipment, ShipRequest
from saga_fn.demo.orders import Order

PATIENCE = StepOptions(
    timeout=timedelta(seconds=1.5),
    retry_policy=FixedRetry(max_attempts=5, delay=timedelta(milliseconds=200)),
    compensation_retry_policy=FixedRetry(max_attempts=20, delay=timedelta(milliseconds=200)),
)
"""Short delays, because people watch. A service that took no order for hours would need patience of another kind."""


def make_fulfil_order(http: httpx.AsyncClient) -> SagaDefinition[Order, Shipment]:
    """Reserve, charge, ship; whatever was done is undone, last first, when a later step is turned down.

    Reserving and charging are simply repeated when they were not answered. What the carrier has it keeps: shipping is the
    pivot, and whether it has happened is found out before anything else is done.

    `http` is a client whose base URL is where the services are.
    """
    inventory, payments, shipping = Inventory(http), Payments(http), Shipping(http)
    reserve = step(inventory.reserve, compensate=inventory.release, **PATIENCE)
    charge = step(payments.charge, compensate=payments.refund, **PATIENCE)
    ship = step(shipping.ship, probe=shipping.find, **PATIENCE)

    @saga("fulfil_order")
    def fulfil_order(order: StepRef[Order]) -> StepRef[Shipment]:
        reserved = reserve(order, using=lambda o: ReserveRequest(o.order_id, {li.sku: li.quantity for li in o.lines}))
        charge(order, using=lambda o: ChargeRequest(o.order_id, o.card_token, o.total_cents))
        return ship(
            order,
            reserved,
            using=lambda o, r: ShipRequest(o.order_id, r.reservation_id, o.customer, o.address.country),
            pivot=True,
        )

    return fulfil_order
