"""The status of each step, in words for people."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Final, Literal, TypeAlias, assert_never

import msgspec

from saga_fn.core.facts import owes_undo, settled_from, to_probe
from saga_fn.core.fan_out import items_of
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.plan import OnUnknown, Plan, StepKind
from saga_fn.core.state import (
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
    Unknown,
    Waiting,
)

AwaitedCall: TypeAlias = Literal["attempt", "probe", "undo"]
"""The call that is made next of a step that waits for one."""


class StepStatus(enum.StrEnum):
    """The status of one step of a saga."""

    PENDING = "PENDING"
    """Not begun, or given up before its first call; in a saga that turned back, a fan-out of which not all items had begun."""
    RUNNING = "RUNNING"
    """Being executed."""
    RETRYING = "RETRYING"
    """Waits for its next attempt."""
    UNKNOWN = "UNKNOWN"
    """Was cut short: it may have run."""
    PROBING = "PROBING"
    """May have run, and that is being found out."""
    PARKED = "PARKED"
    """Waits for a person."""
    FAILED = "FAILED"
    """Failed for good."""
    SUCCEEDED = "SUCCEEDED"
    """Done."""
    SKIPPED = "SKIPPED"
    """Passed over, by a person or because its condition did not hold."""
    WAITING = "WAITING"
    """Waits for an event from outside."""
    SLEEPING = "SLEEPING"
    """Waits for a moment."""
    COMPENSATING = "COMPENSATING"
    """Being undone."""
    COMPENSATION_RETRYING = "COMPENSATION_RETRYING"
    """Its compensation waits for its next attempt."""
    COMPENSATION_WAITING = "COMPENSATION_WAITING"
    """Its compensation waits for an event from outside."""
    COMPENSATION_PARKED = "COMPENSATION_PARKED"
    """Its compensation waits for a person."""
    COMPENSATION_FAILED = "COMPENSATION_FAILED"
    """Its compensation failed for good."""
    COMPENSATED = "COMPENSATED"
    """Undone."""


def is_tried_again(status: StepStatus) -> bool:
    """Whether the step waits for another try, or is to be tried again because it may have run."""
    return status in (StepStatus.RETRYING, StepStatus.UNKNOWN, StepStatus.COMPENSATION_RETRYING)


def is_of_undo(status: StepStatus) -> bool:
    """Whether the compensation of the step is at work, waits, or has failed."""
    return status in (
        StepStatus.COMPENSATING,
        StepStatus.COMPENSATION_RETRYING,
        StepStatus.COMPENSATION_WAITING,
        StepStatus.COMPENSATION_PARKED,
        StepStatus.COMPENSATION_FAILED,
    )


def is_executed(status: StepStatus) -> bool:
    """Whether something of the step is being executed."""
    return status in (StepStatus.RUNNING, StepStatus.PROBING, StepStatus.COMPENSATING)


def is_not_undone(status: StepStatus) -> bool:
    """Whether the step has succeeded, and its compensation has not."""
    return status in (
        StepStatus.SUCCEEDED,
        StepStatus.COMPENSATING,
        StepStatus.COMPENSATION_RETRYING,
        StepStatus.COMPENSATION_WAITING,
        StepStatus.COMPENSATION_PARKED,
        StepStatus.COMPENSATION_FAILED,
    )


class StepReport(msgspec.Struct, frozen=True):
    """One step of a saga at one moment. `attempt` numbers the executions in the step's present direction."""

    step_id: StepId
    status: StepStatus
    attempt: int = 0
    failures: int = 0
    wake: Moment | None = None
    """When it is tried again, or its wait is over."""
    parked: str | None = None
    """Why it waits for a person."""
    awaits: AwaitedCall | None = None
    """The call that it waits for, if it does."""


def report_of(plan: Plan, state: SagaState) -> tuple[StepReport, ...]:
    """Every step of the plan, in its order, and its items after a step that fanned out."""
    begun = {step.step: step for step in state.steps}
    found: list[StepReport] = []
    for planned in plan.steps:
        step = begun.get(planned.step)
        if isinstance(step, FannedOut | Joined):
            items = [_report(plan, state, item, begun.get(item)) for item in items_of(step)]
            found += [StepReport(step.step, _status_of_all(step, items, state.goal)), *items]
        else:
            found.append(_report(plan, state, planned.step, step, is_call=planned.kind is StepKind.STEP))
    return tuple(found)


_TELLING: Final = (
    StepStatus.RUNNING,
    StepStatus.PROBING,
    StepStatus.COMPENSATING,
    StepStatus.PARKED,
    StepStatus.COMPENSATION_PARKED,
    StepStatus.RETRYING,
    StepStatus.COMPENSATION_RETRYING,
    StepStatus.COMPENSATION_WAITING,
    StepStatus.COMPENSATION_FAILED,
    StepStatus.FAILED,
    StepStatus.UNKNOWN,
    StepStatus.COMPENSATED,
)
"""The status that one item gives to the whole fan-out, first come first."""


def _status_of_all(step: FannedOut | Joined, items: Iterable[StepReport], goal: Goal) -> StepStatus:
    among = {item.status for item in items}
    telling = next((status for status in _TELLING if status in among), None)
    if telling is None and isinstance(step, FannedOut) and goal is not Goal.FORWARD:
        return StepStatus.PENDING
    return telling or status_of(step)


def _report(
    plan: Plan, state: SagaState, step_id: StepId, step: StepState | None, *, is_call: bool = True
) -> StepReport:
    match step:
        case None:
            return StepReport(step_id, StepStatus.PENDING)
        case FailedForGood(attempts=attempts) if is_call and not attempts.attempt:  # parked, and given up
            return StepReport(step_id, StepStatus.PENDING)
        case Succeeded() | Skipped() | Settled() | NotTaken() | FannedOut() | Joined() | Undone() | Rewound():
            return StepReport(step_id, status_of(step))
        case Waiting(times_out_at=until):
            return StepReport(step_id, StepStatus.WAITING, wake=until)
        case Sleeping(wake=wake):
            return StepReport(step_id, StepStatus.SLEEPING, wake=wake)
        case _:
            return StepReport(
                step_id,
                status_of(step),
                attempt=step.attempts.attempt,
                failures=step.attempts.failures,
                wake=_wake(step),
                parked=step.why.value if isinstance(step, Parked | UndoParked) else None,
                awaits=_awaits(plan, state, step),
            )


def _wake(step: StepState) -> Moment | None:
    if isinstance(step, UndoWaiting):
        return step.times_out_at
    if isinstance(step, Unknown):
        return settled_from(step) or None
    return step.wake or None if isinstance(step, Retrying | UndoRetrying) else None


def _awaits(plan: Plan, state: SagaState, step: StepState) -> AwaitedCall | None:
    match step:
        case Retrying():
            return "attempt"
        case UndoRetrying():
            return "undo"
        case Unknown() if not state.ended:
            if to_probe(step, plan):
                return "probe"
            if state.goal is not Goal.FORWARD:
                return "undo" if owes_undo(plan, step) else None
            return "attempt" if plan.step(step.step).on_unknown is OnUnknown.REPEAT else None
        case _:
            return None


def status_of(step: StepState) -> StepStatus:
    """The status of a step that has begun."""
    match step:
        case Running() | FannedOut():
            return StepStatus.RUNNING
        case Retrying():
            return StepStatus.RETRYING
        case Unknown():
            return StepStatus.UNKNOWN
        case Probing():
            return StepStatus.PROBING
        case Parked():
            return StepStatus.PARKED
        case FailedForGood():
            return StepStatus.FAILED
        case Succeeded() | Settled() | Joined():
            return StepStatus.SUCCEEDED
        case Skipped() | NotTaken():
            return StepStatus.SKIPPED
        case Rewound():
            return StepStatus.PENDING
        case Undoing():
            return StepStatus.COMPENSATING
        case UndoRetrying():
            return StepStatus.COMPENSATION_RETRYING
        case UndoParked():
            return StepStatus.COMPENSATION_PARKED
        case UndoFailed():
            return StepStatus.COMPENSATION_FAILED
        case Undone():
            return StepStatus.COMPENSATED
        case Waiting():
            return StepStatus.WAITING
        case Sleeping():
            return StepStatus.SLEEPING
        case UndoWaiting():
            return StepStatus.COMPENSATION_WAITING
        case _:
            assert_never(step)
