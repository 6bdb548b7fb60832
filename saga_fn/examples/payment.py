"""A payment by HTTP whose answer may be lost: `python -m saga_fn.examples.payment` (the extra `demo` has what it takes).

`charge` calls a bank with httpx. The failures of that call mean different things, and the step says so:

- the card is declined: a business error (`give_up_on`). The saga is rolled back, and the caller who awaits it is told why;
- the bank has too much to do, and says when to come back: `RetryLater`. Nothing has been done;
- the other server is not there (`httpx.ConnectError`): nothing has left, so the step is tried again, as often as `retry_policy` says;
- the answer does not come, or is a 500, 502 or 504: the money may be taken, or not. httpx's ReadTimeout is known to mean
  that, so nothing has to be declared. The `probe` asks the bank what became of it, and only then does the saga go on.

The bank here is a small server in this process. Half of what it is asked for goes wrong.
"""

from __future__ import annotations

import saga_fn.examples.extra  # noqa: F401  # pyright: ignore[reportUnusedImport]  # isort: skip

import asyncio
import dataclasses
import socket
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from http import HTTPStatus

import httpx
import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from saga_fn import (
    NOT_DONE,
    Compensated,
    Completed,
    Done,
    ExponentialRetry,
    Failed,
    MemoryStore,
    NotDone,
    Outcome,
    RetryLater,
    SagaDefinition,
    SagaHandle,
    SagaOrchestrator,
    StepContext,
    StepRef,
    saga,
    step,
)


class Order(msgspec.Struct, frozen=True):
    order_id: str
    cents: int
    trouble: str = ""
    """The faults of the bank."""


class Payment(msgspec.Struct, frozen=True):
    payment_id: str


@dataclasses.dataclass
class CardDeclinedError(Exception):
    """The bank's answer is no: a business error, kept with its fields."""

    reason: str


def make_pay(http: httpx.AsyncClient) -> SagaDefinition[Order, Payment]:
    """One payment. The client's own timeout is shorter than the step's: its ReadTimeout is what comes first."""

    async def charge(order: Order, ctx: StepContext) -> Payment:
        answer = await http.post(
            "/charges", json=msgspec.to_builtins(order), headers={"Idempotency-Key": ctx.idempotency_key}
        )
        match answer.status_code:
            case HTTPStatus.PAYMENT_REQUIRED:
                raise CardDeclinedError(answer.json()["reason"])
            case HTTPStatus.TOO_MANY_REQUESTS:
                raise RetryLater(timedelta(seconds=int(answer.headers["Retry-After"])))
            case _:
                answer.raise_for_status()
        return Payment(answer.json()["payment_id"])

    async def find_charge(_: Order, ctx: StepContext) -> Done[Payment] | NotDone:
        print(f"  asked the bank what became of the {ctx.step_id}")
        answer = await http.get("/charges", headers={"Idempotency-Key": ctx.idempotency_key})
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return NOT_DONE
        return Done(Payment(answer.raise_for_status().json()["payment_id"]))

    charged = step(
        charge,
        probe=find_charge,
        give_up_on=CardDeclinedError,
        retry_policy=ExponentialRetry(max_attempts=5, base_delay=timedelta(milliseconds=50)),
        timeout=timedelta(seconds=30),
    )

    @saga("pay")
    def pay(order: StepRef[Order]) -> StepRef[Payment]:
        return charged(order)

    return pay


class Bank:
    """A bank by HTTP. It takes money once for each key, and is not always able to say so."""

    def __init__(self) -> None:
        self.taken: dict[str, Order] = {}
        self._asked: Counter[str] = Counter()

    async def charge(self, request: Request) -> Response:
        """POST /charges: take the money, unless it is taken already; in trouble the first time it is asked."""
        key = request.headers["Idempotency-Key"]
        order = msgspec.json.decode(await request.body(), type=Order)
        self._asked[key] += 1
        trouble = order.trouble if self._asked[key] == 1 else ""
        match trouble:
            case "declined":
                return JSONResponse({"reason": "reported as stolen"}, status_code=402)
            case "busy":
                return Response(status_code=429, headers={"Retry-After": "1"})
            case "request lost":
                return await _never()
            case _:
                self.taken[key] = order
        if trouble == "answer lost":
            return await _never()
        return JSONResponse({"payment_id": f"payment-of-{order.order_id}"}, status_code=502 if trouble else 200)

    async def find(self, request: Request) -> Response:
        """GET /charges: what became of a request. 404: it was not done, and will not be."""
        found = self.taken.get(request.headers["Idempotency-Key"])
        if found is None:
            return Response(status_code=404)
        return JSONResponse({"payment_id": f"payment-of-{found.order_id}"})

    @asynccontextmanager
    async def served(self) -> AsyncGenerator[str]:
        """The bank at an address of its own."""
        routes = [
            Route("/charges", self.charge, methods=["POST"]),
            Route("/charges", self.find, methods=["GET"]),
        ]
        server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="critical"))
        with socket.create_server(("127.0.0.1", 0)) as listening:
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
            server.should_exit = True
            await serving


async def _never() -> Response:
    """Longer than any caller waits for it."""
    await asyncio.sleep(3)
    return Response(status_code=504)


async def tell(payments: SagaHandle[Order, Payment], bank: Bank, order: Order) -> None:
    run = await payments.start(order)
    end = said(await run.outcome(timeout=20))
    cents = sum(taken.cents for taken in bank.taken.values() if taken.order_id == order.order_id)
    print(f"{order.order_id}: {end}; taken: {cents}")


def said(outcome: Outcome[Payment]) -> str:
    match outcome:
        case Completed(result=payment):
            return payment.payment_id
        case Compensated(failure=failure):
            return "not paid" if failure is None else f"not paid: {failure.error!r}"
        case Failed(snapshot=snapshot):
            return f"failed, left over: {snapshot.left_over}"


async def main() -> None:
    bank = Bank()
    async with (
        bank.served() as url,
        httpx.AsyncClient(base_url=url, timeout=httpx.Timeout(5, read=0.3)) as http,
        SagaOrchestrator(MemoryStore()) as orchestrator,
    ):
        payments = orchestrator.register(make_pay(http))
        await tell(payments, bank, Order("order-1", 900))
        await tell(payments, bank, Order("order-2", 900, trouble="answer lost"))
        await tell(payments, bank, Order("order-3", 900, trouble="request lost"))
        await tell(payments, bank, Order("order-4", 900, trouble="bad gateway"))
        await tell(payments, bank, Order("order-5", 900, trouble="busy"))
        await tell(payments, bank, Order("order-6", 900, trouble="declined"))


if __name__ == "__main__":
    asyncio.run(main())
