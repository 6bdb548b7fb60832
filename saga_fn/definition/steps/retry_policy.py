"""How often a step is attempted, and how long to wait in between."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final, TypeAlias, final, get_args

import attrs

from saga_fn.arguments import is_number, is_whole, micros_of
from saga_fn.core.ids import Micros
from saga_fn.core.retry import LONGEST_DELAY, RetrySchedule
from saga_fn.errors import SagaDefinitionError, shown

_MICROSECOND: Final = timedelta(microseconds=1)
_MOST_ATTEMPTS: Final = 1_000_000


def _attempts(policy: object, attribute: attrs.Attribute[int], value: object) -> None:
    if not is_whole(value) or not 1 <= value <= _MOST_ATTEMPTS:
        raise SagaDefinitionError(
            f"{type(policy).__name__}.{attribute.name} must be a whole number from 1 to {_MOST_ATTEMPTS}, not {shown(value)}",
            hint="it counts attempts: 1 runs the step once, 3 at most three times",
        )


def _delay(policy: object, attribute: attrs.Attribute[timedelta], value: object) -> None:
    micros_of(f"{type(policy).__name__}.{attribute.name}", value, least=0, hint="for example timedelta(seconds=5)")


def _budget(policy: object, attribute: attrs.Attribute[timedelta], value: object) -> None:
    hint = "for example timedelta(minutes=10): no attempt begins later than that after the first"
    micros_of(f"{type(policy).__name__}.{attribute.name}", value, hint=hint)


def _bounded(policy: FixedRetry | ExponentialRetry) -> int:
    """How many attempts the policy grants; raises SagaDefinitionError for one without any limit."""
    if policy.max_attempts is None and policy.within is None:
        raise SagaDefinitionError(
            f"{type(policy).__name__} has no limit",
            hint="give max_attempts=, within= (a budget in time), or both",
        )
    return _MOST_ATTEMPTS if policy.max_attempts is None else policy.max_attempts


def _number(low: float, high: float) -> Callable[[object, attrs.Attribute[float], object], None]:
    def check(policy: object, attribute: attrs.Attribute[float], value: object) -> None:
        if not is_number(value) or not low <= value <= high:
            raise SagaDefinitionError(
                f"{type(policy).__name__}.{attribute.name} must be a number from {low:g} to {high:g}, not {shown(value)}"
            )

    return check


@final
@attrs.frozen
class NoRetry:
    """One attempt, and no other."""

    def schedule(self) -> RetrySchedule:
        """Give the policy as the core keeps it.

        Returns:
            The schedule.
        """
        return RetrySchedule(attempts=1)


@final
@attrs.frozen(kw_only=True)
class FixedRetry:
    """Attempts that are equally far apart. One of `max_attempts` and `within` has to be given.

    Raises:
        SagaDefinitionError: A field is out of its range, or the policy has no limit.

    >>> FixedRetry(max_attempts=3, delay=timedelta(seconds=2)).schedule().attempts
    3
    """

    max_attempts: int | None = attrs.field(default=None, validator=attrs.validators.optional(_attempts))
    """How many attempts at most, the first one included, 1 to 1,000,000. Default: None, as many as fit into `within`."""
    delay: timedelta = attrs.field(default=timedelta(0), validator=_delay)
    """The time between two attempts, 0 to 365 days. Default: 0."""
    within: timedelta | None = attrs.field(default=None, validator=attrs.validators.optional(_budget))
    """The longest time from the first attempt to the beginning of the last, at most 365 days. Default: None, no limit."""

    def __attrs_post_init__(self) -> None:
        """Refuse with SagaDefinitionError a policy without any limit."""
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
@attrs.frozen(kw_only=True)
class ExponentialRetry:
    """Attempts whose delays grow. One of `max_attempts` and `within` has to be given.

    No delay overflows, at any number of attempts.

    Raises:
        SagaDefinitionError: A field is out of its range, or the policy has no limit.

    >>> ExponentialRetry(max_attempts=5, base_delay=timedelta(seconds=1), max_delay=timedelta(minutes=1)).schedule().attempts
    5
    """

    max_attempts: int | None = attrs.field(default=None, validator=attrs.validators.optional(_attempts))
    """How many attempts at most, the first one included, 1 to 1,000,000. Default: None, as many as fit into `within`."""
    base_delay: timedelta = attrs.field(default=timedelta(seconds=1), validator=_delay)
    """The time before the second attempt, 0 to 365 days. Default: 1 second."""
    multiplier: float = attrs.field(default=2.0, validator=_number(1.0, 1000.0))
    """The factor from one delay to the next, 1 to 1,000. Default: 2."""
    max_delay: timedelta | None = attrs.field(default=None, validator=attrs.validators.optional(_delay))
    """The longest delay, 0 to 365 days. Default: None, 365 days."""
    jitter: float = attrs.field(default=0.1, validator=_number(0.0, 1.0))
    """The largest share taken off each delay at random, 0 to 1. So many sagas do not come back together. Default: 0.1."""
    within: timedelta | None = attrs.field(default=None, validator=attrs.validators.optional(_budget))
    """The longest time from the first attempt to the beginning of the last, at most 365 days. Default: None, no limit."""

    def __attrs_post_init__(self) -> None:
        """Refuse with SagaDefinitionError a policy without any limit."""
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


def check_policy(name: str, value: object) -> None:
    """Raise SagaDefinitionError for what is no policy."""
    if not isinstance(value, RetryPolicy):
        *others, last = (policy.__name__ for policy in get_args(RetryPolicy))
        raise SagaDefinitionError(
            f"{name} must be a {', '.join(others)} or {last}, not {shown(value)}",
            hint="for example FixedRetry(max_attempts=3, delay=timedelta(seconds=2))",
        )
