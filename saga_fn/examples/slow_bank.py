"""The bank of `saga_fn.examples.shop`: `uvicorn saga_fn.examples.slow_bank:app --port 8001`. It takes money, and answers too late."""

import saga_fn.examples.extra  # noqa: F401  # pyright: ignore[reportUnusedImport]  # isort: skip

import asyncio

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

taken: dict[str, int] = {}


async def charge(request: Request) -> Response:
    """POST /charges: take the money, unless it is taken already, and say so a minute later."""
    taken.setdefault(request.headers["Idempotency-Key"], await request.json())
    await asyncio.sleep(60)
    return PlainTextResponse("receipt-1")


async def find(request: Request) -> Response:
    """GET /charges: what became of a request. 404: it was not done, and will not be."""
    is_taken = request.headers["Idempotency-Key"] in taken
    return PlainTextResponse("receipt-1" if is_taken else "no such charge", 200 if is_taken else 404)


async def total(request: Request) -> Response:
    """GET /total: how much was taken, and how often."""
    return PlainTextResponse(f"{sum(taken.values())} cents taken, in {len(taken)} charge(s)")


app: Starlette = Starlette(
    routes=[
        Route("/charges", charge, methods=["POST"]),
        Route("/charges", find, methods=["GET"]),
        Route("/total", total),
    ]
)
