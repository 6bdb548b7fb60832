"""One verb for all sagas that a filter finds: how many there are, which would accept it, and the operation itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import htpy as h
from htpy import Node
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from saga_fn import BulkPreview, SagaError, SagaStateError, Verb
from saga_fn.admin.verb_fields import VERB_FORMS, verb_from
from saga_fn.console import forms, html, paused
from saga_fn.console.context import SEAL, Context, Page
from saga_fn.console.operators import Permission
from saga_fn.console.pages.sagas import FIELDS, wanted_in
from saga_fn.console.pages.verb import WRONG
from saga_fn.console.security import new_value

_RATE: Final = 50
_MOST_RATE: Final = 10_000


async def many_page(context: Context) -> Page:
    """The form: the filter, as the list has it, and the verb."""
    return await _page(context, context.query, looks=bool(context.query.get("verb")))


async def many_act(context: Context, form: Mapping[str, str]) -> Page | Response:
    """Show the preview, or begin the operation."""
    if form.get("act") != "do":
        return await _page(context, form, looks=True)
    name = form.get("verb", "")
    if name not in tuple(Verb) or not context.may(name) or not context.may(Permission.OPERATIONS):
        raise HTTPException(403, "You may not ask that of many sagas.")
    try:
        reason = forms.reason_in(form)
        wanted, verb = wanted_in(context, _filter_of(form)), verb_from(name, _texts(name, form))
        per_second = forms.number_in(form, "per_second", least=1, most=_MOST_RATE, default=_RATE)
        if not context.has_shown(form, _sealed(name, form)):
            return await _page(context, form, looks=True, changed=True, status=409)
        operation = await context.admin.begin_operation(
            wanted,
            verb,
            everything=form.get("everything") == "true",
            per_second=per_second,
            # The form carries the key, so that a form that is sent twice begins one operation.
            idempotency_key=form.get("key") or None,
            reason=reason,
        )
    except SagaStateError as error:
        return await _page(context, form, error=error, status=409)
    except WRONG as error:
        return await _page(context, form, error=error, status=400)
    return RedirectResponse(context.to("acts", operation.id), status_code=303)


def _filter_of(given: Mapping[str, str]) -> dict[str, str]:
    return {name: given[name].strip() for name in FIELDS if given.get(name, "").strip()}


def _texts(verb: str, given: Mapping[str, str]) -> dict[str, str]:
    return {each.name: given.get(forms.VERB + each.name, "") for each in VERB_FORMS[Verb(verb)].fields}


def _sealed(verb: str, given: Mapping[str, str]) -> dict[str, str]:
    """All that a preview is of."""
    texts = {forms.VERB + each: text for each, text in _texts(verb, given).items()}
    return {**_filter_of(given), **texts, "verb": verb, "everything": given.get("everything", "")}


async def _page(
    context: Context,
    given: Mapping[str, str],
    *,
    looks: bool = False,
    changed: bool = False,
    error: SagaError | None = None,
    status: int = 200,
) -> Page:
    if not context.may(Permission.OPERATIONS):
        raise HTTPException(403, f"You need the permission {Permission.OPERATIONS}.")
    wanted, name = _filter_of(given), given.get("verb", "")
    is_verb = name in tuple(Verb) and context.may(name)
    preview: BulkPreview | None = None
    lacking: SagaError | None = None
    everything = given.get("everything") == "true"
    found = wanted_in(context, wanted)
    if looks and is_verb and error is None:
        try:
            preview = await context.admin.preview(found, verb_from(name, _texts(name, given)), everything=everything)
        except WRONG as wrong:
            if given.get("act"):
                error, status = wrong, 400
            else:
                lacking = wrong
    permitted = [each for each in VERB_FORMS if context.may(each.value)]
    choose = h.form(method="get", action=context.to("many"))[
        html.hidden(wanted),
        h.div(".row")[
            h.label[
                "Verb: ",
                h.select(name="verb")[
                    (
                        h.option(value=each.value, selected=each == name)[each.value.replace("_", " ")]
                        for each in permitted
                    )
                ],
            ],
            h.button["Choose"],
        ],
    ]
    act = None
    if is_verb:
        form = VERB_FORMS[Verb(name)]
        act = html.post(
            context,
            context.to("many"),
            html.hidden({**wanted, "verb": name, "key": given.get("key") or new_value()}),
            h.p[form.summary],
            forms.inputs(form.fields, given, prefix=forms.VERB),
            h.label(".field")[
                h.span["per second"],
                h.input(name="per_second", value=given.get("per_second", ""), inputmode="numeric"),
                h.small[f"The greatest number of sagas a second; {_RATE} if it is empty."],
            ],
            None
            if wanted
            else h.label(".field")[
                h.input(type="checkbox", name="everything", value="true", checked=everything),
                " This filter finds all sagas, and that is meant.",
            ],
            html.reason_field(given.get("reason", "")),
            None
            if preview is None
            else [html.hidden({SEAL: context.seal(_sealed(name, given))}), _preview(context, preview)],
            h.p(".row")[
                h.button(name="act", value="look", formnovalidate=True)["Preview"],
                None if preview is None else h.button(".do", name="act", value="do")[f"Begin: {name} for all"],
                h.a(href=context.to("sagas", **wanted))["Back to the list"],
            ],
        )
    after: list[Node] = [
        html.facts((each.replace("_", " "), html.text(value)) for each, value in wanted.items())
        if wanted
        else h.p["The filter finds all sagas."],
        html.told(forms.CHANGED) if changed and error is None else None,
        None if error is None else html.told(error),
        choose,
        None if lacking is None else html.told(lacking, "Fill in the form to see what would come of it."),
        act,
    ]
    return Page("One verb for many sagas", after=after, status=status)


def _preview(context: Context, told: BulkPreview) -> Node:
    rows = [
        (*html.row_cells(context, each.saga), html.code(each.refusal) if each.refusal else "accepts it")
        for each in told.samples
    ]
    return h.div(".box")[
        h.h2["What would come of it"],
        html.facts(
            (
                ("sagas that the filter finds", str(told.sagas)),
                ("looked at", str(told.looked_at)),
                ("would accept it", str(told.accepted)),
                *((subject, html.text(number)) for subject, number in told.told),
                *((f"would refuse: {html.text(why)}", str(number)) for why, number in told.refusals.items()),
            )
        ),
        paused.boxes(told.pauses, ". Nothing begins before that pause ends."),
        html.table((*html.ROW_HEADS, "answer"), rows),
    ]
