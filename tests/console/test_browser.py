"""The console in a real browser: each page, each verb, both themes, a phone's width, by keyboard alone, and no complaint."""

from __future__ import annotations

import asyncio
import re
from urllib.parse import urlsplit

import pytest
from playwright.async_api import expect

from saga_fn import MemoryStore, SagaAdmin, Verb
from tests.console.cast import STEP, Cast, cast
from tests.console.screen import DESK, PHONE, Screen, Theme, chromium, on_air, screen
from tests.console.test_acts import RUN
from tests.console.test_pages import pages_of

pytestmark = pytest.mark.timeout(300)  # a browser on a busy machine


async def nothing_was_pressed(shown: Screen) -> None:
    """No payload has run, nothing was asked of another host, and the browser has complained of nothing."""
    assert await shown.page.evaluate("window.pressed") is None
    assert shown.complaints == []
    assert shown.asked <= {urlsplit(shown.address).netloc}


@pytest.mark.parametrize("theme, width", [("light", DESK), ("dark", PHONE), ("light", PHONE), ("dark", DESK)])
async def test_each_page_fits_and_payloads_stay_text(sagas: Cast, theme: Theme, width: int) -> None:
    async with (
        chromium() as browser,
        on_air(sagas.orchestrator) as address,
        screen(browser, address, theme=theme, width=width) as shown,
    ):
        for path in pages_of(sagas):
            await shown.open(path)
            await shown.page.evaluate("document.querySelectorAll('details').forEach((each) => each.open = true)")
            await nothing_was_pressed(shown)
            assert await shown.page.evaluate("document.documentElement.scrollWidth") <= width, path
            assert await shown.page.locator("h1").count() == 1
            paper = await shown.page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (paper == "rgb(255, 255, 255)") is (theme == "light")
        for link in await shown.page.locator("a[href]").evaluate_all("all => all.map((each) => each.href)"):
            assert link.startswith(address), link


@pytest.mark.parametrize("verbs", [list(Verb)[:5], list(Verb)[5:]], ids=["some", "others"])
async def test_each_verb_is_pressed(verbs: list[Verb]) -> None:
    async with chromium() as browser:
        for verb in verbs:
            async with cast(MemoryStore()) as sagas, on_air(sagas.orchestrator) as address:
                choose, fields = RUN[verb]
                saga = choose(sagas)
                async with screen(browser, address) as shown:
                    page = shown.page
                    await shown.open(f"sagas/{saga}")
                    wanted = f"a[href*='verbs/{verb.value}']"
                    step = fields.get("verb-step") or fields.get("verb-to")
                    rows = page.locator("tr", has=page.get_by_text(step, exact=True)) if step else page.locator("main")
                    await rows.locator(wanted).first.click()
                    await expect(
                        page.get_by_text("What would come of it").or_(
                            page.get_by_text(re.compile("refused now|Fill in the form"))
                        )
                    ).to_be_visible()
                    for name, value in fields.items():
                        box = page.locator(f"[name='{name}']")
                        if await box.first.evaluate("each => each.tagName") == "SELECT":
                            await box.select_option(value)
                        elif await box.first.get_attribute("type") == "checkbox":
                            await page.locator(f"[name='{name}'][value='{value}']").check()
                        else:
                            await box.fill(value)
                    if fields:
                        await page.locator("button[value=look]").click()
                        await expect(page.get_by_text("What would come of it")).to_be_visible()
                    await page.locator("[name=reason]").fill("OPS-12: pressed")
                    await page.locator("button.do").click()
                    await page.wait_for_url(f"**/sagas/{saga}")
                    await nothing_was_pressed(shown)
                (act, *_) = await SagaAdmin(sagas.orchestrator).list_operations()
                assert (act.verb, act.saga_id, act.reason, act.done) == (verb.value, saga, "OPS-12: pressed", 1)


async def test_a_verb_is_refused_if_the_saga_moves_on_while_its_form_is_open(sagas: Cast) -> None:
    async with chromium() as browser, on_air(sagas.orchestrator) as address, screen(browser, address) as shown:
        await shown.open(f"sagas/{sagas.retrying}/verbs/cancel")
        await shown.until_live()
        await SagaAdmin(sagas.orchestrator).retry_step(sagas.retrying, STEP)
        revision = (await SagaAdmin(sagas.orchestrator).get_saga(sagas.retrying)).revision
        await expect(shown.page.locator("#live")).to_contain_text(f"revision{revision}")
        await shown.page.locator("[name=reason]").fill("too late")
        await shown.page.locator("button.do").click()
        await expect(shown.page.locator("[role=alert]")).to_contain_text("moved on")
        assert [each for each in shown.complaints if "409" not in each] == []


async def test_an_open_page_is_drawn_again_and_rests_while_it_is_hidden(sagas: Cast) -> None:
    async with chromium() as browser, on_air(sagas.orchestrator) as address, screen(browser, address) as shown:
        page = shown.page
        await shown.open(f"sagas/{sagas.parked}")
        await shown.until_live()
        await page.locator("#initial > summary").click()
        await SagaAdmin(sagas.orchestrator, actor="bob").skip_step(sagas.parked, STEP, {"a": 1}, reason="seen live")
        await expect(page.locator("#journal")).to_contain_text("seen live")
        assert await page.locator("#initial").get_attribute("open") is not None, "what was opened stays open"
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await page.evaluate(
            "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
        await sagas.orchestrator.run_due()
        await asyncio.sleep(3)  # longer than a look takes
        assert asked == []
        await page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
        await expect(page.locator("#live .status").first).to_have_text("COMPLETED")
        await nothing_was_pressed(shown)


async def test_it_is_used_by_keyboard_alone(sagas: Cast) -> None:
    async with chromium() as browser, on_air(sagas.orchestrator) as address, screen(browser, address) as shown:
        page, keys = shown.page, shown.page.keyboard
        await shown.open("")
        await keys.press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == "To the content"
        for key, path in (("s", "sagas"), ("d", "definitions"), ("a", "acts"), ("k", "kept"), ("h", "")):
            await keys.press("g")
            await keys.press(key)
            await page.wait_for_url(address + path)
        await keys.press("/")
        await keys.type(str(sagas.retrying))
        await keys.press("Enter")
        await page.wait_for_url(f"**/sagas/{sagas.retrying}")
        while await page.evaluate("document.activeElement.textContent") != "cancel …":
            await keys.press("Tab")
        await keys.press("Enter")
        await page.wait_for_url("**/verbs/cancel")
        while await page.evaluate("document.activeElement.name") != "reason":
            await keys.press("Tab")
        await keys.type("by keyboard")
        await keys.press("Enter")
        await page.wait_for_url(f"**/sagas/{sagas.retrying}")
        await nothing_was_pressed(shown)
    (act, *_) = await SagaAdmin(sagas.orchestrator).list_operations()
    assert (act.verb, act.reason) == ("cancel", "by keyboard")


async def test_many_sagas_are_repaired_and_paused(sagas: Cast) -> None:
    async with chromium() as browser, on_air(sagas.orchestrator) as address, screen(browser, address) as shown:
        page = shown.page
        await shown.open("sagas?waits=retry")
        await page.get_by_text("One verb for all of them").click()
        await page.locator("select[name=verb]").select_option("cancel")
        await page.get_by_role("button", name="Choose").click()
        await page.locator("[name=reason]").fill("OPS-12: many")
        await page.get_by_role("button", name="Begin").click()
        await page.wait_for_url("**/acts/*")
        await page.get_by_role("button", name="Stop it").click()
        await page.get_by_role("button", name="Let it go on").click()
        await expect(page.locator("#live")).to_contain_text("done1")
        await shown.open("acts")
        await page.get_by_text("Pause the sagas of a name").click()
        await page.locator("[name=saga_name]").fill("past")
        await page.locator("[name=reason]").fill("the bank is down")
        await page.get_by_role("button", name="Pause this name").click()
        await expect(page.locator("#live")).to_contain_text("the bank is down")
        await page.get_by_text("End the pause of past").click()
        await page.locator("details[open] [name=reason]").fill("it is back")
        await page.get_by_role("button", name="End this pause").click()
        await expect(page.locator("#live")).to_contain_text("Nothing is paused.")
        await nothing_was_pressed(shown)
