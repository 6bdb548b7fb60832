"""The saga's steps: what each asks of the services over HTTP, and how it is undone.

Every request carries the step's idempotency key, which stays the same over retries, timeouts and crashes: so a request
can be repeated by a caller who does not know whether it was answered. It also carries the operation, which a step and its
compensation have in common: so a service can refuse what comes when it has been undone already.
"""

from __future__ import annotations

from typing import TypeVar

import httpx
import msgspec
from returns.result import Failure, Result, Success

from saga_fn import NOT_DONE, Done, NotDone, StepContext
from saga_fn.demo.messages import (
    ChargeRequest,
    Decision,
    Payment,
    RefundRequest,
    ReleaseRequest,
    Reservation,
    ReserveRequest,
    Review,
    ReviewRequest,
    Shipment,
    ShipRequest,
)

A = TypeVar("A")


_REFUSED = 409
_UNKNOWN = 404


class ServiceError(Exception):
    """A service did not do what it was asked, for now: asking again may help."""


class RiskOffice:
    """The risk office, which answers a question later, by an event."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def review(self, inp: ReviewRequest, ctx: StepContext) -> Result[Review, str]:
        """Ask whether the order may be carried out. Nothing of this has to be undone."""
        return await _ask(self._http, "/risk/reviews", inp, ctx, Review)


async def require_approval(inp: Decision) -> Result[Decision, str]:
    """Go on only with an order that was approved."""
    return Success(inp) if inp.approved else Failure(f"refused by {inp.by} of the risk office")


class Inventory:
    """The inventory service."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def reserve(self, inp: ReserveRequest, ctx: StepContext) -> Result[Reservation, str]:
        """Put the order's pieces aside."""
        return await _ask(self._http, "/inventory/reservations", inp, ctx, Reservation)

    async def release(self, inp: ReserveRequest, out: Reservation, ctx: StepContext) -> None:
        """Put them back on the shelf."""
        body = ReleaseRequest(inp.order_id, out.reservation_id)
        (await _ask(self._http, "/inventory/releases", body, ctx, Reservation)).unwrap()


class Payments:
    """The payment service."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def charge(self, inp: ChargeRequest, ctx: StepContext) -> Result[Payment, str]:
        """Take the money."""
        return await _ask(self._http, "/payment/charges", inp, ctx, Payment)

    async def refund(self, inp: ChargeRequest, out: Payment, ctx: StepContext) -> None:
        """Give it back."""
        body = RefundRequest(inp.order_id, out.payment_id, out.amount_cents)
        (await _ask(self._http, "/payment/refunds", body, ctx, Payment)).unwrap()


class Shipping:
    """The shipping service."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def ship(self, inp: ShipRequest, ctx: StepContext) -> Result[Shipment, str]:
        """Hand the parcel to the carrier. The shop does not get it back from there."""
        return await _ask(self._http, "/shipping/shipments", inp, ctx, Shipment)

    async def find(self, _: ShipRequest, ctx: StepContext) -> Done[Shipment] | NotDone:
        """Find out whether the carrier has the parcel of a request that was not answered."""
        response = await self._http.get("/shipping/shipments", headers=_headers(ctx))
        if response.status_code == _UNKNOWN:
            return NOT_DONE
        if not response.is_success:
            raise ServiceError(f"{response.status_code} {response.text}")
        return Done(msgspec.json.decode(response.content, type=Shipment))


async def _ask(
    http: httpx.AsyncClient, path: str, body: msgspec.Struct, ctx: StepContext, expected: type[A]
) -> Result[A, str]:
    """The answer: what was asked for, or a refusal, which is final and undone. Raises if it is worth asking again."""
    response = await http.post(path, content=msgspec.json.encode(body), headers=_headers(ctx))
    if response.status_code == _REFUSED:
        return Failure(f"{response.status_code} {response.text}")
    if not response.is_success:
        raise ServiceError(f"{response.status_code} {response.text}")
    return Success(msgspec.json.decode(response.content, type=expected))


def _headers(ctx: StepContext) -> dict[str, str]:
    return {"Idempotency-Key": ctx.idempotency_key, "Operation": ctx.operation}
