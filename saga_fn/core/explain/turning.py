"""By what a saga that goes forward may turn back by itself: steps that may fail for good, and its deadline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

import attrs

from saga_fn.core.ids import StepId
from saga_fn.core.plan import OnTimeout, OnUnknown, Plan, PlannedStep, StepKind
from saga_fn.core.state import (
    COMMITTED,
    Doubt,
    FailedForGood,
    FannedOut,
    Goal,
    Joined,
    NotTaken,
    Parked,
    Probing,
    Retrying,
    Rewound,
    Running,
    SagaState,
    Settled,
    Skipped,
    Sleeping,
    StepState,
    Succeeded,
    UndoFailed,
    Undoing,
    Undone,
    UndoParked,
    UndoRetrying,
    UndoWaiting,
    Unfinished,
    Unknown,
    Waiting,
)


@attrs.frozen
class Turning:
    """By what a saga may turn back."""

    plan: Plan
    steps: frozenset[StepId]
    """The steps of the plan that may fail for good."""
    at_any_time: bool
    """Whether it has a deadline, or has turned back already: then it may turn whatever becomes of its steps."""
    of_persons: frozenset[StepId]
    """The steps about which a doubt is a person's to end: the pivot, and what follows it, unless it is passed over."""

    @classmethod
    def of(cls, plan: Plan, state: SagaState) -> Turning:
        """By what the saga may turn back."""
        begun = {step.step: step for step in state.steps}
        of_persons = _of_persons(plan, state)
        may_fail = frozenset(
            planned.step
            for planned in plan.steps
            if _may_fail(planned, begun) and _turns_it(plan, planned, begun.get(planned.step), of_persons)
        )
        return cls(plan, may_fail, state.deadline is not None or state.goal is not Goal.FORWARD, of_persons)

    @property
    def is_possible(self) -> bool:
        """Whether it may turn back at all."""
        return self.at_any_time or bool(self.steps)

    def after(self, step: StepId) -> bool:
        """Whether it may turn back once that step, or item, is done."""
        owner = self.plan.owner(step)
        return self.at_any_time or any(
            owner not in self.plan.descendants[other] and (owner != other or bool(self.plan.step(owner).concurrency))
            for other in self.steps
        )

    def beside(self, step: StepId) -> bool:
        """Whether it may turn back, by another step, while it is open what that step, or item, has done."""
        owner = self.plan.owner(step)
        return self.at_any_time or any(
            owner not in self.plan.descendants[other]
            and other not in self.plan.descendants[owner]
            and (owner != other or bool(self.plan.step(owner).concurrency))
            for other in self.steps
        )

    def leaves_itself(self, state: SagaState) -> bool:
        """Whether each step by which it may turn is left over then: what is open about it already stays open."""
        if self.at_any_time:
            return False
        begun = {step.step: step for step in state.steps}
        return all(_stays_in_doubt(self.plan.step(step), begun.get(step)) for step in self.steps)


def _of_persons(plan: Plan, state: SagaState) -> frozenset[StepId]:
    if plan.pivot is None:
        return frozenset()
    # One that has begun may find its condition not to hold when it is tried again.
    may_be_passed_over = plan.step(plan.pivot).conditional and not any(
        step.step == plan.pivot and type(step) in COMMITTED for step in state.steps
    )
    behind = frozenset[StepId]() if may_be_passed_over else plan.descendants[plan.pivot]
    # A saga that undoes nothing probes nothing either once it has turned.
    is_given_up = plan.step(plan.pivot).on_unknown is OnUnknown.PROBE and not plan.data.compensate_on_failure
    return behind if is_given_up else behind | {plan.pivot}


def _turns_it(plan: Plan, planned: PlannedStep, step: StepState | None, of_persons: frozenset[StepId]) -> bool:
    """Whether the saga turns back if the step fails for good. A person is asked about a pivot that is in doubt."""
    if planned.step == plan.pivot:
        return not _stays_in_doubt(planned, step)
    return planned.step not in of_persons


def _may_fail(planned: PlannedStep, begun: Mapping[StepId, StepState]) -> bool:
    """Whether the step, or an item of it, may fail for good by itself: a call, or a wait whose time may be over."""
    step = begun.get(planned.step)
    match step:
        case None | Rewound() | Retrying() | Parked():
            is_limited = planned.timeout is not None and planned.on_timeout is OnTimeout.FAIL
            return planned.kind is StepKind.STEP or (planned.kind is StepKind.EVENT and is_limited)
        case Waiting():
            return step.times_out_at is not None and planned.on_timeout is OnTimeout.FAIL
        case Running() | Probing() | Unknown() | FailedForGood() | FannedOut():
            return True
        case (
            Succeeded()
            | Skipped()
            | Settled()
            | NotTaken()
            | Joined()
            | Sleeping()
            | Undoing()
            | UndoRetrying()
            | UndoWaiting()
            | UndoParked()
            | UndoFailed()
            | Undone()
        ):
            return False
        case _:
            assert_never(step)


def _stays_in_doubt(planned: PlannedStep, step: StepState | None) -> bool:
    """Whether it stays open what the step has done, if it fails for good: no answer of it, and no undo, can end that."""
    is_open = isinstance(step, Unfinished) and step.attempts.doubt is not Doubt.NONE
    may_be_told = planned.refusal_settles or planned.undoes_in_doubt or planned.on_unknown is not OnUnknown.REPEAT
    return is_open and not may_be_told
