"""The deadline of a saga, and what must pass before it."""

from __future__ import annotations

from datetime import timedelta

from saga_fn.core.ids import StepId
from saga_fn.core.plan import Plan, StepKind
from saga_fn.errors import SagaDefinitionError, shown


def check_deadline(plan: Plan) -> None:
    """Raise SagaDefinitionError for a saga that could never be in time, or for a timeout that could never be over.

    Only sleeps pass in full, whatever happens: what a wait is for may come at once, and nobody knows how long steps take.
    """
    deadline = plan.data.deadline
    if deadline is None:
        return
    slept: dict[StepId, int] = {}  # at the least, by the end of each step
    for planned in plan.steps:
        before = max((slept[needed] for needed in planned.after), default=0)
        limit = planned.limit or 0
        sleeps = planned.kind is StepKind.SLEEP
        slept[planned.step] = before + limit if sleeps else before
        if _is_past_the_pivot(plan, planned.step):
            continue
        if planned.kind is StepKind.EVENT and planned.limit is None:
            raise SagaDefinitionError(
                f"the wait {shown(planned.step)} has no timeout, but the saga has a deadline",
                hint="give it a timeout shorter than the deadline, and say with default= if the saga then goes on",
            )
        if limit and before + limit >= deadline:
            what = f"the sleep {shown(planned.step)} takes" if sleeps else f"the wait {shown(planned.step)} may take"
            after = f" after sleeps of {_shown(before)}" if before else ""
            vain = "the saga would never get past it" if sleeps else "its timeout would never be over"
            raise SagaDefinitionError(
                f"{what} {_shown(limit)}{after}, but the saga's deadline is {_shown(deadline)}",
                hint=f"{vain}: make it{' or the sleeps before it' if before else ''} shorter, or the deadline longer",
            )


def _is_past_the_pivot(plan: Plan, step: StepId) -> bool:
    """Whether no deadline counts there. One that may not be taken may leave the deadline in force."""
    pivot = plan.pivot
    return pivot is not None and not plan.step(pivot).conditional and step in plan.descendants[pivot]


def _shown(micros: int) -> timedelta:
    return timedelta(microseconds=micros)
