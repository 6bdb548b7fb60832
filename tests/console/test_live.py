"""A page that is open hears of changes, for as long as its browser is there, and no longer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest

from saga_fn import SagaAdmin, SagaError
from saga_fn.console import console
from saga_fn.console.live import Listeners, LiveAnswer
from tests.console.cast import STEP, Browser, Cast, everybody
from tests.support.until import SOON, until

WHO = "ann"
Message = dict[str, Any]  # Any: as ASGI has it


@attrs.define
class Line:
    """The browser's end of an answer that goes on."""

    told: list[Message] = attrs.field(factory=list[Message])
    gone: asyncio.Event = attrs.field(factory=asyncio.Event)
    broken: bool = False

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if self.broken:
            raise OSError("the browser has gone")
        self.told.append(dict(message))

    @property
    def text(self) -> str:
        return "".join(each.get("body", b"").decode() for each in self.told)

    @property
    def digests(self) -> list[str]:
        return [line.removeprefix("data: ") for line in self.text.splitlines() if line.startswith("data: ")]


@asynccontextmanager
async def listening(answer: LiveAnswer) -> AsyncGenerator[Line]:
    line = Line()
    task = asyncio.create_task(answer({}, line.receive, line.send))
    try:
        yield line
    finally:
        line.gone.set()
        async with asyncio.timeout(SOON):
            await task


async def test_a_change_is_told_once() -> None:
    seen = ["a"]

    async def look() -> str:
        return seen[-1]

    listeners = Listeners()
    async with listening(LiveAnswer(look, listeners, WHO, interval=0.005)) as line:
        await until(lambda: line.text.count(": \n\n") > 3)
        assert line.digests == ["a"]
        seen.append("b")
        await until(lambda: len(line.digests) > 1)
        assert listeners.count == 1
    assert line.digests == ["a", "b"]
    assert listeners.count == 0


async def test_no_operator_has_all_pages_that_may_listen_and_each_that_goes_makes_room() -> None:
    async def look() -> str:
        return "a"

    listeners = Listeners(most=4)
    async with (
        listening(LiveAnswer(look, listeners, WHO, interval=0.005)),
        listening(LiveAnswer(look, listeners, WHO, interval=0.005)) as second,
    ):
        await until(lambda: listeners.count == 2)
        third = Line()
        await LiveAnswer(look, listeners, WHO)({}, third.receive, third.send)
        assert third.told[0]["status"] == 503
        async with (
            listening(LiveAnswer(look, listeners, "bob", interval=0.005)),
            listening(LiveAnswer(look, listeners, "bob", interval=0.005)),
        ):
            await until(lambda: listeners.count == 4)
            another = Line()
            await LiveAnswer(look, listeners, "eve")({}, another.receive, another.send)
            assert another.told[0]["status"] == 503, "all places are taken"
        await until(lambda: listeners.count == 2)
        second.gone.set()
        await until(lambda: listeners.count == 1)
    assert listeners.count == 0


async def test_it_ends_when_the_browser_is_found_to_have_gone() -> None:
    async def look() -> str:
        return "a"

    listeners = Listeners()
    line = Line()
    task = asyncio.create_task(LiveAnswer(look, listeners, WHO, interval=0.005)({}, line.receive, line.send))
    await until(lambda: bool(line.digests))
    line.broken = True
    async with asyncio.timeout(SOON):
        await task
    assert listeners.count == 0


async def test_it_ends_by_itself_so_that_who_may_see_the_page_is_judged_anew() -> None:
    async def look() -> str:
        return "a"

    line = Line()
    async with asyncio.timeout(SOON):
        await LiveAnswer(look, Listeners(), WHO, interval=0.005, life=0.05)({}, line.receive, line.send)
    assert line.told[-1] == {"type": "http.response.body", "body": b""}


async def test_it_ends_when_the_page_cannot_be_read() -> None:
    async def look() -> str:
        raise SagaError("gone")

    line = Line()
    async with asyncio.timeout(SOON):
        await LiveAnswer(look, Listeners(), WHO, interval=0.005)({}, line.receive, line.send)
    assert line.digests == []


@pytest.mark.parametrize("page", ["/", "/sagas", "/definitions", "/acts", "saga"])
async def test_a_page_and_its_events_have_one_digest(sagas: Cast, browser: Browser, page: str) -> None:
    path = f"/sagas/{sagas.retrying}" if page == "saga" else page
    shown = (await browser.get(path)).text
    line = Line()
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"accept", b"text/event-stream"), (b"host", b"shop")],
        "scheme": "http",
    }
    app = console(sagas.orchestrator, authorize=everybody)
    task = asyncio.ensure_future(app(scope, line.receive, line.send))
    await until(lambda: bool(line.digests))
    assert f'data-digest="{line.digests[0]}"' in shown
    if page == "saga":
        await SagaAdmin(sagas.orchestrator).retry_step(sagas.retrying, STEP)
        await until(lambda: len(line.digests) > 1)
    line.gone.set()
    async with asyncio.timeout(SOON):
        await task
    assert (b"content-type", b"text/event-stream; charset=utf-8") in line.told[0]["headers"]
    assert (b"cache-control", b"no-store") in line.told[0]["headers"]
