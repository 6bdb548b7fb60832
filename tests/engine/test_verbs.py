"""Operators' verbs name what they mean, count for what the operator saw, and say who asked for them, and why."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import uuid4

import pytest

from saga_fn import (
    Compensated,
    Completed,
    Failed,
    FixedRetry,
    MemoryStore,
    PayloadError,
    SagaAdmin,
    SagaBuilder,
    SagaDefinitionError,
    SagaOrchestrator,
    SagaRun,
    SagaStateError,
    SagaStatus,
    StepStatus,
    step,
)
from saga_fn.engine.drive.earlier import Earlier
from tests.support.crash import end_leases
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.stores import Make
from tests.support.until import SOON, until

RARELY = FixedRetry(max_attempts=9, delay=timedelta(hours=1))
BY_HAND = {"what": "by hand"}


class Subclass(str):
    """A text of a service's own."""

    __slots__ = ()


async def test_a_step_an_actor_and_a_reason_may_be_of_a_subclass_of_str(make: Make) -> None:
    async with make() as orchestrator:
        shop = Shop(fails={"reserve": 1})
        run = await orchestrator.register("shop", make_saga(shop, compensate_on_failure=False)).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Failed)
        admin = SagaAdmin(orchestrator, actor=Subclass("ann"))
        await admin.retry_step(run.id, Subclass("reserve"), reason=Subclass("OPS-1"))
        assert isinstance(await run.outcome(SOON), Completed)
        asked = [(entry.actor, entry.reason) for entry in (await admin.get_saga(run.id)).step_history if entry.actor]
        assert asked == [("ann", "OPS-1")]
        assert await admin.verify(run.id) == []


async def test_a_second_click_skips_no_other_step(make: Make) -> None:
    shop = Shop(fails={"charge": 1})
    async with make(concurrency=0) as orchestrator:
        run = await orchestrator.register("shop", make_saga(shop, retry=RARELY)).start(Order("1"))
        assert await orchestrator.run_due() == 1
        admin = SagaAdmin(orchestrator)
        await admin.skip_step(run.id, "charge", BY_HAND)
        for _ in range(2):
            with pytest.raises(SagaStateError, match="does not wait at that step"):
                await admin.skip_step(run.id, "charge", BY_HAND)
        statuses = [one.status for one in (await admin.get_saga(run.id)).steps]
        assert statuses == [StepStatus.SUCCEEDED, StepStatus.SKIPPED, StepStatus.PENDING]
        assert await orchestrator.run_due() == 1
        assert isinstance(await run.outcome(SOON), Completed)
        assert shop.done == ["reserve", "ship"]


async def test_what_has_not_begun_is_skipped_only_by_who_says_so(make: Make) -> None:
    shop = Shop()
    async with make(concurrency=0) as orchestrator:
        run = await orchestrator.register("shop", make_saga(shop)).start(Order("1"))
        admin = SagaAdmin(orchestrator)
        with pytest.raises(SagaStateError, match="not_begun=True"):
            await admin.skip_step(run.id, "reserve", BY_HAND)
        await admin.skip_step(run.id, "reserve", BY_HAND, not_begun=True)
        await orchestrator.run_due()
        assert isinstance(await run.outcome(SOON), Completed)
        assert shop.done == ["charge", "ship"]


async def test_no_output_is_no_output_of_defaults(make: Make) -> None:
    async def work(inp: Order) -> Order:
        return inp

    async def nothing(inp: Order) -> None:
        return None

    builder = SagaBuilder(Order)
    builder.add_step(step(work), depends_on=builder.initial)
    builder.add_step(step(nothing), depends_on=builder.initial)
    async with make(concurrency=0) as orchestrator:
        run = await orchestrator.register("ordered", builder.build()).start(Order("1"))
        admin = SagaAdmin(orchestrator)
        nothings: tuple[object, ...] = (None, {})
        for output in nothings:
            with pytest.raises(PayloadError, match="no valid Order"):
                await admin.skip_step(run.id, "work", output, not_begun=True)
        await admin.skip_step(run.id, "work", Order("1"), not_begun=True)
        await admin.skip_step(run.id, "nothing", not_begun=True)
        assert (await run.snapshot()).status is SagaStatus.COMPLETED


Verb = Callable[[SagaAdmin, SagaRun[Done], int], Awaitable[None]]
VERBS: dict[str, Verb] = {
    "retry": lambda admin, run, seen: admin.retry_step(run.id, "charge", expect=seen),
    "edit": lambda admin, run, seen: admin.retry_step(run.id, "charge", input=Order("2"), expect=seen),
    "rewind": lambda admin, run, seen: admin.rewind(run.id, "charge", expect=seen),
    "skip": lambda admin, run, seen: admin.skip_step(run.id, "charge", BY_HAND, expect=seen),
    "cancel": lambda admin, run, seen: admin.cancel(run.id, expect=seen),
    "compensate": lambda admin, run, seen: admin.compensate_step(run.id, expect=seen),
    "abort": lambda admin, run, seen: admin.abort(run.id, expect=seen),
    "mark": lambda admin, run, seen: admin.settle_undone(run.id, "charge", expect=seen),
}


@pytest.mark.parametrize("verb", VERBS)
async def test_a_verb_for_what_the_operator_saw_is_refused_once_the_saga_has_moved_on(make: Make, verb: str) -> None:
    shop = Shop(fails={"charge": 2})
    async with make(concurrency=0) as orchestrator:
        run = await orchestrator.register("shop", make_saga(shop, retry=RARELY)).start(Order("1"))
        await orchestrator.run_due()
        admin = SagaAdmin(orchestrator)
        seen = await run.snapshot()
        assert (
            seen.revision == (await admin.get_saga(run.id)).revision == len((await admin.get_saga(run.id)).step_history)
        )
        await admin.retry_step(run.id, "charge", expect=seen.revision)
        await orchestrator.run_due()
        moved_on = await admin.get_saga(run.id)
        with pytest.raises(SagaStateError, match="has moved on since you looked at it") as refused:
            await VERBS[verb](admin, run, seen.revision)
        assert refused.value.hint is not None
        assert "expect=" in refused.value.hint
        assert (await admin.get_saga(run.id)).step_history == moved_on.step_history
        if verb != "mark":
            await VERBS[verb](admin, run, moved_on.revision)


async def test_an_owner_refuses_a_verb_for_another_revision_too(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    async with make() as orchestrator, make(concurrency=0) as elsewhere:
        run = await orchestrator.register("shop", make_saga(shop)).start(Order("1"))
        await until(lambda: len(shop.keys) == 2)
        admin = SagaAdmin(elsewhere, actor="ann@shop")
        seen = await run.snapshot()
        with pytest.raises(SagaStateError, match="has moved on"):
            await admin.compensate_step(run.id, expect=seen.revision - 1)
        asked = asyncio.create_task(admin.compensate_step(run.id, expect=seen.revision, reason="the customer called"))
        while "compensation_requested" not in [e.kind for e in (await admin.get_saga(run.id)).step_history]:
            await asyncio.sleep(0.01)
        assert shop.hold is not None
        shop.hold.set()
        await asked
        assert isinstance(await run.outcome(SOON), Compensated)
        (entry,) = [e for e in (await admin.get_saga(run.id)).step_history if e.kind == "compensation_requested"]
        assert (entry.actor, entry.reason) == ("ann@shop", "the customer called")


async def test_a_verb_after_the_owner_is_gone_counts_for_the_state_that_it_left(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    definition = make_saga(shop)
    async with make() as gone, make(concurrency=0) as orchestrator:
        run = await gone.register("shop", definition).start(Order("1"))
        await until(lambda: len(shop.keys) == 2)
        await gone._life.worker.stop()  # pyright: ignore[reportPrivateUsage]  # it is dead, as far as others can tell
        for held in list(gone.engine.held.values()):
            held.leave_to_lease()
        await end_leases(gone)
        orchestrator.register("shop", definition)
        admin = SagaAdmin(orchestrator)
        seen = await run.snapshot()
        await admin.skip_step(run.id, "charge", BY_HAND, expect=seen.revision)
        assert (await admin.get_saga(run.id)).steps[1].status is StepStatus.SKIPPED


async def test_who_asked_and_why_stands_in_the_history(make: Make) -> None:
    shop = Shop(fails={"charge": 1, "ship": 1, "refund by hand": 9})
    async with make(concurrency=0) as orchestrator:
        run = await orchestrator.register("shop", make_saga(shop, retry=RARELY)).start(Order("1"))
        await orchestrator.run_due()
        ann, nobody = SagaAdmin(orchestrator, actor="ann@shop"), SagaAdmin(orchestrator)
        await ann.skip_step(run.id, "charge", BY_HAND, reason="paid by wire, OPS-12")
        await orchestrator.run_due()
        await ann.retry_step(run.id, "ship")
        await nobody.abort(run.id, reason="enough of it")
        history = (await nobody.get_saga(run.id)).step_history
        told = [(e.kind, e.step_id, e.actor, e.reason, e.input) for e in history if e.kind in _VERBS]
        assert told == [
            ("step_skipped", "charge", "ann@shop", "paid by wire, OPS-12", None),
            ("retry_requested", "ship", "ann@shop", None, None),
            ("abort_requested", None, None, "enough of it", None),
        ]
        assert {e.actor for e in history if e.kind not in _VERBS} == {None}


_VERBS = ("step_skipped", "retry_requested", "abort_requested")


NO_LINE: dict[object, str] = {
    "": "is empty",
    "two\nlines": r"holds '\\n'",
    "x" * 1001: "has 1001",
    7: "not an int",
    b"x": "not a bytes",
}


@pytest.mark.parametrize("given", NO_LINE, ids=lambda given: str(given)[:9])
async def test_an_actor_and_a_reason_are_one_line(given: object) -> None:
    orchestrator = SagaOrchestrator(MemoryStore())
    says = NO_LINE[given]
    with pytest.raises(PayloadError, match=f"actor must be one line of 1 to 255 printable characters.*{says}"):
        SagaAdmin(orchestrator, actor=given)  # type: ignore[arg-type]  # what is no text
    with pytest.raises(
        PayloadError, match=f"reason must be one line of 1 to 1000 printable characters.*{says}"
    ) as caught:
        await SagaAdmin(orchestrator).abort(uuid4(), reason=given)  # type: ignore[arg-type]  # what is no text
    assert ("shorten" in (caught.value.hint or "")) is (len(str(given)) > 1000)


async def test_a_step_that_was_undone_by_hand_lets_the_rest_of_the_rollback_go_on(make: Make) -> None:
    shop = Shop(fails={"ship": 1, "refund charge": 99})
    async with make() as orchestrator:
        run = await orchestrator.register("shop", make_saga(shop)).start(Order("1"))
        ended = await run.outcome(SOON)
        assert isinstance(ended, Failed)
        admin = SagaAdmin(orchestrator, actor="ann@shop")
        with pytest.raises(SagaStateError, match="nothing open at that step that this would answer"):
            await admin.settle_never_ran(run.id, "reserve")
        await admin.settle_undone(run.id, "charge", reason="refunded at the counter")
        async with asyncio.timeout(SOON):
            while (await run.snapshot()).status is not SagaStatus.COMPENSATED:
                await asyncio.sleep(0.01)
        assert shop.done == ["reserve", "charge", "release reserve"]
        seen = await admin.get_saga(run.id)
        assert [one.status for one in seen.steps[:2]] == [StepStatus.COMPENSATED, StepStatus.COMPENSATED]
        (entry,) = [e for e in seen.step_history if e.kind == "step_settled"]
        assert (entry.step_id, entry.phase, entry.reason) == ("charge", "compensate", "refunded at the counter")
        assert await admin.verify(run.id) == []


async def test_a_saga_that_has_failed_says_so_when_it_is_taken_up_again(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    shop = Shop(fails={"ship": 1})
    async with make() as orchestrator:
        run = await orchestrator.register("shop", make_saga(shop, compensate_on_failure=False)).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Failed)
        admin = SagaAdmin(orchestrator)
        with pytest.raises(SagaStateError, match="nothing that waits to be retried there"):
            await admin.retry_step(run.id, "reserve")
        with caplog.at_level(logging.WARNING, "saga_fn"):
            await admin.retry_step(run.id, "ship")
        assert f"saga {run.id}: resumed from FAILED by an operator (retry_requested)" in caplog.messages
        async with asyncio.timeout(SOON):
            while (await run.snapshot()).status is not SagaStatus.COMPLETED:
                await asyncio.sleep(0.01)


async def test_a_delayed_start_begins_when_it_is_resumed(make: Make) -> None:
    shop = Shop()
    async with make() as orchestrator:
        run = await orchestrator.register("shop", make_saga(shop)).start(Order("1"), delay=timedelta(hours=1))
        assert shop.done == []
        assert await orchestrator.resume(run.id)
        assert isinstance(await run.outcome(SOON), Completed)
        assert not await orchestrator.resume(run.id)


async def test_a_step_that_is_none_is_refused(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        run = await orchestrator.register("shop", make_saga(Shop())).start(Order("1"))
        admin = SagaAdmin(orchestrator)
        with pytest.raises(SagaDefinitionError, match="'reserve', 'charge', 'ship'"):
            await admin.skip_step(run.id, "chrage", BY_HAND)
        for verb in (admin.retry_step, admin.settle_undone, admin.rewind):
            with pytest.raises(SagaStateError, match="has no such step"):
                await verb(run.id, "chrage")


@pytest.mark.parametrize("name", ["\ud800", "nul \x00", "x" * 70, "snow \u2603", "two\nlines", ""])
async def test_what_is_no_step_s_id_never_reaches_an_owner(make: Make, name: str) -> None:
    shop = Shop(hold=asyncio.Event())
    async with make() as orchestrator:
        run = await orchestrator.register("shop", make_saga(shop)).start(Order("1"))
        await until(lambda: len(shop.keys) == 2)
        admin = SagaAdmin(orchestrator)
        for verb in (admin.retry_step, admin.settle_undone, admin.skip_step, admin.rewind):
            with pytest.raises(SagaDefinitionError, match="a step's id or its StepRef is wanted"):
                await verb(run.id, name)
        assert shop.hold is not None
        shop.hold.set()
        assert isinstance(await run.outcome(SOON), Completed)


async def test_a_saga_that_has_done_nothing_ends_clean_when_it_is_rolled_back(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        shop = Shop(fails={"reserve": 1})
        run = await orchestrator.register("shop", make_saga(shop, retry=RARELY)).start(Order("1"))
        await orchestrator.run_due()
        await SagaAdmin(orchestrator).compensate_step(run.id)
        assert isinstance(await run.outcome(SOON), Compensated)
        assert shop.done == []


async def test_why_a_verb_was_asked_for_is_never_taken_for_a_step_s_input(make: Make) -> None:
    shop = Shop(fails={"charge": 1})
    async with make(concurrency=0) as orchestrator:
        run = await orchestrator.register("shop", make_saga(shop, retry=RARELY)).start(Order("1"))
        await orchestrator.run_due()
        await SagaAdmin(orchestrator, actor="ann").retry_step(run.id, "charge", reason="the bank is back")
        earlier = Earlier.of(await orchestrator.engine.store.journal(run.id))
    assert b"ann" not in b"".join(data for given in earlier.inputs.values() for data in given)


@pytest.mark.predecessor(34)
@pytest.mark.parametrize("end", [Completed, Compensated])
async def test_abort_leaves_an_end_as_it_is(make: Make, end: type) -> None:
    shop = Shop(fails={"ship": 1} if end is Compensated else {})
    async with make() as orchestrator:
        run = await orchestrator.register("shop", make_saga(shop)).start(Order("1"))
        before = await run.outcome(SOON)
        assert isinstance(before, end)
        with pytest.raises(SagaStateError, match="has ended"):
            await SagaAdmin(orchestrator).abort(run.id)
        assert (await run.outcome(SOON)).snapshot == before.snapshot
