"""Sagas that share a commit share nothing else: what is wrong with one is its own affair."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from saga_fn import (
    Completed,
    SagaAdmin,
    SagaNotFoundError,
    SagaOrchestrator,
    SagaRun,
    SagaStatus,
    StoreError,
    StoreUnavailableError,
)
from saga_fn.store.errors import RowLockedError, StatementFailedError
from saga_fn.store.postgres import PostgresStore
from saga_fn.store.records import Committed, Recorded, SagaWrite, Standing
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.until import SOON, suspended

MANY = 40
LEASE = timedelta(seconds=2)
"""A process that has to wait for a processor for a third of it, as on a busy machine, loses nothing."""
Trouble = Callable[[asyncpg.Connection, UUID], Awaitable[object]]


class Crowd:
    """Many sagas that all charge at one moment, and one of them that is to have some trouble."""

    def __init__(self, dsn: str) -> None:
        self.shop = Shop(hold=asyncio.Event(), returns=Done)
        self.orchestrator = SagaOrchestrator(dsn, concurrency=64)
        self.runs: list[SagaRun[Done]] = []

    async def gather(self) -> SagaRun[Done]:
        """Start all of them, and give the one that is to have trouble when all of them hang in their second step."""
        handle = self.orchestrator.register("shop", make_saga(self.shop))
        self.runs = await handle.start_many([Order(str(number)) for number in range(MANY)])
        async with asyncio.timeout(SOON):
            while len(self.shop.keys) < 2 * MANY:
                await asyncio.sleep(0.005)
        return self.runs.pop(MANY // 2)

    def go_on(self) -> None:
        """All of them return from that step in one turn of the loop, so that they share the commit."""
        assert self.shop.hold is not None
        self.shop.hold.set()

    async def assert_unharmed(self) -> None:
        """The others complete, each step done once."""
        for run in self.runs:
            assert isinstance(await run.outcome(SOON), Completed)
        ids = {str(run.id) for run in self.runs}
        begun = Counter(key for key in self.shop.keys if key[:36] in ids)
        assert begun == Counter(dict.fromkeys(begun, 1))
        assert len(begun) == 3 * len(self.runs)


@pytest.fixture
def crowd(dsn: str) -> Crowd:
    return Crowd(dsn)


@pytest.fixture
async def stranger(dsn: str) -> asyncpg.Connection:
    return await asyncpg.connect(dsn)


async def test_a_row_that_the_server_refuses_is_parked_alone(crowd: Crowd, stranger: asyncpg.Connection) -> None:
    async with crowd.orchestrator as orchestrator:
        one = await crowd.gather()
        await stranger.execute(
            "ALTER TABLE saga_fn.saga_journal ADD CONSTRAINT no_charge_of_that_one"
            f" CHECK (saga_id <> '{one.id}' OR kind <> 'step_succeeded') NOT VALID"
        )
        crowd.go_on()
        await crowd.assert_unharmed()
        async with asyncio.timeout(SOON):
            while (await one.snapshot()).parked is None:
                await asyncio.sleep(0.01)
        assert (await one.snapshot()).parked == "row_rejected"
        await stranger.execute("ALTER TABLE saga_fn.saga_journal DROP CONSTRAINT no_charge_of_that_one")
        await SagaAdmin(orchestrator).retry_step(one.id, "charge")
        assert isinstance(await one.outcome(SOON), Completed), "a person mends the cause and lets it go on"
    await stranger.close()


@pytest.mark.fault(12)
@pytest.mark.parametrize("code", ["P0001", "XX001", "42501", "0A000", "40001", "57014"])
async def test_a_row_whose_commit_fails_for_whatever_reason_is_parked_alone(
    crowd: Crowd, stranger: asyncpg.Connection, code: str
) -> None:
    """By a trigger, as row-level security, a rule of the user's own or a damaged page would do it."""
    async with crowd.orchestrator as orchestrator:
        one = await crowd.gather()
        await stranger.execute(
            "CREATE FUNCTION saga_fn.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" RAISE EXCEPTION 'not this one' USING errcode = '{code}'; END $$;"
            "CREATE TRIGGER refuse BEFORE UPDATE ON saga_fn.saga FOR EACH ROW"
            f" WHEN (new.id = '{one.id}' AND new.rev > old.rev) EXECUTE FUNCTION saga_fn.refuse()"
        )
        crowd.go_on()
        await crowd.assert_unharmed()
        # What comes later is neither held up: that others are taken tells that it is about this one.
        handle = orchestrator.register("later", make_saga(crowd.shop))
        async with asyncio.timeout(2 * SOON):
            while (await one.snapshot()).parked is None:
                assert isinstance(await (await handle.start(Order("later"))).outcome(SOON), Completed)
        assert (await orchestrator.health()).ok
        await stranger.execute("DROP FUNCTION saga_fn.refuse CASCADE")
        await SagaAdmin(orchestrator).abort(one.id)
    await stranger.close()


async def test_a_row_whose_lease_the_server_does_not_renew_costs_no_other_its_lease(
    dsn: str, stranger: asyncpg.Connection
) -> None:
    crowd = Crowd(dsn)
    crowd.orchestrator = SagaOrchestrator(dsn, concurrency=64, lease=LEASE)
    async with crowd.orchestrator as orchestrator:
        one = await crowd.gather()
        await stranger.execute(
            "CREATE FUNCTION saga_fn.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " RAISE EXCEPTION 'not this one'; END $$;"
            "CREATE TRIGGER refuse BEFORE UPDATE ON saga_fn.saga FOR EACH ROW"
            f" WHEN (new.id = '{one.id}' AND new.rev = old.rev AND new.owner = old.owner) EXECUTE FUNCTION saga_fn.refuse()"
        )
        async with asyncio.timeout(SOON):
            while one.id in orchestrator.engine.held:
                await asyncio.sleep(0.05)
        await asyncio.sleep(1.5 * LEASE.total_seconds())
        assert {run.id for run in crowd.runs} <= set(orchestrator.engine.held)
        await stranger.execute("DROP FUNCTION saga_fn.refuse CASCADE")
        crowd.go_on()
        await crowd.assert_unharmed()
        assert isinstance(await one.outcome(SOON), Completed)
    await stranger.close()


@pytest.mark.parametrize("code", ["P0001", "42501"])
async def test_a_start_that_the_server_refuses_costs_no_other_start(
    dsn: str, stranger: asyncpg.Connection, code: str
) -> None:
    """By a trigger of the user's, or by row-level security: those that shared its statement hear nothing of it."""
    await stranger.execute(
        "CREATE FUNCTION saga_fn.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" RAISE EXCEPTION 'not this one' USING errcode = '{code}'; END $$;"
        "CREATE TRIGGER refuse BEFORE INSERT ON saga_fn.saga FOR EACH ROW"
        " WHEN (new.aggregation_id = '7') EXECUTE FUNCTION saga_fn.refuse()"
    )
    async with SagaOrchestrator(dsn) as orchestrator:
        handle = orchestrator.register("shop", make_saga(Shop(returns=Done)))
        starts = [handle.start(Order(str(number)), aggregation_id=str(number)) for number in range(MANY)]
        ends = await asyncio.gather(*starts, return_exceptions=True)
        refused = ends.pop(7)
        assert isinstance(refused, StoreError)
        assert "not this one" in refused.fact
        for run in ends:
            assert isinstance(run, SagaRun), run
            assert isinstance(await run.outcome(SOON), Completed)
    await stranger.execute("DROP FUNCTION saga_fn.refuse CASCADE")
    await stranger.close()


async def test_no_more_are_claimed_at_once_than_can_be_read_in_time(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large payloads over a slow line: what all of them need together never comes within the time limit of a statement."""
    shop = Shop(returns=Done)
    async with SagaOrchestrator(dsn, concurrency=0) as clerk:
        runs = await clerk.register("shop", make_saga(shop)).start_many([Order(str(number)) for number in range(MANY)])
    read = PostgresStore.results
    sizes: list[int] = []

    async def slow(
        store: PostgresStore, shard: int, wanted: Sequence[tuple[UUID, int]], **given: Any
    ) -> dict[tuple[UUID, int], Recorded]:
        sizes.append(len(wanted))
        if len(wanted) > 4:
            raise StoreUnavailableError("PostgreSQL does not answer: nothing came for 5 s")
        return await read(store, shard, wanted, **given)

    monkeypatch.setattr(PostgresStore, "results", slow)
    async with SagaOrchestrator(dsn, concurrency=64, poll_interval=timedelta(milliseconds=50)) as orchestrator:
        handle = orchestrator.register("shop", make_saga(shop))
        for run in runs:  # within a lease: what could not be read was given back
            assert isinstance(await handle.attach(run.id).outcome(SOON), Completed)
    assert max(sizes) == MANY


@pytest.mark.parametrize("concurrency", [1, 64])
async def test_a_row_that_the_server_lets_nobody_claim_keeps_no_other_from_being_claimed(
    dsn: str, stranger: asyncpg.Connection, concurrency: int, caplog: pytest.LogCaptureFixture
) -> None:
    shop = Shop(returns=Done)
    async with SagaOrchestrator(dsn, concurrency=0) as clerk:
        runs = await clerk.register("shop", make_saga(shop)).start_many([Order(str(number)) for number in range(MANY)])
    one = runs.pop(0)
    await stranger.execute("UPDATE saga_fn.saga SET due_at = now() - interval '10 minutes' WHERE id = $1", one.id)
    await stranger.execute(
        "CREATE FUNCTION saga_fn.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE EXCEPTION 'not this one'; END $$;"
        "CREATE TRIGGER refuse BEFORE UPDATE ON saga_fn.saga FOR EACH ROW"
        f" WHEN (new.id = '{one.id}') EXECUTE FUNCTION saga_fn.refuse()"
    )
    async with SagaOrchestrator(dsn, concurrency=concurrency, poll_interval=timedelta(milliseconds=50)) as orchestrator:
        handle = orchestrator.register("shop", make_saga(shop))
        for run in runs:
            assert isinstance(await handle.attach(run.id).outcome(SOON), Completed)
        assert [each for each in caplog.messages if "cannot be claimed" in each]
        health = await orchestrator.health()
        assert health.ok
        assert "overdue" in {each.kind.value for each in health.attention}
    await stranger.execute("DROP FUNCTION saga_fn.refuse CASCADE")
    await stranger.close()


@pytest.mark.raw_rows
@pytest.mark.parametrize("all_of_them", [False, True])
async def test_a_row_whose_payloads_cannot_be_read_is_parked_alone(
    dsn: str, monkeypatch: pytest.MonkeyPatch, all_of_them: bool
) -> None:
    """As with a page that is damaged: the server refuses the statement that reads it, for all whose payloads it would read."""
    shop = Shop(returns=Done)
    async with SagaOrchestrator(dsn, concurrency=0) as clerk:
        runs = await clerk.register("shop", make_saga(shop)).start_many([Order(str(number)) for number in range(MANY)])
    one = runs.pop(MANY // 2)
    read = PostgresStore.results
    damaged = True

    async def refusing(
        store: PostgresStore, shard: int, wanted: Sequence[tuple[UUID, int]], **given: Any
    ) -> dict[tuple[UUID, int], Recorded]:
        if damaged and (all_of_them or any(saga == one.id for saga, _ in wanted)):
            raise StatementFailedError("missing chunk number 0 for toast value")
        return await read(store, shard, wanted, **given)

    monkeypatch.setattr(PostgresStore, "results", refusing)
    async with SagaOrchestrator(dsn, concurrency=64, lease=timedelta(seconds=1)) as orchestrator:
        handle = orchestrator.register("shop", make_saga(shop))
        if all_of_them:
            async with asyncio.timeout(SOON):
                while (await orchestrator.health()).ok:
                    await asyncio.sleep(0.05)
            damaged = False
        for run in runs:
            assert isinstance(await handle.attach(run.id).outcome(SOON), Completed)
        if all_of_them:
            assert isinstance(await handle.attach(one.id).outcome(SOON), Completed), "no saga is parked for that"
        else:
            await suspended(handle.attach(one.id))


@pytest.mark.parametrize("also_asked_again", [False, True])
async def test_a_saga_whose_journal_was_read_from_another_server_is_claimed_again(
    dsn: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, also_asked_again: bool
) -> None:
    """As in a failover, when some connections lead to the old server still: it lacks the saga, or its last entries."""
    shop = Shop(returns=Done)
    async with SagaOrchestrator(dsn, concurrency=0) as clerk:
        run = await clerk.register("shop", make_saga(shop)).start(Order("1"))
    read, standing = PostgresStore.results, PostgresStore.standing
    elsewhere = True

    async def read_there(
        store: PostgresStore, shard: int, wanted: Sequence[tuple[UUID, int]], **given: Any
    ) -> dict[tuple[UUID, int], Recorded]:
        nonlocal elsewhere
        if elsewhere:
            elsewhere = also_asked_again
            return {}
        return await read(store, shard, wanted, **given)

    async def standing_there(store: PostgresStore, saga_id: UUID, seq: int) -> Standing | None:
        nonlocal elsewhere
        if elsewhere:
            elsewhere = False
            return None
        return await standing(store, saga_id, seq)

    monkeypatch.setattr(PostgresStore, "results", read_there)
    monkeypatch.setattr(PostgresStore, "standing", standing_there)
    async with SagaOrchestrator(dsn, concurrency=64, lease=timedelta(seconds=1)) as orchestrator:
        handle = orchestrator.register("shop", make_saga(shop))
        assert isinstance(await handle.attach(run.id).outcome(SOON), Completed)
    assert "could not be read together with its journal" in caplog.text
    assert not elsewhere


async def test_a_payload_that_is_too_large_parks_its_saga_alone(dsn: str) -> None:
    crowd = Crowd(dsn)
    large: set[int] = set()

    def returns(what: str) -> object:
        if what == "charge" and not large:
            large.add(1)
            return Done("x" * 2_000_000)
        return Done(what)

    crowd.shop.returns = returns
    async with crowd.orchestrator:
        one = await crowd.gather()
        crowd.runs.append(one)  # `gather` makes another list
        crowd.go_on()
        async with asyncio.timeout(SOON):
            while not (parked := [run for run in crowd.runs if (await run.snapshot()).parked]):
                await asyncio.sleep(0.01)
        (one,) = parked
        crowd.runs.remove(one)
        await crowd.assert_unharmed()
        assert (await one.snapshot()).parked == "output_lost"


async def test_a_token_that_is_another_s_loses_its_saga_alone(crowd: Crowd, stranger: asyncpg.Connection) -> None:
    async with crowd.orchestrator as orchestrator:
        one = await crowd.gather()
        await stranger.execute(
            "UPDATE saga_fn.saga SET token = gen_random_uuid(), owner = gen_random_uuid(),"
            " due_at = now() + interval '2 seconds' WHERE id = $1",
            one.id,
        )
        crowd.go_on()
        await crowd.assert_unharmed()
        assert isinstance(await one.outcome(SOON), Completed), "it is taken up again when that lease has run out"
        seen = await SagaAdmin(orchestrator).get_saga(one.id)
        assert seen.rejections == ("late: StepSucceeded charge",), "what came too late is remembered, and not taken"
    await stranger.close()


async def test_a_saga_that_is_deleted_is_let_go_alone(crowd: Crowd, stranger: asyncpg.Connection) -> None:
    async with crowd.orchestrator as orchestrator:
        one = await crowd.gather()
        async with stranger.transaction():
            await stranger.execute("DELETE FROM saga_fn.saga WHERE id = $1", one.id)
            await stranger.execute("DELETE FROM saga_fn.saga_journal WHERE saga_id = $1", one.id)
        crowd.go_on()
        await crowd.assert_unharmed()
        with pytest.raises(SagaNotFoundError):
            await one.outcome(SOON)
        async with asyncio.timeout(SOON):
            while orchestrator.engine.held:
                await asyncio.sleep(0.01)
        assert await stranger.fetchval("SELECT count(*) FROM saga_fn.saga_journal WHERE saga_id = $1", one.id) == 0
    await stranger.close()


async def test_a_row_that_somebody_has_locked_holds_up_nobody_else(
    dsn: str, stranger: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Scaled down: several leases long, as sixty seconds are two of thirty. The benchmark measures the others' latency."""
    crowd = Crowd(dsn)
    crowd.orchestrator = SagaOrchestrator(dsn, concurrency=64, lease=LEASE)
    waited = 0
    send = PostgresStore.commit

    async def counting(
        store: PostgresStore, shard: int, writes: Sequence[SagaWrite], *, skip_locked: bool = False
    ) -> Committed:
        nonlocal waited
        try:
            return await send(store, shard, writes, skip_locked=skip_locked)
        except RowLockedError:
            waited += 1
            raise

    monkeypatch.setattr(PostgresStore, "commit", counting)
    async with crowd.orchestrator as orchestrator:
        one = await crowd.gather()
        transaction = stranger.transaction()
        await transaction.start()
        await stranger.execute("SELECT 1 FROM saga_fn.saga WHERE id = $1 FOR UPDATE", one.id)
        await asyncio.sleep(2.5 * LEASE.total_seconds())  # several leases: all of the others are renewed meanwhile
        assert one.id in orchestrator.engine.held, "no other process can claim a row that is locked"
        crowd.go_on()
        await crowd.assert_unharmed()
        assert (await one.snapshot()).status is SagaStatus.RUNNING
        assert waited <= 2, "no more commits wait for the row than were in flight when it was found to be locked"
        await transaction.rollback()
        assert isinstance(await one.outcome(SOON), Completed)
        kinds = [entry.kind for entry in (await SagaAdmin(orchestrator).get_saga(one.id)).step_history]
        assert kinds == ["started", *["step_succeeded"] * 3], "it was not taken over, and no step was begun twice"
    assert not [record.getMessage() for record in caplog.records if "ran out" in record.getMessage()], (
        "no lease was lost"
    )
    await stranger.close()
