"""Laws of `core/explain/prospects.py`: nothing comes of a saga by itself that was not said before."""

from __future__ import annotations

from functools import lru_cache

from saga_fn.core.events import PlanChanged, is_verb
from saga_fn.core.explain.prospects import Prospects, prospects
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.invariants import Edge
from saga_fn.core.leftovers import left_over
from saga_fn.core.plan import Plan
from saga_fn.core.projection import ended_as
from saga_fn.core.state import UNDOING, Goal, SagaState, StepState, UndoFailed, Undone

REMEMBERED = 1 << 16


@lru_cache(maxsize=REMEMBERED)
def known(plan: Plan, state: SagaState) -> Prospects:
    """The prospects of the state. Many edges lead to and from one."""
    return follow_from(plan, state.goal, state.steps, state.at, state.deadline)


@lru_cache(maxsize=REMEMBERED)
def follow_from(plan: Plan, goal: Goal, steps: tuple[StepState, ...], at: Moment, deadline: Moment | None) -> Prospects:
    """The prospects follow from this alone, and many states differ in the rest of it."""
    return prospects(plan, SagaState(0, at, goal, steps, deadline=deadline, plan=plan.id))


def within(plan: Plan, some: tuple[StepId, ...], all_of: tuple[StepId, ...]) -> bool:
    return all(each in all_of or plan.owner(each) in all_of for each in some)


def adds_nothing_to_its_prospects(edge: Edge) -> bool:
    """No move of a saga by itself makes more of it possible than was said before."""
    if not edge.changed and edge.after.goal is edge.before.goal:
        return True  # they follow from these two alone
    if is_verb(edge.event) or isinstance(edge.event, PlanChanged):
        return True
    then, now = known(edge.plan, edge.before), known(edge.plan, edge.after)
    return now == then or (
        now.ends <= then.ends
        and within(edge.plan, now.may_be_undone, then.may_be_undone)
        and within(edge.plan, now.may_be_left, then.may_be_left)
    )


def has_what_is_so_among_its_prospects(plan: Plan, state: SagaState) -> bool:
    said = prospects(plan, state)
    if said != known(plan, state):  # then something else of the state has a part in them
        return False
    if state.ended:
        return [*said.ends] == [ended_as(state)] and said.may_be_left == tuple(
            x.step_id for x in left_over(plan, state)
        )
    undoing = {each.step for each in state.steps if type(each) in UNDOING and not isinstance(each, Undone | UndoFailed)}
    return undoing <= set(said.may_be_undone)
