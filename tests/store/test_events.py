"""Events for business keys: kept until a saga of the key is active, handed over once, and forgotten when they expire."""

from __future__ import annotations

from uuid import UUID, uuid4

from saga_fn.core.events import AbortRequested
from saga_fn.core.ids import Moment
from saga_fn.store.protocol import Store
from saga_fn.store.records import MOST_KEPT, Letter, Posted
from tests.store.given import LONG, SHOP, Hand, new_saga, start

KEY = ("shop", "order-1")


def letter(number: int = 1) -> Letter:
    return Letter(UUID(int=number), "event", b"%d" % number)


async def keep(store: Store, number: int = 1, *, key: tuple[str, str] = KEY, expires: Moment | None = None) -> Posted:
    return await store.kept_events.keep(0, key, letter(number), "paid", expires=expires)


async def begun(store: Store, *, owned: bool = True) -> Hand:
    return await start(store, owned=owned, aggregation_id=KEY[1])


async def test_an_event_is_kept_until_a_saga_of_its_key_is_active(store: Store) -> None:
    assert await keep(store) is Posted.STORED
    assert await store.kept_events.hand_over(0, KEY) is None
    (kept,) = await store.kept_events.read(0, None, None)
    assert (kept.name, kept.aggregation_id, kept.id, kept.event, kept.body) == (*KEY, UUID(int=1), "paid", b"1")
    assert (kept.expires_at - kept.sent_at).days == 7
    hand = await begun(store)
    assert await store.kept_events.hand_over(0, KEY) == hand.id
    assert await store.letters(hand.id) == [letter()]
    assert await store.kept_events.read(0, None, None) == []
    row = await store.read(hand.id)
    assert row is not None
    assert row.signals == 1, "its owner cannot give it up unread"


async def test_it_is_handed_over_once_and_known_ever_after(store: Store) -> None:
    hand = await begun(store)
    assert await keep(store) is Posted.STORED
    assert await keep(store) is Posted.KNOWN
    assert await store.kept_events.taker(0, KEY, UUID(int=1)) is None
    assert await store.kept_events.hand_over(0, KEY) == hand.id
    assert await store.kept_events.hand_over(0, KEY) is None
    assert await store.kept_events.taker(0, KEY, UUID(int=1)) == hand.id
    assert await store.kept_events.taker(0, KEY, UUID(int=2)) is None
    assert await keep(store) is Posted.KNOWN
    assert len(await store.letters(hand.id)) == 1


async def test_several_are_handed_over_in_the_order_they_came(store: Store) -> None:
    for number in (3, 1, 2):
        await keep(store, number)
    hand = await begun(store)
    assert await store.kept_events.hand_over(0, KEY) == hand.id
    assert {each.id for each in await store.letters(hand.id)} == {UUID(int=number) for number in (1, 2, 3)}
    row = await store.read(hand.id)
    assert row is not None
    assert row.signals == 3


async def test_a_saga_that_nobody_owns_is_due_when_something_is_handed_over(store: Store) -> None:
    hand = await begun(store)
    await store.commit(0, [hand.failed()])
    assert await store.due_shards(SHOP) == []
    await keep(store)
    await store.kept_events.hand_over(0, KEY)
    assert await store.due_shards(SHOP) == [0]


async def test_neither_another_key_nor_another_name_gets_it(store: Store) -> None:
    await keep(store, key=("shop", "order-2"))
    await keep(store, key=("other", "order-1"))
    await begun(store)
    assert await store.kept_events.hand_over(0, KEY) is None
    assert len(await store.kept_events.read(0, None, None)) == 2
    assert [each.name for each in await store.kept_events.read(0, "other", None)] == ["other"]
    assert [each.aggregation_id for each in await store.kept_events.read(0, None, "order-2")] == ["order-2"]
    assert await store.kept_events.read(0, "other", "order-2") == []


async def test_what_was_left_behind_is_found(store: Store) -> None:
    """Whoever was to hand it over has died."""
    await keep(store)
    assert await store.kept_events.stranded(0) == []
    hand = await begun(store)
    assert await store.kept_events.stranded(0) == [KEY]
    await store.kept_events.hand_over(0, KEY)
    assert await store.kept_events.stranded(0) == []
    hand.seen = 1
    await store.commit(0, [hand.write(AbortRequested(store.now(), Moment(0)))])
    await keep(store, 2)
    assert await store.kept_events.stranded(0) == [], "a saga that has ended takes nothing"


async def test_what_has_expired_is_gone(store: Store) -> None:
    past = Moment(store.now() - 1)
    assert await keep(store, expires=past) is Posted.STORED
    assert await store.kept_events.read(0, None, None) == []
    await begun(store)
    assert await store.kept_events.hand_over(0, KEY) is None
    assert await store.kept_events.stranded(0) == []
    assert await keep(store) is Posted.KNOWN
    await store.kept_events.drop_expired(0)
    assert await keep(store) is Posted.STORED, "it is forgotten"


async def test_no_more_are_kept_for_a_key_than_a_saga_takes(store: Store) -> None:
    for number in range(MOST_KEPT):
        assert await keep(store, number) is Posted.STORED
    assert await keep(store, 1000) is Posted.NOBODY
    assert await keep(store, 1) is Posted.KNOWN
    assert await keep(store, 1000, key=("shop", "order-2")) is Posted.STORED


async def test_a_saga_of_the_key_in_another_version_is_as_good(store: Store) -> None:
    await keep(store)
    new = new_saga(store, aggregation_id=KEY[1], version=2)
    await store.insert(0, [new], lease=LONG)
    assert await store.kept_events.hand_over(0, KEY) == new.id
    assert await store.read_answer(new.id, uuid4()) is None
