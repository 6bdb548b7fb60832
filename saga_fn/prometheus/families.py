"""Metrics by the client library of Prometheus, in one process or in several that share a directory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias, final
from weakref import WeakKeyDictionary

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from saga_fn.arguments import check_is
from saga_fn.errors import SagaError
from saga_fn.observe import Fact, Instrument, StatsRead
from saga_fn.telemetry import METRICS, Metric, MetricKind, SlotsTogether, measured

_STATS_EVERY: Final = 10.0
_Key: TypeAlias = tuple[Metric, tuple[str, ...]]
_Family: TypeAlias = Counter | Histogram | Gauge


def collector(*, registry: CollectorRegistry = REGISTRY, stats_every: float | None = _STATS_EVERY) -> Instrument:
    """Make an instrument that gives the metrics of `saga_fn.telemetry.METRICS` to the client library of Prometheus.

    It works with several processes that share `PROMETHEUS_MULTIPROC_DIR`: counters are added up, and of the gauges about the whole
    store the greatest counts. Several orchestrators of one registry count together.

    Args:
        registry: The registry that the metrics are found in. Default: the client library's own.
        stats_every: Seconds between two times that this process reads the gauges about the whole store, 1 or more. None reads
            none: one process of a service is enough. Default: 10.

    Returns:
        The instrument, for `SagaOrchestrator(dsn, instruments=[collector()])`.

    Raises:
        SagaError: An argument is not what it has to be.
    """
    check_is(registry, CollectorRegistry, "registry", error=SagaError, hint="registry=CollectorRegistry()")
    families = _OF.get(registry)
    if families is None:
        families = _OF[registry] = _Families(registry)
    return Instrument(observers=(families.told,), stats_every=stats_every)


@final
class _Families:
    """The metrics of one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._families = {metric: _made(metric, registry) for metric in METRICS}
        self._record: dict[_Key, Callable[[float], None]] = {}
        self._gauges: set[_Key] = set()
        """The gauges that were told last."""
        self._slots = SlotsTogether()

    def told(self, fact: Fact) -> None:
        """Record what follows from the fact."""
        fact = self._slots.added_up(fact)
        told: set[_Key] = set()
        for metric, value, labels in measured(fact):
            self._of(metric, labels)(value)
            if isinstance(fact, StatsRead):
                told.add((metric, labels))
        if isinstance(fact, StatsRead):
            for gone in self._gauges - told:  # it cannot be taken away where several processes count
                self._of(*gone)(0)
            self._gauges = told

    def _of(self, metric: Metric, labels: tuple[str, ...]) -> Callable[[float], None]:
        found = self._record.get((metric, labels))
        if found is None:
            family = self._families[metric]
            child = family.labels(*labels) if labels else family
            found = self._record[metric, labels] = _recorder(child)
        return found


def _recorder(child: _Family) -> Callable[[float], None]:
    match child:
        case Counter():
            return child.inc
        case Histogram():
            return child.observe
        case Gauge():
            return child.set


def _made(metric: Metric, registry: CollectorRegistry) -> _Family:
    name, text, labels = metric.prometheus_name, metric.text, metric.labels
    match metric.kind:
        case MetricKind.COUNTER:
            return Counter(name, text, labels, registry=registry)
        case MetricKind.HISTOGRAM:
            return Histogram(name, text, labels, buckets=metric.buckets, registry=registry)
        case MetricKind.PROCESS_GAUGE:
            return Gauge(name, text, labels, multiprocess_mode="livesum", registry=registry)
        case MetricKind.GAUGE:
            return Gauge(name, text, labels, multiprocess_mode="livemax", registry=registry)


_OF: Final[WeakKeyDictionary[CollectorRegistry, _Families]] = WeakKeyDictionary()
