"""Old months of a journal in partitions are dropped beside the traffic, and what a call leaves undone the next one does."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from saga_fn import MemoryStore, SagaAdmin, SagaFilter, SagaOrchestrator, SagaStatus
from saga_fn.errors import SagaJournalDroppedError, StoreError
from saga_fn.store import months
from saga_fn.store.eras import month_of, partition_of
from saga_fn.store.migrate import migrate
from saga_fn.store.months import drop_months, main
from tests.store.test_partitions import conn, eras, leave, parted, partitions, this_month
from tests.support.shop import Order, Shop, make_saga
from tests.support.until import SOON

__all__ = ["conn", "parted"]  # fixtures

Session = asyncpg.Connection


@pytest.fixture
async def month(conn: Session) -> int:
    """The present month, of a journal that has partitions for the eight months before it, too."""
    now = await this_month(conn)
    await leave(conn, *range(now - 8, now + 3))
    return now


async def saga_of(conn: Session, orchestrator: SagaOrchestrator, era: int, end: SagaStatus | None) -> None:
    """A saga that began in that month, and has ended so, or is live."""
    fails = {SagaStatus.COMPENSATED: {"ship": 1}, SagaStatus.FAILED: {"ship": 1, "release reserve": 9}}
    shop = Shop(fails={} if end is None else fails.get(end, {}))
    run = await orchestrator.register(f"of {era} {end}", make_saga(shop)).start(
        Order("1"), delay=timedelta(days=1) if end is None else None
    )
    if end is not None:
        await run.outcome(SOON)
    async with conn.transaction():
        await conn.execute("UPDATE saga_fn.saga SET era = $1 WHERE id = $2", era, run.id)
        await conn.execute("UPDATE saga_fn.saga_journal SET era = $1 WHERE saga_id = $2", era, run.id)


def named(*of: int) -> tuple[str, ...]:
    return tuple(month_of(era) for era in of)


@pytest.mark.raw_rows
@pytest.mark.parametrize("end", [SagaStatus.COMPLETED, SagaStatus.COMPENSATED])
async def test_the_end_of_a_saga_whose_journal_was_dropped_says_so_and_claims_nothing_else(
    parted: str, conn: Session, month: int, end: SagaStatus
) -> None:
    async with SagaOrchestrator(parted) as orchestrator:
        await saga_of(conn, orchestrator, month - 7, end)
        assert await drop_months(conn, ended=True)
    shop = make_saga(Shop())
    async with SagaOrchestrator(parted) as orchestrator:
        (row,) = (await SagaAdmin(orchestrator).list()).rows
        run = orchestrator.register(f"of {month - 7} {end}", shop).attach(row.id)
        for asked in (run.result, run.outcome):
            with pytest.raises(SagaJournalDroppedError, match=f"ended {end.value}, and its journal is gone") as told:
                await asked(SOON)
            assert (told.value.saga_id, told.value.status) == (row.id, end)
        assert (await run.snapshot()).status is end
        assert (await SagaAdmin(orchestrator).get_saga(row.id)).status is end


@pytest.mark.raw_rows
async def test_months_go_of_which_no_saga_is_left_or_all_have_ended(parted: str, conn: Session, month: int) -> None:
    async with SagaOrchestrator(parted) as orchestrator:
        for era, end in (
            (month - 7, SagaStatus.COMPLETED),
            (month - 6, SagaStatus.COMPENSATED),
            (month - 5, SagaStatus.FAILED),
            (month - 4, None),
            (month - 1, SagaStatus.COMPLETED),
        ):
            await saga_of(conn, orchestrator, era, end)
        empty = named(month - 8, month - 3, month - 2)
        assert await drop_months(conn, dry_run=True) == empty
        assert len(await eras(conn)) == 11, "nothing is done"
        assert await drop_months(parted) == empty
        assert await drop_months(conn, ended=True, dry_run=True) == named(month - 7, month - 6)
        assert await drop_months(conn, ended=True) == named(month - 7, month - 6)
        assert await drop_months(conn, ended=True) == ()
        left = [month - 5, month - 4, *range(month - 1, month + 3)]
        assert await eras(conn) == left
        assert await partitions(conn) == [partition_of(era) for era in left]
        assert await conn.fetchval("SELECT to_regclass($1)", f"saga_fn.{partition_of(month - 8)}") is None
        rows = [row async for row in SagaAdmin(orchestrator).list_all(SagaFilter(status=SagaStatus.COMPLETED))]
        assert len(rows) == 2, "they are still listed"
        without = [row.id for row in rows if row.saga_name == f"of {month - 7} COMPLETED"]
        assert len(without) == 1
        seen = await SagaAdmin(orchestrator).get_saga(without[0])
        assert (seen.status, seen.step_history) == (SagaStatus.COMPLETED, ())
        await migrate(parted, journal_partitions=True)
        assert (await eras(conn))[:2] == left[:2], "months to come are added, and no old one"
        assert len(await eras(conn)) == 2 + 1 + 1 + 24


async def test_the_newest_month_that_a_start_could_take_stays(conn: Session) -> None:
    now = await this_month(conn)
    await leave(conn, now - 9, now - 8, now + 5)
    assert await drop_months(conn, ended=True) == named(now - 9)
    assert await eras(conn) == [now - 8, now + 5]


async def test_months_are_dropped_beside_workers_and_starts(parted: str, conn: Session, month: int) -> None:
    async with SagaOrchestrator(parted, poll_interval=timedelta(milliseconds=50)) as orchestrator:
        handle, over = orchestrator.register("shop", make_saga(Shop())), asyncio.Event()

        async def traffic() -> int:
            done = 0
            while not over.is_set() or done < 20:
                await (await handle.start(Order(str(done)))).result(SOON)
                done += 1
            return done

        busy = [asyncio.create_task(traffic()) for _ in range(4)]
        dropped = await asyncio.gather(drop_months(parted), drop_months(parted))
        over.set()
        assert sum(await asyncio.gather(*busy)) >= 80
        assert set(dropped[0]) | set(dropped[1]) == set(named(*range(month - 8, month - 1)))
        assert await partitions(conn) == [partition_of(era) for era in range(month - 1, month + 3)]


@pytest.mark.parametrize("way", ["a long transaction", "a process that died"])
async def test_what_a_call_leaves_undone_the_next_one_does(
    parted: str, conn: Session, month: int, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(months, "_PATIENCE", 0.3)
    await leave(conn, month - 3, month - 2, month - 1, month)
    other = await asyncpg.connect(parted)
    try:
        if way == "a long transaction":
            reading = other.transaction()
            await reading.start()
            await other.fetch("SELECT count(*) FROM saga_fn.saga_journal")
            with pytest.raises(StoreError, match="could not be detached within"):
                await drop_months(conn)
            assert await eras(conn) == [month - 1, month], "no start takes them"
            assert await conn.fetchval("SELECT bool_or(inhdetachpending) FROM pg_inherits")
            await reading.rollback()
        else:

            async def dies(*_: Any) -> bool:  # Any: of no interest
                raise asyncio.CancelledError

            with monkeypatch.context() as patched:
                patched.setattr(months, "_go_on", dies)
                with pytest.raises(asyncio.CancelledError):
                    await drop_months(conn)
            await conn.execute(f"ALTER TABLE saga_fn.saga_journal DETACH PARTITION saga_fn.{partition_of(month - 3)}")
        assert await drop_months(conn, dry_run=True) == named(month - 3, month - 2)
        assert await drop_months(conn) == named(month - 3, month - 2)
        assert await partitions(conn) == [partition_of(month - 1), partition_of(month)]
        assert await conn.fetchval("SELECT to_regclass($1)", f"saga_fn.{partition_of(month - 3)}") is None
    finally:
        await other.close()


async def test_a_table_that_a_person_has_detached_stays(conn: Session, month: int) -> None:
    await conn.execute(f"DELETE FROM saga_fn.journal_era WHERE era = {month - 8}")
    await conn.execute(f"ALTER TABLE saga_fn.saga_journal DETACH PARTITION saga_fn.{partition_of(month - 8)}")
    assert month_of(month - 8) not in await drop_months(conn)
    assert await conn.fetchval("SELECT to_regclass($1)", f"saga_fn.{partition_of(month - 8)}") is not None


@pytest.mark.parametrize("value", [None, 1, "yes"])
async def test_what_it_is_told_is_judged(value: Any, dsn: str) -> None:  # Any: wrong on purpose
    for name in ("ended", "dry_run"):
        with pytest.raises(StoreError, match=f"{name} must be True or False"):
            await drop_months(dsn, **{name: value})
    with pytest.raises(StoreError, match="is one table"):
        await drop_months(dsn)
    with pytest.raises(StoreError, match="a connection or a pool is wanted"):
        await drop_months(MemoryStore())  # type: ignore[arg-type]  # wrong on purpose


async def test_the_command_line_names_them_and_drops_them(
    parted: str, conn: Session, month: int, capsys: pytest.CaptureFixture[str]
) -> None:
    await leave(conn, month - 2, month - 1, month)
    for arguments, said in ((["--dry-run"], "to drop: "), ([], "dropped: ")):
        assert await asyncio.to_thread(main, ["--dsn", parted, *arguments]) == 0
        assert capsys.readouterr().out == f"{said}{month_of(month - 2)}\n"
    assert await asyncio.to_thread(main, ["--dsn", parted, "--ended"]) == 0
    assert capsys.readouterr().out == "dropped: no month\n"
    assert await asyncio.to_thread(main, ["--dsn", parted, "--schema", "no schema!"]) == 1
    assert capsys.readouterr().err
