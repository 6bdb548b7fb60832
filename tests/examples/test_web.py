"""The web service of the examples, over real HTTP in a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest

SOON = 30.0
ORDER = {"order_id": "order-123", "amount_cents": 4200}


@pytest.fixture
async def http(empty_dsn: str) -> AsyncIterator[httpx.AsyncClient]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "saga_fn.examples.web:app", "--port", str(port)]
    service = subprocess.Popen(command, env={**os.environ, "SAGA_FN_DSN": empty_dsn})
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=SOON) as client:
        async with asyncio.timeout(SOON):
            while True:
                try:
                    await client.get("/health")
                    break
                except httpx.ConnectError:
                    assert service.poll() is None, "it could not start"
                    await asyncio.sleep(0.05)
        yield client
    service.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(service.wait, SOON) in (0, -signal.SIGTERM), "it stops when it is told to"


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


async def test_it_says_that_it_is_well(http: httpx.AsyncClient) -> None:
    health = await http.get("/health")
    assert (health.status_code, health.json()) == (200, {"problems": [], "in_flight": 0})
