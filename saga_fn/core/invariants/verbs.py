"""I17: of operators' verbs. Each does what it says to what it names, in the state that the operator saw."""

from __future__ import annotations

from saga_fn.core.events import RetryRequested, is_verb
from saga_fn.core.invariants.edge import Edge
from saga_fn.core.state import Goal, Parked, Retrying, UndoParked, UndoRetrying, Unknown


def i17_a_verb_is_for_the_state_that_the_operator_saw(edge: Edge) -> bool:
    """A verb that names a revision is applied to no other."""
    return not is_verb(edge.event) or edge.event.expect in (None, edge.before.rev)


def i17_a_retry_is_of_the_step_it_names(edge: Edge) -> bool:
    """Of a saga that has not ended no other step gets a fresh count or an earlier attempt; and that one waited."""
    if not isinstance(edge.event, RetryRequested) or not edge.event.step or edge.before.goal is Goal.FAILED:
        return True
    waiting = Parked | Retrying | Unknown | UndoParked | UndoRetrying
    for was, now in edge.steps:
        if edge.event.step in (now.step, edge.plan.owner(now.step)) or not isinstance(was, waiting):
            continue
        if isinstance(now, Retrying | UndoRetrying | Unknown) and now != was:
            return False
    return True
