"""A way through the states of a saga, told for people: a sentence for each event."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from saga_fn.core.events import (
    BoundEach,
    CompensationFailed,
    CompensationSucceeded,
    CompensationWaits,
    Declined,
    Event,
    EventReceived,
    FailureKind,
    ProbeAnswered,
    ProbeFailed,
    Resumed,
    SagaParked,
    Started,
    StepFailed,
    StepSucceeded,
    Ticked,
    Unbindable,
    WaitDefaulted,
    carries_inputs,
    name_of,
)
from saga_fn.core.facts import find
from saga_fn.core.ids import StepId
from saga_fn.core.state import (
    FailedForGood,
    Goal,
    Running,
    SagaState,
    Sleeping,
    StepState,
    Undoing,
    UndoWaiting,
    Waiting,
)


def told(before: SagaState | None, event: Event, after: SagaState) -> str:
    """The event, and what came of it at once, as one sentence; nothing, where an owner has only gone on.

    >>> from saga_fn.core.ids import Moment, PlanId
    >>> from saga_fn.core.state import Attempts, Succeeded
    >>> first = SagaState(0, Moment(0), plan=PlanId(""), steps=(Running(StepId("charge"), Attempts()),))
    >>> last = SagaState(1, Moment(0), Goal.COMPLETED, (Succeeded(StepId("charge"), 1),), plan=PlanId(""))
    >>> told(first, StepSucceeded(Moment(0), StepId("charge"), 1), last)
    'charge succeeds'
    """
    said = [_of_event(event), *_of_inputs(event)]
    if isinstance(event, Ticked):
        said = [*_of_time(before, after), *said[1:]]
    return "; ".join(said)


def _of_event(event: Event) -> str:
    match event:
        case Started():
            return "the saga starts"
        case StepSucceeded():
            return f"{event.step} succeeds"
        case StepFailed():
            return f"{event.step} {_of_failure(event.kind)}"
        case CompensationSucceeded():
            return f"{event.step} is undone"
        case CompensationFailed():
            return f"the compensation of {event.step} {_of_failure(event.kind)}"
        case CompensationWaits():
            return f"the compensation of {event.step} waits for {', '.join(event.names)}"
        case ProbeAnswered():
            return f"the probe of {event.step} finds that it has {'' if event.done else 'not '}run"
        case ProbeFailed():
            return f"the probe of {event.step} does not find out"
        case EventReceived():
            return f"{event.name} comes"
        case WaitDefaulted():
            return f"{event.step} ends with its default"
        case Resumed():
            return "the process dies, and another one takes the saga over"
        case SagaParked():
            return "each process that runs it dies"
        case _:
            return name_of(event)


def _of_failure(kind: FailureKind) -> str:
    match kind:
        case FailureKind.ERROR | FailureKind.FATAL:
            return "fails for good"
        case FailureKind.UNKNOWN:
            return "is cut short, and may have run"
        case FailureKind.OUTPUT_LOST:
            return "runs, and its output cannot be stored"
        case FailureKind.UNREADABLE:
            return "cannot be called: its input cannot be read"
        case FailureKind.BUSINESS_ERROR:
            return "is refused"
        case FailureKind.INTERRUPTED:
            return "is cut short, and has not run"
        case FailureKind.CONFLICTS:
            return "conflicts with other transactions too often"
        case _:
            assert_never(kind)


def _of_inputs(event: Event) -> Iterator[str]:
    for each in event.inputs if carries_inputs(event) else ():
        match each:
            case Unbindable():
                yield f"the input of {each.step} cannot be computed"
            case Declined():
                yield f"{each.step} is not taken"
            case BoundEach():
                yield f"{each.step} has {each.items} item{'s' if each.items != 1 else ''}"
            case _:
                continue


def _of_time(before: SagaState | None, after: SagaState) -> Iterator[str]:
    """The work of the timers, by comparing before and after."""
    steps: dict[StepId, StepState] = {} if before is None else {step.step: step for step in before.steps}
    for name, was in steps.items():
        now = find(after, name)
        if isinstance(was, Sleeping) and not isinstance(now, Sleeping):
            yield f"{name} is over"
        elif isinstance(was, Waiting) and isinstance(now, FailedForGood):
            yield f"{name} is over without an event"
        elif isinstance(was, UndoWaiting) and isinstance(now, Undoing):
            yield f"the compensation of {name} has waited long enough"
        elif isinstance(now, Running) and not isinstance(was, Running):
            yield f"{name} is tried again"
    was_in_force = before is not None and before.goal is Goal.FORWARD and before.deadline is not None
    if was_in_force and after.goal is not Goal.FORWARD and after.deadline is None:
        yield "the deadline is over"
