"""Sagas that share a commit share nothing else: what is wrong with one is its own affair."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from saga_fn import Completed, SagaAdmin, SagaNotFoundError, SagaOrchestrator, SagaRun, SagaStatus
from saga_fn.store.faults import RowLockedError
from saga_fn.store.postgres import PostgresStore
from saga_fn.store.records import Committed, SagaWrite
from tests.engine.shop import Done, Order, Shop, make_saga

SOON = 20.0
MANY = 40
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
        assert (await one.snapshot()).parked == "row_refused"
        await stranger.execute("ALTER TABLE saga_fn.saga_journal DROP CONSTRAINT no_charge_of_that_one")
        await SagaAdmin(orchestrator).retry_step(one.id, "charge")
        assert isinstance(await one.outcome(SOON), Completed), "a person mends the cause and lets it go on"
    await stranger.close()


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
        crowd.runs.append(await crowd.gather())
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
        assert seen.notes == ("late: StepSucceeded charge",), "what came too late is remembered, and not taken"
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
    crowd.orchestrator = SagaOrchestrator(dsn, concurrency=64, lease=timedelta(seconds=1))
    waited = 0
    send = PostgresStore.commit

    async def counting(
        store: PostgresStore, shard: int, writes: Sequence[SagaWrite], *, past_locks: bool = False
    ) -> Committed:
        nonlocal waited
        try:
            return await send(store, shard, writes, past_locks=past_locks)
        except RowLockedError:
            waited += 1
            raise

    monkeypatch.setattr(PostgresStore, "commit", counting)
    async with crowd.orchestrator as orchestrator:
        one = await crowd.gather()
        transaction = stranger.transaction()
        await transaction.start()
        await stranger.execute("SELECT 1 FROM saga_fn.saga WHERE id = $1 FOR UPDATE", one.id)
        await asyncio.sleep(2.5)  # several leases: all of the others are renewed meanwhile
        assert one.id in orchestrator.engine.held, "nobody else can claim a row that is locked"
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
