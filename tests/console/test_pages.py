"""Every page: it shows what it should, and what payloads smuggle in stays text."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from urllib.parse import quote

import httpx
import msgspec
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from saga_fn import (
    Cancel,
    FixedRetry,
    MemoryStore,
    SagaAdmin,
    SagaFilter,
    SagaOrchestrator,
    SagaStats,
    SagaStatus,
    StepRef,
    saga,
    step,
)
from saga_fn.console import Operator, Permission, console
from saga_fn.core.ids import Moment
from tests.console.cast import LARGE, MARK, NAME, SECRET, STEP, Browser, Cast, Data, cast, everybody, note, past


def pages_of(sagas: Cast) -> list[str]:
    each = [
        f"/sagas/{saga}"
        for saga in (sagas.retrying, sagas.doubtful, sagas.parked, sagas.waiting, sagas.failed, sagas.paused)
    ]
    return [
        "/",
        "/sagas",
        "/sagas?waits=parked&oldest_first=true",
        "/sagas?status=FAILED&acknowledged=false",
        "/definitions",
        f"/definition?name={quote(NAME)}&version=1",
        "/acts",
        "/kept",
        "/many?waits=parked&verb=cancel",
        "/many?waits=parked&verb=rewind",
        *each,
        f"/sagas/{sagas.retrying}/verbs/cancel",
        f"/sagas/{sagas.retrying}/verbs/retry_step?step={STEP}",
        f"/sagas/{sagas.parked}/verbs/rewind?step={STEP}",
    ]


async def test_each_page_is_shown_escaped_guarded_and_stored_nowhere(sagas: Cast, browser: Browser) -> None:
    for path in pages_of(sagas):
        page = await browser.get(path)
        assert page.status_code == 200, path
        assert page.text.startswith("<!doctype html>")
        assert MARK not in page.text, path
        assert "<img src=x" not in page.text, path
        assert "\x1b" not in page.text, path
        assert "\u202e" not in page.text, path
        assert " style=" not in page.text, path
        assert page.headers["cache-control"] == "no-store"
        assert "script-src 'self'" in page.headers["content-security-policy"]
        assert "unsafe" not in page.headers["content-security-policy"]
        assert page.headers["x-frame-options"] == "DENY"


async def test_each_page_is_shown_on_postgresql(any_dsn: str) -> None:
    async with cast(any_dsn) as sagas:
        browser = Browser(sagas.orchestrator)
        async with browser.http:
            for path in pages_of(sagas):
                page = await browser.get(path)
                assert page.status_code == 200, path
                assert MARK not in page.text, path


async def test_the_first_page_names_what_needs_a_person_with_its_code(sagas: Cast, browser: Browser) -> None:
    page = await browser.get("/")
    for code in ("parked", "failed", "past_pivot", "outcome_unknown"):
        assert f'<code class="code">{code}</code>' in page.text
    for found in (sagas.doubtful, sagas.parked, sagas.failed):
        assert str(found) in page.text
    assert str(sagas.retrying) not in page.text


async def test_the_page_of_a_saga_names_what_stays_done_because_it_has_no_undo(sagas: Cast, browser: Browser) -> None:
    stays = (await SagaAdmin(sagas.orchestrator).explain(sagas.failed)).stays_done
    assert stays
    page = (await browser.get(f"/sagas/{sagas.failed}")).text
    shown = page.partition("Stays done, without an undo")[2]
    assert all(step in shown for step in stays)
    leaving = (await browser.get(f"/sagas/{sagas.parked}/verbs/abort")).text
    assert "stays done, without an undo" in leaving


async def test_the_first_page_draws_ends_and_definitions_are_counted(sagas: Cast, browser: Browser) -> None:
    page = (await browser.get("/")).text
    assert "Ends a minute" in page
    assert "FAILED: 1" in page
    listed = (await browser.get("/definitions")).text
    assert "past v1" in listed
    one = (await browser.get("/definition?name=past&version=1")).text
    assert "promise" in one
    assert 'data-label="parked"><div><a ' in one
    assert (await browser.get("/definition?name=nothing&version=1")).status_code == 404
    assert str(sagas.parked) in (await browser.get("/sagas?saga_name=past&version=1&waits=parked")).text


async def test_the_first_page_names_overdue_and_unowned_versions() -> None:
    store = MemoryStore()
    here, there = SagaOrchestrator(store, concurrency=0), SagaOrchestrator(store, concurrency=0)
    async with here, there:
        await here.register(past, version=7).start({"a": "b"}, delay=timedelta(seconds=1))
        store.jump_to(Moment(store.now() + 600_000_000))
        browser = Browser(there)
        async with browser.http:
            page = (await browser.get("/")).text
    assert "<h2>Overdue</h2>" in page
    assert "past v7" in page
    assert '<code class="code">unowned</code>' in page


async def test_numbers_that_a_browser_would_round_are_written_in_full(sagas: Cast, browser: Browser) -> None:
    assert str(LARGE) in (await browser.get(f"/sagas/{sagas.retrying}")).text


async def test_the_list_goes_by_the_address_page_after_page(sagas: Cast, browser: Browser) -> None:
    await sagas.orchestrator.start_many(saga_name="waiting", initial_data=({} for _ in range(120)))
    seen: list[str] = []
    address = "/sagas?saga_name=waiting"
    while address:
        page = (await browser.get(address)).text
        seen += [part.split('"')[0] for part in page.split('class="id" href="./sagas/')[1:]]
        after = (
            page.partition('rel="next"')[0].rpartition('href=".')[2].partition('"')[0] if 'rel="next"' in page else ""
        )
        address = after.replace("&amp;", "&")
    assert len(seen) == len(set(seen)) == 122


@pytest.mark.parametrize(
    "query", ["x=1", "status=NONE", "version=x", "version=0", "waits=parked&status=FAILED", "after=zzz"]
)
async def test_a_filter_that_is_none_is_told_with_its_mend(browser: Browser, query: str) -> None:
    page = await browser.get(f"/sagas?{query}")
    assert page.status_code == 400
    assert "Mend:" in page.text


async def test_a_database_that_tells_no_findings_is_not_taken_for_one_that_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never(_: object) -> list[object]:
        await asyncio.Event().wait()
        return []

    async with SagaOrchestrator(MemoryStore(), concurrency=0) as orchestrator:
        browser = Browser(orchestrator)
        async with browser.http:
            assert "Nothing needs a person" in (await browser.get("/")).text
            monkeypatch.setattr("saga_fn.engine.health.HEALTH_LIMIT", 0.01)
            monkeypatch.setattr("saga_fn.engine.health.look_around", never)
            page = (await browser.get("/")).text
    assert "It is not known whether something needs a person." in page
    assert "nothing came for" in page
    assert "Nothing needs a person" not in page


async def test_minutes_that_were_not_counted_are_told(sagas: Cast, browser: Browser) -> None:
    stats = await SagaAdmin(sagas.orchestrator).stats()
    assert "not counted" not in (await browser.get("/")).text
    definitions = [
        msgspec.structs.replace(each, ends={status: (None, *minutes[1:]) for status, minutes in each.ends.items()})
        for each in stats.definitions
    ]

    async def seen(*_: object, **__: object) -> SagaStats:
        return msgspec.structs.replace(stats, definitions=tuple(definitions))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SagaAdmin, "stats", seen)
        assert "not counted: 1 columns" in (await browser.get("/")).text


async def test_mends_name_pages_and_no_calls(sagas: Cast, browser: Browser) -> None:
    for saga_id in (sagas.retrying, sagas.doubtful, sagas.parked, sagas.waiting, sagas.failed, sagas.paused):
        page = (await browser.get(f"/sagas/{saga_id}")).text
        assert "the saga&#39;s page" in page
        for verb in ("rewind", "skip_step", "retry_step", "cancel"):
            page += (await browser.get(f"/sagas/{saga_id}/verbs/{verb}?step=reserve")).text
        for call in ("SagaAdmin", "get_saga", "forget=[", "=True", "expect="):
            assert call not in page


async def test_abort_stands_last_and_apart_and_mends_stand_first(sagas: Cast, browser: Browser) -> None:
    page = (await browser.get(f"/sagas/{sagas.doubtful}")).text
    places = [page.index(f"/verbs/{verb}") for verb in ("settle_done", "settle_never_ran", "cancel", "abort")]
    assert places == sorted(places)
    verbs = page.partition("<h2>Verbs</h2>")[2].partition("</section>")[0]
    assert "/verbs/abort" in verbs.rpartition('<li class="apart">')[2]
    assert verbs.count("<li") - 1 == verbs[: verbs.index("/verbs/abort")].count("/verbs/")


async def test_a_step_that_fails_is_on_the_page_however_many_steps_there_are() -> None:
    async def one(number: int) -> int:
        return number

    async def fails(_: Data) -> None:
        raise ConnectionError("down")

    @saga("wide")
    def wide(data: StepRef[Data]) -> StepRef[None]:
        step(one).each(concurrency=20)(data, using=lambda _: list(range(150)))
        return step(fails, retry_policy=FixedRetry(max_attempts=5, delay=timedelta(hours=1)))(data)

    async with SagaOrchestrator(MemoryStore(), concurrency=0) as orchestrator:
        started = await orchestrator.register(wide).start({})
        await orchestrator.run_due()
        browser = Browser(orchestrator)
        async with browser.http:
            page = (await browser.get(f"/sagas/{started.id}")).text
    steps = page.partition("<h2>Steps</h2>")[2].partition("</section>")[0]
    assert "RETRYING" in steps
    assert "/verbs/retry_step?step=fails" in steps
    assert "All 152 steps" in steps


async def test_the_verbs_that_mend_a_parked_step_stand_beside_the_reason(sagas: Cast, browser: Browser) -> None:
    page = (await browser.get(f"/sagas/{sagas.parked}")).text
    reason = page.partition("<h2>Why it stands where it stands</h2>")[2].partition("</section>")[0]
    assert "Mend:" in reason
    for verb in ("retry_step", "skip_step"):
        assert f"/verbs/{verb}?step=" in reason


async def test_an_id_or_a_business_key_leads_to_its_saga(sagas: Cast, browser: Browser) -> None:
    found = await browser.get(f"/find?q={sagas.parked}")
    assert (found.status_code, found.headers["location"]) == (303, f"./sagas/{sagas.parked}")
    like_an_id = "6f9619ff-8b86-d011-b42d-00c04fc964ff"
    nowhere = await browser.get(f"/find?q={like_an_id}")
    assert nowhere.headers["location"] == f"./sagas/{like_an_id}", "its page says that there is none"
    await sagas.orchestrator.start(saga_name="waiting", initial_data={}, aggregation_id=like_an_id)
    found = await browser.get(f"/find?q={like_an_id}")
    assert found.headers["location"] == f"./sagas?aggregation_id={like_an_id}"
    found = await browser.get("/find?q=order-7")
    assert found.headers["location"] == "./sagas?aggregation_id=order-7"


@pytest.mark.parametrize(
    "path", ["/nowhere", "/sagas/01a225a8-f4ff-8e62-81e9-70c12026bec3", "/acts/01a225a8-f4ff-8e62-81e9-70c12026bec3"]
)
async def test_what_is_not_there_is_not_found(browser: Browser, path: str) -> None:
    page = await browser.get(path)
    assert page.status_code == 404
    assert page.headers["cache-control"] == "no-store"


async def test_a_look_changes_nothing_and_a_head_neither(sagas: Cast, browser: Browser) -> None:
    admin = SagaAdmin(sagas.orchestrator)
    before = (await admin.list()).rows, await admin.list_operations(), await admin.pauses()
    for path in pages_of(sagas):
        for act in ("look", "do", "pause_all", "stop"):
            mark = "&" if "?" in path else "?"
            await browser.get(f"{path}{mark}act={act}&reason=x")
        head = await browser.http.head(path)
        assert (head.status_code, head.content) == (200, b"")
    assert ((await admin.list()).rows, await admin.list_operations(), await admin.pauses()) == before


async def test_only_pages_that_act_take_a_form_and_none_takes_another_method(sagas: Cast, browser: Browser) -> None:
    for path in ("/", "/sagas", f"/sagas/{sagas.parked}", "/acts", "/find", "/definitions", "/static/x"):
        assert (await browser.http.post(path, headers={"Origin": "http://shop"})).status_code == 405, path
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        assert (await browser.http.request(method, "/acts/pauses")).status_code == 405, method


@pytest.mark.parametrize("base", ["/console", "/a/b c/ö"])
@pytest.mark.parametrize("framework", ["starlette", "fastapi"])
async def test_it_works_under_any_path(sagas: Cast, base: str, framework: str) -> None:
    inner = console(sagas.orchestrator, authorize=everybody)
    app: Starlette = FastAPI() if framework == "fastapi" else Starlette()
    app.router.routes.append(Mount(base, inner))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://shop", follow_redirects=True
    ) as http:
        page = await http.get(base)
        assert page.status_code == 200
        for part in page.text.split(' href="')[1:]:
            address = part.partition('"')[0].replace("&amp;", "&")
            if not address.startswith("#"):
                there = await http.get(str(page.url.join(address)))
                assert there.status_code == 200, address
                assert str(there.url.path).startswith(str(page.url.path).rstrip("/")), address


class LikeLitestar:
    """Mounts as Litestar does: a slash behind each path, and no word of the path that it was mounted under."""

    def __init__(self, app: ASGIApp, base: str) -> None:
        self.app, self.base = app, base

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(self.base).strip("/")
        await self.app({**scope, "path": f"/{path}/" if path else "/", "root_path": ""}, receive, send)


async def test_it_works_as_litestar_mounts_it_and_with_a_slash_too_many(sagas: Cast) -> None:
    inner = console(sagas.orchestrator, authorize=everybody)
    for app in (LikeLitestar(inner, "/console"), Starlette(routes=[Mount("/console", inner)])):
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://shop", follow_redirects=True
        ) as http:
            for path in ("", "/", "/sagas", "/sagas/?status=FAILED", f"/sagas/{sagas.parked}/", "/acts/"):
                page = await http.get(f"/console{path}")
                assert page.status_code == 200, path
                expected = f"/console{path}".replace("/?", "?").rstrip("/") if path not in ("", "/") else "/console/"
                assert str(page.url) == f"http://shop{expected}"
                style = page.text.partition('rel="stylesheet" href="')[2].partition('"')[0]
                assert (await http.get(str(page.url.join(style)))).status_code == 200
            token = (await http.get("/console/acts")).text.partition('name="token" value="')[2].partition('"')[0]
            fields = {"act": "pause_all", "reason": "x", "token": token}
            sent = await http.post("/console/acts/pauses", data=fields, headers={"Origin": "http://shop"})
            assert (sent.status_code, str(sent.url)) == (200, "http://shop/console/acts")


async def test_payloads_are_for_those_who_may_see_them(sagas: Cast) -> None:
    def without(_: Request) -> Operator:
        return Operator("bob", may=[each for each in Permission if each is not Permission.PAYLOADS])

    wanted = SagaFilter(attribute=note.equals(SECRET))
    operation = await SagaAdmin(sagas.orchestrator).begin_operation(wanted, Cancel())
    assert SECRET in (await Browser(sagas.orchestrator).get("/acts")).text
    browser = Browser(sagas.orchestrator, without)
    async with browser.http:
        for path in [*pages_of(sagas), f"/acts/{operation.id}"]:
            page = await browser.get(path)
            assert page.status_code == 200, path
            assert SECRET not in page.text, path
            assert str(LARGE) not in page.text, path
        assert "ConnectionError" in (await browser.get(f"/sagas/{sagas.parked}")).text
        refused = await browser.get("/sagas?attribute=note%3Dx")
        assert refused.status_code == 403
        assert (await browser.get("/many?attribute=note%3Dx&verb=cancel")).status_code == 403


async def test_whoever_is_not_recognised_sees_nothing(sagas: Cast) -> None:
    async def nobody(_: Request) -> Operator | None:
        return None

    browser = Browser(sagas.orchestrator, nobody)
    async with browser.http:
        for path in pages_of(sagas):
            page = await browser.get(path)
            assert page.status_code == 403, path
            assert "<form" not in page.text
            assert str(sagas.parked) not in page.text
            live = await browser.http.get(path, headers={"Accept": "text/event-stream"})
            assert live.status_code == 403


async def test_whoever_may_only_look_finds_nothing_to_press(sagas: Cast) -> None:
    def reader(_: Request) -> Operator:
        return Operator("rob")

    browser = Browser(sagas.orchestrator, reader)
    async with browser.http:
        for path in ("/", "/sagas", f"/sagas/{sagas.parked}", "/acts", "/kept", "/definitions"):
            page = await browser.get(path)
            assert page.status_code == 200
            assert 'method="post"' not in page.text, path
            assert "/verbs/" not in page.text, path
            assert "many?" not in page.text, path
        for path in ("/many", f"/sagas/{sagas.parked}/verbs/abort"):
            assert (await browser.get(path)).status_code == 403


async def test_the_journal_is_shown_in_pages(sagas: Cast, browser: Browser) -> None:
    admin = SagaAdmin(sagas.orchestrator)
    for _ in range(60):
        await admin.retry_step(sagas.retrying, STEP)
        await sagas.orchestrator.run_due()
    revision = (await admin.get_saga(sagas.retrying)).revision
    assert revision > 100
    last = (await browser.get(f"/sagas/{sagas.retrying}")).text
    assert f"<div>{revision}</div>" in last
    assert ">Earlier</a>" in last
    first = (await browser.get(f"/sagas/{sagas.retrying}?journal_after=0")).text
    assert 'data-label="number"><div>1</div>' in first
    assert ">Later</a>" in first
    assert ">Earlier</a>" not in first


async def test_static_files_are_kept_by_browsers_and_others_are_not_there(browser: Browser) -> None:
    page = (await browser.get("/")).text
    for kind in ("console.", "icon."):
        address = "/static/" + kind + page.partition(f"static/{kind}")[2].partition('"')[0]
        file = await browser.get(address)
        assert file.status_code == 200
        assert "immutable" in file.headers["cache-control"]
    assert (await browser.get("/static/..%2fapp.py")).status_code == 404


async def test_a_store_that_does_not_answer_is_told() -> None:
    orchestrator = SagaOrchestrator("postgresql://nobody@127.0.0.1:9/nowhere", concurrency=0)
    browser = Browser(orchestrator)
    async with browser.http:
        page = await browser.get("/sagas")
        assert page.status_code == 503
        assert "Mend:" in page.text


async def test_the_links_of_findings_lead_to_their_sagas(sagas: Cast, browser: Browser) -> None:
    page = (await browser.get("/")).text
    for part in page.split(' href="./sagas?')[1:]:
        address = part.partition('"')[0].replace("&amp;", "&")
        assert (await browser.get(f"/sagas?{address}")).status_code == 200
    failed = await SagaAdmin(sagas.orchestrator).list(SagaFilter(status=SagaStatus.FAILED))
    assert [row.id for row in failed.rows] == [sagas.failed]
