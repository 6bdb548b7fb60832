"""The tasks that a saga's code runs in: which of them are kept, and for how long."""

from __future__ import annotations

import asyncio
import weakref

from saga_fn.core.effects import RunStep
from saga_fn.core.ids import StepId
from saga_fn.engine.drive.executions import Executions

A, B = RunStep(StepId("a"), 1, 0), RunStep(StepId("b"), 1, 0)


async def test_a_look_lets_go_of_a_task_that_is_over_and_keeps_one_that_runs() -> None:
    executions = Executions(asyncio.get_running_loop())
    tasks: list[weakref.ref[asyncio.Task[None]]] = []
    over = asyncio.Event()

    async def run() -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(weakref.ref(task))

    async def run_on() -> None:
        await over.wait()

    executions.begin(A, run())
    executions.begin(B, run_on())
    while A.step in executions.steps:
        await asyncio.sleep(0)
    assert executions.unheard() == []
    assert [task() for task in tasks] == [None]
    assert executions.steps == [B.step]
    over.set()
    while executions.steps:
        await asyncio.sleep(0)


async def test_a_look_tells_of_a_task_that_was_cancelled_before_its_first_turn_until_it_is_forgotten() -> None:
    executions = Executions(asyncio.get_running_loop())
    others = asyncio.all_tasks()

    async def run() -> None:
        raise AssertionError("it has no turn")

    executions.begin(A, run())
    for task in asyncio.all_tasks() - others:
        task.cancel()
    while executions.steps:
        await asyncio.sleep(0)
    assert executions.unheard() == [A]
    assert executions.unheard() == [A]
    executions.forget(A.step)
    assert executions.unheard() == []


async def test_a_task_that_has_told_its_end_is_let_go_at_once() -> None:
    executions = Executions(asyncio.get_running_loop())
    tasks: list[weakref.ref[asyncio.Task[None]]] = []

    async def run() -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(weakref.ref(task))
        executions.ended(A)

    executions.begin(A, run())
    while not tasks or tasks[0]() is not None:
        await asyncio.sleep(0)
    assert executions.unheard() == []


async def test_one_that_was_cut_short_and_ends_all_the_same_lets_go_of_no_other() -> None:
    executions = Executions(asyncio.get_running_loop())
    again = RunStep(A.step, 2, 0)
    begun, over = asyncio.Event(), asyncio.Event()

    async def run() -> None:
        begun.set()
        try:
            await over.wait()
        except asyncio.CancelledError:
            executions.ended(A)

    async def run_again() -> None:
        await over.wait()

    executions.begin(A, run())
    await begun.wait()
    executions.cut(A.step)
    executions.begin(again, run_again())
    while executions.stopping:
        await asyncio.sleep(0)
    assert executions.steps == [A.step]
    over.set()
    while executions.steps:
        await asyncio.sleep(0)
