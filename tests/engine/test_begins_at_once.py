"""From Python 3.12 on a step runs until its first wait as soon as the commit before it is durable, in a task of its own."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

from saga_fn import (
    Compensated,
    Completed,
    FixedRetry,
    SagaBuilder,
    SagaDefinition,
    SagaOrchestrator,
    SagaParkedError,
    step,
)
from saga_fn.engine.drive.executions import Executions
from tests.support.shop import Done, Order
from tests.support.stores import Make
from tests.support.until import SOON

Does = Callable[[Order], Coroutine[Any, Any, Done]]  # Any: a coroutine yields to its loop
AT_ONCE = sys.version_info >= (3, 12)
tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")


async def first(_: Order) -> Done:
    return Done("first")


def then(does: Does, **options: Any) -> SagaDefinition[Order, Done]:  # Any: options of a step
    """A step, then another one: that begins when a commit is durable."""
    builder = SagaBuilder(Order)
    builder.add_step(step(first, step_id="first"), depends_on=builder.initial)
    return builder.build(output=builder.add_step(step(does, step_id="second", **options), depends_on=builder.initial))


async def test_a_step_is_in_a_task_of_its_own_and_in_an_empty_context_before_its_first_wait(make: Make) -> None:
    seen: list[object] = []

    async def second(_: Order) -> Done:
        seen.extend((asyncio.current_task(), tenant.get()))
        tenant.set("the step's")
        await asyncio.sleep(0)
        seen.extend((asyncio.current_task(), tenant.get()))
        return Done("second")

    tenant.set("the caller's")
    async with make() as orchestrator:
        run = await orchestrator.register("two", then(second)).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Completed)
    task, before, same, after = seen
    assert isinstance(task, asyncio.Task)
    assert task is same
    assert task is not asyncio.current_task()
    assert (before, after) == ("nobody", "the step's")
    assert tenant.get() == "the caller's"


async def test_steps_that_wait_for_nothing_are_told_one_after_another(make: Make) -> None:
    """Many of them, and branches side by side: each result is folded when the begin of all is over."""
    many = 30

    async def returns(_: Order) -> Done:
        return Done("at once")

    async def raises(_: Order) -> Done:
        raise ValueError("at once")

    async def undo(_: Order, __: Done) -> None:
        return None

    for fails in (False, True):
        builder = SagaBuilder(Order, order="graph")
        root = builder.add_step(step(returns, step_id="root", compensate=undo), depends_on=builder.initial)
        middle = [
            builder.add_step(
                step(returns, step_id=f"branch {number}", compensate=undo), depends_on=builder.initial, after=(root,)
            )
            for number in range(5)
        ]
        builder.add_step(
            step(raises if fails else returns, step_id="last"), depends_on=builder.initial, after=tuple(middle)
        )
        async with make() as orchestrator:
            handle = orchestrator.register("branches", builder.build())
            runs = await handle.start_many([Order(str(number)) for number in range(many)])
            ends = await asyncio.gather(*[run.outcome(SOON) for run in runs])
            assert {type(end) for end in ends} == {Compensated if fails else Completed}


async def test_timeouts_cut_a_step_that_has_begun_at_once(make: Make) -> None:
    cut: list[str] = []

    async def second(_: Order) -> Done:
        try:
            async with asyncio.timeout(0.02):  # of the step's own
                await asyncio.sleep(30)
        except TimeoutError:
            cut.append("own")
        try:
            await asyncio.sleep(30)
        finally:
            cut.append("ours")
        raise AssertionError

    definition = then(second, timeout=timedelta(milliseconds=100), on_unknown="park")
    async with make() as orchestrator:
        run = await orchestrator.register("two", definition).start(Order("1"))
        with pytest.raises(SagaParkedError):
            await run.outcome(SOON)
    assert cut == ["own", "ours"]


async def test_a_step_that_cancels_itself_before_its_first_wait_is_in_doubt_and_repeated(make: Make) -> None:
    tries: list[str] = []

    async def second(_: Order) -> Done:
        tries.append("try")
        if len(tries) == 1:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)
        return Done("second")

    definition = then(second, unknown_retry_policy=FixedRetry(max_attempts=3, delay=timedelta(milliseconds=1)))
    async with make() as orchestrator:
        run = await orchestrator.register("two", definition).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Completed)
    assert tries == ["try", "try"]


@pytest.mark.skipif(not AT_ONCE, reason="before Python 3.12 no task begins at once")
async def test_a_step_begins_before_the_next_turn_of_the_loop_but_not_before_the_caller_of_its_start_goes_on(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    async def second(_: Order) -> Done:
        order.append("second has begun")
        return Done("second")

    async def begins(_: Order) -> Done:
        order.append("first has begun")
        return Done("first")

    builder = SagaBuilder(Order)
    builder.add_step(step(begins, step_id="first"), depends_on=builder.initial)
    builder.add_step(step(second, step_id="second"), depends_on=builder.initial)
    at_once: Any = Executions.begin_at_once

    def told(executions: Executions, *given: Any) -> None:  # Any: handed on as they are
        asyncio.get_running_loop().call_soon(order.append, "a turn of the loop")
        at_once(executions, *given)

    monkeypatch.setattr(Executions, "begin_at_once", told)
    async with make() as orchestrator:
        run = await orchestrator.register("two", builder.build()).start(Order("1"))
        order.append("its caller goes on")
        await run.outcome(SOON)
    assert order == ["its caller goes on", "first has begun", "second has begun", "a turn of the loop"]


@pytest.mark.skipif(not AT_ONCE, reason="before Python 3.12 there is no such factory")
async def test_a_loop_that_makes_eager_tasks_of_its_own_changes_nothing(make: Make) -> None:
    loop = asyncio.get_running_loop()
    factory: Any = getattr(asyncio, "eager_task_factory", None)
    loop.set_task_factory(factory)
    try:
        async with make() as orchestrator:
            handle = orchestrator.register("two", then(first))
            runs = await handle.start_many([Order(str(number)) for number in range(20)])
            ends = await asyncio.gather(*[run.outcome(SOON) for run in runs])
            assert {type(end) for end in ends} == {Completed}
    finally:
        loop.set_task_factory(None)


@pytest.mark.parametrize("ends", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_before_a_wait_ends_it_and_leaves_the_saga_to_its_lease(
    dsn: str, ends: type[BaseException]
) -> None:
    beside: list[str] = []

    async def second(order: Order) -> Done:
        if order.order_id == "ends":
            raise ends
        beside.append(order.order_id)
        return Done("second")

    async def program() -> None:
        async with SagaOrchestrator(dsn) as orchestrator:
            runs = await orchestrator.register("two", then(second)).start_many([Order("ends"), Order("2")])
            await asyncio.gather(*[run.outcome(SOON) for run in runs])

    with pytest.raises(ends):
        asyncio.run(program())

    async def look() -> set[str | None]:
        async with SagaOrchestrator(dsn, concurrency=0) as orchestrator:
            store = orchestrator.engine.store
            assert list(await store.due_shards([("two", 1)])) in ([], [0])
            return {row.parked for row in [await store.read(saga) for saga in await _ids(dsn)] if row is not None}

    assert asyncio.run(look()) == {None}, "nothing was decided by it"


async def _ids(dsn: str) -> list[Any]:  # Any: ids of sagas
    import asyncpg

    connection = await asyncpg.connect(dsn)
    found = [row["id"] for row in await connection.fetch("SELECT id FROM saga_fn.saga")]
    await connection.close()
    return found
