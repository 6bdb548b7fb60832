"""Code around a call of a step: it is there for the step, and never changes the truth about whether the step has run."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import timedelta

import pytest

from saga_fn import Compensated, Completed, FixedRetry, MemoryStore, SagaError, SagaOrchestrator, StepOptions
from saga_fn.observe import Around, AttemptFailed, Fact, Observer, SagaEnded, SagaParked, StepCall
from tests.support.observed import Observed
from tests.support.shop import Done, Order, Shop, make_saga, one_step
from tests.support.until import SOON

tenant: ContextVar[str] = ContextVar("tenant", default="nobody")
PARK: StepOptions = {"on_unknown": "park", "retry_policy": FixedRetry(max_attempts=2, delay=timedelta(0))}


def told_of(calls: list[tuple[str, str]]) -> Around:
    """Code around each call that writes down when it is entered and left."""

    @asynccontextmanager
    async def around(call: StepCall) -> AsyncGenerator[None]:
        calls.append((call.phase, f"enter {call.context.step_id} {call.context.attempt}"))
        try:
            yield
        finally:
            calls.append((call.phase, f"leave {call.context.step_id}"))

    return around


async def test_each_call_of_a_step_or_a_compensation_is_made_inside(memory: MemoryStore) -> None:
    calls: list[tuple[str, str]] = []
    async with SagaOrchestrator(memory, around=[told_of(calls)]) as orchestrator:
        run = await orchestrator.register("shop", make_saga(Shop(fails={"charge": 9}))).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Compensated)
    assert calls == [
        ("execute", "enter reserve 1"),
        ("execute", "leave reserve"),
        ("execute", "enter charge 1"),
        ("execute", "leave charge"),
        ("compensate", "enter reserve 1"),
        ("compensate", "leave reserve"),
    ]


async def test_the_first_is_outermost_and_the_step_sees_what_is_set_up(memory: MemoryStore) -> None:
    order: list[str] = []

    def named(name: str) -> Around:
        @asynccontextmanager
        async def around(call: StepCall) -> AsyncGenerator[None]:
            order.append(f"enter {name}")
            tenant.set(f"{tenant.get()}/{name}")
            yield
            order.append(f"leave {name}")

        return around

    async def work(inp: Order) -> Done:
        return Done(tenant.get())

    async with SagaOrchestrator(memory, around=[named("a"), named("b")]) as orchestrator:
        found = await orchestrator.register("one", one_step(work)).run(Order("1"))
    assert found == Done("nobody/a/b")
    assert order == ["enter a", "enter b", "leave b", "leave a"]
    assert tenant.get() == "nobody"


async def test_an_error_before_the_call_is_never_in_doubt(memory: MemoryStore) -> None:
    left = [ConnectionResetError("the pool of the service")]  # in doubt, if the step itself had raised it

    @asynccontextmanager
    async def around(call: StepCall) -> AsyncGenerator[None]:
        if left:
            raise left.pop()
        yield

    async def work(inp: Order) -> Done:
        return Done("work")

    facts: list[Fact] = []
    async with SagaOrchestrator(memory, around=[around], observers=[facts.append]) as orchestrator:
        run = await orchestrator.register("one", one_step(work, PARK)).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Completed)
    (failed,) = [fact for fact in facts if isinstance(fact, AttemptFailed)]
    assert not failed.outlook.may_have_run
    assert failed.again_at is not None


async def test_a_timeout_before_the_call_is_never_in_doubt(memory: MemoryStore) -> None:
    waits = [True]

    @asynccontextmanager
    async def around(call: StepCall) -> AsyncGenerator[None]:
        if waits and waits.pop():
            await asyncio.Event().wait()
        yield

    async def work(inp: Order) -> Done:
        return Done("work")

    options: StepOptions = {**PARK, "timeout": timedelta(milliseconds=50)}
    async with SagaOrchestrator(memory, around=[around]) as orchestrator:
        run = await orchestrator.register("one", one_step(work, options)).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Completed)


@pytest.mark.parametrize("error", [ConnectionResetError, ConnectionRefusedError, ValueError, BaseExceptionGroup])
async def test_an_error_after_the_step_has_returned_leaves_it_in_doubt(
    error: type[BaseException], memory: MemoryStore
) -> None:
    @asynccontextmanager
    async def around(call: StepCall) -> AsyncGenerator[None]:
        yield
        raise error("a span", [ValueError()]) if error is BaseExceptionGroup else error("the exporter is down")

    async def work(inp: Order) -> Done:
        return Done("work")

    async with SagaOrchestrator(memory, around=[around]) as orchestrator:
        told = Observed(orchestrator)
        await orchestrator.register("one", one_step(work, PARK)).start(Order("1"))
        parked = await told.until(SagaParked)
    assert parked.reason == "outcome_unknown"


async def test_the_error_of_the_step_counts_whatever_code_around_it_makes_of_it(memory: MemoryStore) -> None:
    @asynccontextmanager
    async def around(call: StepCall) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            raise ConnectionRefusedError("the exporter is down")  # certainly never left: this says nothing of the step

    async def work(inp: Order) -> Done:
        raise ConnectionResetError

    async with SagaOrchestrator(memory, around=[around]) as orchestrator:
        told = Observed(orchestrator)
        await orchestrator.register("one", one_step(work, PARK)).start(Order("1"))
        parked = await told.until(SagaParked)
    assert (parked.reason, parked.error) == ("outcome_unknown", "ConnectionResetError")


async def test_no_code_around_a_step_turns_its_failure_into_a_success(memory: MemoryStore) -> None:
    @asynccontextmanager
    async def swallows(call: StepCall) -> AsyncGenerator[None]:
        with contextlib.suppress(Exception):  # as a service may do by mistake
            yield

    @asynccontextmanager
    async def raises(call: StepCall) -> AsyncGenerator[None]:
        if call.context.attempt > 0:
            raise ValueError
        yield

    async def work(inp: Order) -> Done:
        raise KeyError

    for around, error in ([swallows], "KeyError"), ([swallows, raises], "SagaDefinitionError"):
        facts: list[Fact] = []
        async with SagaOrchestrator(MemoryStore(), around=around, observers=[facts.append]) as orchestrator:
            run = await orchestrator.register("one", one_step(work)).start(Order("1"))
            assert isinstance(await run.outcome(SOON), Compensated)
        assert {fact.error for fact in facts if isinstance(fact, AttemptFailed)} == {error}


async def test_a_stop_cuts_the_code_around_short_with_the_step(memory: MemoryStore) -> None:
    calls: list[tuple[str, str]] = []
    begun = asyncio.Event()

    async def work(inp: Order) -> Done:
        begun.set()
        await asyncio.Event().wait()
        return Done("never")

    stop = timedelta(milliseconds=50)
    async with SagaOrchestrator(memory, around=[told_of(calls)], stop_timeout=stop) as orchestrator:
        await orchestrator.register("one", one_step(work)).start(Order("1"))
        await begun.wait()
    assert calls == [("execute", "enter work 1"), ("execute", "leave work")]


def generates(fact: Fact) -> Generator[None]:
    yield


async def generates_later(fact: Fact) -> AsyncGenerator[None]:
    yield


@pytest.mark.parametrize("wrong", [generates, generates_later])
def test_an_observer_that_would_only_generate_is_refused(wrong: Observer) -> None:
    with pytest.raises(SagaError, match="not awaited"):
        SagaOrchestrator(MemoryStore(), observers=[wrong])


@pytest.mark.parametrize("wrong", [3, None, "name", [None], asyncio.sleep])
def test_wrong_observers_and_wrong_code_around_are_refused_with_the_mend(wrong: object) -> None:
    for option in ("observers", "around"):
        for given in wrong, [wrong]:
            with pytest.raises(SagaError) as refused:
                SagaOrchestrator(MemoryStore(), **{option: given})  # type: ignore[arg-type]  # that is the test  # pyright: ignore[reportArgumentType]
            assert refused.value.hint


async def test_an_observer_that_has_to_be_awaited_after_all_is_told_in_the_log_once(
    memory: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    async def awaited(fact: Fact) -> None:
        raise AssertionError

    facts: list[Fact] = []

    def hides_it(fact: Fact) -> object:
        return awaited(fact)

    observers = [hides_it, facts.append]
    async with SagaOrchestrator(memory, observers=observers) as orchestrator:
        await orchestrator.register("shop", make_saga(Shop())).run(Order("1"))
    assert [record.message for record in caplog.records if "an observer failed" in record.message] == [
        "an observer failed when it was told WorksOn (SagaError); it is told of what follows, and this is said once"
    ]
    assert any(isinstance(fact, SagaEnded) for fact in facts)
