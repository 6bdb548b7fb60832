"""A web service: `SAGA_FN_DSN=postgresql://... uvicorn saga_fn.examples.web:app` (the extra `demo` has what it takes)."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from saga_fn import (
    Compensated,
    Completed,
    Failed,
    PayloadError,
    SagaHandle,
    SagaNotFoundError,
    SagaOrchestrator,
    SagaResultTimeoutError,
    StartConflictError,
    StepContext,
    StepRef,
    saga,
    step,
)


class Order(msgspec.Struct, frozen=True):
    order_id: str
    amount_cents: int


class Payment(msgspec.Struct, frozen=True):
    payment_id: str


async def refund(order: Order, payment: Payment) -> None:
    print("refunded", payment.payment_id)


@step(compensate=refund)
async def charge(order: Order, ctx: StepContext) -> Payment:
    return Payment(f"payment-of-{order.order_id}")  # a real one would hand ctx.idempotency_key to the bank


@saga("create_order")
def create_order(order: StepRef[Order]) -> StepRef[Payment]:
    return charge(order)


orchestrator: SagaOrchestrator = SagaOrchestrator(
    os.environ.get("SAGA_FN_DSN", "postgresql://localhost/shop"), migrate=True
)
orders: SagaHandle[Order, Payment] = orchestrator.register(create_order)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[None]:
    async with orchestrator:
        yield


async def start(request: Request) -> Response:
    """POST /orders: the client's own key makes it safe to send again."""
    try:
        order = msgspec.json.decode(await request.body(), type=Order)
        run = await orders.start(order, idempotency_key=request.headers.get("Idempotency-Key"))
    except (msgspec.DecodeError, PayloadError) as error:
        return JSONResponse({"error": str(error)}, 422)
    except StartConflictError:
        return JSONResponse({"error": "this key was used for another order"}, 409)
    return JSONResponse({"id": str(run.id)}, 201 if run.created else 200, {"Location": f"/orders/{run.id}"})


async def show(request: Request) -> Response:
    """GET /orders/{id}: waits a little for the end, so that clients need not ask often."""
    try:
        ended = await orders.attach(request.path_params["id"]).outcome(timeout=5)
    except SagaNotFoundError:
        return JSONResponse({"error": "no such order"}, 404)
    except SagaResultTimeoutError:
        return JSONResponse({"status": "in progress"}, 202)
    match ended:
        case Completed(result=payment):
            return JSONResponse({"status": "paid", "payment_id": payment.payment_id})
        case Compensated(error=reason):
            return JSONResponse({"status": "cancelled", "reason": reason})
        case Failed():
            return JSONResponse({"status": "needs a person"})


async def health(request: Request) -> Response:
    """GET /health: 503 while this process cannot do its work."""
    state = await orchestrator.health()
    return JSONResponse({"problems": state.problems, "in_flight": state.in_flight}, 200 if state.ok else 503)


routes: list[Route] = [
    Route("/orders", start, methods=["POST"]),
    Route("/orders/{id:uuid}", show),
    Route("/health", health),
]
app: Starlette = Starlette(routes=routes, lifespan=lifespan)
