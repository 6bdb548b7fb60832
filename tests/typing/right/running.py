"""From a definition to its result, and what an operator does."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, assert_never, assert_type
from uuid import UUID

import asyncpg  # type: ignore[import-untyped,unused-ignore]  # a consumer has no stubs for it, we have

from saga_fn import (
    ArchivedSaga,
    BulkPreview,
    BulkVerb,
    Compensated,
    Completed,
    Delivery,
    Event,
    Explanation,
    Failed,
    JsonlArchive,
    MemoryStore,
    Operation,
    Pause,
    PauseSaga,
    Pruned,
    ResumeSaga,
    Retention,
    RetryStep,
    Rewind,
    SagaAdmin,
    SagaAdminSnapshot,
    SagaBuilder,
    SagaCount,
    SagaDeletedError,
    SagaFilter,
    SagaHandle,
    SagaOrchestrator,
    SagaPage,
    SagaRow,
    SagaRun,
    SagaSnapshot,
    SagaStats,
    SagaStatus,
    StartNow,
    StepAdmin,
    StepRef,
    Verb,
    VerbPreview,
    WaitReason,
    WorkingProcess,
)
from saga_fn.store import CallerConnection
from tests.typing.shop import Charged, Order, built, create_order


async def pausing(admin: SagaAdmin) -> list[datetime]:
    paused: bool = await admin.pause("shop", may_be_new=True, reason="the bank is down") or await admin.pause_all()
    since: list[datetime] = [pause.since for pause in await admin.pauses() if paused]
    resumed: bool = await admin.resume("shop", reason="it is back") or await admin.resume_all(reason="so is all")
    extended: bool = await admin.resume("shop", extend=True) or await admin.resume_all(extend=True)
    return since if resumed or extended else []


async def pausing_one(admin: SagaAdmin, saga_id: UUID) -> UUID | None:
    seen = await admin.get_saga(saga_id)
    await admin.pause_saga(saga_id, expect=seen.revision, reason="she is on the phone")
    assert_type(seen.paused_since, datetime | None)
    assert_type(seen.goes_back, bool)
    assert_type(seen.pauses, tuple[Pause, ...])
    await admin.resume_saga(saga_id, extend=True, reason="she agrees")
    return seen.pauses[0].saga_id


async def of_many(admin: SagaAdmin) -> int:
    wanted = SagaFilter(waits=WaitReason.PAUSED)
    verbs: list[BulkVerb] = [PauseSaga(), ResumeSaga(extend=True), RetryStep("charge"), StartNow(step="nap")]
    told = await admin.preview(wanted, verbs[0])
    assert_type(told, BulkPreview)
    assert_type(told.sagas, SagaCount)
    begun = await admin.begin_operation(wanted, verbs[1], per_second=10, idempotency_key="OPS-12", reason="why")
    assert_type(begun, Operation)
    assert_type(await admin.continue_operation(begun.id), Operation)
    assert_type(await admin.get_operation(begun.id), Operation)
    assert_type(await admin.stop_operation(begun.id), Operation)
    every = await admin.list_operations(after=begun, limit=10)
    assert_type(every, tuple[Operation, ...])
    return sum(each.done for each in every)


async def counted(admin: SagaAdmin) -> None:
    stats = await admin.stats(ends=True, max_age=timedelta(seconds=10))
    assert_type(stats, SagaStats)
    assert_type(stats.definitions[0].oldest_due, datetime | None)
    assert_type(stats.definitions[0].ends[SagaStatus.FAILED], tuple[int | None, ...])
    assert_type(await admin.processes(), tuple[WorkingProcess, ...])


async def main(saga_id: UUID) -> str:
    definition, charged = built()
    async with SagaOrchestrator(MemoryStore(), concurrency=0) as orchestrator:
        orders = orchestrator.register(create_order)
        assert_type(orders, SagaHandle[Order, Charged])
        assert_type(orchestrator.register("other", definition, version=2), SagaHandle[Order, Charged])
        assert_type(orchestrator.handle(definition), SagaHandle[Order, Charged])

        run = await orders.start(Order("1"), aggregation_id="1", idempotency_key="k")
        assert_type(run, SagaRun[Charged])
        assert_type(run.id, UUID)
        assert_type(run.created, bool)
        assert_type(await run.result(timeout=timedelta(seconds=1)), Charged)
        assert_type(await orders.run(Order("2"), timeout=1.5), Charged)
        assert_type(orders.attach(saga_id), SagaRun[Charged])
        assert_type(await orchestrator.start(saga_name="other", initial_data={"order_id": "3"}), UUID)
        await orchestrator.committed()
        assert_type(await orchestrator.get_snapshot(saga_id), SagaSnapshot)
        assert_type(await orchestrator.run_due(limit=5), int)
        assert_type(await orchestrator.notify(saga_id, saga_id, {"approved": True}), bool)

        admin = SagaAdmin(orchestrator)
        assert_type(admin.step(saga_id, charged), StepAdmin[Charged])
        await admin.step(saga_id, charged).skip(Charged("manual"))
        await SagaAdmin(engine=orchestrator.engine).skip_step(
            saga_id, "charge", mock_output={"payment_id": "manual"}, not_begun=True, expect=3, reason="by wire"
        )
        await SagaAdmin(orchestrator, actor="ann").retry_step(saga_id, charged, reason="mended")
        await admin.step(saga_id, charged).settle_undone(expect=4)
        await admin.step(saga_id, charged).rewind(forget=[charged, "ship"], reason="mended")
        await admin.reschedule(saga_id, datetime.now(UTC) + timedelta(hours=1), step=charged)
        print(await pausing(admin))
        await admin.start_now(saga_id, expect=4, reason="in a hurry")
        await admin.step(saga_id, charged).settle_done(Charged("found"))
        await admin.step(saga_id, charged).settle_never_ran(reason="asked the bank")
        assert_type(await admin.get_saga(saga_id), SagaAdminSnapshot)
        print(await previewed(admin, saga_id, charged))
        failed = SagaFilter(saga_name="create_order", status=SagaStatus.FAILED, step="charge")
        assert_type(await admin.list(failed, limit=50), SagaPage)
        assert_type([row async for row in admin.list_all(failed)], list[SagaRow])
        assert_type((await admin.count()).sagas, int)
        assert_type((await admin.find("create_order", "order-1")).active, SagaRow | None)
        assert_type(await admin.verify(saga_id), list[str])
        assert_type(await admin.acknowledge(saga_id, reason="refunded"), None)
        assert_type(await admin.prune("create_order", retention=kept, dry_run=True), Pruned)
        assert_type(run.retained, bool)

        outcome = await run.outcome(timeout=1)
        match outcome:
            case Completed():
                assert_type(outcome.result, Charged)
                return outcome.result.payment_id
            case Compensated():
                return outcome.error or ""
            case Failed():
                return ", ".join(left.step_id for left in outcome.snapshot.left_over)
            case _:
                assert_never(outcome)


async def previewed(admin: SagaAdmin, saga_id: UUID, charged: StepRef[Charged]) -> tuple[str, ...]:
    explained = await admin.explain(saga_id)
    assert_type(explained, Explanation)
    assert_type(explained.of(Verb.RETRY_STEP, "charge"), VerbPreview | None)
    assert_type(explained.verbs, tuple[VerbPreview, ...])
    rewound = await admin.explain(saga_id, verb=Rewind(charged, forget=[charged, "ship"]))
    assert_type(await admin.explain(saga_id, verb=StartNow(datetime.now(UTC), step=charged)), Explanation)
    (said,) = rewound.verbs
    assert_type(said.forgotten, tuple[str, ...])
    return said.another_key


async def keep(sagas: Sequence[ArchivedSaga]) -> None:
    for each in sagas:
        assert_type(each.to_json(), str)


kept = Retention(completed=timedelta(days=30), failed=timedelta(days=365), archive=keep)
kept_in_a_file = Retention(
    compensated=timedelta(days=30), tombstone=timedelta(days=365), archive=JsonlArchive("a.jsonl")
)
kept_builder = SagaBuilder(Order, retention=kept)


def told(error: SagaDeletedError) -> str:
    assert_type(error.ended_at, datetime)
    return error.status


def on_a_pool(
    pool: asyncpg.Pool[Any],  # pyright: ignore[reportInvalidTypeArguments] - without stubs it is not generic
) -> SagaOrchestrator:  # Any: the record type of asyncpg, by choice
    return SagaOrchestrator(pool, listen=False)


class Adapted:
    """Another driver's connection."""

    async def execute(self, query: str, /, *args: object) -> str:
        return query

    async def fetch(self, query: str, /, *args: object) -> list[tuple[object, ...]]:
        return [args]

    async def fetchrow(self, query: str, /, *args: object) -> tuple[object, ...] | None:
        return args

    def is_in_transaction(self) -> bool:
        return True


async def in_the_callers_transaction(
    orchestrator: SagaOrchestrator, connection: CallerConnection, saga_id: UUID
) -> Delivery:
    orders = orchestrator.register(create_order)
    adapted: CallerConnection = Adapted()
    assert_type(await orders.start(Order("1"), connection=adapted, notify=True), SagaRun[Charged])
    assert_type(await orders.start_many([Order("1")], connection=connection), list[SagaRun[Charged]])
    return await orchestrator.to(saga_id, Event("told", Order)).send(Order("1"), connection=connection, notify=True)
