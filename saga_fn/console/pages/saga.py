"""One saga: why it stands where it stands, its steps, its data, its journal, and the verbs that it accepts now."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import htpy as h
from htpy import Node

from saga_fn import Explanation, HistoryEntry, LeftOver, SagaAdminSnapshot, StepSnapshot, StepStatus, Verb, VerbPreview
from saga_fn.admin.text_fields import id_of
from saga_fn.console import forms, html, paused
from saga_fn.console.context import Context, Page
from saga_fn.console.pages import unsent
from saga_fn.console.veil import veiled, veiled_explanation
from saga_fn.diagram import timeline
from saga_fn.explanation import unread_in_words

_ENTRIES: Final = 50
"""Entries of the journal on one page."""
_STEPS: Final = 100
"""Steps on the page, unless all are asked for."""
_REFUSED: Final = 60
_LAST: Final = (Verb.CANCEL, Verb.ABORT)
_REST: Final = frozenset({StepStatus.PENDING, StepStatus.SUCCEEDED, StepStatus.SKIPPED, StepStatus.COMPENSATED})
"""Statuses of steps that no operator has to look at."""
MOST_NUMBER: Final = 2**53
"""The greatest number of an entry that an address or a form may name."""


async def saga(context: Context) -> Page:
    """The page of a saga."""
    saga_id = id_of(context.path["saga_id"])
    after = None
    if context.query.get("journal_after"):
        after = forms.number_in(context.query, "journal_after", least=0, most=MOST_NUMBER)
    explained = await context.admin.explain(saga_id)
    seen = await context.admin.get_saga(saga_id, journal_after=after, journal_limit=_ENTRIES)
    if not context.sees_payloads:
        seen, explained = veiled(seen), veiled_explanation(explained)
    live: list[Node] = [
        _facts(seen, explained),
        _standing(context, explained),
        _verbs(context, explained),
        unsent.of_saga(context, seen.outgoing),
        _left(seen.left_over),
        _steps_of("Stays done, without an undo", seen.stays_done),
        _steps_of("Run before a rewind, which undid nothing", seen.rewound),
        _failure(seen),
        html.section("Graph", html.picture(seen.diagram("svg", embedded=True))),
        _steps(context, seen, explained),
        _timeline(seen),
        _data(seen),
        _journal(context, seen),
        _notes(seen),
        _refused(explained),
    ]
    return Page(f"{html.text(seen.saga_name, 100)} {saga_id}", live)


def _facts(seen: SagaAdminSnapshot, explained: Explanation) -> Node:
    owner = explained.owner
    return html.facts(
        (
            ("status", [html.status(seen.status), " acknowledged" if seen.acknowledged else None]),
            (
                "direction",
                html.NOTHING if seen.ended_at or seen.unreadable else "back" if seen.goes_back else "forward",
            ),
            ("revision", str(seen.revision)),
            ("business key", html.text(seen.aggregation_id or html.NOTHING)),
            ("definition", f"{html.text(seen.saga_name)} v{seen.version}"),
            ("started", html.time(seen.created_at)),
            ("ended" if seen.ended_at else "changed", html.time(seen.ended_at or seen.updated_at)),
            ("goes on by itself", html.time(explained.until))
            if explained.until
            else ("trace", html.text(seen.trace_id)),
            ("rolls back", html.time(seen.rolls_back_at) if seen.rolls_back_at else "no deadline"),
            (
                "owner",
                "none"
                if owner is None
                else [html.text(owner.process or owner.id), h.small[" (its lease is over)"] if owner.is_gone else None],
            ),
        )
    )


def _standing(context: Context, explained: Explanation) -> Node:
    """Each reason with its mend; where a step waits for a person, its verbs stand right there."""
    said: list[Node] = [paused.boxes(explained.pauses)]
    if explained.unreadable is not None:
        said.append(h.div(".box.bad")[h.p["Its state cannot be read: ", html.text(explained.unreadable)]])
    said += [
        h.div(class_="box bad" if reason.parked else "box")[
            h.p[[html.code(reason.parked), " "] if reason.parked else None, html.text(reason.text)],
            html.mend(reason.mend),
            _list_of(_buttons(context, explained, reason.step_id)) if reason.parked and reason.step_id else None,
        ]
        for reason in explained.reasons[:_REFUSED]
    ]
    said += [h.div(".box")[h.p[html.text(each)]] for each in unread_in_words(explained)]
    return html.section("Why it stands where it stands", said)


def _verbs(context: Context, explained: Explanation) -> Node:
    """The verbs of the saga as a whole; each step has its own beside it."""
    found = _list_of(_buttons(context, explained, None))
    return html.section("Verbs", found) if found is not None else None


def _buttons(context: Context, explained: Explanation, step_id: str | None) -> list[Node]:
    """The verbs that the saga accepts for that step, or as a whole (None)."""
    found = [each for each in explained.verbs if each.step_id == step_id and _may_be_pressed(each)]
    buttons = [(each.verb, _button(context, explained, each)) for each in sorted(found, key=_gives_up)]
    return [
        h.li(".apart")[button] if verb is Verb.ABORT else h.li[button] for verb, button in buttons if button is not None
    ]


def _gives_up(preview: VerbPreview) -> int:
    """The place of a verb: those that mend a saga come first, those that give it up last."""
    return _LAST.index(preview.verb) + 1 if preview.verb in _LAST else 0


def _list_of(buttons: Sequence[Node]) -> Node:
    return h.ul(".verbs")[buttons] if buttons else None


def _may_be_pressed(preview: VerbPreview) -> bool:
    """Whether the saga would accept the verb, or would once steps are named that are to be forgotten: its page asks for them."""
    return preview.is_legal or bool(preview.unnamed)


def _button(context: Context, explained: Explanation, preview: VerbPreview) -> Node:
    """The way to a verb's own page, with its preview; nothing for an operator who may not ask for it."""
    if not context.may(preview.verb.value):
        return None
    name = preview.verb.value.replace("_", " ")
    if preview.not_here is not None:
        return h.small(title=html.text(preview.not_here))[f"{name} (not from here)"]
    step = {} if preview.step_id is None else {"step": preview.step_id}
    return h.a(".button", href=context.to("sagas", explained.saga_id, "verbs", preview.verb.value, **step))[f"{name} …"]


def left_over(each: LeftOver) -> Node:
    """One effect that is left in the world."""
    until = None
    if each.until is not None:
        until = [", until ", html.time(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=each.until))]
    return [html.step_name(each.step_id), " ", each.kind.value, until]


def _left(left: Iterable[LeftOver]) -> Node:
    rows = [h.li[left_over(each)] for each in left]
    return html.section("Left over in the world", h.ul[rows]) if rows else None


def _steps_of(title: str, steps: Sequence[str]) -> Node:
    return html.section(title, h.ul[(h.li[html.step_name(each)] for each in steps)]) if steps else None


def _failure(seen: SagaAdminSnapshot) -> Node:
    failure = seen.failure
    if failure is None:
        return None
    return html.section(
        "The failure that counts",
        h.p[
            html.step_name(failure.step_id),
            " ",
            h.span(".error")[html.text(failure.type)],
            f": {html.text(failure.message)}" if failure.message else None,
        ],
        None if failure.error is None else html.value(html.plain(failure.error)),
    )


def _steps(context: Context, seen: SagaAdminSnapshot, explained: Explanation) -> Node:
    shown = seen.steps
    if len(shown) > _STEPS and context.query.get("steps") != "all":
        pressed = {each.step_id for each in explained.verbs if _may_be_pressed(each)}
        shown = tuple(sorted(shown, key=lambda step: _calm(step, pressed))[:_STEPS])
    verbs: dict[str, list[Node]] = {}
    names = {step.step_id for step in shown}
    for each in explained.verbs:
        if each.step_id in names and each.step_id not in verbs:
            verbs[each.step_id] = _buttons(context, explained, each.step_id)
    outputs = seen.context.get("step_outputs", {})
    rows: list[tuple[Node, ...]] = [
        (
            html.step_name(step.step_id),
            [html.status(step.status), [" ", html.code(step.parked)] if step.parked else None],
            str(step.attempt or html.NOTHING),
            str(step.failures or html.NOTHING),
            html.time(step.wakes_at),
            h.details(id=f"output-{step.step_id}")[h.summary["output"], html.value(outputs[step.step_id])]
            if step.step_id in outputs
            else html.NOTHING,
            _list_of(verbs.get(step.step_id, ())),
        )
        for step in shown
    ]
    more = len(seen.steps) - len(shown)
    link = h.a(href=context.to("sagas", seen.id, steps="all"))[f"All {len(seen.steps)} steps"] if more > 0 else None
    heads = ("step", "status", "attempt", "failures", "wakes", "output", "verbs")
    return html.section("Steps", html.table(heads, rows), link)


def _calm(step: StepSnapshot, pressed: Collection[str | None]) -> int:
    """The place of a step where not all are shown: those that wait for a person come first, and those that rest last."""
    if step.parked is not None or step.status in (StepStatus.FAILED, StepStatus.COMPENSATION_FAILED):
        return 0
    if step.status not in _REST:
        return 1
    return 2 if step.step_id in pressed else 3


def _timeline(seen: SagaAdminSnapshot) -> Node:
    """A picture of the part of the journal that the page shows."""
    entries = seen.step_history
    if not entries:
        return None
    picture = timeline(entries, "svg", plan=seen.plan, name=seen.saga_name, seen=seen, embedded=True)
    is_all = entries[0].seq == 1 and entries[-1].seq == seen.revision
    span = None if is_all else h.p[f"Entries {entries[0].seq} to {entries[-1].seq} of {seen.revision}."]
    return html.section("Timeline", span, html.picture(picture))


def _data(seen: SagaAdminSnapshot) -> Node:
    if not seen.context:
        return html.section("Data", h.p(".empty")["You need the permission to see payloads."])
    attributes = [(name, html.text(value)) for name, value in seen.attributes.items()]
    events = seen.context["events"]
    return html.section(
        "Data",
        html.facts(attributes) if attributes else None,
        h.details(id="initial")[h.summary["initial data"], html.value(seen.context["initial_data"])],
        h.details(id="events")[h.summary[f"{len(events)} events"], html.value(events)] if events else None,
    )


def _journal(context: Context, seen: SagaAdminSnapshot) -> Node:
    entries = seen.step_history
    first, last = (entries[0].seq, entries[-1].seq) if entries else (1, 0)
    here = ("sagas", seen.id)
    turn = [
        h.a(".button", href=context.to(*here, journal_after=max(0, first - 1 - _ENTRIES)) + "#journal")["Earlier"]
        if first > 1
        else None,
        h.a(".button", href=context.to(*here, journal_after=last) + "#journal")["Later"]
        if 0 < last < seen.revision
        else None,
    ]
    heads = ("number", "time", "event", "step", "attempt", "who and why", "data")
    rows = [_entry(each) for each in entries]
    return html.section("Journal", html.table(heads, rows), h.p(".row")[turn], id_="journal")


def _entry(entry: HistoryEntry) -> tuple[Node, ...]:
    who = ": ".join(html.text(each) for each in (entry.process, entry.actor, entry.reason) if each)
    payloads = {"input": entry.input, "output": entry.output, "business error": entry.business_error}
    return (
        str(entry.seq),
        html.time(entry.timestamp),
        [html.text(entry.kind), h.small[f" {html.text(entry.event)}"] if entry.event else None],
        html.step_name(entry.step_id),
        str(entry.attempt or html.NOTHING),
        who or html.NOTHING,
        [
            None if entry.error is None else h.span(".error")[html.text(entry.error)],
            [
                h.details(id=f"{name.replace(' ', '-')}-{entry.seq}")[h.summary[name], html.value(payload)]
                for name, payload in payloads.items()
                if payload is not None
            ],
        ],
    )


def _notes(seen: SagaAdminSnapshot) -> Node:
    if not seen.rejections:
        return None
    told = h.ul[(h.li[html.text(each)] for each in seen.rejections)]
    return html.section("Notes beside the journal", told, id_="notes")


def _refused(explained: Explanation) -> Node:
    refused = [each for each in explained.verbs if not _may_be_pressed(each)][:_REFUSED]
    rows: list[tuple[Node, ...]] = [
        (
            each.verb.value,
            html.step_name(each.step_id),
            html.code(each.refusal or ""),
            html.text(html.in_pages(each.text)),
        )
        for each in refused
    ]
    return h.details(id="refused")[
        h.summary["Verbs that would be refused now, and why"],
        html.table(("verb", "step", "code", "why, and what to do instead"), rows),
    ]
