"""A person moves what sleeps: a delayed start, a next attempt, a sleep; and nothing else. On all stores."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from saga_fn import Completed, FixedRetry, PayloadError, SagaAdmin, SagaBuilder, SagaStateError, step
from tests.engine.test_time import napping
from tests.support.approval import approved
from tests.support.shop import Order, Shop, make_saga
from tests.support.stores import Make
from tests.support.until import SOON, suspended, until

HOUR = timedelta(hours=1)
RARELY = FixedRetry(max_attempts=9, delay=HOUR)


async def test_a_delayed_start_begins_when_a_person_says_so(make: Make) -> None:
    shop = Shop()
    async with make() as orchestrator:
        run = await orchestrator.register("shop", make_saga(shop)).start(Order("1"), delay=HOUR)
        admin = SagaAdmin(orchestrator, actor="ann@shop")
        await admin.start_now(run.id, reason="in a hurry")
        assert isinstance(await run.outcome(SOON), Completed)
        entry = next(each for each in (await admin.get_saga(run.id)).step_history if each.kind == "rescheduled")
        assert (entry.actor, entry.reason) == ("ann@shop", "in a hurry")
        with pytest.raises(SagaStateError, match="has ended"):
            await admin.start_now(run.id)


async def test_a_start_is_not_moved_to_where_its_deadline_could_not_be_stored(make: Make) -> None:
    async with make() as orchestrator:
        run = await orchestrator.register("shop", make_saga(Shop(), deadline=HOUR)).start(Order("1"), delay=HOUR)
        admin = SagaAdmin(orchestrator)
        with pytest.raises(SagaStateError, match="after the year 9999"):
            await admin.reschedule(run.id, datetime(9999, 12, 31, 23, 30, tzinfo=UTC))
        await admin.reschedule(run.id, datetime(9999, 12, 31, 22, 30, tzinfo=UTC))
        assert await admin.verify(run.id) == []
        await admin.start_now(run.id)
        assert isinstance(await run.outcome(SOON), Completed)


async def test_a_sleeping_retry_is_put_off_and_brought_forward(make: Make) -> None:
    shop = Shop(fails={"charge": 1})
    later = datetime.now(UTC) + 3 * HOUR
    async with make() as orchestrator:
        run = await orchestrator.register("shop", make_saga(shop, retry=RARELY)).start(Order("1"))
        await suspended(run)
        admin = SagaAdmin(orchestrator)
        await admin.reschedule(run.id, later, step="charge")
        assert (await run.snapshot()).deadline_at == later
        with pytest.raises(SagaStateError, match="waits for a moment alone"):
            await admin.reschedule(run.id, later, step="reserve")
        with pytest.raises(SagaStateError, match="has no such step"):
            await admin.reschedule(run.id, later, step="no such step")
        await admin.reschedule(run.id, datetime.now(UTC) - HOUR)
        assert isinstance(await run.outcome(SOON), Completed)
        assert await admin.verify(run.id) == []


async def test_a_sleep_ends_when_a_person_says_so(make: Make) -> None:
    async with make() as orchestrator:
        run = await orchestrator.register("asleep", napping(Shop(), HOUR)).start(Order("1"))
        await suspended(run)
        await SagaAdmin(orchestrator).start_now(run.id)
        assert isinstance(await run.outcome(SOON), Completed)


async def test_a_wait_for_an_event_is_not_moved(make: Make) -> None:
    async with make() as orchestrator:
        run = await orchestrator.register("approved", approved(Shop())).start(Order("1"))
        await suspended(run)
        with pytest.raises(SagaStateError, match="waits for a moment alone"):
            await SagaAdmin(orchestrator).start_now(run.id)


async def test_the_owner_moves_what_sleeps_beside_a_step_that_runs(make: Make) -> None:
    """One branch is tried again in an hour while the other runs: its owner is asked, and tries it at the moment named."""
    shop = Shop(fails={"ship": 1}, hold=asyncio.Event())
    builder = SagaBuilder(Order, order="graph")
    builder.add_step(step(shop.charge), depends_on=builder.initial, retry_policy=RARELY)
    builder.add_step(step(shop.ship), depends_on=builder.initial, retry_policy=RARELY)
    async with make() as orchestrator, make(concurrency=0) as elsewhere:
        run = await orchestrator.register("both", builder.build()).start(Order("1"))
        await until(lambda: shop.fails["ship"] == 0)
        async with asyncio.timeout(SOON):
            while (await run.snapshot()).retry_counter == 0 and shop.done == []:
                try:
                    await SagaAdmin(elsewhere).reschedule(run.id, datetime.now(UTC), step="ship")
                except SagaStateError:
                    await asyncio.sleep(0.01)
                else:
                    break
        await until(lambda: shop.done == ["ship"])
        assert shop.hold is not None
        shop.hold.set()
        assert isinstance(await run.outcome(SOON), Completed)


async def test_a_second_click_while_it_begins_changes_nothing(make: Make) -> None:
    shop = Shop()
    async with make() as orchestrator, make(concurrency=0) as elsewhere:
        run = await orchestrator.register("shop", make_saga(shop)).start(Order("1"), delay=HOUR)
        clicks = (SagaAdmin(by).start_now(run.id) for by in (orchestrator, elsewhere, orchestrator))
        answers = await asyncio.gather(*clicks, return_exceptions=True)
        assert all(answer is None or isinstance(answer, SagaStateError) for answer in answers)
        assert isinstance(await run.outcome(SOON), Completed)
        assert shop.done.count("reserve") == 1


@pytest.mark.parametrize("at", [None, 5, "tomorrow", datetime(2030, 1, 1), timedelta(hours=1)], ids=str)  # noqa: DTZ001 - that is what is wrong with it
async def test_a_moment_that_is_none_is_refused(make: Make, at: object) -> None:
    async with make() as orchestrator:
        run = await orchestrator.register("shop", make_saga(Shop())).start(Order("1"), delay=HOUR)
        with pytest.raises(PayloadError, match="at"):
            await SagaAdmin(orchestrator).reschedule(run.id, at)  # type: ignore[arg-type]  # what no type checker sees
