"""The options of the engine that a service can set."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Literal, TypeAlias

import attrs

from saga_fn.arguments import check_whole, micros_of
from saga_fn.engine.around import Around, AroundStart, check_around
from saga_fn.engine.observe.observers import Observer, check_observer
from saga_fn.errors import SagaError, shown
from saga_fn.store.protocol import KEY_WAIT

LogErrors: TypeAlias = Literal["type", "traceback"]
"""The part of a step's exception that the log tells: its type, or its traceback, and so its message, too."""
MEBIBYTE: Final = 1024 * 1024
_A_DAY: Final = timedelta(days=1)
_LONGEST_KEPT: Final = timedelta(days=36_500)
_LEAST_TIME_LIMIT: Final = 5.0


def _positive(_: EngineOptions, attribute: attrs.Attribute[timedelta], value: object) -> None:
    micros_of(attribute.name, value, error=SagaError, hint="e.g. timedelta(seconds=15)")


def _not_below_zero(_: EngineOptions, attribute: attrs.Attribute[timedelta], value: object) -> None:
    micros_of(attribute.name, value, least=0, error=SagaError, hint="e.g. timedelta(seconds=2)")


def _kept(_: EngineOptions, attribute: attrs.Attribute[timedelta], value: object) -> None:
    if value is not None and not (isinstance(value, timedelta) and _A_DAY <= value <= _LONGEST_KEPT):
        raise SagaError(
            f"{attribute.name} must be a timedelta of 1 to 36,500 days, or None, not {shown(value)}",
            hint="e.g. timedelta(days=365); None keeps them for ever",
        )


def _not_negative(_: EngineOptions, attribute: attrs.Attribute[int], value: object) -> None:
    check_whole(attribute.name, value, least=0)


def _log_errors(_: EngineOptions, attribute: attrs.Attribute[LogErrors], value: object) -> None:
    if not isinstance(value, str) or value not in ("type", "traceback"):
        raise SagaError(
            f"{attribute.name} must be 'type' or 'traceback', not {shown(value)}",
            hint="'type' keeps exceptions' messages, which may hold what a payload holds, out of the log",
        )


def _log_repeats(_: EngineOptions, attribute: attrs.Attribute[int], value: object) -> None:
    if value is not None:
        check_whole(attribute.name, value, least=1)


def _observers(_: EngineOptions, __: attrs.Attribute[tuple[Observer, ...]], value: tuple[Observer, ...]) -> None:
    for each in value:
        check_observer(each)


def _around(_: EngineOptions, __: attrs.Attribute[tuple[Around, ...]], value: tuple[Around, ...]) -> None:
    for each in value:
        check_around(each)


@attrs.frozen(kw_only=True)
class EngineOptions:
    """How an engine works.

    `lease`, a step's timeout and its retry delay are three different things: the lease only says after what silence of
    this process another one may take its sagas over; it is renewed for as long as they run.
    """

    concurrency: int = attrs.field(default=16, validator=_not_negative)
    """How many sagas this process runs at once; 0 only starts, sends and awaits."""
    lease: timedelta = attrs.field(default=timedelta(seconds=15), validator=_positive)
    poll_interval: timedelta = attrs.field(default=timedelta(seconds=1), validator=_positive)
    """The longest an idle worker waits before it looks for due sagas again."""
    stop_timeout: timedelta = attrs.field(default=timedelta(seconds=20), validator=_positive)
    """How long a stopping process waits for running steps before it cuts them short and hands their sagas back.

    That, and 5 seconds more at most, is how long a stop takes, also when the database does not answer. A saga that could not be
    handed back is left to its lease.
    """
    key_wait: timedelta = attrs.field(default=KEY_WAIT, validator=_not_below_zero)
    """The longest a start waits for another transaction that holds the same key and is still open."""
    max_payload_bytes: int = attrs.field(default=MEBIBYTE, validator=_not_negative)
    """The most bytes one input, output, event or initial data may take, encoded."""
    keep_operations: timedelta | None = attrs.field(default=timedelta(days=730), validator=_kept)
    """How long workers keep the records of what operators have done; None for ever."""
    log_errors: LogErrors = attrs.field(default="type", validator=_log_errors)
    """The part of a step's exception that the log tells: its type, or its traceback, and so its message, too."""

    log_repeats: int | None = attrs.field(default=20, validator=_log_repeats)
    """The most warnings that say the same within 10 seconds; None says all."""
    observers: tuple[Observer, ...] = attrs.field(default=(), validator=_observers)
    """Functions that are told each fact."""
    around: tuple[Around, ...] = attrs.field(default=(), validator=_around)
    """Context managers that each call of a step runs in, the first of them outermost."""
    around_start: tuple[AroundStart, ...] = ()
    """Context managers that each start runs in, the first of them outermost."""
    stats_every: float | None = None
    """Seconds between two times that observers are told the numbers about all sagas; None tells none."""

    @property
    def time_limit(self) -> float:
        """Seconds that one statement may take: a third of the lease, so that a renewal can be tried again; 5 at least."""
        return max(_LEAST_TIME_LIMIT, self.lease.total_seconds() / 3)
