"""Sagas are deleted as their definition says, archived first; a repeat of a start that was deleted starts nothing."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from saga_fn import (
    ArchivedSaga,
    Event,
    FixedRetry,
    JsonlArchive,
    MemoryStore,
    PayloadError,
    Pruned,
    Retention,
    SagaAdmin,
    SagaDefinition,
    SagaDefinitionError,
    SagaDeletedError,
    SagaError,
    SagaFilter,
    SagaHandle,
    SagaNotFoundError,
    SagaNotRegisteredError,
    SagaOrchestrator,
    SagaStatus,
    StartConflictError,
    StepRef,
    StoreError,
    StoreRefusedError,
    StoreUnavailableError,
    saga,
    step,
)
from saga_fn.engine.worker import Worker
from saga_fn.store.migrate import grant, migrate
from saga_fn.store.records import EndedSaga
from saga_fn.store.rights import RoleKind
from tests.support.ages import later
from tests.support.roles import role
from tests.support.stores import Make
from tests.support.until import SOON, suspended

DAY, MONTH = timedelta(days=1), timedelta(days=30)


class Order(msgspec.Struct, frozen=True):
    number: int
    goes: str = "well"


class BankDownError(Exception):
    pass


RUNS: list[int] = []


@step
async def note(order: Order) -> Order:
    RUNS.append(order.number)
    return order


@step(retry_policy=FixedRetry(max_attempts=1))
async def charge(order: Order) -> int:
    if order.goes != "well":
        raise BankDownError("no way")
    return order.number


def orders(retention: Retention | None) -> SagaDefinition[Order, int]:
    @saga("order", retention=retention)
    def order(given: StepRef[Order]) -> StepRef[int]:
        return charge(note(given))

    return order


BRIEF = Retention(completed=DAY, compensated=2 * DAY, failed=DAY)


@pytest.fixture(autouse=True)
def at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker begins a round of its own: each test says when."""

    def nothing(_: Worker) -> None:
        pass

    monkeypatch.setattr(Worker, "_delete", nothing)


async def deletions(orchestrator: SagaOrchestrator) -> None:
    """One round of a worker."""
    await orchestrator.engine.deleting.run()
    await later(orchestrator, timedelta(minutes=2))


async def finished(handle: SagaHandle[Order, int], number: int, goes: str = "well") -> UUID:
    run = await handle.start(Order(number, goes), idempotency_key=str(number), aggregation_id=str(number))
    await run.outcome(SOON)
    return run.id


async def there(orchestrator: SagaOrchestrator) -> set[UUID]:
    return {row.id async for row in SagaAdmin(orchestrator).list_all()}


async def test_nothing_is_deleted_that_the_definition_does_not_name(make: Make) -> None:
    async with make() as orchestrator:
        for retention in (None, Retention(compensated=DAY)):
            handle = orchestrator.register(orders(retention), version=1 if retention is None else 2)
            await finished(handle, 1 if retention is None else 2)
        await later(orchestrator, 400 * DAY)
        before = await there(orchestrator)
        await deletions(orchestrator)
        assert await there(orchestrator) == before
        assert len(before) == 2


async def test_each_end_is_kept_for_as_long_as_it_says(make: Make) -> None:
    async with make() as orchestrator:
        handle = orchestrator.register(orders(BRIEF))
        completed, compensated = await finished(handle, 1), await finished(handle, 2, "wrong")
        running = await handle.start(Order(3), delay=30 * DAY)
        await later(orchestrator, DAY - timedelta(hours=1))
        await deletions(orchestrator)
        assert await there(orchestrator) == {completed, compensated, running.id}
        await later(orchestrator, timedelta(hours=2))
        await deletions(orchestrator)
        assert await there(orchestrator) == {compensated, running.id}
        await later(orchestrator, DAY)
        await deletions(orchestrator)
        assert await there(orchestrator) == {running.id}


async def test_a_failed_saga_is_deleted_only_after_a_person_has_acknowledged_it(make: Make) -> None:
    async with make() as orchestrator:
        handle = orchestrator.register(orders(BRIEF))
        run = await handle.start(Order(1), delay=DAY)
        admin = SagaAdmin(orchestrator)
        await admin.abort(run.id)
        await later(orchestrator, MONTH)
        await deletions(orchestrator)
        assert await there(orchestrator) == {run.id}
        await admin.acknowledge(run.id)
        await deletions(orchestrator)
        assert await there(orchestrator) == set()


async def test_a_worker_deletes_beside_its_work(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("saga_fn.engine.worker.DELETE_EVERY", 0.05)
    monkeypatch.setattr("saga_fn.engine.hold.deleting._PAUSE", timedelta(0))
    async with make() as orchestrator:
        handle = orchestrator.register(orders(BRIEF))
        await finished(handle, 1)
        await later(orchestrator, 2 * DAY)

        async with asyncio.timeout(SOON):
            while await there(orchestrator):
                await asyncio.sleep(0.02)


async def test_a_repeat_of_a_start_that_was_deleted_starts_nothing(make: Make) -> None:
    async with make() as orchestrator:
        handle = orchestrator.register(orders(BRIEF))
        saga_id = await finished(handle, 7)
        await later(orchestrator, MONTH)
        await deletions(orchestrator)
        RUNS.clear()
        again = await handle.start(Order(7), idempotency_key="7", aggregation_id="7")
        assert (again.id, again.created, again.retained) == (saga_id, False, False)
        (many,) = await handle.start_many([Order(7)], idempotency_key=lambda _: "7", aggregation_id=lambda _: "7")
        assert (many.id, many.created, many.retained) == (saga_id, False, False)
        with pytest.raises(StartConflictError, match="other initial data") as refused:
            await handle.start(Order(7, "otherwise"), idempotency_key="7", aggregation_id="7")
        assert (refused.value.retained, refused.value.saga_id) == (False, saga_id)
        other = await handle.start(Order(8), idempotency_key="8", aggregation_id="7")
        assert (other.created, other.retained) == (True, True)
        assert await other.result(SOON) == 8
        assert RUNS == [8]


async def test_a_deleted_saga_says_when_and_how_it_ended(make: Make) -> None:
    async with make() as orchestrator:
        handle = orchestrator.register(orders(BRIEF))
        saga_id = await finished(handle, 1, "wrong")
        unkeyed = await handle.start(Order(2))
        await unkeyed.outcome(SOON)
        await later(orchestrator, MONTH)
        await deletions(orchestrator)
        admin, run = SagaAdmin(orchestrator), handle.attach(saga_id)
        for ask in (run.result, run.outcome, run.snapshot):
            with pytest.raises(SagaDeletedError, match="ended COMPENSATED at") as told:
                await ask()
            assert told.value.status == SagaStatus.COMPENSATED
            assert told.value.ended_at < told.value.deleted_at
        for look in (admin.get_saga, admin.verify, admin.abort, admin.acknowledge, admin.compensate_step):
            with pytest.raises(SagaDeletedError, match="was deleted at"):
                await look(saga_id)
        with pytest.raises(SagaNotFoundError) as missing:
            await unkeyed.snapshot()
        assert not isinstance(missing.value, SagaDeletedError)
        assert (await admin.find("order", "1")).ended == ()
        assert (await admin.list()).rows == ()


async def test_an_idempotency_key_is_known_for_as_long_as_the_tombstone_stays(make: Make) -> None:
    async with make() as orchestrator:
        handle = orchestrator.register(orders(Retention(completed=DAY, tombstone=DAY)))
        saga_id = await finished(handle, 1)
        await later(orchestrator, 2 * DAY)
        await deletions(orchestrator)
        assert not (await handle.start(Order(1), idempotency_key="1", aggregation_id="1")).created
        await later(orchestrator, 2 * DAY)
        run = await handle.start(Order(1), idempotency_key="1", aggregation_id="1")
        assert (run.id, run.created, run.retained) == (saga_id, True, True)
        assert await run.result(SOON) == 1


async def test_a_definition_that_waits_for_events_keeps_its_sagas_for_a_week(make: Make) -> None:
    paid = Event("paid", int)

    @saga("awaited", retention=Retention(completed=DAY))
    def awaited(order: StepRef[Order]) -> StepRef[int]:
        charge(order)
        return paid.wait()

    async with make() as orchestrator:
        handle = orchestrator.register(awaited)
        run = await handle.start(Order(1), aggregation_id="a")
        await SagaAdmin(orchestrator).abort(run.id)
        await SagaAdmin(orchestrator).acknowledge(run.id)
        retention = Retention(failed=DAY)
        admin = SagaAdmin(orchestrator)
        await later(orchestrator, 6 * DAY)
        assert (await admin.prune("awaited", retention=retention)).sagas == 0
        await later(orchestrator, 2 * DAY)
        assert (await admin.prune("awaited", retention=retention)).sagas == 1


@pytest.mark.parametrize("here", ["not registered", "the wait was removed", "another version"])
async def test_a_saga_that_may_have_waited_is_kept_for_a_week_by_a_process_that_does_not_know_it(
    make: Make, here: str
) -> None:
    """A repeated event is known by the saga that has got it: else the next saga of the key takes it."""
    paid = Event("paid", int)

    @saga("order")
    def awaited(order: StepRef[Order]) -> StepRef[int]:
        paid.wait()
        return charge(order)

    async with make() as orchestrator:
        handle = orchestrator.register(awaited)
        run = await handle.start(Order(1), aggregation_id="a")
        await orchestrator.to(run.id, paid).send(1, event_id="e")
        await run.result(SOON)
        await later(orchestrator, 6 * DAY)
        elsewhere = SagaOrchestrator(orchestrator.engine.store, concurrency=0)
        if here != "not registered":
            elsewhere.register(orders(None), version=1 if here == "the wait was removed" else 2)
        admin = SagaAdmin(elsewhere)
        brief = Retention(completed=DAY)
        for dry_run in (True, False):
            assert (await admin.prune("order", version=1, retention=brief, dry_run=dry_run)).sagas == 0
        assert (await orchestrator.to(("order", "a"), paid).send(1, event_id="e")).value != "kept"
        await later(orchestrator, 2 * DAY)
        assert (await admin.prune("order", version=1, retention=brief)).sagas == 1


async def test_an_event_that_no_saga_has_got_keeps_the_saga_that_keeps_it_from_the_next_one(make: Make) -> None:
    """This process knows a version without waits alone, while another one sends events for the next version."""
    paid = Event("paid", int)

    @saga("order")
    def awaited(order: StepRef[Order]) -> StepRef[int]:
        return paid.wait(after=note(order))

    async with make() as orchestrator:
        handle = orchestrator.register(orders(Retention(completed=DAY)))
        other = SagaOrchestrator(orchestrator.engine.store, concurrency=0)
        later_one = other.register(awaited, version=2)
        assert (await other.to(("order", "1"), paid, may_be_new=True).send(7)).value == "kept"
        known, free = await finished(handle, 1), await finished(handle, 2)
        await later(orchestrator, 2 * DAY)
        await deletions(orchestrator)
        assert await there(orchestrator) == {known}
        assert (await SagaAdmin(orchestrator).prune("order")).sagas == 0
        assert free != known
        run = await later_one.start(Order(1), aggregation_id="1")
        assert await orchestrator.engine.store.messages(run.id) == [], "it gets what is sent to itself"
        assert await SagaAdmin(other).kept_events() == ()


async def test_a_saga_is_kept_from_its_last_change_on(make: Make) -> None:
    async def lost(_: Order) -> int:
        raise TimeoutError("no answer")

    async def back(_: Order, __: int) -> None:
        raise AssertionError("it never ran")

    pay = step(lost, compensate=back, on_unknown="park")

    @saga("doubtful", retention=Retention(compensated=DAY, failed=DAY))
    def doubtful(order: StepRef[Order]) -> StepRef[int]:
        return pay(order)

    async with make() as orchestrator:
        run = await orchestrator.register(doubtful).start(Order(1))
        await suspended(run)
        admin = SagaAdmin(orchestrator)
        await admin.abort(run.id)
        await later(orchestrator, MONTH)
        before = (await admin.get_saga(run.id)).ended_at
        await admin.settle_never_ran(run.id, "lost")
        after = await admin.get_saga(run.id)
        assert after.status is SagaStatus.COMPENSATED
        assert before is not None
        assert after.ended_at is not None
        assert after.ended_at > before
        assert (await admin.prune("doubtful")).sagas == 0
        await later(orchestrator, 2 * DAY)
        assert (await admin.prune("doubtful")).sagas == 1


async def test_nothing_is_deleted_before_the_archive_has_it(make: Make) -> None:
    given: list[list[ArchivedSaga]] = []
    broken = True

    async def keep(sagas: Sequence[ArchivedSaga]) -> None:
        given.append(list(sagas))
        assert {each.id for each in sagas} <= await there(orchestrator)
        if broken:
            raise OSError("the disk is full")

    async with make() as orchestrator:
        handle = orchestrator.register(orders(Retention(completed=DAY, archive=keep)))
        ids = {await finished(handle, number) for number in range(3)}
        await later(orchestrator, MONTH)
        await deletions(orchestrator)
        assert await there(orchestrator) == ids
        broken = False
        await deletions(orchestrator)
        assert await there(orchestrator) == set()
        first, second = given
        assert {each.id for each in first} == {each.id for each in second} == ids
        told = json.loads(second[0].to_json())
        assert (told["saga_name"], told["status"], told["id"]) == ("order", "COMPLETED", str(second[0].id))
        assert [entry["seq"] for entry in told["journal"]] == list(range(1, told["revision"] + 1))
        assert told["journal"][0]["payload"] == {"number": 0, "goes": "well"}
        assert {"kind", "event", "writer"} <= told["journal"][0].keys()


async def test_an_archive_that_fails_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def keep(_: Sequence[ArchivedSaga]) -> None:
        raise OSError("secret")

    async with SagaOrchestrator(MemoryStore()) as orchestrator:
        await finished(orchestrator.register(orders(Retention(completed=DAY, archive=keep))), 1)
        await later(orchestrator, MONTH)
        with caplog.at_level(logging.WARNING, "saga_fn.process"):
            await orchestrator.engine.deleting.run()
        assert [record.getMessage() for record in caplog.records] == [
            "sagas of 'order' v1 are kept, though their retention is over: the archive raised OSError"
        ]
        assert len(await there(orchestrator)) == 1


def group() -> BaseException:
    return BaseExceptionGroup("both", [asyncio.CancelledError()])


@pytest.mark.parametrize("fault", [KeyError, asyncio.CancelledError, GeneratorExit, group, None])
async def test_an_archive_that_fails_in_any_way_holds_up_its_own_definition_alone(
    fault: Callable[[], BaseException] | None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`None`: it never returns."""
    monkeypatch.setattr("saga_fn.engine.hold.deleting.ARCHIVE_TIME", 0.05)

    async def keep(_: Sequence[ArchivedSaga]) -> None:
        if fault is not None:
            raise fault()
        await asyncio.Event().wait()

    @saga("another", retention=BRIEF)
    def another(given: StepRef[Order]) -> StepRef[int]:
        return charge(given)

    async with SagaOrchestrator(MemoryStore()) as orchestrator:
        kept = await finished(orchestrator.register(orders(Retention(completed=DAY, archive=keep))), 1)
        await finished(orchestrator.register(another), 2)
        await later(orchestrator, MONTH)
        with caplog.at_level(logging.WARNING, "saga_fn.process"):
            await orchestrator.engine.deleting.run()
        assert await there(orchestrator) == {kept}
        (record,) = caplog.records
        assert "sagas of 'order' v1 are kept" in record.getMessage()
        with pytest.raises(StoreError, match=r"the archive (raised|has not returned)"):
            await SagaAdmin(orchestrator).prune("order")
        assert await there(orchestrator) == {kept}


@pytest.mark.parametrize("most", [2, 0])
async def test_a_batch_that_is_too_much_for_the_store_is_halved(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """`0`: the store does not delete one of them at all."""
    async with SagaOrchestrator(MemoryStore()) as orchestrator:
        handle = orchestrator.register(orders(BRIEF))
        ids = [await finished(handle, number) for number in range(9)]
        await later(orchestrator, MONTH)
        deletion = orchestrator.engine.store.deletion
        deletes, sizes = deletion.delete, list[int]()

        async def slow(shard: int, sagas: Sequence[EndedSaga], *, keep: timedelta | None) -> list[UUID]:
            sizes.append(len(sagas))
            if len(sagas) > 2 or (most == 0 and ids[4] in {each.id for each in sagas}):
                raise StoreUnavailableError("nothing came for 5 s")
            return await deletes(shard, sagas, keep=keep)

        monkeypatch.setattr(deletion, "delete", slow)
        if most == 0:
            with pytest.raises(StoreUnavailableError):
                await SagaAdmin(orchestrator).prune("order")
            assert await there(orchestrator) == {ids[4]}
            await orchestrator.engine.deleting.run()
            attention = [each.text for each in (await orchestrator.health()).attention]
            assert any("'order' v1: its sagas are kept" in text for text in attention)
            monkeypatch.undo()
        await orchestrator.engine.deleting.run()
        assert await there(orchestrator) == set()
        assert not (await orchestrator.health()).attention
        assert sizes[0] == len(ids)


async def test_an_archive_is_a_file_with_a_line_for_each_saga(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "orders.jsonl"
    torn = '{"id": "torn by a proc'
    path.write_text(torn)
    async with make() as orchestrator:
        handle = orchestrator.register(orders(Retention(completed=DAY, archive=JsonlArchive(path))))
        ids = {await finished(handle, number) for number in range(2)}
        await later(orchestrator, MONTH)
        await deletions(orchestrator)
        ids.add(await finished(handle, 2))
        await later(orchestrator, MONTH)
        await deletions(orchestrator)
        first, *lines = path.read_text().splitlines()
        assert first == torn
        assert {UUID(json.loads(line)["id"]) for line in lines} == ids
        starts = [json.loads(line)["journal"][0] for line in lines]
        assert {entry["process"] for entry in starts} == {f"{socket.gethostname()}:{os.getpid()}"}


async def archived(path: Path) -> None:
    """One saga is archived there and deleted."""
    async with SagaOrchestrator(MemoryStore()) as orchestrator:
        handle = orchestrator.register(orders(Retention(completed=DAY, archive=JsonlArchive(path))))
        await finished(handle, 1)
        await later(orchestrator, MONTH)
        assert (await SagaAdmin(orchestrator).prune("order")).sagas == 1


@pytest.mark.parametrize(
    "before", ["", "\n", '{"id": 1}', '{"id": 1}\n', '{"id": 1}\n{"id": 2}', "no line at all " * 9999, '{"id": 1}\n{"i']
)
async def test_an_archive_takes_nothing_away_from_its_file(tmp_path: Path, before: str) -> None:
    path = tmp_path / "orders.jsonl"
    path.write_text(before)
    await JsonlArchive(path)([])
    assert path.read_text() == before
    await archived(path)
    after = path.read_text()
    assert after.startswith(before)
    assert json.loads(after.splitlines()[-1])["status"] == "COMPLETED"
    assert after.splitlines()[:-1] == before.splitlines()


async def test_a_file_that_somebody_keeps_locked_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saga_fn.definition.archive._PATIENCE", 0.05)
    path = tmp_path / "orders.jsonl"
    with path.open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="has kept it locked"):
            await archived(path)
    await archived(path)


def test_a_path_that_no_file_can_have_is_refused() -> None:
    for path in ("a\x00", "\ud800"):
        with pytest.raises(SagaDefinitionError, match="an archive is a path"):
            JsonlArchive(path)


async def test_a_saga_that_is_taken_up_between_archive_and_deletion_stays(make: Make) -> None:
    async def keep(sagas: Sequence[ArchivedSaga]) -> None:
        await SagaAdmin(orchestrator).retry_step(sagas[0].id, "note")

    async with make(concurrency=0) as orchestrator:
        handle = orchestrator.register(orders(Retention(failed=DAY, archive=keep)))
        run = await handle.start(Order(1), idempotency_key="1")
        admin = SagaAdmin(orchestrator)
        await admin.abort(run.id)
        await admin.acknowledge(run.id)
        await later(orchestrator, MONTH)
        await deletions(orchestrator)
        assert (await admin.get_saga(run.id)).ended_at is None


async def test_prune_counts_first_and_deletes_as_much_as_it_is_told(make: Make) -> None:
    async with make() as orchestrator:
        handle = orchestrator.register(orders(BRIEF))
        ids = {await finished(handle, number) for number in range(3)}
        await later(orchestrator, MONTH)
        admin = SagaAdmin(orchestrator)
        dry = await admin.prune("order", dry_run=True)
        assert (dry.sagas, dry.is_more, set(dry.saga_ids)) == (3, False, ids)
        assert (await admin.prune("order", dry_run=True, limit=2)).is_more
        assert await there(orchestrator) == ids
        first = await admin.prune("order", limit=2)
        assert (first.sagas, first.is_more) == (2, True)
        assert await admin.prune("order", version=1, retention=Retention(completed=MONTH)) == Pruned(
            1, is_more=False, saga_ids=tuple(ids - set(first.saga_ids))
        )
        assert await admin.prune("order") == Pruned(0, is_more=False, saga_ids=())


async def test_a_retention_without_an_archive_takes_that_of_the_definition(make: Make) -> None:
    given: list[ArchivedSaga] = []

    async def keep(sagas: Sequence[ArchivedSaga]) -> None:
        given.extend(sagas)

    async with make() as orchestrator:
        saga_id = await finished(orchestrator.register(orders(Retention(completed=MONTH, archive=keep))), 1)
        await later(orchestrator, 2 * DAY)
        assert (await SagaAdmin(orchestrator).prune("order", retention=Retention(completed=DAY))).sagas == 1
        assert [each.id for each in given] == [saga_id]


async def test_two_prunes_at_once_do_not_say_that_nothing_is_left(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """One finds sagas that the other one is deleting."""
    async with make() as orchestrator:
        handle = orchestrator.register(orders(BRIEF))
        for number in range(4):
            await finished(handle, number)
        await later(orchestrator, MONTH)
        admin, deletion = SagaAdmin(orchestrator), orchestrator.engine.store.deletion
        deletes = deletion.delete

        async def overtaken(shard: int, sagas: Sequence[EndedSaga], *, keep: timedelta | None) -> list[UUID]:
            monkeypatch.setattr(deletion, "delete", deletes)
            assert (await admin.prune("order", limit=2)).sagas == 2
            return await deletes(shard, sagas, keep=keep)

        monkeypatch.setattr(deletion, "delete", overtaken)
        assert await admin.prune("order", limit=2) == Pruned(0, is_more=True, saga_ids=())
        assert (await admin.prune("order", limit=9)).sagas == 2


async def test_what_prune_is_given_is_judged(make: Make) -> None:
    async with make() as orchestrator:
        orchestrator.register(orders(None))
        admin = SagaAdmin(orchestrator)
        with pytest.raises(SagaNotRegisteredError, match="say which version is meant: version=1;"):
            await admin.prune("nobody", retention=BRIEF)
        with pytest.raises(SagaDefinitionError, match="nothing says how long"):
            await admin.prune("order")
        with pytest.raises(SagaDefinitionError, match="nothing says how long"):
            await admin.prune("nobody", version=3)
        with pytest.raises(SagaDefinitionError, match="a Retention is wanted"):
            await admin.prune("order", retention=DAY)  # type: ignore[arg-type]  # that is the mistake
        with pytest.raises(PayloadError):
            await admin.prune(None)  # type: ignore[arg-type]  # that is the mistake
        with pytest.raises(PayloadError, match="dry_run"):
            await admin.prune("order", retention=BRIEF, dry_run=1)  # type: ignore[arg-type]  # that is the mistake
        mistakes: tuple[dict[str, Any], ...] = ({"limit": 0}, {"version": 0}, {"limit": True})  # Any: the mistakes
        for wrong in mistakes:
            with pytest.raises(SagaError):
                await admin.prune("order", retention=BRIEF, **wrong)


async def test_only_a_pruner_may_delete(any_dsn: str) -> None:
    async with SagaOrchestrator(any_dsn) as orchestrator:
        await finished(orchestrator.register(orders(BRIEF)), 1)
        await later(orchestrator, MONTH)
        async with role(any_dsn) as (name, dsn):
            await grant(any_dsn, role=name, kind=RoleKind.WORKER)
            async with SagaOrchestrator(dsn) as worker:
                worker.register(orders(BRIEF))
                with pytest.raises(StoreRefusedError, match="pruner=ROLE deletes"):
                    await SagaAdmin(worker).prune("order")
                attention = [each.text for each in (await worker.health()).attention]
                assert [text for text in attention if "deletes no saga" in text and "--grant pruner=ROLE" in text]
            await grant(any_dsn, role=name, kind=RoleKind.PRUNER)
            async with SagaOrchestrator(dsn) as worker:
                worker.register(orders(BRIEF))
                assert (await SagaAdmin(worker).prune("order")).sagas == 1
                assert not [each for each in (await worker.health()).attention if "deletes no saga" in each.text]
                await worker.engine.deleting.run()
        assert await there(orchestrator) == set()


@pytest.mark.parametrize("method", ["journal", "results"])
async def test_a_look_that_a_deletion_overtakes_says_that_the_saga_was_deleted(
    make: Make, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """The saga is deleted after its row was read, and before its journal, or what stands in it."""
    async with make() as orchestrator:
        handle = orchestrator.register(orders(BRIEF))
        ids = [await finished(handle, number) for number in range(3)]
        await later(orchestrator, MONTH)
        admin, store = SagaAdmin(orchestrator), orchestrator.engine.store
        reads = getattr(store, method)

        async def overtaken(*args: object, **options: object) -> object:
            await admin.prune("order", limit=1)
            return await reads(*args, **options)

        def result_of(saga_id: UUID) -> Awaitable[object]:
            return handle.attach(saga_id).result(SOON)

        looks: list[Callable[[UUID], Awaitable[object]]] = [result_of]
        if method == "journal":
            looks = [admin.get_saga, admin.verify]
        for look, saga_id in zip(looks, ids, strict=False):
            monkeypatch.setattr(store, method, overtaken)
            with pytest.raises(SagaDeletedError):
                await look(saga_id)
            monkeypatch.undo()


async def test_a_journal_in_partitions_loses_what_is_deleted(empty_dsn: str) -> None:
    await migrate(empty_dsn, journal_partitions=True)
    async with SagaOrchestrator(empty_dsn) as orchestrator:
        handle = orchestrator.register(orders(BRIEF))
        ids = {await finished(handle, number) for number in range(3)}
        kept = await handle.start(Order(3), delay=DAY)
        await later(orchestrator, MONTH)
        assert (await SagaAdmin(orchestrator).prune("order")).sagas == len(ids)
        connection = await asyncpg.connect(empty_dsn)
        assert {row["saga_id"] for row in await connection.fetch("SELECT saga_id FROM saga_fn.saga_journal")} == {
            kept.id
        }
        await connection.close()


async def test_lists_go_on_beside_deletions(make: Make) -> None:
    async with make() as orchestrator:
        handle = orchestrator.register(orders(BRIEF))
        ids = [await finished(handle, number) for number in range(4)]
        await later(orchestrator, MONTH)
        admin = SagaAdmin(orchestrator)
        wanted = SagaFilter(status=SagaStatus.COMPLETED)
        first = await admin.list(wanted, limit=1)
        assert [row.id for row in first.rows] == [ids[-1]]
        await admin.prune("order", limit=1)  # the oldest
        rest = await admin.list(wanted, after=first.next)
        assert [row.id for row in rest.rows] == [ids[2], ids[1]]
