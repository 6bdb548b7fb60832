"""An order that is approved by a webhook and charged by HTTP: `uvicorn saga_fn.examples.shop:app`; README tells its story.

The extra `demo` has what it takes. `SAGA_FN_DSN` is the database, `BANK` the bank: `uvicorn saga_fn.examples.slow_bank:app`.
"""

import saga_fn.examples.extra  # noqa: F401  # pyright: ignore[reportUnusedImport]  # isort: skip

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

import httpx
from fastapi import FastAPI, HTTPException, Query
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel

from saga_fn import (
    NOT_DONE,
    Done,
    Event,
    NotDone,
    SagaCompensatedError,
    SagaFailedError,
    SagaNotFoundError,
    SagaOrchestrator,
    SagaParkedError,
    StartConflictError,
    StepContext,
    StepRef,
    saga,
    step,
)


class Order(BaseModel, frozen=True):
    order_id: str
    cents: int


class Approval(BaseModel, frozen=True):
    by: str


bank = httpx.AsyncClient(base_url=os.environ.get("BANK", "http://localhost:8001"), timeout=httpx.Timeout(5, read=10))
approval = Event("approval", Approval)


async def find_charge(order: Order, ctx: StepContext) -> Done[str] | NotDone:
    answer = await bank.get("/charges", headers={"Idempotency-Key": ctx.idempotency_key})
    return NOT_DONE if answer.status_code == HTTPStatus.NOT_FOUND else Done(answer.raise_for_status().text)


@step(probe=find_charge)  # asked after a read timeout, a 502 or a crash: then the money may be taken, or not
async def charge(order: Order, ctx: StepContext) -> str:
    answer = await bank.post("/charges", json=order.cents, headers={"Idempotency-Key": ctx.idempotency_key})
    return answer.raise_for_status().text  # the receipt


@saga("order")
def order_saga(order: StepRef[Order]) -> StepRef[str]:
    approval.wait(timeout=timedelta(days=3))  # in the store; without an approval the saga is rolled back
    return charge(order)


orchestrator = SagaOrchestrator(os.environ.get("SAGA_FN_DSN", "postgresql://localhost/shop"), migrate=True)
orders = orchestrator.register(order_saga)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    async with orchestrator:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/orders")
async def place(order: Order) -> PlainTextResponse:
    try:
        run = await orders.start(order, aggregation_id=order.order_id, idempotency_key=order.order_id)
    except StartConflictError:  # the same id, and other cents
        raise HTTPException(409, "there is another order of that id") from None
    return PlainTextResponse(f"/orders/{run.id}", 202)  # the address of its status


@app.post("/orders/{saga_id}/approval")
async def approve(saga_id: UUID, given: Approval) -> str:
    try:
        return await orchestrator.to(saga_id, approval).send(given, event_id="approval")
    except SagaNotFoundError:
        raise HTTPException(404, "there is no such order") from None


@app.get("/orders/{saga_id}")
async def status(saga_id: UUID, wait: Annotated[float, Query(ge=0, le=60)] = 0) -> dict[str, str]:
    try:
        receipt = await orders.attach(saga_id).result(timeout=wait)
    except TimeoutError:
        return {"status": "in progress"}
    except SagaNotFoundError:
        raise HTTPException(404, "there is no such order") from None
    except SagaCompensatedError:  # no approval came: nothing was taken
        return {"status": "cancelled"}
    except (SagaParkedError, SagaFailedError):  # the money may be taken
        return {"status": "a person looks after it"}
    return {"status": "paid", "receipt": receipt}
