"""How attempts are counted, and when the next one may start: what all rules share that repeat something."""

from __future__ import annotations

from typing import Final, TypeVar

from msgspec.structs import replace

from saga_fn.core.ids import Moment
from saga_fn.core.retry import RetrySchedule
from saga_fn.core.rules.fold import Fold
from saga_fn.core.state import Doubt, Probing, Running, Tries, Unknown

_PAST: Final = Moment(0)
_Tried = TypeVar("_Tried", Tries, Probing)


def next_attempt(tries: Tries) -> Tries:
    """The tries with one more execution."""
    return replace(tries, attempt=tries.attempt + 1, until=_PAST)


def failed(tried: _Tried) -> _Tried:
    """The attempts, with one more failure that counts."""
    return replace(tried, failures=tried.failures + 1)


def doubtful(tries: Tries) -> Tries:
    """The tries of what may have run."""
    return replace(tries, doubt=max(tries.doubt, Doubt.MAY_HAVE_RUN))


def doubted(fold: Fold, tries: Tries) -> Tries:
    """The tries with one more failure that counts against the budget for what may have run; it runs from the first."""
    return replace(tries, doubts=tries.doubts + 1, doubted=tries.doubted or fold.at)


def fresh(tries: Tries) -> Tries:
    """The tries as a person's wish to try again leaves them: with a fresh count and a fresh budget."""
    return replace(tries, failures=0, since=_PAST, doubts=0, doubted=_PAST)


def cut_short(step: Running, until: Moment = _PAST) -> Unknown:
    """The step once its execution was taken from it, which may go on until then."""
    return Unknown(step.step, replace(doubtful(step.tries), until=until))


def delay(
    fold: Fold, retry: RetrySchedule, tried: Tries | Probing, draw: float = 0.0, wish: int | None = None
) -> int | None:
    """How long to wait after this failure; None if there is to be no further attempt."""
    spent = fold.at - tried.since if tried.since else 0
    return retry.delay_after(tried.failures, draw=draw, spent=spent, wish=wish)


def delay_in_doubt(
    fold: Fold, retry: RetrySchedule, tries: Tries, draw: float = 0.0, wish: int | None = None
) -> int | None:
    """The same by the budget for what may have run."""
    return retry.delay_after(tries.doubts, draw=draw, spent=fold.at - tries.doubted, wish=wish)


def begun(fold: Fold, tries: Tries, retry: RetrySchedule) -> Tries:
    """The tries with the time when their first attempt began, if there is a budget that runs from it."""
    return replace(tries, since=fold.at) if retry.within and not tries.since else tries


def soonest(fold: Fold, tries: Tries) -> Moment:
    """When the next attempt may start: now, or when the one before is certain to have stopped."""
    return Moment(max(fold.at, tries.until))
