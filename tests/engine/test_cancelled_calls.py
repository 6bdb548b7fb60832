"""A caller's task is cancelled at each await of each kind of call in turn: nothing is lost, doubled, or left with an owner."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import types
from collections.abc import Callable, Coroutine, Generator
from datetime import timedelta
from functools import partial
from typing import Any, Never, TypeAlias

import pytest

from saga_fn import Completed, MemoryStore, SagaAdmin, SagaFilter, SagaHandle, SagaOrchestrator, SagaRun, SagaStateError
from saga_fn.errors import StoreRefusedError
from tests.support.approval import Approval, approval, approved
from tests.support.shop import Order, Shop
from tests.support.stores import Make
from tests.support.until import SOON

LEASE = timedelta(milliseconds=300)


@types.coroutine
def cut(
    call: Coroutine[Any, Any, Any],
    at: int,
    reached: asyncio.Event,
) -> Generator[Any, Any, Any]:  # Any: whatever a loop is given, and gives
    """Go through a call, and cancel its task at its await number `at`, from 0."""
    go_on: Callable[[], Any] = partial(call.send, None)  # Any: as above
    for number in itertools.count():
        try:
            waits_for = go_on()
        except StopIteration as done:
            return done.value
        if number == at:
            task = asyncio.current_task()
            assert task is not None
            reached.set()
            task.cancel()
        try:
            yield waits_for
        except BaseException as error:  # noqa: BLE001 - it goes on into the call, whatever it is
            go_on = partial(call.throw, error)
        else:
            go_on = partial(call.send, None)
    return None


async def is_cut(call: Coroutine[Any, Any, Any], at: int) -> bool:  # Any: as above
    """Whether the call was cancelled at that await; False if it has no so many."""
    reached = asyncio.Event()

    async def within() -> None:
        await cut(call, at, reached)

    await asyncio.wait([asyncio.create_task(within())])
    return reached.is_set()


Case: TypeAlias = Callable[
    [SagaOrchestrator, "SagaHandle[Order, Approval]", SagaRun[Approval]], Coroutine[Any, Any, Any]
]
"""A call, of a saga that waits for its approval. Any: what a call gives."""

CASES: dict[str, Case] = {
    "start": lambda _, handle, run: handle.start(Order("other"), idempotency_key=f"other {run.id}"),
    "start_many": lambda _, handle, run: handle.start_many([Order("a"), Order("b")]),
    "send": lambda orchestrator, _, run: orchestrator.to(run.id, approval).send(Approval("me"), event_id="1"),
    "result": lambda _, handle, run: run.result(0.05),
    "get_saga": lambda orchestrator, _, run: SagaAdmin(orchestrator).get_saga(run.id),
    "pause_saga": lambda orchestrator, _, run: SagaAdmin(orchestrator).pause_saga(run.id),
    "skip_step": lambda orchestrator, _, run: SagaAdmin(orchestrator).skip_step(run.id, "ship"),
    "run_due": lambda orchestrator, _, run: orchestrator.run_due(),
    "resume": lambda orchestrator, _, run: orchestrator.resume(run.id),
}


async def to_its_end(run: SagaRun[Approval], orchestrator: SagaOrchestrator) -> None:
    """See to it that the saga goes on, and ends as it has to."""
    admin = SagaAdmin(orchestrator)
    for call in (admin.resume_saga(run.id), orchestrator.to(run.id, approval).send(Approval("me"), event_id="1")):
        with contextlib.suppress(SagaStateError):
            await call
    assert isinstance(await run.outcome(SOON), Completed)


@pytest.mark.fault(40)
@pytest.mark.parametrize("case", CASES)
async def test_a_call_that_is_cancelled_anywhere_leaves_no_saga_behind(make: Make, case: str) -> None:
    runs: list[SagaRun[Approval]] = []
    async with make(concurrency=0, lease=LEASE) as caller:
        handle = caller.register("approved", approved(Shop()))
        for at in itertools.count():
            runs.append(await handle.start(Order("1")))
            cancelled = await is_cut(CASES[case](caller, handle, runs[-1]), at)
            if case == "start":
                runs.append(await handle.start(Order("other"), idempotency_key=f"other {runs[-1].id}"))
            if not cancelled:
                break
        async with make(lease=LEASE) as worker:
            worker.register("approved", approved(Shop()))
            async for row in SagaAdmin(caller).list_all(SagaFilter(saga_name="approved")):
                await to_its_end(handle.attach(row.id), worker)
        rows = [row async for row in SagaAdmin(caller).list_all(SagaFilter(saga_name="approved"))]
        assert {run.id for run in runs} <= {row.id for row in rows}


async def test_a_start_of_many_that_is_cancelled_and_then_fails_leaves_no_error_that_nobody_hears(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unheard: list[dict[str, Any]] = []  # Any: what asyncio tells of it
    asyncio.get_running_loop().set_exception_handler(lambda _, told: unheard.append(told))
    asked, fails = asyncio.Event(), asyncio.Event()

    async def insert(*_: object, **__: object) -> Never:
        asked.set()
        await fails.wait()
        raise StoreRefusedError("the server refuses it")

    async with SagaOrchestrator(MemoryStore(), concurrency=0) as caller:
        handle = caller.register("approved", approved(Shop()))
        monkeypatch.setattr(MemoryStore, "insert", insert)
        starting = asyncio.create_task(handle.start_many([Order("a"), Order("b")]))
        await asyncio.wait_for(asked.wait(), SOON)
        starting.cancel()
        await asyncio.wait([starting])
        assert starting.cancelled()
        del starting  # it holds what it waited for
        fails.set()
    gc.collect()
    assert unheard == []
