"""Facts that decisions read: they are derived from (plan, state), none of them stored twice.

`projection.py` has the facts that rows and people are shown, `leftovers.py` those that a saga leaves behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import filterfalse, islice
from typing import Final, TypeAlias, TypeGuard, assert_never, get_args

from typing_extensions import TypeIs

from saga_fn.core.event_matching import timer_moments
from saga_fn.core.fan_out import ConcurrencySlots, items_of, place_of
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.plan import OnUnknown, Plan
from saga_fn.core.state import (
    DONE,
    EXECUTING,
    Doubt,
    FailedForGood,
    FannedOut,
    Goal,
    Joined,
    NotTaken,
    Parked,
    ParkReason,
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
    is_unfinished,
)

_Undoable: TypeAlias = Succeeded | Settled | Unknown | FailedForGood
_OwesNothing: TypeAlias = (
    Running
    | Retrying
    | Parked
    | Probing
    | Undone
    | Skipped
    | NotTaken
    | FannedOut
    | Joined
    | Waiting
    | Sleeping
    | Rewound
)
_UNDOABLE: Final[frozenset[type[object]]] = frozenset(get_args(_Undoable))
_OWES_NOTHING: Final[frozenset[type[object]]] = frozenset(get_args(_OwesNothing))
_FORWARD: Final[frozenset[type[object]]] = frozenset({Running, Probing})
_HELD_UP: Final[frozenset[type[object]]] = frozenset({UndoRetrying, UndoWaiting, UndoParked, Parked})


def find(state: SagaState, step: StepId) -> StepState | None:
    """The step's state, or None if it has not been started."""
    if step.endswith("]"):  # it may be one of many items
        place = place_of(state.steps, step)
        return None if place is None else state.steps[place]
    for candidate in state.steps:
        if candidate.step == step:
            return candidate
    return None


def is_executed(state: SagaState, step: StepId) -> bool:
    """Whether something of the step is being executed."""
    return step in [each.step for each in state.steps if type(each) in EXECUTING]


def startable(plan: Plan, state: SagaState) -> tuple[StepId, ...]:
    """The steps never started that may start now: all they follow is done, and the saga heads forward."""
    if state.goal is not Goal.FORWARD or state.begins_at > state.at:
        return ()
    return next_steps(plan, {step.step: step for step in state.steps})


def next_steps(plan: Plan, begun: Mapping[StepId, StepState], *, at_once: bool = False) -> tuple[StepId, ...]:
    """The steps that have not begun and follow only what is done, and the items of those that have fanned out.

    `at_once`: no more of the items than may run at once, the first of them.
    """
    if len(begun) == len(plan.data.steps) and not plan.concurrencies and Rewound not in map(type, begun.values()):
        return ()
    found: list[StepId] = []
    for planned in plan.data.steps:
        now = begun.get(planned.step)
        if now is None or type(now) is Rewound:
            for needed in planned.after:
                if type(begun.get(needed)) not in DONE:
                    break
            else:
                found.append(planned.step)
        elif planned.concurrency and isinstance(now, FannedOut):
            items = filterfalse(begun.__contains__, items_of(now))
            found += islice(items, planned.concurrency) if at_once else items
    return tuple(found)


def undoable(plan: Plan, state: SagaState) -> tuple[_Undoable, ...]:
    """The steps whose compensation may start now.

    The saga rolls back, nothing runs forward any more, what can be found out is, by a probe or by a person, and everything
    that was built upon them is undone (Garcia-Molina & Salem 1987: in reverse order).
    """
    if state.goal is not Goal.ROLLBACK or blocked_until(state):
        return ()
    if not _FORWARD.isdisjoint(map(type, state.steps)):
        return ()
    if plan.has_unknown_policies and any(to_probe(step, plan) or to_ask(step, plan) for step in state.steps):
        return ()
    owing = [step for step in state.steps if owes_undo(plan, step)]
    if not owing:
        return ()
    owed = {plan.owner(step.step) for step in owing}
    found = [step for step in owing if _is_undoable(step) and owed.isdisjoint(plan.descendants[plan.owner(step.step)])]
    if plan.concurrencies and found:
        places = ConcurrencySlots(plan, state.steps)
        found = [step for step in found if places.take(step.step)]
    return tuple(found)


def _is_undoable(step: StepState) -> TypeIs[_Undoable]:
    return type(step) in _UNDOABLE


def owes_undo(plan: Plan, step: StepState) -> bool:
    """Whether the step's effect is in the world, or may be, and has a compensation for that which has not succeeded."""
    if _owes_nothing(step):
        return False
    match step:
        case Succeeded() | Settled():
            return plan.step(step.step).compensable
        case Undoing() | UndoRetrying() | UndoWaiting() | UndoParked() | UndoFailed():
            return True
        case Unknown() | FailedForGood():
            return bool(step.attempts.doubt) and plan.step(step.step).undoes_in_doubt
        case _:
            assert_never(step)


def _owes_nothing(step: StepState) -> TypeIs[_OwesNothing]:
    return type(step) in _OWES_NOTHING


def to_probe(step: StepState, plan: Plan) -> TypeGuard[Unknown]:
    """Whether the step may have run, and its probe is to find out."""
    return plan.has_unknown_policies and type(step) is Unknown and plan.step(step.step).on_unknown is OnUnknown.PROBE


def to_ask(step: StepState, plan: Plan) -> TypeGuard[Unknown | Parked | Retrying]:
    """Whether the step may have run, and a person is to find out before anything is undone."""
    if not plan.has_unknown_policies:
        return False
    if type(step) is not Unknown and type(step) is not Parked and type(step) is not Retrying:
        return False
    return step.attempts.doubt is Doubt.MAY_HAVE_RUN and plan.step(step.step).on_unknown is OnUnknown.PARK


def blocked_until(state: SagaState) -> tuple[Moment, ...]:
    """The moments up to which executions that were taken from their worker may go on, and hold the saga up.

    Going forward such an execution holds up only its own repetition; a rollback waits for all of them.
    """
    if state.goal is Goal.FORWARD:
        holding = [step.attempts.may_run_until for step in state.steps if type(step) is Unknown]
    elif state.goal is Goal.ROLLBACK:
        holding = [step.attempts.may_run_until for step in state.steps if is_unfinished(step)]
    else:
        return ()
    return tuple([until for until in holding if until > state.at]) if holding else ()


def parked_by_plan(state: SagaState) -> bool:
    """Whether something of the saga waits for a plan that fits it."""
    return any(
        (type(step) is Parked or type(step) is UndoParked) and step.why is ParkReason.PLAN_CHANGED
        for step in state.steps
    )


def is_final(state: SagaState) -> bool:
    """Whether the saga has come to an end that nothing changes any more; an operator may take up one that has FAILED."""
    return state.goal is Goal.COMPLETED or state.goal is Goal.COMPENSATED


def has_completed(state: SagaState) -> bool:
    """Whether every step is done, so that the saga has a result."""
    return state.goal is Goal.COMPLETED


def needs_owner(state: SagaState) -> bool:
    """Whether something of the saga is being executed."""
    return not EXECUTING.isdisjoint(map(type, state.steps))


def takeovers(state: SagaState, *, takeover: bool) -> int:
    """How often the saga was taken over without progress, with this time. From the second on it runs apart.

    It may be what kills its processes then.
    """
    return state.failed_takeovers + (1 if takeover and needs_owner(state) else 0)


def ready(plan: Plan, state: SagaState) -> bool:
    """Whether an owner of the saga has something to do now, timers apart. While it is paused by itself, that is only what runs."""
    if state.pause is not None and state.pause.since is not None:
        return not state.ended and needs_owner(state)
    return has_work(plan, state)


def has_work(plan: Plan, state: SagaState) -> bool:
    """The same, as if no operator had paused the saga itself."""
    if state.ended:
        return False
    if needs_owner(state):
        return True
    if state.goal is Goal.FORWARD:
        settled = [settled_from(step) <= state.at for step in state.steps if type(step) is Unknown]
        return True in settled or bool(startable(plan, state))
    if undoable(plan, state):
        return True
    if state.goal is Goal.ROLLBACK and plan.has_unknown_policies:
        probed = [settled_from(step) <= state.at for step in state.steps if to_probe(step, plan)]
        if probed:
            return True in probed
    # A rollback that waits for nothing has only its end to come.
    return not blocked_until(state) and _HELD_UP.isdisjoint(map(type, state.steps))


def settled_from(step: Unknown) -> Moment:
    """From when on something is to be done about the step."""
    return max(step.attempts.may_run_until, step.wake)


def due(plan: Plan, state: SagaState, *, unread: bool = False) -> Moment | None:
    """When the saga, unowned, has something to do; None if it has ended or waits for a person alone.

    `unread`: there are messages that no owner has read. The next owner does.
    """
    if state.ended:
        return None
    return state.at if unread or ready(plan, state) else wakes_at(state)


def wakes_at(state: SagaState) -> Moment | None:
    """When a saga that has nothing to do now has something to do; None if only a person, or an event, can bring that."""
    if state.ended or (state.pause is not None and state.pause.since is not None):
        return None
    wakes = [
        step.wake
        for step in state.steps
        if type(step) is Retrying or type(step) is UndoRetrying or (type(step) is Unknown and step.wake > state.at)
    ]
    return min((*wakes, *blocked_until(state), *timer_moments(state)), default=None)
