"""The verbs as operators know them: each is a method of `SagaAdmin`, and an event of the core.

Two matches tie them together. A new kind of event for operators fails the type check in `verb_of` until it is a verb here; a new
verb does in `ask` until it is said which event asks for it. So nothing that goes through the verbs can miss one.
"""

from __future__ import annotations

import enum
from typing import Final, assert_never

import msgspec

from saga_fn.core.events import (
    AbortRequested,
    CompensationRequested,
    Finding,
    OperatorVerb,
    PauseRequested,
    Rescheduled,
    ResumeRequested,
    RetryRequested,
    RewindRequested,
    StepSettled,
    StepSkipped,
)
from saga_fn.core.ids import Digest, Moment, StepId


class Verb(enum.StrEnum):
    """A verb of an operator; its value is the name of the method of `SagaAdmin`."""

    RETRY_STEP = "retry_step"
    """Attempt a step, or its compensation, again."""
    SKIP_STEP = "skip_step"
    """Go on as if the step had returned the output given."""
    CANCEL = "cancel"
    """Roll the saga back."""
    SETTLE_DONE = "settle_done"
    """Say that a step which may have run has run."""
    SETTLE_UNDONE = "settle_undone"
    """Say that nothing of a step is in the world any more."""
    SETTLE_NEVER_RAN = "settle_never_ran"
    """Say that a step which may have run has never run."""
    REWIND = "rewind"
    """Take the saga back to a step: that one and all that follow it run again."""
    ABORT = "abort"
    """End the saga as it is."""
    START_NOW = "start_now"
    """Let what waits for a moment go on now."""
    PAUSE_SAGA = "pause_saga"
    """Let nothing more of the saga begin."""
    RESUME_SAGA = "resume_saga"
    """Let a saga go on that was paused."""
    ACKNOWLEDGE = "acknowledge"
    """Say that a person has looked at a FAILED saga."""

    @property
    def names_a_step(self) -> bool:
        """Whether it is asked of one step; else of the saga as a whole."""
        return self not in _OF_THE_SAGA

    @property
    def needs_output(self) -> bool:
        """Whether the operator gives the output of the step with it."""
        return self in (Verb.SKIP_STEP, Verb.SETTLE_DONE)


_OF_THE_SAGA: Final = (
    Verb.CANCEL,
    Verb.ABORT,
    Verb.START_NOW,
    Verb.PAUSE_SAGA,
    Verb.RESUME_SAGA,
    Verb.ACKNOWLEDGE,
)


def verb_of(event: OperatorVerb) -> Verb:
    """The verb that the event comes from.

    >>> verb_of(AbortRequested(Moment(0), Moment(0))).value
    'abort'
    """
    match event:
        case RetryRequested():
            return Verb.RETRY_STEP
        case StepSkipped():
            return Verb.SKIP_STEP
        case CompensationRequested():
            return Verb.CANCEL
        case StepSettled(finding=finding):
            return _OF_FINDINGS[finding]
        case RewindRequested():
            return Verb.REWIND
        case AbortRequested():
            return Verb.ABORT
        case Rescheduled():
            return Verb.START_NOW
        case PauseRequested():
            return Verb.PAUSE_SAGA
        case ResumeRequested():
            return Verb.RESUME_SAGA
        case _:
            assert_never(event)


_OF_FINDINGS = {
    Finding.DONE: Verb.SETTLE_DONE,
    Finding.UNDONE: Verb.SETTLE_UNDONE,
    Finding.NEVER_RAN: Verb.SETTLE_NEVER_RAN,
}


def ask(verb: Verb, step: StepId, at: Moment, *, until: Moment) -> OperatorVerb | None:
    """The event of the verb, asked of that step with nothing more said; None if it changes nothing of a saga's state.

    `until` is the end of the lease of its owner.
    """
    match verb:
        case Verb.RETRY_STEP:
            return RetryRequested(at, step)
        case Verb.SKIP_STEP:
            return StepSkipped(at, step)
        case Verb.CANCEL:
            return CompensationRequested(at)
        case Verb.SETTLE_DONE:
            return StepSettled(at, step, finding=Finding.DONE)
        case Verb.SETTLE_UNDONE:
            return StepSettled(at, step, finding=Finding.UNDONE)
        case Verb.SETTLE_NEVER_RAN:
            return StepSettled(at, step, finding=Finding.NEVER_RAN)
        case Verb.REWIND:
            return RewindRequested(at, step)
        case Verb.ABORT:
            return AbortRequested(at, until)
        case Verb.START_NOW:
            return Rescheduled(at, at)
        case Verb.PAUSE_SAGA:
            return PauseRequested(at)
        case Verb.RESUME_SAGA:
            return ResumeRequested(at)
        case Verb.ACKNOWLEDGE:
            return None
        case _:
            assert_never(verb)


def with_all(
    event: OperatorVerb,
    *,
    expect: int | None,
    given: Digest,
    not_begun: bool,
    forget: tuple[StepId, ...],
    to: Moment | None,
    step: StepId,
    extend: bool,
) -> OperatorVerb:
    """The event of `ask`, with all that the operator has said: each verb takes of it the part that it knows.

    `given` is the fingerprint of an input, `not_begun` belongs to a skip, `forget` to a rewind, `to` and `step` to what sleeps,
    `extend` to the end of a pause.
    """
    match event:
        case RetryRequested():
            event = msgspec.structs.replace(event, digest=given)
        case StepSkipped():
            event = msgspec.structs.replace(event, not_begun=not_begun)
        case RewindRequested():
            event = msgspec.structs.replace(event, forget=forget)
        case Rescheduled():
            event = msgspec.structs.replace(event, to=event.at if to is None else to, step=step)
        case ResumeRequested():
            event = msgspec.structs.replace(event, extend=extend)
        case _:
            pass
    return msgspec.structs.replace(event, expect=expect)
