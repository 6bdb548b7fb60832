"""Sagas that have ended are deleted with all that belongs to them, and keyed ones leave a tombstone: the same in every store."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import attrs
import msgspec
import pytest

from saga_fn.core.events import AbortRequested
from saga_fn.core.ids import Moment, PlanId, StepId
from saga_fn.core.projection import SagaStatus
from saga_fn.store.protocol import Store
from saga_fn.store.records import EndedSaga, InboxMessage, MessageStatus
from tests.store.given import LONG, OTHER, OWNER, Hand, new_saga, start

pytestmark = pytest.mark.raw_rows

FOR_EVER = None
SHOP = ("shop", 1)


async def ended(store: Store, **options: object) -> Hand:
    """A saga that completed: both steps are done."""
    hand = await start(store, **options)  # type: ignore[arg-type]  # handed through
    for step in ("a", "b"):
        write = hand.succeeded(step)  # type: ignore[arg-type]  # a step's id
        assert hand.id in (await store.commit(0, [write])).inbox_sent
        hand = hand.after(write)
    return hand


async def failed(store: Store) -> Hand:
    hand = await start(store)
    write = hand.write(AbortRequested(store.now(), Moment(0)))
    await store.commit(0, [write])
    return hand.after(write)


async def over(
    store: Store, status: SagaStatus = SagaStatus.COMPLETED, *, acknowledged_only: bool = False, limit: int = 99
) -> list[EndedSaga]:
    before = Moment(store.now() + 1_000_000)
    return await store.deletion.ended(
        0, SHOP, status, before=before, acknowledged_only=acknowledged_only, sure=before, plans=(), limit=limit
    )


async def test_what_has_ended_so_is_found_oldest_end_first(store: Store) -> None:
    first, second = await ended(store), await ended(store)
    await start(store)
    await ended(store, name="audit")
    await ended(store, version=2)
    assert [saga.id for saga in await over(store)] == [first.id, second.id]
    assert [saga.rev for saga in await over(store, limit=1)] == [first.state.rev]
    early = Moment(store.now() - 3_600_000_000)
    assert not await store.deletion.ended(
        0, SHOP, SagaStatus.COMPLETED, before=early, acknowledged_only=False, sure=early, plans=(), limit=9
    )


@pytest.mark.parametrize("status", [SagaStatus.COMPLETED, SagaStatus.FAILED])
async def test_what_has_ended_of_late_is_found_only_if_its_plan_is_named(store: Store, status: SagaStatus) -> None:
    hand = await (ended(store) if status is SagaStatus.COMPLETED else failed(store))
    if status is SagaStatus.FAILED:
        assert await store.acknowledge(hand.id, hand.state.rev, "")
    before, early = Moment(store.now() + 1_000_000), Moment(store.now() - 3_600_000_000)
    for sure, plans, count in (
        (early, (), 0),
        (early, (PlanId("another"),), 0),
        (early, (PlanId("another"), hand.state.plan), 1),
        (before, (), 1),
    ):
        found = await store.deletion.ended(
            0,
            SHOP,
            status,
            before=before,
            acknowledged_only=status is SagaStatus.FAILED,
            sure=sure,
            plans=plans,
            limit=9,
        )
        assert len(found) == count


@pytest.mark.parametrize("status", [SagaStatus.COMPLETED, SagaStatus.FAILED])
async def test_what_keeps_an_event_from_the_next_saga_of_its_key_is_not_found_before_a_week_is_over(
    store: Store, status: SagaStatus
) -> None:
    hands: dict[str, Hand] = {}
    sent = Moment(store.now() + 1_000_000)
    for number, (key, expires, for_next) in enumerate(
        (
            ("kept", None, False),
            ("void", sent, False),
            ("next", None, True),
            ("got", None, False),
            ("none", None, False),
        )
    ):
        message = InboxMessage(UUID(int=number + 1), "event", b"{}")
        if key != "none":
            kept = await store.kept_events.keep(0, ("shop", key), message, "paid", expires=expires, for_next=for_next)
            assert kept is MessageStatus.STORED
        hand = await start(store, aggregation_id=key)
        if key == "got":
            assert await store.kept_events.hand_over(0, ("shop", key)) == hand.id
            hand = attrs.evolve(hand, inbox_seen=1)
        if status is SagaStatus.FAILED:
            write = hand.write(AbortRequested(store.now(), Moment(0)))
            await store.commit(0, [write])
            assert await store.acknowledge(hand.id, hand.after(write).state.rev, "")
        else:
            for step in ("a", "b"):
                write = hand.succeeded(StepId(step))
                assert hand.id in (await store.commit(0, [write])).inbox_sent
                hand = hand.after(write)
        hands[key] = hand
    while store.now() <= sent:
        await asyncio.sleep(0.05)  # until the one is void
    before = Moment(store.now() + 1_000_000)

    async def found(sure: Moment) -> set[UUID]:
        plans = (hands["none"].state.plan,)
        failed = status is SagaStatus.FAILED
        rows = await store.deletion.ended(
            0, SHOP, status, before=before, acknowledged_only=failed, sure=sure, plans=plans, limit=9
        )
        return {row.id for row in rows}

    every = {hand.id for hand in hands.values()}
    assert await found(before) == every
    assert await found(Moment(0)) == every - {hands["kept"].id}


async def test_what_has_failed_is_found_once_it_was_acknowledged(store: Store) -> None:
    hand, _ = await failed(store), await failed(store)
    assert len(await over(store, SagaStatus.FAILED)) == 2
    assert await over(store, SagaStatus.FAILED, acknowledged_only=True) == []
    assert await store.acknowledge(hand.id, hand.state.rev, "seen")
    assert [saga.id for saga in await over(store, SagaStatus.FAILED, acknowledged_only=True)] == [hand.id]


async def test_a_saga_is_deleted_with_all_that_belongs_to_it(store: Store) -> None:
    hand, other = await start(store), await ended(store)
    assert await store.send(hand.id, InboxMessage(uuid4(), "event", b"{}")) is MessageStatus.STORED
    write = attrs.evolve(hand, inbox_seen=1).write(AbortRequested(store.now(), Moment(0)))
    assert hand.id in (await store.commit(0, [write])).inbox_sent
    await store.record_rejection(hand.id, "late", "StepSucceeded")
    (saga,) = await over(store, SagaStatus.FAILED)
    assert await store.deletion.delete(0, [saga], keep=FOR_EVER) == [hand.id]
    assert await store.read(hand.id) is None
    assert await store.journal(hand.id) == []
    assert await store.messages(hand.id) == []
    assert await store.rejections(hand.id) == []
    assert await store.deletion.tombstone(hand.id) is None
    assert await store.read(other.id) is not None
    assert len(await store.journal(other.id)) == other.state.rev


async def test_what_has_moved_on_or_not_ended_is_not_deleted(store: Store) -> None:
    hand, running = await ended(store), await start(store)
    (saga,) = await over(store)
    moved = msgspec.structs.replace(saga, rev=saga.rev - 1)
    alive = EndedSaga(running.id, running.state.rev, saga.era)
    gone = EndedSaga(uuid4(), 1, saga.era)
    assert await store.deletion.delete(0, [moved, alive, gone], keep=FOR_EVER) == []
    assert await store.read(hand.id) is not None
    assert await store.read(running.id) is not None
    assert await store.deletion.delete(0, [alive, saga], keep=FOR_EVER) == [hand.id]


async def test_a_keyed_start_that_was_deleted_is_not_inserted_again(store: Store) -> None:
    hand = await ended(store, key="k", aggregation_id="order-1")
    (saga,) = await over(store)
    row = await store.read(hand.id)
    assert row is not None
    assert await store.deletion.delete(0, [saga], keep=FOR_EVER) == [hand.id]
    stone = await store.deletion.tombstone(hand.id)
    assert stone is not None
    assert (stone.name, stone.request, stone.status) == ("shop", b"request", SagaStatus.COMPLETED)
    assert stone.ended_at == row.ended_at
    assert stone.deleted_at >= stone.ended_at
    again = new_saga(store, key="k", aggregation_id="order-1")
    other = new_saga(store, key="other", aggregation_id="order-1")
    assert again.id == hand.id
    assert (await store.insert(0, [again], lease=LONG)).ids == set()
    assert (await store.insert(0, [again, other, new_saga(store)], lease=LONG)).ids >= {other.id}
    assert await store.read(hand.id) is None


async def test_a_tombstone_counts_for_as_long_as_was_said_and_is_then_forgotten(store: Store) -> None:
    hand, kept = await ended(store, key="k"), await ended(store, key="kept")
    first, second = await over(store)
    await store.deletion.delete(0, [first], keep=timedelta(0))
    await store.deletion.delete(0, [second], keep=timedelta(hours=1))
    assert await store.deletion.tombstone(hand.id) is None
    assert await store.deletion.tombstone(kept.id) is not None
    assert (await store.insert(0, [new_saga(store, key="k")], lease=LONG)).ids == {hand.id}
    assert await store.deletion.drop_tombstones(0) == 1
    assert await store.deletion.drop_tombstones(0) == 0
    assert await store.deletion.tombstone(kept.id) is not None


async def test_a_saga_that_is_deleted_a_second_time_leaves_its_second_tombstone(store: Store) -> None:
    hand = await ended(store, key="k")
    assert await store.deletion.delete(0, await over(store), keep=timedelta(0)) == [hand.id]
    again = await ended(store, key="k")
    assert await store.deletion.delete(0, await over(store), keep=FOR_EVER) == [again.id] == [hand.id]
    assert await store.deletion.tombstone(hand.id) is not None


async def test_one_process_deletes_in_a_shard_at_a_time(store: Store) -> None:
    assert await store.deletion.begin(0, owner=OWNER, lease=LONG)
    assert not await store.deletion.begin(0, owner=OTHER, lease=LONG)
    assert await store.deletion.begin(0, owner=OWNER, lease=timedelta(0))
    assert await store.deletion.begin(0, owner=OTHER, lease=LONG)
    assert not await store.deletion.begin(0, owner=OWNER, lease=LONG)
