"""Messages that are not published: a person sees them where their saga is seen, and decides on them as on everything else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import attrs
import pytest
from playwright.async_api import expect
from starlette.requests import Request

from saga_fn import MemoryStore, SagaAdmin, SagaOrchestrator, StepContext, StepRef, UnsentMessage, saga, step
from saga_fn.console import Operator, Permission
from saga_fn.outgoing import FailedForNow, OutgoingMessage, OutgoingOptions, Published, PublishOutcome, RefusedForGood
from tests.console.cast import HOSTILE, MARK, SECRET, Browser, hidden_fields
from tests.console.screen import DESK, PHONE, chromium, on_air, screen
from tests.support.broker import Broker
from tests.support.until import SOON


@step
async def tell(order: str, ctx: StepContext) -> str:
    ctx.publish(f"orders.{MARK}", {"secret": SECRET, HOSTILE: HOSTILE}, key=f"{SECRET}{MARK}")
    ctx.publish("orders.later", b"\xff\xfe")
    return order


@saga("telling")
def telling(order: StepRef[str]) -> StepRef[str]:
    return tell(order)


@attrs.frozen
class Stuck:
    """A saga with a dead message, and one that waits behind it; and the broker that refuses the first."""

    orchestrator: SagaOrchestrator
    broker: Broker
    saga: UUID
    dead: UUID
    behind: UUID

    def path(self, verb: str, message: UUID | None = None) -> str:
        return f"/sagas/{self.saga}/messages/{message or self.dead}/{verb}"

    async def left(self) -> list[UUID]:
        return [each.id for each in await SagaAdmin(self.orchestrator).outgoing(self.saga)]


def refuse(message: OutgoingMessage) -> PublishOutcome:
    return RefusedForGood(f"{SECRET} {HOSTILE}") if message.topic != "orders.later" else Published()


@asynccontextmanager
async def stuck() -> AsyncGenerator[Stuck]:
    broker = Broker()
    broker.answer = refuse
    options = OutgoingOptions(first_delay=timedelta(milliseconds=10))
    async with SagaOrchestrator(MemoryStore(), publishers={"*": broker}, outgoing=options) as orchestrator:
        run = await orchestrator.register(telling).start("7")
        found: list[UnsentMessage] = []
        async with asyncio.timeout(SOON):
            while not any(each.dead_at for each in found):
                await asyncio.sleep(0.005)
                found = list(await SagaAdmin(orchestrator).outgoing(run.id))
        yield Stuck(orchestrator, broker, run.id, found[0].id, found[1].id)


async def test_a_dead_message_stands_on_the_first_page_and_all_that_wait_on_their_sagas() -> None:
    async with stuck() as sagas:
        browser = Browser(sagas.orchestrator)
        async with browser.http:
            first, page = (await browser.get("/")).text, (await browser.get(f"/sagas/{sagas.saga}")).text
            asked = (await browser.get(sagas.path("discard"))).text
    assert "Messages that are dead" in first
    assert "Nothing needs a person" not in first
    assert "Messages that are not published" in page
    assert (str(sagas.behind) in first, str(sagas.behind) in page) == (False, True)
    for shown in (first, page, asked):
        assert SECRET in shown
        assert MARK not in shown


@pytest.mark.parametrize("verb", ["redrive", "discard"])
async def test_a_message_is_decided_on_as_it_was_shown_with_who_and_why(verb: str) -> None:
    async with stuck() as sagas:
        browser = Browser(sagas.orchestrator)
        async with browser.http:
            path = sagas.path(verb)
            assert f"messages/{sagas.dead}/{verb}" in (await browser.get(f"/sagas/{sagas.saga}")).text
            assert (await browser.send(path, path, {"reason": " "})).status_code == 400
            assert (await browser.send(path, path, {"reason": "x", "previewed": "forged"})).status_code == 409
            assert sagas.dead in await sagas.left()
            sagas.broker.answer = lambda _: Published()
            done = await browser.send(path, path, {"reason": "OPS-12"})
            assert (done.status_code, done.headers["location"]) == (303, f"../../../../sagas/{sagas.saga}")
            await sagas.broker.until(2 if verb == "redrive" else 1)
            again = await browser.get(path)
            assert (again.status_code, 'class="do"' in again.text) == (200, False), "nothing is left to decide"
        (act, *_) = await SagaAdmin(sagas.orchestrator).list_operations()
    assert (act.verb, act.saga_id, act.actor, act.reason, act.done) == (
        verb,
        sagas.saga,
        "ann <i>ann</i>",
        "OPS-12",
        1,
    )


async def test_a_form_for_a_message_that_has_moved_on_meanwhile_does_nothing() -> None:
    async with stuck() as sagas:
        browser, admin = Browser(sagas.orchestrator), SagaAdmin(sagas.orchestrator)
        async with browser.http:
            path = sagas.path("discard")
            sagas.broker.answer = lambda _: FailedForNow("not yet")
            page = (await browser.get(path)).text
            await admin.redrive(sagas.saga)
            assert "discard this message" in page
            sent = await browser.http.post(
                path, data={**hidden_fields(page, path), "reason": "OPS-12"}, headers={"Origin": "http://shop"}
            )
            assert sent.status_code == 409
            assert sagas.dead in await sagas.left()
            assert (await browser.get(sagas.path("redrive", uuid4()))).status_code == 200
            assert (await browser.get(sagas.path("repeat"))).status_code == 404
            assert (await browser.get(sagas.path("redrive").replace(str(sagas.dead), "7"))).status_code == 400


async def test_a_message_needs_its_permission_and_its_payload_another() -> None:
    def reader(_: Request) -> Operator:
        return Operator("rob", may=[each for each in Permission if each.value not in ("messages", "payloads")])

    async with stuck() as sagas:
        browser = Browser(sagas.orchestrator, reader)
        async with browser.http:
            for path in ("/", f"/sagas/{sagas.saga}"):
                page = (await browser.get(path)).text
                assert "orders." in page
                assert "/messages/" not in page
                assert SECRET not in page
            assert (await browser.get(sagas.path("discard"))).status_code == 403
            page = (await browser.get(f"/sagas/{sagas.saga}/verbs/acknowledge")).text
            token = page.partition('name="token" value="')[2].partition('"')[0]
            sent = await browser.http.post(
                sagas.path("discard"), data={"reason": "x", "token": token}, headers={"Origin": "http://shop"}
            )
            assert sent.status_code == 403
        assert sagas.dead in await sagas.left()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("width", [DESK, PHONE])
async def test_a_dead_message_is_discarded_in_a_browser(width: int) -> None:
    async with (
        stuck() as sagas,
        chromium() as browser,
        on_air(sagas.orchestrator) as address,
        screen(browser, address, width=width) as shown,
    ):
        page = shown.page
        await shown.open("")
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        await page.locator(f"a[href*='{sagas.dead}/discard']").click()
        await expect(page.get_by_text("The message is never published")).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        await page.locator("[name=reason]").fill("OPS-12: pressed")
        await page.locator("button.do").click()
        await page.wait_for_url(f"**/sagas/{sagas.saga}")
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        await sagas.broker.until(1)
        await expect(page.locator("main")).not_to_contain_text("Messages that are not published")
        assert await page.evaluate("window.pressed") is None
        assert shown.complaints == []
        assert shown.asked <= {urlsplit(shown.address).netloc}
        (act, *_) = await SagaAdmin(sagas.orchestrator).list_operations()
    assert (act.verb, act.reason, act.done) == ("discard", "OPS-12: pressed", 1)
