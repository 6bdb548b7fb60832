"""A commit applies to the saga its writer knows, to no other; what is not returned was not written."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import msgspec
import pytest

from saga_fn.core.events import AbortRequested, RetryRequested
from saga_fn.core.ids import Moment
from saga_fn.core.projection import SagaStatus, WaitReason
from saga_fn.store.errors import RowRejectedError
from saga_fn.store.protocol import Store
from saga_fn.store.records import InboxMessage, OutgoingRow, SagaWrite, decode_event, decode_state, moment_of, time_of
from tests.store.given import LONG, OTHER, OVER, OWNER, B, Hand, hand_of_claim, start


async def test_a_step_s_commit_keeps_the_lease_as_it_is(store: Store) -> None:
    hand = await start(store)
    before = await store.read(hand.id)
    write = hand.succeeded()
    assert (await store.commit(0, [write])).inbox_sent == {hand.id: 0}
    row = await store.read(hand.id)
    assert before is not None
    assert row is not None
    assert (row.token, row.owner, row.due_at, row.rev) == (hand.token, OWNER, before.due_at, 2)
    assert decode_state(row.state, row.rev) == write.state
    assert row.status is SagaStatus.RUNNING


async def test_its_journal_entries_come_with_it(store: Store) -> None:
    hand = await start(store)
    first = hand.succeeded()
    second = hand.after(first).succeeded(B)
    for write in (first, second):
        await store.commit(0, [write])
    journal = await store.journal(hand.id)
    assert [entry.seq for entry in journal] == [1, 2, 3]
    assert [decode_event(entry.event) for entry in journal[1:]] == [first.entries[0].event, second.entries[0].event]
    assert [(entry.input, entry.payload) for entry in journal[1:]] == [(b'"in"', b'"out"')] * 2
    assert [entry.writer for entry in journal[1:]] == [first.writer, second.writer]
    assert [entry.writer for entry in journal] == [hand.token] * 3
    assert await store.writers(0, [(hand.id, 2), (hand.id, 3), (hand.id, 4)]) == {
        (hand.id, 2): first.writer,
        (hand.id, 3): second.writer,
    }


async def test_how_a_saga_stands_and_who_wrote_to_it_is_seen_at_once(store: Store) -> None:
    hand = await start(store)
    before = await store.standing(hand.id, 2)
    assert before is not None
    assert (before.rev, before.token, before.inbox_sent, before.writer) == (1, hand.token, 0, None)
    first = hand.succeeded()
    await store.commit(0, [first])
    after = await store.standing(hand.id, 2)
    assert after is not None
    assert (after.rev, after.token, after.inbox_sent, after.writer) == (2, hand.token, 0, first.writer)
    assert await store.standing(uuid4(), 2) is None


async def test_the_end_gives_the_saga_up_in_the_same_commit(store: Store) -> None:
    hand = await start(store)
    first = hand.succeeded()
    last = hand.after(first).succeeded(B)
    await store.commit(0, [first])
    committed = await store.commit(0, [last])
    row = await store.read(hand.id)
    assert row is not None
    assert (row.status, row.token, row.owner, row.due_at) == (SagaStatus.COMPLETED, None, None, None)
    assert row.ended_at is not None
    assert moment_of(row.ended_at) == committed.now
    assert await store.active_tokens(0, [hand.id]) == {}


async def test_a_saga_that_waits_is_given_up_until_its_time(store: Store) -> None:
    hand = await start(store)
    write = hand.failed()
    assert write.due is not None
    await store.commit(0, [write])
    row = await store.read(hand.id)
    assert row is not None
    assert (row.status, row.waits, row.token, row.owner) == (SagaStatus.SUSPENDED, WaitReason.RETRY, None, None)
    assert row.due_at == time_of(write.due)
    assert row.retry_counter == 1


def at_length(write: SagaWrite) -> SagaWrite:
    """The same write with an answer to a message, which PostgreSQL is told by another statement."""
    return msgspec.structs.replace(write, answers=((uuid4(), "applied"),))


def publishing(write: SagaWrite) -> SagaWrite:
    """The same write with an outgoing message, which PostgreSQL is told by a third one."""
    row = OutgoingRow(write.state.rev, 0, "orders", "", None, b"{}", None, LONG, made=0.0)
    return msgspec.structs.replace(write, outgoing=(row,))


def in_short(write: SagaWrite) -> SagaWrite:
    return write


WAYS = pytest.mark.parametrize("way", [in_short, at_length, publishing])


@WAYS
async def test_an_old_token_writes_nothing(store: Store, way: Callable[[SagaWrite], SagaWrite]) -> None:
    hand = await start(store, lease=OVER)
    taken = await store.claim(hand.id, owner=OTHER, lease=LONG)
    assert taken is not None
    assert taken.takeover
    assert (await store.commit(0, [way(hand.succeeded())])).inbox_sent == {}
    assert len(await store.journal(hand.id)) == 1
    now_theirs = hand_of_claim(taken, OTHER).resumed(taken.now)
    assert (await store.commit(0, [now_theirs])).inbox_sent == {hand.id: 0}


@WAYS
async def test_an_old_revision_writes_nothing(store: Store, way: Callable[[SagaWrite], SagaWrite]) -> None:
    hand = await start(store)
    await store.commit(0, [way(hand.succeeded())])
    assert (await store.commit(0, [way(hand.succeeded())])).inbox_sent == {}
    assert len(await store.journal(hand.id)) == 2


async def test_the_same_write_sent_again_is_not_written_again_and_can_be_looked_up(store: Store) -> None:
    hand = await start(store)
    write = hand.succeeded()
    assert (await store.commit(0, [write])).inbox_sent == {hand.id: 0}
    assert (await store.commit(0, [write])).inbox_sent == {}
    assert await store.writers(0, [(hand.id, 2)]) == {(hand.id, 2): write.writer}


async def test_each_of_a_batch_is_judged_alone(store: Store) -> None:
    hands = sorted([await start(store) for _ in range(20)], key=lambda hand: hand.id)
    lost, ahead = hands[3], hands[7]
    await store.commit(0, [ahead.succeeded()])
    writes = [hand.succeeded() for hand in hands]
    writes[3] = msgspec.structs.replace(writes[3], token=uuid4())
    gone = Hand(uuid4(), uuid4(), OWNER, hands[0].state)
    committed = await store.commit(0, [*writes, gone.succeeded()])
    assert set(committed.inbox_sent) == {hand.id for hand in hands} - {lost.id, ahead.id}
    assert [len(await store.journal(hand.id)) for hand in hands] == [1 if hand is lost else 2 for hand in hands]


@WAYS
async def test_a_message_keeps_the_saga_from_being_given_up_unread(
    store: Store, way: Callable[[SagaWrite], SagaWrite]
) -> None:
    hand = await start(store)
    await store.send(hand.id, InboxMessage(uuid4(), "event", b"{}"))
    assert (await store.commit(0, [way(hand.failed())])).inbox_sent == {}
    hand.inbox_seen = 1
    assert (await store.commit(0, [way(hand.failed())])).inbox_sent == {hand.id: 1}


async def test_a_message_does_not_hinder_a_commit_that_keeps_the_saga(store: Store) -> None:
    hand = await start(store)
    await store.send(hand.id, InboxMessage(uuid4(), "event", b"{}"))
    assert (await store.commit(0, [hand.succeeded()])).inbox_sent == {hand.id: 1}, "and says that there are messages"


async def test_answers_come_with_the_commit_or_not_at_all(store: Store) -> None:
    hand = await start(store)
    messages = [InboxMessage(uuid4(), "event", b"%d" % number) for number in range(3)]
    for message in messages:
        await store.send(hand.id, message)
    lost = msgspec.structs.replace(hand.succeeded(), token=uuid4(), answers=((messages[0].id, "applied"),))
    await store.commit(0, [lost])
    assert await store.read_answer(hand.id, messages[0].id) is None
    answers = ((messages[0].id, "applied"), (messages[1].id, "late"))
    await store.commit(0, [msgspec.structs.replace(hand.succeeded(), answers=answers)])
    assert [await store.read_answer(hand.id, message.id) for message in messages] == ["applied", "late", None]
    assert await store.messages(hand.id) == [messages[2]]


async def test_a_write_to_an_unowned_saga_is_judged_by_its_revision(store: Store) -> None:
    hand = await start(store, owned=False)
    abort = hand.write(AbortRequested(store.now(), Moment(0)))
    assert (await store.commit(0, [msgspec.structs.replace(abort, rev=7)])).inbox_sent == {}
    assert (await store.commit(0, [abort])).inbox_sent == {hand.id: 0}
    row = await store.read(hand.id)
    assert row is not None
    assert row.status is SagaStatus.FAILED


async def test_a_saga_may_be_taken_from_its_owner_by_who_knows_its_token(store: Store) -> None:
    hand = await start(store)
    thief = Hand(hand.id, hand.token, None, hand.state)
    steal = thief.write(AbortRequested(store.now(), Moment(0)))
    assert (await store.commit(0, [steal])).inbox_sent == {hand.id: 0}
    assert (await store.commit(0, [hand.succeeded()])).inbox_sent == {}


async def test_a_failed_saga_that_goes_on_has_no_end_any_more(store: Store) -> None:
    hand = await start(store)
    aborted = hand.write(AbortRequested(store.now(), Moment(0)))
    await store.commit(0, [aborted])
    again = hand.after(aborted).write(RetryRequested(store.now()))
    assert (await store.commit(0, [again])).inbox_sent == {hand.id: 0}
    row = await store.read(hand.id)
    assert row is not None
    assert row.ended_at is None
    assert row.due_at is not None


async def test_a_failed_saga_does_not_go_on_while_another_has_its_business_key(store: Store) -> None:
    hand = await start(store, aggregation_id="order-1")
    aborted = hand.write(AbortRequested(store.now(), Moment(0)))
    await store.commit(0, [aborted])
    await start(store, aggregation_id="order-1")
    with pytest.raises(RowRejectedError) as refused:
        await store.commit(0, [hand.after(aborted).write(RetryRequested(store.now()))])
    assert refused.value.constraint == "saga_active_key"
    row = await store.read(hand.id)
    assert row is not None
    assert row.ended_at is not None
