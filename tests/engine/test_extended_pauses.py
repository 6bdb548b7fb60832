"""The end of a pause of a name, or of everything, that moves timers and deadlines by its length: once, though a process dies."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest

from saga_fn import Completed, FixedRetry, OperationState, PayloadError, SagaAdmin, SagaOrchestrator, SagaRun
from saga_fn.core.ids import Moment
from saga_fn.engine.drive.asked import Asked
from saga_fn.engine.requests.bulk import carry_on
from saga_fn.engine.requests.stored_operation import ending_of
from saga_fn.store.records import Progress
from tests.engine.test_operations import KilledError, carrier
from tests.engine.test_time import napping
from tests.support.approval import approved
from tests.support.shop import Done, Order, Shop, make_saga, one_step
from tests.support.stores import Make
from tests.support.until import SOON, suspended, until

HOUR = timedelta(hours=1)
LENGTH = timedelta(seconds=0.3)


async def asleep(orchestrator: SagaOrchestrator, name: str = "asleep") -> SagaRun[Done]:
    run = await orchestrator.register(name, napping(Shop(), HOUR, deadline=3 * HOUR)).start(Order("1"))
    await suspended(run)
    return run


async def moments(run: SagaRun[Done]) -> tuple[datetime, datetime]:
    """When it wakes, and its deadline."""
    seen = await run.snapshot()
    assert seen.deadline_at is not None
    assert seen.rolls_back_at is not None
    assert seen.waiting_for[0].until == seen.deadline_at
    return seen.deadline_at, seen.rolls_back_at


async def ending_begun(orchestrator: SagaOrchestrator) -> None:
    """An operator has asked for the end of the only pause, and the process has died before anything was moved."""
    store = orchestrator.engine.store
    (pause,) = await store.pauses.read()
    await store.operations.insert(ending_of(pause, "resume", Asked(), store.now()))


async def test_all_that_waits_is_moved_by_the_length_of_the_pause_and_then_it_ends(make: Make) -> None:
    async with make() as orchestrator:
        admin = SagaAdmin(orchestrator, actor="ann@shop")
        napper = orchestrator.register("asleep", napping(Shop(), HOUR, deadline=3 * HOUR))
        run, other = await napper.start(Order("1")), await asleep(orchestrator, "other")
        await suspended(run)
        event = await orchestrator.register("approved", approved(Shop())).start(Order("1"))
        await suspended(event)
        (before, deadline), others = await moments(run), await moments(other)
        await admin.pause("asleep")
        (pause,) = await admin.pauses()
        await asyncio.sleep(LENGTH.total_seconds())
        late = await napper.start(Order("2"), delay=HOUR)
        begins = (await late.snapshot()).begins_at
        assert await admin.resume("asleep", extend=True, reason="OPS-12")
        assert await admin.pauses() == ()
        after, deadline_after = await moments(run)
        entry = (await admin.get_saga(run.id)).step_history[-1]
        assert (entry.kind, entry.actor, entry.reason) == ("moments_moved", "ann@shop", "OPS-12")
        length = entry.timestamp - pause.since
        assert length >= LENGTH
        assert (after, deadline_after) == (before + length, deadline + length)
        assert await moments(other) == others
        moved = (await late.snapshot()).begins_at
        assert begins is not None
        assert moved is not None
        assert timedelta(0) < moved - begins < length
        act = (await admin.list_operations())[0]
        assert (act.verb, act.reason, act.state, act.done) == ("resume", "OPS-12", OperationState.DONE, 2)
        assert not await admin.resume("asleep", extend=True)
        assert await admin.verify(run.id) == await admin.verify(late.id) == []


async def test_an_owner_is_asked_to_move_what_waits_beside_what_it_runs(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    async with make() as orchestrator, make(concurrency=0) as elsewhere:
        run = await orchestrator.register("shop", make_saga(shop, deadline=3 * HOUR)).start(Order("1"))
        await until(lambda: len(shop.keys) == 2)
        before = (await run.snapshot()).rolls_back_at
        admin = SagaAdmin(elsewhere)
        await admin.pause_all()
        await asyncio.sleep(LENGTH.total_seconds())
        assert await admin.resume_all(extend=True)
        async with asyncio.timeout(SOON):
            while (after := (await run.snapshot()).rolls_back_at) == before:
                await asyncio.sleep(0.01)
        assert before is not None
        assert after is not None
        assert after - before >= LENGTH
        assert shop.hold is not None
        shop.hold.set()
        assert isinstance(await run.outcome(SOON), Completed)
        kinds = [each.kind for each in (await admin.get_saga(run.id)).step_history]
        assert kinds.count("moments_moved") == 1


async def test_time_that_two_pauses_have_in_common_is_counted_once(make: Make) -> None:
    async with make() as orchestrator:
        admin = SagaAdmin(orchestrator)
        run = await asleep(orchestrator)
        before, _ = await moments(run)
        await admin.pause_all()
        (everything,) = await admin.pauses()
        await admin.pause("asleep")
        await admin.pause_saga(run.id)
        await asyncio.sleep(LENGTH.total_seconds())
        await admin.resume("asleep", extend=True)
        await admin.resume_all(extend=True)
        await admin.resume_saga(run.id, extend=True)
        entry = (await admin.get_saga(run.id)).step_history[-1]
        after, _ = await moments(run)
        assert entry.kind == "resume_requested"
        assert after - before == entry.timestamp - everything.since


async def test_a_moment_that_was_set_during_the_pause_is_moved_by_the_rest_of_it(make: Make) -> None:
    begun, hold = asyncio.Event(), asyncio.Event()

    async def work(order: Order) -> Done:
        begun.set()
        await hold.wait()
        raise ConnectionError("the bank is down")

    definition = one_step(work, {"retry_policy": FixedRetry(max_attempts=2, delay=HOUR)})
    async with make() as orchestrator:
        admin = SagaAdmin(orchestrator)
        run = await orchestrator.register("shop", definition).start(Order("1"))
        await begun.wait()
        # No process is told of the pause before the attempt has failed: its owner looks for pauses twice in half a lease.
        await orchestrator.engine.store.pauses.add("shop", actor=None, reason=None)
        (pause,) = await admin.pauses()
        await asyncio.sleep(LENGTH.total_seconds())
        hold.set()
        await suspended(run)
        seen = await admin.get_saga(run.id)
        failed, wakes = seen.step_history[-1], seen.deadline_at
        await asyncio.sleep(LENGTH.total_seconds())
        await admin.resume("shop", extend=True)
        after = await admin.get_saga(run.id)
        entry = after.step_history[-1]
        assert (failed.kind, entry.kind) == ("step_failed", "moments_moved")
        assert wakes is not None
        assert after.deadline_at == wakes + (entry.timestamp - failed.timestamp)
        assert entry.timestamp - failed.timestamp < entry.timestamp - pause.since - LENGTH / 2


async def test_a_moment_that_a_person_has_named_stays_when_a_pause_ends(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        admin = SagaAdmin(orchestrator)
        shop = orchestrator.register("shop", make_saga(Shop(), deadline=3 * HOUR))
        run, other = [await shop.start(Order(str(each)), delay=HOUR) for each in range(2)]
        await admin.pause("shop")
        named = datetime.now(UTC).replace(microsecond=0) + 2 * HOUR
        await admin.reschedule(run.id, named)
        before = await other.snapshot()
        await asyncio.sleep(LENGTH.total_seconds())
        await admin.resume("shop", extend=True)
        assert ((await run.snapshot()).begins_at, (await run.snapshot()).rolls_back_at) == (named, named + 3 * HOUR)
        assert before.begins_at is not None
        begins = (await other.snapshot()).begins_at
        assert begins is not None
        assert begins >= before.begins_at + LENGTH
        assert await admin.verify(run.id) == []


async def test_times_of_a_journal_never_go_back_whichever_process_writes_it(make: Make) -> None:
    async with make() as ahead, make(concurrency=0) as elsewhere:
        surroundings = ahead.engine.surroundings
        ahead.engine.surroundings = msgspec.structs.replace(
            surroundings, now=lambda: Moment(surroundings.now() + 5_000_000)
        )
        run = await asleep(ahead)
        admin = SagaAdmin(elsewhere)
        await admin.pause_saga(run.id)
        await admin.resume_saga(run.id, extend=True)
        await admin.pause_all()
        await admin.resume_all(extend=True)
        history = (await admin.get_saga(run.id)).step_history
        # The deadline is moved for the second pause, too: the process whose clock is ahead did not set it.
        assert {"pause_requested", "resume_requested"} <= {each.kind for each in history}
        times = [each.timestamp for each in history]
        assert times == sorted(times)
        assert await admin.verify(run.id) == []


async def test_a_process_that_dies_between_any_two_statements_leaves_the_rest_to_another(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        admin = SagaAdmin(orchestrator)
        shop = orchestrator.register("shop", make_saga(Shop()))
        for at in range(1, 60):
            runs = [await shop.start(Order(str(each)), delay=HOUR) for each in range(2)]
            before = [(await run.snapshot()).begins_at for run in runs]
            await admin.pause("shop")
            (pause,) = await admin.pauses()
            await ending_begun(orchestrator)
            async with carrier(orchestrator, at) as (engine, dying):
                try:
                    await carry_on(engine)
                except KilledError:
                    pass
                else:
                    assert at > 2, dying.calls
                    assert await admin.resume("shop", extend=True) is bool(await admin.pauses())
                    return
            await admin.resume("shop", extend=True)
            assert await admin.pauses() == ()
            for run, begins in zip(runs, before, strict=True):
                seen = await admin.get_saga(run.id)
                assert seen.begins_at is not None
                assert begins is not None
                assert seen.begins_at - begins == seen.step_history[-1].timestamp - max(pause.since, seen.created_at)
                await admin.abort(run.id)
    raise AssertionError("a pause comes to no end")


async def test_a_pause_that_somebody_else_ends_is_not_moved_for_any_more(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        admin = SagaAdmin(orchestrator)
        run = await orchestrator.register("shop", make_saga(Shop())).start(Order("1"), delay=HOUR)
        await admin.pause("shop")
        await ending_begun(orchestrator)
        await admin.resume("shop")
        await admin.pause("shop", reason="another")
        before = (await run.snapshot()).begins_at
        async with carrier(orchestrator) as (engine, _):
            await carry_on(engine)
        assert (await run.snapshot()).begins_at == before
        assert [each.reason for each in await admin.pauses()] == ["another"]


async def moved_times(admin: SagaAdmin, saga_id: UUID) -> int:
    return [each.kind for each in (await admin.get_saga(saga_id)).step_history].count("moments_moved")


async def test_sagas_that_were_moved_long_before_the_pause_ends_are_moved_by_the_rest(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        admin, store = SagaAdmin(orchestrator), orchestrator.engine.store
        shop = orchestrator.register("shop", make_saga(Shop()))
        runs = [await shop.start(Order(str(each)), delay=HOUR) for each in range(2)]
        await admin.pause("shop")
        (pause,) = await store.pauses.read()
        long_ago = Moment(store.now() - HOUR // timedelta(microseconds=1))
        through = Progress(is_last=True, began=long_ago, done=2)  # all processes have stopped then, for an hour
        begun = ending_of(pause, "resume", Asked(), store.now())
        await store.operations.insert(msgspec.structs.replace(begun, progress=through))
        async with carrier(orchestrator) as (engine, _):
            await carry_on(engine)
        assert await admin.pauses() == ()
        assert [await moved_times(admin, run.id) for run in runs] == [1, 1]
        assert (await admin.get_operation(begun.id)).done == 2


async def test_the_rest_of_a_batch_is_not_moved_once_somebody_else_has_ended_the_pause(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        admin, store = SagaAdmin(orchestrator), orchestrator.engine.store
        run = await orchestrator.register("shop", make_saga(Shop())).start(Order("1"), delay=HOUR)
        await admin.pause("shop")
        (pause,) = await store.pauses.read()
        row = await store.read(run.id)
        assert row is not None
        begun = ending_of(pause, "resume", Asked(), store.now())
        batch = Progress(batch=((run.id, row.rev),), is_last=True, began=store.now())
        await store.operations.insert(msgspec.structs.replace(begun, progress=batch))
        await admin.resume("shop")
        async with carrier(orchestrator) as (engine, _):
            await carry_on(engine)
        assert await moved_times(admin, run.id) == 0
        assert dict((await admin.get_operation(begun.id)).refusals) == {"not_paused": 1}


async def test_an_end_that_was_stopped_leaves_the_pause_and_goes_on_when_it_is_asked_for_again(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        admin, store = SagaAdmin(orchestrator), orchestrator.engine.store
        await admin.pause("shop", may_be_new=True)
        (pause,) = await store.pauses.read()
        begun = await store.operations.insert(ending_of(pause, "resume", Asked(), store.now()))
        await admin.stop_operation(begun.id)
        assert len(await admin.pauses()) == 1
        assert await admin.resume("shop", extend=True)
        assert await admin.pauses() == ()


async def test_a_process_that_is_stopped_gives_the_operation_back_at_once(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        admin = SagaAdmin(orchestrator)
        shop = orchestrator.register("shop", make_saga(Shop()))
        await shop.start_many([Order(str(each)) for each in range(120)], delay=HOUR)
        await admin.pause("shop")
        ending = asyncio.create_task(admin.resume("shop", extend=True))
        async with asyncio.timeout(SOON):
            while not any(each.done for each in await admin.list_operations()):
                await asyncio.sleep(0.001)
        ending.cancel()
        await asyncio.wait([ending])
        begun = (await admin.list_operations())[0]
        if begun.state is OperationState.RUNNING:
            taken = await orchestrator.engine.store.operations.claim([], lease=timedelta(seconds=1))
            assert taken is not None
            assert taken.id == begun.id


@pytest.mark.parametrize("extend", [1, None, "yes"], ids=repr)
async def test_extend_is_a_bool(make: Make, extend: object) -> None:
    async with make(concurrency=0) as orchestrator:
        admin = SagaAdmin(orchestrator)
        for call in (admin.resume("shop", extend=extend), admin.resume_all(extend=extend)):  # type: ignore[arg-type]  # what no type checker sees
            with pytest.raises(PayloadError, match="extend"):
                await call
