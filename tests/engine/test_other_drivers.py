"""Callers' transactions by SQLAlchemy's sessions, and by psycopg 3 through the class that the docs have."""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeAlias
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine

from saga_fn import (
    ActiveSagaAlreadyExistsError,
    Delivery,
    SagaError,
    SagaHandle,
    SagaNotFoundError,
    SagaOrchestrator,
    SchemaMissingError,
    StartBusyError,
    StoreError,
    StoreRefusedError,
)
from saga_fn.sqlalchemy import connection_of
from saga_fn.store import CallerConnection
from tests.support.approval import Approval, approval, approved
from tests.support.documents import ROOT, program_of
from tests.support.shop import Order, Shop
from tests.support.until import SOON, suspended

Handle: TypeAlias = SagaHandle[Order, Approval]
ANN = Approval("ann")


@asynccontextmanager
async def running(dsn: str, **options: Any) -> AsyncGenerator[tuple[SagaOrchestrator, Handle]]:
    defaults: dict[str, Any] = {"poll_interval": timedelta(hours=1)}
    orchestrator = SagaOrchestrator(dsn, **{**defaults, **options})
    handle = orchestrator.register("approved", approved(Shop()))
    async with asyncio.timeout(SOON), orchestrator:
        yield orchestrator, handle


def url_of(dsn: str, driver: str) -> str:
    return urlsplit(dsn)._replace(scheme=f"postgresql+{driver}").geturl()


@pytest.fixture
async def engine(any_dsn: str) -> AsyncIterator[AsyncEngine]:
    made = create_async_engine(url_of(any_dsn, "asyncpg"))
    yield made
    await made.dispose()


@asynccontextmanager
async def session_of(engine: AsyncEngine) -> AsyncGenerator[AsyncSession]:
    async with AsyncSession(engine) as session:
        yield session


@asynccontextmanager
async def connection_to(engine: AsyncEngine) -> AsyncGenerator[AsyncConnection]:
    async with engine.connect() as connection:
        yield connection


async def sagas_in(dsn: str) -> set[UUID]:
    connection = await asyncpg.connect(dsn)
    try:
        return {row["id"] for row in await connection.fetch("SELECT id FROM saga_fn.saga")}
    finally:
        await connection.close()


OPENERS = pytest.mark.parametrize("opened", [session_of, connection_to])


@OPENERS
async def test_a_start_in_a_session_is_part_of_its_transaction_from_the_first_statement_on(
    any_dsn: str, engine: AsyncEngine, opened: Any
) -> None:
    async with running(any_dsn) as (orchestrator, sagas), opened(engine) as session:
        undone = await sagas.start(Order("1"), connection=await connection_of(session))
        await session.rollback()
        with pytest.raises(SagaNotFoundError, match="was rolled back"):
            await undone.snapshot()
        run = await sagas.start(Order("2"), connection=await connection_of(session))
        sent = await orchestrator.to(run.id, approval).send(ANN, connection=await connection_of(session))
        assert sent is Delivery.UNCOMMITTED
        assert await sagas_in(any_dsn) == set()
        await session.commit()
        await orchestrator.committed()
        assert await run.result(SOON) == ANN
        assert await sagas_in(any_dsn) == {run.id}


async def test_what_the_session_has_written_is_in_the_same_transaction(any_dsn: str, engine: AsyncEngine) -> None:
    async with running(any_dsn) as (_, sagas):
        async with AsyncSession(engine) as session, session.begin():
            await session.execute(text("CREATE TABLE orders (id text PRIMARY KEY)"))
            await session.execute(text("INSERT INTO orders VALUES ('1')"))
            await sagas.start(Order("1"), aggregation_id="k", connection=await connection_of(session))
            with pytest.raises(ActiveSagaAlreadyExistsError):
                await sagas.start(Order("1"), aggregation_id="k", connection=await connection_of(session))
            await session.execute(text("INSERT INTO orders VALUES ('2')"))
        assert len(await sagas_in(any_dsn)) == 1
        async with AsyncSession(engine) as session:
            count: object = (await session.execute(text("SELECT count(*) FROM orders"))).scalar()
        assert count == 2


@OPENERS
async def test_a_savepoint_that_is_rolled_back_takes_its_starts_with_it(
    any_dsn: str, engine: AsyncEngine, opened: Any
) -> None:
    async with running(any_dsn) as (_, sagas), opened(engine) as session, session.begin():
        kept = await sagas.start(Order("1"), connection=await connection_of(session))
        nested = await session.begin_nested()
        undone = await sagas.start(Order("2"), connection=await connection_of(session))
        await nested.rollback()
        async with session.begin_nested():
            also = await sagas.start(Order("3"), connection=await connection_of(session))
        await session.commit()
        assert await sagas_in(any_dsn) == {kept.id, also.id}
        with pytest.raises(SagaNotFoundError, match="not committed yet, or was rolled back"):
            await undone.snapshot()


async def test_a_start_that_is_refused_leaves_a_session_that_can_be_rolled_back(
    any_dsn: str, engine: AsyncEngine
) -> None:
    stranger = await asyncpg.connect(any_dsn)
    try:
        async with running(any_dsn, key_wait=timedelta(milliseconds=50)) as (_, sagas), stranger.transaction():
            await sagas.start(Order("1"), aggregation_id="k", connection=stranger)
            async with AsyncSession(engine) as session:
                with pytest.raises(StartBusyError) as busy:
                    await sagas.start(Order("1"), aggregation_id="k", connection=await connection_of(session))
                assert busy.value.aborted
                with pytest.raises(SagaError, match=r"cannot be used now(.|\n)*HINT: roll it back"):
                    await connection_of(session)
                await session.rollback()
                await sagas.start(Order("2"), connection=await connection_of(session))
                await session.commit()
    finally:
        await stranger.close(timeout=2)


async def test_what_is_no_session_over_asyncpg_is_refused_with_the_mend(any_dsn: str, engine: AsyncEngine) -> None:
    wrong: list[Any] = [None, "postgresql://", engine, engine.sync_engine, object()]
    for each in wrong:
        with pytest.raises(SagaError, match=r"wants an AsyncSession or an AsyncConnection(.|\n)*HINT"):
            await connection_of(each)
    async with AsyncSession(engine) as session:
        sync: Any = session.sync_session
        with pytest.raises(SagaError, match="wants an AsyncSession"):
            await connection_of(sync)
    other = create_async_engine(url_of(any_dsn, "psycopg"))
    async with AsyncSession(other) as session:
        with pytest.raises(SagaError, match=r"driver is \"?'?psycopg(.|\n)*your-transaction.md"):
            await connection_of(session)
    await other.dispose()
    auto = create_async_engine(url_of(any_dsn, "asyncpg"), isolation_level="AUTOCOMMIT")
    async with auto.connect() as connection:
        with pytest.raises(SagaError, match="autocommit"):
            await connection_of(connection)
    with pytest.raises(SagaError, match="cannot be used now"):
        await connection_of(connection)
    await auto.dispose()


async def test_a_session_passed_as_it_is_is_refused_with_the_way_to_its_connection(
    any_dsn: str, engine: AsyncEngine
) -> None:
    async with running(any_dsn) as (orchestrator, sagas), AsyncSession(engine) as session:
        given: Any = session
        with pytest.raises(SagaError, match=r"not an AsyncSession(.|\n)*connection_of\(session\)"):
            await sagas.start(Order("1"), connection=given)
        with pytest.raises(SagaError, match="connection_of"):
            await orchestrator.to(("approved", "1"), approval).send(ANN, connection=given)


# psycopg 3


@pytest.fixture(scope="module")
def adapter() -> Any:
    """The class of the docs."""
    page = types.ModuleType("your_transaction_page")
    sys.modules["your_transaction_page"] = page
    for block in program_of(ROOT / "docs" / "your-transaction.md"):
        exec(compile(block.code, block.page, "exec"), page.__dict__)
    return page.OfPsycopg


@pytest.fixture
async def connection(any_dsn: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    opened = await psycopg.AsyncConnection.connect(any_dsn)
    yield opened
    await opened.close()


async def test_starts_and_sends_are_part_of_a_transaction_of_psycopgs(
    any_dsn: str, connection: psycopg.AsyncConnection[Any], adapter: Any
) -> None:
    given: CallerConnection = adapter(connection)
    async with running(any_dsn) as (orchestrator, sagas):
        async with connection.transaction(force_rollback=True):
            await sagas.start(Order("1"), connection=given)
        async with connection.transaction():
            run = await sagas.start(Order("1"), idempotency_key="q", connection=given)
            again = await sagas.start(Order("1"), idempotency_key="q", connection=given)
            assert (run.created, again.created, again.id) == (True, False, run.id)
            many = await sagas.start_many(
                [Order(str(number)) for number in range(20)],
                aggregation_id=lambda order: order.order_id,
                connection=given,
                notify=True,
            )
            assert await orchestrator.to(run.id, approval).send(ANN, connection=given) is Delivery.UNCOMMITTED
            to = orchestrator.to(("approved", "3"), approval)
            assert await to.send(ANN, connection=given) is Delivery.UNCOMMITTED
        await orchestrator.committed()
        assert await run.result(SOON) == ANN
        assert await many[3].result(SOON) == ANN
        assert await sagas_in(any_dsn) == {run.id, *(each.id for each in many)}


async def test_what_psycopg_raises_is_told_as_asyncpgs(
    any_dsn: str, server: Any, connection: psycopg.AsyncConnection[Any], adapter: Any
) -> None:
    given: CallerConnection = adapter(connection)
    stranger = await asyncpg.connect(any_dsn)
    async with running(any_dsn, key_wait=timedelta(milliseconds=50)) as (_, sagas):
        with pytest.raises(SagaError, match="no transaction is open"):
            await sagas.start(Order("1"), connection=given)
        async with stranger.transaction():
            await sagas.start(Order("1"), aggregation_id="k", connection=stranger)
            with pytest.raises(StartBusyError) as busy:
                async with connection.transaction():
                    await sagas.start(Order("1"), aggregation_id="k", connection=given)
            assert busy.value.aborted
        with pytest.raises(psycopg.errors.DivisionByZero):
            await connection.execute("SELECT 1 / 0")
        with pytest.raises(StoreError, match="aborted already"):
            await sagas.start(Order("1"), connection=given)
        await connection.rollback()
        await connection.execute("SET TRANSACTION READ ONLY")
        with pytest.raises(StoreRefusedError, match="is read-only"):
            await sagas.start(Order("1"), connection=given)
        await connection.rollback()
        elsewhere = await psycopg.AsyncConnection.connect(server.dsn)
        async with elsewhere:
            with pytest.raises(SchemaMissingError):
                async with elsewhere.transaction():
                    await sagas.start(Order("1"), connection=adapter(elsewhere))
        await connection.execute("SELECT 1")
        await stranger.execute("SELECT pg_terminate_backend($1)", connection.info.backend_pid)
        with pytest.raises(StoreError):
            await sagas.start(Order("1"), connection=given)
        with pytest.raises(SagaError):
            await sagas.start(Order("1"), connection=given)
    await stranger.close()


async def test_a_session_over_psycopg_can_be_adapted(any_dsn: str, adapter: Any) -> None:
    engine = create_async_engine(url_of(any_dsn, "psycopg"))
    async with running(any_dsn) as (orchestrator, sagas):
        async with AsyncSession(engine) as session, session.begin():
            await session.execute(text("SELECT 1"))
            raw = (await (await session.connection()).get_raw_connection()).driver_connection
            run = await sagas.start(Order("1"), connection=adapter(raw))
        await orchestrator.committed()
        await suspended(run)
    await engine.dispose()
