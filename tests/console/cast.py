"""The sagas that the console is tested on: one for each verb, with hostile names and payloads in every place that a page shows."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from html import unescape
from typing import Any, Final
from uuid import UUID

import attrs
import httpx
from starlette.requests import Request

from saga_fn import (
    Attribute,
    Event,
    FixedRetry,
    MemoryStore,
    SagaAdmin,
    SagaOrchestrator,
    StepRef,
    saga,
    step,
)
from saga_fn.console import Operator, Permission, console

MARK: Final = "<script>window.pressed=1</script>"
"""If a page has it as it is, a payload has become HTML."""
HOSTILE: Final = f"\"'><img src=x onerror=window.pressed=1>{MARK}</pre></textarea>\x1b[31m\u202e{{7*7}}"
NAME: Final = f"order {MARK}"
STEP: Final = f"charge{MARK}"
LARGE: Final = 9_007_199_254_740_993
"""A number that JavaScript would round."""
SECRET: Final = "card 4111"
"""Stands in payloads, errors' messages and attributes, and nowhere else."""
Data = dict[str, Any]  # Any: JSON of any shape

note = Attribute("note", str)
go = Event(f"go{MARK}", dict[str, Any])


async def reserve(data: Data) -> Data:
    return {**data, "reserved": LARGE, HOSTILE: HOSTILE, "secret": SECRET}


async def release(data: Data, out: Data) -> None: ...


async def charge(data: Data) -> Data:
    raise ConnectionError(f"{SECRET} {HOSTILE}")


async def lost(data: Data) -> Data:
    raise TimeoutError(f"{SECRET} {HOSTILE}")


_reserve = step(reserve, compensate=release)
_charge = step(charge, retry_policy=FixedRetry(max_attempts=5, delay=timedelta(hours=1)))
_once = step(charge)
_promise = step(reserve)
_lost = step(lost, compensate=release, on_unknown="park")


@saga(NAME, attributes=(note,))
def order(data: StepRef[Data]) -> StepRef[Data]:
    note.set(data, using=lambda d: str(d["note"]))
    _reserve(data)
    return _charge(data, step_id=STEP)


@saga("doubtful")
def doubtful(data: StepRef[Data]) -> StepRef[Data]:
    return _lost(data, step_id=STEP)


@saga("past")
def past(data: StepRef[Data]) -> StepRef[Data]:
    _promise(data, step_id="promise", pivot=True)
    return _once(data, step_id=STEP)


@saga("waiting")
def waiting(data: StepRef[Data]) -> StepRef[Data]:
    _reserve(data)
    return go.wait(timeout=timedelta(days=3))


@attrs.frozen
class Cast:
    """An orchestrator with one saga in each state that a verb is for."""

    orchestrator: SagaOrchestrator
    retrying: UUID
    doubtful: UUID
    parked: UUID
    waiting: UUID
    failed: UUID
    paused: UUID


@asynccontextmanager
async def cast(store: MemoryStore | str) -> AsyncGenerator[Cast]:
    """All of them, on that store."""
    async with SagaOrchestrator(store, concurrency=0) as orchestrator:
        orders, others = (
            orchestrator.register(order),
            [orchestrator.register(each) for each in (doubtful, past, waiting)],
        )
        data: Data = {"note": HOSTILE + SECRET, "large": LARGE, HOSTILE: [HOSTILE, None, 1.5], "secret": SECRET}
        first = await orders.start(data, aggregation_id=HOSTILE[:200].replace("\x1b", ""), trace_id="t<b>t</b>")
        unknown, parked, waits = [(await each.start(data)).id for each in others]
        failed = await others[1].start(data)
        await orchestrator.run_due()
        admin = SagaAdmin(orchestrator, actor="eve <b>eve</b>")
        await admin.abort(failed.id, reason=f"because {MARK}")
        paused = await others[2].start(data)
        await admin.pause_saga(paused.id, reason=f"because {MARK}")
        yield Cast(orchestrator, first.id, unknown, parked, waits, failed.id, paused.id)


def everybody(_: Request) -> Operator:
    """Every operator may do anything."""
    return Operator("ann <i>ann</i>", may=Permission)


class Browser:
    """A browser without a screen: it follows forms as a person would."""

    def __init__(
        self, orchestrator: SagaOrchestrator, authorize: Any = everybody, *, base: str = "http://shop"
    ) -> None:
        app = console(orchestrator, authorize=authorize)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base)

    async def get(self, path: str) -> httpx.Response:
        return await self.http.get(path)

    async def send(self, page: str, action: str, fields: Mapping[str, object], **headers: str) -> httpx.Response:
        """Open a page, and send a form of it with these fields, and the hidden ones that it has for that action."""
        shown = await self.http.get(page)
        hidden = hidden_fields(shown.text, action)
        sent = {"Origin": str(self.http.base_url).rstrip("/"), **headers}
        if fields.get("act") == "do":  # a person looks at what would come of it first
            looked = await self.http.post(action, data={**hidden, **fields, "act": "look"}, headers=sent)
            hidden |= hidden_fields(looked.text, action)
        return await self.http.post(action, data={**hidden, **fields}, headers=sent)


def hidden_fields(page: str, action: str) -> dict[str, str]:
    """The hidden fields of the first form on a page that goes to that address."""
    forms = re.findall(r'<form method="post" action="([^"]*)"[^>]*>(.*?)</form>', page, re.DOTALL)
    inside = next((body for to, body in forms if to.lstrip("./") == action.lstrip("/")), "")
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', inside)
    return {name: unescape(value) for name, value in found}
