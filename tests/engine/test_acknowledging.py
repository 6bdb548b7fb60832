"""An operator acknowledges a FAILED saga: it is named no more, until it changes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from saga_fn import (
    AttentionKind,
    FixedRetry,
    PayloadError,
    SagaAdmin,
    SagaError,
    SagaFilter,
    SagaNotFoundError,
    SagaOrchestrator,
    SagaRun,
    SagaStateError,
    SagaStatus,
)
from saga_fn.store.ids import new_uuid
from saga_fn.store.migrate import grant
from saga_fn.store.rights import RoleKind
from tests.support.roles import role
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.stores import Make

RARELY = FixedRetry(max_attempts=9, delay=timedelta(hours=1))
OPEN = SagaFilter(status=SagaStatus.FAILED, acknowledged=False)
SEEN = SagaFilter(status=SagaStatus.FAILED, acknowledged=True)


async def failed(orchestrator: SagaOrchestrator) -> SagaRun[Done]:
    """A saga that waits long for its second attempt, and was aborted."""
    saga = make_saga(Shop(fails={"charge": 1}), retry=RARELY)
    run = await orchestrator.register("shop", saga).start(Order("1"))
    await orchestrator.run_due()
    await SagaAdmin(orchestrator).abort(run.id)
    return run


async def named(orchestrator: SagaOrchestrator) -> list[int]:
    health = await orchestrator.health()
    return [each.sagas for each in health.attention if each.kind is AttentionKind.FAILED]


async def test_a_failed_saga_is_named_until_a_person_acknowledges_it(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        run = await failed(orchestrator)
        admin = SagaAdmin(orchestrator, actor="anna")
        before = await admin.get_saga(run.id)
        assert (await named(orchestrator), before.acknowledged) == ([1], False)
        assert [row.id for row in (await admin.list(OPEN)).rows] == [run.id]
        await admin.acknowledge(run.id, expect=before.revision, reason="refunded by hand")
        after = await admin.get_saga(run.id)
        assert (await named(orchestrator), after.acknowledged, after.revision) == ([], True, before.revision)
        assert after.rejections == ("acknowledged: by: anna; why: refunded by hand",)
        assert after.step_history == before.step_history
        assert (await admin.list(OPEN)).rows == ()
        (row,) = (await admin.list(SEEN)).rows
        assert (row.id, row.acknowledged) == (run.id, True)
        assert await admin.verify(run.id) == []


async def test_whatever_changes_the_saga_ends_the_acknowledgement(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        run = await failed(orchestrator)
        admin = SagaAdmin(orchestrator)
        await admin.acknowledge(run.id)
        await admin.retry_step(run.id, "charge")
        assert not (await admin.get_saga(run.id)).acknowledged
        await admin.abort(run.id)
        assert [row.id for row in (await admin.list(OPEN)).rows] == [run.id]
        await admin.acknowledge(run.id)
        assert [row.id for row in (await admin.list(SEEN)).rows] == [run.id]


async def test_only_an_end_that_the_operator_saw_and_that_failed_is_acknowledged_and_once(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        run = await failed(orchestrator)
        running = await orchestrator.register("other", make_saga(Shop())).start(Order("1"))
        admin = SagaAdmin(orchestrator)
        with pytest.raises(SagaStateError, match="has not ended FAILED"):
            await admin.acknowledge(running.id)
        with pytest.raises(SagaStateError, match="has moved on"):
            await admin.acknowledge(run.id, expect=1)
        await admin.acknowledge(run.id)
        with pytest.raises(SagaStateError, match="has been acknowledged before"):
            await admin.acknowledge(run.id)
        with pytest.raises(SagaNotFoundError):
            await admin.acknowledge(new_uuid())
        with pytest.raises(SagaError, match="expect"):
            await admin.acknowledge(run.id, expect=0)
        with pytest.raises(PayloadError, match="reason"):
            await admin.acknowledge(run.id, reason="")
        with pytest.raises(PayloadError, match="acknowledged"):
            SagaFilter(status=SagaStatus.FAILED, acknowledged=1)  # type: ignore[arg-type]  # that is the mistake
        with pytest.raises(PayloadError, match="only a FAILED saga is acknowledged"):
            await admin.list(SagaFilter(acknowledged=False))


async def test_an_operators_rights_are_enough_to_acknowledge(any_dsn: str) -> None:
    async with SagaOrchestrator(any_dsn, concurrency=0) as orchestrator:
        run = await failed(orchestrator)
    async with role(any_dsn) as (name, dsn):
        await grant(any_dsn, role=name, kind=RoleKind.OPERATOR)
        async with SagaOrchestrator(dsn, concurrency=0) as orchestrator:
            await SagaAdmin(orchestrator).acknowledge(run.id)
