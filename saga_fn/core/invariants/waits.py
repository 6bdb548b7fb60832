"""I13, I14: of waits. Events that are kept and taken, and moments that come."""

from __future__ import annotations

from collections import Counter

from saga_fn.core.events import (
    CompensationWaits,
    EventReceived,
    MomentsMoved,
    Rescheduled,
    Resumed,
    ResumeRequested,
    RewindRequested,
    Ticked,
    WaitDefaulted,
)
from saga_fn.core.invariants.edge import Edge
from saga_fn.core.plan import StepKind
from saga_fn.core.state import Goal, Parked, Sleeping, StepState, Succeeded, Undoing, UndoRetrying, UndoWaiting, Waiting


def i13_events_are_kept_in_order(edge: Edge) -> bool:
    """An unnamed outside event is recorded once, under its own journal entry, and none is ever dropped."""
    new = (edge.after.rev,) if isinstance(edge.event, EventReceived) and not edge.event.name else ()
    return edge.after.events == (*edge.before.events, *new)


def i13_a_named_event_is_taken_once(edge: Edge) -> bool:
    """An event that was kept or came is now taken by one wait, or still kept; only a void one may be dropped."""
    had = Counter(event.seq for event in edge.before.buffered)
    if isinstance(edge.event, EventReceived) and edge.event.name:
        had[edge.after.rev] = 1
    has = Counter(event.seq for event in edge.after.buffered)
    # These two take an event though the step looks as before.
    every = isinstance(edge.event, RewindRequested | CompensationWaits)
    for was, now in edge.steps if every else edge.changed:
        taken = now != was or _begins_again(edge, now)
        if isinstance(now, Succeeded) and taken and edge.plan.step(now.step).kind is StepKind.EVENT:
            has[now.seq] += not isinstance(edge.event, WaitDefaulted) or edge.event.step != now.step
        elif isinstance(now, Undoing | UndoRetrying) and _was_waiting(edge, was):
            has[now.attempts.generation] += 1
    if not had and not has:
        return True
    void = Counter(e.seq for e in edge.before.buffered if e.expires is not None and e.expires <= edge.after.at)
    return not has - had and not had - has - void


def _begins_again(edge: Edge, now: StepState) -> bool:
    """Whether the step was taken back with this event: a wait takes another event then, which may be there."""
    if not isinstance(edge.event, RewindRequested):
        return False
    return now.step == edge.event.step or now.step in edge.plan.descendants[edge.event.step]


def _was_waiting(edge: Edge, was: StepState | None) -> bool:
    """Whether a compensation that starts anew is called with an event, and not because its wait was over."""
    if isinstance(edge.event, CompensationWaits):
        return was is not None and was.step == edge.event.step
    return isinstance(was, UndoWaiting) and isinstance(edge.event, EventReceived)


def i13_events_wait_in_order(edge: Edge) -> bool:
    """Two events for the same wait are taken in the order in which they came: kept events stay in their order."""
    new = 1 if isinstance(edge.event, EventReceived) and edge.after.buffered[-1:] != edge.before.buffered[-1:] else 0
    before = iter(edge.before.buffered)
    return all(event in before for event in edge.after.buffered[: len(edge.after.buffered) - new])


def i14_no_timer_fires_early(edge: Edge) -> bool:
    """An event that says that a time ran out has it from the clock: the moment has come, and the saga turns back."""
    if edge.moved.timed_out is None:
        return True
    if not isinstance(edge.event, Ticked | Resumed):
        return False
    undone = {was.step: was.times_out_at for was, _ in edge.steps if isinstance(was, UndoWaiting)}
    if edge.before.goal is Goal.ROLLBACK and edge.moved.timed_out in undone:
        until = undone[edge.moved.timed_out]
        return until is not None and until <= edge.after.at
    if edge.before.goal is not Goal.FORWARD:
        return False
    over = {was.step: was.times_out_at for was, _ in edge.steps if isinstance(was, Waiting)}
    moment = over[edge.moved.timed_out] if edge.moved.timed_out else edge.before.deadline
    # From a pivot, or past it, there may be no way back: then a person is waited for.
    back = edge.after.goal is not Goal.FORWARD or edge.plan.pivot is not None
    return moment is not None and moment <= edge.after.at and back


def i14_what_is_due_fires(edge: Edge) -> bool:
    """When the clock has told, nothing of a saga that goes forward waits for a moment that has come, unless it is paused."""
    after, told = edge.after, edge.event
    if not isinstance(told, Ticked | Resumed) or after.goal is not Goal.FORWARD or after.paused:
        return True
    begun = {now.step for was, now in edge.changed if type(was) is not type(now)}
    for step in after.steps:
        moment = step.wake if isinstance(step, Sleeping) else step.times_out_at if isinstance(step, Waiting) else None
        if moment is not None and moment <= after.at and step.step not in begun | set(edge.moved.defaults):
            return False
    parked = any(isinstance(now, Parked) and not isinstance(was, Parked) for was, now in edge.steps)
    return parked or after.deadline is None or after.deadline > after.at


def i14_nothing_begins_before_its_saga(edge: Edge) -> bool:
    """A saga that is to begin later has begun nothing yet."""
    return edge.after.begins_at <= edge.after.at or not edge.after.steps


def i14_only_a_person_brings_a_beginning_forward(edge: Edge) -> bool:
    """A saga that is to begin later does so then, unless somebody asks for it earlier."""
    if edge.before.begins_at <= edge.after.at or edge.after.ended:
        return True
    moved = isinstance(edge.event, MomentsMoved | ResumeRequested) and edge.after.begins_at > edge.before.begins_at
    return moved or edge.after.begins_at == edge.before.begins_at or isinstance(edge.event, Rescheduled)
