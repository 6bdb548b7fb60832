"""Events for business keys: kept until a saga of the key is active, handed over once, and forgotten when they expire."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

from saga_fn.core.events import AbortRequested
from saga_fn.core.ids import Moment
from saga_fn.store.protocol import Store
from saga_fn.store.records import (
    HANDED_OVER_AT_ONCE,
    MOST_KEPT,
    MOST_UNREAD,
    UNDELIVERED_AT_ONCE,
    InboxMessage,
    MessageStatus,
)
from tests.store.given import LONG, SHOP, Hand, new_saga, start

KEY = ("shop", "order-1")


def message(number: int = 1) -> InboxMessage:
    return InboxMessage(UUID(int=number), "event", b"%d" % number)


async def keep(
    store: Store, number: int = 1, *, key: tuple[str, str] = KEY, expires: Moment | None = None, for_next: bool = False
) -> MessageStatus:
    return await store.kept_events.keep(0, key, message(number), "paid", expires=expires, for_next=for_next)


async def begun(store: Store, *, owned: bool = True) -> Hand:
    return await start(store, owned=owned, aggregation_id=KEY[1])


async def test_an_event_is_kept_until_a_saga_of_its_key_is_active(store: Store) -> None:
    assert await keep(store) is MessageStatus.STORED
    assert await store.kept_events.hand_over(0, KEY) is None
    (kept,) = await store.kept_events.read(0, None, None)
    assert (kept.name, kept.aggregation_id, kept.id, kept.event, kept.body) == (*KEY, UUID(int=1), "paid", b"1")
    assert (kept.expires_at - kept.sent_at).days == 7
    hand = await begun(store)
    assert await store.kept_events.hand_over(0, KEY) == hand.id
    assert await store.messages(hand.id) == [message()]
    assert await store.kept_events.read(0, None, None) == []
    row = await store.read(hand.id)
    assert row is not None
    assert row.inbox_sent == 1, "its owner cannot give it up unread"


async def test_it_is_handed_over_once_and_known_ever_after(store: Store) -> None:
    hand = await begun(store)
    assert await keep(store) is MessageStatus.STORED
    assert await keep(store) is MessageStatus.DUPLICATE
    assert await store.kept_events.recipient_of(0, KEY, UUID(int=1)) is None
    assert await store.kept_events.hand_over(0, KEY) == hand.id
    assert await store.kept_events.hand_over(0, KEY) is None
    assert await store.kept_events.recipient_of(0, KEY, UUID(int=1)) == hand.id
    assert await store.kept_events.recipient_of(0, KEY, UUID(int=2)) is None
    assert await keep(store) is MessageStatus.DUPLICATE
    assert len(await store.messages(hand.id)) == 1


async def test_several_are_handed_over_in_the_order_they_came(store: Store) -> None:
    for number in (3, 1, 2):
        await keep(store, number)
    hand = await begun(store)
    assert await store.kept_events.hand_over(0, KEY) == hand.id
    assert {each.id for each in await store.messages(hand.id)} == {UUID(int=number) for number in (1, 2, 3)}
    row = await store.read(hand.id)
    assert row is not None
    assert row.inbox_sent == 3


async def test_a_saga_that_nobody_owns_is_due_when_something_is_handed_over(store: Store) -> None:
    hand = await begun(store)
    await store.commit(0, [hand.failed()])
    assert await store.due_shards(SHOP) == {}
    await keep(store)
    await store.kept_events.hand_over(0, KEY)
    assert list(await store.due_shards(SHOP)) == [0]


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
    """The process that was to hand it over has died."""
    await keep(store)
    assert await store.kept_events.undelivered(0) == []
    hand = await begun(store)
    assert await store.kept_events.undelivered(0) == [KEY]
    await store.kept_events.hand_over(0, KEY)
    assert await store.kept_events.undelivered(0) == []
    hand.inbox_seen = 1
    await store.commit(0, [hand.write(AbortRequested(store.now(), Moment(0)))])
    await keep(store, 2, for_next=True)
    assert await store.kept_events.undelivered(0) == [], "a saga that has ended takes nothing"


async def ended(store: Store, *, key: str = KEY[1]) -> Hand:
    hand = await start(store, aggregation_id=key)
    await store.commit(0, [hand.write(AbortRequested(store.now(), Moment(0)))])
    return hand


async def test_an_event_after_the_end_of_a_key_is_refused_unless_it_is_for_the_next_saga(store: Store) -> None:
    await ended(store)
    assert await keep(store) is MessageStatus.ENDED
    assert await store.kept_events.read(0, None, None) == []
    assert await keep(store, 2, for_next=True) is MessageStatus.STORED
    assert await store.kept_events.recipient_of(0, KEY, UUID(int=2)) is None
    assert await keep(store, 3, key=("shop", "order-2")) is MessageStatus.STORED, "no saga of this key has ended"
    hand = await begun(store)
    assert await keep(store, 4) is MessageStatus.STORED, "another saga of the key is active"
    assert await store.kept_events.hand_over(0, KEY) == hand.id
    assert {each.id for each in await store.messages(hand.id)} == {UUID(int=2), UUID(int=4)}


async def test_an_event_that_its_saga_did_not_get_is_not_given_to_the_next_one_of_the_key(store: Store) -> None:
    """The sender saw an active saga, which ended before the event could be handed over; or its starter died."""
    hand = await begun(store)
    assert await keep(store) is MessageStatus.STORED
    assert await keep(store, 2, for_next=True) is MessageStatus.STORED
    assert await store.kept_events.recipient_of(0, KEY, UUID(int=1)) is None
    await store.commit(0, [hand.write(AbortRequested(store.now(), Moment(0)))])
    assert await store.kept_events.recipient_of(0, KEY, UUID(int=1)) is MessageStatus.ENDED
    assert await store.kept_events.recipient_of(0, KEY, UUID(int=2)) is None
    following = await begun(store)
    assert await store.kept_events.hand_over(0, KEY) == following.id
    assert [each.id for each in await store.messages(following.id)] == [UUID(int=2)]


async def test_an_event_that_a_saga_got_by_its_id_is_known_when_it_comes_by_its_key(store: Store) -> None:
    """Both senders find room for it; the saga gets it once, and the second of them is told so."""
    hand = await begun(store)
    assert await keep(store) is MessageStatus.STORED
    assert await store.send(hand.id, message()) is MessageStatus.STORED
    assert await store.kept_events.hand_over(0, KEY) == hand.id
    assert await store.kept_events.recipient_of(0, KEY, UUID(int=1)) is MessageStatus.DUPLICATE
    assert len(await store.messages(hand.id)) == 1
    assert await keep(store, 2) is MessageStatus.STORED
    assert await store.kept_events.hand_over(0, KEY) == hand.id
    assert await store.send(hand.id, message(2)) is MessageStatus.DUPLICATE, "it came by its key first"
    assert await store.kept_events.recipient_of(0, KEY, UUID(int=2)) == hand.id


async def left_behind(store: Store, key: str, number: int = 1) -> Hand:
    """An event that its saga did not get before it ended; another saga of the key, which does not get it, is active."""
    hand = await begun_with(store, key)
    assert await keep(store, number, key=("shop", key)) is MessageStatus.STORED
    await store.commit(0, [hand.write(AbortRequested(store.now(), Moment(0)))])
    return await begun_with(store, key)


async def begun_with(store: Store, key: str) -> Hand:
    return await start(store, aggregation_id=key)


async def test_what_no_saga_will_get_is_found_no_more_takes_no_room_and_is_not_shown(store: Store) -> None:
    hand = await begun(store)
    for number in range(MOST_KEPT):
        assert await keep(store, number) is MessageStatus.STORED
    await store.commit(0, [hand.write(AbortRequested(store.now(), Moment(0)))])
    assert await store.kept_events.read(0, None, None) == []
    assert await keep(store, 1000, for_next=True) is MessageStatus.STORED, "what nobody gets takes no room"
    following = await begun(store)
    assert await store.kept_events.recipient_of(0, KEY, UUID(int=1)) is MessageStatus.ENDED, (
        "though another saga is active by now"
    )
    assert await store.kept_events.recipient_of(0, KEY, UUID(int=1000)) is None
    assert await keep(store, 1001) is MessageStatus.STORED
    assert [each.id.int for each in await store.kept_events.read(0, None, None)] == [1000, 1001]
    assert await store.kept_events.undelivered(0) == [KEY]
    assert await store.kept_events.hand_over(0, KEY) == following.id
    assert await store.kept_events.undelivered(0) == []
    assert await store.kept_events.discard(0, KEY, None) == 0, "what is not shown is not counted"


async def test_keys_that_get_nothing_keep_no_other_from_being_found(store: Store) -> None:
    for number in range(UNDELIVERED_AT_ONCE + 1):
        await left_behind(store, f"a-{number}")
    await begun(store)
    await keep(store)
    assert await store.kept_events.undelivered(0) == [KEY]


async def test_undelivered_keys_are_found_in_order_and_some_at_a_time(store: Store) -> None:
    keys = [("shop", f"order-{number:03}") for number in range(UNDELIVERED_AT_ONCE + 2)]
    for key in reversed(keys):
        await begun_with(store, key[1])
        for number in (1, 2):
            await keep(store, number, key=key)
    page = await store.kept_events.undelivered(0)
    assert page == keys[:UNDELIVERED_AT_ONCE]
    assert await store.kept_events.undelivered(0, after=page[-1]) == keys[UNDELIVERED_AT_ONCE:]
    assert await store.kept_events.undelivered(0, after=keys[-1]) == []


async def test_what_cannot_be_handed_over_takes_no_place_of_what_can(store: Store) -> None:
    """More events than one statement hands over stand before it: no saga will get them."""
    for number in range(HANDED_OVER_AT_ONCE // MOST_KEPT + 1):
        hand = await begun(store)
        for each in range(MOST_KEPT):
            assert await keep(store, 1 + number * MOST_KEPT + each) is MessageStatus.STORED
        await store.commit(0, [hand.write(AbortRequested(store.now(), Moment(0)))])
    hand = await begun(store)
    assert await keep(store, 1000) is MessageStatus.STORED
    assert await store.kept_events.hand_over(0, KEY) == hand.id
    assert [each.id.int for each in await store.messages(hand.id)] == [1000]


async def test_what_an_inbox_has_no_room_for_stays_kept_and_is_handed_over_later(store: Store) -> None:
    """Else a flood by the business key would fill the inbox without a bound, and what is behind it would never be read."""
    hand = await begun(store)
    for number in (5000, 5001, 5002):
        assert await keep(store, number) is MessageStatus.STORED
    for number in range(MOST_UNREAD):
        await store.send(hand.id, message(number))
    assert await store.kept_events.hand_over(0, KEY) is None
    assert await store.kept_events.recipient_of(0, KEY, UUID(int=5000)) is None
    assert [each.id.int for each in await store.kept_events.read(0, None, None)] == [5000, 5001, 5002]
    for number in range(2):
        await store.answer(hand.id, UUID(int=number), "applied")
    assert await store.kept_events.hand_over(0, KEY) == hand.id
    assert [each.id.int for each in await store.kept_events.read(0, None, None)] == [5002]
    assert len(await store.messages(hand.id)) == MOST_UNREAD


async def test_kept_events_can_be_discarded(store: Store) -> None:
    for number in (1, 2):
        await keep(store, number)
    await store.kept_events.keep(0, KEY, message(3), "shipped", expires=None, for_next=False)
    await keep(store, 4, key=("shop", "order-2"))
    assert await store.kept_events.discard(0, KEY, "nothing") == 0
    assert await store.kept_events.discard(0, KEY, "paid") == 2
    assert [each.event for each in await store.kept_events.read(0, *KEY)] == ["shipped"]
    assert await store.kept_events.discard(0, KEY, None) == 1
    assert len(await store.kept_events.read(0, None, None)) == 1, "that of the other key"
    hand = await begun(store)
    await keep(store, 5)
    await store.kept_events.hand_over(0, KEY)
    assert await store.kept_events.discard(0, KEY, None) == 0
    assert len(await store.messages(hand.id)) == 1, "a saga has got it"


async def test_a_name_is_known_as_soon_as_a_saga_of_it_has_a_key(store: Store) -> None:
    await start(store)
    assert not await store.kept_events.knows(0, "shop"), "no event for a key can reach a saga without one"
    hand = await begun(store)
    assert await store.kept_events.knows(0, "shop")
    await store.commit(0, [hand.write(AbortRequested(store.now(), Moment(0)))])
    assert await store.kept_events.knows(0, "shop"), "though it has ended"
    assert not await store.kept_events.knows(0, "other")


async def test_no_event_for_a_key_is_kept_for_longer_than_a_week(store: Store) -> None:
    await keep(store, expires=Moment(store.now() + 30 * 24 * 3600 * 1_000_000))
    (kept,) = await store.kept_events.read(0, None, None)
    assert (kept.expires_at - kept.sent_at).days == 7


async def test_expired_events_are_forgotten_some_at_a_time_and_the_number_is_told(store: Store) -> None:
    past = Moment(store.now() - 1)
    for number in range(3):
        await keep(store, number, expires=past)
    assert await store.kept_events.drop_expired(0) == 3
    assert await store.kept_events.drop_expired(0) == 0


async def test_one_event_stored_by_two_senders_at_once_is_known_to_one_of_them(store: Store) -> None:
    for number in range(50):
        answers = await asyncio.gather(keep(store, number), keep(store, number))
        assert set(answers) == {MessageStatus.STORED, MessageStatus.DUPLICATE}
        assert await store.kept_events.discard(0, KEY, None) == 1


async def test_a_message_sent_again_is_not_counted_again(store: Store) -> None:
    hand = await begun(store)
    for _ in range(3):
        await store.send(hand.id, message())
    row = await store.read(hand.id)
    assert row is not None
    assert row.inbox_sent == 1, "repetitions keep no owner from committing"


async def test_an_inbox_takes_no_event_while_too_many_are_unread_but_an_operators_message(store: Store) -> None:
    hand = await begun(store)
    for number in range(MOST_UNREAD):
        assert await store.send(hand.id, message(number)) is MessageStatus.STORED
    assert await store.send(hand.id, message(5000)) is MessageStatus.FULL
    assert await store.send(hand.id, message(0)) is MessageStatus.DUPLICATE
    assert await store.send(hand.id, InboxMessage(UUID(int=5001), "retry_step", b"{}")) is MessageStatus.STORED
    for number in range(2):
        await store.answer(hand.id, UUID(int=number), "applied")
    assert await store.send(hand.id, message(5000)) is MessageStatus.STORED


async def test_a_saga_is_made_due_for_messages_that_nobody_has_counted(store: Store) -> None:
    owned = await begun(store)
    await store.rouse(owned.id)
    row = await store.read(owned.id)
    assert row is not None
    assert (row.inbox_sent, row.leased) == (1, True), "its owner reads before it gives the saga up"
    owned.inbox_seen = 1
    await store.commit(0, [owned.failed()])
    assert await store.due_shards(SHOP) == {}
    await store.rouse(owned.id)
    assert list(await store.due_shards(SHOP)) == [0]
    over = await ended(store, key="order-2")
    await store.rouse(over.id)
    row = await store.read(over.id)
    assert row is not None
    assert (row.inbox_sent, row.due_at) == (0, None)


async def test_what_has_expired_is_gone(store: Store) -> None:
    past = Moment(store.now() - 1)
    assert await keep(store, expires=past) is MessageStatus.STORED
    assert await store.kept_events.read(0, None, None) == []
    await begun(store)
    assert await store.kept_events.hand_over(0, KEY) is None
    assert await store.kept_events.undelivered(0) == []
    assert await keep(store) is MessageStatus.DUPLICATE
    await store.kept_events.drop_expired(0)
    assert await keep(store) is MessageStatus.STORED, "it is forgotten"


async def test_events_that_a_saga_has_taken_leave_room_for_others(store: Store) -> None:
    for number in range(MOST_KEPT):
        assert await keep(store, number) is MessageStatus.STORED
    await begun(store)
    while await store.kept_events.hand_over(0, KEY) is not None:
        pass
    assert await keep(store, 1000) is MessageStatus.STORED


async def test_no_more_are_kept_for_a_key_than_a_saga_takes(store: Store) -> None:
    for number in range(MOST_KEPT):
        assert await keep(store, number) is MessageStatus.STORED
    assert await keep(store, 1000) is MessageStatus.FULL
    assert await keep(store, 1) is MessageStatus.DUPLICATE
    assert await keep(store, 1000, key=("shop", "order-2")) is MessageStatus.STORED


async def test_a_saga_of_the_key_in_another_version_is_as_good(store: Store) -> None:
    await keep(store)
    new = new_saga(store, aggregation_id=KEY[1], version=2)
    await store.insert(0, [new], lease=LONG)
    assert await store.kept_events.hand_over(0, KEY) == new.id
    assert await store.read_answer(new.id, uuid4()) is None
