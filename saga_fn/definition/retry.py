"""How often a step is attempted, and how long to wait in between."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final, TypeAlias, final

import attrs

from saga_fn.core.retry import LONGEST_DELAY, RetrySchedule
from saga_fn.duration import micros_of
from saga_fn.errors import SagaDefinitionError, shown

_MICROSECOND: Final = timedelta(microseconds=1)
_MOST_ATTEMPTS: Final = 1_000_000


def _attempts(policy: object, attribute: attrs.Attribute[int], value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MOST_ATTEMPTS:
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
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise SagaDefinitionError(
                f"{type(policy).__name__}.{attribute.name} must be a number from {low:g} to {high:g}, not {shown(value)}"
            )

    return check


@final
@attrs.frozen
class NoRetry:
    """One attempt, and no other."""

    def schedule(self) -> RetrySchedule:
        """The policy as the core keeps it."""
        return RetrySchedule(attempts=1)


@final
@attrs.frozen(kw_only=True)
class FixedRetry:
    """At most `max_attempts` attempts (1 or more), `delay` apart; none begins later than `within` after the first.

    >>> FixedRetry(max_attempts=3, delay=timedelta(seconds=2)).schedule().attempts
    3
    """

    max_attempts: int | None = attrs.field(default=None, validator=attrs.validators.optional(_attempts))
    delay: timedelta = attrs.field(default=timedelta(0), validator=_delay)
    within: timedelta | None = attrs.field(default=None, validator=attrs.validators.optional(_budget))

    def __attrs_post_init__(self) -> None:
        """Refuse with SagaDefinitionError a policy without any limit."""
        _bounded(self)

    def schedule(self) -> RetrySchedule:
        """The policy as the core keeps it."""
        return RetrySchedule(
            attempts=_bounded(self), base=self.delay // _MICROSECOND, within=_microseconds(self.within)
        )


@final
@attrs.frozen(kw_only=True)
class ExponentialRetry:
    """At most `max_attempts` attempts; the wait grows from `base_delay` by `multiplier` (1 to 1,000) up to `max_delay`.

    No attempt begins later than `within` after the first: a budget in time, beside the one in attempts or in its place.

    `jitter` (0 to 1) takes up to that share off each wait, at random, so that what failed together does not come back
    together. However many attempts, no wait overflows.
    """

    max_attempts: int | None = attrs.field(default=None, validator=attrs.validators.optional(_attempts))
    base_delay: timedelta = attrs.field(default=timedelta(seconds=1), validator=_delay)
    multiplier: float = attrs.field(default=2.0, validator=_number(1.0, 1000.0))
    max_delay: timedelta | None = attrs.field(default=None, validator=attrs.validators.optional(_delay))
    jitter: float = attrs.field(default=0.1, validator=_number(0.0, 1.0))
    within: timedelta | None = attrs.field(default=None, validator=attrs.validators.optional(_budget))

    def __attrs_post_init__(self) -> None:
        """Refuse with SagaDefinitionError a policy without any limit."""
        _bounded(self)

    def schedule(self) -> RetrySchedule:
        """The policy as the core keeps it."""
        return RetrySchedule(
            attempts=_bounded(self),
            base=self.base_delay // _MICROSECOND,
            multiplier=float(self.multiplier),
            cap=LONGEST_DELAY if self.max_delay is None else self.max_delay // _MICROSECOND,
            jitter=float(self.jitter),
            within=_microseconds(self.within),
        )


RetryPolicy: TypeAlias = NoRetry | FixedRetry | ExponentialRetry
"""The closed set of policies; the core knows them all as one schedule."""


def _microseconds(budget: timedelta | None) -> int:
    return 0 if budget is None else budget // _MICROSECOND


def check_policy(name: str, value: object) -> None:
    """Raise SagaDefinitionError for what is no policy."""
    if not isinstance(value, NoRetry | FixedRetry | ExponentialRetry):
        raise SagaDefinitionError(
            f"{name} must be a NoRetry, FixedRetry or ExponentialRetry, not {shown(value)}",
            hint="for example FixedRetry(max_attempts=3, delay=timedelta(seconds=2))",
        )
