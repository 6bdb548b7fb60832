"""A page answers each address and each form, with no fault of its own and nothing of it as HTML."""

from __future__ import annotations

import os
import random
from typing import Final
from urllib.parse import quote, urlencode

from saga_fn import MemoryStore, Verb
from saga_fn.admin.filter_fields import FILTER_FIELDS
from saga_fn.admin.verb_fields import VERB_FORMS
from tests.console.cast import MARK, STEP, Browser, Cast, cast

CALLS: Final = int(os.environ.get("SAGA_FN_CALLS", "600"))
SEED: Final = int(os.environ.get("SAGA_FN_SEED", "1"))
VALUES: Final = (
    "",
    " ",
    "x",
    MARK,
    "0",
    "-1",
    "1",
    "1e9",
    "9" * 400,
    "null",
    "true",
    "[" * 5000,
    '{"a": 1e400}',
    '{"a": NaN}',
    "\x00",
    "\x1b[31m",
    "\u202e",
    "\ud7ff\U0010ffff",
    "a" * 5000,
    "2026-11-29T06:00",
    "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00+23:59",
    "90s",
    "999999999w",
    "parked",
    "retry,event",
    "FAILED",
    "FAILED,FAILED",
    "note=x",
    "note>=x",
    "total:decimal=1..2",
    "total:decimal=NaN",
    "=",
    "AAAA",
    "../..",
    "javascript:alert(1)",
    "//evil",
    STEP,
    "reserve",
    "charge[3]",
    "01a225a8-f4ff-8e62-81e9-70c12026bec3",
)
NAMES: Final = (
    *(each.name for each in FILTER_FIELDS),
    *(f"verb-{field.name}" for form in VERB_FORMS.values() for field in form.fields),
    *("after", "oldest_first", "journal_after", "steps", "step", "verb", "act", "reason", "expect", "everything"),
    *("per_second", "key", "q", "name", "version", "token", "saga_name", "event", "all", MARK, ""),
)
RAW: Final = ("%", "%ff", "%00", "a=%ed%a0%80", "&" * 500, "=", "a", "a=1;b=2", "%3Cscript%3E", "a=" + "x" * 20_000)


def paths(sagas: Cast, draw: random.Random) -> str:
    saga = draw.choice([sagas.retrying, sagas.doubtful, sagas.parked, sagas.failed, draw.choice(VALUES)])
    verb = draw.choice([*(each.value for each in Verb), draw.choice(VALUES)])
    choices = [
        ("",),
        ("sagas",),
        ("sagas", str(saga)),
        ("sagas", str(saga), "verbs", verb),
        ("many",),
        ("acts",),
        ("acts", "pauses"),
        ("acts", draw.choice(VALUES)),
        ("kept",),
        ("kept", "discard"),
        ("find",),
        ("definitions",),
        ("definition",),
        ("static", draw.choice(VALUES)),
    ]
    return "/" + "/".join(quote(part, safe="") for part in draw.choice(choices))


def fields(draw: random.Random) -> dict[str, str]:
    return {draw.choice(NAMES): draw.choice(VALUES) for _ in range(draw.randrange(5))}


async def test_no_query_string_is_too_much(sagas: Cast, browser: Browser) -> None:
    draw = random.Random(SEED)
    for number in range(CALLS):
        path = paths(sagas, draw)
        query = draw.choice(RAW) if draw.random() < 0.1 else urlencode(fields(draw))
        page = await browser.get(f"{path}?{query}")
        said = f"call {number} of seed {SEED}: {path}?{query[:300]}"
        assert page.status_code in (200, 303, 307, 400, 403, 404, 405), said
        assert MARK not in page.text, said
        assert "javascript:alert" not in page.headers.get("location", ""), said
        assert not page.headers.get("location", ".").startswith(("/", "http")), said


async def test_no_form_is_too_much() -> None:
    draw = random.Random(SEED)
    async with cast(MemoryStore()) as sagas:
        browser = Browser(sagas.orchestrator)
        async with browser.http:
            page = await browser.get(f"/sagas/{sagas.retrying}/verbs/cancel")
            token = page.text.partition('name="token" value="')[2].partition('"')[0]
            for number in range(CALLS):
                path = paths(sagas, draw)
                sent = {
                    "token": token,
                    "act": draw.choice(["do", "look"]),
                    "reason": "x",
                    "expect": "4",
                    **fields(draw),
                }
                answer = await browser.http.post(path, data=sent, headers={"Origin": "http://shop"})
                said = f"call {number} of seed {SEED}: {path} {sent}"[:600]
                assert answer.status_code in (200, 303, 400, 403, 404, 405, 409), said
                assert MARK not in answer.text, said
