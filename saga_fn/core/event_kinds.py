"""Facts of an event that many rooms ask for: its step, its phase, and the payload that is recorded with it.

Each is one exhaustive match: a new kind of event fails the type check here, and nowhere else it can be forgotten.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from functools import wraps
from typing import Final, TypeAlias, TypeVar, assert_never, get_args

from typing_extensions import TypeIs

from saga_fn.core.events import (
    AbortRequested,
    Accompanied,
    CompensationFailed,
    CompensationRequested,
    CompensationSucceeded,
    CompensationWaits,
    Event,
    EventReceived,
    Finding,
    HandedBack,
    MomentsMoved,
    Paused,
    PauseRequested,
    PlanChanged,
    ProbeAnswered,
    ProbeFailed,
    Rescheduled,
    Resumed,
    ResumeRequested,
    RetryRequested,
    RewindRequested,
    SagaParked,
    Started,
    StepFailed,
    StepSettled,
    StepSkipped,
    StepSucceeded,
    Ticked,
    WaitDefaulted,
)
from saga_fn.core.ids import PlanId, StepId

T = TypeVar("T")

Failed: TypeAlias = StepFailed | CompensationFailed | ProbeFailed
"""An execution that did not return."""
Result: TypeAlias = Failed | StepSucceeded | CompensationSucceeded | CompensationWaits | ProbeAnswered
"""The end of an execution of a step, its compensation or its probe."""
_FAILED: Final[frozenset[type[object]]] = frozenset(get_args(Failed))
_RESULTS: Final[frozenset[type[object]]] = frozenset(get_args(Result))


def _by_kind(told: Callable[[Event], T]) -> Callable[[Event], T]:
    """The same, asked once of each kind of event: a match on these classes is slow where it says no."""
    known: dict[type[Event], T] = {}

    @wraps(told)
    def of(event: Event) -> T:
        kind = type(event)
        if kind not in known:
            known[kind] = told(event)
        return known[kind]

    return of


class Phase(enum.Enum):
    """The part of a saga's life that an event belongs to."""

    EXECUTE = "execute"
    """A step, or an item of it."""
    PROBE = "probe"
    """The question whether a step has run."""
    COMPENSATE = "compensate"
    """The compensation of a step."""
    SAGA = "saga"
    """The saga as a whole."""


class PayloadKind(enum.Enum):
    """The meaning of the payload that is recorded with an event."""

    VALUE = enum.auto()
    """A value of the user's: the initial data, an output, an outside event's body."""
    ERROR = enum.auto()
    """The error, if there was one."""
    INPUT = enum.auto()
    """A value of an operator's: the input that the step is to have, if one was given."""


def is_result(event: Event) -> TypeIs[Result]:
    """Whether the event is the end of an execution.

    >>> from saga_fn.core.ids import Moment
    >>> is_result(Ticked(Moment(0)))
    False
    """
    return type(event) in _RESULTS


def is_failure(event: Event) -> TypeIs[Failed]:
    """Whether the event is the end of an execution that did not return."""
    return type(event) in _FAILED


def step_of(event: Event) -> StepId | None:
    """The step, or the item of a fan-out, that the event is about; None if it is about the saga."""
    match event:  # the frequent ones first: each that is asked before costs
        case StepSucceeded() | StepFailed():
            return event.step
        case Resumed() | EventReceived() | Ticked():
            return None
        case (
            CompensationSucceeded()
            | CompensationFailed()
            | CompensationWaits()
            | ProbeAnswered()
            | ProbeFailed()
            | StepSkipped()
            | WaitDefaulted()
            | StepSettled()
            | RewindRequested()
        ):
            return event.step
        case RetryRequested() | Rescheduled():
            return event.step or None
        case (
            Started()
            | CompensationRequested()
            | AbortRequested()
            | PlanChanged()
            | SagaParked()
            | HandedBack()
            | Accompanied()
            | Paused()
            | PauseRequested()
            | ResumeRequested()
            | MomentsMoved()
        ):
            return None
        case _:
            assert_never(event)


def attempt_of(event: Event) -> int | None:
    """The number of the execution that the event is the end of; None if it is no such end."""
    return event.attempt if is_result(event) else None


def phase_of(event: Event) -> Phase:
    """The part of the saga's life that the event belongs to."""
    if type(event) is StepSettled and event.finding is Finding.UNDONE:
        return Phase.COMPENSATE
    return _usual_phase(event)


@_by_kind
def _usual_phase(event: Event) -> Phase:
    match event:
        case StepSucceeded() | StepFailed() | StepSkipped() | StepSettled() | WaitDefaulted():
            return Phase.EXECUTE
        case ProbeAnswered() | ProbeFailed():
            return Phase.PROBE
        case CompensationSucceeded() | CompensationFailed() | CompensationWaits():
            return Phase.COMPENSATE
        case (
            Started()
            | Resumed()
            | Ticked()
            | RetryRequested()
            | CompensationRequested()
            | AbortRequested()
            | EventReceived()
            | PlanChanged()
            | SagaParked()
            | HandedBack()
            | Accompanied()
            | Paused()
            | Rescheduled()
            | RewindRequested()
            | PauseRequested()
            | ResumeRequested()
            | MomentsMoved()
        ):
            return Phase.SAGA
        case _:
            assert_never(event)


@_by_kind
def payload_of(event: Event) -> PayloadKind:
    """The meaning of the payload that is recorded with the event.

    An event whose payload is a user's value is never read for an error: a value may look like one.
    """
    match event:
        case (
            StepSucceeded()
            | Started()
            | ProbeAnswered()
            | StepSkipped()
            | StepSettled()
            | WaitDefaulted()
            | EventReceived()
        ):
            return PayloadKind.VALUE
        case RetryRequested():
            return PayloadKind.INPUT
        case (
            StepFailed()
            | CompensationSucceeded()
            | CompensationFailed()
            | CompensationWaits()
            | ProbeFailed()
            | Resumed()
            | Ticked()
            | CompensationRequested()
            | AbortRequested()
            | PlanChanged()
            | SagaParked()
            | HandedBack()
            | Accompanied()
            | Paused()
            | Rescheduled()
            | RewindRequested()
            | PauseRequested()
            | ResumeRequested()
            | MomentsMoved()
        ):
            return PayloadKind.ERROR
        case _:
            assert_never(event)


class InputKind(enum.Enum):
    """The meaning of the input that is recorded with an event."""

    OF_STEP = enum.auto()
    """The input of the step that the event is about."""
    OF_ALL_THAT_RAN = enum.auto()
    """The input of each step that was running. The next owner can tell by them whether the inputs are the same."""
    ASKED = enum.auto()
    """Who asked for it, and why."""


@_by_kind
def input_of(event: Event) -> InputKind:
    """The meaning of the input that is recorded with the event, if one is."""
    match event:
        case (
            StepSucceeded()
            | StepFailed()
            | CompensationSucceeded()
            | CompensationFailed()
            | CompensationWaits()
            | ProbeAnswered()
            | ProbeFailed()
            | Started()
            | Resumed()
            | Ticked()
            | WaitDefaulted()
            | EventReceived()
            | PlanChanged()
            | SagaParked()
            | Accompanied()
        ):
            return InputKind.OF_STEP
        case HandedBack():
            return InputKind.OF_ALL_THAT_RAN
        case (
            StepSkipped()
            | RetryRequested()
            | CompensationRequested()
            | AbortRequested()
            | StepSettled()
            | Rescheduled()
            | RewindRequested()
            | Paused()
            | PauseRequested()
            | ResumeRequested()
            | MomentsMoved()
        ):
            return InputKind.ASKED
        case _:
            assert_never(event)


def has_run(event: Event) -> TypeIs[StepSucceeded]:
    """Whether the event says that a step has run and returned: then it brings its output, and nothing from outside."""
    return type(event) is StepSucceeded


def output_given(event: Event) -> StepId | None:
    """The step that gets its output by the event without having run here; None if there is none."""
    if isinstance(event, StepSettled):
        return event.step if event.finding is Finding.DONE else None
    return event.step if isinstance(event, StepSkipped | WaitDefaulted) else None


def input_given(event: Event) -> StepId | None:
    """The step that an operator gives an input by the event; None if none is given."""
    return event.step if isinstance(event, RetryRequested) and event.digest else None


def gives_output(event: Event) -> StepId | None:
    """The step that has its output by the event: it ran, a probe has found that, or an operator gave it; None if there is none.

    A wait has its output by an event from outside, whose entry may stand long before.
    """
    if has_run(event) or (isinstance(event, ProbeAnswered) and event.done):
        return event.step
    return output_given(event)


@_by_kind
def brings(event: Event) -> bool:
    """Whether the event brings a value from outside that inputs may be computed from: no result, and not the initial data."""
    return payload_of(event) is not PayloadKind.ERROR and not is_result(event) and type(event) is not Started


def outside_name(event: Event) -> str | None:
    """The name of an event from outside, which is empty if it has none; None for an event of another kind."""
    return event.name if isinstance(event, EventReceived) else None


def plan_of(event: Event) -> PlanId | None:
    """The plan that the saga is run by from the event on; None if the event does not say so."""
    return event.plan if isinstance(event, Started | PlanChanged) else None


def is_claim(event: Event) -> bool:
    """Whether the event says only that the saga was claimed: that alone is no progress."""
    return type(event) is Resumed


def rewinds(event: Event) -> bool:
    """Whether the event takes back what was known of steps."""
    return type(event) is RewindRequested


def parks_all(event: Event) -> bool:
    """Whether the event parks the saga as a whole."""
    return type(event) is SagaParked


def is_by_force(event: Event) -> bool:
    """Whether the event may be folded though another process owns the saga: it takes the saga from its owner."""
    return type(event) is AbortRequested


def is_success(event: Event) -> bool:
    """Whether the event says that something of a step is done: run, skipped, found out to be done, or undone."""
    match event:
        case StepSucceeded() | StepSkipped() | WaitDefaulted() | CompensationSucceeded():
            return True
        case StepSettled():
            return event.finding is not Finding.NEVER_RAN
        case ProbeAnswered():
            return event.done
        case (
            StepFailed()
            | CompensationFailed()
            | CompensationWaits()
            | ProbeFailed()
            | Started()
            | Resumed()
            | Ticked()
            | RetryRequested()
            | CompensationRequested()
            | AbortRequested()
            | EventReceived()
            | PlanChanged()
            | SagaParked()
            | HandedBack()
            | Accompanied()
            | Paused()
            | Rescheduled()
            | RewindRequested()
            | PauseRequested()
            | ResumeRequested()
            | MomentsMoved()
        ):
            return False
        case _:
            assert_never(event)
