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
    new = (edge.after.rev,) if type(edge.event) is EventReceived and not edge.event.name else ()
    return edge.after.events == edge.before.events + new


def i13_a_named_event_is_taken_once(edge: Edge) -> bool:
    """An event that was kept or came is now taken by one wait, or still kept; only a void one may be dropped."""
    had = [event.seq for event in edge.before.buffered]
    if type(edge.event) is EventReceived and edge.event.name:
        had.append(edge.after.rev)
    has = [event.seq for event in edge.after.buffered]
    # These two take an event though the step looks as before.
    every = type(edge.event) is RewindRequested or type(edge.event) is CompensationWaits
    for was, now in edge.steps if every else edge.changed:
        if type(now) is Succeeded:
            taken = edge.plan.step(now.step).kind is StepKind.EVENT and (now != was or _begins_again(edge, now))
            if taken and (type(edge.event) is not WaitDefaulted or edge.event.step != now.step):
                has.append(now.seq)
        elif (type(now) is Undoing or type(now) is UndoRetrying) and _was_waiting(edge, was):
            has.append(now.attempts.generation)
    if not had and not has:
        return True
    lost = Counter(had)
    lost.subtract(has)
    void = {e.seq for e in edge.before.buffered if e.expires is not None and e.expires <= edge.after.at}
    return all(count == 0 or (count == 1 and seq in void) for seq, count in lost.items())


def _begins_again(edge: Edge, now: StepState) -> bool:
    """Whether the step was taken back with this event: a wait takes another event then, which may be there."""
    return type(edge.event) is RewindRequested and (
        now.step == edge.event.step or now.step in edge.plan.descendants[edge.event.step]
    )


def _was_waiting(edge: Edge, was: StepState | None) -> bool:
    """Whether a compensation that starts anew is called with an event, and not because its wait was over."""
    if type(edge.event) is CompensationWaits:
        return was is not None and was.step == edge.event.step
    return type(was) is UndoWaiting and type(edge.event) is EventReceived


def i13_events_wait_in_order(edge: Edge) -> bool:
    """Two events for the same wait are taken in the order in which they came: kept events stay in their order."""
    if not edge.after.buffered:
        return True
    new = 1 if type(edge.event) is EventReceived and edge.after.buffered[-1:] != edge.before.buffered[-1:] else 0
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
    if (type(told) is not Ticked and type(told) is not Resumed) or after.goal is not Goal.FORWARD or after.paused:
        return True
    for was, now in edge.steps:
        moment = now.wake if type(now) is Sleeping else now.times_out_at if type(now) is Waiting else None
        begun = type(was) is not type(now) or now.step in edge.moved.defaults
        if moment is not None and moment <= after.at and not begun:
            return False
    if after.deadline is None or after.deadline > after.at:
        return True
    return any(type(now) is Parked and type(was) is not Parked for was, now in edge.changed)


def i14_nothing_begins_before_its_saga(edge: Edge) -> bool:
    """A saga that has still to begin has begun nothing yet, and one that has is never sent back to before its beginning."""
    return not edge.after.begins_at or not edge.after.steps


def i14_only_a_person_brings_a_beginning_forward(edge: Edge) -> bool:
    """A saga that is to begin later does so then, unless an operator asks for it earlier."""
    if edge.before.begins_at <= edge.after.at or edge.after.ended:
        return True
    moved = isinstance(edge.event, MomentsMoved | ResumeRequested) and edge.after.begins_at > edge.before.begins_at
    return moved or edge.after.begins_at == edge.before.begins_at or isinstance(edge.event, Rescheduled)
