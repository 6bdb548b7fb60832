"""Draws the pictures of the console that docs/console.md shows: `python -m tests.console.pictures`."""

from __future__ import annotations

import asyncio
import base64
import logging
from datetime import timedelta
from pathlib import Path
from typing import Final
from unittest.mock import patch

import msgspec
from playwright.async_api import Browser
from starlette.requests import Request

from saga_fn import FixedRetry, MemoryStore, SagaAdmin, SagaOrchestrator, StepRef, saga, step
from saga_fn.console import Operator, Permission
from tests.console.screen import chromium, on_air, screen

PLACE: Final = Path(__file__).parents[2] / "docs" / "console"
WIDTH: Final = 1100
_AS_WEBP: Final = """async (png) => {
    const image = new Image();
    image.src = "data:image/png;base64," + png;
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.width, image.height];
    canvas.getContext("2d").drawImage(image, 0, 0);
    return canvas.toDataURL("image/webp", 0.7);
}"""


class Order(msgspec.Struct, frozen=True):
    """An order."""

    order_id: str
    cents: int = 900
    address: str = ""


async def reserve(order: Order) -> str:
    return f"shelf of {order.order_id}"


async def release(order: Order, shelf: str) -> None: ...


async def charge(order: Order) -> str:
    if order.cents > 5000:
        raise ConnectionError("the bank is closed")
    return f"payment of {order.order_id}"


async def refund(order: Order, payment: str) -> None: ...


async def print_label(order: Order) -> str:
    if not order.address:
        raise KeyError("address")
    return "label"


async def hand_over(order: Order) -> str:
    return "parcel"


_reserve = step(reserve, compensate=release)
_charge = step(charge, compensate=refund, retry_policy=FixedRetry(max_attempts=5, delay=timedelta(minutes=20)))
_accept = step(hand_over, pivot=True)
_label = step(print_label)


@saga("create_order", order="graph")
def create_order(order: StepRef[Order]) -> StepRef[str]:
    accepted = _accept(order, step_id="accept", after=(_reserve(order), _charge(order)))
    label = _label(order, after=accepted)
    return step(hand_over)(order, after=label)


def ann(_: Request) -> Operator:
    """May do everything."""
    return Operator("ann@shop", may=Permission)


async def smaller(browser: Browser, png: bytes) -> bytes:
    """The picture as WebP, which the browser itself can write."""
    page = await browser.new_page()
    try:
        written: str = await page.evaluate(_AS_WEBP, base64.b64encode(png).decode())
    finally:
        await page.close()
    return base64.b64decode(written.partition(",")[2])


async def draw() -> None:
    """Each picture."""
    logging.disable(logging.CRITICAL)
    with patch("saga_fn.store.memory.this_process", lambda: "shop-7f4c:41"):  # not the machine that draws them
        await _draw()


async def _draw() -> None:
    async with SagaOrchestrator(MemoryStore(), concurrency=0) as orchestrator:
        orders = orchestrator.register(create_order)
        await orders.start_many([Order(f"order-{n}", address="Main Street 1") for n in range(100, 134)])
        parked = [await orders.start(Order(f"order-{n}"), aggregation_id=f"order-{n}") for n in (135, 136, 137)]
        await orders.start(Order("order-138", 9900, "Main Street 2"), aggregation_id="order-138")
        await orchestrator.run_due(1000)
        admin = SagaAdmin(orchestrator, actor="bob@shop")
        await admin.retry_step(parked[0].id, "print_label", reason="OPS-11: is the address there now?")
        await admin.abort(parked[2].id, reason="OPS-11: the customer has called")
        await orchestrator.run_due()
        async with (
            chromium() as browser,
            on_air(orchestrator, ann) as address,
            screen(browser, address, width=WIDTH) as shown,
        ):
            for name, path, height in (
                ("first", "", 960),
                ("saga", f"sagas/{parked[0].id}", 1280),
                ("verb", f"sagas/{parked[0].id}/verbs/retry_step?step=print_label", 780),
            ):
                await shown.page.set_viewport_size({"width": WIDTH, "height": height})
                await shown.open(path)
                await shown.until_live()
                picture = await shown.page.screenshot()
                (PLACE / f"{name}.webp").write_bytes(await smaller(browser, picture))


if __name__ == "__main__":
    PLACE.mkdir(exist_ok=True)
    asyncio.run(draw())
