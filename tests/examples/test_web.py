"""The web service of the examples, over real HTTP in a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from starlette.requests import Request

from saga_fn import (
    ActiveSagaAlreadyExistsError,
    PayloadError,
    PayloadTooLargeError,
    SagaError,
    SagaNotFoundError,
    SagaParkedError,
    SagaResultTimeoutError,
    StartBusyError,
    StartConflictError,
    StoreError,
    StoreUnavailableError,
)
from saga_fn.examples.web import answer
from tests.support.ports import free_port
from tests.support.until import SOON
from tests.support.wire import wired

ORDER = {"order_id": "order-123", "amount_cents": 4200}


@pytest.fixture
async def http(empty_dsn: str) -> AsyncIterator[httpx.AsyncClient]:
    async with served(empty_dsn) as (client, _):
        yield client


@asynccontextmanager
async def served(dsn: str) -> AsyncGenerator[tuple[httpx.AsyncClient, Path]]:
    """The service on a database, and the file that it logs into."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "saga_fn.examples.web:app", "--port", str(port)]
    descriptor, log = tempfile.mkstemp(prefix="saga-fn-web-")
    service = subprocess.Popen(command, env={**os.environ, "SAGA_FN_DSN": dsn}, stderr=descriptor)
    os.close(descriptor)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=SOON) as client:
        async with asyncio.timeout(SOON):
            while True:
                try:
                    await client.get("/health")
                    break
                except httpx.ConnectError:
                    assert service.poll() is None, "it could not start"
                    await asyncio.sleep(0.05)
        yield client, Path(log)
    service.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(service.wait, SOON) in (0, -signal.SIGTERM), "it stops when it is told to"
    Path(log).unlink()


async def test_an_order_is_taken_once_and_its_end_is_shown(http: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "order-123"}
    first = await http.post("/orders", json=ORDER, headers=key)
    again = await http.post("/orders", json=ORDER, headers=key)
    other = await http.post("/orders", json={**ORDER, "amount_cents": 1}, headers=key)
    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 409)
    assert first.json() == again.json()
    shown = await http.get(first.headers["Location"])
    assert (shown.status_code, shown.json()) == (200, {"status": "paid", "payment_id": "payment-of-order-123"})


async def test_what_is_wrong_is_answered_by_what_to_do(http: httpx.AsyncClient) -> None:
    assert (await http.post("/orders", json={"order_id": 5})).status_code == 422
    assert (await http.post("/orders", content=b"{")).status_code == 422
    assert (await http.get(f"/orders/{uuid4()}")).status_code == 404
    assert (await http.get("/orders/5")).status_code == 404


async def test_a_database_that_is_away_costs_a_client_one_more_try_and_the_log_a_line(empty_dsn: str) -> None:
    async with wired(empty_dsn) as wire, served(wire.dsn) as (http, log):
        wire.down = True
        wire.cut()
        for refused in (await http.post("/orders", json=ORDER), await http.get(f"/orders/{uuid4()}")):
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
        wire.down = False
        assert (await http.post("/orders", json=ORDER)).status_code == 201
        logged = log.read_text()
    assert "Traceback" not in logged
    assert logged.count("is to be sent again") == 2


def raised(error: type[SagaError]) -> SagaError:
    """An error of that class, with whatever it is about."""
    made = error.__new__(error)
    made.fact, made.hint = "it went wrong", None
    vars(made)["saga_id"] = uuid4()
    return made


ANSWERS: dict[type[SagaError], int] = {
    ActiveSagaAlreadyExistsError: 409,
    PayloadError: 422,
    PayloadTooLargeError: 422,
    SagaNotFoundError: 404,
    SagaParkedError: 200,
    SagaResultTimeoutError: 202,
    StartBusyError: 503,
    StartConflictError: 409,
    StoreUnavailableError: 503,
}


@pytest.mark.parametrize("error", ANSWERS, ids=lambda error: error.__name__)
def test_whatever_a_client_can_cause_or_wait_for_is_answered(error: type[SagaError]) -> None:
    request = Request({"type": "http", "method": "GET", "path": "/orders", "headers": [], "server": ("shop", 80)})
    assert answer(request, raised(error)).status_code == ANSWERS[error]


def test_what_a_person_has_to_look_at_is_raised() -> None:
    with pytest.raises(StoreError):
        answer(Request({"type": "http"}), StoreError("the disk is full"))


async def test_it_says_that_it_is_well(http: httpx.AsyncClient) -> None:
    health = await http.get("/health")
    assert (health.status_code, health.json()) == (200, {"problems": [], "in_flight": 0})
