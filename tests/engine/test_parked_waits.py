"""Who awaits a saga that is parked is told so, for no worker ever ends it: it waits for a person."""

from __future__ import annotations

import asyncio
import pickle
from datetime import timedelta

import msgspec
import pytest

from saga_fn import (
    Completed,
    Event,
    FixedRetry,
    MemoryStore,
    NotDone,
    OutcomeUnknown,
    SagaAdmin,
    SagaBuilder,
    SagaOrchestrator,
    SagaParkedError,
    SagaResultTimeoutError,
    SagaStatus,
    StepContext,
    StepRef,
    saga,
    step,
)
from saga_fn.engine.requests.outcome import LONGEST_POLL
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.stores import Make
from tests.support.until import SOON, suspended, told_late

APPROVAL = Event("approval", Done)


def unfit(what: str) -> object:
    """Of `charge` not what it says it gives: it has run, and its output is lost."""
    return object() if what == "charge" else Done(what)


class In(msgspec.Struct):
    x: int = 1


@step
async def asks_for_its_context(inp: In, ctx: StepContext | None = None) -> In:
    assert ctx is not None
    return In(ctx.attempt)


@saga("contextual")
def contextual(inp: StepRef[In]) -> StepRef[In]:
    return asks_for_its_context(inp)


async def test_an_optional_context_is_given(make: Make) -> None:
    async with make() as orchestrator:
        assert await orchestrator.register(contextual).run(In(), timeout=SOON) == In(1)


@pytest.mark.parametrize("before", [True, False])
async def test_a_wait_for_a_parked_saga_says_that_it_is_parked(make: Make, before: bool) -> None:
    gate = asyncio.Event()
    async with asyncio.timeout(SOON), make() as orchestrator:
        handle = orchestrator.register("shop", make_saga(Shop(hold=gate, returns=unfit)))
        run = await handle.start(Order("1"))
        waits = [asyncio.create_task(wait) for wait in (run.result(), run.outcome(SOON))] if before else []
        await asyncio.sleep(0)
        gate.set()
        while (await run.snapshot()).parked is None:
            await asyncio.sleep(0.01)
        waits = waits or [asyncio.create_task(wait) for wait in (run.result(), run.outcome(SOON))]
        for wait in waits:
            with pytest.raises(SagaParkedError, match=r"is parked at charge: output_lost(.|\n)*wait_parked") as told:
                await wait
            assert told.value.saga_id == run.id
            assert told.value.snapshot.parked == "output_lost"


async def test_a_wait_in_another_process_is_told_too(make: Make) -> None:
    gate = asyncio.Event()
    async with asyncio.timeout(SOON), make() as worker, make(concurrency=0) as client:
        run = await worker.register("shop", make_saga(Shop(hold=gate, returns=unfit))).start(Order("1"))
        wait = asyncio.create_task(client.register("shop", make_saga(Shop())).attach(run.id).result())
        await asyncio.sleep(0)
        gate.set()
        with pytest.raises(SagaParkedError):
            await wait


async def test_a_wait_may_last_until_a_person_has_mended_it(make: Make) -> None:
    shop = Shop(returns=unfit)
    async with asyncio.timeout(SOON), make() as orchestrator:
        run = await orchestrator.register("shop", make_saga(shop)).start(Order("1"))
        wait = asyncio.create_task(run.outcome(wait_parked=True))
        while (await run.snapshot()).parked is None:
            await asyncio.sleep(0.01)
        done, _ = await asyncio.wait([wait], timeout=0.05)
        assert not done
        await SagaAdmin(orchestrator).abort(run.id)
        assert not isinstance(await wait, Completed)


async def test_a_wait_that_is_over_tells_a_parked_saga_from_a_slow_one(make: Make) -> None:
    gate = asyncio.Event()
    async with asyncio.timeout(SOON), make() as orchestrator:
        slow = await orchestrator.register("slow", make_saga(Shop(hold=gate))).start(Order("1"))
        late = await told_late(slow, r"did not end within 0.1 s: it is RUNNING")
        assert (late.status, late.parked) == (SagaStatus.RUNNING, False)
        gate.set()
        parked = await orchestrator.register("parked", make_saga(Shop(returns=unfit))).start(Order("1"))
        told = await told_late(
            parked, r"it is SUSPENDED, parked(.|\n)*waits for a person", 2 * LONGEST_POLL, wait_parked=True
        )
        assert (told.status, told.parked) == (SagaStatus.SUSPENDED, True)


@pytest.mark.parametrize("timeout", [0, 0.2, 1.5])
@pytest.mark.parametrize("knows", [True, False])
async def test_a_wait_that_is_over_tells_what_the_saga_waits_for(make: Make, timeout: float, knows: bool) -> None:
    """A process that does not know the saga's version tells it, too."""
    builder = SagaBuilder(Order)
    builder.add_event(APPROVAL, timeout=timedelta(hours=1), step_id="approved")
    async with asyncio.timeout(SOON), make() as worker, make(concurrency=0) as other:
        run = await worker.register("waits", builder.build()).start(Order("1"))
        if timeout < 1:
            await suspended(run)
        asks = worker if knows else other
        handle = asks.register("waits", make_saga(Shop()), version=2)
        while True:  # a busy server may not answer in that time
            with pytest.raises(SagaResultTimeoutError) as told:
                await handle.attach(run.id).result(timeout)
            if told.value.waiting_for:
                break
        (wait,) = (await run.snapshot()).waiting_for
    error = told.value
    assert error.status is SagaStatus.SUSPENDED
    assert error.waiting_for == (wait,)
    assert f"it is SUSPENDED; step approved waits for 'approval' until {wait.until:%Y-%m-%d %H:%M:%S} UTC" in error.fact
    assert error.hint is not None
    assert "when the event is sent" in error.hint
    copied = pickle.loads(pickle.dumps(error))
    assert (copied.waiting_for, str(copied)) == (error.waiting_for, str(error))


async def test_a_wait_that_is_over_tells_of_a_sleep_a_retry_and_a_delay(make: Make) -> None:
    async with asyncio.timeout(SOON), make() as orchestrator:
        builder = SagaBuilder(Order)
        builder.add_sleep(timedelta(hours=1), step_id="night")
        sleeps = await orchestrator.register("sleeps", builder.build()).start(Order("1"))
        shop = Shop(fails={"charge": 99})
        again = await orchestrator.register(
            "again", make_saga(shop, retry=FixedRetry(max_attempts=9, delay=timedelta(hours=1)))
        ).start(Order("1"))
        later = await orchestrator.register("later", make_saga(Shop())).start(Order("1"), delay=timedelta(hours=1))
        for run in (sleeps, again):
            await suspended(run)
        asleep = await told_late(sleeps, r"step night waits until 20.* UTC\n")
        assert [(wait.step_id, wait.events) for wait in asleep.waiting_for] == [("night", ())]
        retried = await told_late(again, r"step charge is tried again at 20.*, its failures so far are 1\n")
        assert [(step.step_id, step.failures) for step in retried.retrying] == [("charge", 1)]
        begins = await told_late(later, r"it begins at 20.* UTC\n")
        assert begins.begins_at == (await later.snapshot()).begins_at is not None


async def test_a_wait_that_is_over_tells_of_a_compensation_that_the_saga_is_being_rolled_back(make: Make) -> None:
    shop = Shop(fails={"ship": 1, "refund charge": 99})
    definition = make_saga(shop, undo=FixedRetry(max_attempts=9, delay=timedelta(hours=1)))
    async with asyncio.timeout(SOON), make() as orchestrator:
        run = await orchestrator.register("shop", definition).start(Order("1"))
        await suspended(run)
        told = await told_late(
            run, r"it is SUSPENDED, going back; the compensation of step charge is tried again at 20.*"
        )
        assert told.goes_back
        assert [(step.step_id, step.undoes) for step in told.retrying] == [("charge", True)]


async def test_a_wait_that_is_over_tells_that_a_probe_is_asked_and_that_the_step_is_not_tried_again(make: Make) -> None:
    async def charge(order: Order) -> Done:
        raise OutcomeUnknown("the answer was lost")

    async def find(order: Order) -> NotDone:
        raise ConnectionError("the bank is away")

    builder = SagaBuilder(Order)
    builder.add_step(
        step(charge, probe=find, probe_retry_policy=FixedRetry(max_attempts=9, delay=timedelta(hours=1))),
        depends_on=builder.initial,
    )
    async with asyncio.timeout(SOON), make() as orchestrator:
        run = await orchestrator.register("in doubt", builder.build()).start(Order("1"))
        await suspended(run)
        told = await told_late(run, r"it is SUSPENDED; step charge may have run, and its probe is asked at 20.* UTC\n")
        assert [(each.step_id, each.awaits) for each in told.retrying] == [("charge", "probe")]
        await SagaAdmin(orchestrator).cancel(run.id)
        told = await told_late(run, r"going back; step charge may have run, and its probe is asked at 20.* UTC\n")


async def test_a_wait_that_is_over_tells_that_its_event_has_come_and_was_not_read(make: Make) -> None:
    builder = SagaBuilder(Order)
    builder.add_event(APPROVAL, timeout=timedelta(hours=1), step_id="approved")
    async with asyncio.timeout(SOON), make() as worker:
        run = await worker.register("waits", builder.build()).start(Order("1"))
        await suspended(run)
    async with asyncio.timeout(SOON), make() as other:  # it works on another version
        await other.to(run.id, APPROVAL).send(Done("yes"))
        handle = other.register("waits", make_saga(Shop()), version=2)
        told = await told_late(handle.attach(run.id), "the event approval is stored, and not read yet", 2.0)
        assert [each.event for each in told.unread] == ["approval"]
        assert "when the event is sent" not in str(told.hint)
        assert "wherever a worker of its name and version runs" in str(told.hint)


async def test_a_wait_that_is_over_tells_of_a_few_steps_and_the_number_of_the_others(make: Make) -> None:
    builder = SagaBuilder(Order, order="graph")
    for number in range(5):
        builder.add_event(Event(f"event-{number}", Done), step_id=f"wait-{number}")
    async with asyncio.timeout(SOON), make() as orchestrator:
        run = await orchestrator.register("waits", builder.build()).start(Order("1"))
        await suspended(run)
        told = await told_late(run, r"waits for 'event-2'; and 2 more\n")
        assert len(told.waiting_for) == 5


async def test_run_outside_of_async_with_does_not_wait_for_a_person() -> None:
    orchestrator = SagaOrchestrator(MemoryStore())
    with pytest.raises(SagaParkedError):
        await orchestrator.register("shop", make_saga(Shop(returns=unfit))).run(Order("1"))


async def test_who_awaits_a_step_in_doubt_is_told_which_verb_means_what(make: Make) -> None:
    @step(on_unknown="park")
    async def charge(inp: In) -> In:
        raise OutcomeUnknown("the answer was lost")

    builder = SagaBuilder(In)
    definition = builder.build(output=builder.add_step(charge, depends_on=builder.initial))
    async with make() as orchestrator:
        run = await orchestrator.register("in doubt", definition).start(In())
        with pytest.raises(SagaParkedError, match="outcome_unknown") as told:
            await run.result(SOON)
        assert "settle_done with its output if it has, else retry_step" in str(told.value)
        await SagaAdmin(orchestrator).skip_step(run.id, "charge", In(7))
        assert await run.result(SOON) == In(7)
