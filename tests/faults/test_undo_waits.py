"""Compensations that wait, and processes that die as one begins to, meanwhile, and as it is called again with what came.

Whatever dies: it is asked for the refund under one key, the refund is booked under another, and neither is done again once
it was committed.
"""

from __future__ import annotations

import asyncio

import pytest

from saga_fn import Compensated, Delivery, Failed, SagaAdmin, SagaOrchestrator, SagaRun
from saga_fn.engine.requests.outside_event import OutsideEvent, id_of
from tests.faults.ledger import Job
from tests.faults.sagas import Refund, refunded
from tests.faults.stage import Stage
from tests.support.until import suspended

POINTS = ["before", "in", "after"]
BOOKED = "book 7"
"""What the compensation does that is called with refund 7."""


async def waiting(stage: Stage, *, hangs: str = "") -> SagaRun[Job]:
    """A saga whose compensation waits for its refund; the process in which it began to wait is dead."""
    run = await stage.sagas.refunds.start(Job(fails="ship", hangs=hangs))
    with stage.processes.killed():
        await suspended(run)
    return run


async def send(stage: Stage, run: SagaRun[Job]) -> Delivery:
    return await stage.orchestrator.to(run.id, refunded).send(Refund(7), event_id="m1")


async def assert_undone(stage: Stage, run: SagaRun[Job], *, asked: int = 1, booked: int = 1) -> None:
    """It was asked so often, booked so often, and told once of the event; the key of what was booked is another."""
    executions = await stage.executions()
    assert executions.begun[run.id, "pay", "compensate"] == asked
    assert executions.begun[run.id, "pay", BOOKED] == booked
    assert executions.keys[run.id, "pay", "compensate"].isdisjoint(executions.keys[run.id, "pay", BOOKED])
    history = (await SagaAdmin(stage.orchestrator).get_saga(run.id)).step_history
    kinds = [entry.kind for entry in history]
    assert [kinds.count(kind) for kind in ("compensation_waits", "event_received", "compensation_succeeded")] == [1] * 3


async def test_killed_while_a_compensation_waits(stage: Stage) -> None:
    run = await waiting(stage)
    assert await send(stage, run) is Delivery.ACCEPTED
    await stage.takes_over(run, end=Compensated)
    await assert_undone(stage, run)


async def test_killed_in_the_compensation_that_is_about_to_wait(stage: Stage) -> None:
    run = await stage.sagas.refunds.start(Job(fails="ship", hangs="undo pay"))
    with stage.processes.killed():
        await stage.entered(run, "pay", direction="compensate")
    assert await send(stage, run) is Delivery.BUFFERED
    await stage.takes_over(run, end=Compensated)
    await assert_undone(stage, run, asked=2)


@pytest.mark.parametrize("point", POINTS)
async def test_killed_at_the_commit_in_which_it_begins_to_wait(stage: Stage, point: str) -> None:
    run = await stage.sagas.refunds.start(Job(fails="ship"))
    await stage.one_dies_at(point, "CompensationWaits:pay")
    await send(stage, run)
    await stage.takes_over(run, end=Compensated)
    asked = (await stage.executions()).begun[run.id, "pay", "compensate"]
    assert asked in {"before": (2,), "in": (1, 2), "after": (1,)}[point]
    await assert_undone(stage, run, asked=asked)


async def test_the_sender_is_killed_between_the_storing_of_the_event_and_its_match(
    stage: Stage, stranger: SagaOrchestrator
) -> None:
    """The scan finds the rows that it has left, though no process was told of them."""
    run = await waiting(stage)
    message = OutsideEvent(id_of("refunded", "m1"), "refunded", b'{"number":7}').message()
    await stranger.engine.store.send(run.id, message)
    await stage.takes_over(run, end=Compensated)
    await assert_undone(stage, run)


@pytest.mark.parametrize(
    "point, where",
    [("claimed", ":"), *((point, "EventReceived:") for point in POINTS)],
    ids=["claimed", *POINTS],
)
async def test_killed_between_the_storing_of_the_event_and_the_call_with_it(
    stage: Stage, stranger: SagaOrchestrator, point: str, where: str
) -> None:
    """The last of these is the commit in which it is called again: the process that takes over calls it."""
    run = await waiting(stage)
    sending = asyncio.create_task(stranger.to(run.id, refunded).send(Refund(7), event_id="m1"))
    await stage.one_dies_at(point, where)
    await stage.takes_over(run, end=Compensated)
    assert await sending in (Delivery.ACCEPTED, Delivery.BUFFERED)
    assert await send(stage, run) is Delivery.DUPLICATE
    await assert_undone(stage, run)


async def test_killed_in_the_compensation_that_is_called_with_the_event(stage: Stage) -> None:
    """It is called again with the same, under the same key."""
    run = await waiting(stage, hangs=f"{BOOKED} pay")
    await send(stage, run)
    with stage.processes.killed():
        await stage.entered(run, "pay", direction=BOOKED)
    await stage.takes_over(run, end=Compensated)
    await assert_undone(stage, run, booked=2)


@pytest.mark.parametrize("point", POINTS)
async def test_killed_at_the_commit_of_a_compensation_that_has_waited(stage: Stage, point: str) -> None:
    run = await waiting(stage)
    await send(stage, run)
    await stage.one_dies_at(point, "CompensationSucceeded:pay")
    await stage.takes_over(run, end=Compensated)
    booked = (await stage.executions()).begun[run.id, "pay", BOOKED]
    assert booked in {"before": (2,), "in": (1, 2), "after": (1,)}[point]
    await assert_undone(stage, run, booked=booked)


@pytest.mark.parametrize("point", POINTS)
async def test_killed_as_the_wait_of_a_compensation_is_over(stage: Stage, point: str) -> None:
    """Each wait that is over is one failed attempt, whichever process dies: it is asked three times, and that is what is left over."""
    run = await stage.sagas.refunds.start(Job(fails="ship", patience=0.5))
    with stage.processes.killed():
        await suspended(run)
    await stage.one_dies_at(point, "Resumed:")
    await stage.takes_over(run, end=Failed)
    assert (await stage.executions()).by_step("compensate") == {"pay": 3}
    snapshot = await SagaAdmin(stage.orchestrator).get_saga(run.id)
    print([(e.kind, e.error) for e in snapshot.step_history])
    assert [(left.step_id, left.kind.value) for left in snapshot.left_over] == [("pay", "undo failed")]
    assert [entry.kind for entry in snapshot.step_history].count("compensation_waits") == 3
