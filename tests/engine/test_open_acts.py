"""An act whose process dies before it has written the outcome: the sweep finds out, and writes what is so."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from saga_fn import Operation, SagaAdmin, SagaRun, SagaStateError
from saga_fn.core.verbs import Verb
from saga_fn.engine.drive.asked import Asked
from saga_fn.engine.hold import sweeping
from saga_fn.engine.requests.deeds import Deed
from saga_fn.engine.requests.operate import apply_alone
from saga_fn.engine.requests.records import done_once, recorded
from tests.engine.test_operations import KilledError, carrier
from tests.support.approval import approved
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.stores import Make
from tests.support.until import SOON, suspended, until

NOW = timedelta(0)
HOUR = timedelta(hours=1)


async def newest(admin: SagaAdmin) -> Operation:
    return (await admin.list_operations(limit=1))[0]


async def test_an_act_whose_process_dies_between_any_two_statements_is_told_as_it_is(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        admin = SagaAdmin(orchestrator)
        approval = orchestrator.register("approved", approved(Shop()))
        seen: set[str] = set()
        for at in range(2, 30):
            run = await approval.start(Order(str(at)), delay=HOUR)
            async with carrier(orchestrator, at) as (engine, dying):
                try:
                    await apply_alone(
                        engine, run.id, Deed(Verb.PAUSE_SAGA), expect=None, asked=Asked("ann@shop").encode()
                    )
                except KilledError:
                    pass
                else:
                    break
            record = await newest(admin)
            assert (record.verb, record.saga_id, record.asked, record.done) == ("pause_saga", run.id, 1, 0)
            await orchestrator.engine.sweep.finish_acts(older=NOW)
            record = await newest(admin)
            is_paused = bool((await admin.get_saga(run.id)).pauses)
            assert (record.asked, record.done, dict(record.refusals)) == (
                (0, 1, {}) if is_paused else (0, 0, {"never_done": 1})
            ), dying.calls
            seen |= set(record.refusals) or {"done"}
        assert seen == {"done", "never_done"}


async def test_a_request_that_stands_is_told_once_its_owner_has_answered(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    async with make() as orchestrator, make(concurrency=0) as elsewhere:
        run: SagaRun[Done] = await orchestrator.register("shop", make_saga(shop)).start(Order("1"))
        await until(lambda: len(shop.keys) == 2)
        admin = SagaAdmin(elsewhere)
        asked = asyncio.create_task(admin.cancel(run.id))
        async with asyncio.timeout(SOON):
            while await orchestrator.engine.store.messages(run.id) or not asked.done():
                await asyncio.sleep(0.01)
        await asked
        await elsewhere.engine.sweep.finish_acts(older=NOW)
        record = await newest(admin)
        assert (record.verb, record.asked, record.done) == ("cancel", 0, 1)
        assert shop.hold is not None
        shop.hold.set()


async def test_an_act_that_leaves_no_trace_is_told_as_unknown_when_it_is_old(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with make(concurrency=0) as orchestrator:
        admin = SagaAdmin(orchestrator)
        async with carrier(orchestrator, 1) as (engine, _):
            with pytest.raises(KilledError):
                await recorded(engine, "pause", Asked(), engine.store.pauses.read, done_once)
        await orchestrator.engine.sweep.finish_acts(older=NOW)
        assert (await newest(admin)).asked == 1, "it may be at it yet"
        monkeypatch.setattr(sweeping, "_LONGEST_ACT", NOW)
        await orchestrator.engine.sweep.finish_acts(older=NOW)
        record = await newest(admin)
        assert (record.verb, record.asked, dict(record.refusals)) == ("pause", 0, {"unknown": 1})


async def test_a_refused_act_and_one_that_is_done_stay_as_they_were_told(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        admin = SagaAdmin(orchestrator)
        run = await orchestrator.register("approved", approved(Shop())).start(Order("1"))
        while await orchestrator.run_due():
            pass
        await suspended(run)
        await admin.pause_saga(run.id)
        with pytest.raises(SagaStateError):
            await admin.pause_saga(run.id)
        before = await admin.list_operations()
        await orchestrator.engine.sweep.finish_acts(older=NOW)
        assert await admin.list_operations() == before
