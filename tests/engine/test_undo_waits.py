"""Compensations that wait for an event, and are called again with it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import attrs
import msgspec
import pytest

from saga_fn import (
    Compensated,
    Delivery,
    Event,
    Failed,
    FixedRetry,
    MemoryStore,
    NoRetry,
    PayloadError,
    SagaAdmin,
    SagaBuilder,
    SagaDefinition,
    SagaDefinitionError,
    SagaOrchestrator,
    SagaStatus,
    StepContext,
    WaitFor,
    WaitReason,
    any_of,
    step,
)
from tests.support.crash import born, dies
from tests.support.shop import Done, Order, Shop
from tests.support.stores import Make
from tests.support.until import SOON, suspended

HOUR = timedelta(hours=1)


class Refund(msgspec.Struct, frozen=True):
    accepted: bool


refunded = Event("refunded", Refund)
other = Event("other", Refund)


@attrs.define
class Bank:
    """Takes money at once, and gives it back when it has thought about it."""

    timeout: timedelta | None = None
    correlation_id: str | None = None
    wants: Event[Refund] = refunded
    keys: list[str] = attrs.field(factory=list)
    fails: int = 0

    async def charge(self, inp: Order) -> Done:
        return Done("charged")

    async def refund(self, inp: Order, out: Done, ctx: StepContext) -> WaitFor | None:
        self.keys.append(ctx.idempotency_key)
        answer = ctx.received(refunded)
        if answer is None:
            return WaitFor(self.wants, timeout=self.timeout, correlation_id=self.correlation_id)
        if self.fails:
            self.fails -= 1
            raise ConnectionError("the books are closed")
        if not answer.accepted:
            raise PermissionError("the bank will not give it back")
        return None

    async def refund_in_silence(self, inp: Order, out: Done, ctx: StepContext) -> None:
        return await self.refund(inp, out, ctx)  # type: ignore[return-value]  # pyright: ignore[reportReturnType]  # a lie


def paying(bank: Bank, *, attempts: int = 1, declared: bool = True) -> SagaDefinition[Order, None]:
    """Charge, and then fail."""
    again = FixedRetry(max_attempts=attempts, delay=timedelta(milliseconds=20))
    builder = SagaBuilder(Order)
    if declared:
        charge = step(
            bank.charge, compensate=bank.refund, compensation_waits_for=refunded, compensation_retry_policy=again
        )
    else:
        charge = step(bank.charge, compensate=bank.refund_in_silence, compensation_retry_policy=again)
    builder.add_step(charge, depends_on=builder.initial)
    builder.add_step(step(Shop(fails={"ship": 1}).ship), depends_on=builder.initial)
    return builder.build()


async def test_a_compensation_waits_and_is_called_again_with_what_came(make: Make) -> None:
    bank = Bank()
    async with make() as orchestrator:
        run = await orchestrator.register("paying", paying(bank)).start(Order("1"))
        await suspended(run)
        seen = await SagaAdmin(orchestrator).get_saga(run.id)
        assert (seen.waits, seen.deadline_at) == (WaitReason.EVENT, None)
        assert [(wait.step_id, wait.events) for wait in seen.waiting_for] == [("charge", ("refunded",))]
        assert [each.status for each in seen.steps] == ["COMPENSATION_WAITING", "FAILED"]
        assert await orchestrator.to(run.id, refunded).send(Refund(accepted=True)) is Delivery.ACCEPTED
        assert isinstance(await run.outcome(SOON), Compensated)
        history = (await SagaAdmin(orchestrator).get_saga(run.id)).step_history
        assert await SagaAdmin(orchestrator).verify(run.id) == []
    assert [entry.kind for entry in history if entry.phase == "compensate"] == [
        "compensation_waits",
        "compensation_succeeded",
    ]
    assert len(set(bank.keys)) == 2, "what it is called with is another thing: so is its idempotency key"


async def test_an_event_that_came_before_the_rollback_is_taken_at_once(make: Make) -> None:
    bank = Bank()
    shop = Shop(hold=asyncio.Event())
    builder = SagaBuilder(Order)
    builder.add_step(
        step(bank.charge, compensate=bank.refund, compensation_waits_for=refunded), depends_on=builder.initial
    )
    builder.add_step(step(shop.charge, step_id="hold"), depends_on=builder.initial)
    shop.fails["ship"] = 1
    builder.add_step(step(shop.ship), depends_on=builder.initial)
    async with make() as orchestrator:
        run = await orchestrator.register("early", builder.build()).start(Order("1"))
        assert await orchestrator.to(run.id, refunded).send(Refund(accepted=True)) is Delivery.BUFFERED
        assert shop.hold is not None
        shop.hold.set()
        assert isinstance(await run.outcome(SOON), Compensated)


async def test_only_what_is_about_the_same_is_taken(make: Make) -> None:
    bank = Bank(correlation_id="payment-7")
    async with make() as orchestrator:
        run = await orchestrator.register("paying", paying(bank)).start(Order("1"))
        await suspended(run)
        to = orchestrator.to(run.id, refunded)
        assert await to.send(Refund(accepted=False), correlation_id="payment-6") is Delivery.BUFFERED
        assert await to.send(Refund(accepted=True), correlation_id="payment-7") is Delivery.ACCEPTED
        assert isinstance(await run.outcome(SOON), Compensated)


async def test_what_it_was_called_with_survives_failures_and_the_death_of_its_process(make: Make) -> None:
    bank = Bank(fails=1)
    first = await born(make())
    run = await first.register("paying", paying(bank, attempts=9)).start(Order("1"))
    await suspended(run)
    await dies(first)
    async with make() as second:
        again = second.register("paying", paying(bank, attempts=9)).attach(run.id)
        assert await second.to(run.id, refunded).send(Refund(accepted=True)) is Delivery.ACCEPTED
        assert isinstance(await again.outcome(SOON), Compensated)
    assert len(bank.keys) == 3
    assert len(set(bank.keys)) == 2


async def test_an_answer_that_is_no_ends_it_as_any_failure_does(make: Make) -> None:
    bank = Bank()
    async with make() as orchestrator:
        run = await orchestrator.register("paying", paying(bank)).start(Order("1"))
        await suspended(run)
        await orchestrator.to(run.id, refunded).send(Refund(accepted=False))
        ended = await run.outcome(SOON)
        assert isinstance(ended, Failed)
        assert [left.step_id for left in ended.left_over] == ["charge"]


@pytest.mark.parametrize("attempts", [1, 2])
async def test_a_wait_that_is_over_is_a_failed_attempt(memory: MemoryStore, attempts: int) -> None:
    bank = Bank(timeout=HOUR)
    orchestrator = SagaOrchestrator(memory)
    run = await orchestrator.register("paying", paying(bank, attempts=attempts)).start(Order("1"))
    await orchestrator.run_due()
    (wait,) = (await run.snapshot()).waiting_for
    assert wait.until is not None
    await orchestrator.run_until_idle(past_waits=True)
    ended = await run.outcome(SOON)
    assert isinstance(ended, Failed)
    assert len(bank.keys) == attempts, "asked again, and it waits again"
    history = (await SagaAdmin(orchestrator).get_saga(run.id)).step_history
    told = [entry.error for entry in history if entry.error and "WaitTimeoutError" in entry.error]
    assert told == ["WaitTimeoutError: no event 'refunded' came in time for the compensation"] * attempts


@pytest.mark.parametrize(
    "bank, declared, told",
    [
        (Bank(), False, "compensation_waits_for"),
        (Bank(wants=other), True, "which the step does not declare"),
        (Bank(timeout=-HOUR), True, "timeout must be a positive"),
        (Bank(correlation_id=""), True, "correlation id"),
    ],
    ids=["undeclared", "another event", "a negative timeout", "no correlation"],
)
async def test_what_a_compensation_cannot_wait_for_fails_it_and_says_why(
    memory: MemoryStore, bank: Bank, declared: bool, told: str
) -> None:
    orchestrator = SagaOrchestrator(memory)
    run = await orchestrator.register("paying", paying(bank, declared=declared)).start(Order("1"))
    await orchestrator.run_until_idle()
    assert (await run.snapshot()).status is SagaStatus.FAILED
    history = (await SagaAdmin(orchestrator).get_saga(run.id)).step_history
    assert any(told in (entry.error or "") for entry in history)


async def test_the_compensation_of_each_item_waits_for_what_is_about_it(make: Make) -> None:
    asked: list[str] = []

    async def charge(inp: Order) -> Done:
        return Done(inp.order_id)

    async def refund(inp: Order, out: Done, ctx: StepContext) -> WaitFor | None:
        asked.append(inp.order_id)
        return None if ctx.received(refunded) else WaitFor(refunded, correlation_id=out.what)

    async def fail(inp: Order) -> Done:
        raise ConnectionError(inp.order_id)

    builder = SagaBuilder(Order)
    each = step(charge, compensate=refund, compensation_waits_for=refunded).each(concurrency=3)
    builder.add_step(
        each, depends_on=builder.initial, input_map=lambda order: [Order(f"{order.order_id}{n}") for n in "abc"]
    )
    builder.add_step(step(fail), depends_on=builder.initial)
    async with make() as orchestrator:
        run = await orchestrator.register("items", builder.build()).start(Order("1"))
        async with asyncio.timeout(SOON):
            while len((await run.snapshot()).waiting_for) < 3:
                await asyncio.sleep(0.005)
        waits = {wait.step_id for wait in (await run.snapshot()).waiting_for}
        assert waits == {"charge[0]", "charge[1]", "charge[2]"}
        to = orchestrator.to(run.id, refunded)
        for item in ("1c", "1a", "1b"):
            assert await to.send(Refund(accepted=True), correlation_id=item) is Delivery.ACCEPTED
        assert isinstance(await run.outcome(SOON), Compensated)
        assert await SagaAdmin(orchestrator).verify(run.id) == []
    assert sorted(asked) == ["1a", "1a", "1b", "1b", "1c", "1c"]


def test_an_event_that_is_none_is_refused_where_the_step_is_made() -> None:
    bank = Bank()
    with pytest.raises(SagaDefinitionError, match="compensation_waits_for must be an Event"):
        step(bank.charge, compensate=bank.refund, compensation_waits_for="refunded")  # type: ignore[call-overload]


class Reverted(msgspec.Struct, frozen=True, tag="reverted"):
    by: str


class NotReverted(msgspec.Struct, frozen=True, tag="not reverted"):
    why: str


reverted = Event("revert.success", Reverted)
not_reverted = Event("revert.failed", NotReverted)
either = any_of(reverted, not_reverted)
same = any_of(refunded, other)


@pytest.mark.parametrize("fails", [False, True])
async def test_a_compensation_waits_for_either_of_two_events(make: Make, fails: bool) -> None:
    heard: list[object] = []

    async def revert(inp: Order, out: Done, ctx: StepContext) -> WaitFor | None:
        yes, no = ctx.received(reverted), ctx.received(not_reverted)
        if yes is None and no is None:
            return WaitFor(either)
        heard.append(yes or no)
        if no is not None:
            raise PermissionError
        return None

    builder = SagaBuilder(Order)
    builder.add_step(
        step(Shop().charge, compensate=revert, compensation_waits_for=either, compensation_retry_policy=NoRetry()),
        depends_on=builder.initial,
    )
    builder.add_step(step(Shop(fails={"ship": 1}).ship), depends_on=builder.initial)
    definition = builder.build()
    async with make() as orchestrator:
        run = await orchestrator.register("either", definition).start(Order("1"))
        await suspended(run)
        seen = await SagaAdmin(orchestrator).get_saga(run.id)
        assert [wait.events for wait in seen.waiting_for] == [("revert.success", "revert.failed")]
    async with make() as successor:
        run = successor.register("either", definition).attach(run.id)
        if fails:
            await successor.to(run.id, not_reverted).send(NotReverted("too late"))
        else:
            await successor.to(run.id, reverted).send(Reverted("bank"))
        assert isinstance(await run.outcome(SOON), Failed if fails else Compensated)
        assert await SagaAdmin(successor).verify(run.id) == []
    assert heard == [NotReverted("too late") if fails else Reverted("bank")]


class Yes(msgspec.Struct, frozen=True):
    by: str


class No(msgspec.Struct, frozen=True):
    why: str


async def test_events_whose_values_look_alike_are_told_apart_by_their_names(make: Make) -> None:
    yes, no = Event("yes", Yes), Event("no", No)
    heard: list[object] = []

    async def revert(inp: Order, out: Done, ctx: StepContext) -> WaitFor | None:
        heard.extend(each for each in (ctx.received(yes), ctx.received(no)) if each is not None)
        return None if len(heard) > 1 else WaitFor(any_of(yes, no))

    builder = SagaBuilder(Order)
    builder.add_step(
        step(Shop().charge, compensate=revert, compensation_waits_for=any_of(yes, no)), depends_on=builder.initial
    )
    builder.add_step(step(Shop(fails={"ship": 1}).ship), depends_on=builder.initial)
    definition = builder.build()
    async with make() as orchestrator:
        run = await orchestrator.register("either", definition).start(Order("1"))
        await suspended(run)
        with pytest.raises(PayloadError, match="cannot read what event 'yes' brings"):
            await orchestrator.to(run.id, Event("yes", No)).send(No("of another type"))
        await orchestrator.to(run.id, no).send(No("later"))
        await suspended(run)
        await orchestrator.to(run.id, yes).send(Yes("bank"))
        assert isinstance(await run.outcome(SOON), Compensated)
    assert heard == [No("later"), Yes("bank")]


async def test_events_of_one_type_are_told_apart_by_their_names(make: Make) -> None:
    heard: list[str] = []

    async def undo(inp: Order, out: Done, ctx: StepContext) -> WaitFor | None:
        heard.extend(event.name for event in (refunded, other) if ctx.received(event) is not None)
        return None if len(heard) > 1 else WaitFor(same)

    builder = SagaBuilder(Order)
    builder.add_step(step(Shop().charge, compensate=undo, compensation_waits_for=same), depends_on=builder.initial)
    builder.add_step(step(Shop(fails={"ship": 1}).ship), depends_on=builder.initial)
    async with make() as orchestrator:
        run = await orchestrator.register("same", builder.build()).start(Order("1"))
        await suspended(run)
        await orchestrator.to(run.id, other).send(Refund(accepted=True))
        await suspended(run)
        await orchestrator.to(run.id, refunded).send(Refund(accepted=True))
        assert isinstance(await run.outcome(SOON), Compensated)
    assert heard == ["other", "refunded"]
