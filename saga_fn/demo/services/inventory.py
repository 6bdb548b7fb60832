"""The inventory: puts pieces aside for an order and puts them back."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from saga_fn.demo.messages import ReleaseRequest, Reservation, ReserveRequest
from saga_fn.demo.services.desk import Desk, Posting, answer, read_body


def inventory_routes(desk: Desk) -> list[Route]:
    """The service's two end points."""

    async def reserve(request: Request) -> Response:
        wanted = await read_body(request, ReserveRequest)
        entry = await desk.serve(request, Posting("reserve", "reserved", wanted.order_id, refusal="out of stock"))
        return answer(Reservation(entry.reference))

    async def release(request: Request) -> Response:
        wanted = await read_body(request, ReleaseRequest)
        posting = Posting("release", "released", wanted.order_id, reference=wanted.reservation_id)
        return answer(Reservation((await desk.serve(request, posting)).reference))

    return [Route("/reservations", reserve, methods=["POST"]), Route("/releases", release, methods=["POST"])]
