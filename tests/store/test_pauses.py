"""A pause is the same in every store."""

from __future__ import annotations

from datetime import timedelta

from saga_fn.store.ids import shard_of
from saga_fn.store.protocol import Store
from tests.store.given import LONG, OWNER, start

SHOP = [("shop", 1)]


async def test_a_pause_is_there_once_and_as_it_was_made(store: Store) -> None:
    assert await store.pauses.add("shop", actor="ann", reason="the bank is down")
    assert not await store.pauses.add("shop", actor="bob", reason="another")
    assert await store.pauses.add("", actor=None, reason=None)
    one, all_ = await store.pauses.read()
    assert (one.name, one.actor, one.reason) == ("shop", "ann", "the bank is down")
    assert (all_.name, all_.actor, all_.reason) == ("", None, None)
    assert one.since <= all_.since
    assert not await store.pauses.remove("shop", since=all_.since + timedelta(seconds=1))
    assert await store.pauses.remove("shop", since=one.since)
    assert not await store.pauses.remove("shop")
    assert [each.name for each in await store.pauses.read()] == [""]


async def test_nothing_that_is_paused_is_found(store: Store) -> None:
    for paused, found in (("shop", False), ("", False), ("another", True)):
        hand = await start(store, owned=False)
        shard = shard_of(hand.id, store.shards)
        await store.pauses.add(paused, actor=None, reason=None)
        assert (shard in await store.due_shards(SHOP)) is found
        assert (hand.id in await store.due_ids(shard, SHOP, limit=100)) is found
        assert ((await store.due_work(SHOP)).next_due is not None) is found
        claimed = await store.claim_due(shard, SHOP, owner=OWNER, limit=100, lease=LONG)
        assert bool(claimed) is found
        assert await store.pauses.remove(paused)
        assert found or await store.claim_due(shard, SHOP, owner=OWNER, limit=100, lease=LONG)


async def test_a_saga_by_its_id_is_claimed_all_the_same(store: Store) -> None:
    """A verb may have to take it from an owner that is gone; a process that drives it looks at the pauses itself."""
    hand = await start(store, owned=False)
    await store.pauses.add("shop", actor=None, reason=None)
    assert await store.claim(hand.id, owner=OWNER, lease=LONG) is not None
