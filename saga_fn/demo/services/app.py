"""The four services as one ASGI application, so that one process can serve them."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from saga_fn.demo.services.desk import Desk
from saga_fn.demo.services.inventory import inventory_routes
from saga_fn.demo.services.payment import payment_routes
from saga_fn.demo.services.risk import RiskOffice
from saga_fn.demo.services.shipping import shipping_routes


def shop_app(desk: Desk, office: RiskOffice) -> Starlette:
    """`/risk`, `/inventory`, `/payment`, `/shipping`, and `/ready`, which answers once the others can."""

    async def ready(_: Request) -> Response:
        return Response(status_code=204)

    return Starlette(
        routes=[
            Mount("/risk", routes=office.routes()),
            Mount("/inventory", routes=inventory_routes(desk)),
            Mount("/payment", routes=payment_routes(desk)),
            Mount("/shipping", routes=shipping_routes(desk)),
            Route("/ready", ready),
        ]
    )
