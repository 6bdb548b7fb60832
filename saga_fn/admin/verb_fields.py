"""The verbs as forms: which fields each has, how it is read from texts, and how it is asked of one saga.

The command line and the console know no verb by its name: they go by these forms.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, assert_never, cast, get_args
from uuid import UUID

import attrs
import msgspec

from saga_fn.admin.admin import SagaAdmin
from saga_fn.admin.bulk_verbs import (
    Abort,
    Acknowledge,
    BulkVerb,
    Cancel,
    PauseSaga,
    ResumeSaga,
    RetryStep,
    Rewind,
    SettleDone,
    SettleNeverRan,
    SettleUndone,
    SkipStep,
    StartNow,
)
from saga_fn.admin.text_fields import FieldKind, TextField, read_fields
from saga_fn.core.verbs import Verb
from saga_fn.errors import PayloadError, shown

_FIELDS: Final = {
    "step": (FieldKind.STEP, "The id of the step."),
    "to": (FieldKind.STEP, "The id of the first step to run again."),
    "input": (FieldKind.JSON, "The input to use instead of the computed one, as JSON."),
    "mock_output": (FieldKind.JSON, "The output to go on with, as JSON. Empty is null."),
    "output": (FieldKind.JSON, "The output that the step has given, as JSON. Empty is null."),
    "not_begun": (FieldKind.FLAG, "Whether a step is meant too that comes next and has not begun."),
    "forget": (FieldKind.STEPS, "The ids of the steps whose effects stay in the world, with commas between them."),
    "extend": (FieldKind.FLAG, "Whether timers and the deadline are moved by the length of the pause."),
    "at": (FieldKind.TIME, "The moment when it goes on. Empty is now."),
}
"""Each argument of a verb: the form of its text, and its meaning. The verbs' classes say which verb has it, and whether it must be
given."""


@attrs.frozen
class VerbForm:
    """A verb, described for the operator who fills it in."""

    verb: Verb
    """The verb."""
    summary: str
    """The verb in one sentence."""
    fields: tuple[TextField, ...]
    """Its fields, in order. The reason and the revision are not among them: every verb has those."""
    kind: type[BulkVerb] = attrs.field(repr=False)
    """Its class."""


def _form_of(kind: type[BulkVerb]) -> VerbForm:
    fields = [
        TextField(each.name, *_FIELDS[each.name], is_required=each.default is attrs.NOTHING)
        for each in attrs.fields(kind)
    ]
    said = (kind.__doc__ or "").partition(":")[0]  # the docstring's first sentence, up to the name of the method
    return VerbForm(kind.verb, f"{said or kind.verb.value}.", tuple(fields), kind)


VERB_FORMS: Final[Mapping[Verb, VerbForm]] = {
    kind.verb: _form_of(kind) for kind in cast("tuple[type[BulkVerb], ...]", get_args(BulkVerb))
}
"""Every verb's form."""


def verb_from(verb: str, given: Mapping[str, str]) -> BulkVerb:
    """Read a verb from the texts of its fields.

    Args:
        verb: The verb, by the name of the method of `SagaAdmin`; dashes may stand for the underscores.
        given: The texts by the names of the fields. One that is empty or missing was not given.

    Returns:
        The verb.

    Raises:
        PayloadError: There is no such verb, or a text is not one of its field; the hint says how it is written.
        SagaDefinitionError: A text names no step.
    """
    name = verb.replace("-", "_")
    if name not in tuple(Verb):
        raise PayloadError(f"there is no verb {shown(verb)}", hint=f"the verbs are {', '.join(VERB_FORMS)}")
    form = VERB_FORMS[Verb(name)]
    # The fields are the arguments of the class, and the class judges them.
    return form.kind(**read_fields(form.fields, given, of=name))  # type: ignore[arg-type]  # the values are known at run time only


_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""A moment that has passed means now, by the database's clock."""


async def ask_of(
    admin: SagaAdmin, saga_id: UUID, verb: BulkVerb, *, expect: int | None = None, reason: str | None = None
) -> None:
    """Ask a verb of one saga: the method of `SagaAdmin` that it names.

    Args:
        admin: The admin that asks.
        saga_id: The saga's id.
        verb: The verb.
        expect: The revision that the operator has seen. Default: None, any.
        reason: The operator's reason. Default: None.

    Raises:
        SagaError: As the method raises it.
    """
    match verb:
        case RetryStep(step=step, input=msgspec.UNSET):
            await admin.retry_step(saga_id, step, expect=expect, reason=reason)
        case RetryStep(step=step, input=value):
            await admin.retry_step(saga_id, step, input=value, expect=expect, reason=reason)
        case SkipStep(step=step, mock_output=value, not_begun=not_begun):
            await admin.skip_step(saga_id, step, value, not_begun=not_begun, expect=expect, reason=reason)
        case SettleDone(step=step, output=value):
            await admin.settle_done(saga_id, step, value, expect=expect, reason=reason)
        case SettleUndone(step=step):
            await admin.settle_undone(saga_id, step, expect=expect, reason=reason)
        case SettleNeverRan(step=step):
            await admin.settle_never_ran(saga_id, step, expect=expect, reason=reason)
        case Rewind(to=to, forget=forget):
            await admin.rewind(saga_id, to, forget=forget, expect=expect, reason=reason)
        case StartNow(at=None, step=None):
            await admin.start_now(saga_id, expect=expect, reason=reason)
        case StartNow(at=at, step=step):
            await admin.reschedule(saga_id, _LONG_AGO if at is None else at, step=step, expect=expect, reason=reason)
        case Cancel():
            await admin.cancel(saga_id, expect=expect, reason=reason)
        case Abort():
            await admin.abort(saga_id, expect=expect, reason=reason)
        case PauseSaga():
            await admin.pause_saga(saga_id, expect=expect, reason=reason)
        case ResumeSaga(extend=extend):
            await admin.resume_saga(saga_id, extend=extend, expect=expect, reason=reason)
        case Acknowledge():
            await admin.acknowledge(saga_id, expect=expect, reason=reason)
        case _:
            assert_never(verb)
