"""The options of the engine that a service can set."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final, Literal, TypeAlias

import msgspec

from saga_fn.arguments import check_whole, micros_of
from saga_fn.engine.around import Around, AroundStart, check_around
from saga_fn.engine.observe.observers import Observer, check_observer
from saga_fn.engine.topics import AnyPublisher
from saga_fn.errors import SagaError, is_a, shown
from saga_fn.outgoing import OutgoingOptions
from saga_fn.store.protocol import KEY_WAIT

LogErrors: TypeAlias = Literal["type", "traceback"]
"""The part of a step's exception that the log tells: its type, or its traceback, and so its message, too."""
MEBIBYTE: Final = 1024 * 1024
CONCURRENCY: Final = 16
_A_DAY: Final = timedelta(days=1)
_LONGEST_KEPT: Final = timedelta(days=36_500)
_LEAST_TIME_LIMIT: Final = 5.0


def _check_time(name: str, value: object) -> None:
    micros_of(name, value, error=SagaError, hint="e.g. timedelta(seconds=15)")


def _check_kept(value: object) -> None:
    if value is not None and not (isinstance(value, timedelta) and _A_DAY <= value <= _LONGEST_KEPT):
        raise SagaError(
            f"keep_operations must be a timedelta of 1 to 36,500 days, or None, not {shown(value)}",
            hint="e.g. timedelta(days=365); None keeps them for ever",
        )


def _check_log_errors(value: object) -> None:
    if not isinstance(value, str) or value not in ("type", "traceback"):
        raise SagaError(
            f"log_errors must be 'type' or 'traceback', not {shown(value)}",
            hint="'type' keeps exceptions' messages, which may hold what a payload holds, out of the log",
        )


class EngineOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How an engine works.

    `lease`, a step's timeout and its retry delay are three different things: the lease only says after what silence of
    this process another one may take its sagas over; it is renewed for as long as they run.
    """

    concurrency: int = CONCURRENCY
    """How many sagas this process runs at once; 0 only starts, sends and awaits."""
    lease: timedelta = timedelta(seconds=15)
    poll_interval: timedelta = timedelta(seconds=1)
    """The longest an idle worker waits before it looks for due sagas again."""
    stop_timeout: timedelta = timedelta(seconds=20)
    """How long a stopping process waits for running steps before it cuts them short and hands their sagas back.

    That, and 5 seconds more at most, is how long a stop takes, also when the database does not answer. A saga that could not be
    handed back is left to its lease.
    """
    key_wait: timedelta = KEY_WAIT
    """The longest a start waits for another transaction that holds the same key and is still open."""
    max_payload_bytes: int = MEBIBYTE
    """The most bytes one input, output, event or initial data may take, encoded."""
    keep_operations: timedelta | None = timedelta(days=730)
    """How long workers keep the records of what operators have done; None for ever."""
    log_errors: LogErrors = "type"
    """The part of a step's exception that the log tells: its type, or its traceback, and so its message, too."""

    log_repeats: int | None = 20
    """The most warnings that say the same within 10 seconds; None says all."""
    observers: tuple[Observer, ...] = ()
    """Functions that are told each fact."""
    around: tuple[Around, ...] = ()
    """Context managers that each call of a step runs in, the first of them outermost."""
    around_start: tuple[AroundStart, ...] = ()
    """Context managers that each start runs in, the first of them outermost."""
    publishers: Mapping[str, AnyPublisher] = {}
    """The publishers of outgoing messages, by topic."""
    outgoing: OutgoingOptions = OutgoingOptions()
    """How messages are given to them."""
    stats_every: float | None = None
    """Seconds between two times that observers are told the numbers about all sagas; None tells none."""

    def __post_init__(self) -> None:
        """Judge what was given."""
        check_whole("concurrency", self.concurrency, least=0, usual=CONCURRENCY)
        _check_time("lease", self.lease)
        _check_time("poll_interval", self.poll_interval)
        _check_time("stop_timeout", self.stop_timeout)
        micros_of("key_wait", self.key_wait, least=0, error=SagaError, hint="e.g. timedelta(seconds=2)")
        check_whole("max_payload_bytes", self.max_payload_bytes, least=0, usual=MEBIBYTE)
        _check_kept(self.keep_operations)
        _check_log_errors(self.log_errors)
        if self.log_repeats is not None:
            check_whole("log_repeats", self.log_repeats, least=1)
        if not is_a(self.outgoing, OutgoingOptions):
            raise SagaError(
                f"outgoing must be OutgoingOptions, not {shown(self.outgoing)}",
                hint="outgoing=OutgoingOptions(max_attempts=20)",
            )
        for observer in self.observers:
            check_observer(observer)
        for around in self.around:
            check_around(around)

    @property
    def time_limit(self) -> float:
        """Seconds that one statement may take: a third of the lease, so that a renewal can be tried again; 5 at least."""
        return max(_LEAST_TIME_LIMIT, self.lease.total_seconds() / 3)
