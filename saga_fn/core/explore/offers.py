"""The offers to a saga: every event worth telling to a state, with the inputs that it then may carry."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import cycle
from typing import Final, TypeAlias

import msgspec
from returns.result import Failure

from saga_fn.core.effects import Transition
from saga_fn.core.event_kinds import is_result
from saga_fn.core.events import (
    AbortRequested,
    Accompanied,
    Binding,
    Bound,
    BoundEach,
    CarriesInputs,
    CompensationFailed,
    CompensationRequested,
    CompensationSucceeded,
    CompensationWaits,
    Declined,
    Event,
    EventReceived,
    FailureKind,
    Finding,
    HandedBack,
    MomentsMoved,
    Paused,
    PauseRequested,
    PlanChanged,
    ProbeAnswered,
    ProbeFailed,
    Rescheduled,
    Resumed,
    ResumeRequested,
    RetryRequested,
    RewindRequested,
    SagaParked,
    Started,
    StepFailed,
    StepSettled,
    StepSkipped,
    StepSucceeded,
    Ticked,
    Unbindable,
    Until,
    WaitDefaulted,
    carries_inputs,
)
from saga_fn.core.explore.shapes import LATER, MOST_ITEMS, NOW, SAME, TOO_LATE, steps_of
from saga_fn.core.explore.timers import SOON, firing
from saga_fn.core.facts import needs_owner, startable
from saga_fn.core.fan_out import plan_order
from saga_fn.core.ids import Digest, Micros, Moment, PlanId, StepId
from saga_fn.core.plan import OnUnknown, Plan, StepKind
from saga_fn.core.retry import RetrySchedule
from saga_fn.core.rules.ownership import CRASH_LIMIT
from saga_fn.core.state import (
    Goal,
    ParkReason,
    PauseState,
    Retrying,
    Rewound,
    SagaState,
    Settled,
    StepState,
    Succeeded,
    Undone,
    Unknown,
    is_executing,
    is_undo,
    is_unfinished,
)
from saga_fn.core.transition import transition

_OTHER = Digest(b"other")
_OF_TRANSACTIONS: Final = (FailureKind.INTERRUPTED, FailureKind.CONFLICTS)
_WITHOUT_TRANSACTION: Final = tuple(kind for kind in FailureKind if kind not in _OF_TRANSACTIONS)
_SMALL: Final = 3
"""Steps of a small plan."""
_replace = msgspec.structs.replace

Tried: TypeAlias = set[tuple[type[Event], Transition]]
OPERATOR_VERBS = (
    StepSkipped,
    RetryRequested,
    CompensationRequested,
    AbortRequested,
    StepSettled,
    Rescheduled,
    RewindRequested,
    PauseRequested,
    ResumeRequested,
)


def events_of(plan: Plan) -> tuple[Event, ...]:
    """Every event that is worth telling to any state of a saga of this plan, but for those that change the plan."""
    return (*_events_of_an_owner(plan), *_events_of_an_operator(plan), *_events_of_waits(plan))


def events_for(
    plans: dict[PlanId, Plan],
    events: dict[PlanId, tuple[Event, ...]],
    state: SagaState,
    repeated: frozenset[StepId] = frozenset(),
) -> Iterator[tuple[Plan, SagaState, Event]]:
    """Every event worth telling to the state, with the plan to fold it by and the state as timers have it then.

    `repeated` are the steps of which nothing is told: they are as others that they are interchangeable with.
    """
    plan = plans[state.plan]
    idle = not needs_owner(state)
    held = {
        step.step
        for step in state.steps
        if (is_unfinished(step) or (is_undo(step) and not isinstance(step, Undone)))
        and step.attempts.may_run_until > state.at
    }
    for timed in firing(state):
        yield plan, timed, Ticked(SOON)
    left_out = _left_out(plan, state)
    for event in events[plan.id]:
        if repeated and getattr(event, "step", None) in repeated:
            continue
        if type(event) is StepSettled:
            if event.step in left_out or not held.issuperset(event.stopped):
                continue  # who says of what has stopped that it has stopped says nothing
        elif idle and type(event) is Resumed and event.takeover and not event.isolated:
            continue  # to take over what no process runs is to claim it
        yield plan, state, event
    for other in plans.values():
        yield other, state, PlanChanged(NOW, other.id)
    if len(plans) > 1:
        yield plan, state, SagaParked(NOW, ParkReason.PLAN_CHANGED)
    for settled in _settled_by_hand(state):
        for event in (Ticked(NOW), CompensationRequested(NOW)):
            yield plan, settled, event
    for known in (*_given_by_hand(state), *_rewound(plan, state)):
        yield plan, known, Ticked(NOW)
    if idle and not state.ended:
        crashing = _replace(state, failed_takeovers=CRASH_LIMIT - 1, isolated=True)
        yield plan, crashing, Resumed(NOW, takeover=True, isolated=True)
    yield from _while_paused(plan, events[plan.id], state)
    # An outside event that came since the inputs were bound excuses other inputs than before.
    yield plan, _replace(state, events=(0,)), Ticked(NOW)


def _left_out(plan: Plan, state: SagaState) -> Collection[StepId]:
    """The steps of which no person says anything: several that a FAILED saga of a large plan has left done.

    In small plans all orders are tried. The subsets would be twice as many with each step of a plan.
    """
    if len(plan.index) <= _SMALL or state.goal is not Goal.FAILED:
        return ()
    done = [step.step for step in state.steps if type(step) is Succeeded or type(step) is Settled]
    return done if len(done) > 1 else ()


def _while_paused(plan: Plan, events: tuple[Event, ...], state: SagaState) -> Iterator[tuple[Plan, SagaState, Event]]:
    """A pause, by a person or as the owner has seen it, and then what may end it or come meanwhile.

    The view takes such a state for the one that is not paused.
    """
    if state.ended:
        return
    by_person, by_name = PauseState(since=NOW, seq=1), PauseState(of_name=True)
    yield plan, _replace(state, pause=by_person), Resumed(NOW)
    yield plan, _replace(state, pause=by_person), Ticked(NOW)
    for extend in (False, True):
        yield plan, _replace(state, pause=by_person), ResumeRequested(SOON, extend=extend)
    if not needs_owner(state):
        return
    yield plan, _replace(state, pause=PauseState(of_name=True, since=NOW, seq=1)), ResumeRequested(NOW)
    running = {step.step for step in state.steps if is_executing(step)}
    pauses = cycle((by_name, by_person))
    for event in events:
        of_claim = type(event) is Resumed or type(event) is Ticked
        if of_claim or (is_result(event) and event.step in running and event.attempt == 1):
            yield plan, _replace(state, pause=next(pauses)), event


def _settled_by_hand(state: SagaState) -> Iterator[SagaState]:
    """The state with one of its successes by the word of a person: the view takes the two for one."""
    for place, step in enumerate(state.steps):
        if isinstance(step, Succeeded):
            settled = Settled(step.step, 1, SAME)
            yield _replace(state, steps=(*state.steps[:place], settled, *state.steps[place + 1 :]))


def _given_by_hand(state: SagaState) -> Iterator[SagaState]:
    """The state with the input of a step that waits for its next attempt by the word of a person: the view leaves that out."""
    for place, step in enumerate(state.steps):
        if isinstance(step, Retrying | Unknown) and step.attempts.digest:
            given = _replace(step, attempts=_replace(step.attempts, given=1))
            yield _replace(state, steps=(*state.steps[:place], given, *state.steps[place + 1 :]))


def _rewound(plan: Plan, state: SagaState) -> Iterator[SagaState]:
    """The state with what could start begun before the saga was taken back to it: the view leaves that out."""
    again = [Rewound(step, 1) for step in startable(plan, state) if step in plan.index]
    if again:
        steps: dict[StepId, StepState] = {step.step: step for step in (*state.steps, *again)}
        yield _replace(state, steps=tuple(steps[step] for step in plan_order(plan, steps) if step in steps))


def _events_of_an_owner(plan: Plan) -> Iterator[Event]:
    yield Started(NOW, plan.id)
    yield Ticked(NOW)
    yield Resumed(NOW)
    yield Resumed(NOW, takeover=True)
    yield Resumed(NOW, takeover=True, isolated=True)
    yield HandedBack(NOW)
    yield HandedBack(NOW, ())
    if not plan.is_chain:  # where several may run at once
        yield HandedBack(NOW, (next(iter(plan.index)),))
    yield Accompanied(NOW)
    yield Paused(NOW)
    yield SagaParked(NOW, ParkReason.ROW_REJECTED)
    yield EventReceived(NOW)
    for step in steps_of(plan):
        planned = plan.step(step)
        for attempt in (1, 2):  # the one that runs, and one that never did
            yield StepSucceeded(NOW, step, attempt)
            yield CompensationSucceeded(NOW, step, attempt)
            kinds = FailureKind if planned.transactional else _WITHOUT_TRANSACTION
            for kind in kinds:
                for at, jitter_draw in _failings(planned.retry, planned.unknown_retry):
                    yield StepFailed(at, step, attempt, kind, jitter_draw)
            for kind in (FailureKind.ERROR, FailureKind.UNKNOWN):  # the others are not tried again
                for after in (Micros(0), Micros(LATER)):
                    yield StepFailed(NOW, step, attempt, kind, after=after)
            if planned.transactional:
                yield CompensationFailed(NOW, step, attempt, FailureKind.CONFLICTS)
            for kind in (FailureKind.ERROR, FailureKind.UNREADABLE):  # the others count as errors
                for at, jitter_draw in _failings(planned.undo_retry):
                    yield CompensationFailed(at, step, attempt, kind, jitter_draw)
            yield CompensationFailed(NOW, step, attempt, after=Micros(LATER))
            if planned.on_unknown is OnUnknown.PROBE:
                for done in (True, False):
                    yield ProbeAnswered(NOW, step, attempt, done)
                for kind in (FailureKind.ERROR, FailureKind.OUTPUT_LOST, FailureKind.UNREADABLE):  # as above
                    for at, jitter_draw in _failings(planned.probe_retry):
                        yield ProbeFailed(at, step, attempt, kind, jitter_draw)
                yield ProbeFailed(NOW, step, attempt, after=Micros(LATER))


def _failings(*policies: RetrySchedule) -> Iterator[tuple[Moment, float]]:
    """When an attempt may fail, and what may be drawn for the next."""
    for jitter_draw in (0.0, 0.75) if any(retry.jitter for retry in policies) else (0.0,):
        yield NOW, jitter_draw
        if any(retry.within for retry in policies):
            yield TOO_LATE, jitter_draw


def _events_of_waits(plan: Plan) -> Iterator[Event]:
    if not plan.waits:
        return
    for planned in plan.steps:
        yield WaitDefaulted(NOW, planned.step)
    for step in steps_of(plan):
        for name in plan.step(step).undo_waits_for:
            yield CompensationWaits(NOW, step, 1, ("no such event",))
            yield CompensationWaits(NOW, step, 1, (name,))
            yield CompensationWaits(NOW, step, 1, (name,), Micros(LATER))
    yield EventReceived(NOW, "no such event")
    for name in sorted(plan.events):
        yield EventReceived(NOW, name)
        yield EventReceived(NOW, name, expires=NOW)
        yield EventReceived(NOW, name, expires=LATER)
        if any(planned.correlated for planned in plan.steps if name in planned.waits_for):
            yield EventReceived(NOW, name, SAME)


def _events_of_an_operator(plan: Plan) -> Iterator[Event]:
    yield RetryRequested(NOW)
    yield Rescheduled(NOW, NOW)
    yield Rescheduled(NOW, LATER)
    yield PauseRequested(NOW)
    yield MomentsMoved(SOON, NOW, SOON)
    yield CompensationRequested(NOW)
    yield AbortRequested(NOW, NOW)
    yield AbortRequested(NOW, LATER)
    every = tuple(plan.index)
    yield RewindRequested(NOW, every[0])
    for step in every:
        yield RewindRequested(NOW, step, forget=every)
    stopped = tuple(steps_of(plan))
    yield RetryRequested(NOW, stopped=stopped)
    yield CompensationRequested(NOW, stopped=stopped)
    for step in stopped:
        yield StepSkipped(NOW, step, not_begun=True)
        yield RetryRequested(NOW, step)
        yield RetryRequested(NOW, step, digest=SAME)
        yield Rescheduled(NOW, LATER, step)
        for finding in Finding:
            yield StepSettled(NOW, step, finding=finding)
            yield StepSettled(NOW, step, stopped=(step,), finding=finding)


def variants(plan: Plan, state: SagaState | None, event: Event, tried: Tried) -> Iterable[tuple[Event, Transition]]:
    """The event, if it is accepted, without and with the inputs that it then may carry.

    `tried` is what events of the state have come to before. Where two of a kind come to the same, inputs are tried with the first
    alone: they are bound after the event's own rule, and by what that has come to.
    """
    decision = transition(plan, state, event)
    if type(decision) is Failure:
        return ()
    moved = decision.unwrap()
    if not moved.needs or not carries_inputs(event):
        return ((event, moved),)
    known = len(tried)
    tried.add((type(event), moved))
    if len(tried) == known:
        return ((event, moved),)
    return _with_inputs(plan, state, event, moved)


def _with_inputs(
    plan: Plan, state: SagaState | None, event: CarriesInputs, moved: Transition
) -> Iterator[tuple[Event, Transition]]:
    yield event, moved
    for inputs in _inputs(plan, moved):
        variant = _replace(event, inputs=inputs)
        # Inputs never turn an accepted event into a refused one.
        yield variant, transition(plan, state, variant).unwrap()


def _inputs(plan: Plan, moved: Transition) -> Iterator[tuple[Binding, ...]]:
    if len(moved.needs) > 1:
        yield tuple(_bound(plan, step) for step in moved.needs)
    for step in moved.needs:
        yield (_bound(plan, step),)
        yield (Unbindable(step),)
        if plan.step(step).conditional and step in plan.index:
            yield (Declined(step),)
        if step in plan.concurrencies:
            for items in range(MOST_ITEMS):
                yield (BoundEach(step, items, SAME),)
        elif plan.owner(step) != step or any(found.step == step for found in moved.state.steps):
            yield (Bound(step, _OTHER),)


def _bound(plan: Plan, step: StepId) -> Binding:
    if step in plan.concurrencies:
        return BoundEach(step, MOST_ITEMS, SAME)
    return Until(step, LATER) if plan.step(step).kind is StepKind.SLEEP else Bound(step, SAME)
