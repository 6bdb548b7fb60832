"""Metrics: what they tell is what the database holds, in Prometheus as in OpenTelemetry."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import Histogram, HistogramDataPoint, InMemoryMetricReader, NumberDataPoint
from prometheus_client import CollectorRegistry

from saga_fn import (
    FixedRetry,
    HistoryStatus,
    SagaAdmin,
    SagaError,
    SagaFilter,
    SagaOrchestrator,
    SagaStatus,
    WaitReason,
)
from saga_fn.observe import SagaEnded, StatsRead
from saga_fn.otel import metrics
from saga_fn.outgoing import FailedForNow, OutgoingOptions, Published, RefusedForGood
from saga_fn.prometheus import alert_rules, collector, dashboard
from saga_fn.telemetry import METRICS, MetricKind
from tests.support.broker import Broker
from tests.support.observed import Observed
from tests.support.ordering import Order as Numbered
from tests.support.ordering import ordering
from tests.support.shop import Order, Shop, make_saga
from tests.support.stores import Make
from tests.support.until import SOON

ROOT = Path(__file__).parents[2]
SAGAS = 60


def values(registry: CollectorRegistry) -> dict[tuple[str, tuple[str, ...]], float]:
    """Each sample that is not 0, by its name and the values of its labels in the order of the table; buckets left out."""
    order = {metric.prometheus_name: metric.labels for metric in METRICS}
    found: dict[tuple[str, tuple[str, ...]], float] = {}
    for family in registry.collect():
        for sample in family.samples:
            name = re.sub(r"_(sum|count|bucket|created)$", "", sample.name)
            if sample.value and not sample.name.endswith(("_bucket", "_created")):
                found[sample.name, tuple(sample.labels[label] for label in order[name])] = sample.value
    return found


def otel_values(reader: InMemoryMetricReader) -> dict[tuple[str, tuple[str, ...]], float]:
    """The same of what OpenTelemetry has read, by the names that its own exporters give to Prometheus."""
    table = {metric.name: metric for metric in METRICS}
    found: dict[tuple[str, tuple[str, ...]], float] = {}
    data = reader.get_metrics_data()
    assert data is not None
    for told in (each for of in data.resource_metrics for scope in of.scope_metrics for each in scope.metrics):
        metric = table[told.name]
        assert (told.unit, told.description) == (metric.unit, metric.text)
        for point in told.data.data_points:
            labels = tuple(str((point.attributes or {})[label]) for label in metric.labels)
            if isinstance(point, NumberDataPoint):
                found[metric.prometheus_name, labels] = point.value
            elif isinstance(point, HistogramDataPoint):
                assert isinstance(told.data, Histogram)
                assert tuple(point.explicit_bounds) == metric.buckets
                found[f"{metric.prometheus_name}_count", labels] = point.count
                found[f"{metric.prometheus_name}_sum", labels] = point.sum
    return {what: value for what, value in found.items() if value}


async def test_under_load_they_tell_what_the_database_holds(make: Make) -> None:
    registry, reader = CollectorRegistry(), InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    instruments = [collector(registry=registry, stats_every=1), metrics(meter_provider=provider, stats_every=1)]
    shops = {
        "good": Shop(),
        "turns": Shop(fails={"ship": 10**6}),
        "fails": Shop(fails={"ship": 10**6, "refund charge": 10**6}),
    }
    async with make(instruments=instruments, lease=timedelta(seconds=30)) as orchestrator:
        told = Observed(orchestrator)
        for name, shop in shops.items():
            retry = FixedRetry(max_attempts=2, delay=timedelta(0))
            handle = orchestrator.register(name, make_saga(shop, retry=retry))
            for number in range(SAGAS):
                await handle.start(Order(str(number)))
        await told.until(SagaEnded, times=3 * SAGAS)
        ended = len(told.all(StatsRead))
        await told.until(StatsRead, times=ended + 2)  # the first of these may have been read before
        admin = SagaAdmin(orchestrator)
        by_end = {
            (name, status): (await admin.count(SagaFilter(saga_name=name, status=status))).sagas
            for name in shops
            for status in (SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.FAILED)
        }
        attempts: Counter[tuple[str, str, str, str]] = Counter()
        async for row in admin.list_all():
            for entry in (await admin.get_saga(row.id)).step_history:
                if entry.step_id is not None and entry.status is not HistoryStatus.INFO:
                    outcome = "succeeded" if entry.status is HistoryStatus.SUCCESS else "error"
                    attempts[row.saga_name, entry.step_id, entry.phase, outcome] += 1
    found = values(registry)
    provider.shutdown()
    for (name, status), sagas in by_end.items():
        assert found.get(("saga_fn_sagas_ended_total", (name, "1", status.lower())), 0) == sagas
        assert found.get(("saga_fn_saga_duration_seconds_count", (name, "1", status.lower())), 0) == sagas
    assert sum(by_end.values()) == 3 * SAGAS
    assert {name: found["saga_fn_sagas_started_total", (name, "1")] for name in shops} == dict.fromkeys(shops, SAGAS)
    assert found["saga_fn_failed", ("fails", "1")] == SAGAS
    counted = {
        (name, step, phase, outcome): value
        for (metric, labels), value in found.items()
        if metric == "saga_fn_attempts_total"
        for name, _, step, phase, outcome in [labels]
    }
    assert counted == attempts
    durations = sum(value for (metric, _), value in found.items() if metric == "saga_fn_step_duration_seconds_count")
    assert durations == sum(attempts.values())
    assert found["saga_fn_commit_size_sum", ()] >= sum(attempts.values())


async def test_prometheus_and_opentelemetry_tell_the_same(make: Make) -> None:
    registry, reader = CollectorRegistry(), InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    instruments = [collector(registry=registry, stats_every=1), metrics(meter_provider=provider, stats_every=60)]
    async with make(instruments=instruments) as orchestrator:
        told = Observed(orchestrator)
        handle = orchestrator.register("shop", make_saga(Shop(fails={"ship": 1})))
        for number in range(3):
            await (await handle.start(Order(str(number)))).outcome(SOON)
        await told.until(StatsRead, times=2)
    assert values(registry) == pytest.approx(otel_values(reader))
    provider.shutdown()


async def test_parked_sagas_and_what_nobody_works_on_are_gauges_that_fall_again(make: Make) -> None:
    registry = CollectorRegistry()
    async with make(instruments=[collector(registry=registry, stats_every=1)]) as orchestrator:
        told = Observed(orchestrator)
        shop = Shop(returns=lambda what: what if what == "charge" else None)  # no Done: it cannot be stored
        shop.returns = lambda what: None
        run = await orchestrator.register("shop", make_saga(shop)).start(Order("1"))
        admin = SagaAdmin(orchestrator)
        async with asyncio.timeout(SOON):
            while not (await admin.count(SagaFilter(waits=WaitReason.PARKED))).sagas:
                await asyncio.sleep(0.01)
        seen = len(told.all(StatsRead))
        await told.until(StatsRead, times=seen + 2)
        parked = values(registry)
        await admin.abort(run.id)
        seen = len(told.all(StatsRead))
        await told.until(StatsRead, times=seen + 2)
        after = values(registry)
    assert parked["saga_fn_suspended", ("shop", "1", "person")] == 1
    assert parked["saga_fn_slots", ()] == 16
    assert parked["saga_fn_stats_time_seconds", ()] > 0
    assert [each for each in parked if each[0] == "saga_fn_sagas_parked_total"] == [
        ("saga_fn_sagas_parked_total", ("shop", "1", "reserve", "output_lost"))
    ]
    assert ("saga_fn_suspended", ("shop", "1", "person")) not in after
    assert after["saga_fn_failed", ("shop", "1")] == 1


async def test_messages_out_are_counted_as_they_are_tried_and_as_they_wait(make: Make) -> None:
    registry, broker = CollectorRegistry(), Broker()
    broker.answer = lambda message: Published() if message.attempt > 1 else FailedForNow("first")
    instruments, publishers = [collector(registry=registry, stats_every=1)], {"orders.*": broker, "*": Broker()}
    quick = OutgoingOptions(first_delay=timedelta(milliseconds=10))
    async with make(instruments=instruments, publishers=publishers, outgoing=quick) as orchestrator:
        told = Observed(orchestrator)
        await orchestrator.register(ordering).start(Numbered(7))
        await broker.until(2)
        broker.answer = lambda message: (
            RefusedForGood("no") if message.topic == "orders.charged" else FailedForNow("later")
        )
        run = await orchestrator.handle(ordering).start(Numbered(8))
        admin = SagaAdmin(orchestrator)
        async with asyncio.timeout(SOON):
            while not await admin.outgoing():
                await asyncio.sleep(0.01)
        seen = len(told.all(StatsRead))
        await told.until(StatsRead, times=seen + 2)
        stuck = values(registry)
        broker.answer = lambda _: Published()
        await admin.redrive(run.id)
        await broker.until(4)
        seen = len(told.all(StatsRead))
        await told.until(StatsRead, times=seen + 2)
        after = values(registry)
    assert stuck["saga_fn_messages_dead", ()] == stuck["saga_fn_messages_waiting", ()] == 1
    assert stuck["saga_fn_messages_oldest_age_seconds", ()] > 0
    assert stuck["saga_fn_messages_attempts_total", ("orders.*", "published")] == 2
    assert stuck["saga_fn_messages_attempts_total", ("orders.*", "failed")] == 3
    assert after["saga_fn_messages_attempts_total", ("orders.*", "published")] == 4
    gauges = {"saga_fn_messages_dead", "saga_fn_messages_waiting", "saga_fn_messages_oldest_age_seconds"}
    assert not gauges & {name for name, _ in after}, "they fall again"


def test_no_label_is_an_id() -> None:
    allowed = {"name", "version", "step", "phase", "outcome", "reason", "status", "takeover", "topics"}
    assert {label for metric in METRICS for label in metric.labels} <= allowed
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    assert all(metric.buckets == tuple(sorted(metric.buckets)) for metric in METRICS)
    assert all(bool(metric.buckets) is (metric.kind is MetricKind.HISTOGRAM) for metric in METRICS)


def expressions() -> Iterator[tuple[str, str]]:
    """Each expression of the dashboard and of the alert rules, with the place where it stands."""
    board = json.loads(dashboard())
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["query"]
    rules = re.split(r"^ +- alert: ", alert_rules(), flags=re.MULTILINE)
    for rule in rules[1:]:
        found = re.search(r"^ +expr: (.+?)^ +(?:for|labels):", rule, re.DOTALL | re.MULTILINE)
        assert found is not None, rule
        yield rule.split("\n", 1)[0], found[1]


EXPRESSIONS = list(expressions())


@pytest.mark.parametrize("where, expression", EXPRESSIONS, ids=[where for where, _ in EXPRESSIONS])
def test_the_dashboard_and_the_alerts_name_metrics_and_labels_that_exist(where: str, expression: str) -> None:
    registry = CollectorRegistry()
    _ = collector(registry=registry)
    known: dict[str, tuple[str, ...]] = {}
    for metric in METRICS:
        suffixes = ("_bucket", "_sum", "_count") if metric.kind is MetricKind.HISTOGRAM else ("",)
        known |= {metric.prometheus_name + suffix: metric.labels for suffix in suffixes}
    named = re.findall(r"\bsaga_fn_\w+", expression)
    assert named
    assert set(named) <= known.keys()
    of_all = {label for name in named for label in known[name]} | {"le", "instance"}
    by = [label.strip() for listed in re.findall(r"by \(([^)]+)\)", expression) for label in listed.split(",")]
    assert set(by) <= of_all, where
    for name, matchers in re.findall(r"(saga_fn_\w+)\{([^}]*)\}", expression):
        assert set(re.findall(r"(\w+)\s*(?:=~|!=|=)", matchers)) <= set(known[name]), where
    for name, kind in ((metric.prometheus_name, metric.kind) for metric in METRICS):
        if name in named and kind is MetricKind.GAUGE:
            assert re.search(rf"(max by \([^)]+\) \(|max\(){name}", expression) or "label_values" in expression, where
        if name in named and kind is MetricKind.COUNTER:
            assert re.search(rf"(rate|increase)\({name}", expression), where


def test_every_metric_is_on_the_dashboard() -> None:
    shown = " ".join(expression for _, expression in EXPRESSIONS)
    assert [metric.name for metric in METRICS if metric.prometheus_name not in shown] == []


def test_alerts_have_what_a_person_reads() -> None:
    names = re.findall(r"- alert: (\w+)", alert_rules())
    assert len(names) == len(set(names)) == alert_rules().count("summary:") == alert_rules().count("description:")


def printed(*args: str, **env: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", *args], cwd=ROOT, capture_output=True, text=True, check=True, env={**os.environ, **env}
    ).stdout


def test_they_are_printed_by_a_command() -> None:
    assert printed("saga_fn.prometheus", "dashboard") == dashboard()
    assert printed("saga_fn.prometheus", "alerts") == alert_rules()


def test_processes_that_share_a_directory_are_counted_together(tmp_path: Path) -> None:
    for sagas in ("2", "3"):
        printed("tests.prometheus.sharing", "work", sagas, PROMETHEUS_MULTIPROC_DIR=str(tmp_path))
    told: Mapping[str, float] = json.loads(
        printed("tests.prometheus.sharing", "collect", PROMETHEUS_MULTIPROC_DIR=str(tmp_path))
    )
    assert told["saga_fn_sagas_ended_total"] == 5
    assert told["saga_fn_step_duration_seconds_count"] == 15


@pytest.mark.parametrize("wrong", [{"registry": 5}, {"registry": None}, {"stats_every": 0}, {"stats_every": "10"}])
def test_a_wrong_argument_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SagaError):
        collector(**{"registry": CollectorRegistry(), **wrong})  # type: ignore[arg-type]  # that is the test  # pyright: ignore[reportArgumentType]


def test_a_wrong_provider_is_refused() -> None:
    with pytest.raises(SagaError, match="meter_provider"):
        metrics(meter_provider=5)  # type: ignore[arg-type]  # that is the test  # pyright: ignore[reportArgumentType]


async def test_the_slots_of_orchestrators_that_share_a_registry_are_added_up(make: Make) -> None:
    registry = CollectorRegistry()

    def shared(concurrency: int) -> SagaOrchestrator:
        return make(instruments=[collector(registry=registry, stats_every=1)], concurrency=concurrency)

    async with shared(3) as first:
        async with shared(5) as second:
            for each in (first, second):
                await Observed(each).until(StatsRead)
            assert registry.get_sample_value("saga_fn_slots") == 8
        assert registry.get_sample_value("saga_fn_slots") == 3, "the second has been left"
    assert registry.get_sample_value("saga_fn_slots") == 0
