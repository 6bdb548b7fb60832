"""What a state means: facts derived from (plan, state), none of them stored twice.

`project` gives the columns of a saga's row that mirror its state, so that a scan can find it and a person can read it;
`verify` compares the two.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final, TypeAlias, TypeGuard, assert_never

import attrs
import msgspec
from typing_extensions import TypeIs

from saga_fn.core.ids import Moment, StepId
from saga_fn.core.items import Places, items_of
from saga_fn.core.plan import OnUnknown, Plan
from saga_fn.core.state import (
    ABIDING,
    COMMITTED,
    DONE,
    EXECUTING,
    Doubt,
    Exhausted,
    Gathered,
    Goal,
    NotTaken,
    Parked,
    Probing,
    Retrying,
    Running,
    SagaState,
    Skipped,
    Sleeping,
    Spread,
    StepState,
    Succeeded,
    Tries,
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
from saga_fn.core.straight import after_success
from saga_fn.core.waiting import alarms

_PASSED = DONE | {Undone, Spread}
_STRAIGHT = DONE | {Running}
"""All that the steps of a saga are while nothing has gone wrong."""
_Tried: TypeAlias = Unfinished | Undoing | UndoRetrying | UndoParked | UndoFailed | UndoWaiting
_Open: TypeAlias = _Tried | Waiting | Sleeping


class SagaStatus(enum.StrEnum):
    """The status of a saga, as everybody outside sees it.

    `COMPLETED`: every step is done. `COMPENSATED`: it was rolled back, and nothing is left over. `FAILED`: it ended
    otherwise, and the snapshot's `left_over` lists exactly what is left in the world.
    """

    RUNNING = "RUNNING"
    SUSPENDED = "SUSPENDED"
    COMPENSATING = "COMPENSATING"
    COMPLETED = "COMPLETED"
    COMPENSATED = "COMPENSATED"
    FAILED = "FAILED"

    @property
    def is_terminal(self) -> bool:
        """Whether the saga has ended."""
        return self in (SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.FAILED)


class WaitReason(enum.IntFlag):
    """Why a suspended saga waits; several branches may wait for several things."""

    NOTHING = 0
    RETRY = 1
    TIMER = 2
    EVENT = 4
    PAUSED = 8
    PARKED = 16


class LeftOverKind(enum.StrEnum):
    """What is left in the world of a step when its saga has FAILED."""

    NOT_UNDONE = "not undone"
    UNDO_FAILED = "undo failed"
    MAY_HAVE_RUN = "may have run"
    OUTPUT_LOST = "ran, output lost"
    MAY_STILL_RUN = "may still run"


@attrs.frozen
class LeftOver:
    """One step that a FAILED saga leaves behind. `until`: when it is certain to have stopped, where that matters."""

    step_id: StepId
    kind: LeftOverKind
    until: Moment | None = None


class Projection(msgspec.Struct, frozen=True, gc=False):
    """The columns of a saga's row that mirror its state."""

    status: SagaStatus
    waits: WaitReason
    due: Moment | None
    """When an unowned saga is to be claimed; None when no scan shall find it."""
    retry_counter: int
    """Failures of the step that is tried now."""
    current_step: StepId | None
    """The first step in the plan's order that is being worked on, in either direction."""
    parked: str | None
    """Why it waits for a person."""


_COMPLETED: Final = Projection(SagaStatus.COMPLETED, WaitReason.NOTHING, None, 0, None, None)


def find(state: SagaState, step: StepId) -> StepState | None:
    """The step's state, or None if it has not been started."""
    for candidate in state.steps:
        if candidate.step == step:
            return candidate
    return None


def startable(plan: Plan, state: SagaState) -> tuple[StepId, ...]:
    """The steps never started that may start now: all they follow is done, and the saga heads forward."""
    if state.goal is not Goal.FORWARD or state.begins > state.at:
        return ()
    return next_steps(plan, {step.step: step for step in state.steps})


def next_steps(plan: Plan, begun: Mapping[StepId, StepState]) -> tuple[StepId, ...]:
    """The steps that have not begun and follow only what is done, and the items of those that have fanned out."""
    found: list[StepId] = []
    for planned in plan.data.steps:
        if planned.step not in begun:
            for needed in planned.after:
                if type(begun.get(needed)) not in DONE:
                    break
            else:
                found.append(planned.step)
        elif planned.width and isinstance(spread := begun[planned.step], Spread):
            found += [item for item in items_of(spread) if item not in begun]
    return tuple(found)


def foresee(plan: Plan, state: SagaState, step: StepId) -> tuple[SagaState, tuple[StepId, ...]]:
    """What a step's success will make known, and whose inputs will then be needed, on the straight way; else nothing.

    Foresight only, so that inputs can be on the event when it is folded: whatever is missing, the fold asks for.
    """
    if (known := after_success(plan, state, step)) is not None:
        return known
    if state.goal is not Goal.FORWARD or not _STRAIGHT.issuperset(map(type, state.steps)):
        return state, ()
    begun: dict[StepId, StepState] = {each.step: each for each in state.steps}
    begun[step] = Succeeded(step, state.rev + 1)
    needs = next_steps(plan, begun)
    if plan.waits:
        needs = tuple(step for step in needs if plan.step(step).needs_input)
    return msgspec.structs.replace(state, steps=tuple(begun.values()), latest=0), needs


def undoable(plan: Plan, state: SagaState) -> tuple[Succeeded | Unknown | Exhausted, ...]:
    """The steps whose compensation may start now.

    The saga rolls back, nothing runs forward any more, what can be found out is, and everything that was built upon them
    is undone (Garcia-Molina & Salem 1987: in reverse order).
    """
    if state.goal is not Goal.ROLLBACK or held(state):
        return ()
    if any(isinstance(step, Running | Probing) or to_probe(step, plan) for step in state.steps):
        return ()
    owed = {plan.owner(step.step) for step in state.steps if owes_undo(plan, step)}
    found = [
        step
        for step in state.steps
        if isinstance(step, Succeeded | Unknown | Exhausted)
        and owes_undo(plan, step)
        and owed.isdisjoint(plan.descendants[plan.owner(step.step)])
    ]
    if plan.widths:
        places = Places(plan, state.steps)
        found = [step for step in found if places.take(step.step)]
    return tuple(found)


def owes_undo(plan: Plan, step: StepState) -> bool:
    """Whether the step's effect is in the world, or may be, and has a compensation for that which has not succeeded."""
    match step:
        case Succeeded():
            return plan.step(step.step).compensable
        case Undoing() | UndoRetrying() | UndoWaiting() | UndoParked() | UndoFailed():
            return True
        case Unknown() | Exhausted():
            return bool(step.tries.doubt) and plan.step(step.step).on_unknown is OnUnknown.UNDO
        case Running() | Retrying() | Parked() | Probing() | Undone():
            return False
        case Skipped() | NotTaken() | Spread() | Gathered():
            return False
        case Waiting() | Sleeping():
            return False
        case _:
            assert_never(step)


def to_probe(step: StepState, plan: Plan) -> TypeGuard[Unknown]:
    """Whether the step may have run, and its probe is to find out."""
    return plan.settles and type(step) is Unknown and plan.step(step.step).on_unknown is OnUnknown.PROBE


def past_pivot(plan: Plan, state: SagaState) -> bool:
    """Whether the plan has a pivot, and it is done: then the only way is forward."""
    return plan.pivot is not None and type(find(state, plan.pivot)) in COMMITTED


def held(state: SagaState) -> tuple[Moment, ...]:
    """The moments up to which executions that were taken from their worker may go on, and hold the saga up.

    Going forward such an execution holds up only its own repetition; a rollback waits for all of them.
    """
    match state.goal:
        case Goal.FORWARD:
            holding = tuple(step.tries.until for step in state.steps if isinstance(step, Unknown))
        case Goal.ROLLBACK:
            holding = tuple(step.tries.until for step in state.steps if isinstance(step, Unfinished))
        case _:
            return ()
    return tuple(until for until in holding if until > state.at)


def left_over(plan: Plan, state: SagaState) -> tuple[LeftOver, ...]:
    """What the saga leaves in the world without its owner's consent; nothing unless it is FAILED."""
    if state.goal is not Goal.FAILED:
        return ()
    found = (_left_of(plan, step, state.at) for step in state.steps)
    return tuple(leftover for leftover in found if leftover is not None)


def _left_of(plan: Plan, step: StepState, at: Moment) -> LeftOver | None:
    match step:
        case Running() | Retrying() | Unknown() | Parked() | Exhausted() | Probing():
            return _doubtful(step.step, step.tries, at)
        case Succeeded():
            return LeftOver(step.step, LeftOverKind.NOT_UNDONE) if owes_undo(plan, step) else None
        case Undoing() | UndoRetrying() | UndoWaiting() | UndoParked() | UndoFailed():
            return LeftOver(step.step, LeftOverKind.UNDO_FAILED, step.tries.until if step.tries.until > at else None)
        case Skipped() | NotTaken() | Spread() | Gathered() | Undone() | Waiting() | Sleeping():
            return None
        case _:
            assert_never(step)


def _doubtful(step: StepId, tries: Tries, at: Moment) -> LeftOver | None:
    if tries.until > at:
        return LeftOver(step, LeftOverKind.MAY_STILL_RUN, tries.until)
    match tries.doubt:
        case Doubt.NONE:
            return None
        case Doubt.MAY_HAVE_RUN:
            return LeftOver(step, LeftOverKind.MAY_HAVE_RUN)
        case Doubt.OUTPUT_LOST:
            return LeftOver(step, LeftOverKind.OUTPUT_LOST)
        case _:
            assert_never(tries.doubt)


def needs_owner(state: SagaState) -> bool:
    """Whether something of the saga is being executed."""
    return not EXECUTING.isdisjoint(map(type, state.steps))


def suspect(state: SagaState, *, takeover: bool) -> bool:
    """Whether the saga may be what kills its processes: a second takeover without progress. It is to run apart."""
    return state.crashes + (1 if takeover and needs_owner(state) else 0) >= 2  # noqa: PLR2004 - the second one


def ready(plan: Plan, state: SagaState) -> bool:
    """Whether an owner of the saga has something to do now, timers apart."""
    if state.ended:
        return False
    if needs_owner(state) or startable(plan, state) or undoable(plan, state):
        return True
    if state.goal is Goal.FORWARD:
        return any(isinstance(step, Unknown) and looked_into(step) <= state.at for step in state.steps)
    if state.goal is Goal.ROLLBACK and (pending := [step for step in state.steps if to_probe(step, plan)]):
        return any(looked_into(step) <= state.at for step in pending)
    # A rollback that waits for nothing has only its end to come.
    return not held(state) and not any(
        isinstance(step, UndoRetrying | UndoWaiting | UndoParked) for step in state.steps
    )


def looked_into(step: Unknown) -> Moment:
    """From when on something is to be done about the step."""
    return max(step.tries.until, step.wake)


def due(plan: Plan, state: SagaState) -> Moment | None:
    """When the saga, unowned, has something to do; None if it has ended or waits for a person alone."""
    return _due(state) if not ready(plan, state) else state.at


def _due(state: SagaState) -> Moment | None:
    if state.ended:
        return None
    wakes = [
        step.wake
        for step in state.steps
        if isinstance(step, Retrying | UndoRetrying) or (isinstance(step, Unknown) and step.wake > state.at)
    ]
    return min((*wakes, *held(state), *alarms(state)), default=None)


def project(plan: Plan, state: SagaState) -> Projection:
    """The saga's row as its state would have it."""
    if state.goal is Goal.COMPLETED:
        return _COMPLETED
    if state.goal is Goal.FORWARD and _STRAIGHT.issuperset(map(type, state.steps)):
        for step in state.steps:
            if type(step) is Running:
                return Projection(
                    SagaStatus.RUNNING, WaitReason.NOTHING, state.at, step.tries.failures, step.step, None
                )
    current = _current(state)
    is_ready = ready(plan, state)
    status = _status(state, is_ready=is_ready)
    return Projection(
        status=status,
        waits=_waits(state) if status is SagaStatus.SUSPENDED else WaitReason.NOTHING,
        due=state.at if is_ready else _due(state),
        retry_counter=0 if current is None or _abides(current) else current.tries.failures,
        current_step=current.step if current is not None else next(iter(startable(plan, state)), None),
        parked=next((step.why.value for step in state.steps if isinstance(step, Parked | UndoParked)), None),
    )


def _current(state: SagaState) -> _Open | None:
    """The step that explains the saga's status: what is worked on, else what went wrong."""
    wrong: _Open | None = None
    for step in state.steps:
        if _is_open(step):
            if not isinstance(step, UndoFailed | Exhausted):
                return step
            wrong = wrong or step
    return wrong


def _is_open(step: StepState) -> TypeIs[_Open]:
    return type(step) not in _PASSED


def _abides(step: StepState) -> TypeIs[Waiting | Sleeping]:
    return type(step) in ABIDING


def _waits(state: SagaState) -> WaitReason:
    reasons = (
        (WaitReason.RETRY, any(_waits_for_a_try(step, state.at) for step in state.steps)),
        (WaitReason.TIMER, bool(held(state)) or _waits_for_a_moment(state)),
        (WaitReason.EVENT, any(isinstance(step, Waiting | UndoWaiting) for step in state.steps)),
        (WaitReason.PARKED, any(isinstance(step, Parked | UndoParked) for step in state.steps)),
    )
    return WaitReason(sum(reason for reason, waits in reasons if waits))


def _waits_for_a_moment(state: SagaState) -> bool:
    """Whether the saga itself waits for a moment, or a sleep does; that a wait for an event may end by itself is apart."""
    if state.goal is not Goal.FORWARD:
        return False
    return (
        state.deadline is not None or state.begins > state.at or any(isinstance(step, Sleeping) for step in state.steps)
    )


def _waits_for_a_try(step: StepState, at: Moment) -> bool:
    return isinstance(step, Retrying | UndoRetrying) or (isinstance(step, Unknown) and step.wake > at)


def _status(state: SagaState, *, is_ready: bool) -> SagaStatus:
    match state.goal:
        case Goal.COMPLETED | Goal.COMPENSATED | Goal.FAILED:
            return SagaStatus[state.goal.name]
        case Goal.ROLLBACK:
            return SagaStatus.COMPENSATING if is_ready else SagaStatus.SUSPENDED
        case Goal.FORWARD | Goal.HALT:
            return SagaStatus.RUNNING if is_ready else SagaStatus.SUSPENDED
        case _:
            assert_never(state.goal)


def verdict(plan: Plan, state: SagaState) -> Goal:
    """How a rollback that has nothing more to do ends: COMPENSATED only if nothing at all is left over."""
    left = (_left_of(plan, step, state.at) for step in state.steps)
    return Goal.FAILED if any(left) else Goal.COMPENSATED
