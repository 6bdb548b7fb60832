"""Outgoing messages: written with the commit that makes them true, and taken by one process at a time, the first of a saga first."""

from __future__ import annotations

from datetime import timedelta
from itertools import product
from uuid import UUID, uuid4

import msgspec
import pytest

from saga_fn.core.ids import Moment
from saga_fn.core.projection import SagaStatus
from saga_fn.store.eras import era_of
from saga_fn.store.ids import shard_of
from saga_fn.store.protocol import Store
from saga_fn.store.records import ANSWER_BYTES, EndedSaga, FailedMessage, HeldMessage, OutgoingRow, SagaWrite
from tests.store.given import LONG, OVER, SHOP, A, B, Hand, hand_of, new_saga, start

MINE, OTHERS = UUID(int=71), UUID(int=72)
NOBODY = None
PAID = "orders.paid"


def row(
    rev: int,
    n: int = 0,
    *,
    topic: str = PAID,
    token: UUID | None = MINE,
    lease: timedelta = LONG,
    error: str | None = None,
    body: bytes | None = None,
) -> OutgoingRow:
    body = body or f'{{"rev":{rev}}}'.encode()
    return OutgoingRow(rev, n, topic, "order-7", b'{"h":"1"}', body, token, lease, made=0.0)


def bringing(write: SagaWrite, *rows: OutgoingRow) -> SagaWrite:
    return msgspec.structs.replace(write, outgoing=rows)


async def committed(store: Store, hand: Hand, write: SagaWrite) -> int | None:
    """The revision of the last message that was there before, as the commit tells it."""
    done = await store.commit(shard_of(hand.id, store.shards), [write])
    assert write.id in done.inbox_sent
    return done.earlier.get(write.id)


async def places(store: Store, saga_id: UUID) -> list[tuple[int, int]]:
    return [(each.rev, each.n) for each in await store.outgoing.of_saga(saga_id, most=100)]


async def claimed(store: Store, *, topic: str = PAID, token: UUID = OTHERS, most: int = 100) -> list[HeldMessage]:
    return (await store.outgoing.claim(0, topic, token=token, lease=LONG, most=most))[0]


async def two_messages(store: Store, *, token: UUID | None = MINE, lease: timedelta = LONG) -> Hand:
    """A saga with the messages of its first step, of revision 2 and of its second, of revision 3; it has completed."""
    hand = await start(store)
    first = hand.succeeded(A)
    assert await committed(store, hand, bringing(first, row(2, token=token, lease=lease))) is None
    hand = hand.after(first)
    second = hand.succeeded(B)
    assert await committed(store, hand, bringing(second, row(3, token=token, lease=lease))) == 2
    return hand.after(second)


async def test_a_message_is_written_with_its_commit_and_only_with_it(store: Store) -> None:
    hand = await start(store)
    write = bringing(hand.succeeded(A), row(2), row(2, 1, topic="other"))
    lost = msgspec.structs.replace(write, token=uuid4())
    await store.commit(0, [lost])
    assert await places(store, hand.id) == []
    assert await committed(store, hand, write) is None
    found = await store.outgoing.of_saga(hand.id, most=100)
    assert [(each.rev, each.n, each.topic, each.key, each.headers, each.body) for each in found] == [
        (2, 0, PAID, "order-7", b'{"h":"1"}', b'{"rev":2}'),
        (2, 1, "other", "order-7", b'{"h":"1"}', b'{"rev":2}'),
    ]
    assert [(each.attempts, each.error, each.dead_at, each.is_held) for each in found] == [(0, None, None, True)] * 2
    assert await store.outgoing.of_saga(hand.id, most=1) == found[:1]


@pytest.mark.parametrize("kinds", list(product((0, 1, 2), repeat=3)))
async def test_messages_that_are_written_together_keep_what_is_their_own(store: Store, kinds: tuple[int, ...]) -> None:
    """Each mixture of usual messages with two others: 1 has no holder, 2 another topic, another place and no headers."""
    hands = [await start(store) for _ in kinds]
    usual, free, other = row(2), row(2, token=NOBODY), row(2, 3, topic="other")
    given = [(usual, free, msgspec.structs.replace(other, headers=None))[kind] for kind in kinds]
    writes = [bringing(hand.succeeded(A), each) for hand, each in zip(hands, given, strict=True)]
    done = await store.commit(0, sorted(writes, key=lambda write: write.id))
    assert set(done.inbox_sent) == {hand.id for hand in hands}
    found = [(await store.outgoing.of_saga(hand.id, most=9))[0] for hand in hands]
    assert [(each.n, each.topic, each.headers, each.is_held) for each in found] == [
        (each.n, each.topic, each.headers, each.token is not None) for each in given
    ]


@pytest.mark.parametrize("counts", list(product((0, 1, 2), repeat=3)))
async def test_sagas_that_are_written_together_have_each_its_own_messages(
    store: Store, counts: tuple[int, ...]
) -> None:
    hands = [await start(store) for _ in counts]
    for number, step in enumerate((A, B), 2):
        writes = [hand.succeeded(step) for hand in hands]
        given = [[row(number, n) for n in range(count)] for count in counts]
        together = [bringing(write, *rows) for write, rows in zip(writes, given, strict=True)]
        done = await store.commit(0, sorted(together, key=lambda write: write.id))
        assert set(done.inbox_sent) == {hand.id for hand in hands}
        earlier = {hand.id: number - 1 for hand, count in zip(hands, counts, strict=True) if count}
        assert {saga: rev for saga, rev in done.earlier.items() if saga in earlier} == (earlier if number == 3 else {})
        hands = [hand.after(write) for hand, write in zip(hands, writes, strict=True)]
    assert [await places(store, hand.id) for hand in hands] == [
        [(number, n) for number in (2, 3) for n in range(count)] for count in counts
    ]


async def test_a_message_is_written_with_its_start_and_only_with_it(store: Store) -> None:
    new = msgspec.structs.replace(new_saga(store, aggregation_id="7"), outgoing=(row(1),))
    shard = shard_of(new.id, store.shards)
    await store.insert(shard, [new], lease=LONG)
    twin = msgspec.structs.replace(new_saga(store, aggregation_id="7"), outgoing=(row(1),))
    inserted = await store.insert(shard, [twin], lease=LONG)
    assert inserted.ids == frozenset()
    assert (await places(store, new.id), await places(store, twin.id)) == ([(1, 0)], [])
    hand = hand_of(new)
    assert await committed(store, hand, bringing(hand.succeeded(A), row(2))) == 1


async def test_a_commit_tells_of_the_last_of_the_messages_that_were_there_before(store: Store) -> None:
    new = msgspec.structs.replace(new_saga(store, aggregation_id="7"), outgoing=(row(1),))
    await store.insert(shard_of(new.id, store.shards), [new], lease=LONG)
    hand = hand_of(new)
    first = hand.succeeded(A)
    assert await committed(store, hand, bringing(first, row(2), row(2, 1))) == 1
    hand = hand.after(first)
    assert await committed(store, hand, bringing(hand.succeeded(B), row(3))) == 2


async def test_a_commit_tells_of_an_earlier_message_only_until_that_is_published(store: Store) -> None:
    hand = await start(store)
    first = hand.succeeded(A)
    await committed(store, hand, bringing(first, row(2)))
    await store.outgoing.confirm(0, [(hand.id, 2, 0)])
    hand = hand.after(first)
    assert await committed(store, hand, bringing(hand.succeeded(B), row(3))) is None


async def test_a_message_that_a_process_holds_is_taken_by_no_other_before_its_lease_is_over(store: Store) -> None:
    await two_messages(store)
    assert await store.outgoing.due_topics() == []
    assert await claimed(store) == []
    hand = await two_messages(store, lease=OVER)
    assert await store.outgoing.due_topics() == [(0, PAID)]
    (held,) = await claimed(store)
    assert (held.saga_id, held.rev, held.saga_name, held.version, held.attempts) == (hand.id, 2, "shop", 1, 0)
    assert await claimed(store) == []
    assert await store.outgoing.due_topics() == []


async def test_a_message_of_nobody_is_due_at_once(store: Store) -> None:
    hand = await two_messages(store, token=NOBODY)
    assert [(held.saga_id, held.rev) for held in await claimed(store)] == [(hand.id, 2)]


async def test_only_the_first_message_of_a_saga_is_claimed_whatever_its_topic(store: Store) -> None:
    hand = await start(store)
    write = bringing(hand.succeeded(A), row(2, 0, topic="first", token=NOBODY), row(2, 1, token=NOBODY))
    await committed(store, hand, write)
    assert await claimed(store) == []
    assert await store.outgoing.due_topics() == [(0, "first")], "the one that waits is looked at again later"
    assert len(await claimed(store, topic="first")) == 1
    await store.outgoing.confirm(0, [(hand.id, 2, 0)])
    (next_one,) = await store.outgoing.take(0, [hand.id], token=OTHERS, lease=LONG)
    assert next_one.n == 1


async def test_the_next_message_is_taken_once_the_first_is_published_unless_somebody_holds_it(store: Store) -> None:
    hand = await two_messages(store)
    assert await store.outgoing.take(0, [hand.id], token=OTHERS, lease=LONG) == []
    (mine,) = await store.outgoing.take(0, [hand.id], token=MINE, lease=LONG)
    assert mine.rev == 2
    await store.outgoing.confirm(0, [(hand.id, 2, 0)])
    assert await store.outgoing.take(0, [hand.id], token=OTHERS, lease=LONG) == []
    await store.outgoing.release(0, [hand.id], token=OTHERS)
    assert await store.outgoing.take(0, [hand.id], token=OTHERS, lease=LONG) == []
    await store.outgoing.release(0, [hand.id], token=MINE)
    assert [held.rev for held in await store.outgoing.take(0, [hand.id], token=OTHERS, lease=LONG)] == [3]


def failed(hand: Hand, rev: int, *, is_dead: bool = False, delay: timedelta = LONG) -> FailedMessage:
    return FailedMessage(hand.id, rev, 0, delay, "refused", is_dead)


async def test_no_further_one_is_taken_once_those_taken_are_as_large_as_an_answer_may_be(store: Store) -> None:
    """Nor is one read that only waits: an answer has seconds to come, and the process has room for so much."""
    hands = [await start(store) for _ in range(5)]
    half = bytes(ANSWER_BYTES // 2)
    for hand in hands[:4]:
        await committed(
            store,
            hand,
            bringing(hand.succeeded(A), row(2, token=NOBODY, body=half), row(2, 1, token=NOBODY, body=half)),
        )
    await committed(store, hands[4], bringing(hands[4].succeeded(A), row(2, token=NOBODY)))
    ids = [hand.id for hand in hands]
    assert len(await store.outgoing.take(0, ids, token=MINE, lease=OVER)) in {2, 3}
    first, more = await store.outgoing.claim(0, PAID, token=OTHERS, lease=LONG, most=20)
    assert more
    assert 2 <= len(first) <= 3
    assert sum(len(each.body) for each in first) < 3 * len(half)
    second, more = await store.outgoing.claim(0, PAID, token=OTHERS, lease=LONG, most=20)
    assert sorted(each.saga_id for each in [*first, *second]) == sorted(ids)
    third, more = await store.outgoing.claim(0, PAID, token=OTHERS, lease=LONG, most=20)
    assert (third, more) == ([], False)


async def test_a_failed_attempt_is_counted_and_the_message_waits_with_those_behind_it(store: Store) -> None:
    hand = await two_messages(store)
    await store.outgoing.fail(0, [failed(hand, 2)], token=OTHERS, blocks=True)
    assert (await store.outgoing.of_saga(hand.id, most=1))[0].attempts == 0, "it is not theirs"
    await store.outgoing.fail(0, [failed(hand, 2)], token=MINE, blocks=True)
    first, second = await store.outgoing.of_saga(hand.id, most=2)
    assert (first.attempts, first.error, first.is_held, first.dead_at) == (1, "refused", False, None)
    assert await store.outgoing.take(0, [hand.id], token=MINE, lease=LONG) == [], "it waits for its next attempt"
    assert second.is_held


async def test_a_dead_message_holds_those_behind_it_until_it_is_tried_again(store: Store) -> None:
    hand = await two_messages(store, lease=OVER)
    (held,) = await claimed(store)
    at_once = failed(hand, held.rev, is_dead=True, delay=OVER)
    await store.outgoing.fail(0, [at_once], token=OTHERS, blocks=True)
    assert await claimed(store) == []
    assert await store.outgoing.take(0, [hand.id], token=OTHERS, lease=LONG) == []
    (dead,) = await store.outgoing.dead(most=10)
    assert (dead.saga_id, dead.rev, dead.error) == (hand.id, 2, "refused")
    assert (await store.outgoing.counts()).dead == 1
    assert await store.outgoing.redrive(hand.id, [(2, 0), (3, 0), (9, 0)]) == 1
    assert await store.outgoing.redrive(hand.id, [(2, 0)]) == 0, "it is dead no more"
    (again,) = await claimed(store)
    assert (again.rev, again.attempts) == (2, 0)


async def test_a_dead_message_that_is_discarded_lets_those_behind_it_go_on_at_once(store: Store) -> None:
    hand = await two_messages(store, lease=OVER)
    await claimed(store)
    assert await store.outgoing.discard(hand.id, [(2, 0)]) == 0, "only what is dead is discarded"
    await store.outgoing.fail(0, [failed(hand, 2, is_dead=True)], token=OTHERS, blocks=True)
    await claimed(store)
    assert await store.outgoing.discard(hand.id, [(2, 0)]) == 1
    assert [held.rev for held in await claimed(store)] == [3]


async def test_a_message_that_only_waits_is_discarded_if_that_is_asked_for_and_nobody_holds_it(store: Store) -> None:
    hand = await two_messages(store, lease=OVER)
    await claimed(store)
    assert await store.outgoing.discard(hand.id, [(2, 0)], waiting=True) == 0, "it may be on its way to a broker"
    await store.outgoing.release(0, [hand.id], token=OTHERS)
    assert await store.outgoing.discard(hand.id, [(3, 0)]) == 0
    assert await store.outgoing.discard(hand.id, [(2, 0), (9, 0)], waiting=True) == 1
    assert [held.rev for held in await claimed(store)] == [3]


async def test_a_dead_message_that_blocks_nothing_is_gone_past(store: Store) -> None:
    hand = await two_messages(store, lease=OVER)
    await claimed(store)
    await store.outgoing.fail(0, [failed(hand, 2, is_dead=True)], token=OTHERS, blocks=False)
    assert [held.rev for held in await store.outgoing.take(0, [hand.id], token=OTHERS, lease=LONG)] == [3]
    assert (await store.outgoing.counts()).dead == 1


async def test_they_are_counted(store: Store) -> None:
    assert (await store.outgoing.counts()).oldest is None
    await two_messages(store)
    counts = await store.outgoing.counts()
    assert (counts.waiting, counts.dead) == (2, 0)
    assert counts.oldest is not None


async def test_a_saga_with_a_message_that_is_not_published_is_not_deleted(store: Store) -> None:
    hand = await two_messages(store)
    record = await store.read(hand.id)
    assert record is not None
    far = Moment(store.now() + 3_600_000_000)

    async def ended() -> list[UUID]:
        found = await store.deletion.ended(
            0, SHOP[0], SagaStatus.COMPLETED, before=far, acknowledged_only=False, sure=far, plans=[], limit=10
        )
        return await store.deletion.delete(0, found, keep=None)

    async def by_force() -> list[UUID]:
        return await store.deletion.delete(0, [EndedSaga(hand.id, record.rev, era_of(store.now()))], keep=None)

    assert await ended() == []
    assert await by_force() == [], "it is asked again when it is deleted"
    await store.outgoing.confirm(0, [(hand.id, 2, 0), (hand.id, 3, 0)])
    assert await ended() == [hand.id]
