"""An end says why the saga has come to it, and which steps stay done because they have no undo."""

from __future__ import annotations

from datetime import timedelta

import pytest

from saga_fn import (
    Cause,
    Compensated,
    Event,
    Failed,
    FixedRetry,
    MemoryStore,
    SagaAdmin,
    SagaBuilder,
    SagaCompensatedError,
    SagaDefinition,
    SagaFailedError,
    SagaOrchestrator,
    SagaParkedError,
    SagaStatus,
    StepContext,
    StepRef,
    Verb,
    saga,
    step,
)
from saga_fn.printable import kept
from tests.support.shop import Done, Order
from tests.support.until import SOON, suspended

TWICE = FixedRetry(max_attempts=2, delay=timedelta(milliseconds=1))


def paid(*, pivot: bool = False, undo: bool = True, doubt: bool = False) -> SagaDefinition[Order, Done]:
    """Hold, pay without an undo, tell; the last one fails, and cannot go back where paying is the `pivot`."""

    async def hold(order: Order) -> Done:
        return Done("hold")

    async def release(order: Order, out: Done) -> None:
        if not undo:
            raise KeyError("release")

    async def pay(order: Order) -> Done:
        if doubt:
            raise TimeoutError("the bank has not answered")
        return Done("pay")

    async def tell(order: Order) -> Done:
        raise ValueError(f"no such town: {order.order_id}")

    builder = SagaBuilder(Order)
    builder.add_step(step(hold, compensate=release, compensation_retry_policy=TWICE), depends_on=builder.initial)
    builder.add_step(step(pay, pivot=pivot, on_unknown="park"), input_map=lambda ctx: ctx.initial_data)
    last = builder.add_step(step(tell, retry_policy=TWICE), input_map=lambda ctx: ctx.initial_data)
    return builder.build(output=last)


async def test_an_error_does_not_say_that_nothing_is_left_where_a_step_has_no_undo(memory: MemoryStore) -> None:
    async with SagaOrchestrator(memory) as orchestrator:
        run = await orchestrator.register("trip", paid()).start(Order("nowhere"))
        with pytest.raises(SagaCompensatedError) as ended:
            await run.result(SOON)
        assert ended.value.snapshot.stays_done == ("pay",)
        assert "stays done: pay (it has no undo): a new start runs that once more" in str(ended.value.hint)
        assert "all that it has done" not in str(ended.value)
        assert (await run.snapshot()).stays_done == ("pay",), "as it is read of the row"


async def test_an_explanation_says_why_a_saga_was_rolled_back_and_what_stays_done(memory: MemoryStore) -> None:
    async with SagaOrchestrator(memory) as orchestrator:
        run = await orchestrator.register("trip", paid()).start(Order("nowhere"))
        assert isinstance(await run.outcome(SOON), Compensated)
        admin = SagaAdmin(orchestrator)
        seen = await admin.explain(run.id)
        (why,) = seen.reasons
        assert (why.cause, why.step_id, why.ended_as) == (Cause.ENDED, "tell", SagaStatus.COMPENSATED)
        told = "it has ended COMPENSATED: step tell failed for good, attempt 2 of 2: ValueError: no such town: nowhere"
        assert why.text == told
        assert seen.stays_done == ("pay",)
        assert f"  {told}\nstays done: pay (it has no undo)\n" in str(seen)
        full = await admin.get_saga(run.id)
        assert "nothing is left" not in full.timeline()
        assert "stays done: pay (it has no undo)" in full.timeline()
        assert "stays done: pay (it has no undo)" in full.diagram("text")
        assert "stays done: pay (it has no undo)" in (await run.snapshot())._repr_svg_()  # pyright: ignore[reportPrivateUsage] - notebooks call it


async def test_a_saga_that_failed_names_both_what_is_left_over_and_what_stays_done(memory: MemoryStore) -> None:
    async with SagaOrchestrator(memory) as orchestrator:
        run = await orchestrator.register("trip", paid(undo=False)).start(Order("nowhere"))
        assert isinstance(await run.outcome(SOON), Failed)
        with pytest.raises(
            SagaFailedError, match=r"left over: hold \(undo failed\); stays done: pay \(it has no undo\)"
        ):
            await run.result(SOON)
        text = str(await SagaAdmin(orchestrator).explain(run.id))
        assert "it has ended FAILED: step tell failed for good, attempt 2 of 2: ValueError: no such town" in text
        assert "left over: hold (undo failed)\nstays done: pay (it has no undo)\n" in text


async def test_the_error_stands_where_a_saga_waits_past_its_pivot(memory: MemoryStore) -> None:
    async with SagaOrchestrator(memory) as orchestrator:
        run = await orchestrator.register("trip", paid(pivot=True)).start(Order("nowhere"))
        with pytest.raises(SagaParkedError):  # a look at its status would take the wait for a retry for this one
            await run.result(SOON)
        (why,) = (await SagaAdmin(orchestrator).explain(run.id)).reasons
        assert (why.parked, why.error) == ("past_pivot", "ValueError: no such town: nowhere")
        assert "ValueError: no such town: nowhere" in why.text


@pytest.mark.parametrize("verb", [Verb.CANCEL, Verb.ABORT])
async def test_an_end_that_an_operator_chose_is_no_failure_for_good(memory: MemoryStore, verb: Verb) -> None:
    async def pay(order: Order) -> Done:
        raise ValueError("the bank is closed")

    builder = SagaBuilder(Order)
    late = FixedRetry(max_attempts=5, delay=timedelta(hours=1))
    paying = builder.add_step(step(pay, retry_policy=late), depends_on=builder.initial)
    async with SagaOrchestrator(memory) as orchestrator:
        run = await orchestrator.register("trip", builder.build(output=paying)).start(Order("1"))
        await suspended(run)
        admin = SagaAdmin(orchestrator, actor="ann")
        await (admin.cancel(run.id) if verb is Verb.CANCEL else admin.abort(run.id))
        (why,) = (await admin.explain(run.id)).reasons
        assert (why.verb, why.actor, why.step_id) == (verb, "ann", "pay")
        assert "for good" not in why.text, "four attempts were left"
        assert f": an operator asked for {verb}, by ann; its failure: step pay failed, attempt 1 of 5: " in why.text


async def test_a_saga_that_failed_by_itself_does_so_after_a_verb_that_took_it_up(memory: MemoryStore) -> None:
    async with SagaOrchestrator(memory) as orchestrator:
        run = await orchestrator.register("trip", paid(undo=False)).start(Order("nowhere"))
        assert isinstance(await run.outcome(SOON), Failed)
        admin = SagaAdmin(orchestrator)
        await admin.cancel(run.id, reason="once more")
        assert isinstance(await run.outcome(SOON), Failed)
        (why,) = (await admin.explain(run.id)).reasons
        assert why.verb is None
        assert "step tell failed for good, attempt 2 of 2" in why.text


async def test_what_a_person_has_found_done_stays_done_and_the_preview_says_so(memory: MemoryStore) -> None:
    async with SagaOrchestrator(memory) as orchestrator:
        run = await orchestrator.register("trip", paid(doubt=True)).start(Order("nowhere"))
        await suspended(run)
        admin = SagaAdmin(orchestrator)
        await admin.cancel(run.id)
        assert isinstance(await run.outcome(SOON), Failed)
        preview = (await admin.explain(run.id)).of("settle_done", "pay")
        assert preview is not None
        assert (preview.ends_as, preview.stays_done) == (SagaStatus.COMPENSATED, ("pay",))
        assert "stays done: pay (it has no undo)" in preview.text
        await admin.settle_done(run.id, "pay", Done("pay"))
        with pytest.raises(SagaCompensatedError, match="stays done: pay"):
            await run.result(SOON)


async def test_an_end_without_a_failure_says_so_and_a_clean_one_that_nothing_is_left(
    memory: MemoryStore,
) -> None:
    async with SagaOrchestrator(memory) as orchestrator:
        run = await orchestrator.register("trip", paid()).start(Order("1"), delay=timedelta(hours=1))
        admin = SagaAdmin(orchestrator)
        await admin.cancel(run.id, reason="sold out")
        (why,) = (await admin.explain(run.id)).reasons
        assert why.text == "it has ended COMPENSATED: an operator asked for cancel, because: sold out"
        with pytest.raises(SagaCompensatedError, match="all that it has done is undone: start it again"):
            await run.result(SOON)


async def test_an_end_names_what_was_done_before_a_rewind_which_undid_nothing(memory: MemoryStore) -> None:
    """It was charged twice, and one charge was undone: a caller that starts the saga again has to know of the other."""
    undone: list[str] = []

    async def refund(order: Order, out: Done) -> None:
        undone.append(out.what)

    @step(compensate=refund)
    async def charge(order: Order, ctx: StepContext) -> Done:
        return Done(ctx.idempotency_key)

    @step
    async def ship(order: Order) -> Done:
        raise ValueError("no such town")

    approved = Event("approved", str)

    @saga("trip")
    def trip(order: StepRef[Order]) -> StepRef[Done]:
        charge(order)
        approved.wait()
        return ship(order)

    async with SagaOrchestrator(memory) as orchestrator:
        run = await orchestrator.register(trip).start(Order("1"))
        await suspended(run)
        admin = SagaAdmin(orchestrator)
        await admin.rewind(run.id, "charge", forget=["charge"])
        await suspended(run)
        assert (await run.snapshot()).rewound == ("charge",)
        await orchestrator.to(run.id, approved).send("by ann", event_id="1")
        with pytest.raises(
            SagaCompensatedError, match="run before a rewind, which undid nothing: charge: a new start"
        ) as end:
            await run.result(SOON)
        assert end.value.snapshot.rewound == ("charge",)
        assert len(undone) == 1
        assert "\nrun before a rewind, which undid nothing: charge\n" in str(await admin.explain(run.id))
        assert "run before a rewind" in (await admin.get_saga(run.id)).timeline()


def test_long_lists_of_what_stays_are_cut() -> None:
    (told,) = kept([f"s{n}" for n in range(14)])
    assert told.endswith("s11, and 2 more (they have no undo)")
