"""The console as a server of its own: a token opens it once, for this machine alone."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from saga_fn import MemoryStore, SagaError, SagaOrchestrator
from saga_fn.console import Operator, Permission, console, serve
from saga_fn.errors import PayloadError
from tests.console.cast import Cast
from tests.support.until import SOON


@asynccontextmanager
async def served(orchestrator: SagaOrchestrator, **options: Any) -> AsyncGenerator[str]:
    """The address that was announced."""
    announced: asyncio.Queue[str] = asyncio.Queue()
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(orchestrator, port=0, announce=announced.put_nowait, stop=stop, **options))
    try:
        async with asyncio.timeout(SOON):
            yield await announced.get()
    finally:
        stop.set()
        async with asyncio.timeout(SOON):
            await serving


async def enter(http: httpx.AsyncClient, token: str) -> httpx.Response:
    return await http.post("/enter", data={"token": token})


async def test_the_token_opens_it_once_for_one_browser(sagas: Cast) -> None:
    async with served(sagas.orchestrator, actor="ann@here") as address:
        url, _, token = address.partition("enter?token=")
        async with httpx.AsyncClient(base_url=url) as first, httpx.AsyncClient(base_url=url) as second:
            assert (await first.get("/")).status_code == 403
            shown = await first.get(f"/enter?token={token}")
            assert "ann@here" in shown.text
            assert (await second.get(f"/enter?token={token}")).status_code == 200, "a look uses nothing up"
            assert (await enter(first, token[:-1])).status_code == 403
            assert (await enter(first, token)).status_code == 303
            assert (await first.get("/")).status_code == 200
            assert (await enter(second, token)).status_code == 403
            assert (await second.get("/")).status_code == 403


async def test_its_cookie_goes_to_no_other_site_and_to_no_script(sagas: Cast) -> None:
    async with served(sagas.orchestrator) as address:
        url, _, token = address.partition("enter?token=")
        async with httpx.AsyncClient(base_url=url) as http:
            cookie = (await enter(http, token)).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


async def test_a_request_that_names_another_host_is_refused(sagas: Cast) -> None:
    async with served(sagas.orchestrator) as address:
        url, _, token = address.partition("enter?token=")
        async with httpx.AsyncClient(base_url=url) as http:
            await enter(http, token)
            for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", ""):
                assert (await http.get("/", headers={"Host": host})).status_code == 400, host
            for host in ("localhost", "localhost:1", "127.0.0.1", "[::1]:5"):
                assert (await http.get("/", headers={"Host": host})).status_code == 200, host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com", ""])
async def test_without_authorize_it_serves_this_machine_alone(host: str) -> None:
    with pytest.raises(SagaError, match="without authorize="):
        await serve(SagaOrchestrator(MemoryStore()), host=host, port=0)


async def test_with_authorize_there_is_no_token(sagas: Cast) -> None:
    def authorize(_: Request) -> Operator:
        return Operator("ann", may=Permission)

    async with served(sagas.orchestrator, authorize=authorize) as address, httpx.AsyncClient() as http:
        assert "token" not in address
        assert (await http.get(address)).status_code == 200


async def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SagaError, match="cannot listen at"):
        await serve(SagaOrchestrator(MemoryStore()), port=taken.getsockname()[1])


async def test_it_ends_though_a_page_listens(sagas: Cast) -> None:
    def authorize(_: Request) -> Operator:
        return Operator("ann", may=Permission)

    async with httpx.AsyncClient() as http:
        async with served(sagas.orchestrator, authorize=authorize) as address:
            events = http.stream("GET", address, headers={"Accept": "text/event-stream"})
            answer = await events.__aenter__()
            assert answer.status_code == 200
        await events.__aexit__(None, None, None)


@pytest.mark.parametrize("port", [-1, 65_536, "x", None, 1.5])
async def test_a_port_that_is_none_is_refused(port: Any) -> None:
    with pytest.raises(SagaError):
        await serve(SagaOrchestrator(MemoryStore()), port=port)


@pytest.mark.parametrize(
    "wrong",
    [
        {"authorize": None},
        {"authorize": "x"},
        {"authorize": print, "secret": "x"},
        {"authorize": print, "secret": b"short"},
        {"authorize": print, "origins": "https://shop"},
        {"authorize": print, "origins": ["shop"]},
        {"authorize": print, "origins": 7},
    ],
    ids=str,
)
def test_the_console_refuses_wrong_arguments(wrong: dict[str, Any]) -> None:
    with pytest.raises(SagaError):
        console(SagaOrchestrator(MemoryStore()), **wrong)
    with pytest.raises(SagaError):
        console("orchestrator", authorize=print)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name, may, error",
    [
        ("", (), PayloadError),
        ("two\nlines", (), PayloadError),
        (7, (), PayloadError),
        ("x" * 256, (), PayloadError),
        ("ann", "cancel", SagaError),
        ("ann", ["cancle"], SagaError),
        ("ann", [7], SagaError),
        ("ann", 7, SagaError),
    ],
)
def test_an_operator_that_is_none_is_refused(name: Any, may: Any, error: type[SagaError]) -> None:
    with pytest.raises(error):
        Operator(name, may=may)


def test_permissions_may_be_written_as_texts() -> None:
    ann = Operator("ann", may=["cancel", Permission.PAYLOADS])
    assert ann.has("cancel")
    assert ann.has(Permission.PAYLOADS)
    assert not ann.has("abort")
