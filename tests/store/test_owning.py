"""Claims, leases and what becomes of them: by the store's own clock, each under a fresh token."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

from saga_fn.core.events import AbortRequested
from saga_fn.core.ids import Moment
from saga_fn.store.protocol import Store
from saga_fn.store.records import moment_of
from tests.store.given import LONG, OTHER, OVER, OWNER, SHOP, hand_of_claim, new_saga, start


async def test_what_is_due_is_claimed_oldest_first_under_tokens_of_their_own(store: Store) -> None:
    hands = [await start(store, owned=False) for _ in range(5)]
    claims = await store.claim_due(0, SHOP, owner=OTHER, limit=3, lease=LONG)
    assert {claim.id for claim in claims} == {hand.id for hand in hands[:3]}
    assert len({claim.token for claim in claims}) == 3
    for claim in claims:
        row = await store.read(claim.id)
        assert row is not None
        assert (row.token, row.owner, row.leased) == (claim.token, OTHER, True)
        assert row.due_at is not None
        assert moment_of(row.due_at - LONG) == claim.now
        assert (claim.takeover, claim.inbox_sent, claim.rev) == (False, 0, 1)
    since = await store.due_shards(SHOP)
    rest = await store.claim_due(0, SHOP, owner=OTHER, limit=10, lease=LONG)
    assert min(claim.was_due for claim in rest if claim.was_due is not None) == since[0]
    assert all(claim.was_due is not None for claim in (*claims, *rest))
    assert {claim.id for claim in rest} == {hand.id for hand in hands[3:]}
    assert await store.claim_due(0, SHOP, owner=OTHER, limit=10, lease=LONG) == []
    assert await store.due_shards(SHOP) == {}


async def test_of_many_definitions_the_oldest_sagas_are_claimed_whichever_they_are_of(store: Store) -> None:
    names = [f"name {number}" for number in range(40)]
    hands = [
        await start(store, owned=False, name=name) for name in (*names[:3], *names[:3], *names, names[0], names[0])
    ]
    definitions = [(name, 1) for name in reversed(names)]
    for first in (0, 7):
        claims = await store.claim_due(0, definitions, owner=OTHER, limit=7, lease=LONG)
        assert {claim.id for claim in claims} == {hand.id for hand in hands[first : first + 7]}
    rooms = {(names[0], 1): 1}
    rest = await store.claim_due(0, definitions, owner=OTHER, limit=99, lease=LONG, rooms=rooms)
    assert {claim.id for claim in rest} == {hand.id for hand in hands[14:-1]}
    (last,) = await store.claim_due(0, definitions, owner=OTHER, limit=99, lease=LONG)
    assert last.id == hands[-1].id


async def test_what_is_due_can_be_listed_without_claiming_it(store: Store) -> None:
    hands = [await start(store, owned=False) for _ in range(4)]
    await start(store, owned=False, name="audit")
    await start(store)
    first, second, third, fourth = [hand.id for hand in hands]
    assert await store.due_ids(0, SHOP, limit=3) == [first, second, third]
    assert await store.due_ids(0, SHOP, limit=3, passed_over=[second]) == [first, third, fourth]
    assert len(await store.claim_due(0, SHOP, owner=OTHER, limit=10, lease=LONG)) == 4
    assert await store.due_ids(0, SHOP, limit=3) == []


async def test_only_the_definitions_asked_for_are_claimed(store: Store) -> None:
    mine = await start(store, owned=False)
    newer = await start(store, owned=False, version=2)
    await start(store, owned=False, name="audit")
    assert [claim.id for claim in await store.claim_due(0, SHOP, owner=OTHER, limit=9, lease=LONG)] == [mine.id]
    both = [("shop", 2), ("unknown", 1)]
    assert [claim.id for claim in await store.claim_due(0, both, owner=OTHER, limit=9, lease=LONG)] == [newer.id]
    assert await store.due_shards(SHOP) == {}
    assert list(await store.due_shards([("audit", 1)])) == [0]


async def test_a_running_lease_is_nobody_else_s_and_one_that_ran_out_is(store: Store) -> None:
    held, over = await start(store), await start(store, lease=OVER)
    claims = await store.claim_due(0, SHOP, owner=OTHER, limit=9, lease=LONG)
    assert [(claim.id, claim.takeover) for claim in claims] == [(over.id, True)]
    assert await store.claim(held.id, owner=OTHER, lease=LONG) is None


async def test_a_saga_may_be_claimed_before_its_time_but_not_after_its_end(store: Store) -> None:
    waiting, ended = await start(store), await start(store)
    await store.commit(0, [waiting.failed()])
    await store.commit(0, [ended.write(AbortRequested(store.now(), Moment(0)))])
    assert await store.claim_due(0, SHOP, owner=OTHER, limit=9, lease=LONG) == []
    claim = await store.claim(waiting.id, owner=OTHER, lease=LONG)
    assert claim is not None
    assert (claim.takeover, claim.rev) == (False, 2)
    assert await store.claim(ended.id, owner=OTHER, lease=LONG) is None
    assert await store.claim(uuid4(), owner=OTHER, lease=LONG) is None


async def test_two_that_claim_at_once_get_different_sagas(store: Store) -> None:
    hands = [await start(store, owned=False) for _ in range(40)]
    claimed = await asyncio.gather(
        *(store.claim_due(0, SHOP, owner=owner, limit=25, lease=LONG) for owner in (OWNER, OTHER) for _ in range(2))
    )
    ids = [claim.id for claims in claimed for claim in claims]
    assert len(ids) == len(set(ids))
    again = await store.claim_due(0, SHOP, owner=OWNER, limit=99, lease=LONG)
    assert sorted([*ids, *(claim.id for claim in again)]) == sorted(hand.id for hand in hands)


async def test_a_lease_is_renewed_for_its_owner_and_token_alone(store: Store) -> None:
    mine, theirs, gone = await start(store), await start(store, lease=OVER), await start(store, lease=OVER)
    taken = await store.claim(theirs.id, owner=OTHER, lease=LONG)
    assert taken is not None
    assert mine.token is not None
    assert theirs.token is not None
    assert gone.token is not None
    await store.release(0, {gone.id: gone.token})
    held = {mine.id: mine.token, theirs.id: theirs.token, gone.id: gone.token, uuid4(): uuid4()}
    before = await store.read(mine.id)
    renewed = await store.renew(0, held, owner=OWNER, lease=timedelta(hours=1))
    assert renewed.inbox_sent == {mine.id: 0}
    after = await store.read(mine.id)
    assert before is not None
    assert after is not None
    assert after.due_at is not None
    assert moment_of(after.due_at - timedelta(hours=1)) == renewed.now
    assert (after.rev, after.token) == (before.rev, before.token)
    still_theirs = await store.read(theirs.id)
    assert still_theirs is not None
    assert still_theirs.token == taken.token
    earlier = {mine.id: uuid4()}  # of another claim by the same process
    assert (await store.renew(0, earlier, owner=OWNER, lease=timedelta(hours=2))).inbox_sent == {}
    assert (await store.renew(0, {mine.id: mine.token}, owner=OTHER, lease=LONG)).inbox_sent == {}


async def test_a_renewal_never_touches_a_saga_that_was_given_up(store: Store) -> None:
    hand = await start(store)
    assert hand.token is not None
    await store.commit(0, [hand.failed()])
    before = await store.read(hand.id)
    assert (await store.renew(0, {hand.id: hand.token}, owner=OWNER, lease=LONG)).inbox_sent == {}
    after = await store.read(hand.id)
    assert before is not None
    assert after is not None
    assert after.due_at == before.due_at


async def test_a_claim_given_back_is_due_at_once_as_it_was(store: Store) -> None:
    hand = await start(store, owned=False)
    (claim,) = await store.claim_due(0, SHOP, owner=OTHER, limit=1, lease=LONG)
    await store.release(0, {hand.id: uuid4()})
    row = await store.read(hand.id)
    assert row is not None
    assert row.token == claim.token, "a stale token gives nothing back"
    await store.release(0, {hand.id: claim.token})
    row = await store.read(hand.id)
    assert row is not None
    assert (row.token, row.owner, row.rev, row.leased) == (None, None, 1, False)
    (again,) = await store.claim_due(0, SHOP, owner=OWNER, limit=1, lease=LONG)
    assert not again.takeover
    assert again.token != claim.token


async def test_the_first_commit_after_a_claim_keeps_the_lease(store: Store) -> None:
    await start(store, owned=False)
    (claim,) = await store.claim_due(0, SHOP, owner=OTHER, limit=1, lease=LONG)
    hand = hand_of_claim(claim, OTHER)
    assert (await store.commit(0, [hand.resumed(claim.now)])).inbox_sent == {hand.id: 0}
    row = await store.read(hand.id)
    assert row is not None
    assert (row.token, row.owner, row.leased, row.rev) == (claim.token, OTHER, True, 2)


async def test_the_longest_wait_is_known(store: Store) -> None:
    assert (await store.due_work(SHOP)).oldest_due is None
    first = await start(store, owned=False)
    await start(store, owned=False)
    await start(store, owned=False, name="audit")
    row = await store.read(first.id)
    assert row is not None
    work = await store.due_work(SHOP)
    assert work.oldest_due == row.due_at
    assert work.now >= moment_of(row.created_at)


async def test_the_store_s_time_lags_and_never_leads(store: Store) -> None:
    for _ in range(20):
        estimate = store.now()
        new = new_saga(store)
        assert estimate <= (await store.insert(0, [new], lease=LONG)).now


async def test_a_saga_is_taken_from_its_owner_as_it_was_read_or_not_at_all(store: Store) -> None:
    hand = await start(store)
    assert hand.token is not None
    before = await store.read(hand.id)
    assert before is not None
    taken = await store.take(hand.id, token=hand.token, rev=1, owner=OTHER, lease=LONG)
    assert taken is not None
    assert before.due_at is not None
    assert (taken.lease_end, taken.inbox_sent) == (moment_of(before.due_at), 0)
    row = await store.read(hand.id)
    assert row is not None
    assert (row.token, row.owner, row.leased, row.rev, row.state) == (taken.token, OTHER, True, 1, before.state)
    assert (await store.commit(0, [hand.succeeded()])).inbox_sent == {}, "the old owner's word counts no more"
    assert (await store.renew(0, {hand.id: hand.token}, owner=OWNER, lease=LONG)).inbox_sent == {}
    assert await store.take(hand.id, token=hand.token, rev=1, owner=OTHER, lease=LONG) is None
    assert await store.take(hand.id, token=taken.token, rev=2, owner=OTHER, lease=LONG) is None
    assert await store.take(uuid4(), token=taken.token, rev=1, owner=OTHER, lease=LONG) is None


async def test_what_was_committed_meanwhile_is_not_taken(store: Store) -> None:
    hand = await start(store, lease=OVER)
    assert hand.token is not None
    await store.commit(0, [hand.succeeded()])
    assert await store.take(hand.id, token=hand.token, rev=1, owner=OTHER, lease=LONG) is None
    assert [entry.seq for entry in await store.journal(hand.id)] == [1, 2]
    assert [entry.seq for entry in await store.journal(hand.id, last=1)] == [1]
