"""The acts of operators: operations, verbs, pauses; and the pauses and operations that go on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Mapping
from typing import Final

import htpy as h
from htpy import Node
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from saga_fn import (
    Operation,
    OperationState,
    Pause,
    PayloadError,
    SagaError,
    SagaFilter,
    SagaNotRegisteredError,
    WaitReason,
)
from saga_fn.admin.filter_fields import in_words
from saga_fn.admin.text_fields import id_of
from saga_fn.console import forms, html, paused
from saga_fn.console.context import Context, Page
from saga_fn.console.operators import Permission
from saga_fn.console.pages.definitions import FRESH

_ROWS: Final = 50
_MEANT: Final = "Their steps come to their ends, and nothing else of them begins. Starts and events are accepted."
_PATIENCE: Final = 2.0
"""Seconds that the page waits for the end of a pause that moves timers."""


async def acts(context: Context) -> Page:
    """The pauses, and a page of what operators have done."""
    return await _page(context)


async def pause_act(context: Context, form: Mapping[str, str]) -> Page | Response:
    """Begin a pause of a name or of everything, or end one."""
    if not context.may(Permission.PAUSES):
        raise HTTPException(403, f"You need the permission {Permission.PAUSES}.")
    name, admin, extends = form.get("saga_name", ""), context.admin, form.get("extend") == "true"
    try:
        reason = forms.reason_in(form)
        match form.get("act"):
            case "pause":
                await admin.pause(name, may_be_new=form.get("sure") == name, reason=reason)
            case "pause_all":
                if name:
                    raise HTTPException(400, "A name is given, and everything would be paused.")
                await admin.pause_all(reason=reason)
            case "resume":
                await _resumed(context, admin.resume(name, extend=extends, reason=reason))
            case "resume_all":
                await _resumed(context, admin.resume_all(extend=extends, reason=reason))
            case _:
                raise HTTPException(400, "There is no such act.")
    except SagaNotRegisteredError:
        return await _page(context, None, 409, ask=_unknown(context, name, forms.reason_in(form)))
    except PayloadError as error:
        return await _page(context, error, 400)
    return RedirectResponse(context.to("acts"), status_code=303)


async def _names(context: Context) -> list[str]:
    """The names of all sagas, and of the definitions that this process knows."""
    of_sagas = (each.saga_name for each in (await context.admin.stats(max_age=FRESH)).definitions)
    return sorted({*of_sagas, *(name for name, _ in context.orchestrator.engine.registry.pairs)})


def _unknown(context: Context, name: str, reason: str) -> Node:
    """The question before a name is paused that nothing has: it may be misspelt, and an operator in a hurry would not see it."""
    return h.div(".box.warn", role="alert")[
        h.p[
            "Nothing is paused yet. No saga has the name ",
            h.code[html.text(name, 255)],
            ", and no process works on it.",
        ],
        html.post(
            context,
            context.to("acts", "pauses"),
            html.hidden({"saga_name": name, "sure": name, "reason": reason}),
            h.button(name="act", value="pause")["Pause it all the same"],
        ),
    ]


async def _resumed(context: Context, work: Coroutine[object, object, object]) -> None:
    """Let the end of a pause go on behind the page where it moves the timers of many sagas: it is an operation of the list."""
    resuming = asyncio.ensure_future(work)
    await asyncio.wait([resuming], timeout=_PATIENCE)
    rest = _end_of(resuming)
    if resuming.done():
        await rest
    else:
        context.begin(rest)


async def _end_of(work: Awaitable[object]) -> None:
    await work


async def _page(context: Context, error: SagaError | None = None, status: int = 200, *, ask: Node = None) -> Page:
    asked = context.query.get("after", "")
    after = await context.admin.get_operation(id_of(asked, "an operation's id")) if asked else None
    operations = await context.admin.list_operations(after=after, limit=_ROWS)
    pauses, alone = await context.admin.pauses(), await context.admin.count(SagaFilter(waits=WaitReason.PAUSED))
    names = await _names(context)
    heads = ("act", "of", "by", "why", "when", "state", "done", "refused")
    live: list[Node] = [
        html.section("Paused now", _pauses(pauses), paused.alone(context, alone)),
        html.section("What operators have done", html.table(heads, [_cells(context, each) for each in operations])),
        h.a(".button", href=context.to("acts", after=operations[-1].id))["Earlier"]
        if len(operations) == _ROWS
        else None,
    ]
    may_pause = context.may(Permission.PAUSES)
    before: list[Node] = [
        None if error is None else html.told(error),
        ask,
        [_resume(context, each) for each in pauses] if may_pause else None,
        _pause(context, names) if may_pause else None,
    ]
    return Page("Acts", live, before=before, status=status)


def _pauses(pauses: tuple[Pause, ...]) -> Node:
    rows: list[tuple[Node, ...]] = [
        (
            "everything" if each.saga_name is None else html.text(each.saga_name),
            html.time(each.since),
            html.text(each.actor or html.NOTHING),
            html.text(each.reason or html.NOTHING),
        )
        for each in pauses
    ]
    return html.table(("sagas", "since", "by", "why"), rows, empty="Nothing is paused.")


def _resume(context: Context, pause: Pause) -> Node:
    name = "everything" if pause.saga_name is None else html.text(pause.saga_name, 100)
    return h.details[
        h.summary[f"End the pause of {name} …"],
        html.post(
            context,
            context.to("acts", "pauses"),
            html.hidden({"saga_name": pause.saga_name or ""}),
            html.reason_field(),
            h.label(".tick")[
                h.input(type="checkbox", name="extend", value="true"),
                " Move timers and deadlines by the length of the pause; else those whose moment has come fire at once.",
            ],
            h.button(".do", name="act", value="resume_all" if pause.saga_name is None else "resume")["End this pause"],
        ),
    ]


def _pause(context: Context, names: list[str]) -> Node:
    return [
        h.details[
            h.summary["Pause the sagas of a name …"],
            h.datalist(id="names")[(h.option(value=name) for name in names)],
            html.post(
                context,
                context.to("acts", "pauses"),
                h.p[_MEANT],
                h.label(".field")[
                    h.span["Name of the sagas"],
                    h.input(name="saga_name", list="names", required=True, maxlength="255", autocomplete="off"),
                ],
                html.reason_field(),
                h.p(".row")[h.button(".do", name="act", value="pause")["Pause this name"]],
            ),
        ],
        h.p[h.a(".button", href=context.to("acts", "everything"))["Pause everything …"]],
    ]


async def everything_page(context: Context) -> Page:
    """The question before everything is paused."""
    if not context.may(Permission.PAUSES):
        raise HTTPException(403, f"You need the permission {Permission.PAUSES}.")
    ask = html.post(
        context,
        context.to("acts", "pauses"),
        h.p["All sagas of every name are paused. ", _MEANT],
        html.reason_field(),
        h.p(".row")[
            h.button(".do", name="act", value="pause_all")["Pause everything"],
            h.a(href=context.to("acts"))["Back to the acts"],
        ],
    )
    return Page("Pause everything", after=ask)


def _cells(context: Context, each: Operation) -> tuple[Node, ...]:
    verb: Node = html.text(each.verb)
    if each.step_id:
        verb = [verb, " ", html.step_name(each.step_id)]
    of: Node = _filter(context, each)
    if each.saga_id is not None:
        of = html.saga_link(context, each.saga_id)
    return (
        h.a(href=context.to("acts", each.id))[verb],
        of,
        html.text(each.actor or html.NOTHING),
        html.text(each.reason or html.NOTHING),
        html.time(each.began_at),
        each.state.value,
        str(each.done),
        ", ".join(f"{html.text(why)} {number}" for why, number in each.refusals.items()) or html.NOTHING,
    )


def _filter(context: Context, each: Operation) -> Node:
    if each.unreadable is not None:
        return html.text(f"cannot be read: {each.unreadable}")
    told = in_words(each.wanted, values=context.sees_payloads)
    return html.text(", ".join(f"{name}: {value}" for name, value in told.items())) or "all sagas"


async def act(context: Context) -> Page:
    """One operation: how far it is."""
    operation = await context.admin.get_operation(id_of(context.path["operation_id"], "an operation's id"))
    live = html.facts(
        (
            (
                "verb",
                [html.text(operation.verb), " ", html.step_name(operation.step_id) if operation.step_id else None],
            ),
            (
                "of",
                _filter(context, operation)
                if operation.saga_id is None
                else html.saga_link(context, operation.saga_id),
            ),
            ("by", html.text(operation.actor or html.NOTHING)),
            ("why", html.text(operation.reason or html.NOTHING)),
            ("state", operation.state.value),
            ("began", html.time(operation.began_at)),
            ("changed", html.time(operation.updated_at)),
            ("done", str(operation.done)),
            ("asked, not answered yet", str(operation.asked)),
            ("left", str(operation.remaining)),
            *((f"refused: {html.text(why)}", str(number)) for why, number in operation.refusals.items()),
        )
    )
    return Page("Operation", live, after=_goes_on(context, operation))


def _goes_on(context: Context, operation: Operation) -> Node:
    if operation.state is OperationState.DONE or not context.may(Permission.OPERATIONS):
        return None
    return html.post(
        context,
        context.to("acts", operation.id),
        h.p(".row")[
            h.button(".do", name="act", value="stop")["Stop it"]
            if operation.state is OperationState.RUNNING
            else h.button(".do", name="act", value="continue")["Let it go on"]
        ],
    )


async def operation_act(context: Context, form: Mapping[str, str]) -> Response:
    """Stop an operation, or let it go on."""
    if not context.may(Permission.OPERATIONS):
        raise HTTPException(403, f"You need the permission {Permission.OPERATIONS}.")
    operation_id = id_of(context.path["operation_id"], "an operation's id")
    match form.get("act"):
        case "stop":
            await context.admin.stop_operation(operation_id)
        case "continue":
            await context.admin.get_operation(operation_id)
            context.begin(context.admin.continue_operation(operation_id))
        case _:
            raise HTTPException(400, "There is no such act.")
    return RedirectResponse(context.to("acts", operation_id), status_code=303)
