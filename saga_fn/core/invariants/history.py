"""I3, I4, I6: of a whole history. Its revisions, its executions, and the results that they brought."""

from __future__ import annotations

from typing_extensions import TypeIs

from saga_fn.core.events import (
    EventReceived,
    Finding,
    Resumed,
    RewindRequested,
    StepSettled,
    StepSkipped,
    Ticked,
    WaitDefaulted,
)
from saga_fn.core.invariants.edge import Edge, Tried, brings_its_result, is_tried
from saga_fn.core.plan import OnTimeout, PlannedStep, StepKind
from saga_fn.core.state import (
    COMMITTED,
    FannedOut,
    Joined,
    NotTaken,
    Probing,
    Rewound,
    Running,
    Settled,
    Skipped,
    Sleeping,
    StepState,
    Succeeded,
    Undo,
    Undoing,
    Waiting,
    execution_of,
    is_undo,
    is_unfinished,
)


def i3_revisions_are_gapless(edge: Edge) -> bool:
    """One accepted event, one revision; database time never runs back."""
    return edge.after.rev == edge.before.rev + 1 and edge.after.at == max(edge.before.at, edge.event.at)


def i4_executions_are_told_apart(edge: Edge) -> bool:
    """An execution that is started anew has an attempt number that its direction of the step never had.

    A step that was taken back has had no more attempts than there were events then.
    """
    return all(
        execution_of(now)
        > (_last_of(now, was) if (type(was) is Rewound or is_tried(was)) and _same_direction(was, now) else 0)
        for was, now in edge.started
    )


def _same_direction(was: StepState, now: StepState) -> bool:
    return (is_unfinished(was) or type(was) is Rewound) == is_unfinished(now)


def _last_of(now: Running | Undoing | Probing, was: Tried | Rewound) -> int:
    """The number of the last execution of that kind, as far as the state before knows it."""
    if isinstance(was, Rewound):
        return was.seq
    return was.attempts.probes if type(now) is Probing else was.attempts.attempt


def i6_results_are_kept(edge: Edge) -> bool:
    """A result is recorded once, by the event that brought it for the execution that ran, and stays."""
    if type(edge.event) is RewindRequested:
        return True  # see I17
    for was, now in edge.changed:
        if type(was) is NotTaken or type(was) is Joined or type(was) is FannedOut:
            joins = type(was) is FannedOut and now == Joined(was.step, was.items)
            if not joins and now != was:
                return False
        elif _is_recorded(was):
            if not _is_recorded(now) or now.seq != was.seq:
                return False
        elif type(now) is Settled:
            told = type(edge.event) is StepSettled and edge.event.finding is Finding.DONE
            if not told or not brings_its_result(edge.event, was) or now.seq != edge.after.rev:
                return False
        elif type(now) is Skipped:
            if type(edge.event) is not StepSkipped or edge.event.step != now.step or now.seq != edge.after.rev:
                return False
            if (was is None or type(was) is Rewound) and not edge.event.not_begun:
                return False
        elif type(now) is Succeeded and edge.plan.step(now.step).kind is not StepKind.STEP:
            if not _waited_for(edge, edge.plan.step(now.step), was, now):
                return False
        elif type(now) is Succeeded or is_undo(now):
            if brings_its_result(edge.event, was):
                if now.seq != edge.after.rev:
                    return False
            elif type(now) is Succeeded or now.seq or not is_unfinished(was):
                return False  # but for what is undone because it may have run, see I9
    return len(edge.steps) >= len(edge.before.steps)


def _is_recorded(step: StepState | None) -> TypeIs[Succeeded | Skipped | Settled | Undo]:
    """Whether a result of the step is recorded, or what became of it then."""
    return type(step) in COMMITTED or is_undo(step)


def _waited_for(edge: Edge, planned: PlannedStep, was: StepState | None, now: Succeeded) -> bool:
    """Whether what the step waited for is what this edge brought."""
    match edge.event:
        case EventReceived(name=name) if now.seq == edge.after.rev:
            begins = (
                was is None and edge.before.begins_at > 0
            )  # a delayed saga whose moment has come begins with the event
            return (begins or isinstance(was, Waiting)) and name in planned.waits_for
        case WaitDefaulted(step=step) if now.seq == edge.after.rev:
            over = isinstance(was, Waiting) and was.times_out_at is not None and was.times_out_at <= edge.after.at
            return over and step == now.step and planned.on_timeout is OnTimeout.DEFAULT
        case Ticked() | Resumed() if now.seq == edge.after.rev:
            return isinstance(was, Sleeping) and was.wake <= edge.after.at
        case _:
            kept = [event for event in edge.before.buffered if event.seq == now.seq]
            return any(event.name in planned.waits_for for event in kept)
