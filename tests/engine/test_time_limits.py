"""No conversation with the server is without an end, and no row that another session keeps locked costs other sagas anything."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

import asyncpg
import msgspec
import pytest

from saga_fn import (
    Event,
    FixedRetry,
    SagaAdmin,
    SagaBuilder,
    SagaDefinition,
    SagaError,
    SagaOrchestrator,
    SagaResultTimeoutError,
    StoreUnavailableError,
)
from saga_fn.embedded import EmbeddedPostgres
from saga_fn.engine.observe.of_sagas import SagaClaimed
from saga_fn.engine.requests.outside_event import OutsideEvent
from saga_fn.store.ids import new_uuid
from saga_fn.store.postgres import PostgresStore
from saga_fn.store.records import InboxMessage
from tests.support.observed import Observed
from tests.support.servers import embedded
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.until import SOON
from tests.support.wire import Wire, wired

LEASE = timedelta(seconds=2)
OFTEN = timedelta(milliseconds=100)
SHORT: Final = 1.0


@pytest.fixture
async def wire(dsn: str) -> AsyncIterator[Wire]:
    async with wired(dsn) as made:
        yield made


@pytest.fixture
def frozen() -> Iterator[EmbeddedPostgres]:
    """A server of the test's own, which it may freeze."""
    with embedded() as server:
        try:
            yield server
        finally:
            thaw(server)


def processes(server: EmbeddedPostgres) -> list[int]:
    """The server and all its backends."""
    children: list[int] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == server.pid:
            children.append(int(stat.parent.name))
    return [server.pid, *children]


def freeze(server: EmbeddedPostgres) -> None:
    signal_all(server, signal.SIGSTOP)


def thaw(server: EmbeddedPostgres) -> None:
    signal_all(server, signal.SIGCONT)


def signal_all(server: EmbeddedPostgres, number: signal.Signals) -> None:
    for pid in processes(server):
        with contextlib.suppress(ProcessLookupError):  # a backend may have ended since
            os.kill(pid, number)


@asynccontextmanager
async def sourced(dsn: str, kind: str) -> AsyncGenerator[str | asyncpg.Pool]:
    if kind == "dsn":
        yield dsn
        return
    pool = await asyncpg.create_pool(dsn, min_size=2, max_size=3)
    try:
        yield pool
    finally:
        pool.terminate()


@pytest.mark.fault(7)
@pytest.mark.parametrize("kind", ["dsn", "pool"])
async def test_nothing_hangs_while_the_server_is_frozen_and_all_goes_on_afterwards(
    frozen: EmbeddedPostgres, kind: str
) -> None:
    async with asyncio.timeout(3 * SOON), sourced(frozen.dsn, kind) as source:
        shop = Shop()
        async with SagaOrchestrator(source, migrate=True, lease=LEASE, poll_interval=OFTEN) as orchestrator:
            handle = orchestrator.register("shop", make_saga(shop))
            done = await handle.start(Order("1"))
            await done.result(SOON)
            freeze(frozen)
            health, start, result, snapshot = await asyncio.gather(
                orchestrator.health(),
                handle.start(Order("2"), idempotency_key="2"),
                handle.attach(done.id).result(SHORT),
                done.snapshot(),
                return_exceptions=True,
            )
            thaw(frozen)
            assert not isinstance(health, BaseException)
            assert not health.ok
            assert not health.database
            assert isinstance(start, StoreUnavailableError)
            assert isinstance(result, SagaResultTimeoutError)
            assert isinstance(snapshot, StoreUnavailableError)
            again = await handle.start(Order("2"), idempotency_key="2")
            assert await again.result(SOON) == Done("ship")


async def test_a_stop_and_a_start_keep_their_time_while_the_server_is_frozen(frozen: EmbeddedPostgres) -> None:
    shop = Shop(hold=asyncio.Event())
    hurried = timedelta(seconds=1)
    async with asyncio.timeout(3 * SOON):
        async with SagaOrchestrator(
            frozen.dsn, migrate=True, lease=timedelta(seconds=6), stop_timeout=hurried
        ) as orchestrator:
            handle = orchestrator.register("shop", make_saga(shop))
            await handle.start(Order("1"))
            while not shop.done:
                await asyncio.sleep(0.01)
            freeze(frozen)
        with pytest.raises(StoreUnavailableError):
            async with SagaOrchestrator(frozen.dsn, lease=LEASE):
                pass
        thaw(frozen)


@pytest.mark.fault(7)
async def test_connections_that_fall_silent_are_replaced(wire: Wire) -> None:
    async with asyncio.timeout(3 * SOON):
        async with SagaOrchestrator(wire.dsn, lease=LEASE, poll_interval=OFTEN, concurrency=4) as orchestrator:
            handle = orchestrator.register("shop", make_saga(Shop()))
            await (await handle.start(Order("1"))).result(SOON)
            wire.silence()
            later = await handle.start(Order("2"), delay=timedelta(milliseconds=100))
            assert await later.result(SOON) == Done("ship")
            while not (await orchestrator.health()).ok:
                await asyncio.sleep(0.05)


@pytest.mark.fault(7)
async def test_a_commit_on_a_silent_connection_is_sent_again_by_another(wire: Wire) -> None:
    shop = Shop(hold=asyncio.Event())
    assert shop.hold is not None
    async with (
        asyncio.timeout(3 * SOON),
        SagaOrchestrator(wire.dsn, lease=timedelta(seconds=15), poll_interval=OFTEN) as orchestrator,
    ):
        run = await orchestrator.register("shop", make_saga(shop)).start(Order("1"))
        while not shop.done:
            await asyncio.sleep(0.01)
        wire.silence()
        shop.hold.set()
        assert await run.result(SOON) == Done("ship")
        assert len(set(shop.keys)) == len(shop.keys) == 3, "nothing is done twice"


# A row that another session keeps locked.


class Note(msgspec.Struct, frozen=True):
    text: str


NOTED = Event("noted", Note)


def waiting_saga() -> SagaDefinition[Order, Note]:
    """Nothing but a wait."""
    builder = SagaBuilder(Order)
    return builder.build(output=builder.add_event(NOTED))


@asynccontextmanager
async def locked(dsn: str, saga_id: object) -> AsyncGenerator[None]:
    """Another session keeps the saga's row locked."""
    stranger = await asyncpg.connect(dsn)
    try:
        async with stranger.transaction():
            await stranger.execute("SELECT 1 FROM saga_fn.saga WHERE id = $1 FOR UPDATE", saga_id)
            yield
    finally:
        await stranger.close()


Call = Callable[[SagaOrchestrator, object], Awaitable[object]]


@pytest.mark.parametrize("kind", ["dsn", "pool"])
async def test_a_locked_row_costs_other_sagas_nothing_by_any_call(any_dsn: str, kind: str) -> None:
    shop = Shop(fails={"charge": 1})
    waits = waiting_saga()
    async with asyncio.timeout(3 * SOON), sourced(any_dsn, kind) as source:
        orchestrator = SagaOrchestrator(source, lease=2 * LEASE, poll_interval=OFTEN)
        async with orchestrator:
            slow = FixedRetry(max_attempts=9, delay=timedelta(hours=1))
            parked = await orchestrator.register("parked", make_saga(shop, retry=slow)).start(Order("p"))
            waiting = await orchestrator.register("waiting", waits).start(Order("w"), aggregation_id="w")
            others = orchestrator.register("others", make_saga(Shop()))
            held = Shop(hold=asyncio.Event())
            assert held.hold is not None
            long = await orchestrator.register("long", make_saga(held)).start(Order("l"))
            while (await parked.snapshot()).status != "SUSPENDED" or (await waiting.snapshot()).status != "SUSPENDED":
                await asyncio.sleep(0.01)
            admin = SagaAdmin(orchestrator)
            async with locked(any_dsn, parked.id), locked(any_dsn, waiting.id):
                calls = [
                    asyncio.ensure_future(call)
                    for call in (
                        admin.retry_step(parked.id, "charge"),
                        admin.compensate_step(parked.id),
                        admin.abort(parked.id),
                        orchestrator.resume(parked.id),
                        *(orchestrator.to(waiting.id, NOTED).send(Note(str(n))) for n in range(3)),
                        *(orchestrator.to(("waiting", "w"), NOTED).send(Note(str(n))) for n in range(3)),
                    )
                ]
                began = asyncio.get_running_loop().time()
                while asyncio.get_running_loop().time() < began + 3 * LEASE.total_seconds():
                    run = await others.start(Order("o"))
                    async with asyncio.timeout(LEASE.total_seconds()):
                        await run.result(SOON)
                    await asyncio.sleep(0.05)
                assert long.id in orchestrator.engine.held, "its lease was renewed all the time"
                assert (await orchestrator.health()).ok
            for answer in await asyncio.gather(*calls, return_exceptions=True):
                assert not isinstance(answer, BaseException) or isinstance(answer, SagaError), repr(answer)
            held.hold.set()
            assert await long.result(SOON) == Done("ship")
            assert held.keys == list(dict.fromkeys(held.keys)), "no step of it was cut short"


async def test_a_claim_of_a_locked_row_gets_none(any_dsn: str) -> None:
    async with SagaOrchestrator(any_dsn, concurrency=0) as orchestrator:
        run = await orchestrator.register("shop", make_saga(Shop())).start(Order("1"))
        async with asyncio.timeout(SOON), locked(any_dsn, run.id):
            assert not await orchestrator.resume(run.id)
        assert await orchestrator.resume(run.id)


@pytest.mark.parametrize("verb", ["abort", "compensate_step", "notify", "abort of a leased", "abort of an unreadable"])
async def test_a_verb_on_a_row_that_stays_locked_says_so_soon(any_dsn: str, verb: str) -> None:
    """Its owner is gone, or is not asked: no owner would answer, and no message would stand."""
    async with asyncio.timeout(SOON), SagaOrchestrator(any_dsn, concurrency=0) as orchestrator:
        run = await orchestrator.register("shop", make_saga(Shop())).start(Order("1"))
        connection = await asyncpg.connect(any_dsn)
        token = await connection.fetchval(
            "UPDATE saga_fn.saga SET owner = gen_random_uuid(), token = gen_random_uuid(), due_at = now() + $1,"
            " state = CASE WHEN $2 THEN '' ELSE state END RETURNING token",
            timedelta(hours=1 if verb == "abort of a leased" else -1),
            verb == "abort of an unreadable",
        )
        await connection.close()
        admin = SagaAdmin(orchestrator)
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "compensate_step": lambda: admin.compensate_step(run.id),
            "notify": lambda: orchestrator.notify(run.id, token, {}),
        }
        call = calls.get(verb, lambda: admin.abort(run.id))
        async with locked(any_dsn, run.id):
            with pytest.raises(StoreUnavailableError, match="kept a row locked"):
                await call()
        if verb.startswith("abort"):
            await call()
            assert (await run.snapshot()).status == "FAILED"
        connection = await asyncpg.connect(any_dsn)
        await connection.execute("TRUNCATE saga_fn.saga, saga_fn.saga_journal")  # it folds to nothing that fits
        await connection.close()


@pytest.mark.fault(13)
async def test_a_table_of_events_that_stays_locked_keeps_no_saga_waiting(any_dsn: str) -> None:
    """As by VACUUM FULL of it: what an event would have to wait for costs nothing else."""
    async with (
        asyncio.timeout(2 * SOON),
        SagaOrchestrator(any_dsn, lease=2 * LEASE, poll_interval=timedelta(milliseconds=20)) as orchestrator,
        SagaOrchestrator(any_dsn, concurrency=0) as clerk,
    ):
        orchestrator.register("waiting", waiting_saga())  # so that it sweeps
        held = Shop(hold=asyncio.Event())
        assert held.hold is not None
        long = await orchestrator.register("long", make_saga(held)).start(Order("l"))
        others = orchestrator.register("others", made := make_saga(Shop()))
        elsewhere = clerk.register("others", made)
        stranger = await asyncpg.connect(any_dsn)
        async with stranger.transaction():
            await stranger.execute("LOCK TABLE saga_fn.saga_event IN ACCESS EXCLUSIVE MODE")
            began = asyncio.get_running_loop().time()
            while asyncio.get_running_loop().time() < began + 7.0:  # longer than a statement may take
                run = await elsewhere.start(Order("o"))
                async with asyncio.timeout(LEASE.total_seconds()):
                    assert await others.attach(run.id).result(SOON) == Done("ship")
                await asyncio.sleep(0.05)
            assert long.id in orchestrator.engine.held, "its lease was renewed all the time"
            assert (await orchestrator.health()).ok
        await stranger.close()
        held.hold.set()
        assert await long.result(SOON) == Done("ship")
        assert held.keys == list(dict.fromkeys(held.keys)), "no step of it was cut short"


async def test_a_message_for_a_row_that_stays_locked_is_refused_after_a_time(any_dsn: str) -> None:
    store = PostgresStore(any_dsn, time_limit=SHORT)
    async with SagaOrchestrator(any_dsn, concurrency=0) as orchestrator:
        run = await orchestrator.register("waiting", waiting_saga()).start(Order("1"))
    await store.open(migrate=False, listen=None)
    try:
        async with asyncio.timeout(SOON), locked(any_dsn, run.id):
            with pytest.raises(StoreUnavailableError, match="kept a row locked"):
                await store.send(run.id, InboxMessage(run.id, "event", b"{}"))
    finally:
        await store.close()


async def test_a_message_whose_row_is_locked_keeps_no_other_commit_waiting(any_dsn: str) -> None:
    """The inbox's row cannot be passed over as the saga's can: its write leaves the batch, alone."""
    async with asyncio.timeout(3 * SOON):
        async with SagaOrchestrator(any_dsn, lease=LEASE, poll_interval=OFTEN, concurrency=0) as starter:
            first = await starter.register("waiting", waiting_saga()).start(Order("w"))
            event = OutsideEvent(new_uuid(), "noted", b'{"text": "early"}')
            await starter.engine.store.send(
                first.id, event.message()
            )  # and dies before it reads it in the owner's stead
        stranger = await asyncpg.connect(any_dsn)
        transaction = stranger.transaction()
        await transaction.start()
        await stranger.execute("SELECT 1 FROM saga_fn.saga_inbox FOR UPDATE")
        async with SagaOrchestrator(any_dsn, lease=LEASE, poll_interval=OFTEN) as orchestrator:
            told = Observed(orchestrator)
            waiting = orchestrator.register("waiting", waiting_saga())
            others = orchestrator.register("others", make_saga(Shop()))
            await told.until(SagaClaimed, lambda claimed: claimed.saga.id == first.id)
            for number in range(5):
                run = await others.start(Order(str(number)))
                assert await run.result(SOON) == Done("ship")
            await transaction.rollback()
            await stranger.close()
            assert await waiting.attach(first.id).result(SOON) == Note("early")
