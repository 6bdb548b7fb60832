"""Whether a saga can go on by a plan, by a copy on which it is told of that."""

from __future__ import annotations

from returns.result import Failure

from saga_fn.core.effects import Rejection
from saga_fn.core.events import PlanChanged
from saga_fn.core.facts import parked_by_plan
from saga_fn.core.ids import Moment
from saga_fn.core.plan import Plan
from saga_fn.core.state import SagaState
from saga_fn.core.transition import transition


def misfit(plan: Plan, state: SagaState, at: Moment) -> Rejection | None:
    """How the plan does not fit what the saga has done; None if it does."""
    if state.plan == plan.id and not parked_by_plan(state):
        return None
    decision = transition(plan, state, PlanChanged(at, plan.id))
    if not isinstance(decision, Failure):
        return None
    rejection: Rejection = decision.failure()
    return rejection
