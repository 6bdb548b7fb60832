"""Hooks: a message, or a call, for each moment of a saga that its definition names; at least once, and never in a step's way."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import attrs
import msgspec
import pytest

from saga_fn import (
    Hook,
    HookContext,
    Outgoing,
    SagaAdmin,
    SagaBuilder,
    SagaDefinition,
    SagaDefinitionError,
    SagaNews,
    SagaOrchestrator,
    SagaStatus,
    StepRef,
    saga,
    step,
)
from saga_fn.engine.hold import relay_sweep
from saga_fn.outgoing import OutgoingOptions
from tests.support.broker import Broker
from tests.support.stores import Make
from tests.support.until import SOON, suspended, until

QUICK = OutgoingOptions(first_delay=timedelta(milliseconds=20), longest_delay=timedelta(milliseconds=50))


@attrs.frozen
class Order:
    does: str


class DeclineError(Exception):
    """The step's refusal."""


@step(give_up_on=DeclineError, on_unknown="park")
async def charge(order: Order) -> str:
    if order.does == "fail":
        raise DeclineError
    if order.does == "park":
        raise TimeoutError
    return f"receipt for {order.does}"


def everything(seen: list[SagaNews]) -> SagaDefinition[Order, str]:
    async def told(news: SagaNews) -> None:
        seen.append(news)

    @saga(
        "order",
        on_started=Outgoing(
            "news.started", payload=lambda told: told.initial_data, key=lambda told: told.news.trace_id
        ),
        on_completed=Outgoing("news.completed", payload=lambda told: {"result": told.result}),
        on_compensated=Outgoing("news.compensated"),
        on_failed=told,
        on_parked=told,
    )
    def ordering(order: StepRef[Order]) -> StepRef[str]:
        return charge(order)

    return ordering


async def test_the_end_of_a_saga_is_told_by_a_message_made_of_what_it_was_given_and_gave(make: Make) -> None:
    broker = Broker()
    async with make(publishers={"news.*": broker}) as orchestrator:
        run = await orchestrator.register(everything([])).start(Order("pay"), aggregation_id="order-7", trace_id="t-1")
        await run.result(timeout=SOON)
        started, completed = await broker.until(2)
    assert (started.topic, started.key, started.body) == ("news.started", "t-1", b'{"does":"pay"}')
    assert (completed.topic, completed.key) == ("news.completed", "order-7")
    assert completed.body == b'{"result":"receipt for pay"}'
    assert started.id != completed.id


async def test_what_a_start_in_a_callers_transaction_tells_is_published_as_soon_as_the_caller_says_committed(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_sweep, "_POLL", 3600.0)
    broker = Broker()
    connection = await asyncpg.connect(dsn)
    async with SagaOrchestrator(dsn, concurrency=0, publishers={"*": broker}) as orchestrator:
        handle = orchestrator.register(everything([]))
        async with connection.transaction():
            run = await handle.start(Order("pay"), connection=connection)
        assert [each.topic for each in await SagaAdmin(orchestrator).outgoing(run.id)] == ["on_started"]
        await orchestrator.committed()
        await broker.until(1)
    await connection.close()
    assert broker.topics == ["news.started"]


async def test_a_message_without_a_function_has_the_news_itself(make: Make) -> None:
    broker = Broker()
    async with make(publishers={"news.*": broker}) as orchestrator:
        run = await orchestrator.register(everything([])).start(Order("fail"), aggregation_id="order-7")
        await run.outcome(timeout=SOON)
        _, compensated = await broker.until(2)
    news = msgspec.json.decode(compensated.body, type=SagaNews)
    assert (news.hook, news.saga_id, news.saga_name, news.version) == (Hook.COMPENSATED, run.id, "order", 1)
    assert (news.aggregation_id, news.error) == ("order-7", "DeclineError")


async def test_an_async_function_is_called_with_the_news(make: Make) -> None:
    seen: list[SagaNews] = []
    async with make(publishers={"news.*": Broker()}) as orchestrator:
        run = await orchestrator.register(everything(seen)).start(Order("park"))
        await suspended(run)
        await until(lambda: len(seen) == 1)
        assert (seen[0].hook, seen[0].saga_id, seen[0].parked) == (Hook.PARKED, run.id, "outcome_unknown")
        await SagaAdmin(orchestrator).abort(run.id)
        await until(lambda: len(seen) == 2)
    assert (seen[1].hook, seen[1].saga_id) == (Hook.FAILED, run.id)


@pytest.mark.predecessor(20)
@pytest.mark.parametrize("verb", ["skip the last step", "abort"])
async def test_a_verb_of_a_process_that_does_not_know_the_definition_runs_its_hooks(verb: str, make: Make) -> None:
    seen: list[SagaNews] = []
    broker = Broker()
    async with make(publishers={"news.*": broker}) as worker:
        definition = everything(seen)
        run = await worker.register(definition).start(Order("park"))
        await suspended(run)
        await until(lambda: len(seen) == 1)
    async with make(concurrency=0) as elsewhere:
        if verb == "abort":
            await SagaAdmin(elsewhere).abort(run.id)
        else:
            elsewhere.register(definition)  # a verb with an output knows the type of the output
            await SagaAdmin(elsewhere).skip_step(run.id, "charge", "by hand")
    async with make(publishers={"news.*": broker}) as worker:
        worker.register(definition)
        if verb == "abort":
            await until(lambda: len(seen) == 2)
            assert seen[1].hook is Hook.FAILED
        else:
            await broker.until(2)
            assert broker.bodies[-1] == {"result": "by hand"}
        await until_nothing_is_left(worker)


async def until_nothing_is_left(orchestrator: SagaOrchestrator) -> None:
    async with asyncio.timeout(SOON):
        while (await orchestrator.engine.store.outgoing.counts()).waiting:
            await asyncio.sleep(0.005)


@pytest.mark.predecessor(21)
async def test_a_hook_that_raises_is_called_again_and_never_takes_back_what_was_done(make: Make) -> None:
    calls: list[int] = []
    executed: list[str] = []

    async def flaky(_: SagaNews) -> None:
        calls.append(len(calls))
        if len(calls) < 3:
            raise ZeroDivisionError

    @step
    async def work(order: Order) -> str:
        executed.append(order.does)
        return order.does

    @saga("order", on_completed=flaky)
    def ordering(order: StepRef[Order]) -> StepRef[str]:
        return work(order)

    async with make(outgoing=QUICK) as orchestrator:
        run = await orchestrator.register(ordering).start(Order("once"))
        assert await run.result(timeout=SOON) == "once"
        await until(lambda: len(calls) == 3)
        await until_nothing_is_left(orchestrator)
    assert executed == ["once"]


@pytest.mark.predecessor(21)
async def test_a_message_of_a_hook_that_cannot_be_made_is_dead_and_made_again_when_it_is_redriven(make: Make) -> None:
    broker, works = Broker(), [False]

    def payload(told: HookContext[Order]) -> object:
        return told.result if works[0] else object()

    @saga("order", on_completed=Outgoing("news", payload=payload))
    def ordering(order: StepRef[Order]) -> StepRef[str]:
        return charge(order)

    options = msgspec.structs.replace(QUICK, max_attempts=2)
    async with make(publishers={"news": broker}, outgoing=options) as orchestrator:
        admin = SagaAdmin(orchestrator, actor="ann")
        run = await orchestrator.register(ordering).start(Order("pay"))
        assert await run.result(timeout=SOON) == "receipt for pay"
        async with asyncio.timeout(SOON):
            while not (dead := await admin.outgoing()):
                await asyncio.sleep(0.005)
        assert (dead[0].topic, dead[0].is_hook, dead[0].attempts) == ("on_completed", True, 2)
        assert "PayloadError" in str(dead[0].error)
        assert (await run.snapshot()).status is SagaStatus.COMPLETED
        works[0] = True
        assert await admin.redrive(run.id) == 1
        await broker.until(1)
    assert broker.bodies == ["receipt for pay"]


async def test_a_definition_that_lost_its_hook_lets_the_call_go(make: Make) -> None:
    seen: list[SagaNews] = []
    async with make(publishers={"news.*": Broker()}) as worker:
        run = await worker.register(everything(seen)).start(Order("park"))
        await suspended(run)
        await until_nothing_is_left(worker)
    async with make(concurrency=0) as elsewhere:
        await SagaAdmin(elsewhere).abort(run.id)

    @saga("order")
    def without(order: StepRef[Order]) -> StepRef[str]:
        return charge(order)

    async with make(publishers={"other": Broker()}) as worker:
        worker.register(without)
        await until_nothing_is_left(worker)
    assert [news.hook for news in seen] == [Hook.PARKED]


async def test_a_process_with_no_hook_and_no_publisher_lets_the_calls_go_that_verbs_elsewhere_have_written(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    @saga("order")
    def without(order: StepRef[Order]) -> StepRef[str]:
        return charge(order)

    monkeypatch.setattr(relay_sweep, "_SELDOM", 0.01)
    async with make() as worker:
        run = await worker.register(without).start(Order("park"))
        await suspended(run)
        async with make(concurrency=0) as elsewhere:
            await SagaAdmin(elsewhere).abort(run.id)
        await until_nothing_is_left(worker)
        assert not worker.engine.relay.working, "it looks seldom"


def test_the_builder_takes_hooks_too() -> None:
    builder = SagaBuilder(Order, on_failed=Outgoing("failures"))
    builder.add_step(charge, depends_on=builder.initial)
    assert builder.build().topics == ("failures",)


def test_what_is_no_hook_is_refused() -> None:
    def not_async(news: SagaNews) -> None: ...

    wrong: Any
    for wrong in ("topic", not_async, 7, Outgoing):
        with pytest.raises(SagaDefinitionError, match="on_failed must be an Outgoing message or an async function"):
            SagaBuilder(Order, on_failed=wrong)


async def test_a_hook_that_ends_as_cancelled_by_itself_costs_the_hooks_of_other_sagas_nothing(make: Make) -> None:
    tried: list[str | None] = []
    free = asyncio.Event()

    async def leaking(news: SagaNews) -> None:
        tried.append(news.aggregation_id)
        if news.aggregation_id == "bad":
            raise asyncio.CancelledError
        await free.wait()
        await asyncio.sleep(0.01)  # the others of the call are not over when the bad one is

    @saga("order", on_completed=leaking)
    def ordering(order: StepRef[Order]) -> StepRef[str]:
        return charge(order)

    async with make(outgoing=msgspec.structs.replace(QUICK, max_attempts=2)) as orchestrator:
        handle = orchestrator.register(ordering)
        await handle.start(Order("pay"), aggregation_id="first")
        await until(lambda: bool(tried))  # what comes now is called together, after it
        runs = [await handle.start(Order("pay"), aggregation_id=key) for key in ("one", "bad", "two")]
        for run in runs:
            await run.result(timeout=SOON)
        free.set()
        async with asyncio.timeout(SOON):
            while not (dead := await SagaAdmin(orchestrator).outgoing()):
                await asyncio.sleep(0.005)
    assert [(each.saga_id, each.attempts, each.error) for each in dead] == [(runs[1].id, 2, "CancelledError: ")]
    assert sorted(map(str, tried)) == ["bad", "bad", "first", "one", "two"]


async def test_a_hook_that_takes_too_long_says_how_long_it_had(make: Make) -> None:
    async def hanging(_: SagaNews) -> None:
        await asyncio.Event().wait()

    @saga("order", on_completed=hanging)
    def ordering(order: StepRef[Order]) -> StepRef[str]:
        return charge(order)

    options = msgspec.structs.replace(QUICK, max_attempts=1, timeout=timedelta(milliseconds=50))
    async with make(outgoing=options) as orchestrator:
        await orchestrator.register(ordering).start(Order("pay"))
        async with asyncio.timeout(SOON):
            while not (dead := await SagaAdmin(orchestrator).outgoing()):
                await asyncio.sleep(0.005)
    assert [each.error for each in dead] == ["TimeoutError: not over within 0.05 s"]
