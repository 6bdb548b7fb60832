"""The subject of laws: an edge from one state to the next, and what begins or ends with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import attrs

from saga_fn.core.effects import Transition
from saga_fn.core.events import Event, Finding, ProbeAnswered, StepSettled, StepSucceeded
from saga_fn.core.plan import Plan
from saga_fn.core.state import (
    Parked,
    Probing,
    Retrying,
    Running,
    SagaState,
    Sleeping,
    StepState,
    UndoFailed,
    Undoing,
    Undone,
    UndoParked,
    UndoRetrying,
    UndoWaiting,
    Unfinished,
    Waiting,
    execution_of,
    is_executing,
)

GoingForward: TypeAlias = Running | Retrying | Parked | Waiting | Sleeping | Probing
Undo: TypeAlias = Undoing | UndoRetrying | UndoWaiting | UndoParked | UndoFailed | Undone
Tried: TypeAlias = Unfinished | Undoing | UndoRetrying | UndoWaiting | UndoParked | UndoFailed


@attrs.frozen
class Edge:
    """An accepted event: the plan it was folded with, the state before, and what it led to."""

    plan: Plan
    before: SagaState
    event: Event
    moved: Transition
    steps: tuple[tuple[StepState | None, StepState], ...]
    """For each step of the state after: what it was before (None if it had not begun), and what it is."""
    changed: tuple[tuple[StepState | None, StepState], ...]
    """Those of them that the event has touched. The fold leaves all others as the same objects, and they are the most."""

    @classmethod
    def of(cls, plan: Plan, before: SagaState, event: Event, moved: Transition) -> Edge:
        """The edge between these two."""
        was = {step.step: step for step in before.steps}
        steps = tuple([(was.get(now.step), now) for now in moved.state.steps])
        return cls(plan, before, event, moved, steps, tuple([pair for pair in steps if pair[0] is not pair[1]]))

    @property
    def after(self) -> SagaState:
        """The state that the event led to."""
        return self.moved.state


StateLaw: TypeAlias = Callable[[Plan, SagaState], bool]
EdgeLaw: TypeAlias = Callable[[Edge], bool]


def starts(was: StepState | None, now: StepState) -> bool:
    """Whether an execution of the step starts."""
    return _execution(now) is not None and _execution(was) != _execution(now)


def stops(was: StepState | None, now: StepState) -> bool:
    """Whether the execution of the step that was running does no more."""
    return _execution(was) is not None and _execution(was) != _execution(now)


def _execution(step: StepState | None) -> tuple[type[StepState], int] | None:
    return (type(step), execution_of(step)) if is_executing(step) else None


def begins_undo(was: StepState | None, now: StepState) -> bool:
    """Whether the step begins to be undone."""
    return isinstance(now, Undo) and not isinstance(was, Undo)


def brings_its_result(event: Event, was: StepState | None) -> bool:
    """Whether the event is the success of the execution that ran, or the answer of the probe, or of a person, about one."""
    if isinstance(event, StepSucceeded):
        return isinstance(was, Running) and (event.step, event.attempt) == (was.step, was.attempts.attempt)
    if isinstance(event, StepSettled):
        if not isinstance(was, Unfinished) or is_executing(was) or not was.attempts.doubt:
            return False
        return (event.step, event.finding) == (was.step, Finding.DONE)
    if not isinstance(event, ProbeAnswered) or not event.done:
        return False
    return isinstance(was, Probing) and (event.step, event.attempt) == (was.step, was.attempts.probes)
