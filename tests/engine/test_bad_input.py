# type: ignore  # noqa: PGH003 - every case is a mistake that the checkers refuse; here it is made at run time
"""Whatever a caller passes by mistake is answered by an error of this library that says what to do instead."""

from __future__ import annotations

import asyncio
import math
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest

from saga_fn import MemoryStore, SagaAdmin, SagaBuilder, SagaError, SagaNotFoundError, SagaOrchestrator, step
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.until import until

NOWHERE = "postgresql://nowhere"
BIG = "x" * 10_000_000


def deep():
    nested = []
    for _ in range(100_000):
        nested = [nested]
    return nested


OPTIONS = [
    *({"concurrency": value} for value in (-1, True, 1.5, "4", None, 2**70)),
    *({name: value} for name in ("lease", "poll_interval") for value in (timedelta(0), -timedelta(1), 5, True, None)),
    *({"stop_timeout": value} for value in (timedelta(0), timedelta.max)),
    *({"max_payload_bytes": value} for value in (-1, True, 2**80)),
    *({"shards": value} for value in (0, -1, 4097, True, "x", None)),
    *({name: value} for name in ("pool_size", "max_connections") for value in (0, -1, True, "x")),
    *({"schema": value} for value in (None, 7, "", "a" * 64, 'a"b', "a\0")),
    *({"store": value} for value in (None, 7, b"x", [])),
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_an_option_that_cannot_be(options) -> None:
    with pytest.raises(SagaError, match="HINT"):
        SagaOrchestrator(**{"store": NOWHERE, **options})


IDS = (None, 7, "abc", str(uuid4()), b"x", [])
USES = {
    "get_snapshot": lambda o, bad: o.get_snapshot(bad),
    "resume": lambda o, bad: o.resume(bad),
    "notify": lambda o, bad: o.notify(bad, uuid4(), {}),
    **{
        verb: lambda o, bad, verb=verb: getattr(SagaAdmin(o), verb)(bad)
        for verb in ("get_saga", "cancel", "compensate_step", "abort", "verify", "start_now")
    },
    **{
        verb: lambda o, bad, verb=verb: getattr(SagaAdmin(o), verb)(bad, "charge")
        for verb in ("retry_step", "rewind", "skip_step", "settle_done", "settle_undone", "settle_never_ran")
    },
}


@pytest.mark.parametrize("use", USES)
async def test_what_is_no_saga_id(make, use: str) -> None:
    async with make() as orchestrator:
        for bad in IDS:
            with pytest.raises(SagaError, match="HINT"):
                await USES[use](orchestrator, bad)
        if use != "resume":
            with pytest.raises(SagaNotFoundError, match="HINT"):
                await USES[use](orchestrator, UUID(int=5))


STARTS = [
    *((bad, {}) for bad in (None, 7, "x", {"order_id": 1}, {"wrong": 1}, Order(7), Order("\ud800"), Done("x"))),
    *((bad, {}) for bad in (Order(BIG), Order("1", 10**5000), Order("1", True), Order("1", 1.5))),
    *(
        (Order("1"), {key: bad})
        for key in ("aggregation_id", "idempotency_key", "trace_id")
        for bad in ("", "a\0b", "x" * 256, "\ud800", b"x", True, 7, [])
    ),
]


async def test_what_cannot_be_started_with(make) -> None:
    async with make() as orchestrator:
        handle = orchestrator.register("shop", make_saga(Shop()))
        for data, options in STARTS:
            with pytest.raises(SagaError, match="HINT"):
                await handle.start(data, **options)
        for name in (7, None, "", "x" * 300, "a\0"):
            with pytest.raises(SagaError, match="HINT"):
                await orchestrator.start(saga_name=name, initial_data={})
        with pytest.raises(SagaError, match="HINT"):
            await handle.start(Order("1"), connection="x")
        assert (await orchestrator.health()).in_flight == 0


ANYTHING = [math.nan, math.inf, "\udfff", datetime(2026, 1, 1), object(), {1: 2}, {"\ud800": 1}, BIG, 10**5000]  # noqa: DTZ001


@pytest.mark.parametrize("bad", [*ANYTHING, deep()], ids=lambda bad: type(bad).__name__)
async def test_a_payload_that_cannot_be_stored(make, bad) -> None:
    @step
    async def work(inp: dict[str, object]) -> object:
        return bad

    builder = SagaBuilder()
    output = builder.add_step(work, depends_on=builder.initial)
    async with make() as orchestrator:
        handle = orchestrator.register("any", builder.build(output=output))
        with pytest.raises(SagaError, match="HINT"):
            await handle.start({"a": bad})
        run = await handle.start({"a": 1})
        async with asyncio.timeout(20):
            while (await run.snapshot()).parked is None:
                await asyncio.sleep(0.005)
        admin = SagaAdmin(orchestrator)
        assert (await run.snapshot()).parked == "output_lost"
        assert any("HINT" in (entry.error or "") for entry in (await admin.get_saga(run.id)).step_history)
        with pytest.raises(SagaError, match="HINT"):
            await admin.skip_step(run.id, "work", bad)
        token = (await run.snapshot()).step_execution_token
        with pytest.raises(SagaError, match="HINT"):
            await orchestrator.notify(run.id, token, {"a": bad})
        assert await admin.verify(run.id) == []


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, 10**400, "NUL \0 in the middle", "\U0001f600"], ids=str)
async def test_a_payload_at_the_edge_comes_back_equal(make, value) -> None:
    @step
    async def work(inp: dict[str, object]) -> object:
        return inp["a"]

    builder = SagaBuilder()
    output = builder.add_step(work, depends_on=builder.initial)
    async with make() as orchestrator:
        run = await orchestrator.register("any", builder.build(output=output)).start({"a": value})
        assert await run.result(20) == value


async def test_what_is_no_token_event_limit_timeout_definition_or_step(make) -> None:
    async with make(concurrency=0) as orchestrator:
        handle = orchestrator.register("shop", make_saga(Shop()))
        run = await handle.start(Order("1"))
        calls = [
            *(lambda bad=bad: orchestrator.notify(run.id, bad, {}) for bad in IDS),
            *(lambda bad=bad: orchestrator.notify(run.id, uuid4(), bad) for bad in (7, "abc", [1], [("a", 1)], {1: 2})),
            *(lambda bad=bad: orchestrator.run_due(bad) for bad in (-1, "x", True, 2**70, None, 1.5)),
            *(lambda bad=bad: run.result(bad) for bad in (-1, 0, "5", True, math.nan, [], timedelta(-1))),
            *(
                lambda bad=bad: SagaAdmin(orchestrator).skip_step(run.id, "reserve", bad, not_begun=True)
                for bad in (7, "abc", [1], {"wrong": 1}, None, {})
            ),
            *(
                lambda bad=bad, verb=verb: getattr(SagaAdmin(orchestrator), verb)(run.id, bad)
                for verb in ("retry_step", "skip_step", "settle_done", "settle_undone", "settle_never_ran")
                for bad in (7, "", "no such step", "reserve[0]", None, {"what": "by hand"}, b"reserve")
            ),
            *(
                lambda bad=bad: SagaAdmin(orchestrator).abort(run.id, **bad)
                for bad in (
                    {"expect": 0},
                    {"expect": "1"},
                    {"expect": True},
                    {"expect": 2**70},
                    {"reason": ""},
                    {"reason": "two\nlines"},
                    {"reason": "x" * 1001},
                    {"reason": 7},
                )
            ),
            lambda: SagaAdmin(orchestrator).skip_step(run.id, "reserve", {"what": "by hand"}, not_begun=1),
        ]
        for call in calls:
            with pytest.raises(SagaError, match="HINT"):
                await call()
        for bad in (7, None, "shop"):
            with pytest.raises(SagaError, match="HINT"):
                orchestrator.handle(bad)
            with pytest.raises(SagaError, match="HINT"):
                SagaAdmin(orchestrator).step(run.id, bad)
        definition = handle.definition
        for name in ("", "a\0", "x" * 256, 7, None, "\ud800"):
            with pytest.raises(SagaError, match="HINT"):
                orchestrator.register(name, definition)
        for version in (0, -1, True, 1.5, 2**31, "2", None):
            with pytest.raises(SagaError, match="HINT"):
                orchestrator.register("versioned", definition, version=version)
        assert (await run.snapshot()).retry_counter == 0


@pytest.mark.parametrize("entered", [False, True])
async def test_a_dsn_that_is_not_entered_or_was_left(dsn: str, entered: bool) -> None:
    orchestrator = SagaOrchestrator(dsn, concurrency=0)
    handle = orchestrator.register("shop", make_saga(Shop()))
    saga_id = uuid4()
    if entered:
        async with orchestrator:
            saga_id = (await handle.start(Order("1"))).id
            with pytest.raises(SagaError, match="HINT"):
                await orchestrator.__aenter__()
    admin = SagaAdmin(orchestrator)
    calls = [
        lambda: handle.start(Order("1")),
        lambda: handle.attach(saga_id).result(1),
        lambda: orchestrator.get_snapshot(saga_id),
        lambda: orchestrator.notify(saga_id, uuid4()),
        orchestrator.run_due,
        lambda: admin.get_saga(saga_id),
        lambda: admin.abort(saga_id),
        lambda: admin.retry_step(saga_id, "charge"),
        lambda: admin.verify(saga_id),
    ]
    for call in calls:
        with pytest.raises(SagaError, match="async with"):
            await call()
    async with orchestrator:
        assert (await orchestrator.health()).ok, "it can be entered again"


async def test_another_event_loop() -> None:
    async with SagaOrchestrator(MemoryStore()) as orchestrator:
        handle = orchestrator.register("shop", make_saga(Shop()))
        run = await handle.start(Order("1"))
        await run.result(20)

        async def elsewhere() -> int:
            calls = (
                lambda: handle.start(Order("2")),
                run.snapshot,
                orchestrator.run_due,
                lambda: SagaAdmin(orchestrator).get_saga(run.id),
            )
            refused = 0
            for call in calls:
                with pytest.raises(SagaError, match="HINT"):
                    await call()
                refused += 1
            return refused

        assert await asyncio.to_thread(lambda: asyncio.run(elsewhere())) == 4
        await until(lambda: not orchestrator.engine.held)


async def test_many_starts_take_an_iterable_and_functions_of_its_items(make) -> None:
    async with make() as orchestrator:
        handle = orchestrator.register("shop", make_saga(Shop()))
        for call in (
            lambda: handle.start_many(Order("1")),
            lambda: handle.start_many([Order("1")], aggregation_id=["order-1"]),
            lambda: handle.start_many([Order("1")], idempotency_key="order-1"),
        ):
            with pytest.raises(SagaError, match="HINT"):
                await call()
        assert await orchestrator.run_due() == 0, "nothing was started"


@pytest.mark.parametrize("given", [None, "orchestrator", MemoryStore()], ids=["nothing", "a name", "a store"])
def test_an_admin_is_of_an_orchestrator(given) -> None:
    with pytest.raises(SagaError, match="HINT"):
        SagaAdmin(given)
