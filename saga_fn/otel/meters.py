"""Metrics by OpenTelemetry's meters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final, final

from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation, get_meter

from saga_fn.arguments import check_is
from saga_fn.errors import SagaError
from saga_fn.observe import Fact, Instrument, StatsRead
from saga_fn.telemetry import METRICS, Measured, Metric, MetricKind, SlotsTogether, measured

_STATS_EVERY: Final = 10.0


def metrics(*, meter_provider: MeterProvider | None = None, stats_every: float | None = _STATS_EVERY) -> Instrument:
    """Make an instrument that gives the metrics of `saga_fn.telemetry.METRICS` to OpenTelemetry.

    Args:
        meter_provider: The provider of the meter. Default: None, the global one.
        stats_every: Seconds between two times that this process reads the gauges about the whole store, 1 or more. None reads
            none: one process of a service is enough. Default: 10.

    Returns:
        The instrument, for `SagaOrchestrator(dsn, instruments=[metrics()])`.

    Raises:
        SagaError: An argument is not what it has to be.
    """
    if meter_provider is not None:
        check_is(meter_provider, MeterProvider, "meter_provider", error=SagaError, hint="meter_provider=None")
    meters = _Meters(get_meter("saga_fn", meter_provider=meter_provider))
    return Instrument(observers=(meters.told,), stats_every=stats_every)


@final
class _Meters:
    def __init__(self, meter: Meter) -> None:
        self._record = {metric: self._made(meter, metric) for metric in METRICS}
        self._latest: dict[Metric, list[Observation]] = {}
        """The values of the gauges. It is replaced as a whole: a reader's thread may be in the middle of it."""
        self._attributes: dict[tuple[Metric, tuple[str, ...]], Mapping[str, str]] = {}
        self._slots = SlotsTogether()

    def _made(self, meter: Meter, metric: Metric) -> Callable[[float, Mapping[str, str]], None] | None:
        name, unit, text = metric.name, metric.unit, metric.text
        match metric.kind:
            case MetricKind.COUNTER:
                return meter.create_counter(name, unit, text).add
            case MetricKind.HISTOGRAM:
                return meter.create_histogram(
                    name, unit, text, explicit_bucket_boundaries_advisory=metric.buckets
                ).record
            case MetricKind.PROCESS_GAUGE | MetricKind.GAUGE:
                _ = meter.create_observable_gauge(name, [partial(self._observed, metric)], unit, text)
                return None

    def _observed(self, metric: Metric, _: CallbackOptions) -> Iterable[Observation]:
        return self._latest.get(metric, ())

    def told(self, fact: Fact) -> None:
        """Record what follows from the fact."""
        fact = self._slots.added_up(fact)
        latest: dict[Metric, list[Observation]] = {}
        for each in measured(fact):
            record = self._record[each.metric]
            if record is None:
                latest.setdefault(each.metric, []).append(Observation(each.value, self._attributes_of(each)))
            else:
                record(each.value, self._attributes_of(each))
        if isinstance(fact, StatsRead):
            self._latest = latest

    def _attributes_of(self, each: Measured) -> Mapping[str, str]:
        key = each.metric, each.labels
        found = self._attributes.get(key)
        if found is None:
            found = self._attributes[key] = dict(zip(each.metric.labels, each.labels, strict=True))
        return found
