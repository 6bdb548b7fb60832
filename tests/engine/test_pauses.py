"""Operators pause sagas of a name, or all of them: nothing begins, nothing is lost, and all of it goes on. On all stores."""

from __future__ import annotations

import asyncio
import logging
import re
from datetime import timedelta

import pytest

from saga_fn import (
    Cancel,
    Completed,
    MemoryStore,
    OperationState,
    PayloadError,
    SagaAdmin,
    SagaCount,
    SagaFilter,
    SagaNotRegisteredError,
    SagaOrchestrator,
    SagaRun,
    SagaStatus,
)
from saga_fn.store.records import time_of
from tests.engine.test_time import napping
from tests.support.approval import Approval, approval, approved
from tests.support.crash import born, dies
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.stores import Make
from tests.support.until import SOON, suspended, told_late, until
from tests.typing.right.store import CountingStore

LOOKED = 1.5
"""Seconds: more than half of the lease of `make`, within which each process looks what is paused."""


async def told(admin: SagaAdmin, run: SagaRun[Done]) -> None:
    """Return as soon as the owner of the saga has found that it is paused."""
    async with asyncio.timeout(SOON):
        while all(each.kind != "paused" for each in (await admin.get_saga(run.id)).step_history):
            await asyncio.sleep(0.01)


async def test_a_start_of_a_paused_name_waits_for_the_end_of_the_pause(make: Make) -> None:
    shop, other = Shop(), Shop()
    async with make() as orchestrator:
        admin = SagaAdmin(orchestrator, actor="ann@shop")
        handle = orchestrator.register("shop", make_saga(shop))
        assert await admin.pause("shop", reason="the bank is down")
        run = await handle.start(Order("1"))
        not_paused = await orchestrator.register("other", make_saga(other)).start(Order("2"))
        assert isinstance(await not_paused.outcome(SOON), Completed)
        assert shop.done == []
        (pause,) = await admin.pauses()
        assert (pause.saga_name, pause.actor, pause.reason) == ("shop", "ann@shop", "the bank is down")
        assert await admin.resume("shop")
        assert isinstance(await run.outcome(SOON), Completed)
        assert await admin.pauses() == ()


async def test_a_name_that_nobody_knows_is_refused_unless_it_may_be_new(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        admin = SagaAdmin(orchestrator)
        with pytest.raises(
            SagaNotRegisteredError, match=r"(?s)'nosuch'.*HINT: check the name: .* pause\(name, may_be_new=True\)"
        ):
            await admin.pause("nosuch", reason="misspelt")
        assert await admin.pauses() == ()
        assert await admin.list_operations() == ()
        assert await admin.pause("nosuch", may_be_new=True)
        assert [each.saga_name for each in await admin.pauses()] == ["nosuch"]


async def test_a_name_is_known_where_another_process_works_on_it_or_a_saga_of_it_is_stored(make: Make) -> None:
    async with make(concurrency=0) as looks:
        admin = SagaAdmin(looks)
        async with make() as works:
            run = await works.register("stored", make_saga(Shop())).start(Order("1"))
            works.register("worked on", make_saga(Shop()))
            async with asyncio.timeout(SOON):
                while {name for process in await admin.processes() for name, _ in process.definitions} != {
                    "stored",
                    "worked on",
                }:
                    await asyncio.sleep(0.01)
            assert await admin.pause("worked on")
            assert isinstance(await run.outcome(SOON), Completed)
        assert await admin.pause("stored")


async def test_a_preview_of_many_names_the_pauses_that_hold_them(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        admin = SagaAdmin(orchestrator, actor="ann@shop")
        for name in ("shop", "other"):
            await orchestrator.register(name, make_saga(Shop())).start(Order(name))
        await admin.pause("shop", reason="the bank is down")
        (of_name,) = (await admin.preview(SagaFilter(saga_name="shop"), Cancel())).pauses
        assert (of_name.saga_name, of_name.actor, of_name.reason) == ("shop", "ann@shop", "the bank is down")
        assert (await admin.preview(SagaFilter(saga_name="other"), Cancel())).pauses == ()
        await admin.pause_all()
        found = [
            [each.saga_name for each in (await admin.preview(wanted, Cancel(), everything=True)).pauses]
            for wanted in (SagaFilter(saga_name="other"), SagaFilter())
        ]
        assert found == [[None], ["shop", None]]


async def test_a_page_of_a_list_has_the_pauses_that_hold_its_sagas(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        admin = SagaAdmin(orchestrator)
        shop = orchestrator.register("shop", make_saga(Shop()))
        other = orchestrator.register("other", make_saga(Shop()))
        aborted = await other.start(Order("1"))
        await admin.abort(aborted.id)
        await other.start(Order("2"))
        await shop.start(Order("3"))
        await admin.pause("other")
        page = await admin.list()
        assert [each.saga_name for each in page.pauses] == ["other"]
        held = {(row.saga_name, row.status.is_terminal): bool(page.holding(row)) for row in page.rows}
        assert held == {("other", True): False, ("other", False): True, ("shop", False): False}
        assert (await admin.list(SagaFilter(saga_name="shop"))).pauses == ()
        await admin.pause_all()
        page = await admin.list(SagaFilter(saga_name="shop"))
        assert [[each.saga_name for each in page.holding(row)] for row in page.rows] == [[None]]
        assert [each.saga_name for each in (await admin.list(SagaFilter(saga_name="nobody"))).pauses] == [None]


async def test_a_process_says_once_that_what_it_works_on_is_paused_and_that_it_is_no_more(
    memory: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "saga_fn.process")
    orchestrator = SagaOrchestrator(memory)
    orchestrator.register("shop", make_saga(Shop()))
    admin = SagaAdmin(orchestrator, actor="ann@shop")
    for _ in range(2):
        await admin.pause("shop", reason="a secret")
    await admin.pause("nobody", may_be_new=True)
    await admin.pause_all()
    await admin.resume("shop")
    await admin.pause("shop")
    await admin.resume_all()
    lines = [re.sub(r"since \S+ \S+ UTC", "since then", each.getMessage()) for each in caplog.records]
    begins = " are paused since then, by ann@shop: nothing of them begins before the end of that pause"
    assert lines == [
        f"the sagas named 'shop'{begins}",
        f"all sagas{begins}",
        "the pause of the sagas named 'shop' has ended",
        f"the sagas named 'shop'{begins}",
        "the pause of all sagas has ended",
    ]


async def test_what_runs_comes_to_its_end_and_nothing_follows_in_another_process(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    async with make() as orchestrator, make(concurrency=0) as elsewhere:
        run = await orchestrator.register("shop", make_saga(shop)).start(Order("1"))
        await until(lambda: len(shop.keys) == 2)
        admin = SagaAdmin(elsewhere, actor="ann@shop")
        await admin.pause("shop", reason="the bank is down")
        await told(admin, run)
        assert shop.hold is not None
        shop.hold.set()
        await until(lambda: "charge" in shop.done)
        await asyncio.sleep(LOOKED)
        assert shop.done == ["reserve", "charge"]
        entry = next(each for each in (await admin.get_saga(run.id)).step_history if each.kind == "paused")
        assert (entry.actor, entry.reason) == ("ann@shop", "the bank is down")
        await admin.resume("shop")
        assert isinstance(await run.outcome(SOON), Completed)
        assert shop.done == ["reserve", "charge", "ship"]
        assert await admin.verify(run.id) == []


async def test_a_rollback_undoes_nothing_while_it_is_paused(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    async with make() as orchestrator:
        run = await orchestrator.register("shop", make_saga(shop)).start(Order("1"))
        admin = SagaAdmin(orchestrator)
        await until(lambda: len(shop.keys) == 2)
        await admin.pause_all()
        await admin.cancel(run.id)
        assert shop.hold is not None
        shop.hold.set()
        await asyncio.sleep(LOOKED)
        assert shop.done == ["reserve", "charge"]
        await admin.resume_all()
        await until(lambda: "release reserve" in shop.done)


async def test_a_name_and_everything_are_paused_apart(make: Make) -> None:
    shop = Shop()
    async with make() as orchestrator:
        admin = SagaAdmin(orchestrator)
        assert [await admin.pause_all(), await admin.pause("shop", may_be_new=True)] == [True, True]
        assert [await admin.pause_all(), await admin.pause("shop", may_be_new=True, reason="again")] == [False, False]
        assert [(each.saga_name, each.reason) for each in await admin.pauses()] == [(None, None), ("shop", None)]
        run = await orchestrator.register("shop", make_saga(shop)).start(Order("1"))
        assert await admin.resume_all()
        assert not await admin.resume_all()
        await asyncio.sleep(0.3)
        assert shop.done == []
        assert await admin.resume("shop")
        assert isinstance(await run.outcome(SOON), Completed)


async def test_events_and_verbs_are_folded_while_it_is_paused(make: Make) -> None:
    shop = Shop()
    async with make() as orchestrator:
        run = await orchestrator.register("approved", approved(shop)).start(Order("1"))
        await suspended(run)
        aborted = await orchestrator.register("aborted", approved(Shop())).start(Order("2"))
        await suspended(aborted)
        admin = SagaAdmin(orchestrator)
        await admin.pause_all()
        await orchestrator.to(run.id, approval).send(Approval("ann"))
        await admin.abort(aborted.id)
        assert (await aborted.snapshot()).status is SagaStatus.FAILED
        assert not await orchestrator.resume(run.id)
        await asyncio.sleep(0.3)
        assert "ship" not in shop.done
        await admin.resume_all()
        assert isinstance(await run.outcome(SOON), Completed)


async def test_a_timer_whose_moment_came_during_the_pause_fires_after_it(make: Make) -> None:
    shop = Shop()
    async with make() as orchestrator:
        run = await orchestrator.register("asleep", napping(shop, timedelta(seconds=1.5))).start(Order("1"))
        await suspended(run)
        admin = SagaAdmin(orchestrator)
        await admin.pause("asleep")
        (wait,) = (await run.snapshot()).waiting_for
        assert wait.until is not None
        while time_of(orchestrator.engine.store.now()) <= wait.until:
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.2)  # time to do what it must not
        assert shop.done == ["reserve"]
        await admin.resume("asleep")
        assert isinstance(await run.outcome(SOON), Completed)


async def test_a_process_stops_while_everything_is_paused(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    async with make(concurrency=0) as operators:
        admin = SagaAdmin(operators)

        async def releases() -> None:
            await told(admin, run)
            assert shop.hold is not None
            shop.hold.set()

        async with make() as orchestrator:
            run = await orchestrator.register("shop", make_saga(shop)).start(Order("1"))
            await until(lambda: len(shop.keys) == 2)
            await admin.pause_all()
            releasing = asyncio.create_task(releases())
        await releasing
        assert shop.done == ["reserve", "charge"]
        async with make() as later:
            later.register("shop", make_saga(shop))
            await asyncio.sleep(0.5)
            assert shop.done == ["reserve", "charge"]
            await admin.resume_all()
            await until(lambda: shop.done == ["reserve", "charge", "ship"])
            async with asyncio.timeout(SOON):
                while (await admin.get_saga(run.id)).status is not SagaStatus.COMPLETED:
                    await asyncio.sleep(0.01)


async def test_a_saga_whose_process_died_during_a_pause_stays_paused(make: Make) -> None:
    shop, other = Shop(hold=asyncio.Event()), Shop()
    first = await born(make())
    run = await first.register("shop", make_saga(shop)).start(Order("1"))
    await until(lambda: len(shop.keys) == 2)
    await SagaAdmin(first).pause("shop")
    await told(SagaAdmin(first), run)
    await dies(first)
    async with make() as second:
        second.register("shop", make_saga(other))
        await asyncio.sleep(LOOKED)
        assert other.keys == []
        admin = SagaAdmin(second)
        assert len(await admin.pauses()) == 1
        await admin.resume("shop")
        await until(lambda: other.done == ["charge", "ship"])
        assert await admin.verify(run.id) == []


async def test_a_paused_name_does_not_keep_workers_busy(memory: MemoryStore) -> None:
    """A due saga that is paused is no reason to look more often than there is nothing to do."""
    store = CountingStore(memory)
    async with SagaOrchestrator(store, poll_interval=timedelta(seconds=0.5)) as orchestrator:
        await SagaAdmin(orchestrator).pause("shop", may_be_new=True)
        await orchestrator.register("shop", make_saga(Shop())).start(Order("1"))
        await asyncio.sleep(0.6)
        before = store.calls["due_shards"] + store.calls["claim_due"]
        await asyncio.sleep(1.5)
        assert store.calls["due_shards"] + store.calls["claim_due"] - before <= 5


@pytest.mark.parametrize("name", [None, "", 5, b"shop", "a\x00", "x" * 256], ids=repr)
async def test_a_name_that_is_none_is_refused(make: Make, name: object) -> None:
    async with make() as orchestrator:
        admin = SagaAdmin(orchestrator)
        for call in (admin.pause, admin.resume):
            with pytest.raises(PayloadError):
                await call(name)  # type: ignore[arg-type]  # what no type checker sees
        assert await admin.pauses() == ()


async def test_each_pause_and_its_end_are_among_the_acts_of_operators(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        admin = SagaAdmin(orchestrator, actor="ann@shop")
        await admin.pause("shop", may_be_new=True, reason="the bank is down")
        await admin.pause("shop", may_be_new=True, reason="again")
        await admin.pause_all(reason="all is down")
        await admin.resume("shop", reason="the bank is back")
        await admin.resume_all(reason="all is well")
        await admin.resume_all()
        acts = list(reversed(await admin.list_operations()))
        assert [(act.verb, dict(act.wanted), act.reason, act.done, dict(act.refusals)) for act in acts] == [
            ("pause", {"saga_name": "shop"}, "the bank is down", 1, {}),
            ("pause", {"saga_name": "shop"}, "again", 0, {"already_paused": 1}),
            ("pause_all", {}, "all is down", 1, {}),
            ("resume", {"saga_name": "shop"}, "the bank is back", 1, {}),
            ("resume_all", {}, "all is well", 1, {}),
            ("resume_all", {}, None, 0, {"not_paused": 1}),
        ]
        assert {act.actor for act in acts} == {"ann@shop"}
        assert {(act.state, act.saga_id, act.step_id) for act in acts} == {(OperationState.DONE, None, None)}
        assert (await admin.get_operation(acts[0].id)).remaining == SagaCount(0, is_more=False)
        assert (await admin.stop_operation(acts[0].id)).state is OperationState.DONE
        assert (await admin.continue_operation(acts[0].id)).state is OperationState.DONE


async def test_a_wait_that_is_over_during_a_pause_says_so(make: Make) -> None:
    async with make() as orchestrator:
        admin = SagaAdmin(orchestrator)
        await admin.pause("shop", may_be_new=True)
        run = await orchestrator.register("shop", make_saga(Shop())).start(Order("1"))
        late = await told_late(run, "paused")
        assert late.paused
        assert "SagaAdmin.resume" in (late.hint or "")
        await admin.resume("shop")
        assert isinstance(await run.outcome(SOON), Completed)
