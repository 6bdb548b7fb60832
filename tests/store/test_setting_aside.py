"""A row that cannot be read is taken out of work, or ended, by a process that knows how it stands, and by no other."""

from __future__ import annotations

from uuid import UUID, uuid4

import msgspec

from saga_fn.core.ids import Moment
from saga_fn.core.projection import SagaStatus, WaitReason
from saga_fn.core.state import ParkReason
from saga_fn.store.protocol import Store
from saga_fn.store.records import SagaRecord
from tests.store.given import LONG, OTHER, OVER, B, start

UNREADABLE = ParkReason.STATE_UNREADABLE


async def seen(store: Store, saga_id: UUID) -> SagaRecord:
    """The row, without the time at which it was read."""
    row = await store.read(saga_id)
    assert row is not None
    return msgspec.structs.replace(row, now=Moment(0))


async def test_its_owner_sets_it_aside(store: Store) -> None:
    hand = await start(store)
    assert hand.token is not None
    await store.park_row(hand.id, hand.token, "StoredDataError", UNREADABLE)
    row = await seen(store, hand.id)
    assert (row.status, row.waits, row.parked) == (SagaStatus.SUSPENDED, WaitReason.PARKED, UNREADABLE)
    assert (row.token, row.owner, row.due_at, row.last_error) == (None, None, None, "StoredDataError")


async def test_who_has_lost_it_does_not_set_it_aside(store: Store) -> None:
    hand = await start(store, lease=OVER)
    taken = await store.claim(hand.id, owner=OTHER, lease=LONG)
    assert taken is not None
    assert hand.token is not None
    before = await seen(store, hand.id)
    for token in (hand.token, uuid4()):
        await store.park_row(hand.id, token, "StoredDataError", UNREADABLE)
    assert await seen(store, hand.id) == before


async def test_it_is_ended_at_the_revision_at_which_it_was_seen(store: Store) -> None:
    hand = await start(store)
    await store.commit(0, [hand.succeeded()])
    before = await seen(store, hand.id)
    assert not await store.end_row(hand.id, 1, "StoredDataError")
    assert await seen(store, hand.id) == before
    assert await store.end_row(hand.id, 2, "StoredDataError")
    row = await seen(store, hand.id)
    assert (row.status, row.token, row.due_at, row.last_error) == (SagaStatus.FAILED, None, None, "StoredDataError")
    assert row.ended_at is not None


async def test_an_end_stays_as_it_is(store: Store) -> None:
    hand = await start(store)
    first = hand.succeeded()
    last = hand.after(first).succeeded(B)
    for write in (first, last):
        await store.commit(0, [write])
    before = await seen(store, hand.id)
    assert before.status is SagaStatus.COMPLETED
    assert not await store.end_row(hand.id, 3, "StoredDataError")
    assert await seen(store, hand.id) == before
