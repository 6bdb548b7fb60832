"""The texts that `print` gives of values that operators look at; and a record that cannot be read costs itself alone."""

from __future__ import annotations

from datetime import timedelta

import asyncpg

from saga_fn import Cancel, FixedRetry, MemoryStore, SagaAdmin, SagaFilter, SagaOrchestrator, WaitReason
from tests.support.shop import Order, Shop, make_saga
from tests.support.until import suspended

RARELY = FixedRetry(max_attempts=9, delay=timedelta(hours=1))


async def test_a_preview_an_operation_and_numbers_are_printed_in_a_line_each(memory: MemoryStore) -> None:
    async with SagaOrchestrator(memory) as orchestrator:
        shop = Shop()
        shop.fails["charge"] = 3
        sagas = orchestrator.register("shop", make_saga(shop, retry=RARELY))
        runs = [await sagas.start(Order(str(each))) for each in range(3)]
        for run in runs:
            await suspended(run)
        admin = SagaAdmin(orchestrator, actor="ann")
        await admin.pause_saga(runs[0].id)
        (numbers,) = (await admin.stats()).definitions
        assert (numbers.paused_alone.sagas, numbers.suspended.sagas) == (1, 3)
        assert str(await admin.stats()) == "shop v1: 3 suspended"
        waiting = SagaFilter(saga_name="shop", waits=WaitReason.RETRY)
        await admin.pause("shop")
        assert (
            str(await admin.preview(waiting, Cancel()))
            == "2 sagas; of 2 looked at, 2 would accept the verb; would end: 2 COMPENSATED; paused: shop"
        )
        assert str(await admin.stats()) == "shop v1: 3 suspended, paused"
        told = [str(each) for each in await admin.list_operations()]
        assert told == ["pause, done: 1 done", f"pause_saga of {runs[0].id}, done: 1 done"]


async def test_there_is_a_text_for_no_sagas_at_all(memory: MemoryStore) -> None:
    async with SagaOrchestrator(memory) as orchestrator:
        assert str(await SagaAdmin(orchestrator).stats()) == "no sagas"


async def test_an_operation_that_cannot_be_read_is_listed_with_the_others(dsn: str) -> None:
    async with SagaOrchestrator(dsn) as orchestrator:
        admin = SagaAdmin(orchestrator, actor="ann")
        for name in ("whole", "request", "outcome"):
            await admin.pause(name, may_be_new=True)
        connection = await asyncpg.connect(dsn)
        newest, middle, oldest = await admin.list_operations()
        for column, operation in (("request", middle), ("outcome", newest)):
            await connection.execute(
                f"UPDATE saga_fn.saga_operation SET {column} = '\\xc1'::bytea WHERE id = $1", operation.id
            )
        await connection.close()
        outcome, request, whole = await admin.list_operations()
        assert whole == oldest
        assert request.unreadable is not None
        assert (request.wanted, request.done) == ({}, 1)
        assert outcome.unreadable is not None
        assert (outcome.wanted, outcome.done) == (newest.wanted, 0)
        assert str(outcome) == "pause, done: it cannot be read"
        assert await admin.get_operation(middle.id) == request
