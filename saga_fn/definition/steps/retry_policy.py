"""How often a step is attempted, and how long to wait in between."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, TypeAlias, final, get_args

import msgspec

from saga_fn.arguments import is_number, is_whole, micros_of
from saga_fn.core.ids import Micros
from saga_fn.core.retry import LONGEST_DELAY, RetrySchedule
from saga_fn.errors import SagaDefinitionError, shown
from saga_fn.printable import in_words

_MICROSECOND: Final = timedelta(microseconds=1)
_MOST_ATTEMPTS: Final = 1_000_000
_FIRST_DELAY: Final = timedelta(seconds=1)


def _check_attempts(policy: object, value: object) -> None:
    if value is not None and not (is_whole(value) and 1 <= value <= _MOST_ATTEMPTS):
        raise SagaDefinitionError(
            f"{type(policy).__name__}.max_attempts must be a whole number from 1 to {_MOST_ATTEMPTS}, not {shown(value)}",
            hint="it counts attempts: 1 runs the step once, 3 at most three times",
        )


def _check_delay(policy: object, name: str, value: object) -> None:
    micros_of(f"{type(policy).__name__}.{name}", value, least=0, hint="for example timedelta(seconds=5)")


def _check_budget(policy: object, value: object) -> None:
    if value is not None:
        hint = "for example timedelta(minutes=10): no attempt begins later than that after the first"
        micros_of(f"{type(policy).__name__}.within", value, hint=hint)


def _bounded(policy: FixedRetry | ExponentialRetry) -> int:
    """How many attempts the policy grants; raises SagaDefinitionError for one without any limit."""
    if policy.max_attempts is None and policy.within is None:
        raise SagaDefinitionError(
            f"{type(policy).__name__} has no limit",
            hint="give max_attempts=, within= (a budget in time), or both",
        )
    return _MOST_ATTEMPTS if policy.max_attempts is None else policy.max_attempts


def _check_number(policy: object, name: str, value: object, low: float, high: float) -> None:
    if not is_number(value) or not low <= value <= high:
        raise SagaDefinitionError(
            f"{type(policy).__name__}.{name} must be a number from {low:g} to {high:g}, not {shown(value)}"
        )


@final
class NoRetry(msgspec.Struct, frozen=True):
    """One attempt, and no other."""

    def schedule(self) -> RetrySchedule:
        """Give the policy as the core keeps it.

        Returns:
            The schedule.
        """
        return RetrySchedule(attempts=1)


@final
class FixedRetry(msgspec.Struct, frozen=True, kw_only=True):
    """Attempts that are equally far apart. One of `max_attempts` and `within` has to be given.

    Raises:
        SagaDefinitionError: A field is out of its range, or the policy has no limit.

    >>> FixedRetry(max_attempts=3, delay=timedelta(seconds=2)).schedule().attempts
    3
    """

    max_attempts: int | None = None
    """How many attempts at most, the first one included, 1 to 1,000,000. Default: None, as many as fit into `within`."""
    delay: timedelta = timedelta(0)
    """The time between two attempts, 0 to 365 days. Default: 0."""
    within: timedelta | None = None
    """The longest time from the first attempt to the beginning of the last, at most 365 days. Default: None, no limit."""

    def __post_init__(self) -> None:
        """Refuse with SagaDefinitionError a field out of its range, and a policy without any limit."""
        _check_attempts(self, self.max_attempts)
        _check_delay(self, "delay", self.delay)
        _check_budget(self, self.within)
        _bounded(self)

    def schedule(self) -> RetrySchedule:
        """Give the policy as the core keeps it.

        Returns:
            The schedule.

        Raises:
            SagaDefinitionError: The policy has no limit.
        """
        return RetrySchedule(attempts=_bounded(self), base=_microseconds(self.delay), within=_microseconds(self.within))


@final
class ExponentialRetry(msgspec.Struct, frozen=True, kw_only=True):
    """Attempts whose delays grow. One of `max_attempts` and `within` has to be given.

    No delay overflows, at any number of attempts.

    Raises:
        SagaDefinitionError: A field is out of its range, `base_delay` is given and longer than `max_delay`, or the policy has no
            limit.

    >>> ExponentialRetry(max_attempts=5, base_delay=timedelta(seconds=1), max_delay=timedelta(minutes=1)).schedule().attempts
    5
    """

    max_attempts: int | None = None
    """How many attempts at most, the first one included, 1 to 1,000,000. Default: None, as many as fit into `within`."""
    base_delay: timedelta = _FIRST_DELAY
    """The time before the second attempt, 0 to 365 days. Default: 1 second, or `max_delay` where that is shorter."""
    multiplier: float = 2.0
    """The factor from one delay to the next, 1 to 1,000. Default: 2."""
    max_delay: timedelta | None = None
    """The longest delay, 0 to 365 days. Default: None, 365 days."""
    jitter: float = 0.1
    """The largest share taken off each delay at random, 0 to 1. So many sagas do not come back together. Default: 0.1."""
    within: timedelta | None = None
    """The longest time from the first attempt to the beginning of the last, at most 365 days. Default: None, no limit."""

    def __post_init__(self) -> None:
        """Refuse with SagaDefinitionError a field out of its range, and a policy without any limit."""
        _check_attempts(self, self.max_attempts)
        _check_delay(self, "base_delay", self.base_delay)
        _check_number(self, "multiplier", self.multiplier, 1.0, 1000.0)
        if self.max_delay is not None:
            _check_delay(self, "max_delay", self.max_delay)
            if self.max_delay < self.base_delay != _FIRST_DELAY:
                raise SagaDefinitionError(
                    f"ExponentialRetry.base_delay ({_told(self.base_delay)}) is longer than its max_delay ({_told(self.max_delay)})",
                    hint="base_delay is the first delay, max_delay the longest; for equal delays FixedRetry(delay=...)",
                )
        _check_number(self, "jitter", self.jitter, 0.0, 1.0)
        _check_budget(self, self.within)
        _bounded(self)

    def schedule(self) -> RetrySchedule:
        """Give the policy as the core keeps it.

        Returns:
            The schedule.

        Raises:
            SagaDefinitionError: The policy has no limit.
        """
        return RetrySchedule(
            attempts=_bounded(self),
            base=_microseconds(self.base_delay),
            multiplier=float(self.multiplier),
            cap=LONGEST_DELAY if self.max_delay is None else _microseconds(self.max_delay),
            jitter=float(self.jitter),
            within=_microseconds(self.within),
        )


RetryPolicy: TypeAlias = NoRetry | FixedRetry | ExponentialRetry
"""The closed set of policies; the core knows them all as one schedule."""


def _microseconds(budget: timedelta | None) -> Micros:
    return Micros(0 if budget is None else budget // _MICROSECOND)


def _told(length: timedelta) -> str:
    return in_words(_microseconds(length))


def check_policy(name: str, value: object) -> None:
    """Raise SagaDefinitionError for what is no policy."""
    if not isinstance(value, RetryPolicy):
        *others, last = (policy.__name__ for policy in get_args(RetryPolicy))
        raise SagaDefinitionError(
            f"{name} must be a {', '.join(others)} or {last}, not {shown(value)}",
            hint="for example FixedRetry(max_attempts=3, delay=timedelta(seconds=2))",
        )
