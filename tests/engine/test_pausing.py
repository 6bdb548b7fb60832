"""An operator pauses one saga: nothing of it begins before it is resumed, with or without an owner, and its moments may be moved."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

import msgspec
import pytest

from saga_fn import (
    AttentionKind,
    Completed,
    MemoryStore,
    MoveKind,
    PauseSaga,
    PayloadError,
    ResumeSaga,
    SagaAdmin,
    SagaFilter,
    SagaOrchestrator,
    SagaStateError,
    SagaStatus,
    WaitReason,
)
from saga_fn.core.ids import Moment
from saga_fn.store.postgres import PostgresStore
from tests.engine.test_time import napping
from tests.support.approval import Approval, approval, approved
from tests.support.crash import born, dies
from tests.support.shop import Order, Shop, make_saga
from tests.support.stores import Make
from tests.support.until import SOON, suspended, told_late, until
from tests.typing.right.store import CountingStore

HOUR = timedelta(hours=1)


async def test_what_runs_comes_to_its_end_and_nothing_follows_before_it_is_resumed(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    async with make() as orchestrator, make(concurrency=0) as elsewhere:
        run = await orchestrator.register("shop", make_saga(shop)).start(Order("1"))
        await until(lambda: len(shop.keys) == 2)
        admin = SagaAdmin(elsewhere, actor="ann@shop")
        await admin.pause_saga(run.id, reason="the customer is on the phone")
        assert shop.hold is not None
        shop.hold.set()
        await suspended(run)
        assert shop.done == ["reserve", "charge"]
        seen = await admin.get_saga(run.id)
        assert (seen.waits, seen.deadline_at) == (WaitReason.PAUSED, None)
        (pause,) = seen.pauses
        assert (pause.saga_id, pause.actor, pause.reason) == (run.id, "ann@shop", "the customer is on the phone")
        assert seen.paused_since == pause.since
        with pytest.raises(SagaStateError, match="was paused before") as again:
            await admin.pause_saga(run.id)
        assert again.value.refusal == "already_paused"
        await admin.resume_saga(run.id, reason="she agrees", expect=seen.revision)
        assert isinstance(await run.outcome(SOON), Completed)
        assert shop.done == ["reserve", "charge", "ship"]
        told = [(each.kind, each.actor, each.reason) for each in (await admin.get_saga(run.id)).step_history]
        assert ("pause_requested", "ann@shop", "the customer is on the phone") in told
        assert ("resume_requested", "ann@shop", "she agrees") in told
        assert await admin.verify(run.id) == []
        acts = [(act.verb, act.saga_id, act.done) for act in await admin.list_operations()]
        assert acts[0] == ("resume_saga", run.id, 1)


async def test_it_stays_paused_when_its_process_dies_and_the_next_one_finds_its_step_lost(make: Make) -> None:
    shop, other = Shop(hold=asyncio.Event()), Shop()
    first = await born(make())
    run = await first.register("shop", make_saga(shop)).start(Order("1"))
    await until(lambda: len(shop.keys) == 2)
    await SagaAdmin(first).pause_saga(run.id)
    await dies(first)
    async with make() as second:
        admin = SagaAdmin(second)
        second.register("shop", make_saga(other))
        async with asyncio.timeout(SOON):
            while (await admin.get_saga(run.id)).waits is not WaitReason.PAUSED:  # taken over, and given up
                await asyncio.sleep(0.01)
        assert other.keys == []
        explained = await admin.explain(run.id)
        assert [each.saga_id for each in explained.pauses] == [run.id]
        await admin.resume_saga(run.id)
        await until(lambda: other.done == ["charge", "ship"])
        assert await admin.verify(run.id) == []


async def test_events_are_taken_and_verbs_are_applied_and_begin_after_the_pause(make: Make) -> None:
    shop = Shop()
    async with make() as orchestrator:
        run = await orchestrator.register("approved", approved(shop)).start(Order("1"))
        cancelled = await orchestrator.register("cancelled", approved(Shop())).start(Order("2"))
        aborted = await orchestrator.register("aborted", approved(Shop())).start(Order("3"))
        admin = SagaAdmin(orchestrator)
        for each in (run, cancelled, aborted):
            await suspended(each)
            await admin.pause_saga(each.id)
        await orchestrator.to(run.id, approval).send(Approval("ann"))
        await admin.cancel(cancelled.id)
        await admin.abort(aborted.id)
        assert (await aborted.snapshot()).status is SagaStatus.FAILED
        await told_late(run, "paused")
        for each in (run, cancelled):
            seen = await admin.get_saga(each.id)
            assert (seen.waits, seen.deadline_at) == (WaitReason.PAUSED, None)
        assert "ship" not in shop.done
        said = (await admin.explain(cancelled.id)).of("resume_saga")
        assert said is not None
        assert [(move.kind, move.step) for move in said.at_once] == [(MoveKind.UNDO, "reserve")]
        for each in (run, cancelled):
            await admin.resume_saga(each.id)
        assert isinstance(await run.outcome(SOON), Completed)
        assert (await cancelled.outcome(SOON)).snapshot.status is SagaStatus.COMPENSATED


async def test_timers_fire_on_resume_or_are_moved_by_the_length_of_the_pause(make: Make) -> None:
    async with make() as orchestrator:
        admin = SagaAdmin(orchestrator)
        asleep = napping(Shop(), HOUR, deadline=3 * HOUR)
        run = await orchestrator.register("asleep", asleep).start(Order("1"))
        await suspended(run)
        before = await run.snapshot()
        await admin.pause_saga(run.id)
        since = (await run.snapshot()).paused_since
        assert since is not None
        await asyncio.sleep(0.2)
        await admin.resume_saga(run.id, extend=True)
        after, history = await run.snapshot(), (await admin.get_saga(run.id)).step_history
        length = history[-1].timestamp - since
        assert length >= timedelta(seconds=0.2)
        assert (before.waiting_for[0].until, before.rolls_back_at) != (None, None)
        for was, now in (
            (before.waiting_for[0].until, after.waiting_for[0].until),
            (before.rolls_back_at, after.rolls_back_at),
            (before.deadline_at, after.deadline_at),
        ):
            assert was is not None
            assert now == was + length
        assert (after.paused_since, after.waits) == (None, before.waits)
        assert await admin.verify(run.id) == []


async def test_a_paused_saga_is_claimed_by_nobody(memory: MemoryStore) -> None:
    store = CountingStore(memory)
    async with SagaOrchestrator(store, poll_interval=timedelta(milliseconds=50)) as orchestrator:
        run = await orchestrator.register("asleep", napping(Shop(), HOUR)).start(Order("1"))
        await suspended(run)
        await SagaAdmin(orchestrator).pause_saga(run.id)
        revision = (await run.snapshot()).revision
        store.jump_to(Moment(store.now() + 2 * HOUR // timedelta(microseconds=1)))
        await asyncio.sleep(0.3)  # time to do what it must not
        assert (await run.snapshot()).revision == revision
        await SagaAdmin(orchestrator).resume_saga(run.id)
        assert isinstance(await run.outcome(SOON), Completed)


async def test_paused_sagas_are_listed_and_paused_and_resumed_in_bulk(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        shop = orchestrator.register("shop", make_saga(Shop()))
        runs = [await shop.start(Order(str(number)), delay=HOUR) for number in range(3)]
        admin = SagaAdmin(orchestrator, actor="ann@shop")
        await admin.pause_saga(runs[0].id)
        assert [row.id for row in (await admin.list(SagaFilter(waits=WaitReason.PAUSED))).rows] == [runs[0].id]
        wanted = SagaFilter(saga_name="shop")
        begun = await admin.begin_operation(wanted, PauseSaga(), reason="OPS-12")
        paused = await admin.continue_operation(begun.id)
        assert (paused.done, dict(paused.refusals)) == (2, {"already_paused": 1})
        assert str(await admin.count(SagaFilter(waits=WaitReason.PAUSED))) == "3"
        assert str(await admin.count(SagaFilter(active=True))) == "3"
        found = SagaFilter(waits=WaitReason.PAUSED, saga_name="shop")
        begun = await admin.begin_operation(found, ResumeSaga(extend=True))
        assert (await admin.continue_operation(begun.id)).done == 3
        assert str(await admin.count(found)) == "0"
        with pytest.raises(PayloadError, match="extend"):
            ResumeSaga(extend=1)  # type: ignore[arg-type]  # what no type checker sees
        with pytest.raises(PayloadError, match="extend"):
            await admin.resume_saga(runs[0].id, extend=1)  # type: ignore[arg-type]  # the same


async def test_a_name_that_is_paused_as_well_holds_the_saga_that_is_resumed(make: Make) -> None:
    shop = Shop()
    async with make() as orchestrator:
        run = await orchestrator.register("approved", approved(shop)).start(Order("1"))
        await suspended(run)
        admin = SagaAdmin(orchestrator)
        await admin.pause("approved", reason="the name")
        await admin.pause_saga(run.id, reason="the saga")
        explained = await admin.explain(run.id)
        assert [(each.saga_id, each.reason) for each in explained.pauses] == [(None, "the name"), (run.id, "the saga")]
        assert f"mend: resume_saga({run.id})" in str(explained)
        assert (await admin.get_saga(run.id)).pauses == explained.pauses
        await orchestrator.to(run.id, approval).send(Approval("ann"))
        await admin.resume_saga(run.id)
        await asyncio.sleep(0.3)
        assert "ship" not in shop.done
        await admin.resume("approved")
        assert isinstance(await run.outcome(SOON), Completed)


async def test_health_names_sagas_that_are_paused_for_long(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        run = await orchestrator.register("shop", make_saga(Shop())).start(Order("1"), delay=HOUR)
        admin = SagaAdmin(orchestrator)
        await admin.pause_saga(run.id)
        kinds = {each.kind for each in (await orchestrator.health()).attention}
        assert kinds.isdisjoint({AttentionKind.PAUSED, AttentionKind.PARKED})
        await age(orchestrator, run.id)
        (found,) = [each for each in (await orchestrator.health()).attention if each.kind is AttentionKind.PAUSED]
        assert (found.saga_name, found.sagas, found.saga_ids) == ("shop", 1, (run.id,))


async def age(orchestrator: SagaOrchestrator, saga_id: UUID) -> None:
    """Let the saga look as if nothing had changed of it for two hours."""
    store = orchestrator.engine.store
    if isinstance(store, MemoryStore):
        stored = store._sagas[saga_id]  # pyright: ignore[reportPrivateUsage]  # behind the store's back
        stored.record = msgspec.structs.replace(stored.record, updated_at=stored.record.updated_at - 2 * HOUR)
        return
    assert isinstance(store, PostgresStore)
    async with store._database.work() as connection:  # pyright: ignore[reportPrivateUsage]  # as above
        await connection.execute(
            "UPDATE saga_fn.saga SET updated_at = now() - interval '2 hours' WHERE shard = 0 AND id = $1", saga_id
        )
