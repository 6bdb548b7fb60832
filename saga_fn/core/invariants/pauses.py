"""I18: of pauses. A saga whose owner has seen a pause, or that a person has paused, comes to rest."""

from __future__ import annotations

from typing import Final, TypeAlias, get_args

from typing_extensions import TypeIs

from saga_fn.core.events import MomentsMoved, Paused, PauseRequested, Rescheduled, Resumed, ResumeRequested
from saga_fn.core.flaws import LAST_MOMENT
from saga_fn.core.ids import Moment
from saga_fn.core.invariants.edge import Edge, stops
from saga_fn.core.standstill import after, at_most, elapsed, joined
from saga_fn.core.state import (
    Parked,
    PauseState,
    Retrying,
    Rewound,
    SagaState,
    Sleeping,
    StepState,
    UndoRetrying,
    UndoWaiting,
    Unknown,
    Waiting,
    is_executing,
)

_Awaits: TypeAlias = Sleeping | Waiting | Retrying | Unknown | UndoRetrying | UndoWaiting
_AWAITS: Final[frozenset[type[object]]] = frozenset(get_args(_Awaits))
_OF_PAUSES: Final[frozenset[type[object]]] = frozenset({Paused, PauseRequested, ResumeRequested, MomentsMoved})
_NO_PAUSE: Final = PauseState()


def _of(state: SagaState) -> PauseState:
    return state.pause or _NO_PAUSE


def _awaits(step: StepState | None) -> TypeIs[_Awaits]:
    return type(step) in _AWAITS


def i18_a_paused_saga_begins_nothing(edge: Edge) -> bool:
    """Neither a step, nor a probe, nor an undo begins during a pause, and no moment comes."""
    if not _of(edge.after).holds:
        return True
    return not edge.started and not edge.moved.needs and not edge.moved.defaults and edge.moved.timed_out is None


def i18_a_claim_alone_ends_a_pause(edge: Edge) -> bool:
    """A saga that is claimed is not paused by its name any more; nothing else lets it go on, but the person who paused it."""
    was, now = _of(edge.before), _of(edge.after)
    by_name = type(edge.event) is not Resumed and (was.of_name or type(edge.event) is Paused)
    if type(edge.event) is PauseRequested:
        itself = was.since is None and (now.since, now.seq) == (edge.after.at, edge.after.rev)
    elif type(edge.event) is ResumeRequested:
        itself = was.since is not None and now.since is None
    else:
        itself = (now.since, now.seq) == (was.since, was.seq)
    return now.of_name is by_name and itself


def i18_what_runs_comes_to_its_end(edge: Edge) -> bool:
    """A pause cuts nothing short, and neither does its end: what is executed goes on."""
    if type(edge.event) not in _OF_PAUSES:
        return True
    return not any(stops(was, now) for was, now in edge.steps if is_executing(was))


def i18_moments_are_moved_once_for_a_time(edge: Edge) -> bool:
    """The end of a pause moves what is to come by the time that the saga stood still, and never twice by the same time."""
    was, now = _of(edge.before).moved, _of(edge.after).moved
    span = _span(edge)
    if span is None:
        return now == was
    known = was if now == was else joined(was, *span)
    named = _of(edge.before).begin_named
    moments = [
        (edge.before.begins_at, edge.after.begins_at, named),
        (edge.before.deadline, edge.after.deadline, named),
        *(
            (_awaited(each), _awaited(step), each.set_at)
            for each, step in edge.steps
            if _awaits(each) and _awaits(step) and type(each) is type(step)
        ),
    ]
    return now == at_most(known) and all(
        before <= later
        and (later == LAST_MOMENT or elapsed(before, after(set_at, was)) == elapsed(later, after(set_at, known)))
        for before, later, set_at in moments
        if before and later
    )


def i18_a_moment_knows_when_it_was_set(edge: Edge) -> bool:
    """A moment that the event sets was set now, or counts as set when it comes; the end of a pause moves it, and sets none.

    But a wait or a sleep that the pause has held up begins with its end, as one does whose delayed saga no process has claimed yet.
    """
    if _of(edge.after).begin_named != _of(edge.before).begin_named and type(edge.event) is not Rescheduled:
        return not _of(edge.after).begin_named and edge.after.begins_at <= edge.after.at
    for was, now in edge.changed:
        if not _awaits(now) or not _awaited(now):
            continue
        if not _is_known(edge, was.before if type(was) is Parked else was, now):
            return False
    return True


def _is_known(edge: Edge, was: StepState | None, now: _Awaits) -> bool:
    if _awaits(was) and now.set_at == was.set_at and _awaited(was) == _awaited(now):
        return True
    is_held_up = type(edge.event) is ResumeRequested or edge.before.begins_at > 0
    # A person has had it begun again, in a pause.
    is_again = type(was) is Retrying and isinstance(now, Waiting | Sleeping)
    begins = is_held_up and (was is None or type(was) is Rewound or is_again)
    if type(edge.event) in _OF_PAUSES and not begins:
        return _awaits(was) and now.set_at == was.set_at
    is_named = type(edge.event) is Rescheduled and type(was) is type(now)
    return now.set_at == (_awaited(now) if is_named else edge.after.at)


def _span(edge: Edge) -> tuple[Moment, Moment] | None:
    """The time for which the event moves moments."""
    if type(edge.event) is MomentsMoved:
        return edge.event.since, Moment(min(edge.event.until, edge.after.at))
    if type(edge.event) is ResumeRequested and edge.event.extend and (since := _of(edge.before).since) is not None:
        return since, edge.after.at
    return None


def _awaited(step: _Awaits) -> Moment | None:
    """The moment that the step waits for."""
    return step.times_out_at if isinstance(step, Waiting | UndoWaiting) else step.wake
