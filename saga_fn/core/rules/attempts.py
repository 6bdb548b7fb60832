"""How attempts are counted, and when the next one may start: what all rules share that repeat something."""

from __future__ import annotations

from typing import Final, TypeVar

from msgspec.structs import replace

from saga_fn.core.ids import Micros, Moment, StepId
from saga_fn.core.retry import RetrySchedule
from saga_fn.core.rules.fold import Fold
from saga_fn.core.state import Attempts, Doubt, FannedOut, Probing, Retrying, Rewound, Running, Unknown

_PAST: Final = Moment(0)
_NONE: Final = Attempts()
_Tried = TypeVar("_Tried", Attempts, Probing)


def unbegun(fold: Fold, step: StepId) -> Attempts:
    """The tries of a step, or an item, that has not begun: they go on from the entry that took the saga back, if one did."""
    found = fold.steps.get(step)
    if found is None and fold.plan.concurrencies:
        found = fold.steps.get(fold.plan.owner(step))
    if isinstance(found, FannedOut):
        return _from(found.rewound) if found.rewound else _NONE
    if not isinstance(found, Rewound):
        return _NONE
    return Attempts(generation=found.seq) if step in fold.plan.concurrencies else _from(found.seq)


def _from(seq: int) -> Attempts:
    """No attempt before it has had a higher number, or a later generation."""
    return Attempts(attempt=seq, generation=seq, probes=seq)


def next_attempt(attempts: Attempts) -> Attempts:
    """The tries with one more execution."""
    return replace(attempts, attempt=attempts.attempt + 1, may_run_until=_PAST)


def running(fold: Fold, step: StepId, attempts: Attempts) -> Running:
    """The step as it runs once more after these tries."""
    return Running(step, next_attempt(attempts), fold.plan.step(step).transactional)


def failed(tried: _Tried) -> _Tried:
    """The attempts, with one more failure that counts."""
    return replace(tried, failures=tried.failures + 1)


def doubtful(attempts: Attempts) -> Attempts:
    """The tries of what may have run."""
    return replace(attempts, doubt=max(attempts.doubt, Doubt.MAY_HAVE_RUN))


def doubted(fold: Fold, attempts: Attempts) -> Attempts:
    """The tries with one more failure that counts against the budget for what may have run; it runs from the first."""
    return replace(attempts, doubts=attempts.doubts + 1, doubted=attempts.doubted or fold.at)


def fresh(attempts: Attempts) -> Attempts:
    """The tries as a person's wish to try again leaves them: with a fresh count and a fresh budget."""
    return replace(attempts, failures=0, first_attempt_at=_PAST, doubts=0, doubted=_PAST)


def cut_short(fold: Fold, step: Running, until: Moment = _PAST) -> Unknown | Retrying:
    """The step once its execution was taken from it, which may go on until then.

    One in a transaction has not happened, and will not: only what is written with its success ends it.
    """
    if step.transactional:
        return Retrying(step.step, step.attempts, fold.at, fold.at)
    return Unknown(step.step, replace(doubtful(step.attempts), may_run_until=until))


def delay(
    fold: Fold, retry: RetrySchedule, tried: Attempts | Probing, jitter_draw: float = 0.0, wish: Micros | None = None
) -> Micros | None:
    """How long to wait after this failure; None if there is to be no further attempt."""
    spent = fold.at - tried.first_attempt_at if tried.first_attempt_at else 0
    return retry.delay_after(tried.failures, jitter_draw=jitter_draw, spent=Micros(spent), wish=wish)


def delay_in_doubt(
    fold: Fold, retry: RetrySchedule, attempts: Attempts, jitter_draw: float = 0.0, wish: Micros | None = None
) -> Micros | None:
    """The same by the budget for what may have run."""
    return retry.delay_after(
        attempts.doubts, jitter_draw=jitter_draw, spent=Micros(fold.at - attempts.doubted), wish=wish
    )


def begun(fold: Fold, attempts: Attempts, retry: RetrySchedule) -> Attempts:
    """The tries with the time when their first attempt began, if there is a budget that runs from it."""
    return replace(attempts, first_attempt_at=fold.at) if retry.within and not attempts.first_attempt_at else attempts


def soonest(fold: Fold, attempts: Attempts) -> Moment:
    """When the next attempt may start: now, or when the one before is certain to have stopped."""
    return Moment(max(fold.at, attempts.may_run_until))
