"""The carrier: fetches the reserved pieces and sends them."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from saga_fn.demo.messages import Shipment, ShipRequest
from saga_fn.demo.services.desk import Desk, Posting, answer, read_body


def shipping_routes(desk: Desk) -> list[Route]:
    """The service's two end points."""

    async def ship(request: Request) -> Response:
        wanted = await read_body(request, ShipRequest)
        posting = Posting("ship", "shipped", wanted.order_id, refusal="address not serviceable")
        return answer(Shipment((await desk.serve(request, posting)).reference))

    async def find(request: Request) -> Response:
        return answer(Shipment((await desk.find(request)).reference))

    return [Route("/shipments", ship, methods=["POST"]), Route("/shipments", find, methods=["GET"])]
