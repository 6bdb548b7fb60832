"""Waits for events and moments: how they begin, what an event from outside does, and what their end leads to.

Which event a wait takes, and what is over, `core/event_matching.py` says.
"""

from __future__ import annotations

from msgspec.structs import replace

from saga_fn.core.effects import Refusal, Rejection
from saga_fn.core.event_matching import BUFFER_LIMIT, first_for, is_over, is_void, undo_wants, wants
from saga_fn.core.events import Binding, Bound, CompensationWaits, EventReceived, Until, WaitDefaulted
from saga_fn.core.facts import next_steps
from saga_fn.core.ids import Digest, Moment, StepId
from saga_fn.core.plan import OnTimeout, PlannedStep, StepKind
from saga_fn.core.rules.attempts import soonest
from saga_fn.core.rules.fold import Fold
from saga_fn.core.rules.pivot import failed_for_good
from saga_fn.core.rules.rollback import after_failed_undo, turn_back
from saga_fn.core.state import (
    Attempts,
    Buffered,
    Goal,
    Parked,
    ParkReason,
    Retrying,
    Sleeping,
    StepState,
    Succeeded,
    Undoing,
    UndoRetrying,
    UndoWaiting,
    Waiting,
)

EVENT_LIMIT = 1000
"""A saga takes no more outside events than this."""


def begin_waits(fold: Fold, inputs: dict[StepId, Binding]) -> tuple[StepId, ...]:
    """Begin what waits for an event or a moment, as far as one leads to the next. Gives the steps that are next then."""
    following: tuple[StepId, ...] = ()
    begun = True
    while begun:
        following = next_steps(fold.plan, fold.steps, at_once=True)
        again = [step.step for step in fold.steps.values() if type(step) is Retrying and step.wake <= fold.at]
        begun = False
        for step in (*again, *following):
            planned = fold.plan.step(step)
            if planned.kind is not StepKind.STEP and (not planned.needs_input or step in inputs):
                fold.put(_begin(fold, planned, inputs.get(step)))
                begun = True
    return following


def _begin(fold: Fold, planned: PlannedStep, binding: Binding | None) -> StepState:
    step = planned.step
    over = None if planned.timeout is None else Moment(fold.at + planned.timeout)
    if planned.kind is StepKind.SLEEP:
        if over is not None:
            return Sleeping(step, over, fold.at)
        if isinstance(binding, Until):
            return Sleeping(step, binding.moment, fold.at)
        return Parked(step, Attempts(), ParkReason.INPUT_FAILED)
    correlation = Digest(b"")
    if planned.correlated:
        if not isinstance(binding, Bound):
            return Parked(step, Attempts(), ParkReason.INPUT_FAILED)
        correlation = binding.digest
    return wait_on(fold, Waiting(step, over, correlation, fold.at))


def wait_on(fold: Fold, waiting: Waiting) -> StepState:
    """A wait that was parked goes on, or takes the first event for it that has come meanwhile."""
    event = first_for(fold.plan.step(waiting.step), waiting.correlation, fold.buffered, fold.at)
    if event is None:
        return waiting
    _take(fold, event)
    return Succeeded(waiting.step, event.seq)


def compensation_waits(fold: Fold, event: CompensationWaits) -> Rejection | None:
    """The compensation waits for an event, or is called again at once with one that has come."""
    undoing = fold.end(Undoing, event.step, event.attempt)
    if isinstance(undoing, Rejection):
        return undoing
    declared = fold.plan.step(event.step).undo_waits_for
    if not event.names or not set(event.names).issubset(declared):
        return Rejection(Refusal.UNDECLARED_EVENT, event.step)
    until = None if event.timeout is None else Moment(fold.at + event.timeout)
    waiting = UndoWaiting(event.step, undoing.seq, undoing.attempts, event.names, until, event.correlation, fold.at)
    came = (each for each in fold.buffered if undo_wants(waiting, each) and not is_void(each, fold.at))
    first = next(came, None)
    if first is None:
        fold.put(waiting)
    else:
        _take(fold, first)
        fold.put(_called_again(fold, waiting, first.seq))
    return None


def _take(fold: Fold, event: Buffered) -> None:
    fold.buffered = tuple(each for each in fold.buffered if each is not event)


def _called_again(fold: Fold, waiting: UndoWaiting, seq: int) -> UndoRetrying:
    """The compensation is to be called again, now, with the event in that journal entry."""
    attempts = replace(waiting.attempts, generation=seq)
    return UndoRetrying(waiting.step, waiting.seq, attempts, fold.at, fold.at)


def event_received(fold: Fold, event: EventReceived) -> Rejection | None:
    """An event with a name is for a wait for that name; without one it wakes each step that waits for its next attempt."""
    if event.name:
        return _named_event_received(fold, Buffered(fold.rev, event.name, event.correlation, event.expires))
    if len(fold.events) >= EVENT_LIMIT:
        return Rejection(Refusal.TOO_MANY_EVENTS)
    fold.events = (*fold.events, fold.rev)
    fold.latest_event_seq = fold.rev
    for step in fold.before.steps:
        if isinstance(step, Retrying) and (wake := soonest(fold, step.attempts)) < step.wake:
            fold.put(replace(step, wake=wake, set_at=fold.at))
    return None


def _named_event_received(fold: Fold, event: Buffered) -> Rejection | None:
    """The first matching wait takes the event, also after its timeout, as long as no `Ticked` has ended the wait.

    If no wait takes it, the state keeps it for a later one.
    """
    if event.name not in fold.plan.events:
        return Rejection(Refusal.UNKNOWN_EVENT)
    if is_void(event, fold.at):
        return Rejection(Refusal.EXPIRED)
    for waiting in fold.before.steps:
        if isinstance(waiting, Waiting) and wants(fold.plan.step(waiting.step), waiting.correlation, event):
            fold.put(Succeeded(waiting.step, fold.rev))
            return None
        if isinstance(waiting, UndoWaiting) and undo_wants(waiting, event):
            fold.put(_called_again(fold, waiting, fold.rev))
            return None
    kept = tuple(each for each in fold.buffered if not is_void(each, fold.at))
    if len(kept) >= BUFFER_LIMIT:
        return Rejection(Refusal.NO_ROOM)
    fold.buffered = (*kept, event)
    return None


def fire_timers(fold: Fold) -> None:
    """Fire each timer whose moment has come, once: sleeps are over, waits have failed, the saga turns back.

    During a pause none does: it fires, or is moved, when the saga goes on.
    """
    if fold.paused:
        return
    if fold.plan.waits:
        for step in tuple(fold.steps.values()):
            if is_over(step, fold.at):
                _end(fold, step)
    if fold.goal is Goal.FORWARD and fold.deadline is not None and fold.deadline <= fold.at:
        turn_back(fold)
        fold.deadline = None
        fold.timed_out = fold.timed_out or StepId("")


def _end(fold: Fold, step: StepState) -> None:
    if isinstance(step, UndoWaiting):
        fold.put(after_failed_undo(fold, step))
        fold.timed_out = fold.timed_out or step.step
    elif isinstance(step, Sleeping):
        fold.put(Succeeded(step.step, fold.rev))
    elif isinstance(step, Waiting) and _fails_then(fold, step):
        fold.put(failed_for_good(fold, step.step, Attempts()))
        fold.timed_out = fold.timed_out or step.step


def _fails_then(fold: Fold, step: Waiting) -> bool:
    return fold.plan.step(step.step).on_timeout is OnTimeout.FAIL


def wait_defaulted(fold: Fold, event: WaitDefaulted) -> Rejection | None:
    """A wait that is over goes on with the value that was declared for this."""
    if event.step not in fold.plan:
        return Rejection(Refusal.UNKNOWN_STEP, event.step)
    step = fold.steps.get(event.step)
    over = not fold.paused and isinstance(step, Waiting) and is_over(step, fold.at) and not _fails_then(fold, step)
    if not over or fold.goal is not Goal.FORWARD:
        return Rejection(Refusal.NOT_OVER, event.step)
    fold.put(Succeeded(event.step, fold.rev))
    return None
