"""Traces: no span outlives what it is about, and all of a saga's are found from its start, whichever process they ran in."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from returns.result import Failure, Result
from typing_extensions import override

from saga_fn import (
    ActiveSagaAlreadyExistsError,
    Compensated,
    Completed,
    FixedRetry,
    MemoryStore,
    SagaAdmin,
    SagaError,
    SagaOrchestrator,
    StepContext,
    StepRef,
    saga,
    step,
)
from saga_fn.codec.carrier import LONGEST_CARRIER, carrier_in
from saga_fn.engine.observe.of_process import AroundStartFailed
from saga_fn.observe import Fact, Instrument, StartCall
from saga_fn.otel import names, traces
from tests.otel.spans import Spans, attribute, is_below, place
from tests.support.shop import Order, Shop, make_saga
from tests.support.stores import Make
from tests.support.until import SOON

ROOT = Path(__file__).parents[2]
HOUR = timedelta(hours=1)
SAGA = attribute(names.SAGA_ID)


class Declined(msgspec.Struct, frozen=True):
    why: str


async def test_a_saga_is_traced_below_its_start_and_that_below_its_caller(make: Make) -> None:
    spans = Spans()
    caller = spans.provider.get_tracer("caller")
    async with make(instruments=[traces(tracer_provider=spans.provider)]) as orchestrator:
        sagas = orchestrator.register("shop", make_saga(Shop()))
        with caller.start_as_current_span("request"):
            run = await sagas.start(Order("1"))
        assert isinstance(await run.outcome(SOON), Completed)
        end = await spans.until("saga.end shop")
    (request,), (start,) = spans.named("request"), spans.named("saga.start shop")
    steps = [span for span in spans.all if span.name.startswith("saga.step")]
    assert is_below(start, request)
    assert [span.name for span in steps] == ["saga.step reserve", "saga.step charge", "saga.step ship"]
    assert all(is_below(span, start) for span in (*steps, end))
    assert all(SAGA(span) == str(run.id) for span in (start, *steps, end))
    assert dict(steps[0].attributes or {}) == {
        names.SAGA_ID: str(run.id),
        names.SAGA_NAME: "shop",
        names.SAGA_VERSION: 1,
        names.STEP_ID: "reserve",
        names.ATTEMPT: 1,
        names.PHASE: "execute",
    }
    assert attribute(names.OUTCOME)(end) == "completed"
    assert end.status.is_ok or end.status.status_code is trace.StatusCode.UNSET
    assert [attribute(name)(start) for name in (names.SAGAS, names.CREATED)] == [1, 1]


async def test_the_span_of_a_step_is_the_current_one_within_it_and_nowhere_else(make: Make) -> None:
    spans = Spans()
    user = spans.provider.get_tracer("user")

    @step
    async def call(order: str) -> str:
        with user.start_as_current_span(f"http {order}"):
            await asyncio.sleep(0)
        return order

    @saga("calls")
    def calls(order: StepRef[str]) -> StepRef[str]:
        return call(call(order, step_id="first"), step_id="second")

    async with make(instruments=[traces(tracer_provider=spans.provider)]) as orchestrator:
        handle = orchestrator.register(calls)
        runs = [await handle.start(str(number)) for number in range(20)]
        assert not trace.get_current_span().get_span_context().is_valid
        await asyncio.gather(*(run.outcome(SOON) for run in runs))
        await spans.until("saga.end calls", 20)
    own = {place(span).span_id: span for span in spans.all}
    for number, run in enumerate(runs):
        https = spans.named(f"http {number}")
        assert len(https) == 2
        for http in https:
            assert http.parent is not None
            above = own[http.parent.span_id]
            assert above.name.startswith("saga.step")
            assert SAGA(above) == str(run.id)
            assert is_below(above, next(each for each in spans.named("saga.start calls") if SAGA(each) == str(run.id)))


async def test_retries_and_undoing_are_told_without_messages(make: Make) -> None:
    spans = Spans()
    shop = Shop(fails={"charge": 1, "ship": 9})
    async with make(instruments=[traces(tracer_provider=spans.provider)]) as orchestrator:
        definition = make_saga(shop, retry=FixedRetry(max_attempts=2))
        run = await orchestrator.register("shop", definition).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Compensated)
        end = await spans.until("saga.end shop")
    start = spans.named("saga.start shop")[0]
    told = [
        (span.name, attribute(names.ATTEMPT)(span), span.status.is_ok) for span in spans.all if "saga.st" in span.name
    ]
    assert told == [
        ("saga.start shop", None, True),
        ("saga.step reserve", 1, True),
        ("saga.step charge", 1, False),
        ("saga.step charge", 2, True),
        ("saga.step ship", 1, False),
        ("saga.step ship", 2, False),
    ]
    undone = [span for span in spans.all if span.name.startswith("saga.undo")]
    assert [(span.name, attribute(names.PHASE)(span)) for span in undone] == [
        ("saga.undo charge", "compensate"),
        ("saga.undo reserve", "compensate"),
    ]
    failed = spans.named("saga.step ship")[0]
    assert attribute(names.ERROR_TYPE)(failed) == "ShopError"
    assert (failed.status.description, list(failed.events)) == (None, []), "its message may hold a payload"
    assert all(is_below(span, start) for span in (*undone, failed))
    assert attribute(names.OUTCOME)(end) == "compensated"


async def test_a_business_error_that_a_step_returns_is_told_by_its_type(memory: MemoryStore) -> None:
    spans = Spans()

    @step
    async def charge(order: str) -> Result[str, Declined]:
        return Failure(Declined(f"{order}: no funds on 4111"))

    @saga("declined")
    def declined(order: StepRef[str]) -> StepRef[str]:
        return charge(order)

    async with SagaOrchestrator(memory, instruments=[traces(tracer_provider=spans.provider)]) as orchestrator:
        await (await orchestrator.register(declined).start("1")).outcome(SOON)
        await spans.until("saga.end declined")
    (span,) = spans.named("saga.step charge")
    assert (attribute(names.ERROR_TYPE)(span), span.status.status_code) == ("Declined", trace.StatusCode.ERROR)
    assert "4111" not in span.to_json()


async def test_code_around_starts_that_is_no_context_manager_is_refused(memory: MemoryStore) -> None:
    wrong = Instrument(around_start=(lambda _: 5,))  # type: ignore[arg-type,return-value]  # that is the test  # pyright: ignore[reportArgumentType]
    orchestrator = SagaOrchestrator(memory, instruments=[wrong])
    with pytest.raises(SagaError, match="code around starts"):
        await orchestrator.register("shop", make_saga(Shop())).start(Order("1"))


def _starting(given: object = None, *, before: bool = False, after: bool = False, hides: bool = False) -> Instrument:
    @contextmanager
    def starting(_: StartCall) -> Generator[Any]:
        if before:
            raise KeyError("before")
        try:
            yield given
        except ActiveSagaAlreadyExistsError:
            if not hides:
                raise
        if after:
            raise KeyError("after")

    return Instrument(around_start=(starting,))


@pytest.mark.parametrize("given", [None, 5, "x", ["traceparent"]])
async def test_code_around_starts_that_gives_no_headers_is_refused(memory: MemoryStore, given: object) -> None:
    orchestrator = SagaOrchestrator(memory, instruments=[_starting(given)])
    with pytest.raises(SagaError, match="code around starts gives headers, not"):
        await orchestrator.register("shop", make_saga(Shop())).start(Order("1"))
    assert (await SagaAdmin(orchestrator).list()).rows == ()


@pytest.mark.parametrize("wrong", [{"a": 1}, {1: "a"}, {"a": "\ud800"}, {"a": "v" * 5000}, {}])
@pytest.mark.parametrize("size", [0, 10, LONGEST_CARRIER - 40])
async def test_headers_of_code_around_a_start_give_way_and_never_refuse_it(
    memory: MemoryStore, wrong: dict[str, str], size: int
) -> None:
    given = {"baggage": "v" * size} if size else None
    instruments = [_starting(wrong), traces(tracer_provider=Spans().provider)]
    orchestrator = SagaOrchestrator(memory, instruments=instruments)
    run = await orchestrator.register("shop", make_saga(Shop())).start(Order("1"), trace_carrier=given)
    (first, *_) = await memory.journal(run.id, last=1, most=1)
    kept = carrier_in(first.input)
    assert kept.get("baggage", "") == "v" * size
    assert kept.keys() - {"baggage"} == (set() if size > 10 else {"traceparent"})


async def test_code_around_a_start_neither_hides_its_error_nor_fails_one_that_has_begun(memory: MemoryStore) -> None:
    told: list[Fact] = []
    hides = SagaOrchestrator(
        memory, instruments=[_starting({}, hides=True, after=True)], observers=[told.append], concurrency=0
    )
    handle = hides.register("shop", make_saga(Shop()))
    run = await handle.start(Order("1"), aggregation_id="k")
    assert run.created
    assert [each.name for each in told if isinstance(each, AroundStartFailed)] == ["shop"]
    for again in (
        lambda: handle.start(Order("2"), aggregation_id="k"),
        lambda: handle.start_many([Order("2")], aggregation_id=lambda _: "k"),
    ):
        with pytest.raises(ActiveSagaAlreadyExistsError):
            await again()
    assert len([each for each in told if isinstance(each, AroundStartFailed)]) == 1
    refuses = SagaOrchestrator(memory, instruments=[_starting({}, before=True)], concurrency=0)
    with pytest.raises(KeyError, match="before"):
        await refuses.register("shop", make_saga(Shop())).start(Order("3"))
    assert len((await SagaAdmin(refuses).list()).rows) == 1


async def test_a_saga_that_fails_ends_with_what_is_left_over(memory: MemoryStore) -> None:
    spans = Spans()
    shop = Shop(fails={"ship": 9, "refund charge": 99})
    async with SagaOrchestrator(memory, instruments=[traces(tracer_provider=spans.provider)]) as orchestrator:
        run = await orchestrator.register("shop", make_saga(shop)).start(Order("1"))
        end = await spans.until("saga.end shop")
    assert attribute(names.OUTCOME)(end) == "failed"
    assert attribute(names.LEFT_OVER)(end) == 2, "one was not undone, the undoing of another has failed"
    assert end.status.status_code is trace.StatusCode.ERROR
    assert SAGA(end) == str(run.id)


async def test_an_old_saga_begins_traces_of_its_own_that_link_to_its_start(make: Make) -> None:
    spans = Spans()
    instrument = traces(tracer_provider=spans.provider, trace_after=timedelta(0))
    async with make(instruments=[instrument]) as orchestrator:
        run = await orchestrator.register("shop", make_saga(Shop())).start(Order("1"))
        await run.outcome(SOON)
        end = await spans.until("saga.end shop")
    start = spans.named("saga.start shop")[0]
    for span in (*spans.named("saga.step reserve"), end):
        assert span.parent is None
        assert place(span).trace_id != place(start).trace_id
        assert [link.context.span_id for link in span.links] == [place(start).span_id]


async def test_what_is_repeated_often_or_after_a_rewind_links_to_the_start(memory: MemoryStore) -> None:
    spans = Spans()
    shop = Shop(fails={"reserve": 6})
    async with SagaOrchestrator(memory, instruments=[traces(tracer_provider=spans.provider)]) as orchestrator:
        definition = make_saga(shop, retry=FixedRetry(max_attempts=7, delay=timedelta(milliseconds=1)))
        shop.hold = asyncio.Event()
        run = await orchestrator.register("shop", definition).start(Order("1"))
        await spans.until("saga.step reserve", 7)
        attempts = spans.named("saga.step reserve")
        assert [span.parent is not None for span in attempts] == [True] * 5 + [False] * 2
        assert [len(span.links) for span in attempts] == [0] * 5 + [1] * 2
        await SagaAdmin(orchestrator).abort(run.id)


async def test_another_process_goes_on_in_the_same_trace_when_the_first_was_killed(dsn: str) -> None:
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.otel.worker", dsn, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert program.stdout is not None
    async with asyncio.timeout(SOON):
        trace_id, span_id, saga_id = (await program.stdout.readline()).decode().split()
    program.kill()
    await program.wait()
    spans = Spans()
    instruments = [traces(tracer_provider=spans.provider)]
    async with SagaOrchestrator(dsn, instruments=instruments, poll_interval=timedelta(milliseconds=50)) as orchestrator:
        definition = make_saga(Shop(), retry=FixedRetry(max_attempts=3))
        sagas = orchestrator.register("shop", definition)
        await sagas.attach(UUID(saga_id)).outcome(SOON)
        end = await spans.until("saga.end shop")
    assert spans.names[0] in ("saga.step charge", "saga.undo charge"), "the attempt that died told nothing"
    for span in spans.all:
        assert span.parent is not None
        assert (place(span).trace_id, span.parent.span_id) == (int(trace_id), int(span_id))
        assert span.parent.is_remote
        assert SAGA(span) == saga_id
    assert end.name == "saga.end shop"


async def test_nothing_is_recorded_where_sampling_is_off(memory: MemoryStore) -> None:
    off = Spans(ALWAYS_OFF)
    async with SagaOrchestrator(memory, instruments=[traces(tracer_provider=off.provider)]) as orchestrator:
        run = await orchestrator.register("shop", make_saga(Shop())).start(Order("1"))
        await run.outcome(SOON)
    on = Spans()
    async with SagaOrchestrator(memory, instruments=[traces(tracer_provider=on.provider)]) as orchestrator:
        sagas = orchestrator.register("shop", make_saga(Shop()))
        with trace.use_span(off.provider.get_tracer("caller").start_span("request")):
            await (await sagas.start(Order("2"))).outcome(SOON)
    assert (off.names, on.names) == ([], []), "the caller has decided for all of its trace"


async def test_it_costs_a_saga_nothing_that_there_is_no_sdk(memory: MemoryStore) -> None:
    async with SagaOrchestrator(memory, instruments=[traces()]) as orchestrator:
        seen: list[Mapping[str, str]] = []

        @step
        async def look(order: str, ctx: StepContext) -> str:
            seen.append(ctx.trace_carrier)
            return order

        @saga("looks")
        def looks(order: StepRef[str]) -> StepRef[str]:
            return look(order)

        await orchestrator.register(looks).run("1")
    assert seen == [{}]


HOSTILE = [
    {"traceparent": "00-00000000000000000000000000000000-0000000000000000-01"},
    {"traceparent": "\x00\x1b[31m" * 50},
    {"traceparent": "00-" + "f" * 1500},
    {"traceparent": "ff-" + "1" * 32 + "-" + "1" * 16 + "-01"},
    {"tracestate": ",=;" * 500},
    {"traceparent": "", "tracestate": ""},
    {"Traceparent": "x", "baggage": "user=1"},
]


@pytest.mark.parametrize("carrier", HOSTILE)
async def test_headers_that_say_nothing_are_none(carrier: Mapping[str, str], memory: MemoryStore) -> None:
    spans = Spans()
    async with SagaOrchestrator(memory, instruments=[traces(tracer_provider=spans.provider)]) as orchestrator:
        run = await orchestrator.register("shop", make_saga(Shop())).start(Order("1"), trace_carrier=carrier)
        assert isinstance(await run.outcome(SOON), Completed)
        await spans.until("saga.end shop")
    start = spans.named("saga.start shop")[0]
    for span in spans.all:
        parent = span.parent
        assert parent is None or parent.span_id == place(start).span_id
        assert len(msgspec.json.encode(dict(span.attributes or {}))) < 1000


async def test_the_headers_that_a_caller_gives_count_before_those_of_the_start(memory: MemoryStore) -> None:
    spans = Spans()
    given = {"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"}
    async with SagaOrchestrator(memory, instruments=[traces(tracer_provider=spans.provider)]) as orchestrator:
        run = await orchestrator.register("shop", make_saga(Shop())).start(Order("1"), trace_carrier=given)
        await run.outcome(SOON)
        end = await spans.until("saga.end shop")
    assert f"{place(end).trace_id:x}" == "a" * 32


async def test_many_starts_are_one_span(make: Make) -> None:
    spans = Spans()
    async with make(instruments=[traces(tracer_provider=spans.provider)]) as orchestrator:
        sagas = orchestrator.register("shop", make_saga(Shop()))
        runs = await sagas.start_many(
            [Order("1"), Order("2"), Order("1")], idempotency_key=lambda order: order.order_id
        )
        await asyncio.gather(*(run.outcome(SOON) for run in runs))
        await spans.until("saga.end shop", 2)
    (start,) = spans.named("saga.start shop")
    assert [attribute(name)(start) for name in (names.SAGAS, names.CREATED, names.SAGA_ID)] == [3, 2, None]
    assert all(is_below(span, start) for span in spans.named("saga.end shop"))


async def test_a_start_that_is_refused_is_told_by_its_error(memory: MemoryStore) -> None:
    spans = Spans()
    orchestrator = SagaOrchestrator(memory, instruments=[traces(tracer_provider=spans.provider)])
    sagas = orchestrator.register("shop", make_saga(Shop()))
    await sagas.start(Order("1"), idempotency_key="k")
    with pytest.raises(SagaError):
        await sagas.start(Order("2"), idempotency_key="k")
    repeat = await sagas.start(Order("1"), idempotency_key="k")
    started, refused, repeated = spans.named("saga.start shop")
    assert attribute(names.ERROR_TYPE)(refused) == "StartConflictError"
    assert attribute(names.CREATED)(started) == 1
    assert (attribute(names.CREATED)(repeated), SAGA(repeated)) == (0, str(repeat.id))


class Broken(SpanProcessor):
    """A user's processor that fails at each span."""

    @override
    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        raise RuntimeError("no start")

    @override
    def on_end(self, span: ReadableSpan) -> None:
        raise RuntimeError("no end")


class Endless(TextMapPropagator):
    """A propagator that writes more than can be kept, and fails when it reads."""

    @override
    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        raise RuntimeError("no reading")

    @override
    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        setter.set(carrier, "baggage", "x" * LONGEST_CARRIER)

    @property
    @override
    def fields(self) -> set[str]:
        return {"baggage"}


async def test_trouble_of_the_tracing_stops_no_saga(memory: MemoryStore) -> None:
    spans = Spans()
    spans.provider.add_span_processor(Broken())
    for instrument in traces(tracer_provider=spans.provider), traces(propagator=Endless()):
        async with SagaOrchestrator(memory, instruments=[instrument]) as orchestrator:
            run = await orchestrator.register("shop", make_saga(Shop())).start(Order("1"))
            assert isinstance(await run.outcome(SOON), Completed)


async def test_an_instrument_is_around_each_start_in_its_callers_context(make: Make) -> None:
    calls: list[StartCall] = []

    @contextmanager
    def starting(call: StartCall) -> Generator[Mapping[str, str]]:
        assert call.saga_ids == ()
        yield {"mine": "1"}
        calls.append(call)

    seen: list[Mapping[str, str]] = []

    @step
    async def look(order: str, ctx: StepContext) -> str:
        seen.append(ctx.trace_carrier)
        return order

    @saga("looks")
    def looks(order: StepRef[str]) -> StepRef[str]:
        return look(order)

    async with make(instruments=[Instrument(around_start=(starting,))]) as orchestrator:
        run = await orchestrator.register(looks).start("1")
        await run.outcome(SOON)
        named = await orchestrator.start(saga_name="looks", initial_data="2", trace_carrier={"mine": "2", "other": "3"})
        await orchestrator.handle(looks).attach(named).outcome(SOON)
    assert [(call.saga_name, call.version, call.sagas, call.saga_ids, call.created) for call in calls] == [
        ("looks", 1, 1, (run.id,), 1),
        ("looks", 1, 1, (named,), 1),
    ]
    assert seen == [{"mine": "1"}, {"mine": "2", "other": "3"}]


@pytest.mark.parametrize(
    "wrong",
    [
        {"trace_after": 5},
        {"trace_after": timedelta(-1)},
        {"tracer_provider": object()},
        {"propagator": "tracecontext"},
    ],
)
def test_a_wrong_argument_is_refused_with_the_mend(wrong: dict[str, object]) -> None:
    with pytest.raises(SagaError, match=next(iter(wrong))):
        traces(**wrong)  # type: ignore[arg-type]  # that is the test  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("wrong", [5, "x", [5], traces, [traces]])
def test_what_is_no_instrument_is_refused(wrong: object, memory: MemoryStore) -> None:
    with pytest.raises(SagaError, match=r"nstrument"):
        SagaOrchestrator(memory, instruments=wrong)  # type: ignore[arg-type]  # that is the test  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "wrong", [{"observers": [print]}, {"around": (5,)}, {"around_start": (5,)}, {"stats_every": 0.5}]
)
def test_an_instrument_of_wrong_parts_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SagaError):
        Instrument(**wrong)  # type: ignore[arg-type]  # that is the test  # pyright: ignore[reportArgumentType]
