"""Traces: a span for each start, each attempt and each end. None of them outlives the call that it is about.

A saga may outlive its process, so no span stands for the whole of it. The start's span is the parent of all others: its headers
are stored with the saga, and each process finds them there.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Final, final

from opentelemetry.context import Context
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    StatusCode,
    Tracer,
    TracerProvider,
    get_current_span,
    get_tracer,
    use_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from saga_fn.arguments import check_is, micros_of
from saga_fn.codec.carrier import kept_carrier
from saga_fn.core.ids import StepId, owner_of
from saga_fn.core.projection import calls_a_person
from saga_fn.errors import PayloadError, SagaError
from saga_fn.observe import Fact, Instrument, SagaEnded, SagaIdentity, StartCall, StepCall
from saga_fn.otel import names
from saga_fn.printable import name_of_type

_HOUR: Final = timedelta(hours=1)
_NESTED_ATTEMPTS: Final = 5
"""From the next attempt on a span is the first of a trace of its own: a step may be tried for weeks."""
_SPANS: Final[Mapping[str, str]] = {"execute": names.STEP, "compensate": names.UNDO, "probe": names.PROBE}


def traces(
    *,
    tracer_provider: TracerProvider | None = None,
    trace_after: timedelta = _HOUR,
    propagator: TextMapPropagator | None = None,
) -> Instrument:
    """Make an instrument that traces sagas with OpenTelemetry.

    A start is a span of its caller's trace. Each attempt of a step, of its compensation or of its probe is a span below it, in
    whichever process it runs; while it runs its span is the current one. No message of an exception and no payload is recorded.

    Args:
        tracer_provider: The provider of the tracer. Default: None, the global one.
        trace_after: The age of a saga, as a timedelta from 0 to 365 days. The spans of an older saga begin traces of their own, each
            with a link to the start; so do those after a `rewind`, and from the sixth attempt on. Default: 1 hour.
        propagator: The way to write the caller's context into the saga, and to read it there. Default: None, the W3C headers
            `traceparent` and `tracestate`, without baggage.

    Returns:
        The instrument, for `SagaOrchestrator(dsn, instruments=[traces()])`.

    Raises:
        SagaError: An argument is not what it has to be.

    Example::

        async with SagaOrchestrator(dsn, instruments=[traces()]) as orchestrator:
            await orchestrator.run_forever()
    """
    micros_of("trace_after", trace_after, least=0, error=SagaError)
    for given, kind, name in (
        (tracer_provider, TracerProvider, "tracer_provider"),
        (propagator, TextMapPropagator, "propagator"),
    ):
        if given is not None:
            check_is(given, kind, name, error=SagaError, hint=f"{name}=None takes the default")
    tracing = _Tracing(
        get_tracer("saga_fn", tracer_provider=tracer_provider),
        trace_after.total_seconds(),
        TraceContextTextMapPropagator() if propagator is None else propagator,
    )
    return Instrument(observers=(tracing.told,), around=(tracing.step,), around_start=(tracing.start,))


@final
class _Tracing:
    def __init__(self, tracer: Tracer, trace_after: float, propagator: TextMapPropagator) -> None:
        self._tracer = tracer
        self._trace_after = trace_after
        self._propagator = propagator

    @contextmanager
    def start(self, call: StartCall) -> Generator[Mapping[str, str]]:
        """The span of a start, and the headers to be stored."""
        attributes: dict[str, AttributeValue] = {
            names.SAGA_NAME: call.saga_name,
            names.SAGA_VERSION: call.version,
            names.SAGAS: call.sagas,
        }
        span = None
        with contextlib.suppress(Exception):  # a start is in the way of no trouble of the tracing's
            span = self._tracer.start_span(
                f"{names.START} {call.saga_name}", kind=SpanKind.PRODUCER, attributes=attributes
            )
        if span is None:
            yield {}
            return
        with _current(span):
            try:
                yield self._headers()
            finally:
                span.set_attribute(names.CREATED, call.created)
                if call.sagas == len(call.saga_ids) == 1:
                    span.set_attribute(names.SAGA_ID, str(call.saga_ids[0]))

    def _headers(self) -> Mapping[str, str]:
        """The headers of the current context, as far as they can be stored."""
        headers: dict[str, str] = {}
        with contextlib.suppress(Exception):  # of another library's propagator
            self._propagator.inject(headers)  # pyright: ignore[reportArgumentType]  # the API's own default
        for kept in (headers, {name: headers[name] for name in ("traceparent",) if name in headers}):
            with contextlib.suppress(PayloadError):
                _ = kept_carrier(kept)
                return kept
        return {}

    @asynccontextmanager
    async def step(self, call: StepCall) -> AsyncGenerator[None]:
        """The span of an attempt."""
        context = call.context
        attributes = {
            **_of_saga(call.saga),
            names.STEP_ID: context.step_id,
            names.ATTEMPT: context.attempt,
            names.PHASE: call.phase,
        }
        if context.generation:
            attributes[names.GENERATION] = context.generation
        name = f"{_SPANS[call.phase]} {owner_of(StepId(context.step_id))}"
        repeated = bool(context.rewound) or context.attempt > _NESTED_ATTEMPTS
        span = self._begin(name, call.saga, attributes, apart=repeated)
        if span is None:
            yield
            return
        with _current(span):
            yield
            if call.refused is not None:
                _failed(span, call.refused)

    def told(self, fact: Fact) -> None:
        """The span of an end."""
        if not isinstance(fact, SagaEnded):
            return
        attributes = {**_of_saga(fact.saga), names.OUTCOME: fact.end.lower()}
        if calls_a_person(fact.end):
            attributes[names.LEFT_OVER] = len(fact.left_over)
            if fact.error is not None:
                attributes[names.ERROR_TYPE] = fact.error
        span = self._begin(f"{names.END} {fact.saga.name}", fact.saga, attributes)
        if span is not None:
            if calls_a_person(fact.end):
                span.set_status(StatusCode.ERROR)
            span.end()

    def _begin(
        self, name: str, saga: SagaIdentity, attributes: Mapping[str, AttributeValue], *, apart: bool = False
    ) -> Span | None:
        """A span below the start's; or the first of a trace of its own, with a link to that. None if there is trouble."""
        with contextlib.suppress(Exception):  # no saga stands still for its trace
            parent = self._parent(saga)
            links: list[Link] = []
            if apart or self._is_old(saga):
                start = get_current_span(parent).get_span_context()
                links = [Link(start)] if start.is_valid else []
                parent = Context()
            return self._tracer.start_span(name, parent, SpanKind.INTERNAL, attributes, links)
        return None

    def _parent(self, saga: SagaIdentity) -> Context:
        """The context of the start. Any caller may have written the headers: those that say nothing are none."""
        with contextlib.suppress(Exception):
            return self._propagator.extract(saga.trace_carrier, Context())
        return Context()

    def _is_old(self, saga: SagaIdentity) -> bool:
        return saga.started_at is not None and time.time() - saga.started_at.timestamp() > self._trace_after


@contextmanager
def _current(span: Span) -> Generator[None]:
    """Make it the current span while the block lasts, and end it. An exception is recorded by its type alone."""
    try:
        with use_span(span, record_exception=False, set_status_on_exception=False):
            yield
    except BaseException as error:
        _failed(span, name_of_type(error))
        raise
    finally:
        with contextlib.suppress(Exception):  # of an exporter
            span.end()


def _failed(span: Span, error: str) -> None:
    span.set_status(StatusCode.ERROR)
    span.set_attribute(names.ERROR_TYPE, error)


def _of_saga(saga: SagaIdentity) -> dict[str, AttributeValue]:
    return {names.SAGA_ID: str(saga.id), names.SAGA_NAME: saga.name, names.SAGA_VERSION: saga.version}
