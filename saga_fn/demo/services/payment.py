"""The payment provider: takes money and gives it back."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from saga_fn.demo.messages import ChargeRequest, Payment, RefundRequest
from saga_fn.demo.services.desk import Desk, Posting, answer, read_body


def payment_routes(desk: Desk) -> list[Route]:
    """The service's two end points."""

    async def charge(request: Request) -> Response:
        wanted = await read_body(request, ChargeRequest)
        posting = Posting(
            "charge", "charged", wanted.order_id, refusal="card declined", amount_cents=wanted.amount_cents
        )
        entry = await desk.serve(request, posting)
        return answer(Payment(entry.reference, entry.amount_cents))

    async def refund(request: Request) -> Response:
        wanted = await read_body(request, RefundRequest)
        posting = Posting(
            "refund", "refunded", wanted.order_id, reference=wanted.payment_id, amount_cents=wanted.amount_cents
        )
        entry = await desk.serve(request, posting)
        return answer(Payment(entry.reference, entry.amount_cents))

    return [Route("/charges", charge, methods=["POST"]), Route("/refunds", refund, methods=["POST"])]
