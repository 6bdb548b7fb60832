"""One verb of one saga: a form, what would come of it, and the act itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from uuid import UUID

import htpy as h
from htpy import Node
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from saga_fn import (
    BulkVerb,
    Explanation,
    Move,
    PayloadError,
    SagaDefinitionError,
    SagaNotRegisteredError,
    SagaStateError,
    Verb,
    VerbPreview,
)
from saga_fn.admin.text_fields import id_of
from saga_fn.admin.verb_fields import VERB_FORMS, VerbForm, ask_of, verb_from
from saga_fn.console import forms, html
from saga_fn.console.context import SEAL, Context, Page
from saga_fn.console.pages.saga import MOST_NUMBER, left_over
from saga_fn.console.veil import veiled_explanation
from saga_fn.errors import ActiveSagaAlreadyExistsError, PayloadTooLargeError, SagaError
from saga_fn.explanation import course_behind, unread_in_words

_NAMED: Final = 40
"""Steps, or moves, that are named in one place."""
WRONG: Final = (PayloadError, PayloadTooLargeError, SagaDefinitionError, SagaNotRegisteredError)
"""Errors of the operator who has filled in the form."""


async def verb_page(context: Context) -> Page:
    """The form of a verb, with the preview of it as it is filled in."""
    return await _page(context, context.query)


async def verb_act(context: Context, form: Mapping[str, str]) -> Page | Response:
    """Show the preview again, or ask for the verb."""
    verb = _form_of(context)
    if form.get("act") != "do":
        return await _page(context, form)
    saga_id = id_of(context.path["saga_id"])
    try:
        reason = forms.reason_in(form)
        expect = forms.number_in(form, "expect", least=1, most=MOST_NUMBER)
        asked = _verb_in(verb, form)
        if not context.has_shown(form, _sealed(context, _texts(verb, form), expect)):
            return await _page(context, form, forms.CHANGED, 409)
        await ask_of(context.admin, saga_id, asked, expect=expect, reason=reason)
    except (SagaStateError, ActiveSagaAlreadyExistsError) as error:
        return await _page(context, form, error, 409)
    except WRONG as error:
        return await _page(context, form, error, 400)
    return RedirectResponse(context.to("sagas", saga_id), status_code=303)


def _form_of(context: Context) -> VerbForm:
    """The verb that the path names. Raises HTTPException for one that there is not, or that the operator may not ask for."""
    name = context.path["verb"]
    if name not in tuple(Verb):
        raise HTTPException(404, "There is no such verb.")
    if not context.may(name):
        raise HTTPException(403, f"You need the permission {name}.")
    return VERB_FORMS[Verb(name)]


def _verb_in(form: VerbForm, given: Mapping[str, str]) -> BulkVerb:
    """The verb as it is filled in; a link to the form names its step alone."""
    return verb_from(form.verb.value, _texts(form, given))


def _texts(form: VerbForm, given: Mapping[str, str]) -> dict[str, str]:
    texts = {each.name: given.get(forms.VERB + each.name, "") for each in form.fields}
    step = given.get("step", "")
    for name in ("step", "to"):
        if name in texts and not texts[name]:
            texts[name] = step
    return texts


def _sealed(context: Context, texts: Mapping[str, str], expect: int) -> dict[str, str]:
    return {**texts, **context.path, "expect": str(expect)}


async def _page(context: Context, given: Mapping[str, str], error: SagaError | None = None, status: int = 200) -> Page:
    form, saga_id = _form_of(context), id_of(context.path["saga_id"])
    texts = _texts(form, given)
    explained = await context.admin.explain(saga_id)
    steps = [each.step_id for each in explained.verbs if each.verb is form.verb and each.step_id]
    preview: VerbPreview | None = None
    lacking: SagaError | None = None
    try:
        explained = await context.admin.explain(saga_id, verb=verb_from(form.verb.value, texts))
        (preview,) = explained.verbs
    except WRONG as wrong:
        if not given.get("act"):
            lacking = wrong
        elif error is None or error is forms.CHANGED:
            error, status = wrong, 400
    name = form.verb.value.replace("_", " ")
    after: list[Node] = [
        None if error is None else html.told(error),
        h.p[form.summary],
        None
        if lacking is None
        else _to_fill_in(lacking, is_filled=any(each for name, each in texts.items() if name != "step")),
        None if preview is None else _shown(preview),
        html.post(
            context,
            context.to("sagas", saga_id, "verbs", form.verb.value),
            html.hidden({"expect": explained.revision}),
            None if preview is None else html.hidden({SEAL: context.seal(_sealed(context, texts, explained.revision))}),
            forms.inputs(
                form.fields,
                {forms.VERB + each: text for each, text in texts.items()},
                prefix=forms.VERB,
                steps=steps,
                named=() if preview is None else (*preview.unnamed, *preview.forgotten),
            ),
            await _present_input(context, saga_id, texts),
            html.reason_field(given.get("reason", "")),
            h.p(".row")[
                None if preview is None else h.button(".do", name="act", value="do")[f"Do it: {name}"],
                h.button(name="act", value="look", formnovalidate=True)[
                    "Preview" if preview is None else "Preview again"
                ]
                if form.fields
                else None,
                h.a(href=context.to("sagas", saga_id))["Back to the saga"],
            ],
        ),
    ]
    shown = explained if context.sees_payloads else veiled_explanation(explained)
    return Page(f"{name}: {html.text(explained.saga_name, 100)}", _standing(shown), after=after, status=status)


def _to_fill_in(lacking: SagaError, *, is_filled: bool) -> Node:
    """The thing that the form still wants. Before anything is filled in, that is no error: only the mend is told."""
    told = "Fill in the form to see what would come of it."
    return html.told(lacking, told) if is_filled else h.div(".box")[h.p[told], html.mend(lacking.hint)]


async def _present_input(context: Context, saga_id: UUID, texts: Mapping[str, str]) -> Node:
    """The input that the step was last given, for the operator who gives it another one."""
    if "input" not in texts or not texts["step"] or not context.sees_payloads:
        return None
    seen = await context.admin.get_saga(saga_id)
    given = (each.input for each in reversed(seen.step_history) if each.step_id == texts["step"])
    last = next((each for each in given if each is not None), None)
    if last is None:
        return h.p[h.small["The step has been given no input yet."]]
    return h.details(id="present-input", open=True)[h.summary["the input that it was last given"], html.value(last)]


def _standing(explained: Explanation) -> Node:
    """The saga as it is now. It is drawn again while the form is open, and the form keeps the revision that it was made for."""
    return [
        html.facts(
            (
                ("saga", h.span(".id")[str(explained.saga_id)]),
                ("status", html.status(explained.status)),
                ("revision", str(explained.revision)),
                ("business key", html.text(explained.aggregation_id or html.NOTHING)),
            )
        ),
        [h.div(".box")[h.p[html.text(each.text)]] for each in explained.reasons[:5]],
        [h.div(".box")[h.p[html.text(each)]] for each in unread_in_words(explained)],
    ]


def _shown(preview: VerbPreview) -> Node:
    if not preview.is_legal:
        return h.div(".box.warn")[
            h.p["It would be refused now: ", html.code(preview.refusal or ""), " ", html.text(preview.why_not or "")],
            html.mend(preview.mend),
            h.p["Not named: ", _listed(preview.unnamed)] if preview.unnamed else None,
        ]
    return h.div(".box")[h.h2["What would come of it"], html.facts(_consequences(preview))]


def _consequences(preview: VerbPreview) -> Iterator[tuple[str, Node]]:
    if preview.not_here:
        yield "not from here", html.text(preview.not_here)
    if preview.unread:
        yield "look first: stored, and not read yet", html.text(", ".join(map(str, preview.unread)))
    if preview.runs_on:
        yield "first comes to its end, and is not cut short", _listed(preview.runs_on)
    if preview.at_once:
        yield "at once", _moves(preview.at_once)
    if preview.after_pause:
        yield "after the pause", _moves(preview.after_pause)
    if preview.goes_on_at is not None:
        yield "goes on at", html.time(preview.goes_on_at)
    if rest := course_behind(preview):
        yield "then, if each attempt succeeds", [_moves(rest), None if preview.is_whole else " …"]
    if preview.no_plan_fits:
        yield (
            "no definition fits",
            "none that processes work with fits what it has done: it is parked again until one does",
        )
    yield "ends", html.status(preview.ends_as) if preview.ends_as else "not by itself: a person has to go on"
    if preview.left_over:
        yield "left over then", h.ul[(h.li[left_over(each)] for each in preview.left_over)]
    if preview.stays_done:
        yield "stays done, without an undo", _listed(preview.stays_done)
    others = [each for each in preview.may_end_as if each is not preview.ends_as]
    if others:
        yield "may end as well", [[html.status(each), " "] for each in others]
    if preview.may_be_undone:
        yield "may be undone", _listed(preview.may_be_undone)
    if preview.may_be_left:
        yield "may be left over", _listed(preview.may_be_left)
    if preview.rows_may_stand:
        yield "look first: its rows may be there, and would be written a second time", _listed(preview.rows_may_stand)
    if preview.another_key:
        yield "run again under another idempotency key", _listed(preview.another_key)
    if preview.forgotten:
        yield "forgotten: their effects stay, and the saga never undoes them", _listed(preview.forgotten)


def _moves(moves: Sequence[Move]) -> Node:
    return [
        [[f"{each.kind.value} ", html.step_name(each.step), "; "] for each in moves[:_NAMED]],
        _more(len(moves)),
    ]


def _listed(steps: Sequence[str]) -> Node:
    return [[[html.step_name(each), " "] for each in steps[:_NAMED]], _more(len(steps))]


def _more(number: int) -> Node:
    return f"and {number - _NAMED} more" if number > _NAMED else None
