"""How an operator goes on with what was aborted, and when a compensation or a probe asks to be called again. All stores."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from uuid import UUID

import attrs
import pytest

from saga_fn import (
    Compensated,
    Done,
    Event,
    Failed,
    FixedRetry,
    NotDone,
    OutcomeUnknown,
    RetryLater,
    SagaAdmin,
    SagaBuilder,
    SagaDefinition,
    SagaOrchestrator,
    StepContext,
    StepOptions,
    WaitFor,
    step,
)
from tests.support import shop
from tests.support.logs import said
from tests.support.shop import Order, Shop, make_saga
from tests.support.stores import Make
from tests.support.until import SOON, retrying, suspended, until

FOR_EVER = timedelta(hours=1)
"""A lease that no test outlives."""
MS = timedelta(milliseconds=1)
BRIEFLY = 100 * MS
Paid = shop.Done


@attrs.define
class Hanging:
    """A step and its compensation that hang the first time, and take as long to be cut short as `may_end` says."""

    begun: list[str] = attrs.field(factory=list)
    may_end: asyncio.Event = attrs.field(factory=asyncio.Event)
    hangs: str = "work"

    async def work(self, inp: Order) -> Paid:
        return await self._do("work")

    async def undo(self, inp: Order, out: Paid) -> None:
        await self._do("undo")

    async def fail(self, inp: Order) -> Paid:
        raise KeyError("no")

    async def _do(self, what: str) -> Paid:
        self.begun.append(what)
        if self.begun.count(what) == 1 and what == self.hangs:
            try:
                await asyncio.Event().wait()
            finally:
                await self.may_end.wait()
        return Paid(what)

    def saga(self) -> SagaDefinition[Order, Paid]:
        builder = SagaBuilder(Order)
        done = builder.add_step(step(self.work, compensate=self.undo), depends_on=builder.initial)
        if self.hangs == "undo":
            builder.add_step(step(self.fail), depends_on=builder.initial)
        return builder.build(output=done)


async def due_in(orchestrator: SagaOrchestrator, saga_id: UUID) -> timedelta:
    """How long the saga waits until a process takes it up."""
    row = await orchestrator.engine.store.read(saga_id)
    assert row is not None
    assert row.due_at is not None
    return row.due_at - datetime.now(UTC)


async def test_a_step_that_was_aborted_here_is_tried_again_at_once_when_it_has_ended(make: Make) -> None:
    hanging = Hanging()
    hanging.may_end.set()
    async with make(lease=FOR_EVER) as orchestrator:
        run = await orchestrator.register("one", hanging.saga()).start(Order("1"))
        await until(lambda: hanging.begun == ["work"])
        admin = SagaAdmin(orchestrator)
        await admin.abort(run.id)
        await admin.retry_step(run.id, "work")
        assert await run.result(SOON) == Paid("work")
        assert await admin.verify(run.id) == []
    assert hanging.begun == ["work", "work"]


async def test_a_compensation_that_was_aborted_here_is_tried_again_at_once_when_it_has_ended(make: Make) -> None:
    hanging = Hanging(hangs="undo")
    hanging.may_end.set()
    async with make(lease=FOR_EVER) as orchestrator:
        run = await orchestrator.register("one", hanging.saga()).start(Order("1"))
        await until(lambda: hanging.begun == ["work", "undo"])
        admin = SagaAdmin(orchestrator)
        await admin.abort(run.id)
        await admin.compensate_step(run.id)
        assert isinstance(await run.outcome(SOON), Compensated)
    assert hanging.begun == ["work", "undo", "undo"]


async def test_nothing_runs_beside_what_takes_its_time_to_be_cut_short(make: Make) -> None:
    hanging = Hanging()
    async with make(lease=FOR_EVER) as orchestrator:
        run = await orchestrator.register("one", hanging.saga()).start(Order("1"))
        await until(lambda: hanging.begun == ["work"])
        admin = SagaAdmin(orchestrator)
        await admin.abort(run.id)
        await admin.retry_step(run.id, "work")
        assert await due_in(orchestrator, run.id) > FOR_EVER / 2, "not before its lease is over"
        hanging.may_end.set()
        await asyncio.sleep(0.05)
        assert hanging.begun == ["work"]


async def test_another_process_waits_for_the_lease_of_the_one_that_ran_it(make: Make) -> None:
    hanging = Hanging()
    hanging.may_end.set()
    owning = make(lease=FOR_EVER, stop_timeout=BRIEFLY)  # what it runs is not cut short before it hears of the abort
    async with owning as orchestrator, make(concurrency=0, lease=FOR_EVER) as other:
        run = await orchestrator.register("one", hanging.saga()).start(Order("1"))
        other.register("one", hanging.saga())
        await until(lambda: hanging.begun == ["work"])
        admin = SagaAdmin(other)
        await admin.abort(run.id)
        await admin.retry_step(run.id, "work")
        assert await due_in(other, run.id) > FOR_EVER / 2


async def test_attempts_are_numbered_by_what_was_run(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    given = Shop(fails={"ship": 1, "refund charge": 1})
    async with make() as orchestrator:
        run = await orchestrator.register("shop", make_saga(given, undo=FixedRetry(max_attempts=1))).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Failed)
        admin = SagaAdmin(orchestrator)
        given.fails["refund charge"] = 1
        await admin.compensate_step(run.id)
        await until(lambda: sum("refund" in line or "charge" in line for line in said(caplog, logging.WARNING)) >= 2)
        attempts = [one.attempt for one in (await admin.get_saga(run.id)).step_history if one.phase == "compensate"]
        assert attempts == [1, 2]


async def test_a_compensation_that_hears_of_its_event_is_called_a_second_time(make: Make) -> None:
    told: list[int] = []
    refunded = Event("refunded", Order)

    async def charge(inp: Order) -> Paid:
        return Paid("charge")

    async def refund(inp: Order, out: Paid, ctx: StepContext) -> WaitFor | None:
        told.append(ctx.attempt)
        return None if len(told) > 1 else WaitFor(refunded)

    builder = SagaBuilder(Order)
    paid = builder.add_step(
        step(charge, compensate=refund, compensation_waits_for=refunded), depends_on=builder.initial
    )
    builder.add_step(step(Shop(fails={"ship": 1}).ship), depends_on=builder.initial)
    async with make() as orchestrator:
        run = await orchestrator.register("refunding", builder.build(output=paid)).start(Order("1"))
        await suspended(run)
        await orchestrator.to(run.id, refunded).send(Order("1"))
        assert isinstance(await run.outcome(SOON), Compensated)
    assert told == [1, 2]


LATER = timedelta(milliseconds=30)


async def test_a_compensation_says_when_it_is_to_be_tried_again(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []

    async def charge(inp: Order) -> Paid:
        return Paid("charge")

    async def refund(inp: Order, out: Paid) -> None:
        told.append("refund")
        if len(told) == 1:
            raise RuntimeError("busy") from RetryLater(LATER)

    hourly = FixedRetry(max_attempts=3, delay=FOR_EVER)
    builder = SagaBuilder(Order)
    builder.add_step(step(charge, compensate=refund, compensation_retry_policy=hourly), depends_on=builder.initial)
    builder.add_step(step(Shop(fails={"ship": 1}).ship), depends_on=builder.initial)
    async with make() as orchestrator:
        run = await orchestrator.register("refunding", builder.build()).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Compensated)
        assert await SagaAdmin(orchestrator).verify(run.id) == []
    assert told == ["refund"] * 2
    assert "attempt 1 of 3, again in 0.03 s" in said(caplog, logging.WARNING)[-1]


async def test_a_compensation_asks_within_its_policy_alone(make: Make) -> None:
    told: list[str] = []

    async def charge(inp: Order) -> Paid:
        return Paid("charge")

    async def refund(inp: Order, out: Paid) -> None:
        told.append("refund")
        raise RetryLater(MS)

    twice = FixedRetry(max_attempts=2, delay=FOR_EVER)
    builder = SagaBuilder(Order)
    builder.add_step(step(charge, compensate=refund, compensation_retry_policy=twice), depends_on=builder.initial)
    builder.add_step(step(Shop(fails={"ship": 1}).ship), depends_on=builder.initial)
    async with make() as orchestrator:
        run = await orchestrator.register("refunding", builder.build()).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Failed)
    assert told == ["refund"] * 2


async def test_a_probe_says_when_it_is_to_be_asked_again(make: Make) -> None:
    asked: list[str] = []

    async def charge(inp: Order) -> Paid:
        raise OutcomeUnknown("no answer")

    async def find(inp: Order) -> Done[Paid] | NotDone:
        asked.append("find")
        if len(asked) == 1:
            raise RetryLater(LATER)
        return Done(Paid("found"))

    options: StepOptions = {"probe_retry_policy": FixedRetry(max_attempts=2, delay=FOR_EVER)}
    builder = SagaBuilder(Order)
    paid = builder.add_step(step(charge, probe=find, **options), depends_on=builder.initial)
    async with make() as orchestrator:
        run = await orchestrator.register("paying", builder.build(output=paid)).start(Order("1"))
        assert await run.result(SOON) == Paid("found")
    assert asked == ["find"] * 2


async def test_what_waits_to_be_repeated_is_found_out_first_once_the_step_has_a_probe(make: Make) -> None:
    told: list[str] = []

    async def charge(inp: Order) -> Paid:
        told.append("charge")
        raise OutcomeUnknown("no answer")

    async def find(inp: Order) -> Done[Paid] | NotDone:
        told.append("find")
        return Done(Paid("found"))

    def saga(*, asks: bool) -> SagaDefinition[Order, Paid]:
        again: StepOptions = {"unknown_retry_policy": FixedRetry(max_attempts=9, delay=200 * MS)}
        charging = step(charge, probe=find, **again) if asks else step(charge, **again)
        builder = SagaBuilder(Order)
        return builder.build(output=builder.add_step(charging, depends_on=builder.initial))

    async with make() as orchestrator:
        run = await orchestrator.register("paying", saga(asks=False)).start(Order("1"))
        await retrying(run)
    begun = [*told]  # it may have been repeated already, on a busy machine
    async with make() as deployed:
        later = deployed.register("paying", saga(asks=True)).attach(run.id)
        assert await later.result(SOON) == Paid("found")
    assert told == [*begun, "find"]


@pytest.mark.parametrize(
    "undo, comes", [(True, "to be undone"), (False, "for good")], ids=["can be undone", "cannot be undone"]
)
async def test_the_log_says_what_comes_after_a_doubt_that_is_refused(
    make: Make, caplog: pytest.LogCaptureFixture, *, undo: bool, comes: str
) -> None:
    told: list[str] = []

    async def charge(inp: Order) -> Paid:
        told.append("charge")
        raise OutcomeUnknown("no answer") if len(told) == 1 else ValueError("declined")

    async def refund(inp: Order, out: Paid | None) -> None:
        told.append("refund")

    options: StepOptions = {"unknown_retry_policy": FixedRetry(max_attempts=3), "give_up_on": ValueError}
    builder = SagaBuilder(Order)
    charging = step(charge, compensate=refund, **options) if undo else step(charge, **options)
    builder.add_step(charging, depends_on=builder.initial)
    async with make() as orchestrator:
        run = await orchestrator.register("paying", builder.build()).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Compensated if undo else Failed)
    assert said(caplog, logging.WARNING) == [
        "saga charge failed (OutcomeUnknown): attempt 1 of 3, it may have run, again at once",
        f"saga charge failed (ValueError): attempt 2, a business error, it may have run, {comes}",
    ]
