"""A saga is inserted once, whole, and at most one active saga holds a business key."""

from __future__ import annotations

from saga_fn.core.events import AbortRequested
from saga_fn.core.ids import Moment
from saga_fn.core.projection import SagaStatus, WaitReason
from saga_fn.store.protocol import Store
from saga_fn.store.records import decode_event, decode_state, moment_of, time_of
from tests.store.given import LONG, OWNER, PLAN, SHOP, hand_of, new_saga, start


async def test_an_owned_saga_is_there_with_its_lease(store: Store) -> None:
    new = new_saga(store)
    inserted = await store.insert(0, [new], lease=LONG)
    row = await store.read(new.id)
    assert row is not None
    assert (row.id, row.name, row.version, row.trace_id, row.request) == (new.id, "shop", 1, "trace", b"request")
    assert (row.status, row.waits, row.rev, row.inbox_sent) == (SagaStatus.RUNNING, WaitReason.NOTHING, 1, 0)
    assert (row.token, row.owner, row.leased) == (new.token, OWNER, True)
    assert row.due_at is not None
    assert row.due_at - row.created_at == LONG
    assert moment_of(row.created_at) == moment_of(row.updated_at) == inserted.now
    assert decode_state(row.state, row.rev) == new.state
    assert row.ended_at is None


async def test_an_unowned_saga_is_due_at_once(store: Store) -> None:
    new = new_saga(store, owned=False)
    await store.insert(0, [new], lease=LONG)
    row = await store.read(new.id)
    assert row is not None
    assert (row.token, row.owner, row.leased) == (None, None, False)
    assert new.projection.due is not None
    assert row.due_at == time_of(new.projection.due)
    assert list(await store.due_shards([("shop", 1)])) == [0]
    assert list(await store.due_shards(SHOP)) == [0]


async def test_the_first_journal_entry_comes_with_it(store: Store) -> None:
    new = new_saga(store, payload=b'{"order": 1}')
    await store.insert(0, [new], lease=LONG)
    (entry,) = await store.journal(new.id)
    assert (entry.seq, entry.writer, entry.payload, entry.input) == (1, new.token, b'{"order": 1}', None)
    assert decode_event(entry.event) == new.event


async def test_an_id_that_is_taken_is_not_inserted_again(store: Store) -> None:
    first = new_saga(store, key="k", payload=b"1")
    again = new_saga(store, key="k", payload=b"2")
    assert first.id == again.id
    assert (await store.insert(0, [first], lease=LONG)).ids == {first.id}
    assert (await store.insert(0, [again], lease=LONG)).ids == set()
    assert [entry.payload for entry in await store.journal(first.id)] == [b"1"]
    row = await store.read(first.id)
    assert row is not None
    assert row.token == first.token


async def test_a_business_key_has_one_active_saga(store: Store) -> None:
    first = await start(store, aggregation_id="order 1")
    second = new_saga(store, aggregation_id="order 1")
    other_key = new_saga(store, aggregation_id="order 2")
    other_name = new_saga(store, aggregation_id="order 1", name="audit")
    inserted = await store.insert(0, [second, other_key, other_name], lease=LONG)
    assert inserted.ids == {other_key.id, other_name.id}
    assert await store.active(0, "shop", "order 1") == first.id
    assert await store.active(0, "audit", "order 1") == other_name.id
    assert await store.active(0, "shop", "order 3") is None
    assert await store.read(second.id) is None
    assert await store.journal(second.id) == []


async def test_a_key_taken_twice_in_one_batch_goes_to_one(store: Store) -> None:
    both = [new_saga(store, aggregation_id="order 1") for _ in range(2)]
    assert len((await store.insert(0, both, lease=LONG)).ids) == 1


async def test_the_key_is_free_again_when_its_saga_has_ended(store: Store) -> None:
    first = await start(store, aggregation_id="order 1")
    ending = first.write(AbortRequested(store.now(), Moment(0)))
    assert (await store.commit(0, [ending])).inbox_sent == {first.id: 0}
    assert await store.active(0, "shop", "order 1") is None
    await start(store, aggregation_id="order 1")


async def test_many_start_at_once_and_each_is_judged_alone(store: Store) -> None:
    taken = await start(store, aggregation_id="order 0")
    many = [new_saga(store, aggregation_id=f"order {number}") for number in range(50)]
    inserted = await store.insert(0, sorted(many, key=lambda new: new.id), lease=LONG)
    assert inserted.ids == {new.id for new in many[1:]}
    live = await store.active_tokens(0, [taken.id, *(new.id for new in many)])
    assert live == {taken.id: (taken.token, False), **{new.id: (new.token, False) for new in many[1:]}}


async def test_what_is_not_there_is_none(store: Store) -> None:
    nobody = new_saga(store).id
    assert await store.read(nobody) is None
    assert await store.journal(nobody) == []
    assert await store.rejections(nobody) == []
    assert await store.messages(nobody) == []
    assert await store.results(0, [(nobody, 1)]) == {}
    assert await store.writers(0, [(nobody, 1)]) == {}
    assert await store.active_tokens(0, [nobody]) == {}


async def test_a_plan_is_kept_once_and_found_by_its_fingerprint(store: Store) -> None:
    assert await store.plan(PLAN.id) is None
    await store.keep_plan(PLAN)
    await store.keep_plan(PLAN)
    kept = await store.plan(PLAN.id)
    assert kept is not None
    assert kept.data == PLAN.data


async def test_results_are_exactly_the_entries_that_were_asked_for(store: Store) -> None:
    one, other = hand_of(new_saga(store)), await start(store, payload=b"other")
    new = new_saga(store, payload=b"one")
    one = hand_of(new)
    await store.insert(0, [new], lease=LONG)
    await store.commit(0, [one.succeeded()])
    found = await store.results(0, [(one.id, 1), (one.id, 2), (one.id, 3), (other.id, 1)])
    assert {key: (found[key].input, found[key].payload) for key in found} == {
        (one.id, 1): (None, b"one"),
        (one.id, 2): (b'"in"', b'"out"'),
        (other.id, 1): (None, b"other"),
    }
