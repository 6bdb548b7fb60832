"""Rows with a value that nothing here can read or count with, in whatever column: they cost their own saga, and only it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest

from saga_fn import Event, SagaAdmin, SagaOrchestrator, StepRef, saga, step
from saga_fn.core.ids import PlanId
from saga_fn.errors import StoredDataError
from saga_fn.store.errors import RowRejectedError
from saga_fn.store.records import InboxMessage, UnreadRecord

Make = Callable[..., SagaOrchestrator]
_LEASE = timedelta(seconds=2)
_POLL = timedelta(milliseconds=100)


class Order(msgspec.Struct, frozen=True):
    number: int


class Approval(msgspec.Struct, frozen=True):
    by: str


approved = Event("approved", Approval)


async def _pack(order: Order) -> int:
    return order.number


async def _close(approval: Approval) -> str:
    return approval.by


pack, close = step(_pack), step(_close)


@saga("packed")
def packed(order: StepRef[Order]) -> StepRef[int]:
    return pack(order)


@saga("approved")
def approving(order: StepRef[Order]) -> StepRef[str]:
    pack(order)
    return close(approved.wait(timeout=timedelta(days=1)))


_TIMES = [
    ("saga", "created_at"),
    ("saga", "updated_at"),
    ("saga", "due_at"),
    ("saga_inbox", "sent_at"),
    ("saga_inbox", "answered_at"),
    ("saga_verb", "sent_at"),
    ("saga_verb", "answered_at"),
    ("saga_event", "sent_at"),
    ("saga_event", "expires_at"),
    ("saga_rejection", "recorded_at"),
    ("saga_journal", "recorded_at"),
    ("saga_process", "seen_at"),
]


@pytest.mark.parametrize("moment", ["20000-01-01", "infinity", "4000-01-01 BC"])
async def test_no_table_takes_a_moment_that_no_client_could_read(any_dsn: str, moment: str) -> None:
    connection = await asyncpg.connect(any_dsn)
    try:
        columns = await connection.fetch(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = 'saga_fn' AND data_type LIKE 'timestamp%' AND table_name LIKE 'saga%'"
        )
        assert {(row["table_name"], row["column_name"]) for row in columns} >= set(_TIMES)
        for table, column in columns:
            check = await connection.fetch(
                "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = $1::regclass AND contype = 'c'",
                f"saga_fn.{table}",
            )
            assert any(column in row[0] and "0001" in row[0] for row in check), (table, column)
        shop = SagaOrchestrator(any_dsn, concurrency=0)
        async with shop:
            run = await shop.register(packed).start(Order(1))
        for column in ("created_at", "due_at"):
            with pytest.raises(asyncpg.CheckViolationError):
                await connection.execute(
                    f"UPDATE saga_fn.saga SET {column} = '{moment}' WHERE id = $1",
                    run.id,
                )
    finally:
        await connection.close()


async def test_a_saga_whose_messages_cannot_be_read_is_parked(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = make()
    async with shop:
        handle = shop.register(approving)
        run, other = await handle.start(Order(1)), await handle.start(Order(2))
        while (await run.snapshot()).status != "SUSPENDED" or (await other.snapshot()).status != "SUSPENDED":
            await asyncio.sleep(0.02)
        store = shop.engine.store
        read = store.unread

        async def unread(saga_id: UUID, *, most: int) -> list[UnreadRecord]:
            if saga_id == run.id:
                raise RowRejectedError("a value cannot be read")
            return await read(saga_id, most=most)

        monkeypatch.setattr(store, "unread", unread)
        await store.send(run.id, InboxMessage(uuid4(), "retry_step", b"{}"))
        shop.engine.notify_processes(None, store.now())
        async with asyncio.timeout(20):
            while run.id in shop.engine.held or (await run.snapshot()).parked is None:
                await asyncio.sleep(0.02)
        monkeypatch.setattr(store, "unread", read)
        assert await shop.to(other.id, approved).send(Approval("ann")) == "accepted"
        assert await other.result(timeout=10) == "ann"
        await SagaAdmin(shop).abort(run.id)


async def test_an_event_that_cannot_be_handed_over_keeps_no_other_from_it(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        shop = SagaOrchestrator(dsn, lease=_LEASE, poll_interval=_POLL)
        async with shop:
            handle = shop.register(approving)
            runs = [await handle.start(Order(n), aggregation_id=f"order-{n}") for n in range(3)]
            for run in runs:
                while (await run.snapshot()).status != "SUSPENDED":
                    await asyncio.sleep(0.02)
        await connection.execute("UPDATE saga_fn.saga SET inbox_sent = 9223372036854775807 WHERE id = $1", runs[0].id)
        await connection.execute(
            "INSERT INTO saga_fn.saga_event (shard, name, aggregation_id, id, event, body, expires_at)"
            " SELECT 0, 'approved', 'order-' || n, gen_random_uuid(), 'approved', $1, now() + interval '1 day'"
            " FROM generate_series(0, 2) AS n",
            b'{"name":"approved","payload":"eyJieSI6ImFubiJ9"}',
        )
        shop = SagaOrchestrator(dsn, lease=_LEASE, poll_interval=_POLL)
        async with shop:
            handle = shop.register(approving)
            for run in runs[1:]:
                assert await handle.attach(run.id).result(timeout=20) == "ann"
            assert (await shop.health()).problems == ()
    finally:
        await connection.close()


async def test_many_events_for_one_key_are_handed_over_in_portions(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        shop = SagaOrchestrator(dsn, lease=_LEASE, poll_interval=_POLL)
        async with shop:
            handle = shop.register(approving)
            run = await handle.start(Order(1), aggregation_id="order-1")
            await connection.execute(
                "INSERT INTO saga_fn.saga_event (shard, name, aggregation_id, id, event, body, expires_at)"
                " SELECT 0, 'approved', 'order-1', gen_random_uuid(), 'approved', $1, now() + interval '1 day'"
                " FROM generate_series(1, 5000)",
                b'{"name":"approved","payload":"eyJieSI6ImFubiJ9"}',
            )
            assert await run.result(timeout=20) == "ann"
            assert (await shop.health()).problems == ()
            assert await connection.fetchval("SELECT count(*) FROM saga_fn.saga_inbox") < 1000
    finally:
        await connection.close()


async def test_a_flood_of_forged_messages_is_read_in_portions_and_told_in_few_lines(
    dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        shop = SagaOrchestrator(dsn, lease=_LEASE, poll_interval=_POLL)
        async with shop:
            run = await shop.register(approving).start(Order(1))
            while (await run.snapshot()).status != "SUSPENDED":
                await asyncio.sleep(0.02)
            await connection.execute(
                "INSERT INTO saga_fn.saga_inbox (shard, saga_id, id, body, sent_at)"
                " SELECT 0, $1, gen_random_uuid(), '\\xff', now() - interval '1 minute'"
                " FROM generate_series(1, 2500)",
                run.id,
            )
            await connection.execute(
                "UPDATE saga_fn.saga SET inbox_sent = inbox_sent + 1, due_at = now() WHERE id = $1", run.id
            )
            with caplog.at_level(logging.WARNING, logger="saga_fn"):
                async with asyncio.timeout(60):
                    while await connection.fetchval("SELECT count(*) FROM saga_fn.saga_inbox WHERE answer IS NULL"):
                        await asyncio.sleep(0.1)
                assert await shop.to(run.id, approved).send(Approval("ann")) == "accepted"
                assert await run.result(timeout=10) == "ann"
            told = [record for record in caplog.records if "cannot be read" in record.getMessage()]
            assert 1 <= len(told) <= 10
    finally:
        await connection.close()


async def test_a_plan_id_that_is_no_fingerprint_is_told_as_a_row_that_cannot_be_read(any_dsn: str) -> None:
    async with SagaOrchestrator(any_dsn, concurrency=0) as orchestrator:
        for plan_id in ("no hex", "", "\u2603"):
            with pytest.raises(StoredDataError, match="no fingerprint"):
                await orchestrator.engine.store.plan(PlanId(plan_id))
