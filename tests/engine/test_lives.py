"""An orchestrator lives in one event loop at a time: it is entered, left whatever happens, and entered again."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest
from typing_extensions import override

from saga_fn import (
    Completed,
    Event,
    FixedRetry,
    InputContext,
    MemoryStore,
    SagaAdmin,
    SagaBuilder,
    SagaDefinition,
    SagaError,
    SagaOrchestrator,
    SagaParkedError,
    SagaResultTimeoutError,
    SagaStateError,
    SagaStatus,
    StepRef,
    StoreRefusedError,
    StoreUnavailableError,
    saga,
    sleep,
    step,
)
from saga_fn.engine.commit.batching import Batcher
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.requests import outcome
from saga_fn.engine.requests.rows import read_row
from saga_fn.store.migrate import migrate
from saga_fn.store.records import SagaRecord
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.stores import Make
from tests.support.until import SOON

AGAIN = FixedRetry(max_attempts=3, delay=timedelta(milliseconds=10))


def one_step(work: Callable[[Order], Awaitable[Done]], **options: Any) -> SagaDefinition[Order, Done]:
    builder = SagaBuilder(Order)
    return builder.build(output=builder.add_step(step(work, **options), depends_on=builder.initial))


def in_a_loop_of_its_own(main: Callable[[], Awaitable[object]]) -> None:
    """Run `main` in another event loop, as a test's or a command's, and clear up behind it."""

    async def run() -> None:
        async with asyncio.timeout(SOON):
            await main()

    asyncio.run(run())


# Entered again.


@pytest.mark.parametrize("rounds", [3])
def test_one_orchestrator_works_in_one_event_loop_after_another(
    make: Make, rounds: int, caplog: pytest.LogCaptureFixture
) -> None:
    shop = Shop(fails={"charge": rounds})
    orchestrator = make()
    handle = orchestrator.register("shop", make_saga(shop, retry=AGAIN))

    async def life() -> None:
        async with orchestrator:
            shop.fails["charge"] = 1  # so that the worker has to claim it
            runs = await handle.start_many([Order(str(number)) for number in range(20)])  # more than there are slots
            for run in runs:
                assert await run.result(SOON) == Done("ship")
            assert (await orchestrator.health()).ok

    for _ in range(rounds):
        in_a_loop_of_its_own(life)
    assert [record for record in caplog.records if record.exc_info] == []


def test_one_that_is_not_entered_works_in_one_event_loop_after_another(
    memory: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    orchestrator = SagaOrchestrator(memory)
    handle = orchestrator.register("shop", make_saga(Shop()))

    async def life() -> None:
        run = await handle.start(Order("1"))
        await orchestrator.run_until_idle()
        assert await run.result(SOON) == Done("ship")
        assert await handle.run(Order("2")) == Done("ship")

    for _ in range(3):
        in_a_loop_of_its_own(life)
    gc.collect()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_what_a_loop_that_was_closed_has_left_is_gone_on_with_in_the_next(memory: MemoryStore) -> None:
    hold: dict[str, asyncio.Event] = {}
    done: list[str] = []

    async def work(inp: Order) -> Done:
        if not done:
            done.append("hangs")
            hold["begun"].set()
            await asyncio.Event().wait()
        return Done("work")

    lease = timedelta(milliseconds=300)
    orchestrator = SagaOrchestrator(memory, lease=lease, poll_interval=timedelta(milliseconds=50))
    handle = orchestrator.register("work", one_step(work))
    loop = asyncio.new_event_loop()

    async def enters_and_is_never_left() -> None:
        hold["begun"] = asyncio.Event()
        await orchestrator.__aenter__()
        await handle.start(Order("1"), idempotency_key="one")
        await hold["begun"].wait()

    loop.run_until_complete(enters_and_is_never_left())
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # they are to be lost, as in a crash
    loop.close()

    async def life() -> None:
        async with orchestrator:
            run = await handle.start(Order("1"), idempotency_key="one")
            assert not run.created
            assert await run.result(SOON) == Done("work")

    in_a_loop_of_its_own(life)


# Left, whatever happens.


@pytest.mark.fault(40)
async def test_one_whose_exit_is_cancelled_gives_everything_back_and_can_be_entered_again(make: Make) -> None:
    hold = asyncio.Event()
    orchestrator = make(stop_timeout=timedelta(seconds=SOON))
    handle = orchestrator.register("shop", make_saga(Shop(hold=hold), retry=AGAIN))
    before = asyncio.all_tasks()
    entered = asyncio.Event()

    async def serve() -> None:
        async with orchestrator:
            await handle.start(Order("1"))
            entered.set()

    serving = asyncio.create_task(serve())
    await entered.wait()
    async with asyncio.timeout(SOON):
        while not orchestrator.engine.stopping:
            await asyncio.sleep(0.005)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
    assert serving.cancelled(), "who has cancelled it is told"
    assert asyncio.all_tasks() == before
    assert orchestrator.engine.held == {}
    hold.set()
    async with orchestrator:
        later = await handle.start(Order("2"))
        assert await later.result(SOON) == Done("ship")
        assert (await orchestrator.health()).ok


@pytest.mark.parametrize("times", [2, 5])
async def test_an_exit_that_is_cancelled_again_and_again_ends_once(memory: MemoryStore, times: int) -> None:
    orchestrator = SagaOrchestrator(memory, stop_timeout=timedelta(seconds=SOON))
    handle = orchestrator.register("shop", make_saga(Shop(hold=asyncio.Event())))
    entered = asyncio.Event()
    before = asyncio.all_tasks()

    async def serve() -> None:
        async with orchestrator:
            await handle.start(Order("1"))
            entered.set()

    serving = asyncio.create_task(serve())
    await entered.wait()
    async with asyncio.timeout(SOON):
        for _ in range(times):
            await asyncio.sleep(0)
            serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
    assert asyncio.all_tasks() == before


async def test_a_stop_takes_no_longer_than_it_was_given_although_the_store_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a lease of an hour: nothing of a stop is measured by it."""

    async def silent(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    ticks = 0  # not seconds: those in which this process has no processor are no part of what a stop takes

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    store = MemoryStore()
    orchestrator = SagaOrchestrator(store, lease=timedelta(hours=1), stop_timeout=timedelta(milliseconds=100))
    before = asyncio.all_tasks()
    async with orchestrator:
        shop = Shop(hold=asyncio.Event())
        runs = await orchestrator.register("shop", make_saga(shop)).start_many([Order(str(n)) for n in range(5)])
        async with asyncio.timeout(SOON):
            while len(shop.keys) < 10:
                await asyncio.sleep(0.005)
        for name in ("commit", "hint", "standing", "renew", "active_tokens"):
            monkeypatch.setattr(store, name, silent)
        waiting = asyncio.create_task(runs[0].result())
        await asyncio.sleep(0.05)
        ticking = asyncio.create_task(tick())
    assert ticks < 600, "the 5 seconds that are said, and not an hour"
    for task in (waiting, ticking):
        task.cancel()
    await asyncio.gather(waiting, ticking, return_exceptions=True)
    async with asyncio.timeout(SOON):
        while asyncio.all_tasks() - before:
            await asyncio.sleep(0.01)


# Started on only while something will run it.


async def test_nothing_is_started_in_memory_by_one_that_was_left(memory: MemoryStore) -> None:
    orchestrator = SagaOrchestrator(memory)
    handle = orchestrator.register("shop", make_saga(Shop()))
    async with orchestrator:
        pass
    for start in (handle.start(Order("1")), handle.start_many([Order("1")])):
        with pytest.raises(SagaError, match="nothing else works on its MemoryStore") as refused:
            await start
        assert refused.value.hint
    assert await handle.run(Order("2")) == Done("ship"), "that one is run by its caller"
    async with SagaOrchestrator(memory) as other:
        other.register("shop", make_saga(Shop()))
        assert (await handle.start(Order("3"))).created, "the other one runs it"


async def test_whoever_awaits_what_nothing_works_on_is_told_so(memory: MemoryStore) -> None:
    orchestrator = SagaOrchestrator(memory)
    run = await orchestrator.register("shop", make_saga(Shop())).start(Order("1"))
    async with asyncio.timeout(SOON):
        with pytest.raises(SagaStateError, match="nothing works on saga") as told:
            await run.result()
    assert told.value.hint
    waiting = asyncio.create_task(run.result(SOON))
    await asyncio.sleep(0)
    await orchestrator.run_until_idle()
    assert await waiting == Done("ship")


async def test_callers_beside_each_other_each_run_their_own_saga(memory: MemoryStore) -> None:
    handle = SagaOrchestrator(memory).register("shop", make_saga(Shop()))
    async with asyncio.timeout(SOON):
        assert await asyncio.gather(*(handle.run(Order(each)) for each in "123")) == [Done("ship")] * 3


async def test_a_caller_that_runs_a_saga_of_its_own_is_none_who_works_on_another(memory: MemoryStore) -> None:
    handle = SagaOrchestrator(memory).register("shop", make_saga(Shop()))
    run = await handle.start(Order("1"))
    async with asyncio.timeout(SOON):
        done, told = await asyncio.gather(handle.run(Order("2")), run.result(), return_exceptions=True)
    assert done == Done("ship")
    assert isinstance(told, SagaStateError), told


async def test_a_caller_runs_its_saga_on_when_the_event_comes_that_it_waits_for(
    memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = asyncio.Event()

    async def reading(engine: SagaEngine, saga_id: UUID) -> SagaRecord:
        row = await read_row(engine, saga_id)
        looked.set()
        return row

    paid = Event("paid", Order)

    @step
    async def ship(order: Order) -> Order:
        return order

    @saga("sale")
    def sale(order: StepRef[Order]) -> StepRef[Order]:
        return ship(paid.wait(after=order))

    orchestrator = SagaOrchestrator(memory)
    handle = orchestrator.register(sale)
    begun = await handle.start(Order("1"), idempotency_key="1")
    with pytest.raises(SagaResultTimeoutError, match="paid"):
        await handle.run(Order("1"), idempotency_key="1", timeout=0.1)
    monkeypatch.setattr(outcome, "read_row", reading)
    running = asyncio.create_task(handle.run(Order("1"), idempotency_key="1"))
    await looked.wait()
    await orchestrator.to(begun.id, paid).send(Order("2"))
    async with asyncio.timeout(SOON):
        assert await running == Order("2")


async def test_a_worker_of_the_same_memory_runs_what_a_caller_starts(memory: MemoryStore) -> None:
    handle = SagaOrchestrator(memory).register("shop", make_saga(Shop()))
    shop = Shop()
    async with SagaOrchestrator(memory) as worker, asyncio.timeout(SOON):
        worker.register("shop", make_saga(shop))
        assert await handle.run(Order("1")) == Done("ship")
    assert shop.done, "it was called in the worker"


# Other code's cancellations, and the end of the program.


async def test_a_step_whose_task_other_code_cancels_may_have_run(make: Make) -> None:
    begun = 0

    async def work(inp: Order) -> Done:
        nonlocal begun
        begun += 1
        if begun == 1:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(SOON)
        return Done("work")

    async with make() as orchestrator:
        run = await orchestrator.register("work", one_step(work)).start(Order("1"))
        assert await run.result(SOON) == Done("work")
        kinds = [entry.kind for entry in (await SagaAdmin(orchestrator).get_saga(run.id)).step_history]
        assert "step_failed" in kinds


async def test_a_step_that_a_person_settles_is_parked_when_other_code_cancels_it(make: Make) -> None:
    async def work(inp: Order) -> Done:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(SOON)
        return Done("work")

    async with make() as orchestrator:
        run = await orchestrator.register("work", one_step(work, on_unknown="park")).start(Order("1"))
        async with asyncio.timeout(SOON):
            while (await run.snapshot()).parked is None:
                await asyncio.sleep(0.01)
        assert (await run.snapshot()).parked == "outcome_unknown"


async def test_a_step_cancelled_before_its_first_turn_is_begun_all_the_same(memory: MemoryStore) -> None:
    shop = Shop()
    async with SagaOrchestrator(memory) as orchestrator:
        handle = orchestrator.register("shop", make_saga(shop))
        before = asyncio.all_tasks()
        starting = asyncio.create_task(handle.start(Order("1")))
        async with asyncio.timeout(SOON):
            while not orchestrator.engine.held:
                await asyncio.sleep(0)
        (interpreter,) = orchestrator.engine.held.values()
        for task in asyncio.all_tasks() - before - {starting}:
            if "_execute" in repr(task.get_coro()):
                task.cancel()
        run = await starting
        assert await run.result(SOON) == Done("ship")
        assert interpreter.saga.id == run.id
    assert len(shop.keys) == 3, "nothing was in doubt, for nothing had begun"


@pytest.mark.fault(40)
async def test_a_start_whose_statement_other_code_cancels_is_told_so_and_the_next_one_goes_on(
    memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    inserting, insert = asyncio.Event(), memory.insert

    async def slow(*given: Any, **named: Any) -> Any:  # Any: handed through
        inserting.set()
        await asyncio.sleep(SOON)
        return await insert(*given, **named)

    async with SagaOrchestrator(memory) as orchestrator:
        handle = orchestrator.register("shop", make_saga(Shop()))
        with monkeypatch.context() as patched:
            patched.setattr(memory, "insert", slow)
            starting = asyncio.create_task(handle.start(Order("1"), idempotency_key="1"))
            await inserting.wait()
            sending = [task for task in asyncio.all_tasks() if Batcher.__name__ in repr(task.get_coro())]
            assert sending
            for task in sending:
                task.cancel()
            with pytest.raises(StoreUnavailableError, match="may have begun"):
                await starting
        run = await handle.start(Order("1"), idempotency_key="1")
        assert await run.result(SOON) == Done("ship")


async def test_a_process_whose_tasks_are_all_cancelled_says_so_and_leaves_no_saga_for_good(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    hold = asyncio.Event()
    shop = Shop(hold=hold)
    definition = make_saga(shop, retry=AGAIN)
    async with make() as orchestrator:
        run = await orchestrator.register("shop", definition).start(Order("1"))
        async with asyncio.timeout(SOON):
            while len(shop.keys) < 2:
                await asyncio.sleep(0.005)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        async with asyncio.timeout(SOON):
            while not [record for record in caplog.records if "the worker's task was cancelled" in record.getMessage()]:
                await asyncio.sleep(0.01)
        health = await orchestrator.health()
        assert not health.ok
        assert any("cancelled by code outside" in problem for problem in health.problems)
        hold.set()
    async with make() as again:
        ended = await again.register("shop", definition).attach(run.id).outcome(SOON)
        assert isinstance(ended, Completed)


@pytest.mark.fault(39)
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("where", ["step", "compensation", "input map"])
@pytest.mark.parametrize("grouped", [False, True])
def test_what_ends_the_program_in_a_step_leaves_the_saga_as_a_crash_would(
    memory: MemoryStore, error: type[BaseException], where: str, grouped: bool
) -> None:
    lease = timedelta(milliseconds=300)
    raised: list[str] = []

    def ends(here: str) -> None:
        if here == where and not raised:
            raised.append(here)
            if grouped:
                raise BaseExceptionGroup("two calls", [ValueError(), BaseExceptionGroup("inner", [error()])])
            raise error

    async def work(inp: Order) -> Done:
        ends("step")
        return Done("work")

    async def unwork(inp: Order, out: Done) -> None:
        ends("compensation")

    async def fails(inp: Order) -> Done:
        raise RuntimeError("turn back")

    def mapped(ctx: InputContext[Order]) -> Order:
        ends("input map")
        return ctx.initial_data

    builder = SagaBuilder(Order)
    first = builder.add_step(step(work, compensate=unwork), depends_on=builder.initial)
    if where == "compensation":
        builder.add_step(step(fails), depends_on=builder.initial)
    if where == "input map":
        builder.add_step(step(work), step_id="second", input_map=mapped)
    definition = builder.build(output=first)
    orchestrator = SagaOrchestrator(memory, lease=lease, poll_interval=timedelta(milliseconds=50))
    handle = orchestrator.register("work", definition)

    async def interrupted() -> None:
        async with orchestrator:
            await handle.start(Order("1"), idempotency_key="one")
            await asyncio.sleep(SOON)

    with pytest.raises(error):
        asyncio.run(interrupted())

    async def after() -> None:
        async with orchestrator:
            run = await handle.start(Order("1"), idempotency_key="one")
            snapshot = await run.snapshot()
            assert snapshot.status not in (SagaStatus.FAILED, SagaStatus.SUSPENDED)
            history = (await SagaAdmin(orchestrator).get_saga(run.id)).step_history
            assert not [entry for entry in history if entry.error and error.__name__ in entry.error]
            ended = await run.outcome(SOON)
            assert isinstance(ended, Completed) == (where != "compensation")

    in_a_loop_of_its_own(after)


class OwnError(BaseException):
    """Not an Exception, as those by which some libraries cut code short."""


def raising(error: BaseException) -> Callable[..., Any]:
    def raises(*_: object) -> Any:
        raise error

    return raises


def with_map(error: BaseException, first: StepRef[Done]) -> object:
    return step(worked, step_id="second")(first, using=raising(error))


def with_condition(error: BaseException, first: StepRef[Done]) -> object:
    return step(worked, step_id="second").when(raising(error))(first)


def with_moment(error: BaseException, first: StepRef[Done]) -> object:
    return sleep(until=first, using=raising(error))


def with_correlation(error: BaseException, first: StepRef[Done]) -> object:
    return Event("told", Done).wait(first, timeout=timedelta(hours=1), correlate=raising(error))


async def worked(inp: Done) -> Done:
    return inp


class Touchy(msgspec.Struct):
    """Values that must not be compared."""

    number: int = 1

    @override
    def __eq__(self, other: object) -> bool:
        raise OwnError("no comparisons")

    @override
    def __hash__(self) -> int:
        return self.number


@pytest.mark.fault(39)
@pytest.mark.parametrize("error", [OwnError("x"), asyncio.CancelledError(), GeneratorExit(), StopIteration()], ids=repr)
@pytest.mark.parametrize("where", [with_map, with_condition, with_moment, with_correlation])
async def test_what_is_no_error_in_a_function_of_the_definition_parks_the_saga(
    make: Make, error: BaseException, where: Callable[[BaseException, StepRef[Done]], object]
) -> None:
    """It was raised by code that awaits nothing, so nothing has cut it short."""
    shop = Shop()

    @saga("touchy")
    def touchy(order: StepRef[Order]) -> None:
        where(error, step(shop.charge)(order))

    async with make() as orchestrator:
        run = await orchestrator.register(touchy).start(Order("1"))
        with pytest.raises(SagaParkedError, match="input_failed"):
            await run.result(SOON)
        history = (await SagaAdmin(orchestrator).get_saga(run.id)).step_history
        assert any(type(error).__name__ in (entry.error or "") for entry in history)


@pytest.mark.parametrize("error", [OwnError("x"), asyncio.CancelledError(), GeneratorExit()], ids=repr)
async def test_what_is_no_error_in_the_first_input_map_is_not_the_callers(make: Make, error: BaseException) -> None:
    builder = SagaBuilder(Order)
    builder.add_step(step(Shop().charge), input_map=raising(error))
    async with make() as orchestrator:
        run = await orchestrator.register("touchy", builder.build()).start(Order("1"))
        with pytest.raises(SagaParkedError, match="input_failed"):
            await run.result(SOON)


async def test_an_output_that_cannot_be_judged_does_not_keep_its_saga_running(make: Make) -> None:
    async def gives(inp: Order) -> Touchy:
        return Touchy()

    builder = SagaBuilder(Order)
    builder.add_step(step(gives), depends_on=builder.initial)
    async with make() as orchestrator:
        run = await orchestrator.register("touchy", builder.build()).start(Order("1"))
        with pytest.raises(SagaParkedError, match="output_lost"):
            await run.result(SOON)


# Elsewhere.


@pytest.mark.fault(41)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # a process with threads forks: that is what is tried
async def test_a_process_that_was_forked_from_one_that_had_entered_is_told_so() -> None:
    async with SagaOrchestrator(MemoryStore()) as orchestrator:
        handle = orchestrator.register("shop", make_saga(Shop()))
        read, write = os.pipe()
        child = os.fork()
        if not child:
            try:
                said = b"nothing"
                starting = handle.start(Order("1"))
                try:
                    starting.send(None)
                except SagaError as told:
                    said = str(told).encode()
                os.write(write, said)
            finally:
                os._exit(0)
        os.close(write)
        said = await asyncio.to_thread(os.read, read, 1000)
        os.close(read)
        os.waitpid(child, 0)
        assert b"forked" in said


async def test_a_thread_with_a_loop_of_its_own_is_told_so(memory: MemoryStore) -> None:
    async with SagaOrchestrator(memory) as orchestrator:
        handle = orchestrator.register("shop", make_saga(Shop()))

        def elsewhere() -> str:
            with pytest.raises(SagaError) as told:
                asyncio.run(handle.run(Order("1")))
            return str(told.value)

        assert "another event loop" in await asyncio.to_thread(elsewhere)


async def test_one_that_is_not_entered_and_used_here_is_not_used_elsewhere_at_the_same_time(
    memory: MemoryStore,
) -> None:
    orchestrator = SagaOrchestrator(memory)
    handle = orchestrator.register("shop", make_saga(Shop()))
    await handle.run(Order("1"))

    def elsewhere() -> str:
        with pytest.raises(SagaError) as told:
            asyncio.run(handle.run(Order("1")))
        return str(told.value)

    assert "still running" in await asyncio.to_thread(elsewhere)


def test_a_worker_in_a_thread_works_until_its_task_is_cancelled(memory: MemoryStore) -> None:
    orchestrator = SagaOrchestrator(memory)
    handle = orchestrator.register("shop", make_saga(Shop()))
    results: list[Done] = []

    async def serve() -> None:
        working = asyncio.create_task(orchestrator.run_forever())
        async with asyncio.timeout(SOON):
            while not orchestrator.entered:
                await asyncio.sleep(0.005)
        results.append(await (await handle.start(Order("1"))).result(SOON))
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    thread.join(SOON)
    assert results == [Done("ship")]
    assert not orchestrator.entered


async def test_one_signal_ends_all_that_run_in_an_event_loop(
    memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    handlers: dict[int, Callable[[], object]] = {}

    def add(sign: int, call: Callable[..., object], *given: object) -> None:
        handlers[sign] = lambda: call(*given)  # as the loop does: the last one is called

    def remove(sign: int) -> bool:
        return handlers.pop(sign, None) is not None

    monkeypatch.setattr(loop, "add_signal_handler", add)
    monkeypatch.setattr(loop, "remove_signal_handler", remove)
    for sign in (signal.SIGTERM, signal.SIGINT):
        several = [SagaOrchestrator(store) for store in (memory, MemoryStore(), MemoryStore())]
        running = [asyncio.create_task(each.run_forever()) for each in several]
        for each in several:
            while not each.entered:
                await asyncio.sleep(0.001)
        running[1].cancel()
        await asyncio.wait(running[1:2])
        assert not several[1].entered
        handlers[sign]()
        async with asyncio.timeout(SOON):
            await asyncio.gather(running[0], running[2])
        assert handlers == {}


async def test_to_leave_what_is_not_entered_does_nothing(memory: MemoryStore) -> None:
    orchestrator = SagaOrchestrator(memory, stop_timeout=timedelta(seconds=SOON))
    await orchestrator.__aexit__(None, None, None)
    begun, go = asyncio.Event(), asyncio.Event()

    async def work(inp: Order) -> Done:
        begun.set()
        await go.wait()
        return Done("work")

    run = await orchestrator.register("work", one_step(work)).start(Order("1"))
    async with orchestrator:
        await begun.wait()
        leaving = [asyncio.create_task(orchestrator.__aexit__(None, None, None)) for _ in range(3)]
        await asyncio.wait(leaving, timeout=0.1)
        assert not any(each.done() for each in leaving), "all of them wait for what runs"
        go.set()
        await asyncio.gather(*leaving)
    assert (await run.snapshot()).status is SagaStatus.COMPLETED
    async with orchestrator:
        assert (await orchestrator.health()).ok


def test_a_pool_or_a_connection_of_another_event_loop_is_told_so(dsn: str) -> None:
    theirs = asyncio.new_event_loop()
    asyncio.set_event_loop(theirs)  # the driver's pool asks for it
    pool = theirs.run_until_complete(_pool(dsn))
    connection = theirs.run_until_complete(asyncpg.connect(dsn))
    within = connection.transaction()
    theirs.run_until_complete(within.start())
    asyncio.set_event_loop(None)
    orchestrator = SagaOrchestrator(pool)
    handle = orchestrator.register("shop", make_saga(Shop()))

    async def enter() -> None:
        async with orchestrator:
            pass

    async def use() -> None:
        calls: list[Callable[[], Awaitable[object]]] = [
            orchestrator.run_due, enter, lambda: handle.start(Order("1")), lambda: migrate(pool),
            lambda: handle.start(Order("1"), connection=connection), lambda: migrate(connection),
        ]  # fmt: skip
        for call in calls:
            with pytest.raises(StoreRefusedError, match="was opened in another event loop"):
                await call()
        health = await orchestrator.health()
        assert "was opened in another event loop" in " ".join(health.problems)

    try:
        in_a_loop_of_its_own(use)
    finally:
        theirs.run_until_complete(within.rollback())
        theirs.run_until_complete(connection.close())
        theirs.run_until_complete(pool.close())
        theirs.close()


async def _pool(dsn: str) -> asyncpg.Pool:
    return await asyncpg.create_pool(dsn, min_size=1, max_size=4)
