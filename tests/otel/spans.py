"""Spans as the SDK of OpenTelemetry has recorded them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Sampler
from opentelemetry.trace import SpanContext

from tests.support.until import SOON


class Spans:
    """A provider of tracers, and the spans that have ended."""

    def __init__(self, sampler: Sampler | None = None) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    @property
    def all(self) -> Sequence[ReadableSpan]:
        """All spans, by their ends."""
        return self._exporter.get_finished_spans()

    @property
    def names(self) -> list[str]:
        """Their names."""
        return [span.name for span in self.all]

    def named(self, name: str) -> list[ReadableSpan]:
        """Those of a name."""
        return [span for span in self.all if span.name == name]

    async def until(self, name: str, times: int = 1) -> ReadableSpan:
        """Wait for spans of that name; gives the last."""
        async with asyncio.timeout(SOON):
            while len(self.named(name)) < times:
                await asyncio.sleep(0.002)
        return self.named(name)[-1]


def place(span: ReadableSpan) -> SpanContext:
    """Where a span stands: its trace and its id."""
    found = span.get_span_context()
    assert found is not None
    return found


def is_below(span: ReadableSpan, parent: ReadableSpan) -> bool:
    """Whether the other one is its parent, in another process or in this one."""
    above = span.parent
    return above is not None and (above.trace_id, above.span_id) == (place(parent).trace_id, place(parent).span_id)


def attribute(name: str) -> Callable[[ReadableSpan], object]:
    """Reads an attribute of spans."""
    return lambda span: (span.attributes or {}).get(name)
