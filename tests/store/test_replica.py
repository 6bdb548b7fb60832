"""A process that only looks works on a streaming replica: lists, explanations, health; and each verb is refused by an own error."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest

from saga_fn import (
    AttentionKind,
    FixedRetry,
    SagaAdmin,
    SagaFilter,
    SagaOrchestrator,
    SagaStatus,
    StoreRefusedError,
    Verb,
)
from saga_fn.store.migrate import grant
from saga_fn.store.rights import RoleKind
from tests.support.replica import Replicated, replicated
from tests.support.roles import role
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.tools import PG15, POSTGRES_15
from tests.support.until import SOON, suspended

OFTEN = timedelta(milliseconds=100)


@pytest.fixture(scope="module", params=["embedded", "15"])
def servers(request: pytest.FixtureRequest) -> Iterator[Replicated]:
    if request.param == "15":
        POSTGRES_15.require()
    with replicated(PG15 if request.param == "15" else None) as both:
        yield both


async def test_a_process_that_only_looks_works_on_a_replica(servers: Replicated) -> None:
    async with SagaOrchestrator(servers.primary.dsn, poll_interval=OFTEN, migrate=True) as orchestrator:
        shop = make_saga(Shop(fails={"charge": 1}), retry=FixedRetry(max_attempts=2, delay=timedelta(hours=1)))
        waits = await orchestrator.register("waiting", shop).start(Order("1"), aggregation_id="order-1")
        await suspended(waits)
        failed = await orchestrator.register("shop", make_saga(Shop(hold=asyncio.Event()))).start(Order("2"))
        await SagaAdmin(orchestrator).abort(failed.id)
        done = await orchestrator.register("done", make_saga(Shop())).start(Order("3"))
        await done.result(SOON)
        async with role(servers.primary.dsn) as (name, dsn):
            await grant(servers.primary.dsn, role=name, kind=RoleKind.VIEWER)
            await servers.caught_up()
            looking = SagaOrchestrator(servers.on_replica(dsn), concurrency=0, read_only=True)
            known = looking.register("done", make_saga(Shop()))
            looking.register("waiting", shop)
            looking.register("shop", make_saga(Shop()))
            async with looking:
                admin = SagaAdmin(looking, actor="ann")
                assert {row.id async for row in admin.list_all()} == {waits.id, failed.id, done.id}
                assert str(await admin.count(SagaFilter(status=SagaStatus.FAILED))) == "1"
                found = await admin.find("waiting", "order-1")
                assert found.active is not None
                assert (await admin.get_saga(waits.id)).step_history
                assert await admin.verify(waits.id) == []
                assert await known.attach(done.id).result(SOON) == Done("ship")
                health = await looking.health()
                assert health.ok, health.problems
                assert AttentionKind.FAILED in {each.kind for each in health.attention}

                explained = await admin.explain(waits.id)
                assert explained.reasons[0].step_id == "charge"
                assert all(each.not_here is not None for each in explained.verbs if each.is_legal)
                await refuses_each_verb(admin, waits.id, failed.id)
                for forbidden in (known.start(Order("4")), looking.resume(waits.id), admin.discard_kept("done", "k")):
                    with pytest.raises(StoreRefusedError, match=r"read-only|permission denied|only looks"):
                        await forbidden
        assert (await waits.snapshot()).status is SagaStatus.SUSPENDED


async def refuses_each_verb(admin: SagaAdmin, waits: UUID, failed: UUID) -> None:
    for verb in Verb:
        step = ["charge"] if verb.names_a_step else []
        output = [Done("by hand")] if verb.needs_output else []
        for saga in (waits, failed):
            with pytest.raises(StoreRefusedError, match="only looks at sagas"):
                await getattr(admin, verb.value)(saga, *step, *output)


async def test_a_process_that_would_write_is_told_that_it_is_on_a_replica(servers: Replicated) -> None:
    with pytest.raises(StoreRefusedError, match="replica"):
        async with SagaOrchestrator(servers.replica.dsn, concurrency=0):
            pass
