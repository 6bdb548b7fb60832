"""A verb as data, as the engine has it: with the value that is given with it in the bytes that its step reads."""

from __future__ import annotations

from typing import TypeAlias

import attrs
import msgspec

from saga_fn.admin.bulk_verbs import (
    Abort,
    Acknowledge,
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
from saga_fn.core.ids import StepId
from saga_fn.engine.requests.deeds import Deed
from saga_fn.errors import PayloadError, shown
from saga_fn.store.records import moment_of

_OfAStep: TypeAlias = RetryStep | SkipStep | SettleDone


@attrs.frozen
class Given:
    """A value that an operator gives: the output of a step, or its input."""

    step: StepId
    value: object = attrs.field(repr=False)
    is_input: bool


def given_with(verb: object) -> Given | None:
    """The value that is given with the verb; None if none is."""
    if not isinstance(verb, _OfAStep):
        return None
    step = StepId(str(verb.step))
    match verb:
        case RetryStep():
            return None if verb.input is msgspec.UNSET else Given(step, verb.input, is_input=True)
        case SkipStep():
            return Given(step, verb.mock_output, is_input=False)
        case SettleDone():
            return Given(step, verb.output, is_input=False)


def deed_of(verb: object, payload: bytes | None) -> Deed:
    """The verb, with the bytes of the value that is given with it; raises PayloadError for what is no verb."""
    match verb:
        case RetryStep() | SettleDone():
            return Deed(verb.verb, str(verb.step), payload)
        case SkipStep():
            return Deed(verb.verb, str(verb.step), payload, not_begun=verb.not_begun)
        case SettleUndone() | SettleNeverRan():
            return Deed(verb.verb, str(verb.step))
        case Rewind():
            return Deed(verb.verb, str(verb.to), forget=tuple(map(str, verb.forget)))
        case StartNow():
            to = None if verb.at is None else moment_of(verb.at)
            return Deed(verb.verb, "" if verb.step is None else str(verb.step), to=to)
        case ResumeSaga():
            return Deed(verb.verb, extend=verb.extend)
        case Cancel() | Abort() | PauseSaga() | Acknowledge():
            return Deed(verb.verb)
        case _:
            raise PayloadError(f"a verb is wanted, not {shown(verb)}", hint='such as RetryStep("charge"), or Cancel()')
