"""Items of one step that run at the same time, forward and back, and processes that die among them."""

from __future__ import annotations

import asyncio
import signal

import pytest

from saga_fn import Compensated, Completed, Failed
from tests.faults.conftest import SOON, Stage
from tests.faults.worker import Job


async def test_killed_between_items(stage: Stage) -> None:
    """What was done of them stands, what ran is repeated under its key, what had not begun begins."""
    run = await stage.spreads.start(Job(hangs="many[2],many[3]"))
    first = stage.work()
    await stage.entered(run.id, "many[2]")
    await stage.entered(run.id, "many[3]")
    first.kill()
    await stage.release()
    stage.work()
    assert isinstance(await run.outcome(SOON), Completed)
    await stage.assert_recorded_once(run.id)
    begun, keys = await stage.executions()
    assert {step: count for (_, step, _), count in begun.items()} == {
        "root": 1,
        **{f"many[{number}]": 2 if number in (2, 3) else 1 for number in range(6)},
        "last": 1,
    }
    assert all(len(under) == 1 for under in keys.values())
    assert len({key for under in keys.values() for key in under}) == 8


async def test_killed_while_items_are_undone(stage: Stage) -> None:
    run = await stage.spreads.start(Job(fails="last", hangs="undo many[2],undo many[3]"))
    first = stage.work()
    await stage.entered(run.id, "many[2]", "compensate")
    await stage.entered(run.id, "many[3]", "compensate")
    first.kill()
    await stage.release()
    stage.work()
    assert isinstance(await run.outcome(SOON), Compensated)
    await stage.assert_recorded_once(run.id)
    begun, _ = await stage.executions()
    undone = {step: count for (_, step, way), count in begun.items() if way == "compensate"}
    assert undone == {"root": 1, **{f"many[{number}]": 2 if number in (2, 3) else 1 for number in range(6)}}


@pytest.mark.parametrize("point", ["before", "in", "after"])
@pytest.mark.parametrize(
    "where",
    ["StepSucceeded:root", "StepSucceeded:many[3]", "StepSucceeded:many[5]", "CompensationSucceeded:many[3]"],
)
async def test_killed_at_a_point_of_one_item(stage: Stage, point: str, where: str) -> None:
    undoes = where.startswith("Compensation")
    runs = await stage.spreads.start_many([Job(fails="last") if undoes else Job()] * 20)
    first = stage.work(point, where)
    assert await asyncio.to_thread(first.wait, SOON) == -signal.SIGKILL, "it got to that point"
    written = await stage.committed()
    stage.work()
    for run in runs:
        ended = await run.outcome(SOON)
        if isinstance(ended, Failed):  # another of the sagas was in its last step when the process died
            assert undoes
            assert [(left.step_id, left.kind.value) for left in ended.left_over] == [("last", "may have run")]
        else:
            assert isinstance(ended, Compensated if undoes else Completed)
    await stage.assert_recorded_once(*(run.id for run in runs))
    begun, keys = await stage.executions()
    assert all(len(under) == 1 for under in keys.values())
    assert {begun[each] for each in written} <= {1}, "what was committed was not done again"
    assert max(begun.values()) <= 2
