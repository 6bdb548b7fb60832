"""All that one tool of telemetry adds to a process: observers, code around steps and starts, numbers to be read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from saga_fn.arguments import is_number
from saga_fn.engine.around import Around, AroundStart, check_around
from saga_fn.engine.observe.observers import Observer, check_observer
from saga_fn.errors import SagaError, is_a, shown

_LEAST: Final = 1.0


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """The parts that a tool of telemetry adds to an orchestrator: `SagaOrchestrator(dsn, instruments=[traces(), metrics()])`.

    Each part is optional.
    """

    observers: tuple[Observer, ...] = ()
    """Functions that are told each fact."""
    around: tuple[Around, ...] = ()
    """Functions that give the context manager in which each call of a step runs."""
    around_start: tuple[AroundStart, ...] = ()
    """Functions that give the context manager in which each start runs; see `AroundStart`."""
    stats_every: float | None = None
    """Seconds between two times that its observers want to be told the numbers about all sagas, as `StatsRead`: 1 or more. An
    entered orchestrator reads them with one statement. Default: None, never."""

    def __post_init__(self) -> None:
        for name, given in (
            ("observers", self.observers),
            ("around", self.around),
            ("around_start", self.around_start),
        ):
            if not is_a(given, tuple):
                raise SagaError(f"{name} must be a tuple, not {shown(given)}", hint=f"{name}=(a_function,)")
            for each in given:
                (check_observer if name == "observers" else check_around)(each)
        every = self.stats_every
        if every is not None and not (is_number(every) and every >= _LEAST):
            raise SagaError(
                f"stats_every must be a number of seconds from {_LEAST:g} on, or None, not {shown(every)}",
                hint="stats_every=10.0",
            )


NONE: Final = Instrument()


def all_of(instruments: Iterable[object]) -> Instrument:
    """The parts of all of them, in order. Raises SagaError for what is no Instrument."""
    whole = NONE
    for each in instruments:
        if not isinstance(each, Instrument):
            raise SagaError(f"an Instrument is wanted, not {shown(each)}", hint="instruments=[saga_fn.otel.traces()]")
        times = [every for every in (whole.stats_every, each.stats_every) if every is not None]
        whole = Instrument(
            observers=(*whole.observers, *each.observers),
            around=(*whole.around, *each.around),
            around_start=(*whole.around_start, *each.around_start),
            stats_every=min(times, default=None),
        )
    return whole
