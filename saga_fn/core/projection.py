"""The view of a state: the columns of a saga's row that mirror it, so that a scan can find it and a person can read it.

`verify` compares the two.
"""

from __future__ import annotations

import enum
from typing import Final, TypeAlias, assert_never

import msgspec
from typing_extensions import TypeIs

from saga_fn.core.facts import blocked_until, parked_by_plan, ready, startable, wakes_at
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.plan import Plan
from saga_fn.core.state import (
    DONE,
    UNDISTURBED,
    FailedForGood,
    FannedOut,
    Goal,
    Parked,
    Rest,
    Retrying,
    Rewound,
    Running,
    SagaState,
    Sleeping,
    StepState,
    UndoFailed,
    Undoing,
    Undone,
    UndoParked,
    UndoRetrying,
    UndoWaiting,
    Unfinished,
    Unknown,
    Waiting,
    abides,
    rest_of,
)

_PASSED = DONE | {Undone, FannedOut, Rewound}
_BACK: Final = DONE | {Undone, FailedForGood, Undoing, FannedOut}
"""All that the steps of a saga are while it goes back and nothing of it waits."""
_RETRYING: Final[frozenset[type[object]]] = frozenset({Retrying, UndoRetrying})
_Tried: TypeAlias = Unfinished | Undoing | UndoRetrying | UndoParked | UndoFailed | UndoWaiting
_Open: TypeAlias = _Tried | Waiting | Sleeping


class SagaStatus(enum.StrEnum):
    """The status of a saga."""

    RUNNING = "RUNNING"
    """It goes forward: a process works on it, or is to."""
    SUSPENDED = "SUSPENDED"
    """It waits: for a retry, a moment, an event or a person. It may be going back: the snapshot's `goes_back` tells."""
    COMPENSATING = "COMPENSATING"
    """It is being rolled back: a process works on it, or is to."""
    COMPLETED = "COMPLETED"
    """It has ended: every step is done."""
    COMPENSATED = "COMPENSATED"
    """It has ended: it was rolled back, and all that has a compensation is undone; `stays_done` lists the steps without."""
    FAILED = "FAILED"
    """It has ended otherwise; the snapshot's `left_over` lists exactly which effects are left in the world."""

    @property
    def is_terminal(self) -> bool:
        """Whether the saga has ended."""
        return self in (SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.FAILED)

    @property
    def is_success(self) -> bool:
        """Whether the saga has ended as it was meant to: every step is done."""
        return self is SagaStatus.COMPLETED


class WaitReason(enum.IntFlag):
    """The reasons why a suspended saga waits; several branches may wait for several things."""

    NOTHING = 0
    """It does not wait."""
    RETRY = 1
    """A step waits for its next attempt."""
    TIMER = 2
    """A step sleeps, or the start is delayed."""
    EVENT = 4
    """A step waits for an event."""
    PARKED = 16
    """It waits for a person."""
    PLAN = 32
    """Beside PARKED: the plan of a worker did not fit it. It goes on by itself when a worker has one that does."""
    PAUSED = 64
    """A person has paused the saga itself. Beside it stands PARKED alone: all else waits for the end of the pause."""


def only_a_person_goes_on(waits: WaitReason) -> bool:
    """Whether no message leads on a saga that waits for that. A paused saga takes events as well."""
    return WaitReason.PARKED in waits and not waits & (WaitReason.EVENT | WaitReason.PAUSED)


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
    wakes_on_message: bool = True
    """Whether a message makes an unowned saga due; nothing is done for one while only a person can go on with it."""
    problem_step: StepId | None = None
    """The step that waits for a person, or that a FAILED saga failed at."""


SET_ASIDE: Final = Projection(SagaStatus.SUSPENDED, WaitReason.PARKED, None, 0, None, None, wakes_on_message=False)
"""The row of a saga that is left to a person because its state cannot be used."""
ENDED_UNREAD: Final = Projection(SagaStatus.FAILED, WaitReason.NOTHING, None, 0, None, None)
"""The row of such a saga once that person has ended it."""
_COMPLETED: Final = Projection(SagaStatus.COMPLETED, WaitReason.NOTHING, None, 0, None, None)


def ended_as(state: SagaState) -> SagaStatus | None:
    """The status of a saga that has ended; None while it has not."""
    return SagaStatus[state.goal.name] if state.ended else None


def calls_a_person(end: SagaStatus) -> bool:
    """Whether a person has to look at a saga that ended so: something of it may be left over."""
    return end is SagaStatus.FAILED


def project(plan: Plan, state: SagaState, known: Rest | None = None) -> Projection:
    """The saga's row as its state would have it; `known` is what is known of its steps."""
    # In short of one that is to begin, of which something runs and nothing waits, or that has ended with nothing left.
    if state.goal is Goal.COMPLETED:
        return _COMPLETED
    steps = state.steps if known is None else rest_of(state.steps, known)
    if state.goal is Goal.FORWARD and UNDISTURBED.issuperset(kinds := tuple(map(type, steps))):
        if Running in kinds:
            step = steps[kinds.index(Running)]
            assert type(step) is Running, "it is where the kinds say"
            return Projection(SagaStatus.RUNNING, WaitReason.NOTHING, state.at, step.attempts.failures, step.step, None)
        if not state.steps and state.pause is None:
            if state.begins_at <= state.at:
                return Projection(SagaStatus.RUNNING, WaitReason.NOTHING, state.at, 0, plan.roots[0], None)
            if state.deadline is None:
                return Projection(SagaStatus.SUSPENDED, WaitReason.TIMER, state.begins_at, 0, None, None)
    elif state.goal is Goal.ROLLBACK and _BACK.issuperset(kinds := tuple(map(type, state.steps))):
        if Undoing in kinds:
            step = state.steps[kinds.index(Undoing)]
            assert type(step) is Undoing, "it is where the kinds say"
            return Projection(
                SagaStatus.COMPENSATING, WaitReason.NOTHING, state.at, step.attempts.failures, step.step, None
            )
    elif state.goal is Goal.COMPENSATED and _BACK.issuperset(map(type, state.steps)):
        for step in state.steps:
            if type(step) is FailedForGood:
                return Projection(
                    SagaStatus.COMPENSATED, WaitReason.NOTHING, None, step.attempts.failures, step.step, None
                )
    return at_length(plan, state)


def at_length(plan: Plan, state: SagaState) -> Projection:
    """The same of every state: `project` only knows some in short."""
    current = _current(state)
    is_ready = ready(plan, state)
    status = _status(state, is_ready=is_ready)
    waits = _waits(state) if status is SagaStatus.SUSPENDED else WaitReason.NOTHING
    parked: Parked | UndoParked | None = None
    for step in state.steps:
        if type(step) is Parked or type(step) is UndoParked:
            parked = step
            break
    failed = current if status is SagaStatus.FAILED else None
    problem = parked or failed
    return Projection(  # by place: names cost ten times as much
        status,
        waits,
        state.at if is_ready else wakes_at(state),
        0 if current is None or abides(current) else current.attempts.failures,
        current.step if current is not None else next(iter(startable(plan, state)), None),
        None if parked is None else parked.why.value,
        parked is None or not only_a_person_goes_on(waits),
        None if problem is None else problem.step,
    )


def _current(state: SagaState) -> _Open | None:
    """The step that explains the saga's status: what is worked on, else what went wrong."""
    wrong: _Open | None = None
    for step in state.steps:
        if _is_open(step):
            if type(step) is not UndoFailed and type(step) is not FailedForGood:
                return step
            wrong = wrong or step
    return wrong


def _is_open(step: StepState) -> TypeIs[_Open]:
    return type(step) not in _PASSED


def _waits(state: SagaState) -> WaitReason:
    kinds = set(map(type, state.steps))
    is_parked = Parked in kinds or UndoParked in kinds
    if state.paused_itself:
        return WaitReason.PAUSED | WaitReason.PARKED if is_parked else WaitReason.PAUSED
    reasons = (
        (WaitReason.RETRY, not _RETRYING.isdisjoint(kinds) or _waits_for_a_repeat(state)),
        (WaitReason.TIMER, bool(blocked_until(state)) or _waits_for_a_moment(state)),
        (WaitReason.EVENT, Waiting in kinds or UndoWaiting in kinds),
        (WaitReason.PARKED, is_parked),
        (WaitReason.PLAN, is_parked and parked_by_plan(state)),
    )
    return WaitReason(sum([reason for reason, waits in reasons if waits]))


def _waits_for_a_moment(state: SagaState) -> bool:
    """Whether the saga itself waits for a moment, or a sleep does; that a wait for an event may end by itself is apart."""
    if state.goal is not Goal.FORWARD:
        return False
    return state.deadline is not None or state.begins_at > state.at or Sleeping in map(type, state.steps)


def _waits_for_a_repeat(state: SagaState) -> bool:
    """Whether a step that may have run is to be asked about, or repeated, later."""
    return True in [step.wake > state.at for step in state.steps if type(step) is Unknown]


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
