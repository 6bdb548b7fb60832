"""Lengths of time that callers give, judged and counted in whole microseconds."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from saga_fn.core.retry import LONGEST_DELAY
from saga_fn.errors import SagaDefinitionError, SagaError, shown

_MICROSECOND: Final = timedelta(microseconds=1)
_WHOLE: Final = ((86_400_000_000, "days"), (3_600_000_000, "hours"), (60_000_000, "minutes"))


def micros_of(
    name: str,
    value: object,
    *,
    least: int = 1,
    error: type[SagaError] = SagaDefinitionError,
    hint: str = "for example timedelta(hours=1)",
) -> int:
    """A timedelta of `least` microseconds to a year; raises `error` for anything else.

    >>> micros_of("timeout", timedelta(seconds=2))
    2000000
    """
    if not isinstance(value, timedelta) or not least * _MICROSECOND <= value <= LONGEST_DELAY * _MICROSECOND:
        size = "positive timedelta of at most" if least else "timedelta from 0 to"
        raise error(f"{name} must be a {size} 365 days, not {shown(value)}", hint=hint)
    return value // _MICROSECOND


def seconds_of(name: str, value: object) -> float | None:
    """A timeout option in seconds; raises SagaDefinitionError if it is not a positive timedelta or None."""
    hint = "for example timedelta(seconds=30); None sets no limit"
    return None if value is None else micros_of(name, value, hint=hint) / 1_000_000


def in_words(micros: int) -> str:
    """A length of time for a person: in the largest unit of which it is two or more, and nothing is left over.

    >>> in_words(3 * 86_400_000_000), in_words(400_000), in_words(90_000_000)
    ('3 days', '0.4 s', '90 s')
    """
    for size, unit in _WHOLE:
        if micros % size == 0 and micros >= 2 * size:
            return f"{micros // size} {unit}"
    return f"{micros / 1_000_000:.15g} s"
