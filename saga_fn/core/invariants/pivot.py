"""I10: of the pivot, by the plan that an edge was folded with: a plan without one has no point of no return."""

from __future__ import annotations

from saga_fn.core.events import AbortRequested, ProbeAnswered, StepSettled, StepSucceeded
from saga_fn.core.facts import find
from saga_fn.core.invariants.edge import Edge
from saga_fn.core.plan import Plan
from saga_fn.core.state import (
    COMMITTED,
    Doubt,
    FailedForGood,
    Goal,
    Parked,
    Probing,
    Retrying,
    Running,
    SagaState,
    Settled,
    Succeeded,
    Undo,
    Undone,
    Unknown,
)


def past_pivot(plan: Plan, state: SagaState) -> bool:
    """Whether the plan has a pivot, and it is done: then the only way is forward."""
    return plan.pivot is not None and type(find(state, plan.pivot)) in COMMITTED


def i10_nothing_is_undone_past_the_pivot(plan: Plan, state: SagaState) -> bool:
    """Once the pivot is done nothing is undone, and the saga goes forward until it has completed or a person ends it.

    A person may undo by hand what that end has left, and say so.
    """
    if not past_pivot(plan, state):
        return True
    return state.goal in (Goal.FORWARD, Goal.COMPLETED, Goal.FAILED) and not any(
        isinstance(step, Undo | FailedForGood)
        and not (state.goal is Goal.FAILED and isinstance(step, FailedForGood | Undone))
        for step in state.steps
    )


def i10_only_a_person_ends_it_past_the_pivot(edge: Edge) -> bool:
    """A saga whose pivot is done fails by an abort alone; one that has FAILED may be found to be past its pivot."""
    ends = edge.before.goal is not Goal.FAILED and edge.after.goal is Goal.FAILED and past_pivot(edge.plan, edge.after)
    return not ends or isinstance(edge.event, AbortRequested)


def i10_no_way_back_from_a_pivot_in_doubt(edge: Edge) -> bool:
    """Nothing begins to be undone while the pivot may have run, unless a person has decided to turn back all the same."""
    return not edge.turned or not any(
        step.step == edge.plan.pivot and isinstance(step, Running | Retrying | Unknown | Parked | Probing)
        for step in edge.after.steps
    )


def the_pivot_says_so(edge: Edge) -> bool:
    """A way back that has not begun gives way to a pivot that turns out to be done, or that may have been.

    So it does where nothing is compensated on a failure, and the saga only was to stop.
    """
    if edge.before.goal not in (Goal.ROLLBACK, Goal.HALT) or edge.plan.pivot is None:
        return False
    pivot = find(edge.after, edge.plan.pivot)
    in_doubt = isinstance(pivot, Parked) and pivot.attempts.doubt is not Doubt.NONE
    told = isinstance(pivot, Succeeded | Settled)
    return in_doubt or (told and isinstance(edge.event, StepSucceeded | ProbeAnswered | StepSettled))
