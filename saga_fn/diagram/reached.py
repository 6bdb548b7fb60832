"""When the steps of a saga came to their ends, as far as its journal tells, and so when others could begin."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import final

from saga_fn.core.ids import StepId, owner_of
from saga_fn.core.plan import Plan, PlannedStep
from saga_fn.diagram.seen import EntrySeen


@final
class Reached:
    """The ends of a saga's steps, while its journal is read."""

    def __init__(self, entries: Sequence[EntrySeen], plan: Plan | None) -> None:
        self.plan: Plan | None = plan
        self.first: datetime | None = entries[0].timestamp if entries else None
        self.last: datetime | None = max((entry.timestamp for entry in entries), default=None)
        self.before: datetime | None = None
        """When the entry before was written."""
        self.ended: dict[str, datetime] = {}
        told = {owner_of(StepId(entry.step_id)) for entry in entries if entry.step_id}
        self._silent = {
            step.step
            for step in (plan.steps if plan else ())
            if step.step not in told and (step.conditional or step.concurrency)
        }
        """Steps that were passed over without a word, so that those after them did not wait for them."""
        self._passed: dict[str, datetime | None] = {}
        """When the silent ones were passed over, as far as that was asked since `ended` was changed."""

    def changed(self) -> None:
        """Forget what was worked out from `ended`."""
        self._passed.clear()

    def planned(self, step: str) -> PlannedStep | None:
        """The step, or the fan-out that the item is of, in the plan."""
        if self.plan is None or StepId(step) not in self.plan:
            return None
        return self.plan.step(StepId(step))

    def all_before(self, step: str) -> datetime | None:
        """When all that the step follows was done; without the plan, the entry before."""
        planned = self.planned(step)
        if planned is None:
            return self.before
        found = [self.end_of(before) for before in planned.after]
        return max((each for each in found if each is not None), default=self.first)

    def end_of(self, step: str) -> datetime | None:
        """When the step came to its end, or was passed over."""
        if step in self.ended or step not in self._silent:
            return self.ended.get(step)
        if step not in self._passed:
            self._passed[step] = self.all_before(step)
        return self._passed[step]
