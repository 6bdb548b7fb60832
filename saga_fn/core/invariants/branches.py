"""I7, I8: of branches. The order of steps, and the effect of one's failure on the others."""

from __future__ import annotations

from saga_fn.core.effects import CancelExecution
from saga_fn.core.events import Declined, Event, Finding, StepFailed, StepSettled, carries_inputs
from saga_fn.core.invariants.edge import Edge
from saga_fn.core.plan import Plan
from saga_fn.core.state import Doubt, Goal, NotTaken, Retrying, Rewound, Running, SagaState, StepState, Unknown, is_done


def i7_nothing_runs_before_what_it_follows(plan: Plan, state: SagaState) -> bool:
    """A saga going forward has begun only steps with everything done that they follow."""
    if state.goal not in (Goal.FORWARD, Goal.COMPLETED):
        return True  # its plan may have changed while it was rolling back
    done = {step.step for step in state.steps if is_done(step)}
    return all(done.issuperset(plan.step(step.step).after) for step in state.steps if type(step) is not Rewound)


def i7_no_successor_starts_early(edge: Edge) -> bool:
    """A step that starts has everything it follows done, by the plan of this edge."""
    begun = [now for was, now in edge.changed if was is None or type(was) is Rewound]
    begun += [now for _, now in edge.started if type(now) is Running]
    done = {step.step for step in edge.after.steps if is_done(step)}
    return all(type(now) is Rewound or done.issuperset(edge.plan.step(now.step).after) for now in begun)


def i7_only_a_condition_passes_over(edge: Edge) -> bool:
    """A step that is not taken was declined by the input of a conditional step, and no attempt of it may have run."""
    inputs = edge.event.inputs if carries_inputs(edge.event) else ()
    for was, now in edge.changed:
        if type(now) is not NotTaken or type(was) is NotTaken:
            continue
        declined = any(type(bound) is Declined and bound.step == now.step for bound in inputs)
        if not (declined and edge.plan.step(now.step).conditional and _surely_not_run(edge.event, was)):
            return False
    return True


def _surely_not_run(event: Event, was: StepState | None) -> bool:
    if was is None or isinstance(was, Rewound):
        return True
    if isinstance(event, StepSettled) and event.step == was.step:  # a person has just said so
        return isinstance(was, Retrying | Unknown) and event.finding is not Finding.DONE
    return isinstance(was, Retrying) and was.attempts.doubt is Doubt.NONE


def i8_siblings_are_cut_short_where_that_is_declared(plan: Plan, state: SagaState) -> bool:
    """A saga that turned back and does not await its siblings runs nothing forward, but for a pivot: that one decides."""
    forward = state.goal in (Goal.FORWARD, Goal.COMPLETED) or not plan.data.cancel_siblings
    return forward or not any(type(step) is Running and step.step != plan.pivot for step in state.steps)


def i8_siblings_are_awaited_unless_declared_otherwise(edge: Edge) -> bool:
    """The failure of one branch cuts no other short, unless the plan says so."""
    if type(edge.event) is not StepFailed or edge.plan.data.cancel_siblings:
        return True
    return not any(isinstance(action, CancelExecution) for action in edge.moved.actions)
