"""Branches that run at the same time, forward and back, and processes that die or sleep between them."""

from __future__ import annotations

import asyncio
import os
import signal

import msgspec
import pytest

from saga_fn import Compensated, Completed, SagaAdmin, SagaRun
from saga_fn.core.events import Event, Resumed, StepSucceeded
from saga_fn.core.state import Running, SagaState, Succeeded, Unknown
from saga_fn.core.transition import transition
from saga_fn.store.records import decode_event
from tests.faults.death import SURVIVES
from tests.faults.ledger import Job
from tests.faults.stage import Stage
from tests.support.until import SOON


async def test_killed_while_a_sibling_branch_runs(stage: Stage) -> None:
    run = await stage.sagas.forks.start(Job(hangs="right"))
    with stage.processes.killed():
        await stage.entered(run, "right")
        await stage.recorded(run, "left", "other")
    await stage.takes_over(run, end=Completed)
    executions = await stage.executions()
    assert executions.by_step() == {"root": 1, "left": 1, "right": 2, "other": 1, "join": 1}


async def test_killed_in_a_parallel_rollback(stage: Stage) -> None:
    run = await stage.sagas.forks.start(Job(fails="join", hangs="undo right"))
    with stage.processes.killed():
        await stage.entered(run, "right", direction="compensate")
        await stage.recorded(run, "left", "other", direction="compensate")
    await stage.takes_over(run, end=Compensated)
    undone = (await stage.executions()).by_step("compensate")
    assert undone == {"left": 1, "right": 2, "other": 1, "root": 1}
    assert list(undone)[-1] == "root", "what everything was built upon is undone last"


POINTS = [
    ("before", "StepSucceeded:left"),
    ("in", "StepSucceeded:left"),
    ("after", "StepSucceeded:left"),
    ("before", "CompensationSucceeded:left"),
    ("in", "CompensationSucceeded:left"),
    ("after", "CompensationSucceeded:left"),
    ("after", "CompensationSucceeded:root"),
]


@pytest.mark.parametrize("many", [1, 50])
@pytest.mark.parametrize("point, where", POINTS, ids=[f"{point}-{where}" for point, where in POINTS])
async def test_killed_at_a_point_of_one_branch(stage: Stage, point: str, where: str, many: int) -> None:
    undoes = where.startswith("Compensation")
    runs = await stage.sagas.forks.start_many([Job(fails="join") if undoes else Job()] * many)
    await stage.one_dies_at(point, where)
    committed = await stage.committed()
    if undoes:
        await stage.takes_over(*runs, end=Compensated, perhaps_left="join")
    else:
        await stage.takes_over(*runs, end=Completed)
    await stage.assert_repeated_at_most_what_was_not(committed)


async def test_killed_after_siblings_were_cut_short(stage: Stage) -> None:
    run = await stage.sagas.cuts.start(Job(fails="left", hangs="right,other,undo root", linger=0.5))
    with stage.processes.killed():
        await stage.entered(run, "root", direction="compensate")
    await stage.takes_over(run, end=Compensated)  # what was cut short is undone as what may have run
    assert (await run.snapshot()).left_over == ()
    executions = await stage.executions()
    assert executions.by_step() == {"root": 1, "left": 1, "right": 1, "other": 1}, "what was cut short is not repeated"


async def test_a_paused_process_with_branches_running_of_which_one_has_committed(stage: Stage) -> None:
    """What was committed stands, the others are unknown and repeated, and both late results are refused."""
    run = await stage.sagas.forks.start(Job(hangs="right,other", stubborn=True))
    first = stage.processes.begin()
    await stage.entered(run, "right", "other")
    await stage.recorded(run, "left")
    os.kill(first, signal.SIGSTOP)
    stage.processes.begin(SURVIVES)
    await stage.until("SELECT count(*) = 4 FROM ledger WHERE step IN ('right', 'other')")
    await stage.release()
    assert isinstance(await run.outcome(SOON), Completed)
    admin = SagaAdmin(stage.orchestrator)
    before = (await admin.get_saga(run.id)).step_history
    os.kill(first, signal.SIGCONT)
    # Both of the sleeper's branches do come to their ends, too late.
    ended = "SELECT count(*) = 2 FROM ledger WHERE pid = $1 AND phase = 'end' AND step IN ('right', 'other')"
    await stage.until(ended, first)
    await asyncio.sleep(0.5)  # time for it to do what it must not
    assert (await admin.get_saga(run.id)).step_history == before
    await stage.assert_recorded_once(run)
    executions = await stage.executions()
    assert executions.by_step() == {"root": 1, "left": 1, "right": 2, "other": 2, "join": 1}
    assert await _as_taken_over(stage, run) == {
        "root": Succeeded,
        "left": Succeeded,
        "right": Unknown,
        "other": Unknown,
    }


async def _as_taken_over(stage: Stage, run: SagaRun[Job]) -> dict[str, type[object]]:
    """What each step was when the saga had been taken over and nothing of it was running yet."""
    store = stage.orchestrator.engine.store
    state: SagaState | None = None
    for record in await store.journal(run.id):
        event: Event = decode_event(record.event)
        plan = await store.plan(state.plan if state is not None else getattr(event, "plan"))  # noqa: B009 - the first
        assert plan is not None
        if isinstance(event, Resumed) and event.takeover:
            assert state is not None
            assert any(isinstance(step, Running) for step in state.steps)
            taken = transition(plan, state, msgspec.structs.replace(event, inputs=())).unwrap().state
            return {step.step: type(step) for step in taken.steps}
        state = transition(plan, state, event).unwrap().state
        if isinstance(event, StepSucceeded):
            assert event.step != "join", "it was taken over before"
    raise AssertionError("it was never taken over")
