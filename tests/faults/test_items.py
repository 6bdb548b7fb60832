"""Items of one step that run at the same time, forward and back, and processes that die among them."""

from __future__ import annotations

import pytest

from saga_fn import Compensated, Completed
from tests.faults.ledger import Job
from tests.faults.stage import Stage

INTERRUPTED = {f"many[{number}]": 2 if number in (2, 3) else 1 for number in range(6)}
"""How often each item was begun, if a process died in two of them."""


async def test_killed_between_items(stage: Stage) -> None:
    """What was done of them stands, what ran is repeated under its key, what had not begun begins."""
    run = await stage.sagas.spreads.start(Job(hangs="many[2],many[3]"))
    with stage.processes.killed():
        await stage.entered(run, "many[2]", "many[3]")
    await stage.takes_over(run, end=Completed)
    executions = await stage.executions()
    assert executions.by_step() == {"root": 1, **INTERRUPTED, "last": 1}
    assert len({key for under in executions.keys.values() for key in under}) == 8, "each item has a key of its own"


async def test_killed_while_items_are_undone(stage: Stage) -> None:
    run = await stage.sagas.spreads.start(Job(fails="last", hangs="undo many[2],undo many[3]"))
    with stage.processes.killed():
        await stage.entered(run, "many[2]", "many[3]", direction="compensate")
    await stage.takes_over(run, end=Compensated)
    assert (await stage.executions()).by_step("compensate") == {"root": 1, **INTERRUPTED}


@pytest.mark.parametrize("point", ["before", "in", "after"])
@pytest.mark.parametrize(
    "where",
    ["StepSucceeded:root", "StepSucceeded:many[3]", "StepSucceeded:many[5]", "CompensationSucceeded:many[3]"],
)
async def test_killed_at_a_point_of_one_item(stage: Stage, point: str, where: str) -> None:
    undoes = where.startswith("Compensation")
    runs = await stage.sagas.spreads.start_many([Job(fails="last") if undoes else Job()] * 20)
    await stage.one_dies_at(point, where)
    committed = await stage.committed()
    if undoes:
        await stage.takes_over(*runs, end=Compensated, perhaps_left="last")
    else:
        await stage.takes_over(*runs, end=Completed)
    await stage.assert_repeated_at_most_what_was_not(committed)
