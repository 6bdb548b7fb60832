"""Observers of what happens in a process, and code around each call of a step.

An observer is a function that `SagaOrchestrator(..., observers=[...])` takes. It is told each fact: that a saga has started, was
claimed, was parked or has ended, that an attempt has begun, succeeded or failed. It is called in the event loop, in the middle of
the engine's work: it takes what it wants, and returns at once. No observer is in the way of a commit; one that raises is told of
later facts all the same, and the log says so once. `SagaStarted`, `AttemptSucceeded`, `AttemptFailed`, `SagaParked` and `SagaEnded`
are told when they are durable. A process tells of its own work: a saga that another process ends is told there.

`fact.line()` gives the line that the log says of a fact, or None::

    def count(fact: Fact) -> None:
        match fact:
            case SagaEnded(saga=saga, end=end):
                ended.labels(saga.name, end.name).inc()
            case AttemptFailed(saga=saga, step=step):
                failed.labels(saga.name, step).inc()

    SagaOrchestrator(dsn, observers=[count])

`around` takes functions that give an async context manager for a call of a step, of its compensation or of its probe. The call
runs inside of it, and sees what it sets up: a database session, a span, a context variable. An error before the call is tried again
as the step's retry policy says. It is never in doubt, for the step was not called. An error after it leaves the step in
doubt, whatever its type, for the step has run. If the step raises, its own error counts::

    @asynccontextmanager
    async def with_session(call: StepCall) -> AsyncGenerator[None]:
        async with sessions() as session:
            current_session.set(session)
            yield  # the call

    SagaOrchestrator(dsn, around=[with_session])

An `Instrument` holds both, for a tool of telemetry: `instruments=[saga_fn.otel.traces(), saga_fn.prometheus.collector()]`.
"""

from saga_fn.core.event_kinds import Phase
from saga_fn.core.events import FailureKind
from saga_fn.engine.around import Around, AroundStart, StartCall, StepCall
from saga_fn.engine.instrument import Instrument
from saga_fn.engine.observe.fact import Line, SagaIdentity
from saga_fn.engine.observe.observers import Fact, Observer
from saga_fn.engine.observe.of_attempts import AttemptBegun, AttemptFailed, AttemptOver, AttemptSucceeded
from saga_fn.engine.observe.of_claims import ClaimRound
from saga_fn.engine.observe.of_commits import BatchCommitted, LateWriteRefused
from saga_fn.engine.observe.of_outgoing import MessageDied, MessagesTried
from saga_fn.engine.observe.of_process import StatsRead
from saga_fn.engine.observe.of_sagas import SagaClaimed, SagaEnded, SagaLost, SagaParked, SagaReleased, SagaStarted
from saga_fn.engine.observe.of_troubles import ResultDropped
from saga_fn.engine.observe.of_upkeep import SentEventDropped

__all__ = [
    "Around",
    "AroundStart",
    "AttemptBegun",
    "AttemptFailed",
    "AttemptOver",
    "AttemptSucceeded",
    "BatchCommitted",
    "ClaimRound",
    "Fact",
    "FailureKind",
    "Instrument",
    "LateWriteRefused",
    "Line",
    "MessageDied",
    "MessagesTried",
    "Observer",
    "Phase",
    "ResultDropped",
    "SagaClaimed",
    "SagaEnded",
    "SagaIdentity",
    "SagaLost",
    "SagaParked",
    "SagaReleased",
    "SagaStarted",
    "SentEventDropped",
    "StartCall",
    "StatsRead",
    "StepCall",
]
