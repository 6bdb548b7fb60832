"""An operator who knows no saga's id finds them: lists, counts, business keys, and a journal page by page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from saga_fn import (
    FixedRetry,
    PayloadError,
    SagaAdmin,
    SagaError,
    SagaFilter,
    SagaHandle,
    SagaOrchestrator,
    SagaStatus,
    StepRef,
    WaitReason,
    saga,
    step,
)
from saga_fn.store.migrate import grant
from saga_fn.store.rights import RoleKind
from tests.support.roles import role
from tests.support.stores import Make


class Parcel(msgspec.Struct, frozen=True):
    number: int
    goes: str = "well"


class BankDownError(Exception):
    pass


async def unpack(parcel: Parcel, out: Parcel | None) -> None:
    pass


@step(compensate=unpack)
async def pack(parcel: Parcel) -> Parcel:
    return parcel


@step(retry_policy=FixedRetry(max_attempts=1), compensation_retry_policy=FixedRetry(max_attempts=1))
async def charge(parcel: Parcel) -> Parcel:
    if parcel.goes != "well":
        raise BankDownError("no way")
    return parcel


@step(pivot=True)
async def promise(parcel: Parcel) -> Parcel:
    return parcel


@saga("parcel")
def parcel(parcel: StepRef[Parcel]) -> StepRef[Parcel]:
    return charge(pack(parcel))


@saga("promised")
def promised(parcel: StepRef[Parcel]) -> StepRef[Parcel]:
    return charge(promise(parcel))


@step(pivot=True)
async def promise_all(parcels: list[Parcel]) -> list[Parcel]:
    return parcels


@saga("of many")
def of_many(parcels: StepRef[list[Parcel]]) -> StepRef[list[Parcel]]:
    return charge.each(concurrency=2)(promise_all(parcels))


async def tried(orchestrator: SagaOrchestrator) -> tuple[SagaHandle[Parcel, Parcel], SagaHandle[Parcel, Parcel]]:
    """Two sagas that are done, two that were rolled back, three that are parked, in this order."""
    plain, after = orchestrator.register(parcel), orchestrator.register(promised)
    for handle, goes in ((plain, "well"), (plain, "wrong"), (after, "wrong")):
        for number in range(3 if handle is after else 2):
            await handle.start(Parcel(number, goes), aggregation_id=f"{goes} {number}")
    await orchestrator.run_until_idle()
    return plain, after


async def test_sagas_are_found_by_what_became_of_them(make: Make) -> None:
    async with make() as orchestrator:
        await tried(orchestrator)
        admin = SagaAdmin(orchestrator)
        every = await admin.list()
        assert [row.saga_name for row in every.rows] == ["promised"] * 3 + ["parcel"] * 4
        assert every.next is None
        parked = await admin.list(SagaFilter(waits=WaitReason.PARKED))
        assert {(row.saga_name, row.parked, row.problem_step, row.last_error) for row in parked.rows} == {
            ("promised", "past_pivot", "charge", "BankDownError")
        }
        assert [row.id for row in parked.rows] == [row.id for row in every.rows[:3]]
        oldest = await admin.list(SagaFilter(parked="past_pivot", step="charge"), oldest_first=True, limit=1)
        assert oldest.rows == parked.rows[-1:]
        for status, number in ((SagaStatus.COMPLETED, 2), (SagaStatus.COMPENSATED, 2), (SagaStatus.FAILED, 0)):
            assert len((await admin.list(SagaFilter(status=status))).rows) == number
        assert len((await admin.list(SagaFilter(active=True, older_than=timedelta(hours=1)))).rows) == 0
        assert len((await admin.list(SagaFilter(ended_before=datetime.now(UTC) + timedelta(hours=1)))).rows) == 4
        assert (await admin.list(SagaFilter(saga_name="nobody"))).rows == ()
        assert str(await admin.count(SagaFilter(waits=WaitReason.PARKED))) == "3"


async def test_a_saga_that_is_parked_at_an_item_is_found_by_its_step(make: Make) -> None:
    async with make() as orchestrator:
        await tried(orchestrator)
        run = await orchestrator.register(of_many).start([Parcel(0), Parcel(1, "wrong")])
        await orchestrator.run_until_idle()
        admin = SagaAdmin(orchestrator)
        parked = WaitReason.PARKED
        (row,) = (await admin.list(SagaFilter(saga_name="of many", waits=parked, step="charge"))).rows
        assert (row.id, row.problem_step) == (run.id, "charge[1]")
        assert len((await admin.list(SagaFilter(waits=parked, step="charge"))).rows) == 4  # of steps without items, too
        assert [each.id for each in (await admin.list(SagaFilter(waits=parked, step="charge[1]"))).rows] == [run.id]
        assert (await admin.list(SagaFilter(waits=parked, step="charge[0]"))).rows == ()
        await admin.abort(run.id)
        failed = SagaFilter(saga_name="of many", status=SagaStatus.FAILED, step="charge")
        assert [each.id for each in (await admin.list(failed)).rows] == [run.id]


async def test_a_failed_saga_names_the_step_that_failed(make: Make) -> None:
    async with make() as orchestrator:
        await tried(orchestrator)
        admin = SagaAdmin(orchestrator)
        (row, *_) = (await admin.list(SagaFilter(saga_name="promised"))).rows
        await admin.abort(row.id)
        wanted = SagaFilter(status=SagaStatus.FAILED, step="charge", error="BankDownError")
        (failed,) = (await admin.list(wanted)).rows
        assert (failed.id, failed.problem_step, failed.parked) == (row.id, "charge", None)
        assert failed.ended_at is not None
        assert await admin.verify(row.id) == []


async def test_pages_are_read_one_after_the_other(make: Make) -> None:
    async with make() as orchestrator:
        await tried(orchestrator)
        admin = SagaAdmin(orchestrator)
        every = (await admin.list()).rows
        first = await admin.list(limit=4)
        second = await admin.list(after=first.next, limit=3)
        assert first.rows + second.rows == every
        assert second.next is None
        assert [row async for row in admin.list_all()] == list(every)
        wanted = SagaFilter(saga_name="parcel")
        assert [row.id async for row in admin.list_all(wanted, oldest_first=True)] == [
            row.id for row in reversed(every) if row.saga_name == "parcel"
        ]


async def test_the_sagas_of_a_business_key_are_the_active_one_and_those_that_ended(make: Make) -> None:
    async with make() as orchestrator:
        plain, _ = await tried(orchestrator)
        admin = SagaAdmin(orchestrator)
        again = await plain.start(Parcel(0), aggregation_id="well 0", delay=timedelta(hours=1))
        found = await admin.find("parcel", "well 0")
        assert found.active is not None
        assert found.active.id == again.id
        assert [row.status for row in found.ended] == [SagaStatus.COMPLETED]
        nothing = await admin.find("parcel", "nobody's")
        assert (nothing.active, nothing.ended) == (None, ())


async def test_a_cursor_belongs_to_one_filter_and_one_order(make: Make) -> None:
    async with make() as orchestrator:
        await tried(orchestrator)
        admin = SagaAdmin(orchestrator)
        after = (await admin.list(limit=1)).next
        assert after is not None
        for wanted, oldest in ((SagaFilter(saga_name="parcel"), False), (None, True), (SagaFilter(active=True), False)):
            with pytest.raises(PayloadError, match="another filter"):
                await admin.list(wanted, after=after, oldest_first=oldest)
        for broken in (after[:-3], "A" + after, after + "?", "", "\ud800"):
            with pytest.raises(PayloadError, match="after") as refused:
                await admin.list(after=broken)
            assert refused.value.hint


async def test_what_no_index_serves_is_refused_with_what_to_ask_instead(make: Make) -> None:
    async with make() as orchestrator:
        admin = SagaAdmin(orchestrator)
        with pytest.raises(PayloadError, match="no index serves this filter") as refused:
            await admin.count(SagaFilter(step="charge"))
        assert "status=SagaStatus.FAILED" in str(refused.value.hint)
        for limit in (0, -1, 10**9):
            with pytest.raises(SagaError, match="limit"):
                await admin.list(limit=limit)


async def test_a_count_stops_at_a_thousand_and_says_so(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        handle = orchestrator.register(parcel)
        await handle.start_many(Parcel(number) for number in range(1000))
        admin = SagaAdmin(orchestrator)
        assert str(await admin.count()) == "1,000"
        await handle.start(Parcel(0))
        assert str(await admin.count()) == "1,000+"


async def test_a_reader_finds_sagas_with_a_readers_rights(any_dsn: str) -> None:
    async with SagaOrchestrator(any_dsn) as orchestrator:
        await tried(orchestrator)
    async with role(any_dsn) as (name, dsn):
        await grant(any_dsn, role=name, kind=RoleKind.VIEWER)
        async with SagaOrchestrator(dsn, concurrency=0, read_only=True) as reader:
            admin = SagaAdmin(reader)
            assert len((await admin.list(SagaFilter(waits=WaitReason.PARKED))).rows) == 3
            found = await admin.find("promised", "wrong 1")
            assert found.active is not None
            assert (await admin.get_saga(found.active.id, journal_limit=2)).revision == found.active.revision
            assert (await admin.count()).sagas == 7


async def test_a_journal_is_read_page_by_page(make: Make) -> None:
    async with make() as orchestrator:
        await tried(orchestrator)
        admin = SagaAdmin(orchestrator)
        (row, *_) = (await admin.list(SagaFilter(waits=WaitReason.PARKED))).rows
        whole = await admin.get_saga(row.id)
        assert [entry.seq for entry in whole.step_history] == list(range(1, whole.revision + 1))
        pages = [
            await admin.get_saga(row.id, journal_after=after, journal_limit=1) for after in range(whole.revision + 1)
        ]
        assert [entry for page in pages for entry in page.step_history] == list(whole.step_history)
        bare = msgspec.structs.replace(whole, step_history=())
        assert all(msgspec.structs.replace(page, step_history=()) == bare for page in pages)
        last = await admin.get_saga(row.id, journal_limit=2)
        assert last.step_history == whole.step_history[-2:]
        with pytest.raises(SagaError, match="journal_limit"):
            await admin.get_saga(row.id, journal_limit=0)
        with pytest.raises(SagaError, match="journal_after"):
            await admin.get_saga(row.id, journal_after=-1)
