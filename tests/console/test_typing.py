"""The types of the console, as mypy reads them in strict mode: an ignore that is not needed fails the check of the code."""

from __future__ import annotations

from typing import assert_type

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount
from starlette.types import ASGIApp

from saga_fn import MemoryStore, SagaOrchestrator, Verb
from saga_fn.console import Authorize, Operator, Permission, console, serve


def at_once(request: Request) -> Operator | None:
    return Operator(request.url.path, may=Permission)


async def later(request: Request) -> Operator | None:
    return Operator(request.url.path, may=[Permission.PAYLOADS, Verb.CANCEL, "abort"])


def test_an_authorize_may_be_of_either_kind_and_the_console_is_mounted() -> None:
    orchestrator = SagaOrchestrator(MemoryStore())
    each: list[Authorize] = [at_once, later]
    for authorize in each:
        app = console(orchestrator, authorize=authorize, secret=b"s" * 16, origins=("https://shop.example",))
        assert_type(app, ASGIApp)
        Starlette(routes=[Mount("/console", app)])
    assert_type(Operator("ann").has("cancel"), bool)


async def wrong(orchestrator: SagaOrchestrator) -> None:
    """Is never called: each line is refused by the type checkers."""
    console(orchestrator)  # type: ignore[call-arg]
    console(orchestrator, authorize=None)  # type: ignore[arg-type]
    console(orchestrator, authorize=lambda _: "ann")  # type: ignore[arg-type, return-value]
    console(orchestrator, authorize=at_once, secret="text")  # type: ignore[arg-type]
    Operator(7)  # type: ignore[arg-type]
    Operator("ann", may=Permission.CANCEL, payloads=True)  # type: ignore[call-arg]
    await serve(orchestrator, port="8420")  # type: ignore[arg-type]
    await serve(orchestrator, announce=None)  # type: ignore[arg-type]
