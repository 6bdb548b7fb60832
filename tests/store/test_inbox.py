"""Messages wait for the owner of the saga; notes stand beside its journal."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import msgspec
import pytest

from saga_fn.core.events import AbortRequested, SagaParked
from saga_fn.core.ids import Moment
from saga_fn.core.projection import Projection, SagaStatus, WaitReason
from saga_fn.core.state import ParkReason
from saga_fn.store.postgres import PostgresStore
from saga_fn.store.protocol import Store
from saga_fn.store.records import ANSWER_BYTES, InboxMessage, MessageStatus, VerbAnswer, time_of
from tests.store.given import LONG, SHOP, new_saga, start
from tests.support.answers import answer_to


def message(body: bytes = b"{}") -> InboxMessage:
    return InboxMessage(uuid4(), "event", body)


async def test_messages_are_kept_in_order_until_they_are_answered(store: Store) -> None:
    hand = await start(store)
    sent = [message(b"%d" % number) for number in range(5)]
    for each in sent:
        assert await store.send(hand.id, each) is MessageStatus.STORED
    assert await store.messages(hand.id) == sent
    unread = await store.unread(hand.id, most=3)
    assert [each.message for each in unread] == sent[:3]
    assert [each.inbox_sent for each in unread] == [5, 5, 5]
    times = [each.sent_at for each in unread]
    assert times == sorted(times)
    await store.answer(hand.id, sent[1].id, "late")
    assert await store.messages(hand.id) == [sent[0], *sent[2:]]
    assert {each.inbox_sent for each in await store.unread(hand.id, most=10)} == {5}, "those that are answered count"
    assert await store.read_answer(hand.id, sent[1].id) == "late"
    await store.answer(hand.id, sent[1].id, "applied")
    assert await store.read_answer(hand.id, sent[1].id) == "late", "an answer is final"
    row = await store.read(hand.id)
    assert row is not None
    assert row.inbox_sent == 5


async def test_verbs_and_events_are_read_in_the_order_in_which_they_were_sent_and_each_is_answered(
    store: Store,
) -> None:
    hand = await start(store)
    sent = [InboxMessage(uuid4(), kind, b"{}") for kind in ("event", "retry_step", "event", "cancel")]
    for each in sent:
        assert await store.send(hand.id, each) is MessageStatus.STORED
    assert await store.messages(hand.id) == sent
    for each in sent[1:3]:
        await store.answer(hand.id, each.id, "late")
        assert await answer_to(store, hand.id, each) == "late"
    assert await store.verb_answer(hand.id, sent[0].id) is None, "it is no verb"
    assert await store.read_answer(hand.id, sent[1].id) is None, "it is no event"
    assert await store.verb_answer(hand.id, sent[3].id) == VerbAnswer(None, has_ended=False, is_owned=True)
    assert await store.messages(hand.id) == [sent[0], sent[3]]
    row = await store.read(hand.id)
    assert row is not None
    assert row.inbox_sent == 4
    parked = hand.write(SagaParked(store.now(), ParkReason.ROW_REJECTED))
    answers = ((sent[0].id, "applied"), (sent[3].id, "applied"))
    await store.commit(0, [msgspec.structs.replace(parked, inbox_seen=4, answers=answers)])
    assert await store.messages(hand.id) == []
    await store.answer(hand.id, sent[3].id, "refused")
    told = VerbAnswer("applied", has_ended=False, is_owned=False)
    assert await store.verb_answer(hand.id, sent[3].id) == told, "an answer is final"


async def test_no_statement_brings_more_unread_messages_once_they_are_as_large_as_an_answer_may_be(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought: list[int] = []
    if isinstance(store, PostgresStore):
        queries = store._database.queries  # pyright: ignore[reportPrivateUsage] - the statements by themselves
        read = queries.read_messages

        async def noted(*given: Any, **options: Any) -> Any:
            rows = await read(*given, **options)
            brought.append(len(rows))
            return rows

        monkeypatch.setattr(queries, "read_messages", noted)
    hand = await start(store)
    kinds = ["event", "retry_step", *["event"] * 6]
    sent = [InboxMessage(uuid4(), kind, b"1" * (ANSWER_BYTES // 3 + 1)) for kind in kinds]
    for each in sent:
        assert await store.send(hand.id, each) is MessageStatus.STORED
    assert await store.messages(hand.id) == sent
    assert [each.message for each in await store.unread(hand.id, most=4)] == sent[:4]
    if isinstance(store, PostgresStore):
        assert brought == [3, 3, 2, 3, 1]


async def test_a_verb_sent_again_is_there_once(store: Store) -> None:
    hand = await start(store)
    once = InboxMessage(uuid4(), "retry_step", b"{}")
    assert await store.send(hand.id, once) is MessageStatus.STORED
    assert await store.send(hand.id, once) is MessageStatus.DUPLICATE
    assert await store.messages(hand.id) == [once]
    row = await store.read(hand.id)
    assert row is not None
    assert row.inbox_sent == 1, "a repetition keeps no owner from committing"
    assert await store.send(uuid4(), once) is MessageStatus.NO_ACTIVE_SAGA


async def test_a_message_sent_again_is_there_once(store: Store) -> None:
    hand = await start(store)
    once = message()
    assert await store.send(hand.id, once) is MessageStatus.STORED
    assert await store.send(hand.id, once) is MessageStatus.DUPLICATE
    assert await store.messages(hand.id) == [once]


async def test_a_message_to_a_sleeper_wakes_it(store: Store) -> None:
    hand = await start(store)
    await store.commit(0, [hand.failed()])
    assert await store.due_shards(SHOP) == {}
    assert await store.send(hand.id, message()) is MessageStatus.STORED
    assert list(await store.due_shards(SHOP)) == [0]
    (claim,) = await store.claim_due(0, SHOP, owner=uuid4(), limit=1, lease=LONG)
    assert claim.inbox_sent == 1


async def test_a_message_does_not_wake_what_waits_for_a_person(store: Store) -> None:
    hand = await start(store)
    parked = hand.write(SagaParked(store.now(), ParkReason.ROW_REJECTED))
    assert (await store.commit(0, [parked])).inbox_sent == {hand.id: 0}
    assert await store.send(hand.id, message()) is MessageStatus.STORED
    row = await store.read(hand.id)
    assert row is not None
    assert (row.due_at, row.inbox_sent) == (None, 1)


async def test_a_message_wakes_what_waits_for_an_event_whatever_else_it_waits_for(store: Store) -> None:
    """A branch that waits for a person does not keep the others from what they wait for."""
    both = WaitReason.EVENT | WaitReason.PARKED
    saga = msgspec.structs.replace(
        new_saga(store, owned=False), projection=Projection(SagaStatus.SUSPENDED, both, None, 0, None, None)
    )
    await store.insert(0, [saga], lease=LONG)
    row = await store.read(saga.id)
    assert row is not None
    assert (row.status, row.waits, row.due_at) == (SagaStatus.SUSPENDED, both, None)
    assert await store.send(saga.id, message()) is MessageStatus.STORED
    assert list(await store.due_shards(SHOP)) == [0]


async def test_a_saga_is_inserted_due_when_it_is_to_begin(store: Store) -> None:
    later = Moment(store.now() + 3_600_000_000)
    saga = new_saga(store, owned=False)
    waits = msgspec.structs.replace(
        saga, projection=Projection(SagaStatus.SUSPENDED, WaitReason.TIMER, later, 0, None, None)
    )
    await store.insert(0, [waits], lease=LONG)
    row = await store.read(saga.id)
    assert row is not None
    assert row.due_at == time_of(later)
    assert await store.due_shards(SHOP) == {}


async def test_a_message_does_not_shorten_a_lease(store: Store) -> None:
    hand = await start(store)
    before = await store.read(hand.id)
    assert await store.send(hand.id, message()) is MessageStatus.STORED
    after = await store.read(hand.id)
    assert before is not None
    assert after is not None
    assert (after.due_at, after.token) == (before.due_at, before.token)


async def test_nobody_writes_to_a_saga_that_has_ended_or_never_was(store: Store) -> None:
    hand = await start(store)
    await store.commit(0, [hand.write(AbortRequested(store.now(), Moment(0)))])
    before = await store.read(hand.id)
    assert before is not None
    for late in (message(), InboxMessage(uuid4(), "retry_step", b"{}")):
        assert await store.send(hand.id, late) is MessageStatus.NO_ACTIVE_SAGA
        assert await store.messages(hand.id) == []
        assert (await store.read_answer(hand.id, late.id), await store.verb_answer(hand.id, late.id)) == (None, None)
    after = await store.read(hand.id)
    assert after is not None
    assert (after.inbox_sent, after.due_at) == (before.inbox_sent, None)
    assert await store.send(uuid4(), message()) is MessageStatus.NO_ACTIVE_SAGA


async def test_notes_are_kept_in_order_beside_the_journal(store: Store) -> None:
    hand = await start(store)
    for number in range(3):
        await store.record_rejection(hand.id, "late", f"result {number}")
    assert [(note.kind, note.detail) for note in await store.rejections(hand.id)] == [
        ("late", f"result {number}") for number in range(3)
    ]
    assert len(await store.journal(hand.id)) == 1
