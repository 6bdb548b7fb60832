"""Processes that die in a step that is not repeated: while it runs, in its probe, and in its undo."""

from __future__ import annotations

import pytest

from saga_fn import Compensated, Completed
from tests.faults.ledger import Job
from tests.faults.stage import Stage


async def test_killed_in_a_step_and_again_in_its_probe(stage: Stage) -> None:
    run = await stage.sagas.asked.start(Job(hangs="two,probe two"))
    with stage.processes.killed():
        await stage.entered(run, "two")
    with stage.processes.killed():
        await stage.entered(run, "two", direction="probe")
    await stage.takes_over(run, end=Completed)
    executions = await stage.executions()
    assert executions.by_step("probe") == {"two": 2}
    assert executions.by_step()["two"] == 2, "it was repeated when it was known not to have run"
    keys = executions.keys
    assert keys[run.id, "two", "probe"] == keys[run.id, "two", "execute"], "it asked for that very execution"


@pytest.mark.parametrize("many", [1, 30])
async def test_killed_before_a_success_is_written_what_ran_is_not_repeated(stage: Stage, many: int) -> None:
    runs = await stage.sagas.asked.start_many([Job()] * many)
    await stage.one_dies_at("before", "StepSucceeded:two", many)
    await stage.takes_over(*runs, end=Completed)
    begun = (await stage.executions()).begun
    assert {begun[run.id, "two", "execute"] for run in runs} == {1}
    assert {begun[run.id, "two", "probe"] for run in runs} == {1}


@pytest.mark.parametrize("point", ["before", "in", "after"])
async def test_killed_at_the_commit_of_an_answer(stage: Stage, point: str) -> None:
    run = await stage.sagas.asked.start(Job())
    await stage.one_dies_at("before", "StepSucceeded:two")
    await stage.one_dies_at(point, "ProbeAnswered:two")
    await stage.takes_over(run, end=Completed)
    executions = await stage.executions()
    assert executions.by_step()["two"] == 1
    assert executions.by_step("probe")["two"] <= (1 if point == "after" else 2)


async def test_killed_in_a_step_and_again_in_the_undo_of_what_may_have_run(stage: Stage) -> None:
    run = await stage.sagas.perhaps.start(Job(hangs="two,undo two"))
    with stage.processes.killed():
        await stage.entered(run, "two")
    with stage.processes.killed():
        await stage.entered(run, "two", direction="compensate")
    await stage.takes_over(run, end=Compensated)
    executions = await stage.executions()
    assert executions.by_step() == {"one": 1, "two": 1}, "it was never repeated"
    assert executions.by_step("compensate") == {"two": 2, "one": 1}


@pytest.mark.parametrize("point", ["before", "in", "after"])
async def test_killed_at_the_commit_of_an_undo_of_what_may_have_run(stage: Stage, point: str) -> None:
    run = await stage.sagas.perhaps.start(Job(hangs="two"))
    with stage.processes.killed():
        await stage.entered(run, "two")
    await stage.one_dies_at(point, "CompensationSucceeded:two")
    await stage.takes_over(run, end=Compensated)
    executions = await stage.executions()
    assert executions.by_step() == {"one": 1, "two": 1}
    assert executions.by_step("compensate")["two"] <= (1 if point == "after" else 2)
