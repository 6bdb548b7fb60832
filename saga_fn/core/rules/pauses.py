"""Pauses: of one saga, by a person; of its name, or of everything, as its owner sees it. And moments that are moved for them."""

from __future__ import annotations

from typing import Final, TypeVar, final

from msgspec.structs import replace

from saga_fn.core import standstill
from saga_fn.core.effects import Refusal, Rejection
from saga_fn.core.events import MomentsMoved, ResumeRequested
from saga_fn.core.facts import needs_owner
from saga_fn.core.flaws import LAST_MOMENT
from saga_fn.core.ids import Moment
from saga_fn.core.rules.fold import Fold
from saga_fn.core.standstill import Stretch
from saga_fn.core.state import (
    Attempts,
    Parked,
    PauseState,
    Probing,
    Retrying,
    Running,
    Sleeping,
    StepState,
    Undoing,
    UndoRetrying,
    UndoWaiting,
    Unknown,
    Waiting,
)

_NONE: Final = PauseState()
_Waits = TypeVar("_Waits", Waiting, UndoWaiting)
_Wakes = TypeVar("_Wakes", Sleeping, Retrying, UndoRetrying, Unknown)


def paused(fold: Fold) -> None:
    """The owner has seen a pause: nothing begins any more."""
    _no_progress(fold)
    fold.pause = replace(fold.pause or _NONE, of_name=True)
    fold.paused = fold.idle = True


def claimed(fold: Fold) -> None:
    """Who claims the saga has found no pause of its name; the saga itself may be paused all the same."""
    _let_go(fold, replace(fold.pause or _NONE, of_name=False))
    fold.idle = fold.paused


def pause_requested(fold: Fold) -> Rejection | None:
    """A person pauses the saga: what runs comes to its end."""
    if fold.before.paused_itself:
        return Rejection(Refusal.ALREADY_PAUSED)
    _no_progress(fold)
    fold.pause = replace(fold.pause or _NONE, since=fold.at, seq=fold.rev)
    fold.paused = fold.idle = True
    return None


def resume_requested(fold: Fold, event: ResumeRequested) -> Rejection | None:
    """A person lets the saga go on. Its owner may still hold it, because its name is paused as well."""
    if fold.pause is None or fold.pause.since is None:
        return Rejection(Refusal.NOT_PAUSED)
    _no_progress(fold)
    if event.extend:
        _move(fold, fold.pause.since, fold.at)
    _let_go(fold, replace(fold.pause, since=None, seq=0))
    fold.idle = fold.paused or not needs_owner(fold.before)
    return None


def moments_moved(fold: Fold, event: MomentsMoved) -> Rejection | None:
    """The moments that the saga waits for are moved for a pause of its name, or of everything."""
    _no_progress(fold)
    return None if _move(fold, event.since, event.until) else Rejection(Refusal.NOTHING_TO_MOVE)


def begin_named(fold: Fold) -> None:
    """A person has named the moment at which the saga begins."""
    fold.pause = replace(fold.pause or _NONE, begin_named=fold.begins_at)


def begun(fold: Fold) -> None:
    """The begin that a person has named is past, and no pause was seen at that: nothing will be moved for one before it."""
    if fold.pause is not None and fold.pause.begin_named and not fold.idle and fold.pause.begin_named <= fold.at:
        _let_go(fold, replace(fold.pause, begin_named=Moment(0)))


def _no_progress(fold: Fold) -> None:
    """A pause says nothing of a crash."""
    fold.failed_takeovers, fold.isolated = fold.before.failed_takeovers, fold.before.isolated


def _let_go(fold: Fold, left: PauseState) -> None:
    fold.pause = None if left == _NONE else left
    fold.paused = left.holds


def _move(fold: Fold, since: Moment, until: Moment) -> bool:
    """Move all that is to come by the time from `since` to `until`, but for what was moved before. False if that is nothing."""
    pause = fold.pause or _NONE
    shift = _Shift(pause.moved, standstill.joined(pause.moved, since, min(until, fold.at)))
    if shift.before == shift.now:
        return False
    before = (fold.begins_at, fold.deadline, dict(fold.steps))
    fold.begins_at = shift.later(fold.begins_at, pause.begin_named)
    fold.deadline = None if fold.deadline is None else shift.later(fold.deadline, pause.begin_named)
    for step in fold.before.steps:
        fold.put(_step_later(step, shift))
    if (fold.begins_at, fold.deadline, fold.steps) == before:
        return False
    fold.pause = replace(pause, moved=standstill.at_most(shift.now))
    return True


@final
class _Shift:
    """The time for which the saga stood still, as known before and after the end of a pause."""

    def __init__(self, before: tuple[Stretch, ...], now: tuple[Stretch, ...]) -> None:
        self.before: tuple[Stretch, ...] = before
        self.now: tuple[Stretch, ...] = now

    def later(self, moment: Moment, set_at: Moment) -> Moment:
        """A moment that is to come. One that had come before a pause stays: it has come. So does 0, which stands for none."""
        return Moment(min(standstill.moved(moment, set_at, self.before, self.now), LAST_MOMENT)) if moment else moment

    def begun(self, moment: Moment) -> Moment:
        """When a count began that has a budget in time; 0 if none has."""
        return Moment(min(standstill.counted(moment, self.before, self.now), LAST_MOMENT)) if moment else moment


def _step_later(step: StepState, shift: _Shift) -> StepState:
    """The step once its moments are moved. The time that its attempts may take in all goes on where it stood.

    An execution that may still run, and an event that expires, know nothing of a pause.
    """
    if isinstance(step, Parked) and step.before is not None:
        before = step.before
        before = _wakes_later(before, shift) if isinstance(before, Sleeping) else _waits_later(before, shift)
        return replace(step, before=before)
    match step:
        case Waiting():
            return _waits_later(step, shift)
        case Sleeping():
            return _wakes_later(step, shift)
        case UndoWaiting():
            step = _waits_later(step, shift)
        case Retrying():
            step = _wakes_later(step, shift)
        case UndoRetrying():
            step = _wakes_later(step, shift)
        case Unknown():
            step = replace(_wakes_later(step, shift), first_attempt_at=shift.begun(step.first_attempt_at))
        case Probing():
            step = replace(step, first_attempt_at=shift.begun(step.first_attempt_at))
        case Running() | Undoing():
            pass
        case _:
            return step
    return replace(step, attempts=_attempts_later(step.attempts, shift))


def _wakes_later(step: _Wakes, shift: _Shift) -> _Wakes:
    return replace(step, wake=shift.later(step.wake, step.set_at))


def _waits_later(step: _Waits, shift: _Shift) -> _Waits:
    if step.times_out_at is None:
        return step
    return replace(step, times_out_at=shift.later(step.times_out_at, step.set_at))


def _attempts_later(attempts: Attempts, shift: _Shift) -> Attempts:
    if not (attempts.first_attempt_at or attempts.doubted):
        return attempts
    return replace(
        attempts, first_attempt_at=shift.begun(attempts.first_attempt_at), doubted=shift.begun(attempts.doubted)
    )
