"""A real browser: Chromium without a window, which tells everything that it complains of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final, Literal
from urllib.parse import urlsplit

import attrs
from playwright.async_api import Browser, Page, async_playwright, expect

from saga_fn import SagaOrchestrator
from saga_fn.console import Authorize, serve
from tests.console.cast import everybody
from tests.support.tools import CHROMIUM
from tests.support.until import SOON

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE: Final = 60_000
"""Milliseconds for what takes a moment: a browser beside other tests is slow."""
expect.set_options(timeout=PATIENCE)
Theme = Literal["light", "dark"]
PHONE = 390
DESK = 1280


@attrs.define
class Screen:
    """A page of the browser, and what it has complained of."""

    page: Page
    address: str
    complaints: list[str] = attrs.field(factory=list[str])
    asked: set[str] = attrs.field(factory=set[str])
    """Every host that it has sent a request to."""

    async def open(self, path: str) -> None:
        """Show a page of the console, whole."""
        await self.page.goto(self.address + path.lstrip("/"))

    async def until_live(self) -> None:
        await self.page.wait_for_function("document.getElementById('state').textContent === 'live'")


@asynccontextmanager
async def chromium() -> AsyncGenerator[Browser]:
    """The browser; a test that lacks it is left out."""
    program = CHROMIUM.require()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def on_air(orchestrator: SagaOrchestrator, authorize: Authorize = everybody) -> AsyncGenerator[str]:
    """The address of a console that a browser can open."""
    announced: asyncio.Queue[str] = asyncio.Queue()
    stop = asyncio.Event()
    serving = asyncio.create_task(
        serve(orchestrator, authorize=authorize, port=0, announce=announced.put_nowait, stop=stop)
    )
    try:
        async with asyncio.timeout(SOON):
            address = await announced.get()
        yield address
    finally:
        stop.set()
        await serving


@asynccontextmanager
async def screen(
    browser: Browser, address: str, *, theme: Theme = "light", width: int = DESK
) -> AsyncGenerator[Screen]:
    """A window of that width and theme."""
    context = await browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    context.set_default_timeout(PATIENCE)
    try:
        shown = Screen(await context.new_page(), address)
        shown.page.on("console", lambda message: shown.complaints.append(f"{message.type}: {message.text}"))
        shown.page.on("pageerror", lambda error: shown.complaints.append(f"error: {error}"))
        shown.page.on("request", lambda request: shown.asked.add(urlsplit(request.url).netloc))
        yield shown
    finally:
        await context.close()
