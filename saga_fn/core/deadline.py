"""A saga's deadline, and what must pass before it."""

from __future__ import annotations

from collections.abc import Iterator

from saga_fn.core.ids import Micros, StepId
from saga_fn.core.plan import Plan, StepKind
from saga_fn.core.plan_flaws import DeadlineFlaw, SleepsTooLong, WaitsForEver, WaitsTooLong


def deadline_flaws(plan: Plan) -> Iterator[DeadlineFlaw]:
    """Why the saga could never be in time, or a timeout never be over.

    Only sleeps pass in full, whatever happens: what a wait is for may come at once, and it is not known how long steps take.
    Such a plan can be folded all the same, so that one that was stored is.
    """
    deadline = plan.data.deadline
    if deadline is None:
        return
    slept: dict[StepId, int] = {}  # at the least, by the end of each step
    for planned in plan.steps:
        before = max((slept[needed] for needed in planned.after), default=0)
        limit = planned.timeout or 0
        sleeps = planned.kind is StepKind.SLEEP
        slept[planned.step] = before + limit if sleeps else before
        if _is_past_the_pivot(plan, planned.step):
            continue
        if planned.kind is StepKind.EVENT and planned.timeout is None:
            yield WaitsForEver(planned.step)
        elif limit and before + limit >= deadline:
            kind = SleepsTooLong if sleeps else WaitsTooLong
            yield kind(planned.step, Micros(limit), Micros(before), deadline)


def _is_past_the_pivot(plan: Plan, step: StepId) -> bool:
    """Whether no deadline counts there. One that may not be taken may leave the deadline in force."""
    pivot = plan.pivot
    return pivot is not None and not plan.step(pivot).conditional and step in plan.descendants[pivot]
