"""An event that is sent inside a caller's transaction is part of it: it holds up no sender, and is sent when that is committed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import pytest

from saga_fn import (
    Delivery,
    Event,
    MemoryStore,
    PayloadError,
    SagaError,
    SagaHandle,
    SagaNotFoundError,
    SagaNotRegisteredError,
    SagaOrchestrator,
    SagaStateError,
    SagaStatus,
    StoreError,
    StoreRefusedError,
    StoreUnavailableError,
)
from saga_fn.engine.observe.of_sagas import SagaClaimed
from saga_fn.engine.observe.of_upkeep import SentEventDropped
from saga_fn.store.migrate import grant
from saga_fn.store.postgres import PostgresStore
from saga_fn.store.postgres_sent import PostgresSentEvents
from saga_fn.store.records import MOST_SENT
from saga_fn.store.rights import RoleKind
from tests.support.approval import Approval, approval, approved, forge
from tests.support.observed import Observed
from tests.support.roles import role
from tests.support.servers import Server, database
from tests.support.shop import Order, Shop
from tests.support.until import SOON, suspended, until

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Handle: TypeAlias = SagaHandle[Order, Approval]
Connect: TypeAlias = Callable[[], Awaitable[Connection]]

KEY = ("approved", "order-1")
NEVER = timedelta(hours=1)
ANN = Approval("ann")


@pytest.fixture
async def connect(any_dsn: str) -> AsyncIterator[Connect]:
    """Opens connections of the caller's, which the test need not close."""
    async with AsyncExitStack() as opened:

        async def open_one() -> Connection:
            connection = await asyncpg.connect(any_dsn)
            opened.push_async_callback(connection.close, timeout=2)
            return connection

        yield open_one


@asynccontextmanager
async def running(
    dsn: str, shop: Shop | None = None, **options: Any
) -> AsyncGenerator[tuple[SagaOrchestrator, Handle]]:
    """A service with a worker that looks by itself once an hour, unless `options` say otherwise."""
    defaults: dict[str, Any] = {"poll_interval": NEVER, "lease": timedelta(seconds=2)}
    orchestrator = SagaOrchestrator(dsn, **{**defaults, **options})
    handle = orchestrator.register("approved", approved(shop or Shop()))
    async with asyncio.timeout(SOON), orchestrator:
        yield orchestrator, handle


async def on_their_way(connection: Connection) -> int:
    count = await connection.fetchval("SELECT count(*) FROM saga_fn.saga_sent")
    assert isinstance(count, int)
    return count


async def none_on_its_way(connection: Connection) -> None:
    """Wait until each is handed over: the process that has it tells its saga first, and removes it then."""
    async with asyncio.timeout(SOON):
        while await on_their_way(connection):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("by", ["id", "key"])
async def test_what_is_sent_in_a_transaction_is_sent_when_it_is_committed(
    any_dsn: str, connect: Connect, by: str
) -> None:
    connection = await connect()
    async with running(any_dsn) as (orchestrator, sagas):
        run = await sagas.start(Order("1"), aggregation_id=KEY[1])
        await suspended(run)
        to = orchestrator.to(run.id if by == "id" else KEY, approval)
        transaction = connection.transaction()
        await transaction.start()
        assert await to.send(Approval("bob"), connection=connection) is Delivery.UNCOMMITTED
        await transaction.rollback()
        await orchestrator.committed()
        async with connection.transaction():
            assert await to.send(ANN, connection=connection) is Delivery.UNCOMMITTED
            await orchestrator.committed()  # too early: nothing can be seen yet
            assert (await run.snapshot()).status is SagaStatus.SUSPENDED
        await orchestrator.committed()
        assert await run.result(SOON) == ANN
        await none_on_its_way(connection)


@pytest.mark.parametrize("by", ["id", "key"])
async def test_the_next_look_of_any_worker_finds_what_was_sent(any_dsn: str, connect: Connect, by: str) -> None:
    connection = await connect()
    async with (
        running(any_dsn, poll_interval=timedelta(milliseconds=50)) as (_, sagas),
        running(any_dsn, concurrency=0) as (sender, _),
    ):
        run = await sagas.start(Order("1"), aggregation_id=KEY[1])
        async with connection.transaction():
            target = run.id if by == "id" else KEY
            await sender.to(target, approval).send(ANN, connection=connection)
        assert await run.result(SOON) == ANN


async def test_a_scheduler_finds_it_too(any_dsn: str, connect: Connect) -> None:
    connection = await connect()
    async with asyncpg.create_pool(any_dsn, min_size=1, max_size=1) as pool:
        orchestrator = SagaOrchestrator(pool, listen=False)
        sagas = orchestrator.register("approved", approved(Shop()))
        run = await sagas.start(Order("1"), aggregation_id=KEY[1])
        assert await orchestrator.run_due() == 1
        async with connection.transaction():
            await orchestrator.to(KEY, approval).send(ANN, connection=connection)
        assert await orchestrator.run_due() == 1
        assert await run.result(0) == ANN


async def test_a_saga_and_its_event_can_be_in_one_transaction(any_dsn: str, connect: Connect) -> None:
    connection = await connect()
    async with running(any_dsn) as (orchestrator, sagas):
        async with connection.transaction():
            by_id = await sagas.start(Order("1"), connection=connection)
            by_key = await sagas.start(Order("2"), aggregation_id=KEY[1], connection=connection)
            await orchestrator.to(by_id.id, approval).send(ANN, connection=connection)
            await orchestrator.to(KEY, approval).send(Approval("bob"), connection=connection)
        await orchestrator.committed()
        assert await by_id.result(SOON) == ANN
        assert await by_key.result(SOON) == Approval("bob")


async def test_an_event_that_came_before_its_saga_is_kept_for_it(any_dsn: str, connect: Connect) -> None:
    connection = await connect()
    async with running(any_dsn) as (orchestrator, sagas):
        async with connection.transaction():
            await orchestrator.to(KEY, approval).send(ANN, connection=connection)
        await orchestrator.committed()
        assert await sagas.run(Order("1"), aggregation_id=KEY[1], timeout=SOON) == ANN


async def test_nobody_waits_for_a_transaction_in_which_an_event_was_sent(any_dsn: str, connect: Connect) -> None:
    connection, other = await connect(), await connect()
    async with running(any_dsn, poll_interval=timedelta(milliseconds=50)) as (orchestrator, sagas):
        run = await sagas.start(Order("1"), aggregation_id=KEY[1])
        await suspended(run)
        async with connection.transaction():
            for target in (run.id, KEY):
                await orchestrator.to(target, approval).send(Approval("late"), event_id="m", connection=connection)
            locked = "SELECT 1 FROM saga_fn.saga FOR UPDATE NOWAIT"
            assert await other.fetchval(locked) == 1, "no row of a saga is locked"
            assert await orchestrator.to(run.id, approval).send(ANN, event_id="m") is Delivery.ACCEPTED
            assert await run.result(SOON) == ANN


async def test_two_transactions_that_send_to_the_same_sagas_in_opposite_orders_do_not_meet(
    any_dsn: str, connect: Connect
) -> None:
    one, other = await connect(), await connect()
    async with running(any_dsn) as (orchestrator, sagas):
        runs = [await sagas.start(Order(str(number))) for number in range(2)]
        async with one.transaction(), other.transaction():
            for connection, order in ((one, runs), (other, runs[::-1])):
                for run in order:
                    await orchestrator.to(run.id, approval).send(ANN, event_id="same", connection=connection)
        await orchestrator.committed()
        assert [await run.result(SOON) for run in runs] == [ANN, ANN]
        await none_on_its_way(one)


@pytest.mark.parametrize("by", ["id", "key"])
async def test_an_event_id_names_one_event_in_whichever_way_it_comes(any_dsn: str, connect: Connect, by: str) -> None:
    one, other = await connect(), await connect()
    async with running(any_dsn) as (orchestrator, sagas):
        seen = Observed(orchestrator)
        run = await sagas.start(Order("1"), aggregation_id=KEY[1])
        await suspended(run)
        to = orchestrator.to(run.id if by == "id" else KEY, approval)
        async with one.transaction(), other.transaction():
            assert await to.send(ANN, event_id="m", connection=one) is Delivery.UNCOMMITTED
            assert await to.send(ANN, event_id="m", connection=one) is Delivery.DUPLICATE
            assert await to.send(ANN, event_id="m", connection=other) is Delivery.UNCOMMITTED, "neither sees the other"
        await orchestrator.committed()
        assert await run.result(SOON) == ANN
        async with one.transaction():
            assert await to.send(ANN, event_id="m", connection=one) is Delivery.DUPLICATE
        assert await to.send(ANN, event_id="m") is Delivery.DUPLICATE
        assert seen.all(SentEventDropped) == []
        inbox = "SELECT count(*) FROM saga_fn.saga_inbox"
        assert await one.fetchval(inbox) == 1


@pytest.mark.parametrize("by", ["id", "key"])
async def test_what_can_be_known_inside_of_the_transaction_is_told_there(
    any_dsn: str, connect: Connect, by: str
) -> None:
    connection = await connect()
    shipped = Event("shipped", Approval)
    async with running(any_dsn) as (orchestrator, sagas), running(any_dsn, concurrency=0) as (stranger, _):
        run = await sagas.start(Order("1"), aggregation_id=KEY[1])
        target = run.id if by == "id" else KEY
        async with connection.transaction():
            to = orchestrator.to(target, approval)
            soon = timedelta(microseconds=1)
            assert await to.send(ANN, expires=soon, connection=connection) is Delivery.EXPIRED
            with pytest.raises(SagaStateError, match="never waits for an event"):
                await orchestrator.to(target, shipped).send(ANN, connection=connection)
            with pytest.raises(PayloadError):
                await to.send("ann", connection=connection)  # type: ignore[arg-type]  # that is the point
            with pytest.raises(SagaNotFoundError):
                await orchestrator.to(UUID(int=7), approval).send(ANN, connection=connection)
            with pytest.raises(SagaNotRegisteredError):
                await orchestrator.to(("aproved", "1"), approval).send(ANN, connection=connection)
            new = orchestrator.to(("new", "1"), approval, may_be_new=True)
            assert await new.send(ANN, connection=connection) is Delivery.UNCOMMITTED
            assert await on_their_way(connection) == 1
        await orchestrator.to(run.id, approval).send(ANN)
        await run.result(SOON)
        async with connection.transaction():
            for sender in (orchestrator, stranger):
                assert await sender.to(target, approval).send(ANN, connection=connection) is Delivery.ENDED


async def test_a_definition_that_only_the_transaction_knows_is_looked_up_there(any_dsn: str, connect: Connect) -> None:
    connection = await connect()
    starter = SagaOrchestrator(any_dsn, concurrency=0)
    async with running(any_dsn, concurrency=0) as (sender, _), starter, connection.transaction():
        run = await starter.register("late", approved(Shop())).start(Order("1"), connection=connection)
        assert await sender.to(run.id, approval).send(ANN, connection=connection) is Delivery.UNCOMMITTED


async def test_a_pool_all_of_whose_connections_are_in_transactions_can_send_in_them(any_dsn: str) -> None:
    size = 4
    async with (
        running(any_dsn) as (_, sagas),
        asyncpg.create_pool(any_dsn, min_size=size, max_size=size) as pool,
    ):
        orchestrator = SagaOrchestrator(pool, listen=False)
        run = await sagas.start(Order("1"), aggregation_id=KEY[1])
        everybody = asyncio.Barrier(size)

        async def request(number: int) -> Delivery:
            async with pool.acquire() as connection, connection.transaction():
                await everybody.wait()
                target = run.id if number % 2 else KEY
                told = await orchestrator.to(target, approval).send(ANN, connection=connection)
                await everybody.wait()
            return told

        assert set(await asyncio.gather(*map(request, range(size)))) == {Delivery.UNCOMMITTED}
        await orchestrator.committed()
        assert await run.result(SOON) == ANN


@pytest.mark.parametrize("by", ["id", "key"])
async def test_an_event_whose_saga_ends_before_the_commit_is_dropped_and_the_log_says_so(
    any_dsn: str, connect: Connect, by: str, caplog: pytest.LogCaptureFixture
) -> None:
    connection = await connect()
    async with running(any_dsn) as (orchestrator, sagas):
        seen = Observed(orchestrator)
        run = await sagas.start(Order("1"), aggregation_id=KEY[1])
        target = run.id if by == "id" else KEY
        async with connection.transaction():
            sent = await orchestrator.to(target, approval).send(Approval("late"), connection=connection)
            assert sent is Delivery.UNCOMMITTED
            await orchestrator.to(run.id, approval).send(ANN)
            assert await run.result(SOON) == ANN
            following = await sagas.start(Order("2"), aggregation_id=KEY[1])
            await suspended(following)
        await orchestrator.committed()
        dropped = await seen.until(SentEventDropped)
        assert (dropped.target, dropped.event, dropped.why) == (target, "approval", "the saga had ended by then")
        assert "was dropped after the commit: the saga had ended" in caplog.text
        await none_on_its_way(connection)
        assert (await following.snapshot()).status is SagaStatus.SUSPENDED, "it was sent before that saga had begun"


async def test_an_event_for_the_next_waits_for_it(any_dsn: str, connect: Connect) -> None:
    connection = await connect()
    for_next = Event("approval", Approval, for_next=True)
    async with running(any_dsn) as (orchestrator, sagas):
        first = await sagas.start(Order("1"), aggregation_id=KEY[1])
        await orchestrator.to(first.id, approval).send(ANN)
        assert await first.result(SOON) == ANN  # else it may be given the next event, too
        async with connection.transaction():
            await orchestrator.to(KEY, for_next).send(Approval("bob"), connection=connection)
        await orchestrator.committed()
        assert await sagas.run(Order("2"), aggregation_id=KEY[1], timeout=SOON) == Approval("bob")


@pytest.mark.parametrize("by", ["id", "key"])
async def test_an_event_that_is_void_at_the_commit_is_dropped_and_told(any_dsn: str, connect: Connect, by: str) -> None:
    connection = await connect()
    async with running(any_dsn) as (orchestrator, sagas):
        seen = Observed(orchestrator)
        run = await sagas.start(Order("1"), aggregation_id=KEY[1])
        async with connection.transaction():
            to = orchestrator.to(run.id if by == "id" else KEY, approval)
            expires = timedelta(seconds=1)
            assert await to.send(ANN, expires=expires, connection=connection) is Delivery.UNCOMMITTED
            await connection.execute("SELECT pg_sleep(1.1)")
        await orchestrator.committed()
        assert (await seen.until(SentEventDropped)).why == "it was void by then"
        await none_on_its_way(connection)


async def test_an_event_for_which_there_is_no_room_comes_later(any_dsn: str, connect: Connect) -> None:
    connection = await connect()
    often = timedelta(milliseconds=50)
    async with running(any_dsn, concurrency=0) as (sender, sagas):
        run = await sagas.start(Order("1"))
        await forge(sender, run.id, 1000)
        async with connection.transaction():
            await sender.to(run.id, approval).send(ANN, connection=connection)
        await sender.committed()
        assert await on_their_way(connection) == 1
        async with running(any_dsn, poll_interval=often):
            assert await run.result(SOON) == ANN


@pytest.mark.parametrize("by", ["id", "key"])
async def test_no_more_are_on_their_way_to_one_saga_than_it_takes(any_dsn: str, connect: Connect, by: str) -> None:
    connection = await connect()
    async with running(any_dsn, concurrency=0) as (orchestrator, sagas):
        run = await sagas.start(Order("1"), aggregation_id=KEY[1])
        to = orchestrator.to(run.id if by == "id" else KEY, approval)
        async with connection.transaction():
            for _ in range(MOST_SENT):
                await to.send(ANN, connection=connection)
            with pytest.raises(SagaStateError, match="as many"):
                await to.send(ANN, connection=connection)


@pytest.mark.parametrize("what", ["start", "start_many", "send"])
async def test_other_processes_are_told_of_the_commit_where_that_is_asked_for(
    any_dsn: str, connect: Connect, what: str
) -> None:
    connection, listener = await connect(), await connect()
    told: list[object] = []

    def hears(_: object, pid: int, *given: object) -> None:
        if (
            pid == connection.get_server_pid()
        ):  # a worker that looks just now hands the event over, and tells that itself
            told.append(given[-1])

    await listener.add_listener("saga_fn", hears)

    async with running(any_dsn) as (worker, sagas), running(any_dsn, concurrency=0) as (caller, others):
        seen = Observed(worker)
        before, waiting = await sagas.start(Order("1")), await sagas.start(Order("1"))
        await suspended(
            before
        )  # it gets the event of which no process tells: a worker that just looks may end it by that
        await suspended(waiting)

        async def act(*, notify: bool) -> None:
            match what:
                case "start":
                    await others.start(Order("2"), connection=connection, notify=notify)
                case "start_many":
                    await others.start_many([Order("2")], connection=connection, notify=notify)
                case _:
                    to = caller.to(waiting.id if notify else before.id, approval)
                    await to.send(ANN, connection=connection, notify=notify)

        async with connection.transaction():
            await act(notify=False)
        await listener.fetchval("SELECT 1")
        assert told == [], "no NOTIFY unless asked for"
        async with connection.transaction():
            await act(notify=True)
            await listener.fetchval("SELECT 1")
            assert told == []
        await until(lambda: told != [])
        if what == "send":
            assert await waiting.result(SOON) == ANN, "the worker has heard of it"
        else:
            await seen.until(SagaClaimed, times=2)


async def test_other_processes_are_told_by_who_only_starts_and_sends(any_dsn: str, connect: Connect) -> None:
    connection = await connect()
    async with running(any_dsn), running(any_dsn, concurrency=0) as (caller, sagas):
        async with connection.transaction():
            run = await sagas.start(Order("1"), connection=connection)
            await caller.to(run.id, approval).send(ANN, connection=connection)
        await caller.committed()
        assert await run.result(SOON) == ANN


@pytest.mark.parametrize("what", ["start", "start_many", "send"])
async def test_a_notify_without_a_transaction_is_refused(any_dsn: str, what: str) -> None:
    async with running(any_dsn, concurrency=0) as (orchestrator, sagas):
        calls: dict[str, Callable[[Any], Awaitable[object]]] = {
            "start": lambda notify: sagas.start(Order("1"), notify=notify),
            "start_many": lambda notify: sagas.start_many([Order("1")], notify=notify),
            "send": lambda notify: orchestrator.to(KEY, approval).send(ANN, notify=notify),
        }
        with pytest.raises(SagaError, match=r"stands beside a connection(.|\n)*HINT"):
            await calls[what](True)
        with pytest.raises(SagaError, match="True or False"):
            await calls[what]("yes")


async def test_a_sender_needs_no_more_than_its_rights(any_dsn: str) -> None:
    async with running(any_dsn) as (_, sagas), role(any_dsn) as (name, dsn):
        await grant(any_dsn, role=name, kind=RoleKind.SENDER)
        run = await sagas.start(Order("1"), aggregation_id=KEY[1])
        keyed = await sagas.start(Order("2"), aggregation_id="2")
        async with running(dsn, concurrency=0) as (sender, _):
            connection = await asyncpg.connect(dsn)
            try:
                async with connection.transaction():
                    for target in (run.id, (KEY[0], "2")):
                        sent = await sender.to(target, approval).send(ANN, connection=connection)
                        assert sent is Delivery.UNCOMMITTED
                await sender.committed()
            finally:
                await connection.close()
            assert await run.result(SOON) == ANN
            assert await keyed.result(SOON) == ANN


async def test_a_memory_store_takes_part_in_no_transaction(any_dsn: str, connect: Connect) -> None:
    connection = await connect()
    orchestrator = SagaOrchestrator(MemoryStore())
    orchestrator.register("approved", approved(Shop()))
    async with connection.transaction():
        with pytest.raises(StoreError, match="cannot take part"):
            await orchestrator.to(KEY, approval).send(ANN, connection=connection)
    await orchestrator.committed()


class At:
    """Does something once before or after the n-th call of one of the store's methods, in whatever process."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, kind: type, name: str, then: Callable[[], Awaitable[None]]
    ) -> None:
        inner = getattr(kind, name)
        self.done = False

        async def hooked(store: Any, *given: Any, **named: Any) -> Any:
            if not self.done and self.armed:
                self.done = True
                await then()
            return await inner(store, *given, **named)

        self.armed = False
        monkeypatch.setattr(kind, name, hooked)


WINDOWS = [(PostgresSentEvents, "claim"), (PostgresStore, "send"), (PostgresSentEvents, "remove")]


@pytest.mark.parametrize("kind, name", WINDOWS)
async def test_a_saga_that_is_given_up_at_that_moment_misses_no_event(
    any_dsn: str, connect: Connect, monkeypatch: pytest.MonkeyPatch, kind: type, name: str
) -> None:
    """Its owner is another process, and lets go of it before each statement with which this one hands the event over."""
    connection = await connect()
    gate = asyncio.Event()
    shop = Shop(hold=gate, held="reserve")
    async with running(any_dsn, shop) as (worker, sagas), running(any_dsn, concurrency=0) as (sender, _):
        setattr(worker.engine.handing_over, "run", _nothing)  # noqa: B010 - its class is final: the sender hands it over
        run = await sagas.start(Order("1"))
        await until(lambda: shop.begun == ["reserve"])

        async def given_up() -> None:
            gate.set()
            if name == "remove":  # it has the event already, and does not wait
                await run.result(SOON)
            else:
                await suspended(run)

        at = At(monkeypatch, kind, name, given_up)
        async with connection.transaction():
            await sender.to(run.id, approval).send(ANN, connection=connection)
        at.armed = True
        await sender.committed()
        assert at.done
        assert await run.result(SOON) == ANN


@pytest.mark.parametrize("kind, name", WINDOWS)
async def test_a_saga_that_ends_at_that_moment_has_the_event_or_the_log_says_that_it_was_dropped(
    any_dsn: str, connect: Connect, monkeypatch: pytest.MonkeyPatch, kind: type, name: str
) -> None:
    connection = await connect()
    async with running(any_dsn) as (worker, sagas), running(any_dsn, concurrency=0) as (sender, _):
        seen = Observed(sender)
        setattr(worker.engine.handing_over, "run", _nothing)  # noqa: B010 - its class is final: the sender hands it over
        run = await sagas.start(Order("1"))
        await suspended(run)

        async def ends() -> None:
            if name != "remove":
                await sender.to(run.id, approval).send(Approval("bob"))
            await run.result(SOON)

        at = At(monkeypatch, kind, name, ends)
        async with connection.transaction():
            await sender.to(run.id, approval).send(ANN, connection=connection)
        at.armed = True
        await sender.committed()
        assert at.done
        await none_on_its_way(connection)
        taken = await run.result(SOON)
        assert (taken == ANN) != bool(seen.all(SentEventDropped))


@pytest.mark.parametrize(
    "by, at", [("id", "send"), ("id", "remove"), ("key", "keep"), ("key", "hand_over"), ("key", "remove")]
)
async def test_a_process_that_dies_while_it_hands_over_leaves_it_to_the_next(
    any_dsn: str, connect: Connect, by: str, at: str
) -> None:
    """It dies before one of the statements with which it hands the event over."""
    connection = await connect()
    lease = timedelta(milliseconds=300)
    async with running(any_dsn, concurrency=0, lease=lease) as (dying, sagas):
        run = await sagas.start(Order("1"), aggregation_id=KEY[1])
        async with connection.transaction():
            await dying.to(run.id if by == "id" else KEY, approval).send(ANN, event_id="m", connection=connection)
        store = dying.engine.store
        parts = {"send": store, "remove": store.sent_events, "keep": store.kept_events, "hand_over": store.kept_events}
        setattr(parts[at], at, _dies)
        await dying.committed()
        assert await on_their_way(connection) == 1
        async with running(any_dsn, poll_interval=timedelta(milliseconds=50), lease=lease) as (worker, _):
            seen = Observed(worker)
            assert await run.result(SOON) == ANN
            await none_on_its_way(connection)
            assert seen.all(SentEventDropped) == []
        assert await connection.fetchval("SELECT count(*) FROM saga_fn.saga_inbox") == 1


async def _nothing() -> None:
    return None


async def _dies(*_: object, **__: object) -> None:
    raise StoreUnavailableError("the process dies here")


# Bad input.


async def test_a_connection_to_another_database_is_refused_though_that_has_such_a_schema(
    any_dsn: str, server: Server
) -> None:
    async for elsewhere in database(server, migrated=True):
        connection = await asyncpg.connect(elsewhere)
        try:
            async with running(any_dsn) as (orchestrator, sagas):
                for _ in range(2):
                    async with connection.transaction():
                        with pytest.raises(StoreRefusedError, match=r"leads to another database(.|\n)*HINT"):
                            await sagas.start(Order("1"), connection=connection)
                        with pytest.raises(StoreRefusedError, match="leads to another database"):
                            await orchestrator.to(KEY, approval).send(ANN, connection=connection)
                async with asyncpg.create_pool(any_dsn, min_size=1, max_size=1) as pool:
                    other = SagaOrchestrator(pool, listen=False)
                    other.register("approved", approved(Shop()))
                    await other.run_due()
                    async with connection.transaction():
                        with pytest.raises(StoreRefusedError, match="leads to another database"):
                            await other.to(KEY, approval).send(ANN, connection=connection)
        finally:
            await connection.close()


async def test_a_connection_that_cannot_be_used_is_told_by_our_errors(any_dsn: str, connect: Connect) -> None:
    closed, idle, aborted = await connect(), await connect(), await connect()
    await closed.close()
    await aborted.execute("BEGIN")
    with pytest.raises(asyncpg.PostgresError):
        await aborted.execute("SELECT 1 / 0")
    async with running(any_dsn, concurrency=0) as (orchestrator, _):
        to = orchestrator.to(KEY, approval)
        with pytest.raises(SagaError, match="is closed"):
            await to.send(ANN, connection=closed)
        with pytest.raises(SagaError, match="the event would be sent even if the rest is rolled back"):
            await to.send(ANN, connection=idle)
        with pytest.raises(StoreError, match="aborted already"):
            await to.send(ANN, connection=aborted)
        with pytest.raises(StoreRefusedError, match="is read-only"):
            async with idle.transaction(readonly=True):
                await to.send(ANN, connection=idle)
        for nothing in (5, object(), "postgresql://"):
            with pytest.raises(SagaError, match="asyncpg connection"):
                await to.send(ANN, connection=nothing)  # type: ignore[arg-type]  # that is the point
        async with idle.transaction():
            sent = idle.transaction()
            await sent.start()
            assert await to.send(ANN, connection=idle) is Delivery.UNCOMMITTED
            await sent.rollback()
            assert await on_their_way(idle) == 0, "a savepoint that is rolled back takes it along"
