"""A web service: `SAGA_FN_DSN=postgresql://... uvicorn saga_fn.examples.web:app` (the extra `demo` has what it takes).

The endpoints say what they do; what can go wrong is answered in one place, by `answer`.
"""

from __future__ import annotations

import saga_fn.examples.extra  # noqa: F401  # pyright: ignore[reportUnusedImport]  # isort: skip

import logging
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from saga_fn import (
    ActiveSagaAlreadyExistsError,
    Compensated,
    Completed,
    Failed,
    PayloadError,
    SagaError,
    SagaHandle,
    SagaNotFoundError,
    SagaOrchestrator,
    SagaParkedError,
    SagaResultTimeoutError,
    StartBusyError,
    StartConflictError,
    StepContext,
    StepRef,
    StoreUnavailableError,
    saga,
    step,
)

_log = logging.getLogger("saga_fn.examples.web")


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
    order = msgspec.json.decode(await request.body(), type=Order)
    run = await orders.start(order, idempotency_key=request.headers.get("Idempotency-Key"))
    return JSONResponse({"id": str(run.id)}, 201 if run.created else 200, {"Location": f"/orders/{run.id}"})


async def show(request: Request) -> Response:
    """GET /orders/{id}: waits a little for the end, so that clients need not ask often."""
    match await orders.attach(request.path_params["id"]).outcome(timeout=5):
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


def answer(request: Request, error: Exception) -> Response:
    """The answer to a client about an error; raises again an error that a person has to look at."""
    match error:
        case msgspec.DecodeError() | PayloadError():
            return JSONResponse({"error": str(error)}, 422)
        case SagaNotFoundError():
            return JSONResponse({"error": "no such order"}, 404)
        case StartConflictError():
            return JSONResponse({"error": "this key was used for another order"}, 409)
        case ActiveSagaAlreadyExistsError(saga_id=active):
            return JSONResponse({"error": "this order is in progress"}, 409, {"Location": f"/orders/{active}"})
        case SagaResultTimeoutError():
            return JSONResponse({"status": "in progress"}, 202)
        case SagaParkedError():
            return JSONResponse({"status": "needs a person"})
        case StartBusyError():
            return JSONResponse({"error": "the same order is being taken just now"}, 503, {"Retry-After": "1"})
        case StoreUnavailableError(fact=fact):
            _log.warning("%s %s is to be sent again: %s", request.method, request.url.path, fact)
            return JSONResponse({"error": "try again in a moment"}, 503, {"Retry-After": "2"})
        case _:
            raise error


routes: list[Route] = [
    Route("/orders", start, methods=["POST"]),
    Route("/orders/{id:uuid}", show),
    Route("/health", health),
]
app: Starlette = Starlette(
    routes=routes, lifespan=lifespan, exception_handlers={SagaError: answer, msgspec.DecodeError: answer}
)
