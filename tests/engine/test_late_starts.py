"""The end of a pause that moves moments reaches each saga whose start was written when it began, committed or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from saga_fn import OperationState, SagaAdmin, SagaOrchestrator
from saga_fn.engine.drive.asked import Asked
from saga_fn.engine.requests import bulk
from saga_fn.engine.requests.bulk import carry_on
from saga_fn.engine.requests.stored_operation import ending_of
from tests.engine.test_operations import KilledError, carrier
from tests.support.shop import Order, Shop, make_saga
from tests.support.until import SOON

HOUR = timedelta(hours=1)


@pytest.fixture
async def caller(any_dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(any_dsn)
    yield connection
    await connection.close(timeout=2)


async def runs_on(admin: SagaAdmin) -> None:
    """Wait until the end of the pause is carried out."""
    async with asyncio.timeout(SOON):
        while not [each for each in await admin.list_operations() if each.state is OperationState.RUNNING]:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("idempotency_key", [None, "q"])
@pytest.mark.parametrize("everything", [False, True])
async def test_a_start_that_is_committed_while_others_are_moved_is_moved_as_well(
    any_dsn: str, caller: asyncpg.Connection[asyncpg.Record], idempotency_key: str | None, everything: bool
) -> None:
    async with SagaOrchestrator(any_dsn, concurrency=0) as orchestrator:
        admin = SagaAdmin(orchestrator)
        shop = orchestrator.register("shop", make_saga(Shop()))
        others = await shop.start_many([Order(str(each)) for each in range(20)], delay=HOUR)
        await (admin.pause_all() if everything else admin.pause("shop"))
        transaction = caller.transaction()
        await transaction.start()
        late = await shop.start(Order("late"), delay=HOUR, idempotency_key=idempotency_key, connection=caller)
        resumed = asyncio.create_task(
            admin.resume_all(extend=True) if everything else admin.resume("shop", extend=True)
        )
        await runs_on(admin)
        await asyncio.sleep(0.3)
        assert not resumed.done()
        assert len(await admin.pauses()) == 1
        await transaction.commit()
        assert await resumed
        for run in (late, *others):
            kinds = [each.kind for each in (await admin.get_saga(run.id)).step_history]
            assert kinds == ["started", "moments_moved"]
        assert (await admin.list_operations())[0].refusals == {}


async def test_a_process_that_dies_while_it_waits_for_a_start_leaves_that_to_another(
    any_dsn: str, caller: asyncpg.Connection[asyncpg.Record]
) -> None:
    async with SagaOrchestrator(any_dsn, concurrency=0, lease=timedelta(seconds=1)) as orchestrator:
        admin, store = SagaAdmin(orchestrator), orchestrator.engine.store
        shop = orchestrator.register("shop", make_saga(Shop()))
        await admin.pause("shop")
        (pause,) = await store.pauses.read()
        begun = await store.operations.insert(ending_of(pause, "resume", Asked(), store.now()))
        async with caller.transaction():
            late = await shop.start(Order("late"), delay=HOUR, connection=caller)
            for at in range(2, 8):  # in its first look, and between each two that follow
                await asyncio.sleep(0.05)  # longer than the lease of the one before
                async with carrier(orchestrator, at) as (engine, _):
                    with pytest.raises(KilledError):
                        await carry_on(engine)
            assert (await admin.get_operation(begun.id)).state is OperationState.RUNNING
            assert len(await admin.pauses()) == 1
        assert await admin.resume("shop", extend=True)
        kinds = [each.kind for each in (await admin.get_saga(late.id)).step_history]
        assert kinds == ["started", "moments_moved"]


async def test_an_end_that_waits_for_a_start_is_stopped_and_an_end_without_moving_passes_it(
    any_dsn: str, caller: asyncpg.Connection[asyncpg.Record]
) -> None:
    async with SagaOrchestrator(any_dsn, concurrency=0) as orchestrator:
        admin = SagaAdmin(orchestrator)
        shop = orchestrator.register("shop", make_saga(Shop()))
        await admin.pause("shop")
        async with caller.transaction():
            await shop.start(Order("late"), delay=HOUR, connection=caller)
            resumed = asyncio.create_task(admin.resume("shop", extend=True))
            await runs_on(admin)
            await admin.stop_operation((await admin.list_operations())[0].id)
            assert not await resumed
            resumed = asyncio.create_task(admin.resume("shop", extend=True))
            await runs_on(admin)
            assert await admin.resume("shop")
            assert await resumed
            assert await admin.pauses() == ()


async def test_a_stop_that_comes_before_the_first_batch_stands(any_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with SagaOrchestrator(any_dsn, concurrency=0) as orchestrator:
        admin, operations = SagaAdmin(orchestrator), orchestrator.engine.store.operations
        take = operations.take

        async def stopped_and_taken(operation_id: UUID, *, seen: OperationState, lease: timedelta) -> object:
            await operations.stop(operation_id)
            return await take(operation_id, seen=seen, lease=lease)

        await admin.pause("shop", may_be_new=True)
        with monkeypatch.context() as patch:
            patch.setattr(operations, "take", stopped_and_taken)
            assert not await admin.resume("shop", extend=True)
        (found,) = [each for each in await admin.list_operations() if each.verb == "resume"]
        assert found.state is OperationState.STOPPED
        assert len(await admin.pauses()) == 1
        assert await admin.resume("shop", extend=True), "to call it again goes on"
        assert await admin.pauses() == ()


async def test_a_transaction_that_is_never_over_is_told_and_keeps_no_pause(
    any_dsn: str, caller: asyncpg.Connection[asyncpg.Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "_LONGEST_OPEN", 0.1)
    async with SagaOrchestrator(any_dsn, concurrency=0) as orchestrator:
        admin = SagaAdmin(orchestrator)
        shop = orchestrator.register("shop", make_saga(Shop()))
        await admin.pause("shop")
        async with caller.transaction():
            await shop.start(Order("late"), delay=HOUR, connection=caller)
            assert await admin.resume("shop", extend=True)
            ended = (await admin.list_operations())[0]
            assert (ended.state, dict(ended.refusals)) == (OperationState.DONE, {"not_committed": 1})
            assert await admin.pauses() == ()
