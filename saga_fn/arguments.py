"""The arguments of callers, judged before anything is done with them: the type checkers do not see every caller."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from datetime import datetime, timedelta
from typing import Final, TypeGuard
from uuid import UUID

from saga_fn.core.ids import Micros
from saga_fn.core.retry import LONGEST_DELAY
from saga_fn.errors import PayloadError, PayloadTooLargeError, SagaDefinitionError, SagaError, shown
from saga_fn.printable import a_type_of

_MICROSECOND: Final = timedelta(microseconds=1)
_YEAR = 365 * 24 * 3600.0
_LONGEST_KEY = 255


def check_id(
    value: object, what: str = "a saga's id", *, hint: str = "a run has it as run.id; UUID(text) makes one of its text"
) -> None:
    """Raise PayloadError for what is no UUID."""
    if not isinstance(value, UUID):
        raise PayloadError(
            f"{what} is a UUID, not {a_type_of(value)}",
            hint=hint,
        )


def seconds_to_wait(timeout: object) -> float:
    """A timeout in seconds, a year at most; raises SagaError for what is none."""
    if isinstance(timeout, timedelta):
        return min(timeout.total_seconds(), _YEAR)
    # NaN differs from itself.
    if not is_number(timeout) or timeout != timeout:  # noqa: PLR0124
        raise SagaError(
            f"timeout must be a number of seconds, a timedelta or None, not {a_type_of(timeout)}",
            hint="e.g. timeout=10, or None to wait as long as it takes",
        )
    return float(min(timeout, _YEAR))


def check_no_loop(*, hint: str) -> None:
    """Raise SagaError where an event loop runs in this thread already, for a call that would begin one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise SagaError("an event loop runs in this thread already", hint=hint)


def is_whole(value: object) -> TypeGuard[int]:
    """Whether it is a whole number: True and False are none, though Python counts with them."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a number, whole or not."""
    return is_whole(value) or isinstance(value, float)


def is_async(function: object) -> bool:
    """Whether a call of it gives what is to be awaited: a function by `async def`, or an object that is called by one."""
    call: object = getattr(type(function), "__call__", None)  # noqa: B004 - whether it is async, not whether it is there
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def plain(value: object) -> object:
    """A text or a whole number of a class of the caller's as Python's own, for the encoders, which know no other: their `enc_hook`.

    >>> plain(type("Name", (str,), {})("shop"))
    'shop'
    """
    if isinstance(value, str):
        return str.__str__(value)  # not by the way that its class has
    if isinstance(value, int):
        return int.__index__(value)
    raise NotImplementedError(a_type_of(value))


def check_size(what: str, payload: bytes, most: int) -> None:
    """Raise PayloadTooLargeError for a payload of more than `most` bytes."""
    if len(payload) > most:
        raise PayloadTooLargeError(what, size=len(payload), limit=most)


def check_whole(name: str, value: object, *, least: int, most: int = 2**31 - 1, usual: int | None = None) -> None:
    """Raise SagaError for what is no whole number from `least` to `most`.

    The hint is the number that was meant, if that can be seen, else the `usual` one; without that it is the nearest one.
    """
    if not is_whole(value) or not least <= value <= most:
        given = shown(value) if isinstance(value, int | float) else a_type_of(value)
        hint = f"{name}={_meant(value, least=least, most=most, usual=usual)}"
        raise SagaError(f"{name} must be a whole number from {least} to {most}, not {given}", hint=hint)


def _meant(value: object, *, least: int, most: int, usual: int | None) -> int:
    if isinstance(value, str) or (isinstance(value, float) and value.is_integer()):
        with contextlib.suppress(ValueError):  # a text that is no number
            meant = int(value)
            if least <= meant <= most:
                return meant
    if usual is not None:
        return usual
    return most if is_number(value) and value > most else least


def check_is(value: object, kind: type | tuple[type, ...], what: str, *, error: type[SagaError], hint: str) -> None:
    """Raise `error` for what is none of these types."""
    if not isinstance(value, kind):
        raise error(f"{what} is wanted, not {a_type_of(value)}", hint=hint)


def size_of(value: object) -> str:
    """A value that is no key, as messages call it: keys name people and orders, and stay out of logs."""
    return f"one of {len(value)}" if isinstance(value, str) else a_type_of(value)


def check_key(name: str, value: object) -> None:
    """Raise PayloadError for what is neither None nor a string that can be stored as a key."""
    if value is None:
        return
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_KEY:
        raise PayloadError(
            f"{name} must be a string of 1 to {_LONGEST_KEY} characters, not {size_of(value)}",
            hint="str(key) makes one of a UUID or a number; hash longer ones first",
        )
    if "\x00" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise PayloadError(
            f"{name} holds a character that PostgreSQL cannot store (NUL or a lone surrogate)", hint="leave it out"
        )


def check_target(target: tuple[object, ...]) -> None:
    """Raise PayloadError for what is no pair of a saga's name and its business key."""
    if len(target) != 2 or any(each is None for each in target):  # noqa: PLR2004 - a pair
        raise PayloadError(
            f"a saga is named by its id, or by (name, aggregation_id), not by {shown(target)}",
            hint='to(("create_order", "order-123"), approval)',
        )
    check_key("the saga's name", target[0])
    check_key("aggregation_id", target[1])


def micros_of(
    name: str,
    value: object,
    *,
    least: int = 1,
    error: type[SagaError] = SagaDefinitionError,
    hint: str = "for example timedelta(hours=1)",
) -> Micros:
    """A timedelta of `least` microseconds to a year; raises `error` for anything else.

    >>> micros_of("timeout", timedelta(seconds=2))
    2000000
    """
    if not isinstance(value, timedelta) or not least * _MICROSECOND <= value <= LONGEST_DELAY * _MICROSECOND:
        size = "positive timedelta of at most" if least else "timedelta from 0 to"
        raise error(f"{name} must be a {size} 365 days, not {shown(value)}", hint=hint)
    return Micros(value // _MICROSECOND)


def seconds_of_option(name: str, value: object) -> float | None:
    """A timeout option in seconds; raises SagaDefinitionError if it is not a positive timedelta or None."""
    hint = "for example timedelta(seconds=30); None sets no limit"
    return None if value is None else micros_of(name, value, hint=hint) / 1_000_000


def micros_of_delay(delay: object) -> Micros:
    """A delay in microseconds, a year at most; raises SagaError for what is none, or negative."""
    return Micros(0) if delay is None else micros_of("delay", delay, least=0, error=SagaError)


def aware(what: str, moment: datetime) -> datetime:
    """The moment; raises PayloadError if it does not say in which time zone it is meant."""
    if moment.utcoffset() is None:
        raise PayloadError(
            f"{what} is a naive datetime, which could be anywhere in the world",
            hint="make it aware: datetime.now(UTC), or moment.replace(tzinfo=...)",
        )
    return moment
