"""Branches that run at the same time, forward and back, and processes that die or sleep between them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter

import msgspec
import pytest

from saga_fn import Compensated, Completed, Failed, SagaAdmin, SagaRun
from saga_fn.core.events import Event, Resumed, StepSucceeded
from saga_fn.core.state import Running, SagaState, Succeeded, Unknown
from saga_fn.core.transition import transition
from saga_fn.store.records import decode_event
from tests.faults.conftest import SOON, Execution, Stage
from tests.faults.worker import Job


async def test_killed_while_a_sibling_branch_runs(stage: Stage) -> None:
    run = await stage.forks.start(Job(hangs="right"))
    first = stage.work()
    await stage.entered(run.id, "right")
    await _committed(stage, run, "left", "other")
    first.kill()
    await stage.release()
    stage.work()
    assert isinstance(await run.outcome(SOON), Completed)
    await stage.assert_recorded_once(run.id)
    begun, keys = await stage.executions()
    assert _by_step(begun) == {"root": 1, "left": 1, "right": 2, "other": 1, "join": 1}
    assert all(len(under) == 1 for under in keys.values()), "whatever was repeated had the same idempotency key"


async def test_killed_in_a_parallel_rollback(stage: Stage) -> None:
    run = await stage.forks.start(Job(fails="join", hangs="undo right"))
    first = stage.work()
    await stage.entered(run.id, "right", "compensate")
    await stage.entered(run.id, "left", "compensate", phase="end")
    await _committed(stage, run, "left", "other", direction="compensate")
    first.kill()
    await stage.release()
    stage.work()
    assert isinstance(await run.outcome(SOON), Compensated)
    await stage.assert_recorded_once(run.id)
    begun, keys = await stage.executions()
    assert _by_step(begun, "compensate") == {"left": 1, "right": 2, "other": 1, "root": 1}
    assert all(len(under) == 1 for under in keys.values())
    order = [
        row[0]
        for row in await stage.pool.fetch(
            "SELECT step FROM ledger WHERE direction = 'compensate' AND phase = 'begin' ORDER BY at"
        )
    ]
    assert order[-1] == "root", "what everything was built upon is undone last"


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
    runs = await stage.forks.start_many([Job(fails="join") if undoes else Job()] * many)
    first = stage.work(point, where)
    assert await asyncio.to_thread(first.wait, SOON) == -signal.SIGKILL, "it got to that point"
    written = await stage.committed()
    stage.work()
    for run in runs:
        ended = await run.outcome(SOON)
        if isinstance(ended, Failed):  # another of the sagas was in its last step when the process died
            assert undoes
            assert [(left.step_id, left.kind.value) for left in ended.left_over] == [("join", "may have run")]
        else:
            assert isinstance(ended, Compensated if undoes else Completed)
    await stage.assert_recorded_once(*(run.id for run in runs))
    begun, keys = await stage.executions()
    assert all(len(under) == 1 for under in keys.values())
    assert {begun[each] for each in written} <= {1}, "what was committed was not done again"
    assert max(begun.values()) <= 2


async def test_killed_after_siblings_were_cut_short(stage: Stage) -> None:
    run = await stage.cuts.start(Job(fails="left", hangs="right,other,undo root", linger=0.5))
    first = stage.work()
    await stage.entered(run.id, "root", "compensate")
    first.kill()
    await stage.release()
    stage.work()
    ended = await run.outcome(SOON)
    assert isinstance(ended, Failed)
    assert {left.step_id: left.kind.value for left in ended.left_over} == {
        "right": "may have run",
        "other": "may have run",
    }
    begun, _ = await stage.executions()
    assert _by_step(begun) == {"root": 1, "left": 1, "right": 1, "other": 1}, "what was cut short is not repeated"
    await stage.assert_recorded_once(run.id)


async def test_a_paused_process_with_branches_running_of_which_one_has_committed(stage: Stage) -> None:
    """What was committed stands, the others are unknown and repeated, and both late results are refused."""
    run = await stage.forks.start(Job(hangs="right,other", stubborn=True))
    first = stage.work()
    await stage.entered(run.id, "right")
    await stage.entered(run.id, "other")
    await _committed(stage, run, "left")
    os.kill(first.pid, signal.SIGSTOP)
    stage.work()
    async with asyncio.timeout(SOON):
        while await stage.pool.fetchval("SELECT count(*) FROM ledger WHERE step IN ('right', 'other')") < 4:
            await asyncio.sleep(0.05)
    await stage.release()
    assert isinstance(await run.outcome(SOON), Completed)
    admin = SagaAdmin(stage.orchestrator)
    before = (await admin.get_saga(run.id)).step_history
    os.kill(first.pid, signal.SIGCONT)
    async with asyncio.timeout(SOON):  # both of the sleeper's branches do come to their ends, too late
        while (
            await stage.pool.fetchval(
                "SELECT count(*) FROM ledger WHERE pid = $1 AND phase = 'end' AND step IN ('right', 'other')", first.pid
            )
            < 2
        ):
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)  # time for it to do what it must not
    assert (await admin.get_saga(run.id)).step_history == before
    await stage.assert_recorded_once(run.id)
    begun, keys = await stage.executions()
    assert _by_step(begun) == {"root": 1, "left": 1, "right": 2, "other": 2, "join": 1}
    assert all(len(under) == 1 for under in keys.values())
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


async def _committed(stage: Stage, run: SagaRun[Job], *steps: str, direction: str = "execute") -> None:
    async with asyncio.timeout(SOON):
        while not {(run.id, step, direction) for step in steps} <= await stage.committed():
            await asyncio.sleep(0.02)


def _by_step(begun: Counter[Execution], direction: str = "execute") -> dict[str, int]:
    return {step: count for (_, step, way), count in begun.items() if way == direction}
