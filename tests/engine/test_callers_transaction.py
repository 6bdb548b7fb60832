"""What is started inside a caller's transaction is part of it: it never leaves it, and waits for no other connection."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import pytest

from saga_fn import (
    ActiveSagaAlreadyExistsError,
    Completed,
    MemoryStore,
    SagaError,
    SagaHandle,
    SagaNotFoundError,
    SagaOrchestrator,
    SchemaMissingError,
    StartBusyError,
    StartConflictError,
    StoreError,
    StoreRefusedError,
)
from saga_fn.engine.requests.start_conflicts import LOOKS
from saga_fn.store.postgres import PostgresStore
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.until import SOON

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Handle: TypeAlias = SagaHandle[Order, Done]


@pytest.fixture
async def connect(any_dsn: str) -> AsyncIterator[Callable[[], Awaitable[Connection]]]:
    """Opens connections of the caller's, which the test need not close."""
    async with AsyncExitStack() as opened:

        async def open_one() -> Connection:
            connection = await asyncpg.connect(any_dsn)
            opened.push_async_callback(connection.close, timeout=2)
            return connection

        yield open_one


Connect: TypeAlias = Callable[[], Awaitable[Connection]]


@asynccontextmanager
async def running(dsn: str, shop: Shop | None = None, **options: Any) -> AsyncGenerator[Handle]:
    """A service without a worker, unless `concurrency` says otherwise."""
    defaults: dict[str, Any] = {"concurrency": 0, "poll_interval": timedelta(milliseconds=50)}
    orchestrator = SagaOrchestrator(dsn, **{**defaults, **options})
    handle = orchestrator.register("shop", make_saga(shop or Shop()))
    async with asyncio.timeout(SOON), orchestrator:
        yield handle


async def sagas_in(dsn: str) -> set[UUID]:
    connection = await asyncpg.connect(dsn)
    try:
        return {row["id"] for row in await connection.fetch("SELECT id FROM saga_fn.saga")}
    finally:
        await connection.close()


async def test_the_same_request_twice_in_one_transaction_is_one_saga(any_dsn: str, connect: Connect) -> None:
    connection = await connect()
    async with running(any_dsn) as shop:
        async with connection.transaction():
            first = await shop.start(Order("1"), idempotency_key="q", connection=connection)
            again = await shop.start(Order("1"), idempotency_key="q", connection=connection)
            with pytest.raises(StartConflictError):
                await shop.start(Order("2"), idempotency_key="q", connection=connection)
            other = await shop.start(Order("1"), aggregation_id="k", connection=connection)
            with pytest.raises(ActiveSagaAlreadyExistsError) as taken:
                await shop.start(Order("1"), aggregation_id="k", connection=connection)
        assert (first.created, again.created, again.id) == (True, False, first.id)
        assert taken.value.saga_id == other.id
        assert await sagas_in(any_dsn) == {first.id, other.id}


async def test_nothing_of_a_transaction_that_started_a_saga_twice_outlives_its_rollback(
    any_dsn: str, connect: Connect
) -> None:
    connection = await connect()
    async with running(any_dsn, concurrency=4) as shop:
        transaction = connection.transaction()
        await transaction.start()
        run = await shop.start(Order("1"), connection=connection, idempotency_key="q")
        second = asyncio.create_task(shop.start(Order("1"), connection=connection, idempotency_key="q"))
        other = await shop.start(Order("7"), idempotency_key="other")
        assert not (await second).created
        await transaction.rollback()
        assert isinstance(await other.outcome(SOON), Completed)
        with pytest.raises(SagaNotFoundError):
            await run.result(0)
        assert await sagas_in(any_dsn) == {other.id}


@pytest.mark.parametrize("listen", [False, True])
async def test_a_pool_all_of_whose_connections_are_in_transactions_can_start_in_them(
    any_dsn: str, listen: bool
) -> None:
    size = 5
    async with asyncio.timeout(SOON), asyncpg.create_pool(any_dsn, min_size=size, max_size=size) as pool:
        orchestrator = SagaOrchestrator(pool, listen=listen)
        shop = orchestrator.register("shop", make_saga(Shop()))
        everybody = asyncio.Barrier(size)

        async def request(number: int) -> UUID:
            async with pool.acquire() as connection, connection.transaction():
                await everybody.wait()
                run = await shop.start(Order(str(number)), connection=connection)
                await everybody.wait()
            return run.id

        started = await asyncio.gather(*[request(number) for number in range(size)])
        assert await sagas_in(any_dsn) == set(started)


async def test_a_plan_that_was_rolled_back_is_written_again(any_dsn: str, connect: Connect) -> None:
    connection = await connect()
    async with asyncio.timeout(SOON), asyncpg.create_pool(any_dsn, min_size=1, max_size=2) as pool:
        shop = SagaOrchestrator(pool, listen=False).register("shop", make_saga(Shop()))
        transaction = connection.transaction()
        await transaction.start()
        await shop.start(Order("1"), connection=connection)
        await transaction.rollback()
        for number in range(3):
            async with connection.transaction():
                await shop.start(Order(str(number)), connection=connection)
        plans = await connection.fetch("SELECT copy FROM saga_fn.saga_plan")
        assert len(plans) == 1, "the first that is committed is seen by the others"
        await shop.start(Order("4"))
        async with connection.transaction():
            await shop.start(Order("5"), connection=connection)
        assert len(await connection.fetch("SELECT copy FROM saga_fn.saga_plan")) == 2, "one of a transaction of its own"


async def test_neither_the_plan_nor_anything_else_waits_for_a_transaction_without_a_key(
    any_dsn: str, connect: Connect
) -> None:
    one, other = await connect(), await connect()
    async with asyncio.timeout(SOON), asyncpg.create_pool(any_dsn, min_size=1, max_size=2) as pool:
        shop = SagaOrchestrator(pool, listen=False).register("shop", make_saga(Shop()))
        async with one.transaction(), other.transaction():
            await shop.start(Order("1"), connection=one)
            await shop.start(Order("2"), connection=other)
            await shop.start(Order("3"))
        assert len(await sagas_in(any_dsn)) == 3


@pytest.mark.parametrize("many", [False, True])
async def test_a_start_without_a_transaction_is_refused(any_dsn: str, connect: Connect, many: bool) -> None:
    connection = await connect()
    async with running(any_dsn) as shop:
        start: Awaitable[object] = (
            shop.start_many([Order("1")], connection=connection)
            if many
            else shop.start(Order("1"), connection=connection)
        )
        with pytest.raises(SagaError, match=r"no transaction is open(.|\n)*connection_of"):
            await start
        assert await sagas_in(any_dsn) == set()


async def test_a_connection_that_cannot_be_used_is_told_by_our_errors(
    any_dsn: str, server: Any, connect: Connect
) -> None:
    closed, aborted, released = await connect(), await connect(), await connect()
    await closed.close()
    await aborted.execute("BEGIN")
    with pytest.raises(asyncpg.PostgresError):
        await aborted.execute("SELECT 1 / 0")
    elsewhere = await asyncpg.connect(server.dsn)
    dropped = await connect()
    try:
        async with running(any_dsn) as shop:
            with pytest.raises(SagaError, match="is closed"):
                await shop.start(Order("1"), connection=closed)
            with pytest.raises(StoreError, match="aborted already"):
                await shop.start(Order("1"), connection=aborted)
            for number in (1, 2):  # a text of its own where the plan is known by then
                async with connect_again(elsewhere):
                    with pytest.raises(
                        SchemaMissingError, match=r"saga_fn(.|\n)*the database that the orchestrator uses"
                    ):
                        await shop.start(Order(str(number)), connection=elsewhere)
            for nothing in (5, object(), "postgresql://"):
                with pytest.raises(SagaError, match="asyncpg connection"):
                    await shop.start(Order("1"), connection=nothing)  # type: ignore[arg-type]  # that is the point
            await dropped.execute("BEGIN")
            await released.execute("SELECT pg_terminate_backend($1)", dropped.get_server_pid())
            with pytest.raises(SagaError):
                await shop.start(Order("1"), connection=dropped)
            await released.execute("BEGIN")
            sleeping = asyncio.create_task(released.execute("SELECT pg_sleep(0.3)"))
            await asyncio.sleep(0)
            with pytest.raises(StoreError, match="in progress"):
                await shop.start(Order("1"), connection=released)
            await sleeping
    finally:
        await elsewhere.close()


@asynccontextmanager
async def connect_again(connection: Connection) -> AsyncGenerator[None]:
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()


async def test_a_pools_connection_that_went_back_is_told_by_our_errors(any_dsn: str) -> None:
    async with asyncpg.create_pool(any_dsn, min_size=1, max_size=1) as pool, running(any_dsn) as shop:
        async with pool.acquire() as connection:
            pass
        with pytest.raises(SagaError, match="released back to the pool"):
            await shop.start(Order("1"), connection=connection)


async def test_a_read_only_transaction_is_told_as_that(any_dsn: str, connect: Connect) -> None:
    connection = await connect()
    async with running(any_dsn) as shop:
        with pytest.raises(StoreRefusedError, match="transaction of the connection given is read-only") as refused:
            async with connection.transaction(readonly=True):
                await shop.start(Order("1"), connection=connection)
        assert "readonly=True" in str(refused.value)


async def test_a_memory_store_takes_part_in_no_transaction(any_dsn: str, connect: Connect) -> None:
    connection = await connect()
    shop = SagaOrchestrator(MemoryStore()).register("shop", make_saga(Shop()))
    async with connection.transaction():
        with pytest.raises(StoreError, match="cannot take part"):
            await shop.start(Order("1"), connection=connection)


async def test_a_key_that_another_transaction_holds_is_waited_for_no_longer_than_key_wait(
    any_dsn: str, connect: Connect
) -> None:
    stranger, mine = await connect(), await connect()
    async with running(any_dsn, key_wait=timedelta(milliseconds=100)) as shop, stranger.transaction():
        await shop.start(Order("1"), aggregation_id="k", connection=stranger)
        transaction = mine.transaction()
        await transaction.start()
        with pytest.raises(StartBusyError, match=r"transaction of the connection given is aborted") as refused:
            await shop.start(Order("1"), aggregation_id="k", connection=mine)
        assert refused.value.aborted
        assert refused.value.aggregation_id == "k"
        with pytest.raises(StoreError, match="aborted already"):
            await shop.start(Order("1"), connection=mine)
        await transaction.rollback()
        with pytest.raises(StartBusyError) as told:
            await shop.start(Order("1"), aggregation_id="k")
        assert not told.value.aborted
        async with mine.transaction():
            await shop.start(Order("2"), connection=mine)
        await shop.start(Order("2"))


async def test_what_the_server_refuses_costs_no_connection(any_dsn: str, connect: Connect) -> None:
    stranger = await connect()
    ours = "SELECT array_agg(pid ORDER BY pid) FROM pg_stat_activity WHERE application_name = 'saga_fn'"
    async with running(any_dsn, key_wait=timedelta(milliseconds=200), listen=False, pool_size=2) as shop:
        await shop.start(Order("0"))
        async with stranger.transaction():
            await shop.start(Order("1"), aggregation_id="k", connection=stranger)
            before = await stranger.fetchval(ours)
            with pytest.raises(StartBusyError):
                await shop.start(Order("1"), aggregation_id="k")
            assert await stranger.fetchval(ours) == before


async def test_a_key_that_is_free_in_time_is_taken(any_dsn: str, connect: Connect) -> None:
    stranger, mine = await connect(), await connect()
    async with running(any_dsn) as shop:
        transaction = stranger.transaction()
        await transaction.start()
        await shop.start(Order("1"), aggregation_id="k", connection=stranger)
        async with mine.transaction():
            waiting = asyncio.create_task(shop.start(Order("2"), aggregation_id="k", connection=mine))
            await until_waits_for_a_lock(stranger, mine)
            await transaction.rollback()
            run = await waiting
        assert run.created
        assert await sagas_in(any_dsn) == {run.id}


async def until_waits_for_a_lock(watcher: Connection, waiter: Connection) -> None:
    sees = "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $1"
    while not await watcher.fetchval(sees, waiter.get_server_pid()):
        await asyncio.sleep(0.005)


async def test_a_start_within_a_transaction_leaves_its_settings_as_they_were(any_dsn: str, connect: Connect) -> None:
    connection = await connect()
    await connection.execute("SET lock_timeout = '7s'")
    async with running(any_dsn) as shop:
        async with connection.transaction():
            await shop.start(Order("1"), aggregation_id="k", connection=connection)
            assert await connection.fetchval("SHOW lock_timeout") == "7s"
            await connection.execute("SET LOCAL lock_timeout = '3s'")
            with pytest.raises(ActiveSagaAlreadyExistsError):
                await shop.start(Order("1"), aggregation_id="k", connection=connection)
            assert await connection.fetchval("SHOW lock_timeout") == "3s"
            await shop.start_many([Order(str(number)) for number in range(5)], connection=connection)
            assert await connection.fetchval("SHOW lock_timeout") == "3s"
            await shop.start_many(
                [Order("1"), Order("1")], idempotency_key=lambda order: order.order_id, connection=connection
            )
            assert await connection.fetchval("SHOW lock_timeout") == "3s"
        assert await connection.fetchval("SHOW lock_timeout") == "7s"


async def test_a_key_held_by_a_stranger_keeps_no_other_start_waiting(any_dsn: str, connect: Connect) -> None:
    stranger = await connect()
    async with running(any_dsn, key_wait=timedelta(seconds=SOON)) as shop:
        transaction = stranger.transaction()
        await transaction.start()
        held = await shop.start(Order("0"), idempotency_key="held", connection=stranger)
        waiting = [asyncio.create_task(shop.start(Order("0"), idempotency_key="held")) for _ in range(20)]
        many = asyncio.create_task(
            shop.start_many([Order(str(number)) for number in range(50)], idempotency_key=lambda order: order.order_id)
        )
        in_batch = asyncio.create_task(
            shop.start_many(
                [Order("0"), *(Order(f"b{number}") for number in range(50))],
                idempotency_key=lambda order: "held" if order.order_id == "0" else order.order_id,
            )
        )
        for number in range(20):
            assert (await shop.start(Order(str(number)), idempotency_key=f"free {number}")).created
            assert (await shop.start(Order(str(number)))).created
        assert all(run.created for run in await many)
        while len(await sagas_in(any_dsn)) < 20 + 20 + 50 + 50:
            await asyncio.sleep(0.01)
        assert not in_batch.done()
        assert not any(task.done() for task in waiting)
        await transaction.commit()
        assert {(run.id, run.created) for run in await asyncio.gather(*waiting)} == {(held.id, False)}
        first, *others = await in_batch
        assert (first.id, first.created) == (held.id, False)
        assert all(run.created for run in others)


@pytest.mark.parametrize("how", ["aggregation", "idempotency"])
async def test_whoever_waits_for_a_key_gets_it_when_its_transaction_is_rolled_back(
    any_dsn: str, connect: Connect, how: str
) -> None:
    stranger = await connect()
    key: dict[str, Any] = {"aggregation_id": "k"} if how == "aggregation" else {"idempotency_key": "k"}
    gate = asyncio.Event()
    async with running(any_dsn, Shop(hold=gate), concurrency=4, key_wait=timedelta(seconds=SOON)) as shop:
        transaction = stranger.transaction()
        await transaction.start()
        await shop.start(Order("1"), connection=stranger, **key)
        waiting = [asyncio.create_task(shop.start(Order("1"), **key)) for _ in range(3)]
        done, _ = await asyncio.wait(waiting, timeout=0.1)
        assert not done
        await transaction.rollback()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        created = [run for run in results if not isinstance(run, BaseException) and run.created]
        assert len(created) == 1
        gate.set()
        assert isinstance(await created[0].outcome(SOON), Completed)


async def test_keys_in_opposite_orders_are_inserted_in_one(any_dsn: str, connect: Connect) -> None:
    one, other = await connect(), await connect()
    async with running(any_dsn, key_wait=timedelta(seconds=SOON)) as shop:

        async def transaction(connection: Connection, keys: list[str]) -> bool:
            try:
                async with connection.transaction():
                    await shop.start_many(
                        [Order(key) for key in keys], aggregation_id=lambda data: data.order_id, connection=connection
                    )
            except ActiveSagaAlreadyExistsError:
                return False
            return True

        for turn in range(10):
            keys = [f"{message}{number} of {turn}" for number in range(20) for message in ("a", "B", "_", "ä")]
            results = await asyncio.gather(transaction(one, keys), transaction(other, keys[::-1]))
            assert sorted(results) == [False, True]


async def test_a_deadlock_over_keys_is_told_as_a_key_that_is_busy(any_dsn: str, connect: Connect) -> None:
    one, other = await connect(), await connect()
    for connection in (one, other):
        await connection.execute("SET deadlock_timeout = '10ms'")
    async with running(any_dsn, key_wait=timedelta(seconds=SOON)) as shop:

        async def transaction(connection: Connection, first: str, then: str, met: asyncio.Barrier) -> str:
            try:
                async with connection.transaction():
                    await shop.start(Order("1"), aggregation_id=first, connection=connection)
                    await met.wait()
                    await shop.start(Order("1"), aggregation_id=then, connection=connection)
            except StartBusyError as error:
                return "aborted" if error.aborted else "busy"
            except ActiveSagaAlreadyExistsError:
                return "active"
            return "started"

        met = asyncio.Barrier(2)
        results = await asyncio.gather(transaction(one, "a", "b", met), transaction(other, "b", "a", met))
        assert sorted(results) == ["aborted", "started"]
        assert len(await sagas_in(any_dsn)) == 2


async def test_waiting_inside_of_the_open_transaction_says_that_it_is_not_committed(
    any_dsn: str, connect: Connect
) -> None:
    connection = await connect()
    async with running(any_dsn, concurrency=4) as shop:
        async with connection.transaction():
            run = await shop.start(Order("1"), connection=connection)
            for wait in (run.result(), run.outcome(), run.snapshot(), shop.attach(run.id).result()):
                with pytest.raises(SagaNotFoundError, match="not committed yet") as told:
                    await wait
                assert told.value.uncommitted
        assert await run.result(SOON) == Done("ship")


class HolderEndsBetween:
    """Ends the saga that holds a key when a start has found it taken, and before it looks which saga that is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, end: Callable[[], Awaitable[None]]) -> None:
        self.times = 0
        read = PostgresStore.read

        async def hooked(store: PostgresStore, saga_id: UUID, **given: Any) -> Any:
            if self.times:
                self.times -= 1
                await end()
            return await read(store, saga_id, **given)

        monkeypatch.setattr(PostgresStore, "read", hooked)


END = "UPDATE saga_fn.saga SET status = 'FAILED', ended_at = now(), due_at = NULL WHERE ended_at IS NULL AND name = 'shop'"


@pytest.mark.raw_rows
@pytest.mark.parametrize("within", [True, False])
async def test_a_start_whose_keys_holder_has_just_ended_stays_where_it_is(
    any_dsn: str,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    within: bool,
) -> None:
    mine, operator = await connect(), await connect()

    async def end() -> None:
        await operator.execute(END)

    async with running(any_dsn) as shop:
        holder = await shop.start(Order("0"), aggregation_id="k")
        between = HolderEndsBetween(monkeypatch, end)
        between.times = 1
        if not within:
            assert (await shop.start(Order("1"), aggregation_id="k")).created
            return
        transaction = mine.transaction()
        await transaction.start()
        run = await shop.start(Order("1"), aggregation_id="k", connection=mine)
        assert run.created
        assert await sagas_in(any_dsn) == {holder.id}
        await transaction.rollback()
        assert await sagas_in(any_dsn) == {holder.id}


@pytest.mark.raw_rows
@pytest.mark.parametrize("within", [True, False])
async def test_a_key_that_changes_hands_at_every_look_is_given_up(
    any_dsn: str,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    within: bool,
) -> None:
    mine, operator = await connect(), await connect()
    inserts = 0
    insert = PostgresStore.insert

    async def counted(store: PostgresStore, *given: Any, **named: Any) -> Any:
        nonlocal inserts
        inserts += 1
        await operator.execute("UPDATE saga_fn.saga SET status = 'RUNNING', ended_at = NULL, due_at = now()")
        return await insert(store, *given, **named)

    async def end() -> None:
        await operator.execute(END)

    async with running(any_dsn) as shop:
        await shop.start(Order("0"), aggregation_id="k")
        between = HolderEndsBetween(monkeypatch, end)
        between.times = 1000
        monkeypatch.setattr(PostgresStore, "insert", counted)
        await mine.execute("BEGIN")
        with pytest.raises(StartBusyError, match="taken and free again") as told:
            await shop.start(Order("1"), aggregation_id="k", connection=mine if within else None)
        assert not told.value.aborted
        assert inserts in (LOOKS, LOOKS + 1)


async def test_of_many_transactions_that_are_rolled_back_no_saga_is_left(any_dsn: str, connect: Connect) -> None:
    """The key's holder ends at about the moment of each start: whatever comes first, a rollback leaves nothing."""
    draw = random.Random(5)
    connection = await connect()
    mine: set[UUID] = set()
    async with running(any_dsn, concurrency=8) as shop:
        for _ in range(60):
            holder = asyncio.create_task(shop.run(Order("0"), aggregation_id="k", timeout=SOON))
            transaction = connection.transaction()
            await transaction.start()
            try:
                await asyncio.sleep(draw.uniform(0.0, 0.02))
                run = await shop.start(Order("1"), aggregation_id="k", connection=connection)
                mine.add(run.id)
            except ActiveSagaAlreadyExistsError:
                pass
            finally:
                await transaction.rollback()
            await asyncio.gather(holder, return_exceptions=True)
        assert mine
        assert not mine & await sagas_in(any_dsn)


async def test_many_started_in_a_transaction_are_part_of_it(any_dsn: str, connect: Connect) -> None:
    connection = await connect()
    async with running(any_dsn, shards=1) as shop:
        orders = [Order(str(number % 700)) for number in range(1200)]  # more than a statement takes, and some twice
        async with connection.transaction():
            runs = await shop.start_many(
                orders, idempotency_key=lambda order: order.order_id, delay=timedelta(hours=1), connection=connection
            )
            assert await sagas_in(any_dsn) == set()
            assert await shop.start_many([], connection=connection) == []
        assert [run.created for run in runs] == [number < 700 for number in range(1200)]
        assert await sagas_in(any_dsn) == {run.id for run in runs}
        async with connection.transaction():
            with pytest.raises(StartConflictError):
                await shop.start_many(
                    [Order("1", amount=2), Order("new")],
                    idempotency_key=lambda order: order.order_id,
                    connection=connection,
                )
        assert len(await sagas_in(any_dsn)) == 701, "what nothing stands in the way of is started all the same"


async def test_a_key_wait_must_be_a_length_of_time(any_dsn: str) -> None:
    with pytest.raises(SagaError, match="key_wait"):
        SagaOrchestrator(any_dsn, key_wait=2)  # type: ignore[arg-type]  # that is the point
    SagaOrchestrator(any_dsn, key_wait=timedelta(0))


@pytest.mark.parametrize("kind", ["uuid", "bytea", "timestamptz", "bool"])
async def test_a_connection_whose_codecs_are_not_the_drivers_own_starts_nothing(
    any_dsn: str, connect: Connect, kind: str
) -> None:
    connection = await connect()
    spoilt: dict[str, tuple[Callable[[Any], str], Callable[[str], object]]] = {
        "bytea": (lambda value: "\\x" + value.hex(), str),
        "timestamptz": (lambda value: value.isoformat(), str),
        "bool": (lambda value: "t" if value else "f", str),
    }
    encoder, decoder = spoilt.get(kind, (str, str))
    await connection.set_type_codec(kind, schema="pg_catalog", encoder=encoder, decoder=decoder)
    async with running(any_dsn) as shop:
        async with connection.transaction():
            with pytest.raises(StoreError, match=f"a codec of the connection given gives {kind} as str"):
                await shop.start(Order("1"), idempotency_key="q", connection=connection)
            with pytest.raises(StoreError, match=f"a codec of the connection given gives {kind} as str"):
                await shop.start_many([Order("1")], connection=connection)
        assert await sagas_in(any_dsn) == set()
        await connection.reset_type_codec(kind, schema="pg_catalog")
        async with connection.transaction():
            run = await shop.start(Order("1"), idempotency_key="q", connection=connection)
            again = await shop.start(Order("1"), idempotency_key="q", connection=connection)
        assert run.created
        assert not again.created


class Wrapped:
    """A connection in an object that cannot be referred to weakly."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        if name == "_con":
            raise AttributeError(name)
        return getattr(self._connection, name)


async def test_a_connection_that_cannot_be_remembered_starts_all_the_same(any_dsn: str, connect: Connect) -> None:
    connection = await connect()
    wrapped: Any = Wrapped(connection)
    async with running(any_dsn) as shop, connection.transaction():
        assert (await shop.start(Order("1"), connection=wrapped)).created
        assert (await shop.start(Order("2"), connection=wrapped)).created
