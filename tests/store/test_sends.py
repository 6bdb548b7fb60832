"""Events for many sagas in one statement: each is judged by itself, and may claim its saga."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from saga_fn.core.events import RetryRequested
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.plan import Plan, PlannedStep
from saga_fn.core.projection import Projection, SagaStatus, WaitReason
from saga_fn.engine.drive.incoming import Incoming
from saga_fn.engine.drive.message import message_of
from saga_fn.store.postgres import PostgresStore
from saga_fn.store.protocol import Store
from saga_fn.store.records import (
    MOST_UNREAD,
    Definition,
    EventToSend,
    Fate,
    InboxMessage,
    KeyedEvent,
    MessageStatus,
    NewSaga,
    Recipient,
    SendStatus,
    Sent,
    Sought,
    time_of,
)
from tests.store.given import LONG, OTHER, OWNER, PLAN, SHOP, B, new_saga, start

HERE: frozenset[Definition] = frozenset({("shop", 1, PLAN.id)})
ELSEWHERE: frozenset[Definition] = frozenset({("shop", 1, Plan.of(PlannedStep(StepId("x"))).id), ("shop", 2, PLAN.id)})


def message(body: bytes = b"{}") -> InboxMessage:
    return InboxMessage(uuid4(), "event", body)


async def waiting(store: Store, waits: WaitReason = WaitReason.EVENT, *, key: str | None = None) -> NewSaga:
    """A saga that no process owns, and that waits for that."""
    later = Moment(store.now() + 3_600_000_000)
    due = later if waits & (WaitReason.TIMER | WaitReason.RETRY) else None
    saga = msgspec.structs.replace(
        new_saga(store, owned=False, aggregation_id=key),
        projection=Projection(SagaStatus.SUSPENDED, waits, due, 0, None, None),
    )
    await store.insert(0, [saga], lease=LONG)
    return saga


async def send(store: Store, *events: EventToSend) -> list[Sent]:
    sent = await store.send_many(0, events, owner=OTHER, lease=LONG)
    return [sent[event.saga_id] for event in events]


async def test_events_to_many_sagas_are_each_judged_by_itself(store: Store) -> None:
    free, other = await waiting(store), await waiting(store)
    owned = await start(store)
    twice = message()
    await store.send(other.id, twice)
    sent = await send(
        store,
        EventToSend(free.id, message(b"1"), HERE),
        EventToSend(owned.id, message(b"2"), HERE | ELSEWHERE),
        EventToSend(other.id, twice, HERE),
        EventToSend(uuid4(), message(), HERE),
    )
    assert [each.status for each in sent] == [
        SendStatus.STORED,
        SendStatus.STORED,
        SendStatus.DUPLICATE,
        SendStatus.NO_SAGA,
    ]
    assert [each.is_owned for each in sent] == [False, True, False, False]
    assert [each.body for each in await store.messages(free.id)] == [b"1"]
    assert [each.body for each in await store.messages(owned.id)] == [b"2"]
    for saga_id, count in ((free.id, 1), (owned.id, 1), (other.id, 1)):
        row = await store.read(saga_id)
        assert row is not None
        assert row.inbox_sent == count
    assert list(await store.due_shards(SHOP)) == [0]


async def test_a_saga_without_an_owner_comes_as_the_event_has_left_it(store: Store) -> None:
    """So that its sender may fold the event without reading anything."""
    free, crowded = await waiting(store), await waiting(store)
    owned = await start(store)
    await store.send(crowded.id, message())
    sent = await send(store, *(EventToSend(saga, message(), HERE) for saga in (free.id, crowded.id, owned.id)))
    assert [each.free is None for each in sent] == [False, True, True], "not if others wait, or a process owns it"
    seen, row = sent[0].free, await store.read(free.id)
    assert seen is not None
    assert row is not None
    known = {name: value for name, value in msgspec.structs.asdict(seen).items() if name != "now"}
    assert known == {name: getattr(row, name) for name in known}
    assert seen.inbox_sent == 1
    claimed = (await send(store, EventToSend((await waiting(store)).id, message(), HERE, uuid4())))[0]
    assert claimed.claim is not None
    assert claimed.free is None


async def test_the_fates_of_many_events_come_in_one_look(store: Store) -> None:
    read, unread = message(), message()
    ended, owned, free = await start(store), await start(store), await waiting(store, WaitReason.PARKED)
    for saga in (ended.id, owned.id, free.id):
        await store.send(saga, unread)
    await store.send(owned.id, read)
    await store.answer(owned.id, read.id, "accepted")
    first = ended.succeeded()
    await store.commit(0, [first])
    await store.commit(0, [msgspec.structs.replace(ended.after(first).succeeded(B), inbox_seen=1)])
    shop = ("shop", 1, PLAN.id)
    wanted = [(ended.id, unread.id), (uuid4(), read.id), (owned.id, read.id), (owned.id, unread.id), (free.id, read.id)]
    assert await store.fates(0, wanted) == [
        Fate(None, has_ended=True, is_free=False, definition=shop, wakes_on_message=True),
        None,
        Fate("accepted", has_ended=False, is_free=False, definition=shop, wakes_on_message=True),
        Fate(None, has_ended=False, is_free=False, definition=shop, wakes_on_message=True),
        Fate(None, has_ended=False, is_free=True, definition=shop, wakes_on_message=True),
    ]
    assert await store.fates(0, []) == []


async def test_an_event_is_for_the_definitions_alone_that_its_sender_has_judged_it_by(store: Store) -> None:
    saga = await waiting(store)
    for fits in (ELSEWHERE, frozenset[Definition]()):
        (sent,) = await send(store, EventToSend(saga.id, message(), fits, uuid4()))
        assert sent == Sent(SendStatus.UNFIT, ("shop", 1, PLAN.id))
    assert await store.messages(saga.id) == []
    row = await store.read(saga.id)
    assert row is not None
    assert (row.inbox_sent, row.owner, row.due_at) == (0, None, None)


async def test_a_saga_that_has_ended_gets_none_and_knows_what_it_has_got(store: Store) -> None:
    hand = await start(store)
    got, unread = message(), message()
    for each in (got, unread):
        assert await store.send(hand.id, each) is MessageStatus.STORED
    first = hand.succeeded()
    await store.commit(0, [first])
    ends = hand.after(first).succeeded(B)
    await store.commit(0, [msgspec.structs.replace(ends, answers=((got.id, "accepted"),), inbox_seen=2)])
    statuses = [
        (await send(store, EventToSend(hand.id, each, HERE, uuid4())))[0].status for each in (got, unread, message())
    ]
    assert statuses == [SendStatus.DUPLICATE, SendStatus.ENDED, SendStatus.ENDED]


@pytest.mark.parametrize("claims", [True, False])
async def test_an_event_that_is_known_is_not_counted_again_and_its_saga_is_not_claimed(
    store: Store, claims: bool
) -> None:
    saga, known = await waiting(store), message()
    await store.send(saga.id, known)
    (sent,) = await send(store, EventToSend(saga.id, known, HERE, uuid4() if claims else None))
    assert (sent.status, sent.claim) == (SendStatus.DUPLICATE, None)
    row = await store.read(saga.id)
    assert row is not None
    assert (row.inbox_sent, row.owner) == (1, None)


@pytest.mark.parametrize("claims", [True, False])
async def test_a_full_inbox_takes_no_event_and_its_saga_is_not_claimed(store: Store, claims: bool) -> None:
    saga = await waiting(store)
    for _ in range(MOST_UNREAD):
        await store.send(saga.id, message())
    (sent,) = await send(store, EventToSend(saga.id, message(), HERE, uuid4() if claims else None))
    assert (sent.status, sent.claim) == (SendStatus.FULL, None)
    row = await store.read(saga.id)
    assert row is not None
    assert (row.inbox_sent, row.owner) == (MOST_UNREAD, None)


@pytest.mark.parametrize(
    "waits", [WaitReason.EVENT, WaitReason.EVENT | WaitReason.TIMER, WaitReason.EVENT | WaitReason.RETRY], ids=repr
)
async def test_an_event_with_a_token_claims_a_saga_that_waits_for_an_event(store: Store, waits: WaitReason) -> None:
    saga, token, event = await waiting(store, waits, key="key"), uuid4(), message()
    (sent,) = await send(store, EventToSend(saga.id, event, HERE, token))
    assert (sent.status, sent.is_alone, sent.is_owned) == (SendStatus.STORED, True, True)
    claim = sent.claim
    assert claim is not None
    row = await store.read(saga.id)
    assert row is not None
    assert (row.token, row.owner, row.leased, row.inbox_sent) == (token, OTHER, True, 1)
    named = ("id", "name", "version", "aggregation_id", "trace_id", "plan", "state", "rev", "token", "inbox_sent")
    assert [getattr(claim, name) for name in named] == [getattr(row, name) for name in named]
    assert (claim.last_error, claim.takeover, claim.created_at) == (None, False, row.created_at)
    assert claim.now <= row.now
    assert await store.claim_due(0, SHOP, owner=OWNER, limit=9, lease=LONG) == []
    await store.release(0, {saga.id: token})
    assert [each.id for each in await store.claim_due(0, SHOP, owner=OWNER, limit=9, lease=LONG)] == [saga.id]


@pytest.mark.parametrize(
    "waits",
    [
        WaitReason.TIMER,
        WaitReason.RETRY,
        WaitReason.PARKED,
        WaitReason.EVENT | WaitReason.PARKED,
        WaitReason.PARKED | WaitReason.PLAN,
        WaitReason.PARKED | WaitReason.PAUSED,
    ],
    ids=repr,
)
async def test_an_event_claims_no_saga_that_waits_for_anything_else_or_for_a_person(
    store: Store, waits: WaitReason
) -> None:
    saga = await waiting(store, waits)
    (sent,) = await send(store, EventToSend(saga.id, message(), HERE, uuid4()))
    assert (sent.status, sent.claim, sent.is_owned) == (SendStatus.STORED, None, False)
    row = await store.read(saga.id)
    assert row is not None
    assert row.owner is None


async def test_an_event_takes_no_saga_from_its_owner(store: Store) -> None:
    hand = await start(store, lease=timedelta(0))
    before = await store.read(hand.id)
    (sent,) = await send(store, EventToSend(hand.id, message(), HERE, uuid4()))
    after = await store.read(hand.id)
    assert before is not None
    assert after is not None
    assert (sent.status, sent.claim, sent.is_owned) == (SendStatus.STORED, None, True)
    assert (after.token, after.owner, after.due_at) == (before.token, before.owner, before.due_at)


async def test_a_claimed_saga_has_other_messages_if_an_event_or_a_verb_is_unread(store: Store) -> None:
    with_event, with_verb, answered = await waiting(store), await waiting(store), await waiting(store)
    old = message()
    await store.send(with_event.id, message())
    await store.send(with_verb.id, message_of(Incoming(RetryRequested(Moment(0), StepId("a")))))
    await store.send(answered.id, old)
    await store.answer(answered.id, old.id, "accepted")
    sent = await send(
        store, *(EventToSend(each.id, message(), HERE, uuid4()) for each in (with_event, with_verb, answered))
    )
    assert [each.claim is not None for each in sent] == [True, True, True]
    assert [each.is_alone for each in sent] == [False, False, True]


async def test_a_saga_that_is_not_claimed_is_due_when_its_senders_grace_is_over(store: Store) -> None:
    soon, timed, none = (
        await waiting(store),
        await waiting(store, WaitReason.EVENT | WaitReason.TIMER),
        await waiting(store),
    )
    grace = timedelta(minutes=1)
    await send(store, EventToSend(soon.id, message(), HERE, grace=grace), EventToSend(none.id, message(), HERE))
    await send(store, EventToSend(timed.id, message(), HERE, grace=timedelta(hours=9)))
    rows = [await store.read(each.id) for each in (soon, none, timed)]
    due = [row.due_at for row in rows if row is not None and row.due_at is not None]
    now = time_of(store.now())
    assert now < due[0] <= now + grace + timedelta(seconds=1)
    assert due[1] <= now
    assert due[2] <= now + timedelta(hours=1), "no moment that comes before is put off"


async def test_one_event_sent_at_once_by_many_is_stored_once(store: Store) -> None:
    saga, event = await waiting(store), message()
    statuses = [
        each[0].status
        for each in await asyncio.gather(*[send(store, EventToSend(saga.id, event, HERE)) for _ in range(4)])
    ]
    assert statuses.count(SendStatus.STORED) == 1
    assert set(statuses) <= {SendStatus.STORED, SendStatus.DUPLICATE, SendStatus.LOCKED}
    assert [each.id for each in await store.messages(saga.id)] == [event.id]


@pytest.mark.raw_rows
async def test_a_locked_row_costs_only_its_own_event_and_is_not_waited_for(any_dsn: str) -> None:
    opened = PostgresStore(any_dsn)
    await opened.open(migrate=True, listen=None)
    free, locked = await waiting(opened), await waiting(opened)
    stranger = await asyncpg.connect(any_dsn)
    async with stranger.transaction():
        await stranger.execute("SELECT 1 FROM saga_fn.saga WHERE id = $1 FOR UPDATE", locked.id)
        sent = await send(opened, *(EventToSend(each.id, message(), HERE, uuid4()) for each in (free, locked)))
        assert [each.status for each in sent] == [SendStatus.STORED, SendStatus.LOCKED]
    assert await opened.messages(locked.id) == []
    (again,) = await send(opened, EventToSend(locked.id, message(), HERE, uuid4()))
    assert again.status is SendStatus.STORED
    await stranger.close()
    await opened.close()


# To business keys.


async def test_who_gets_an_event_for_a_key_is_told_for_many_keys_at_once(store: Store) -> None:
    active, kept_for = await waiting(store, key="active"), ("shop", "later")
    kept, event = store.kept_events, message()
    await kept.keep(0, kept_for, event, "paid", expires=None, for_next=False)
    found = await kept.recipients(
        0,
        [
            Sought("shop", "active", uuid4()),
            Sought(*kept_for, event.id),
            Sought(*kept_for, uuid4()),
            Sought("other", "active", uuid4()),
        ],
    )
    assert found == [
        Recipient(active.id, known=False, has_kept=False),
        Recipient(None, known=True, has_kept=True),
        Recipient(None, known=False, has_kept=True),
        Recipient(None, known=False, has_kept=False),
    ]


async def test_what_was_sent_to_a_key_and_stored_is_known_to_the_key_until_it_expires(store: Store) -> None:
    saga, event = await waiting(store, key="key"), message()
    to_key = KeyedEvent("paid", None)
    (sent,) = await send(store, EventToSend(saga.id, event, HERE, uuid4(), to_key))
    assert sent.status is SendStatus.STORED
    key = ("shop", "key")
    assert await store.kept_events.recipients(0, [Sought(*key, event.id)]) == [Recipient(saga.id, True, False)]
    assert await store.kept_events.recipient_of(0, key, event.id) == saga.id
    kept = await store.kept_events.keep(0, key, event, "paid", expires=None, for_next=False)
    assert kept is MessageStatus.DUPLICATE
    assert await store.kept_events.read(0, *key) == [], "and waits for no saga"
    assert await store.kept_events.hand_over(0, key) is None


async def test_what_a_saga_had_got_by_its_own_id_is_a_repetition_when_it_comes_by_its_key(store: Store) -> None:
    saga, event = await waiting(store, key="key"), message()
    await store.send(saga.id, event)
    (sent,) = await send(store, EventToSend(saga.id, event, HERE, uuid4(), KeyedEvent("paid", None)))
    assert (sent.status, sent.claim) == (SendStatus.DUPLICATE, None)
    assert await store.kept_events.recipient_of(0, ("shop", "key"), event.id) is MessageStatus.DUPLICATE


async def test_what_was_not_stored_is_not_known_to_the_key(store: Store) -> None:
    saga = await waiting(store, key="key")
    event = EventToSend(saga.id, message(), ELSEWHERE, uuid4(), KeyedEvent("paid", None))
    (sent,) = await send(store, event)
    assert sent.status is SendStatus.UNFIT
    sought = Sought("shop", "key", event.message.id)
    assert await store.kept_events.recipients(0, [sought]) == [Recipient(saga.id, known=False, has_kept=False)]
