"""The numbers that operators get: about all sagas, through an orchestrator."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from saga_fn import MemoryStore, PayloadError, SagaAdmin, SagaOrchestrator, SagaStatus
from saga_fn.core.ids import Moment
from saga_fn.store.records import Counted
from tests.support.shop import Order, Shop, make_saga
from tests.support.stores import Make
from tests.support.until import until


async def test_a_process_tells_what_there_is_and_who_works_on_it(make: Make) -> None:
    async with make() as orchestrator:
        sagas = orchestrator.register("shop", make_saga(Shop()))
        run = await sagas.start(Order("1"))
        await run.outcome()
        admin = SagaAdmin(orchestrator)
        await until(lambda: orchestrator.engine.roster._said is not None)  # pyright: ignore[reportPrivateUsage]
        stats = await admin.stats()
        (shop,) = stats.definitions
        assert (shop.saga_name, shop.processes) == ("shop", 1)
        assert sum(each or 0 for each in shop.ends[SagaStatus.COMPLETED]) == 1
        assert (await admin.stats(max_age=timedelta(minutes=1))) is stats
        assert (await admin.stats()) is not stats
        (process,) = await admin.processes()
        assert process.id == orchestrator.engine.owner
        assert process.definitions == (("shop", 1),)


@pytest.mark.parametrize("wrong", [-timedelta(1), 5, None, "now"])
async def test_an_age_that_is_none_is_refused(wrong: object, memory: MemoryStore) -> None:
    admin = SagaAdmin(SagaOrchestrator(memory))
    with pytest.raises(PayloadError, match="max_age"):
        await admin.stats(max_age=wrong)  # type: ignore[arg-type]  # that is the test  # pyright: ignore[reportArgumentType]
    with pytest.raises(PayloadError, match="ends"):
        await admin.stats(ends=wrong)  # type: ignore[arg-type]  # that is the test  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("ends", [True, False])
async def test_those_who_ask_within_seconds_share_an_answer(ends: bool, memory: MemoryStore) -> None:
    asked: list[timedelta] = []
    ask = memory.lists.stats

    async def counting(*, overdue: timedelta, seen_within: timedelta, ends_since: Moment | None) -> list[Counted]:
        asked.append(overdue)
        return await ask(overdue=overdue, seen_within=seen_within, ends_since=ends_since)

    memory.lists.stats = counting  # type: ignore[method-assign]  # it is asked as before
    admin = SagaAdmin(SagaOrchestrator(memory))
    long = timedelta(minutes=1)
    answers = await asyncio.gather(*(admin.stats(ends=ends, max_age=long) for _ in range(10)))
    assert len({id(each) for each in answers}) == len(asked) == 1
    assert await admin.stats(ends=ends) is not answers[0]
    assert len(asked) == 2
