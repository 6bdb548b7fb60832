"""A start that meets a deletion half-way starts nothing: each snapshot has the saga's row, or its tombstone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TypeAlias

import asyncpg
import pytest

from saga_fn.core.ids import Moment
from saga_fn.core.projection import SagaStatus
from saga_fn.store._queries import Queries
from saga_fn.store.database import LOCK_TIMEOUT
from saga_fn.store.postgres import PostgresStore
from saga_fn.store.records import EndedSaga
from tests.store.given import LONG, new_saga
from tests.store.test_deletion import SHOP, ended

pytestmark = pytest.mark.raw_rows
Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture(params=[False, True], ids=["alone", "batch"])
async def store(request: pytest.FixtureRequest, any_dsn: str) -> AsyncIterator[PostgresStore]:
    opened = PostgresStore(any_dsn, batches_only=request.param)
    await opened.open(migrate=False, listen=None)
    yield opened
    await opened.close()


@pytest.fixture
async def session(any_dsn: str) -> AsyncIterator[Session]:
    connection = await asyncpg.connect(any_dsn)
    yield connection
    await connection.close()


async def over(store: PostgresStore) -> EndedSaga:
    before = Moment(store.now() + 1_000_000)
    (saga,) = await store.deletion.ended(
        0, SHOP, SagaStatus.COMPLETED, before=before, acknowledged_only=False, sure=before, plans=(), limit=9
    )
    return saga


async def deleted(session: Session, saga: EndedSaga) -> None:
    """Delete it in the session's own transaction."""
    gone = await Queries("saga_fn").delete_sagas(
        session,
        shard=0,
        ids=[saga.id],
        revs=[saga.rev],
        eras=[saga.era],
        keep=None,
        lock_timeout=LOCK_TIMEOUT,
    )
    assert gone == [saga.id]


async def test_a_start_beside_a_deletion_that_is_not_committed_starts_nothing_and_waits_for_nothing(
    store: PostgresStore, session: Session
) -> None:
    hand = await ended(store, key="k")
    saga = await over(store)
    async with session.transaction():
        await deleted(session, saga)
        # Without the look at the row it would wait for this transaction here, and insert when that is committed.
        assert (await store.insert(0, [new_saga(store, key="k")], lease=LONG)).ids == set()
    assert (await store.insert(0, [new_saga(store, key="k")], lease=LONG)).ids == set()
    assert await store.read(hand.id) is None
    assert await store.deletion.tombstone(hand.id) is not None


async def test_a_deletion_that_is_rolled_back_has_deleted_nothing(store: PostgresStore, session: Session) -> None:
    hand = await ended(store, key="k")
    saga = await over(store)
    transaction = session.transaction()
    await transaction.start()
    await deleted(session, saga)
    await transaction.rollback()
    assert await store.read(hand.id) is not None
    assert len(await store.journal(hand.id)) == saga.rev
    assert await store.deletion.tombstone(hand.id) is None


@pytest.mark.parametrize("isolation", ["read_committed", "repeatable_read", "serializable"])
async def test_a_callers_transaction_from_before_the_deletion_starts_nothing(
    store: PostgresStore, session: Session, isolation: str
) -> None:
    hand = await ended(store, key="k")
    saga = await over(store)
    async with session.transaction(isolation=isolation):  # type: ignore[arg-type]  # one of the three
        await session.fetch("SELECT 1 FROM saga_fn.saga")  # its snapshot, where it has one
        assert await store.deletion.delete(0, [saga], keep=None) == [hand.id]
        inserted = await store.insert(0, [new_saga(store, key="k", owned=False)], lease=LONG, connection=session)
        assert inserted.ids == set()
    assert await store.read(hand.id) is None


async def test_a_callers_snapshot_from_before_the_saga_starts_nothing_once_it_is_old(
    store: PostgresStore, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saga_fn.store.postgres.LEAST_KEPT", timedelta(0))  # the snapshot is older at once
    async with session.transaction(isolation="repeatable_read"):
        await session.fetch("SELECT 1 FROM saga_fn.saga")
        hand = await ended(store, key="k")
        assert await store.deletion.delete(0, [await over(store)], keep=None) == [hand.id]
        inserted = await store.insert(
            0, [new_saga(store, key="k", owned=False), new_saga(store, owned=False)], lease=LONG, connection=session
        )
        assert hand.id not in inserted.ids
        assert len(inserted.ids) == 1  # no start without a key is refused
    assert await store.read(hand.id) is None


async def test_a_row_that_another_session_has_locked_is_skipped(store: PostgresStore, session: Session) -> None:
    hand = await ended(store)
    saga = await over(store)
    async with session.transaction():
        await session.fetch("SELECT 1 FROM saga_fn.saga WHERE id = $1 FOR UPDATE", hand.id)
        assert await store.deletion.delete(0, [saga], keep=None) == []
    assert await store.deletion.delete(0, [saga], keep=None) == [hand.id]


async def test_two_deletions_of_the_same_sagas_delete_each_once(store: PostgresStore) -> None:
    for _ in range(5):
        hands = [await ended(store, key=f"{number}") for number in range(4)]
        before = Moment(store.now() + 1_000_000)
        sagas = await store.deletion.ended(
            0, SHOP, SagaStatus.COMPLETED, before=before, acknowledged_only=False, sure=before, plans=(), limit=9
        )
        gone = await asyncio.gather(*(store.deletion.delete(0, sagas, keep=timedelta(0)) for _ in range(2)))
        assert sorted([*gone[0], *gone[1]]) == sorted(hand.id for hand in hands)
