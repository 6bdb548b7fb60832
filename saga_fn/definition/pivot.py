"""The pivot: where in a saga the point of no return may be."""

from __future__ import annotations

from collections.abc import Sequence

from saga_fn.core.ids import StepId
from saga_fn.core.plan import PlannedStep
from saga_fn.errors import SagaDefinitionError, shown


def check_pivot(steps: Sequence[PlannedStep]) -> None:
    """Raise SagaDefinitionError for a saga that would not know which way to go once its pivot is done."""
    pivots = [planned.step for planned in steps if planned.pivot]
    if len(pivots) > 1:
        raise SagaDefinitionError(
            f"steps {shown(pivots[0])} and {shown(pivots[1])} are both the pivot of this saga",
            hint="a saga has one point of no return: set pivot=True on the step after which nothing is undone any more",
        )
    if not pivots:
        return
    (pivot,) = pivots
    if any(planned.pivot and planned.width for planned in steps):
        raise SagaDefinitionError(
            f"step {shown(pivot)} is done for each item, so it cannot be the pivot",
            hint="there is one point of no return: make a step before or after it the pivot",
        )
    after, before = _following(steps, pivot), _preceding(steps, pivot)
    for planned in steps:
        if planned.step == pivot and planned.compensable:
            raise SagaDefinitionError(
                f"step {shown(pivot)} is the pivot and has a compensation, which nothing would ever call",
                hint="leave out compensate=, or pivot=True if it can be undone",
            )
        if planned.step in after and planned.compensable:
            raise SagaDefinitionError(
                f"step {shown(planned.step)} has a compensation, but comes after the pivot {shown(pivot)}: "
                "from there the saga only goes forward",
                hint="leave its compensation out, or move the step before the pivot",
            )
        if planned.step not in after | before | {pivot}:
            raise SagaDefinitionError(
                f"step {shown(planned.step)} may run beside the pivot {shown(pivot)}, so nobody knows whether it is to be undone",
                hint="order it before or after the pivot with after= (or depends_on)",
            )


def _following(steps: Sequence[PlannedStep], pivot: StepId) -> set[StepId]:
    found: set[StepId] = set()
    for planned in steps:  # each after all that it depends on
        if not found.isdisjoint(planned.after) or pivot in planned.after:
            found.add(planned.step)
    return found


def _preceding(steps: Sequence[PlannedStep], pivot: StepId) -> set[StepId]:
    found = {pivot}
    for planned in reversed(steps):
        if planned.step in found:
            found.update(planned.after)
    return found - {pivot}
