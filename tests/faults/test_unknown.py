"""Processes that die in a step that is not repeated: while it runs, in its probe, and in its undo."""

from __future__ import annotations

import asyncio
import signal

import pytest

from saga_fn import Compensated, Completed
from tests.faults.conftest import SOON, Stage
from tests.faults.worker import Job


async def test_killed_in_a_step_and_again_in_its_probe(stage: Stage) -> None:
    run = await stage.asked.start(Job(hangs="two,probe two"))
    first = stage.work()
    await stage.entered(run.id, "two")
    first.kill()
    second = stage.work()
    await stage.entered(run.id, "two", "probe")
    second.kill()
    await stage.release()
    stage.work()
    assert isinstance(await run.outcome(SOON), Completed)
    await stage.assert_recorded_once(run.id)
    begun, keys = await stage.executions()
    assert begun[run.id, "two", "probe"] == 2
    assert begun[run.id, "two", "execute"] == 2, "it was repeated when it was known not to have run"
    assert keys[run.id, "two", "probe"] == keys[run.id, "two", "execute"], "it asked for that very execution"


@pytest.mark.parametrize("many", [1, 30])
async def test_killed_before_a_success_is_written_what_ran_is_not_repeated(stage: Stage, many: int) -> None:
    runs = await stage.asked.start_many([Job()] * many)
    first = stage.work("before", "StepSucceeded:two", str(many))
    assert await asyncio.to_thread(first.wait, SOON) == -signal.SIGKILL, "it got to that point"
    stage.work()
    for run in runs:
        assert isinstance(await run.outcome(SOON), Completed)
    await stage.assert_recorded_once(*(run.id for run in runs))
    begun, _ = await stage.executions()
    assert {begun[run.id, "two", "execute"] for run in runs} == {1}
    assert {begun[run.id, "two", "probe"] for run in runs} == {1}


@pytest.mark.parametrize("point", ["before", "in", "after"])
async def test_killed_at_the_commit_of_an_answer(stage: Stage, point: str) -> None:
    run = await stage.asked.start(Job())
    first = stage.work("before", "StepSucceeded:two")
    assert await asyncio.to_thread(first.wait, SOON) == -signal.SIGKILL
    second = stage.work(point, "ProbeAnswered:two")
    assert await asyncio.to_thread(second.wait, SOON) == -signal.SIGKILL, "it got to that point"
    stage.work()
    assert isinstance(await run.outcome(SOON), Completed)
    await stage.assert_recorded_once(run.id)
    begun, _ = await stage.executions()
    assert begun[run.id, "two", "execute"] == 1
    assert begun[run.id, "two", "probe"] <= (1 if point == "after" else 2)


async def test_killed_in_a_step_and_again_in_the_undo_of_what_may_have_run(stage: Stage) -> None:
    run = await stage.perhaps.start(Job(hangs="two,undo two"))
    first = stage.work()
    await stage.entered(run.id, "two")
    first.kill()
    second = stage.work()
    await stage.entered(run.id, "two", "compensate")
    second.kill()
    await stage.release()
    stage.work()
    assert isinstance(await run.outcome(SOON), Compensated)
    await stage.assert_recorded_once(run.id)
    begun, keys = await stage.executions()
    assert begun[run.id, "two", "execute"] == 1, "it was never repeated"
    assert begun[run.id, "two", "compensate"] == 2
    assert len(keys[run.id, "two", "compensate"]) == 1
    assert begun[run.id, "one", "compensate"] == 1


@pytest.mark.parametrize("point", ["before", "in", "after"])
async def test_killed_at_the_commit_of_an_undo_of_what_may_have_run(stage: Stage, point: str) -> None:
    run = await stage.perhaps.start(Job(hangs="two"))
    first = stage.work()
    await stage.entered(run.id, "two")
    first.kill()
    second = stage.work(point, "CompensationSucceeded:two")
    assert await asyncio.to_thread(second.wait, SOON) == -signal.SIGKILL, "it got to that point"
    stage.work()
    assert isinstance(await run.outcome(SOON), Compensated)
    await stage.assert_recorded_once(run.id)
    begun, _ = await stage.executions()
    assert begun[run.id, "two", "execute"] == 1
    assert begun[run.id, "two", "compensate"] <= (1 if point == "after" else 2)
