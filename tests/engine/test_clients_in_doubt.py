"""A client whose request went through, and whose answer did not come: what its step makes of that is doubt. On all stores."""

from __future__ import annotations

import asyncio
import logging
import random
from datetime import timedelta

import attrs
import pytest
from returns.result import Failure, Result, Success

from saga_fn import (
    NOT_DONE,
    Compensated,
    Completed,
    Done,
    Failed,
    FixedRetry,
    NoRetry,
    NotDone,
    OutcomeUnknown,
    RetryLater,
    RetryPolicy,
    SagaAdmin,
    SagaBuilder,
    SagaDefinition,
    SagaRun,
    Step,
    StepContext,
    StepOptions,
    step,
)
from tests.support import shop
from tests.support.logs import records
from tests.support.shop import Order, Shop
from tests.support.stores import Make
from tests.support.until import SOON, suspended, until

MS = timedelta(milliseconds=1)
Paid = shop.Done
OFTEN = FixedRetry(max_attempts=3, delay=5 * MS)


class ReadTimeoutError(Exception):
    """What a client raises that has waited in vain for its answer."""


class DeclinedError(Exception):
    """What the bank answers to a card that it does not like."""


@attrs.define
class Bank:
    """Takes the money, and then raises what it is told to: one after another, then it answers."""

    raises: list[Exception] = attrs.field(factory=list)
    taken: set[str] = attrs.field(factory=set)
    told: list[str] = attrs.field(factory=list)
    finds: bool = True
    asks: int = 0
    """How often the probe fails before it finds out."""

    async def charge(self, inp: Order, ctx: StepContext) -> Paid:
        self.told.append("charge")
        if self.raises:
            error = self.raises.pop(0)
            if not isinstance(error, DeclinedError | RetryLater):
                self.taken.add(ctx.idempotency_key)
            raise error
        self.taken.add(ctx.idempotency_key)
        return Paid("charge")

    async def find(self, inp: Order, ctx: StepContext) -> Done[Paid] | NotDone:
        self.told.append("find")
        if self.asks:
            self.asks -= 1
            raise ConnectionRefusedError
        return Done(Paid("found")) if self.finds else NOT_DONE

    async def refund(self, inp: Order, out: Paid) -> None:
        self.told.append(f"refund {out.what}")
        self.taken.clear()

    async def refund_perhaps(self, inp: Order, out: Paid | None) -> None:
        self.told.append("refund what may have run" if out is None else f"refund {out.what}")
        self.taken.clear()

    def plain(self, policy: RetryPolicy = OFTEN) -> Step[Order, Paid]:
        """Idempotent, and undone only with its output."""
        return step(self.charge, compensate=self.refund, unknown_on=ReadTimeoutError, unknown_retry_policy=policy)


def paying(charge: Step[Order, Paid], options: StepOptions | None = None) -> SagaDefinition[Order, Paid]:
    """The charge, and a step after it."""
    builder = SagaBuilder(Order)
    builder.add_step(charge, depends_on=builder.initial, **(options or {}))
    shipped = builder.add_step(step(Shop().ship), depends_on=builder.initial)
    return builder.build(output=shipped)


async def left_of(run: SagaRun[object]) -> dict[str, str]:
    """What a saga has left over; it must have FAILED."""
    ended = await run.outcome(SOON)
    assert isinstance(ended, Failed)
    return {left.step_id: left.kind.value for left in ended.left_over}


# Where the answer is lost, whatever the client calls it.

DOUBTS = [ReadTimeoutError("no answer in 5 s"), OutcomeUnknown("502"), TimeoutError(), BrokenPipeError()]


@pytest.mark.parametrize("error", DOUBTS, ids=repr)
async def test_a_step_that_does_not_know_is_repeated_and_charges_once(make: Make, error: Exception) -> None:
    bank = Bank([error, error])
    async with make() as orchestrator:
        run = await orchestrator.register("paying", paying(bank.plain())).start(Order("1"))
        assert await run.result(SOON) == Paid("ship")
    assert bank.told == ["charge"] * 3
    assert len(bank.taken) == 1


@pytest.mark.parametrize("error", DOUBTS, ids=repr)
async def test_a_step_that_never_knows_ends_in_doubt(make: Make, error: Exception) -> None:
    bank = Bank([error] * 9)
    async with make() as orchestrator:
        run = await orchestrator.register("paying", paying(bank.plain())).start(Order("1"))
        assert await left_of(run) == {"charge": "may have run"}
        assert await SagaAdmin(orchestrator).verify(run.id) == []
    assert bank.told == ["charge"] * 3
    assert bank.taken


async def test_a_step_that_never_knows_is_undone_where_that_can_be(make: Make) -> None:
    """The compensation accepts a missing output: no operator has to say more."""
    bank = Bank([OutcomeUnknown()] * 9)
    charge = step(bank.charge, compensate=bank.refund_perhaps, unknown_retry_policy=OFTEN)
    async with make() as orchestrator:
        run = await orchestrator.register("paying", paying(charge)).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Compensated)
    assert bank.told == ["charge", "charge", "charge", "refund what may have run"]
    assert not bank.taken


@pytest.mark.parametrize("finds", [True, False])
async def test_a_probe_is_asked(make: Make, finds: bool) -> None:
    bank = Bank([ReadTimeoutError()], finds=finds)
    charge = step(bank.charge, compensate=bank.refund, probe=bank.find, unknown_on=ReadTimeoutError)
    async with make() as orchestrator:
        run = await orchestrator.register("paying", paying(charge)).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Completed if finds else Compensated)
    assert bank.told == ["charge", "find"]


async def test_it_is_undone_at_once_where_it_is_never_to_be_repeated(make: Make) -> None:
    bank = Bank([ReadTimeoutError()])
    charge = step(bank.charge, compensate=bank.refund_perhaps, on_unknown="undo", unknown_on=ReadTimeoutError)
    async with make() as orchestrator:
        run = await orchestrator.register("paying", paying(charge)).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Compensated)
    assert bank.told == ["charge", "refund what may have run"]


async def test_it_is_left_to_a_person_where_that_is_said(make: Make) -> None:
    bank = Bank([OutcomeUnknown()])
    async with make() as orchestrator:
        saga = paying(step(bank.charge, compensate=bank.refund), {"on_unknown": "park"})
        run = await orchestrator.register("paying", saga).start(Order("1"))
        await suspended(run)
        assert (await run.snapshot()).parked == "outcome_unknown"
    assert bank.told == ["charge"]


async def test_sagas_of_idempotent_steps_complete_over_a_network_that_resets(make: Make) -> None:
    """By the defaults alone. Half of the resets are before the request has arrived, the others after."""
    chance = random.Random(5)
    booked: dict[str, str] = {}

    async def work(inp: Order, ctx: StepContext) -> Paid:
        if chance.random() < 0.025:
            raise ConnectionResetError("before it has arrived")
        booked[ctx.idempotency_key] = inp.order_id
        if chance.random() < 0.025:
            raise ConnectionResetError("after it has arrived")
        return Paid(ctx.step_id)

    builder = SagaBuilder(Order)
    for name in ("reserve", "charge", "ship"):
        builder.add_step(step(work, step_id=name), depends_on=builder.initial)
    async with make() as orchestrator:
        sagas = orchestrator.register("shopping", builder.build())
        runs = [await sagas.start(Order(str(number))) for number in range(60)]
        ends = [await run.outcome(SOON) for run in runs]
    assert {type(end) for end in ends} == {Completed}
    assert len(booked) == 3 * 60


# Once its time is over.


async def in_vain() -> None:
    """Wait until it is cut short, as a client does."""
    await asyncio.Event().wait()


async def raises_another(inp: Order) -> Paid:
    try:
        await in_vain()
    except asyncio.CancelledError:
        raise ConnectionRefusedError("request was cancelled, sent already") from None
    raise AssertionError


async def raises_an_answer(inp: Order) -> Paid:
    try:
        await in_vain()
    except asyncio.CancelledError:
        raise DeclinedError from None
    raise AssertionError


async def asks_to_be_called_again(inp: Order) -> Paid:
    try:
        await in_vain()
    finally:
        raise RetryLater(MS)


async def returns_a_failure(inp: Order) -> Result[Paid, str]:
    try:
        await in_vain()
    except asyncio.CancelledError:
        return Failure("timed out")
    return Success(Paid("never"))


@pytest.mark.parametrize(
    "charge, made_of_it",
    [
        (step(raises_another), "ConnectionRefusedError"),
        (step(raises_an_answer, give_up_on=DeclinedError), "DeclinedError"),
        (step(asks_to_be_called_again), "RetryLater"),
        (step(returns_a_failure), "str"),
    ],
    ids=["an error", "an answer", "a wish", "a failure"],
)
async def test_whatever_a_step_makes_of_its_timeout_is_doubt(
    make: Make, charge: Step[Order, Paid], made_of_it: str
) -> None:
    options: StepOptions = {"timeout": 30 * MS, "unknown_retry_policy": NoRetry(), "step_id": "charge"}
    async with make() as orchestrator:
        run = await orchestrator.register("paying", paying(charge, options)).start(Order("1"))
        assert await left_of(run) == {"charge": "may have run"}
        failure = (await SagaAdmin(orchestrator).get_saga(run.id)).failure
    assert failure is not None
    assert (failure.type, failure.message) == (
        "TimeoutError",
        f"did not return within 0.03 s, then failed with {made_of_it}",
    )


async def test_an_output_that_comes_after_the_timeout_all_the_same_is_the_result(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    async def charge(inp: Order) -> Paid:
        try:
            await in_vain()
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)
        return Paid("late")

    saga = paying(step(charge, timeout=30 * MS))
    async with make() as orchestrator:
        run = await orchestrator.register("paying", saga).start(Order("1"))
        assert await run.result(SOON) == Paid("ship")
        assert (await SagaAdmin(orchestrator).get_saga(run.id)).context["step_outputs"]["charge"] == {"what": "late"}
    (told,) = [record.getMessage() for record in records(caplog) if record.levelno == logging.WARNING]
    assert told == f"saga {run.id}: charge returned after its time of 0.03 s was over"


# When a step says to come again later.


async def test_a_step_says_when_it_is_to_be_tried_again(make: Make) -> None:
    """By the default policy, which is none, and by one whose own delay would last for ever."""
    for options in (StepOptions(), StepOptions(retry_policy=FixedRetry(max_attempts=3, delay=timedelta(hours=1)))):
        bank = Bank([RetryLater(20 * MS), RetryLater(10 * MS)])
        async with make() as orchestrator:
            run = await orchestrator.register("paying", paying(step(bank.charge), options)).start(Order("1"))
            assert await run.result(SOON) == Paid("ship")
            assert await SagaAdmin(orchestrator).verify(run.id) == []
        assert bank.told == ["charge"] * 3


@pytest.mark.parametrize(
    "options, attempts",
    [
        (StepOptions(retry_policy=FixedRetry(max_attempts=2)), 2),
        (StepOptions(retry_policy=NoRetry()), 1),
        (StepOptions(unknown_retry_policy=FixedRetry(max_attempts=4)), 4),
        (StepOptions(retry_policy=FixedRetry(max_attempts=9, within=5 * MS)), 1),
    ],
)
async def test_it_is_tried_again_within_its_budget(make: Make, options: StepOptions, attempts: int) -> None:
    bank = Bank([RetryLater(10 * MS)] * 9)
    async with make() as orchestrator:
        run = await orchestrator.register("paying", paying(step(bank.charge), options)).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Compensated)
    assert bank.told == ["charge"] * attempts


# When a repeat is refused.


@pytest.mark.parametrize("settles", [True, False])
async def test_a_refusal_of_the_repeat_settles_the_doubt_only_where_that_is_said(make: Make, settles: bool) -> None:
    bank = Bank([ReadTimeoutError(), DeclinedError()])
    saga = paying(bank.plain(), {"give_up_on": DeclinedError, "business_error_settles": settles})
    async with make() as orchestrator:
        run = await orchestrator.register("paying", saga).start(Order("1"))
        if settles:
            assert isinstance(await run.outcome(SOON), Compensated)
        else:
            assert await left_of(run) == {"charge": "may have run"}
    assert bank.told == ["charge", "charge"]


async def test_what_is_refused_in_doubt_is_undone_where_that_can_be(make: Make) -> None:
    bank = Bank([ReadTimeoutError(), DeclinedError()])
    charge = step(
        bank.charge,
        compensate=bank.refund_perhaps,
        unknown_on=ReadTimeoutError,
        give_up_on=DeclinedError,
        unknown_retry_policy=OFTEN,
    )
    async with make() as orchestrator:
        run = await orchestrator.register("paying", paying(charge)).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Compensated)
    assert bank.told == ["charge", "charge", "refund what may have run"]


# In a rollback.


@attrs.define
class Beside:
    """A branch that declines, and so turns the saga back, while the charge is still at the bank, whose answer is lost."""

    bank: Bank = attrs.field(factory=Bank)
    turned: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def charge(self, inp: Order, ctx: StepContext) -> Paid:
        await self.turned.wait()
        self.bank.raises.append(OutcomeUnknown())
        return await self.bank.charge(inp, ctx)

    async def insure(self, inp: Order) -> Paid:
        raise DeclinedError

    async def end(self, make: Make, charge: Step[Order, Paid], *, answer: str | None = None) -> dict[str, str]:
        """How the rollback ends: with what is left over. `answer`: of the person who is asked."""
        builder = SagaBuilder(Order, order="graph")
        builder.add_step(charge, depends_on=builder.initial, step_id="charge")
        builder.add_step(step(self.insure), depends_on=builder.initial)
        async with make() as orchestrator:
            admin = SagaAdmin(orchestrator)
            run = await orchestrator.register("beside", builder.build()).start(Order("1"))
            async with asyncio.timeout(SOON):
                while (await admin.get_saga(run.id)).failure is None:
                    await asyncio.sleep(0.005)
            self.turned.set()
            if answer is not None:
                await suspended(run)
                assert (await run.snapshot()).parked == "outcome_unknown"
                assert not [told for told in self.bank.told if told.startswith("refund")]
            if answer == "turn back all the same":
                await admin.compensate_step(run.id)
            elif answer == "it is seen to":
                await admin.settle_undone(run.id, "charge")
            ended = await run.outcome(SOON)
            assert await admin.verify(run.id) == []
            return {} if isinstance(ended, Compensated) else await left_of(run)


async def test_what_may_have_run_is_named_at_the_end_of_a_rollback(make: Make) -> None:
    there = Beside()
    assert await there.end(make, step(there.charge, compensate=there.bank.refund)) == {"charge": "may have run"}


async def test_what_may_have_run_is_undone_in_a_rollback_where_that_can_be(make: Make) -> None:
    there = Beside()
    assert await there.end(make, step(there.charge, compensate=there.bank.refund_perhaps)) == {}
    assert there.bank.told == ["charge", "refund what may have run"]


async def test_in_a_rollback_the_probe_is_asked_first(make: Make) -> None:
    there = Beside()
    assert await there.end(make, step(there.charge, compensate=there.bank.refund_perhaps, probe=there.bank.find)) == {}
    assert there.bank.told == ["charge", "find", "refund found"]


async def test_without_an_answer_of_its_probe_it_is_undone_as_what_may_have_run(make: Make) -> None:
    there = Beside(Bank(asks=2))
    charge = step(
        there.charge, compensate=there.bank.refund_perhaps, probe=there.bank.find, probe_retry_policy=NoRetry()
    )
    assert await there.end(make, charge) == {}
    assert there.bank.told == ["charge", "find", "refund what may have run"]


@pytest.mark.parametrize(
    "answer, left", [("turn back all the same", {"charge": "may have run"}), ("it is seen to", {})]
)
async def test_in_a_rollback_a_person_is_asked_where_that_is_said(
    make: Make, answer: str, left: dict[str, str]
) -> None:
    there = Beside()
    charge = step(there.charge, compensate=there.bank.refund, on_unknown="park")
    assert await there.end(make, charge, answer=answer) == left
    assert there.bank.told == ["charge"]


async def test_a_person_who_turns_back_all_the_same_has_undone_what_can_be(make: Make) -> None:
    there = Beside()
    charge = step(there.charge, compensate=there.bank.refund_perhaps, on_unknown="park")
    assert await there.end(make, charge, answer="turn back all the same") == {}
    assert there.bank.told == ["charge", "refund what may have run"]


async def test_a_pivot_in_doubt_is_left_to_a_person_once_it_has_been_repeated(make: Make) -> None:
    bank = Bank([OutcomeUnknown()] * 9)
    saga = paying(step(bank.charge, unknown_retry_policy=OFTEN, pivot=True))
    async with make() as orchestrator:
        run = await orchestrator.register("paying", saga).start(Order("1"))
        await until(lambda: len(bank.told) == 3)
        async with asyncio.timeout(SOON):
            while (await run.snapshot()).parked != "outcome_unknown":
                await asyncio.sleep(0.005)
