"""I8, I9, I10: of the way back. Never forward at once, what is undone, in which order, and that there is no return."""

from __future__ import annotations

from typing import Final, get_args

from saga_fn.core.events import CompensationSucceeded, Finding, RetryRequested, RewindRequested, StepSettled
from saga_fn.core.facts import owes_undo
from saga_fn.core.invariants.edge import Edge, GoingForward, brings_its_result
from saga_fn.core.invariants.pivot import the_pivot_says_so
from saga_fn.core.invariants.unknown_outcome import may_have_run
from saga_fn.core.plan import Plan
from saga_fn.core.state import (
    UNDOING,
    Goal,
    Retrying,
    Rewound,
    Running,
    SagaState,
    Settled,
    StepState,
    Succeeded,
    UndoFailed,
    Undoing,
    Undone,
    UndoParked,
    UndoRetrying,
    UndoWaiting,
    is_undo,
    is_unfinished,
)

_GOING_FORWARD: Final[frozenset[type[object]]] = frozenset(get_args(GoingForward))


def i8_nothing_runs_forward_beside_a_compensation(_plan: Plan, state: SagaState) -> bool:
    """Forward and back never at once."""
    return not (any(map(is_undo, state.steps)) and not _GOING_FORWARD.isdisjoint(map(type, state.steps)))


def i8_nothing_new_starts_once_it_turned_back(edge: Edge) -> bool:
    """No forward step is begun or repeated unless the saga goes forward.

    It does so again only from FAILED, by a person who takes it back, or by the pivot that was running when it was to turn back.
    """
    if edge.after.goal is Goal.FORWARD or edge.after.goal is Goal.COMPLETED:
        if edge.before.goal is Goal.FORWARD or type(edge.event) is RewindRequested:
            return True
        again = edge.before.goal is Goal.FAILED and type(edge.event) is RetryRequested
        return again or the_pivot_says_so(edge)
    return not any(type(now) is Running for _, now in edge.started)


def i9_only_what_succeeded_is_undone(edge: Edge) -> bool:
    """A compensation begins for a success that has one, or for what may have run where that is declared.

    For nothing else: no skipped step, none that is known not to have run.
    """
    return all(
        edge.plan.step(now.step).compensable
        and (
            isinstance(was, Succeeded | Settled)
            or brings_its_result(edge.event, was)
            or may_have_run(edge, was, now.step)
        )
        for was, now in edge.turned
    )


def i9_in_reverse_order(edge: Edge) -> bool:
    """A compensation begins when everything built upon its step is undone, and nothing runs forward any more."""
    return all(
        not any(
            isinstance(built, Running | Retrying)
            or owes_undo(edge.plan, built)
            or (is_unfinished(built) and built.attempts.may_run_until > edge.after.at)
            for built in edge.after.steps
            if edge.plan.owner(built.step) in edge.plan.descendants[edge.plan.owner(now.step)]
        )
        for _, now in edge.turned
        if type(now) is Undoing
    )


def i9_undone_means_its_compensation_returned(edge: Edge) -> bool:
    """A step is undone only by the success of the compensation that was running, or because a person says so of this step.

    A person can say so of a compensation that has begun and is certain not to run; of one that has not, once the saga has FAILED.
    """
    return all(
        isinstance(was, Undone)
        or (isinstance(was, Undoing) and isinstance(edge.event, CompensationSucceeded))
        or (isinstance(edge.event, StepSettled) and edge.event.step == now.step and _may_be_told(edge, was, edge.event))
        for was, now in edge.changed
        if type(now) is Undone
    )


def _may_be_told(edge: Edge, was: StepState | None, event: StepSettled) -> bool:
    if isinstance(was, Succeeded | Settled):
        owed = owes_undo(edge.plan, was) and edge.before.goal is Goal.FAILED
        return owed and event.finding is Finding.UNDONE and not _may_be_past(edge)
    if not isinstance(was, UndoFailed | UndoRetrying | UndoWaiting | UndoParked) or event.finding is Finding.DONE:
        return False
    if event.finding is Finding.NEVER_RAN and was.seq:
        return False
    return was.attempts.may_run_until <= edge.after.at or was.step in event.stopped


def _may_be_past(edge: Edge) -> bool:
    """Whether it is not known if the pivot has run."""
    return any(was.step == edge.plan.pivot and is_unfinished(was) and was.attempts.doubt for was in edge.before.steps)


def i10_no_way_forward_after_an_undo(edge: Edge) -> bool:
    """A saga that has begun to undo never goes forward again, unless all of that is taken back."""
    if edge.after.goal is not Goal.FORWARD and edge.after.goal is not Goal.COMPLETED:
        return True
    if UNDOING.isdisjoint(map(type, edge.before.steps)):
        return True
    return not any(is_undo(was) and type(now) is not Rewound for was, now in edge.steps)
