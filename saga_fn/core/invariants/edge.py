"""The subject of laws: an edge from one state to the next, and what begins or ends with it.

Every edge of an exploration is held to every law, so here and in the laws types are looked into by `is`, or in sets: isinstance
is ten times as slow where it says no.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias, get_args

import msgspec
from typing_extensions import TypeIs

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
    UndoParked,
    UndoRetrying,
    UndoWaiting,
    Unfinished,
    Waiting,
    execution_of,
    is_executing,
    is_undo,
    is_unfinished,
)

GoingForward: TypeAlias = Running | Retrying | Parked | Waiting | Sleeping | Probing
Tried: TypeAlias = Unfinished | Undoing | UndoRetrying | UndoWaiting | UndoParked | UndoFailed
Pair: TypeAlias = tuple[StepState | None, StepState]
"""A step before an event, None if it had not begun, and after it."""

_TRIED: Final[frozenset[type[object]]] = frozenset(get_args(Tried))


class Edge(msgspec.Struct, frozen=True, gc=False):
    """An accepted event: the plan it was folded with, the state before, and what it led to. The rest follows from these."""

    plan: Plan
    before: SagaState
    event: Event
    moved: Transition
    after: SagaState
    """The state that the event led to."""
    steps: tuple[Pair, ...]
    """The steps of the state after."""
    changed: tuple[Pair, ...]
    """Those of them that the event has touched. The fold leaves all others as the same objects, and they are the most."""
    started: tuple[tuple[StepState | None, Running | Undoing | Probing], ...]
    """Those of them of which an execution starts."""
    turned: tuple[Pair, ...]
    """Those of them that begin to be undone."""

    @classmethod
    def of(cls, plan: Plan, before: SagaState, event: Event, moved: Transition) -> Edge:
        """The edge between these two."""
        known = {step.step: step for step in before.steps}
        steps = tuple([(known.get(now.step), now) for now in moved.state.steps])
        changed: list[Pair] = []
        started: list[tuple[StepState | None, Running | Undoing | Probing]] = []
        turned: list[Pair] = []
        for was, now in steps:
            if was is now:
                continue
            changed.append((was, now))
            if is_executing(now) and starts(was, now):
                started.append((was, now))
            if is_undo(now) and not is_undo(was):
                turned.append((was, now))
        return cls(plan, before, event, moved, moved.state, steps, tuple(changed), tuple(started), tuple(turned))


StateLaw: TypeAlias = Callable[[Plan, SagaState], bool]
EdgeLaw: TypeAlias = Callable[[Edge], bool]


def is_tried(step: StepState | None) -> TypeIs[Tried]:
    """Whether attempts of the step are counted: on its way forward, or of its undoing."""
    return type(step) in _TRIED


def starts(was: StepState | None, now: Running | Undoing | Probing) -> bool:
    """Whether this execution of the step starts."""
    return not is_executing(was) or type(was) is not type(now) or execution_of(was) != execution_of(now)


def stops(was: Running | Undoing | Probing, now: StepState) -> bool:
    """Whether the execution of the step that was running does no more."""
    return not is_executing(now) or starts(was, now)


def brings_its_result(event: Event, was: StepState | None) -> bool:
    """Whether the event is the success of the execution that ran, or the answer of the probe, or of a person, about one."""
    if type(event) is StepSucceeded:
        return type(was) is Running and (event.step, event.attempt) == (was.step, was.attempts.attempt)
    if type(event) is StepSettled:
        if not is_unfinished(was) or is_executing(was) or not was.attempts.doubt:
            return False
        return (event.step, event.finding) == (was.step, Finding.DONE)
    if type(event) is not ProbeAnswered or not event.done:
        return False
    return type(was) is Probing and (event.step, event.attempt) == (was.step, was.attempts.probes)
