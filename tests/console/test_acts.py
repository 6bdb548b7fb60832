"""Every verb by its form, and everything by which a form could be sent by a person who may not."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

import pytest
from starlette.requests import Request

from saga_fn import (
    FixedRetry,
    MemoryStore,
    OperationState,
    SagaAdmin,
    SagaOrchestrator,
    SagaStatus,
    StepRef,
    Verb,
    saga,
    step,
)
from saga_fn.admin.bulk_verbs import Cancel
from saga_fn.console import Operator, Permission, console
from saga_fn.console.security import fields_of
from saga_fn.listing import SagaFilter
from tests.console.cast import MARK, SECRET, STEP, Browser, Cast, everybody, go, hidden_fields
from tests.support.until import SOON

DO = {"act": "do", "reason": "OPS-12: tested"}
RUN: dict[Verb, tuple[Callable[[Cast], UUID], dict[str, str]]] = {
    Verb.RETRY_STEP: (lambda sagas: sagas.retrying, {"verb-step": STEP}),
    Verb.SKIP_STEP: (lambda sagas: sagas.parked, {"verb-step": STEP, "verb-mock_output": '{"by": "hand"}'}),
    Verb.CANCEL: (lambda sagas: sagas.retrying, {}),
    Verb.SETTLE_DONE: (lambda sagas: sagas.doubtful, {"verb-step": STEP, "verb-output": '{"by": "hand"}'}),
    Verb.SETTLE_UNDONE: (lambda sagas: sagas.doubtful, {"verb-step": STEP}),
    Verb.SETTLE_NEVER_RAN: (lambda sagas: sagas.doubtful, {"verb-step": STEP}),
    Verb.REWIND: (lambda sagas: sagas.retrying, {"verb-to": "reserve", "verb-forget": "reserve"}),
    Verb.ABORT: (lambda sagas: sagas.waiting, {}),
    Verb.START_NOW: (lambda sagas: sagas.retrying, {}),
    Verb.PAUSE_SAGA: (lambda sagas: sagas.retrying, {}),
    Verb.RESUME_SAGA: (lambda sagas: sagas.paused, {"verb-extend": "true"}),
    Verb.ACKNOWLEDGE: (lambda sagas: sagas.failed, {}),
}
"""A saga for each verb, and the fields of its form."""


@pytest.mark.parametrize("verb", Verb)
async def test_each_verb_is_shown_beforehand_and_done_with_who_and_why(
    sagas: Cast, browser: Browser, verb: Verb
) -> None:
    choose, fields = RUN[verb]
    saga = choose(sagas)
    address = f"/sagas/{saga}/verbs/{verb.value}"
    page = (await browser.get(f"/sagas/{saga}")).text
    assert f"verbs/{verb.value}" in page, "its button is there"
    looked = await browser.send(address, address, {**fields, "act": "look"})
    assert looked.status_code == 200
    assert "What would come of it" in looked.text
    done = await browser.send(address, address, {**fields, **DO})
    assert (done.status_code, done.headers["location"]) == (303, f"../../../sagas/{saga}")
    (act, *_) = await SagaAdmin(sagas.orchestrator).list_operations()
    assert (act.verb, act.saga_id, act.actor, act.reason) == (verb.value, saga, "ann <i>ann</i>", "OPS-12: tested")
    assert act.done == 1
    shown = (await browser.get(f"/sagas/{saga}")).text
    assert "ann &lt;i&gt;ann&lt;/i&gt;" in shown


async def test_the_form_of_a_retry_shows_the_input_that_the_step_was_last_given(sagas: Cast, browser: Browser) -> None:
    address = f"/sagas/{sagas.retrying}/verbs/retry_step?step={quote(STEP)}"
    shown = (await browser.get(address)).text
    assert 'id="present-input"' in shown
    assert MARK not in shown

    def without_payloads(_: Request) -> Operator:
        return Operator("eve", may=[Permission.RETRY_STEP])

    other = Browser(sagas.orchestrator, without_payloads)
    async with other.http:
        assert "present-input" not in (await other.get(address)).text, "payloads are not for everybody"


def test_each_verb_has_a_permission_of_its_name() -> None:
    assert {each.value for each in Verb} <= {each.value for each in Permission}


@pytest.mark.parametrize("verb", Verb)
async def test_a_verb_needs_its_own_permission(sagas: Cast, verb: Verb) -> None:
    def all_but_one(_: Request) -> Operator:
        return Operator("eve", may=[each for each in Permission if each.value != verb.value])

    choose, fields = RUN[verb]
    saga = choose(sagas)
    before = (await SagaAdmin(sagas.orchestrator).get_saga(saga)).revision
    browser = Browser(sagas.orchestrator, all_but_one)
    async with browser.http:
        assert f"verbs/{verb.value}" not in (await browser.get(f"/sagas/{saga}")).text
        other = f"/sagas/{saga}/verbs/{'abort' if verb is not Verb.ABORT else 'cancel'}"
        address = f"/sagas/{saga}/verbs/{verb.value}"
        assert (await browser.get(address)).status_code == 403
        token = (await browser.get(other)).text.partition('name="token" value="')[2].partition('"')[0]
        sent = {**fields, **DO, "token": token, "expect": str(before)}
        for act in ("do", "look"):
            refused = await browser.http.post(address, data={**sent, "act": act}, headers={"Origin": "http://shop"})
            assert refused.status_code == 403
        many = await browser.http.post("/many", data={**sent, "verb": verb.value}, headers={"Origin": "http://shop"})
        assert many.status_code == 403
    assert (await SagaAdmin(sagas.orchestrator).get_saga(saga)).revision == before


async def test_a_verb_counts_for_the_revision_that_was_shown(sagas: Cast, browser: Browser) -> None:
    address = f"/sagas/{sagas.retrying}/verbs/cancel"
    page = (await browser.get(address)).text
    token = page.partition('name="token" value="')[2].partition('"')[0]
    expect = page.partition('name="expect" value="')[2].partition('"')[0]
    await SagaAdmin(sagas.orchestrator).retry_step(sagas.retrying, STEP)
    previewed = page.partition('name="previewed" value="')[2].partition('"')[0]
    fields = {**DO, "token": token, "expect": expect, "previewed": previewed}
    refused = await browser.http.post(address, data=fields, headers={"Origin": "http://shop"})
    assert refused.status_code == 409
    assert "Mend:" in refused.text
    for wrong in ("", "x", "0", "-1", "9" * 40):
        fields["expect"] = wrong
        again = await browser.http.post(address, data=fields, headers={"Origin": "http://shop"})
        assert again.status_code == 400, wrong
    assert (await SagaAdmin(sagas.orchestrator).get_saga(sagas.retrying)).status is not SagaStatus.COMPENSATED


async def test_a_verb_needs_a_reason_and_values_that_fit(sagas: Cast, browser: Browser) -> None:
    address = f"/sagas/{sagas.parked}/verbs/skip_step"
    for fields in (
        {"verb-step": STEP, "act": "do", "reason": " "},
        {"verb-step": STEP, "act": "do", "reason": "two\nlines"},
        {"verb-step": STEP, "act": "do", "reason": "x", "verb-mock_output": "{"},
        {"verb-step": STEP, "act": "do", "reason": "x", "verb-mock_output": "[1]"},
        {"verb-step": STEP, "act": "do", "reason": "x", "verb-not_begun": "perhaps"},
        {"verb-step": "", "act": "do", "reason": "x"},
        {"verb-step": "\x00", "act": "do", "reason": "x"},
    ):
        page = await browser.send(f"{address}?step={STEP}", address, fields)
        assert page.status_code == 400, fields
        assert "Mend:" in page.text
        assert MARK not in page.text
    assert (await SagaAdmin(sagas.orchestrator).get_saga(sagas.parked)).parked == "past_pivot"


async def test_a_form_that_is_opened_tells_what_it_wants_and_no_error(sagas: Cast, browser: Browser) -> None:
    page = await browser.get(f"/sagas/{sagas.parked}/verbs/skip_step?step={STEP}")
    assert "is no valid" not in page.text
    wrong = await browser.get(f"/sagas/{sagas.parked}/verbs/skip_step?step={STEP}&verb-mock_output=[1]")
    assert "is no valid" in wrong.text


async def test_what_was_filled_in_is_there_again_after_a_refusal(sagas: Cast, browser: Browser) -> None:
    address = f"/sagas/{sagas.parked}/verbs/skip_step"
    page = await browser.send(address, address, {"verb-step": STEP, "act": "do", "verb-mock_output": '{"a": "<b>"}'})
    assert "{&#34;a&#34;: &#34;&lt;b&gt;&#34;}</textarea>" in page.text


async def test_a_rewind_offers_the_steps_that_have_to_be_named(sagas: Cast, browser: Browser) -> None:
    address = f"/sagas/{sagas.retrying}/verbs/rewind"
    page = await browser.get(f"{address}?step=reserve")
    assert "unnamed" in page.text
    assert '<input type="checkbox" name="verb-forget" value="reserve">' in page.text.replace(" checked", "")


FOREIGN = [
    {"Origin": "http://evil"},
    {"Origin": "null"},
    {"Origin": "http://shop", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "http://shop", "Sec-Fetch-Site": "same-site"},
    {"Origin": "http://shop:81"},
    {"Origin": ""},
    {"Sec-Fetch-Site": "cross-site"},
    {},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_a_form_of_another_site_is_refused(sagas: Cast, browser: Browser, headers: dict[str, str]) -> None:
    address = f"/sagas/{sagas.retrying}/verbs/cancel"
    page = (await browser.get(address)).text
    token = page.partition('name="token" value="')[2].partition('"')[0]
    expect = page.partition('name="expect" value="')[2].partition('"')[0]
    sent = await browser.http.post(address, data={**DO, "token": token, "expect": expect}, headers=headers)
    assert sent.status_code == 403
    assert (await SagaAdmin(sagas.orchestrator).get_saga(sagas.retrying)).status is SagaStatus.SUSPENDED


async def test_a_token_is_of_one_browser_and_one_operator(sagas: Cast) -> None:
    who = "ann"

    def authorize(_: Request) -> Operator:
        return Operator(who, may=Permission)

    address = f"/sagas/{sagas.retrying}/verbs/cancel"
    first, second = Browser(sagas.orchestrator, authorize), Browser(sagas.orchestrator, authorize)
    async with first.http, second.http:
        page = (await first.get(address)).text
        token = page.partition('name="token" value="')[2].partition('"')[0]
        expect = page.partition('name="expect" value="')[2].partition('"')[0]
        here = {"Origin": "http://shop"}
        for given in (token[:-1] + ("0" if token[-1] != "0" else "1"), "", "ö"):
            sent = await first.http.post(address, data={**DO, "token": given, "expect": expect}, headers=here)
            assert sent.status_code == 403
        await second.get(address)
        fields = {**DO, **hidden_fields(page, address)}
        assert (await second.http.post(address, data=fields, headers=here)).status_code == 403, "another browser"
        who = "eve"
        assert (await first.http.post(address, data=fields, headers=here)).status_code == 403, "another operator"
        who = "ann"
        assert (await first.http.post(address, data=fields, headers=here)).status_code == 303


async def test_processes_with_one_secret_take_each_others_forms_and_a_proxy_may_be_named(sagas: Cast) -> None:
    import httpx

    from saga_fn.console import console

    def authorize(_: Request) -> Operator:
        return Operator("ann", may=Permission)

    apps = [
        console(sagas.orchestrator, authorize=authorize, secret=b"s" * 32, origins=["https://shop.example"])
        for _ in range(2)
    ]
    address = f"/sagas/{sagas.retrying}/verbs/cancel"
    async with httpx.AsyncClient(transport=httpx.ASGITransport(apps[0]), base_url="http://inside") as http:
        shown = await http.get(address)
        page, cookie = shown.text, shown.cookies
    headers = {"Origin": "https://shop.example", "Sec-Fetch-Site": "same-origin"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(apps[1]), base_url="http://inside", cookies=cookie
    ) as http:
        sent = await http.post(address, data={**DO, **hidden_fields(page, address)}, headers=headers)
    assert sent.status_code == 303


async def test_the_cookie_is_read_by_no_script(sagas: Cast, browser: Browser) -> None:
    cookie = (await browser.get("/")).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    secure = Browser(sagas.orchestrator, base="https://shop")
    async with secure.http:
        assert "secure" in (await secure.get("/")).headers["set-cookie"].lower()


@pytest.mark.parametrize(
    "content, kind, status",
    [
        (b"{}", "application/json", 415),
        (b"a=1", "text/plain", 415),
        (b"a=1", "", 415),
        (b"a=%ff", "application/x-www-form-urlencoded", 400),
        (b"\xff", "application/x-www-form-urlencoded", 400),
        (b"&".join(b"a=1" for _ in range(1000)), "application/x-www-form-urlencoded", 400),
        (b"a=" + b"x" * (5 * 1024 * 1024), "application/x-www-form-urlencoded", 413),
        (b"", "application/x-www-form-urlencoded", 403),
    ],
    ids=["json", "text", "none", "not UTF-8", "not ASCII", "many fields", "long", "empty"],
)
async def test_what_is_no_form_is_refused(
    sagas: Cast, browser: Browser, content: bytes, kind: str, status: int
) -> None:
    address = f"/sagas/{sagas.retrying}/verbs/cancel"
    headers = {"Content-Type": kind, "Origin": "http://shop"}
    assert (await browser.http.post(address, content=content, headers=headers)).status_code == status


async def test_a_form_that_does_not_come_is_waited_for_no_longer(sagas: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saga_fn.console.security.PATIENCE", 0.01)
    browser = Browser(sagas.orchestrator)

    async def slowly() -> AsyncIterator[bytes]:
        yield b"act="
        await asyncio.Event().wait()

    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": "http://shop"}
    async with browser.http, asyncio.timeout(SOON):
        assert (await browser.http.post("/acts/pauses", content=slowly(), headers=headers)).status_code == 408


async def test_a_browser_that_goes_while_it_sends_a_form_is_no_fault(sagas: Cast) -> None:
    told: list[Any] = []

    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        told.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/acts/pauses",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"content-type", b"application/x-www-form-urlencoded"), (b"host", b"shop")],
        "scheme": "http",
    }
    await console(sagas.orchestrator, authorize=everybody)(scope, gone, send)
    assert told[0]["status"] == 400


async def test_steps_are_named_whatever_their_ids_hold_and_however_many_they_are() -> None:
    async def done(_: dict[str, Any]) -> int:
        return 1

    async def undo(_: object, __: int) -> None: ...

    async def fails(_: int) -> None:
        raise ConnectionError("down")

    @saga("comma")
    def comma(data: StepRef[dict[str, Any]]) -> StepRef[None]:
        first = step(done, compensate=undo)(data, step_id="a,b")
        step(done, compensate=undo)(data, step_id='["c"]')
        return step(fails, retry_policy=FixedRetry(max_attempts=5, delay=timedelta(hours=1)))(first)

    async with SagaOrchestrator(MemoryStore(), concurrency=0) as orchestrator:
        started = await orchestrator.register(comma).start({})
        await orchestrator.run_due()
        browser = Browser(orchestrator)
        address = f"/sagas/{started.id}/verbs/rewind"
        async with browser.http:
            page = (await browser.get(f"{address}?step=a,b")).text
            found = re.findall(r'type="checkbox" name="verb-forget" value="([^"]*)"', page)
            ticks = [unescape(each) for each in found]
            assert len(ticks) == 2
            fields = {"verb-to": "a,b", "verb-forget": ticks, **DO}
            done_so = await browser.send(f"{address}?step=a,b", address, fields)
            assert done_so.status_code == 303
    assert len(fields_of("&".join(f"verb-forget=each[{number}]" for number in range(200)).encode())) == 1


async def test_one_verb_for_many_is_shown_beforehand_and_begun_once(sagas: Cast, browser: Browser) -> None:
    fields = {"waits": "retry", "verb": "cancel"}
    page = (await browser.get("/many?waits=retry&verb=cancel")).text
    assert "would accept it" in page
    begun = await browser.send("/many?waits=retry&verb=cancel", "/many", {**fields, **DO, "key": "one"})
    again = await browser.send("/many?waits=retry&verb=cancel", "/many", {**fields, **DO, "key": "one"})
    assert begun.status_code == again.status_code == 303
    assert begun.headers["location"] == again.headers["location"]
    shown = await browser.get("/" + begun.headers["location"].lstrip("./"))
    assert "running" in shown.text
    (operation, *_) = await SagaAdmin(sagas.orchestrator).list_operations()
    address = f"/acts/{operation.id}"
    stopped = await browser.send(address, address, {"act": "stop"})
    assert stopped.status_code == 303
    assert (await SagaAdmin(sagas.orchestrator).get_operation(operation.id)).state is OperationState.STOPPED
    await browser.send(address, address, {"act": "continue"})
    async with asyncio.timeout(30):
        while (await SagaAdmin(sagas.orchestrator).get_operation(operation.id)).state is not OperationState.DONE:
            await asyncio.sleep(0.01)
    assert (await SagaAdmin(sagas.orchestrator).get_operation(operation.id)).done == 1
    assert "OPS-12: tested" in (await browser.get("/acts")).text


async def test_all_sagas_are_asked_only_if_that_is_said(sagas: Cast, browser: Browser) -> None:
    refused = await browser.send("/many?verb=cancel", "/many", {"verb": "cancel", **DO})
    assert refused.status_code == 400
    done = await browser.send("/many?verb=cancel", "/many", {"verb": "cancel", "everything": "true", **DO})
    assert done.status_code == 303


@pytest.mark.parametrize(
    "fields",
    [{"per_second": "x"}, {"per_second": "0"}, {"reason": ""}, {"verb-at": "never"}, {"waits": "never"}],
    ids=str,
)
async def test_an_operation_that_is_filled_in_wrongly_is_not_begun(
    sagas: Cast, browser: Browser, fields: dict[str, str]
) -> None:
    page = "/many?waits=retry&verb=start_now"
    refused = await browser.send(page, "/many", {"waits": "retry", "verb": "start_now", **DO, **fields})
    assert refused.status_code == 400
    assert len(await SagaAdmin(sagas.orchestrator).list_operations()) == 2, "those of the cast alone"


async def test_pauses_begin_and_end_with_who_and_why(sagas: Cast, browser: Browser) -> None:
    admin = SagaAdmin(sagas.orchestrator)
    for page, fields in (
        ("/acts", {"act": "pause", "saga_name": "past"}),
        ("/acts/everything", {"act": "pause_all"}),
    ):
        done = await browser.send(page, "/acts/pauses", {**fields, "reason": f"r {MARK}"})
        assert (done.status_code, done.headers["location"]) == (303, "../acts")
    assert [(each.saga_name, each.actor) for each in await admin.pauses()] == [
        ("past", "ann <i>ann</i>"),
        (None, "ann <i>ann</i>"),
    ]
    page = (await browser.get("/acts")).text
    assert MARK not in page
    assert "End this pause" in page
    for path in ("/", "/sagas", f"/sagas/{sagas.parked}", "/many?saga_name=past&verb=cancel"):
        told = (await browser.get(path)).text
        assert "All sagas named past are paused since" in told, path
        assert "Everything is paused since" in told, path
    assert "All sagas named past" not in (await browser.get("/sagas?saga_name=waiting")).text
    assert "This saga is paused since" in (await browser.get(f"/sagas/{sagas.paused}")).text
    for path in ("/", "/acts"):
        assert "Sagas that are paused by themselves: 1." in (await browser.get(path)).text
    for act in ("resume", "resume_all"):
        await browser.send("/acts", "/acts/pauses", {"act": act, "saga_name": "past", "reason": "over"})
    assert await admin.pauses() == ()
    for fields in ({"act": "pause", "saga_name": "past"}, {"act": "pause", "saga_name": "", "reason": "x"}):
        assert (await browser.send("/acts", "/acts/pauses", fields)).status_code == 400
    assert (await browser.send("/acts", "/acts/pauses", {"act": "x", "reason": "x"})).status_code == 400
    typed = {"act": "pause_all", "saga_name": "past", "reason": "x"}
    assert (await browser.send("/acts/everything", "/acts/pauses", typed)).status_code == 400, (
        "what is meant is not clear"
    )
    assert await admin.pauses() == ()


async def test_the_end_of_a_pause_moves_timers_where_that_is_ticked(sagas: Cast, browser: Browser) -> None:
    admin = SagaAdmin(sagas.orchestrator)

    async def wakes_at() -> datetime | None:
        steps = (await admin.get_saga(sagas.retrying)).steps
        return next(each.wakes_at for each in steps if each.wakes_at is not None)

    before = await wakes_at()
    await admin.pause_all()
    fields = {"act": "resume_all", "extend": "true", "reason": "over"}
    assert (await browser.send("/acts", "/acts/pauses", fields)).status_code == 303
    after = await wakes_at()
    assert before is not None
    assert after is not None
    assert before < after
    assert await admin.pauses() == ()


async def test_a_pause_of_a_name_that_nothing_has_is_asked_for_twice(sagas: Cast, browser: Browser) -> None:
    admin = SagaAdmin(sagas.orchestrator)
    asked = await browser.send("/acts", "/acts/pauses", {"act": "pause", "saga_name": f"pasd{MARK}", "reason": "typo"})
    assert asked.status_code == 409
    assert "Nothing is paused yet. No saga has the name" in asked.text
    assert MARK not in asked.text
    assert await admin.pauses() == ()
    form = asked.text[asked.text.index("Nothing is paused yet") :]
    given = {**hidden_fields(form, "/acts/pauses"), "act": "pause"}
    assert given["reason"] == "typo"
    done = await browser.http.post("/acts/pauses", data=given, headers={"Origin": "http://shop"})
    assert done.status_code == 303
    assert [each.saga_name for each in await admin.pauses()] == [f"pasd{MARK}"]


async def test_pauses_operations_and_kept_events_need_their_permissions(sagas: Cast) -> None:
    def reader(_: Request) -> Operator:
        return Operator("rob", may=[Permission.CANCEL])

    admin = SagaAdmin(sagas.orchestrator)
    operation = await admin.begin_operation(SagaFilter(saga_name="past"), Cancel())
    browser = Browser(sagas.orchestrator, reader)
    async with browser.http:
        page = (await browser.get(f"/sagas/{sagas.retrying}/verbs/cancel")).text
        token = page.partition('name="token" value="')[2].partition('"')[0]
        for path, fields in (
            ("/acts/pauses", {"act": "pause_all"}),
            (f"/acts/{operation.id}", {"act": "stop"}),
            ("/kept/discard", {"saga_name": "past", "aggregation_id": "k", "all": "true"}),
            ("/many", {"verb": "cancel", "waits": "retry", "act": "do"}),
            ("/many", {"verb": "cancel", "waits": "retry", "act": "look"}),
        ):
            sent = await browser.http.post(
                path, data={**fields, "reason": "x", "token": token}, headers={"Origin": "http://shop"}
            )
            assert sent.status_code == 403, path
    assert await admin.pauses() == ()
    assert (await admin.get_operation(operation.id)).state is OperationState.RUNNING


async def test_kept_events_are_shown_and_discarded(sagas: Cast, browser: Browser) -> None:
    await sagas.orchestrator.to(("waiting", f"key {MARK}"), go).send({"a": MARK + SECRET})
    page = (await browser.get("/kept")).text
    assert "void at" in page
    assert SECRET in page
    assert MARK not in page
    assert "Discard it …" in page
    names = {"saga_name": "waiting", "aggregation_id": f"key {MARK}", "event": go.name}
    address = f"/kept/discard?{urlencode(names)}"
    assert "Discard one event" in (await browser.get(address)).text
    assert (await browser.send(address, "/kept/discard", {"reason": " "})).status_code == 400
    assert (await browser.send(address, "/kept/discard", {"reason": "OPS-12"})).status_code == 303
    assert await SagaAdmin(sagas.orchestrator).kept_events() == ()
    (act, *_) = await SagaAdmin(sagas.orchestrator).list_operations()
    assert (act.verb, act.reason, act.done) == ("discard_kept", "OPS-12", 1)


async def test_kept_events_go_only_as_they_were_shown_and_named(sagas: Cast, browser: Browser) -> None:
    admin, sender = SagaAdmin(sagas.orchestrator), sagas.orchestrator.to(("waiting", "k"), go)
    await sender.send({"a": 1})
    names = {"saga_name": "waiting", "aggregation_id": "k"}
    address = f"/kept/discard?{urlencode({**names, 'event': go.name})}"
    shown = hidden_fields((await browser.get(address)).text, "/kept/discard")
    await sender.send({"a": 2})
    assert "Discard all 2 of this name and key" in (await browser.get("/kept")).text
    late = await browser.http.post("/kept/discard", data=shown, headers={"Origin": "http://shop"})
    assert late.status_code == 409
    assert "Discard 2 events" in late.text
    for fields in (names, {**names, "event": ""}, {**names, "event": go.name, "all": "true"}):
        given = {**fields, "token": shown["token"], "previewed": shown["previewed"]}
        refused = await browser.http.post("/kept/discard", data=given, headers={"Origin": "http://shop"})
        assert refused.status_code == 400, fields
    assert len(await admin.kept_events()) == 2
    every = f"/kept/discard?{urlencode({**names, 'all': 'true'})}"
    assert (await browser.send(every, "/kept/discard", {"reason": "OPS-12"})).status_code == 303
    assert await admin.kept_events() == ()


@pytest.mark.parametrize(
    "change", [{"verb-mock_output": '{"by": "another"}'}, {"verb-step": "promise"}, {"previewed": ""}]
)
async def test_a_verb_is_done_only_with_the_fields_that_were_shown(
    sagas: Cast, browser: Browser, change: dict[str, str]
) -> None:
    address, here = f"/sagas/{sagas.parked}/verbs/skip_step", {"Origin": "http://shop"}
    before = (await SagaAdmin(sagas.orchestrator).get_saga(sagas.parked)).revision
    fields = {**RUN[Verb.SKIP_STEP][1], **DO}
    looked = await browser.send(address, address, {**fields, "act": "look"})
    given = {**fields, **hidden_fields(looked.text, address), **change}
    refused = await browser.http.post(address, data=given, headers=here)
    assert refused.status_code == 409
    assert "not those that were shown" in refused.text
    assert (await SagaAdmin(sagas.orchestrator).get_saga(sagas.parked)).revision == before
    again = {**given, **hidden_fields(refused.text, address)}
    if change.get("verb-step") is None:
        assert (await browser.http.post(address, data=again, headers=here)).status_code == 303, "now it was shown"


@pytest.mark.parametrize("change", [{"waits": "parked"}, {"verb": "abort"}, {"verb-at": "2030-01-01T00:00"}])
async def test_an_operation_is_begun_only_with_the_fields_that_were_shown(
    sagas: Cast, browser: Browser, change: dict[str, str]
) -> None:
    page = "/many?waits=retry&verb=start_now"
    given = hidden_fields((await browser.get(page)).text, "/many")
    sent = await browser.http.post("/many", data={**given, **DO, **change}, headers={"Origin": "http://shop"})
    assert sent.status_code == 409
    assert "not those that were shown" in sent.text
    assert len(await SagaAdmin(sagas.orchestrator).list_operations()) == 2, "those of the cast alone"
