"""I17: of operators' verbs. Each does what it says to what it names, in the state that the operator saw."""

from __future__ import annotations

from collections.abc import Collection

from saga_fn.core.events import (
    EventReceived,
    Finding,
    Rescheduled,
    RetryRequested,
    RewindRequested,
    StepSettled,
    is_verb,
)
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.invariants.edge import Edge, is_tried
from saga_fn.core.plan import StepKind
from saga_fn.core.state import (
    Attempts,
    Doubt,
    Goal,
    Parked,
    Retrying,
    Rewound,
    Running,
    Settled,
    Skipped,
    Sleeping,
    StepState,
    Succeeded,
    Undone,
    UndoParked,
    UndoRetrying,
    UndoWaiting,
    Unfinished,
    Unknown,
    Waiting,
    is_executing,
    is_undo,
    is_unfinished,
)


def i17_a_verb_is_for_the_state_that_the_operator_saw(edge: Edge) -> bool:
    """A verb that names a revision is applied to no other."""
    return not is_verb(edge.event) or edge.event.expect is None or edge.event.expect == edge.before.rev


def i17_a_retry_is_of_the_step_it_names(edge: Edge) -> bool:
    """No other step of a saga that has not ended gets a fresh count or an earlier attempt; and that one waited."""
    if type(edge.event) is not RetryRequested or not edge.event.step or edge.before.goal is Goal.FAILED:
        return True
    waiting = Parked | Retrying | Unknown | UndoParked | UndoRetrying
    for was, now in edge.changed:
        if edge.event.step in (now.step, edge.plan.owner(now.step)) or not isinstance(was, waiting):
            continue
        if isinstance(now, Retrying | UndoRetrying | Unknown) and now != was:
            return False
    return True


def i17_a_settled_step_is_as_the_operator_says(edge: Edge) -> bool:
    """No doubt is left of it. After an undo by hand its next attempt has another key."""
    if type(edge.event) is not StepSettled:
        return True
    for was, now in edge.steps:
        if now.step != edge.event.step or not isinstance(now, Unfinished | Skipped):
            continue
        if (now.doubt if isinstance(now, Skipped) else now.attempts.doubt) is not Doubt.NONE:
            return False
        if edge.event.finding is not Finding.UNDONE or not (
            isinstance(was, Unfinished) and isinstance(now, Unfinished)
        ):
            continue
        if now.attempts.generation <= was.attempts.generation:
            return False
    return True


def i17_an_input_that_a_person_gives_is_the_steps_input(edge: Edge) -> bool:
    """A step that has surely not run gets it, under another key, and keeps it: nothing but a person gives it another."""
    for was, now in edge.steps if type(edge.event) is RetryRequested else edge.changed:
        if not is_unfinished(now):
            continue
        before = was.attempts if is_unfinished(was) else Attempts()
        attempts = now.attempts
        if type(edge.event) is RetryRequested and edge.event.digest and edge.event.step == now.step:
            if before.doubt or attempts.doubt or attempts.generation <= before.generation:
                return False
            if (attempts.digest, attempts.given) != (edge.event.digest, edge.after.rev):
                return False
        elif type(edge.event) is RetryRequested and not attempts.given:
            continue
        elif attempts.given != before.given or (attempts.given and attempts.digest != before.digest):
            return False
    return True


def i17_what_sleeps_is_moved_to_the_moment_that_was_named(edge: Edge) -> bool:
    """A delayed start, a next attempt or probe, or a sleep; of the step that was named, if one was. All else stays as it is.

    A wait for an event keeps its time, and so does the deadline of a saga that has begun.
    """
    if type(edge.event) is not Rescheduled:
        return True
    to, named = max(edge.event.to, edge.after.at), edge.event.step
    if edge.before.begins_at > edge.after.at:
        return edge.after.begins_at == (to if to > edge.after.at or edge.after.paused else 0)
    if edge.before.deadline != edge.after.deadline:
        return False
    for was, now in edge.steps:
        before, after = _moment_of(was), _moment_of(now)
        if type(was) is not type(now) or before == after:
            continue
        if (
            isinstance(now, Waiting | UndoWaiting)
            or named not in ("", now.step, edge.plan.owner(now.step))
            or (after or 0) < to
        ):
            return False
    return True


def _moment_of(step: StepState | None) -> Moment | None:
    """The moment that the step waits for, if it waits for one."""
    if isinstance(step, Waiting | UndoWaiting):
        return step.times_out_at
    return step.wake if isinstance(step, Retrying | UndoRetrying | Sleeping | Unknown) else None


def i17_going_back_forgets_only_what_is_named(edge: Edge) -> bool:
    """Only that verb takes steps back: its own, and all that follow it. None of them runs, or is a pivot that is done or in doubt.

    The operator has named each that has run, or may have, and is not undone. A wait may begin again at once.
    """
    event = edge.event
    if type(event) is not RewindRequested:
        kept = sum([was is not None for was, _ in edge.steps]) == len(edge.before.steps)
        return kept and all(type(was) is Rewound or type(now) is not Rewound for was, now in edge.changed if was)
    after = {now.step: now for now in edge.after.steps}
    span = {event.step} | edge.plan.descendants[event.step]
    begun = [was for was in edge.before.steps if not isinstance(was, Rewound)]
    for was in begun:
        owner, now = edge.plan.owner(was.step), after.get(was.step)
        if owner not in span:
            if now is None or isinstance(now, Rewound):
                return False
            continue
        waits = edge.plan.step(owner).kind is not StepKind.STEP
        if not (waits or now == (Rewound(was.step, edge.after.rev) if owner == was.step else None)):
            return False
        if is_executing(was) or _may_run_on(was, edge.after.at, event.stopped):
            return False
        if _is_in_the_world(edge, was) and (owner not in event.forget or owner == edge.plan.pivot):
            return False
    return any(was.step == event.step for was in begun)


def i17_what_has_gone_back_is_undone_as_another(edge: Edge) -> bool:
    """Two compensations of different runs of a step never share a key: each is told apart by the entry that took the step back.

    A step leaves its undoing by that verb alone, which leaves none beside it. Nothing else changes what tells them apart.
    """
    if type(edge.event) is not RewindRequested:
        kept = all(
            is_undo(now) and (type(was) is not Undone or now == was) for was, now in edge.changed if is_undo(was)
        )
        return kept and edge.after.rewound == edge.before.rewound
    after = {each.step: each.seq for each in edge.after.rewound}
    back = {edge.plan.owner(was.step) for was in edge.before.steps if not isinstance(was, Rewound)}
    back &= {edge.event.step} | edge.plan.descendants[edge.event.step]
    expected = {each.step: each.seq for each in edge.before.rewound} | dict.fromkeys(back, edge.after.rev)
    once = len(after) == len(edge.after.rewound)
    return once and after == expected and not any(map(is_undo, edge.after.steps))


def _may_run_on(was: StepState, at: Moment, stopped: Collection[StepId]) -> bool:
    return is_tried(was) and was.attempts.may_run_until > at and was.step not in stopped


def _is_in_the_world(edge: Edge, was: StepState) -> bool:
    """Whether an effect of the step is in the world, or may be. A pivot that was skipped counts as done."""
    if was.step == edge.plan.pivot and isinstance(was, Skipped):
        return True
    if isinstance(was, Succeeded | Settled):
        return edge.plan.step(was.step).kind is StepKind.STEP
    if isinstance(was, Skipped):
        return was.doubt is not Doubt.NONE
    if is_unfinished(was):
        return was.attempts.doubt is not Doubt.NONE
    return is_undo(was) and type(was) is not Undone


def i17_what_comes_from_outside_starts_nothing_that_nobody_would_run(edge: Edge) -> bool:
    """Where nothing of a saga runs, no process may own it: a verb or an event by itself starts no compensation and no probe.

    A step starts only with an input, which an owner alone computes.
    """
    if not edge.started or not (is_verb(edge.event) or type(edge.event) is EventReceived):
        return True
    if any(is_executing(was) for was, _ in edge.steps):
        return True
    return all(type(now) is Running for _, now in edge.started)
