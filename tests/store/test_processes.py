"""The sagas that processes work on, and those that none works on: the same in every store."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

from saga_fn.core.events import AbortRequested, SagaParked
from saga_fn.core.ids import Moment
from saga_fn.core.state import ParkReason
from saga_fn.store.ids import shard_of
from saga_fn.store.postgres import PostgresStore
from saga_fn.store.protocol import Store
from saga_fn.store.records import (
    FORGOTTEN_AT_ONCE,
    MOST_DEFINITIONS,
    MOST_PROCESSES,
    STILL_FOR,
    Notice,
    Noticed,
    Process,
    time_of,
)
from tests.store.given import LONG, OVER, OWNER, PLAN, SHOP, Hand, start

NOBODY = UUID(int=0)
SHOP_V1 = ("shop", 1, PLAN.id)
AT_ONCE = timedelta(0)


def works(*definitions: tuple[str, int, str], process: UUID | None = None) -> Process:
    return Process(process or uuid4(), "host", tuple(definitions))  # type: ignore[arg-type]


async def parked(store: Store, why: ParkReason) -> Hand:
    hand = await start(store)
    write = hand.write(SagaParked(store.now(), why))
    committed = await store.commit(shard_of(hand.id, store.shards), [write])
    assert hand.id in committed.inbox_sent
    hand.state, hand.token = write.state, None
    return hand


async def test_a_process_is_seen_by_others_and_not_by_itself(store: Store) -> None:
    one, two = works(SHOP_V1), works(("shop", 2, PLAN.id))
    await store.processes.note(one)
    await store.processes.note(two)
    assert await store.processes.others(one.id, seen_within=LONG) == {("shop", 2, PLAN.id)}
    assert await store.processes.others(NOBODY, seen_within=LONG) == {SHOP_V1, ("shop", 2, PLAN.id)}
    assert await store.processes.others(NOBODY, seen_within=AT_ONCE) == frozenset()


async def test_a_process_is_found_by_its_id(store: Store) -> None:
    me = works(SHOP_V1)
    await store.processes.note(me)
    found = await store.processes.find(me.id)
    assert found is not None
    assert found.process == "host"
    assert abs(found.seen_at - time_of(store.now())) < LONG
    assert await store.processes.find(NOBODY) is None


async def test_a_process_says_again_what_it_works_on(store: Store) -> None:
    me = uuid4()
    await store.processes.note(works(SHOP_V1, process=me))
    await store.processes.note(works(process=me))
    assert await store.processes.others(NOBODY, seen_within=LONG) == frozenset()


async def test_a_process_that_stops_is_forgotten(store: Store) -> None:
    one, two = works(SHOP_V1), works(("shop", 2, PLAN.id))
    await store.processes.note(one)
    await store.processes.note(two)
    await store.processes.forget(one.id)
    assert await store.processes.others(NOBODY, seen_within=LONG) == {("shop", 2, PLAN.id)}


async def insert(store: Store, statement: str) -> None:
    """Rows that something else has written."""
    if isinstance(store, PostgresStore):
        async with store._database.work() as connection:  # pyright: ignore[reportPrivateUsage]  # behind the store's back
            await connection.execute(f"INSERT INTO saga_fn.saga_process {statement}")


async def test_rows_of_processes_are_asked_up_to_a_bound(store: Store) -> None:
    me = works(SHOP_V1)
    await insert(
        store,
        "SELECT 0, gen_random_uuid(), 'host', ARRAY['n' || n], ARRAY[1], ARRAY['p'], now() - interval '1 second'"
        f" FROM generate_series(1, {3 * MOST_PROCESSES}) AS n",
    )
    await store.processes.note(me)
    found = await store.processes.others(NOBODY, seen_within=LONG)
    assert SHOP_V1 in found, "it was seen last"
    assert len(found) <= MOST_PROCESSES
    hand = await start(store, owned=False)
    assert await store.processes.notices(seen_within=OVER) in ([], [Noticed(Notice.UNOWNED, "shop", 1, 1, (hand.id,))])


async def test_the_definitions_of_a_process_are_believed_up_to_a_bound(store: Store) -> None:
    await insert(
        store,
        "SELECT 0, gen_random_uuid(), 'host', array_agg('n' || n), array_agg(n), array_agg('p' || n)"
        f" FROM generate_series(1, {20 * MOST_DEFINITIONS}) AS n",
    )
    await store.processes.note(works(SHOP_V1))
    found = await store.processes.others(NOBODY, seen_within=LONG)
    assert SHOP_V1 in found
    assert len(found) <= MOST_DEFINITIONS + 1


async def test_processes_that_say_nothing_are_forgotten_some_at_a_time(store: Store) -> None:
    for moment in ("now() - interval '1 day'", "now() + interval '100 years'"):
        await insert(
            store,
            f"SELECT 0, gen_random_uuid(), 'host', ARRAY['n'], ARRAY[1], ARRAY['p'], {moment}"
            f" FROM generate_series(1, {FORGOTTEN_AT_ONCE + 1})",
        )
    me = works(SHOP_V1)
    await store.processes.note(me)
    assert await store.processes.others(me.id, seen_within=LONG) == frozenset(), "no process was seen in the future"
    dropped = [await store.processes.forget_silent() for _ in range(3)]
    assert dropped == ([2 * FORGOTTEN_AT_ONCE, 2, 0] if isinstance(store, PostgresStore) else [0, 0, 0])
    assert await store.processes.others(NOBODY, seen_within=LONG) == {SHOP_V1}


async def test_what_is_due_and_known_to_no_process_is_unowned(store: Store) -> None:
    hand = await start(store, owned=False)
    assert await store.processes.notices(seen_within=OVER) == [Noticed(Notice.UNOWNED, "shop", 1, 1, (hand.id,))]
    await store.processes.note(works(("shop", 2, PLAN.id), ("other", 1, PLAN.id)))
    assert await store.processes.notices(seen_within=LONG) == [], "it has not been due for long"
    await store.processes.note(works(SHOP_V1))
    assert await store.processes.notices(seen_within=OVER) != [], "no process was seen within no time"


async def test_what_is_due_and_left_behind_by_those_who_work_on_its_name_is_unowned_soon(store: Store) -> None:
    hand = await start(store, owned=False)
    found = [Noticed(Notice.UNOWNED, "shop", 1, 1, (hand.id,))]
    await store.processes.note(works(("other", 1, PLAN.id)))
    assert await store.processes.notices(seen_within=LONG, left_behind=OVER) == [], "no process works on its name"
    await store.processes.note(works(("shop", 2, PLAN.id)))
    assert await store.processes.notices(seen_within=LONG, left_behind=OVER) == found
    assert await store.processes.notices(seen_within=LONG, left_behind=LONG) == []
    old = works(SHOP_V1)
    await store.processes.note(old)
    assert await store.processes.notices(seen_within=LONG, left_behind=OVER) == []
    await store.processes.forget(old.id)
    assert await store.processes.notices(seen_within=LONG, left_behind=OVER) == found


async def test_what_is_owned_or_ended_or_sleeps_is_not_unowned(store: Store) -> None:
    await start(store)
    sleeper = await start(store)
    await store.commit(shard_of(sleeper.id, store.shards), [sleeper.failed()])
    assert await store.processes.notices(seen_within=OVER) == []


async def test_names_are_told_apart_and_counted_each(store: Store) -> None:
    for name, version, sagas in (("b", 1, 2), ("b", 2, 1), ("a", 7, 5)):
        for _ in range(sagas):
            await start(store, owned=False, name=name, version=version)
    found = await store.processes.notices(seen_within=OVER)
    assert {(each.kind, each.name, each.version, each.sagas, len(each.ids)) for each in found} == {
        (Notice.UNOWNED, "a", 7, 5, 3),
        (Notice.UNOWNED, "b", 1, 2, 2),
        (Notice.UNOWNED, "b", 2, 1, 1),
    }


async def test_what_waits_for_a_person_is_noticed(store: Store) -> None:
    hand = await parked(store, ParkReason.INPUT_FAILED)
    assert await store.processes.notices(seen_within=LONG) == [Noticed(Notice.PARKED, "shop", 1, 1, (hand.id,))]


async def failed(store: Store, name: str = "shop") -> Hand:
    hand = await start(store, name=name)
    write = hand.write(AbortRequested(store.now(), Moment(0)))
    await store.commit(shard_of(hand.id, store.shards), [write])
    return hand


async def test_what_failed_is_noticed_until_a_person_acknowledges_it(store: Store) -> None:
    hand, other = await failed(store), await failed(store, "audit")
    assert sorted(await store.processes.notices(seen_within=LONG), key=lambda each: each.name) == [
        Noticed(Notice.FAILED, "audit", 1, 1, (other.id,)),
        Noticed(Notice.FAILED, "shop", 1, 1, (hand.id,)),
    ]
    assert not await store.acknowledge(hand.id, 1, "an earlier revision")
    assert await store.acknowledge(hand.id, 2, "seen")
    assert not await store.acknowledge(hand.id, 2, "twice")
    assert await store.processes.notices(seen_within=LONG) == [Noticed(Notice.FAILED, "audit", 1, 1, (other.id,))]
    assert [(record.kind, record.detail) for record in await store.rejections(hand.id)] == [("acknowledged", "seen")]
    row = await store.read(hand.id)
    assert row is not None
    assert (row.acknowledged, row.rev) == (True, 2)


async def test_only_what_has_failed_is_acknowledged(store: Store) -> None:
    hand = await start(store)
    assert not await store.acknowledge(hand.id, 1, "it runs")
    row = await store.read(hand.id)
    assert row is not None
    assert not row.acknowledged
    assert await store.rejections(hand.id) == []


async def test_what_is_worked_on_for_an_hour_without_progress_is_noticed(store: Store) -> None:
    hand = await start(store, lease=timedelta(days=1))
    fresh = await start(store, lease=timedelta(days=1))
    asleep = await start(store)
    await store.commit(shard_of(asleep.id, store.shards), [asleep.failed()])
    assert await store.processes.notices(seen_within=LONG) == []
    later = STILL_FOR + timedelta(minutes=1)
    if isinstance(store, PostgresStore):
        async with store._database.work() as connection:  # pyright: ignore[reportPrivateUsage]  # as time would have it
            await connection.execute(
                f"UPDATE saga_fn.saga SET updated_at = now() - interval '{later.total_seconds()} s', due_at = due_at"
            )
    else:
        store.jump_to(Moment(store.now() + later // timedelta(microseconds=1)))
    write = fresh.succeeded()
    await store.commit(shard_of(fresh.id, store.shards), [write])
    found = [each for each in await store.processes.notices(seen_within=LONG) if each.kind is Notice.STILL]
    assert found == [Noticed(Notice.STILL, "shop", 1, 1, (hand.id,))]


async def test_what_a_plan_parked_is_found_and_made_due(store: Store) -> None:
    unfit = await parked(store, ParkReason.PLAN_CHANGED)
    await parked(store, ParkReason.INPUT_FAILED)
    (found,) = await store.processes.unfit(SHOP, after=NOBODY)
    assert (found.id, found.name, found.version, found.plan) == (unfit.id, "shop", 1, PLAN.id)
    assert await store.processes.unfit(SHOP, after=unfit.id) == []
    assert await store.processes.unfit([("shop", 2)], after=NOBODY) == []
    shard = shard_of(unfit.id, store.shards)
    assert await store.claim_due(shard, SHOP, owner=OWNER, limit=9, lease=LONG) == []
    await store.processes.wake(shard, [unfit.id, uuid4()])
    (claim,) = await store.claim_due(shard, SHOP, owner=OWNER, limit=9, lease=LONG)
    assert claim.id == unfit.id
    await store.processes.wake(shard, [unfit.id])
    assert (await store.read(unfit.id)).leased  # type: ignore[union-attr]


async def test_what_is_to_be_passed_over_is_not_claimed(store: Store) -> None:
    one, two = await start(store, owned=False), await start(store, owned=False)
    claims = await store.claim_due(
        shard_of(two.id, store.shards), SHOP, owner=OWNER, limit=9, lease=LONG, passed_over=[one.id]
    )
    assert [claim.id for claim in claims] == [two.id]


async def test_no_more_of_a_definition_are_claimed_than_there_is_room_for(store: Store) -> None:
    for name in ("shop", "shop", "shop", "other", "other"):
        await start(store, owned=False, name=name)
    pairs = [("shop", 1), ("other", 1)]
    claims = await store.claim_due(0, pairs, owner=OWNER, limit=9, lease=LONG, rooms={("shop", 1): 2})
    assert sorted(claim.name for claim in claims) == ["other", "other", "shop", "shop"]
    assert len(await store.claim_due(0, pairs, owner=OWNER, limit=9, lease=LONG, rooms={("shop", 1): 0})) == 0


async def test_what_is_handed_back_with_a_pause_is_due_when_it_is_over(store: Store) -> None:
    hand = await start(store, owned=False)
    shard = shard_of(hand.id, store.shards)
    (claim,) = await store.claim_due(shard, SHOP, owner=OWNER, limit=9, lease=LONG)
    await store.release(shard, {hand.id: claim.token}, pause=LONG)
    assert await store.claim_due(shard, SHOP, owner=OWNER, limit=9, lease=LONG) == []
    row = await store.read(hand.id)
    assert row is not None
    assert (row.owner, row.due_at is not None and row.due_at > row.updated_at) == (None, True)
