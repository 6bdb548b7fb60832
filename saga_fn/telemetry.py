"""The metrics, as data, and how they follow from facts. Each exporter, the page of the docs and the dashboard go by this table.

Labels are names of sagas, versions, steps, outcomes and publishers, all of which the code of the service has written: never an id.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final, NamedTuple, TypeAlias, assert_never, final, get_args
from uuid import UUID

import attrs
import msgspec
from typing_extensions import TypeIs

from saga_fn.core.ids import owner_of
from saga_fn.engine.observe.fact import SagaIdentity
from saga_fn.engine.observe.observers import Fact
from saga_fn.engine.observe.of_attempts import AttemptFailed, AttemptOver, AttemptSucceeded
from saga_fn.engine.observe.of_claims import ClaimRoundFailed
from saga_fn.engine.observe.of_commits import BatchCommitted, LateWriteRefused
from saga_fn.engine.observe.of_outgoing import MessagesTried
from saga_fn.engine.observe.of_process import LoopBlocked, StatsRead
from saga_fn.engine.observe.of_sagas import SagaClaimed, SagaEnded, SagaLost, SagaParked, SagaStarted
from saga_fn.engine.observe.of_troubles import ResultDropped
from saga_fn.engine.observe.of_upkeep import SagasDeleted
from saga_fn.stats import DefinitionStats


class MetricKind(enum.StrEnum):
    """The kind of a metric."""

    COUNTER = "counter"
    """It only grows: each process counts its own work, and the sum of all processes is meant."""
    HISTOGRAM = "histogram"
    """Durations or sizes in buckets; the sum of all processes is meant, too."""
    PROCESS_GAUGE = "process gauge"
    """The state of one process; the sum of all processes is meant."""
    GAUGE = "gauge"
    """The state of the whole store, which each process reads for itself: the maximum of all processes is meant, not the sum."""


@attrs.frozen
class Metric:
    """One metric.

    Attributes:
        name: Its name in OpenTelemetry.
        kind: The kind.
        unit: The unit, as UCUM writes it; one in braces is counted.
        text: The meaning in words.
        labels: The names of its labels.
        buckets: The upper bounds of a histogram's buckets.
    """

    name: str
    kind: MetricKind
    unit: str
    text: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def prometheus_name(self) -> str:
        """Its name in Prometheus, as OpenTelemetry's own exporters make it of `name` and `unit`."""
        unit = "" if self.unit.startswith("{") else f"_{_UNITS[self.unit]}"
        return self.name.replace(".", "_") + unit + ("_total" if self.kind is MetricKind.COUNTER else "")


class Measured(NamedTuple):
    """A value of a metric, with its labels in the order of the metric's."""

    metric: Metric
    value: float
    labels: tuple[str, ...] = ()


_UNITS: Final[Mapping[str, str]] = {"s": "seconds"}
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_QUICK: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_LONG: Final = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0, 604800.0)
_SIZES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
_SAGA: Final = ("name", "version")
_STEP: Final = (*_SAGA, "step", "phase")

STARTED: Final = Metric(
    "saga_fn.sagas.started", MetricKind.COUNTER, "{saga}", "Sagas that this process has started.", _SAGA
)
ENDED: Final = Metric(
    "saga_fn.sagas.ended",
    MetricKind.COUNTER,
    "{saga}",
    "Sagas that have ended here, by their status.",
    (*_SAGA, "outcome"),
)
DURATION: Final = Metric(
    "saga_fn.saga.duration",
    MetricKind.HISTOGRAM,
    "s",
    "The time from the start of a saga to its end.",
    (*_SAGA, "outcome"),
    _LONG,
)
PARKED: Final = Metric(
    "saga_fn.sagas.parked",
    MetricKind.COUNTER,
    "{saga}",
    "How often sagas were parked here, by the reason.",
    (*_SAGA, "step", "reason"),
)
CLAIMED: Final = Metric(
    "saga_fn.claims",
    MetricKind.COUNTER,
    "{saga}",
    "Sagas that this process has claimed; a takeover is one from a process that is gone.",
    (*_SAGA, "takeover"),
)
LOST: Final = Metric(
    "saga_fn.leases.lost",
    MetricKind.COUNTER,
    "{saga}",
    "Sagas that were taken from this process, or whose leases have run out.",
    _SAGA,
)
LATE_RESULTS: Final = Metric(
    "saga_fn.late_results.dropped",
    MetricKind.COUNTER,
    "{result}",
    "Results of steps that came when the saga was another process's.",
    _SAGA,
)
LATE_WRITES: Final = Metric(
    "saga_fn.late_writes.refused",
    MetricKind.COUNTER,
    "{write}",
    "Writes that the fence has refused, because the saga is another process's.",
)
STEP_DURATION: Final = Metric(
    "saga_fn.step.duration",
    MetricKind.HISTOGRAM,
    "s",
    "How long a call of a step, of its compensation or of its probe takes.",
    _STEP,
    _SECONDS,
)
ATTEMPTS: Final = Metric(
    "saga_fn.attempts",
    MetricKind.COUNTER,
    "{attempt}",
    "Attempts whose outcome is durable: `succeeded`, or the kind of the failure. Undoing has the phase `compensate`.",
    (*_STEP, "outcome"),
)
COMMIT_DURATION: Final = Metric(
    "saga_fn.commit.duration",
    MetricKind.HISTOGRAM,
    "s",
    "The time until the database has answered a commit, its repetitions included.",
    (),
    _QUICK,
)
BATCH_SIZE: Final = Metric(
    "saga_fn.commit.size", MetricKind.HISTOGRAM, "{saga}", "Sagas that were committed by one statement.", (), _SIZES
)
CLAIMS_FAILED: Final = Metric(
    "saga_fn.claim_rounds.failed", MetricKind.COUNTER, "{round}", "Looks for due sagas that have failed."
)
BLOCKED: Final = Metric(
    "saga_fn.loop.blocked", MetricKind.COUNTER, "s", "How long the event loop stood still, as far as it was noticed."
)
DELETED: Final = Metric(
    "saga_fn.sagas.deleted",
    MetricKind.COUNTER,
    "{saga}",
    "Sagas that were deleted, because their retention was over.",
    (*_SAGA, "outcome"),
)
MESSAGES_TRIED: Final = Metric(
    "saga_fn.messages.attempts",
    MetricKind.COUNTER,
    "{message}",
    "Attempts of this process to publish messages, by the key of the publisher or the name of the hook: `published` or `failed`.",
    ("topics", "outcome"),
)
SLOTS: Final = Metric(
    "saga_fn.slots", MetricKind.PROCESS_GAUGE, "{saga}", "How many sagas this process runs at once at most."
)
SLOTS_USED: Final = Metric(
    "saga_fn.slots.used", MetricKind.PROCESS_GAUGE, "{saga}", "How many sagas this process runs now."
)
LIVE: Final = Metric(
    "saga_fn.live", MetricKind.GAUGE, "{saga}", "Sagas that have not ended, up to 10,000 each.", (*_SAGA, "status")
)
WAITING: Final = Metric(
    "saga_fn.suspended",
    MetricKind.GAUGE,
    "{saga}",
    "Suspended sagas by what they wait for: `retry`, `time`, `event` or `person`; two are possible. `pause`: one by itself.",
    (*_SAGA, "reason"),
)
FAILED: Final = Metric(
    "saga_fn.failed", MetricKind.GAUGE, "{saga}", "Sagas that ended FAILED and were not acknowledged.", _SAGA
)
OVERDUE: Final = Metric(
    "saga_fn.overdue", MetricKind.GAUGE, "{saga}", "Sagas that have been due for longer than a minute.", _SAGA
)
OLDEST_DUE: Final = Metric(
    "saga_fn.oldest_due.age", MetricKind.GAUGE, "s", "For how long the longest waiting saga has been due.", _SAGA
)
UNOWNED: Final = Metric(
    "saga_fn.unowned",
    MetricKind.GAUGE,
    "{saga}",
    "Overdue sagas of a version that no process works on.",
    _SAGA,
)
PROCESSES: Final = Metric(
    "saga_fn.processes", MetricKind.GAUGE, "{process}", "Processes seen lately that work on a version.", _SAGA
)
PAUSED: Final = Metric("saga_fn.paused", MetricKind.GAUGE, "{pause}", "1 while the name is paused, else 0.", _SAGA)
MESSAGES_WAITING: Final = Metric(
    "saga_fn.messages.waiting", MetricKind.GAUGE, "{message}", "Messages that are not published, and not dead."
)
MESSAGES_DEAD: Final = Metric(
    "saga_fn.messages.dead", MetricKind.GAUGE, "{message}", "Messages that are not tried any more: a person decides."
)
OLDEST_MESSAGE: Final = Metric(
    "saga_fn.messages.oldest.age", MetricKind.GAUGE, "s", "For how long the oldest message has waited to be published."
)
STATS_AT: Final = Metric(
    "saga_fn.stats.time",
    MetricKind.GAUGE,
    "s",
    "When the gauges were read, in seconds since 1970. They are out of date if it stands still.",
)

METRICS: Final = (
    STARTED,
    ENDED,
    DURATION,
    PARKED,
    ATTEMPTS,
    STEP_DURATION,
    CLAIMED,
    LOST,
    LATE_RESULTS,
    LATE_WRITES,
    COMMIT_DURATION,
    BATCH_SIZE,
    CLAIMS_FAILED,
    BLOCKED,
    DELETED,
    MESSAGES_TRIED,
    SLOTS,
    SLOTS_USED,
    LIVE,
    WAITING,
    FAILED,
    OVERDUE,
    OLDEST_DUE,
    UNOWNED,
    PROCESSES,
    PAUSED,
    MESSAGES_WAITING,
    MESSAGES_DEAD,
    OLDEST_MESSAGE,
    STATS_AT,
)
"""All metrics."""


_Telling: TypeAlias = (
    AttemptFailed
    | AttemptOver
    | AttemptSucceeded
    | BatchCommitted
    | ClaimRoundFailed
    | LateWriteRefused
    | LoopBlocked
    | MessagesTried
    | ResultDropped
    | SagaClaimed
    | SagaEnded
    | SagaLost
    | SagaParked
    | SagaStarted
    | SagasDeleted
    | StatsRead
)
_TELLING: Final[frozenset[type[object]]] = frozenset(get_args(_Telling))


def _tells(fact: Fact) -> TypeIs[_Telling]:
    """Whether a metric follows from the fact: a match asks each of its classes, and of most facts there is one for every step."""
    return type(fact) in _TELLING


def measured(fact: Fact) -> Iterator[Measured]:
    """The values that follow from a fact. Those of gauges replace all that were told before."""
    if not _tells(fact):
        return
    match fact:
        case AttemptOver(saga=saga, step=step, phase=phase, seconds=seconds):
            yield Measured(STEP_DURATION, seconds, (*_saga(saga), owner_of(step), phase.value))
        case AttemptSucceeded(saga=saga, step=step, phase=phase):
            yield Measured(ATTEMPTS, 1, (*_saga(saga), owner_of(step), phase.value, "succeeded"))
        case AttemptFailed(saga=saga, step=step, phase=phase, kind=kind):
            yield Measured(ATTEMPTS, 1, (*_saga(saga), owner_of(step), phase.value, kind.name.lower()))
        case BatchCommitted(sagas=sagas, seconds=seconds):
            yield Measured(COMMIT_DURATION, seconds)
            yield Measured(BATCH_SIZE, sagas)
        case SagaStarted(saga=saga):
            yield Measured(STARTED, 1, _saga(saga))
        case SagaEnded(saga=saga, end=end):
            yield Measured(ENDED, 1, (*_saga(saga), end.lower()))
            if fact.seconds is not None:
                yield Measured(DURATION, fact.seconds, (*_saga(saga), end.lower()))
        case SagaClaimed(saga=saga, takeover=takeover):
            yield Measured(CLAIMED, 1, (*_saga(saga), str(takeover).lower()))
        case SagaParked(saga=saga, step=step, reason=reason):
            yield Measured(PARKED, 1, (*_saga(saga), "" if step is None else owner_of(step), reason))
        case SagaLost(saga=saga):
            yield Measured(LOST, 1, _saga(saga))
        case ResultDropped(saga=saga):
            yield Measured(LATE_RESULTS, 1, _saga(saga))
        case LateWriteRefused():
            yield Measured(LATE_WRITES, 1)
        case ClaimRoundFailed():
            yield Measured(CLAIMS_FAILED, 1)
        case LoopBlocked(seconds=seconds):
            yield Measured(BLOCKED, seconds)
        case SagasDeleted(name=name, version=version, status=status, sagas=sagas):
            yield Measured(DELETED, sagas, (name, str(version), status.lower()))
        case MessagesTried(topics=topics, published=published, failed=failed):
            for outcome, messages in (("published", published), ("failed", failed)):
                if messages:
                    yield Measured(MESSAGES_TRIED, messages, (topics, outcome))
        case StatsRead():
            yield from _gauges(fact)
        case _:
            assert_never(fact)


@final
class SlotsTogether:
    """The slots of all orchestrators that one instrument is of: gauges of a process count them together."""

    def __init__(self) -> None:
        self._of: dict[UUID, tuple[int, int]] = {}

    def added_up(self, fact: Fact) -> Fact:
        """The fact; if it tells slots, with those of the others added."""
        if not isinstance(fact, StatsRead):
            return fact
        self._of[fact.owner] = fact.slots, fact.slots_used
        if not fact.slots:
            del self._of[fact.owner]
        slots, used = map(sum, zip((0, 0), *self._of.values(), strict=True))
        return msgspec.structs.replace(fact, slots=slots, slots_used=used)


def _gauges(read: StatsRead) -> Iterator[Measured]:
    yield Measured(SLOTS, read.slots)
    yield Measured(SLOTS_USED, read.slots_used)
    yield Measured(STATS_AT, read.stats.at.timestamp())
    yield Measured(MESSAGES_WAITING, read.messages_waiting)
    yield Measured(MESSAGES_DEAD, read.messages_dead)
    yield Measured(OLDEST_MESSAGE, _age(read.oldest_message, read.stats.at))
    for each in read.stats.definitions:
        yield from _of_definition(each, read.stats.at)


def _of_definition(each: DefinitionStats, at: datetime) -> Iterator[Measured]:
    labels = each.saga_name, str(each.version)
    for status, count in (
        ("running", each.running),
        ("compensating", each.compensating),
        ("suspended", each.suspended),
    ):
        yield Measured(LIVE, count.sagas, (*labels, status))
    reasons = (
        *(("retry", each.retrying), ("time", each.sleeping), ("event", each.waiting)),
        *(("person", each.parked), ("pause", each.paused_alone)),
    )
    for reason, count in reasons:
        yield Measured(WAITING, count.sagas, (*labels, reason))
    yield Measured(FAILED, each.failed.sagas, labels)
    yield Measured(OVERDUE, each.overdue.sagas, labels)
    yield Measured(OLDEST_DUE, _age(each.oldest_due, at), labels)
    yield Measured(UNOWNED, each.overdue.sagas if each.is_unowned else 0, labels)
    yield Measured(PROCESSES, each.processes, labels)
    yield Measured(PAUSED, each.paused, labels)


def _age(since: datetime | None, at: datetime) -> float:
    return 0.0 if since is None else max(0.0, (at - since).total_seconds())


def _saga(saga: SagaIdentity) -> tuple[str, str]:
    return saga.name, str(saga.version)
