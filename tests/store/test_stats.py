"""Numbers about all sagas: the same in every store, with one look."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from saga_fn import SagaStatus
from saga_fn.core.events import AbortRequested, SagaParked
from saga_fn.core.ids import Moment
from saga_fn.core.state import ParkReason
from saga_fn.engine.commit.committer import Committer
from saga_fn.engine.commit.outcome import Applied, Lost
from saga_fn.engine.observe.observers import Fact, Observers
from saga_fn.engine.observe.of_commits import LateWriteRefused
from saga_fn.engine.views.stats import MINUTES, read_stats, stats_of
from saga_fn.snapshot import SagaCount
from saga_fn.stats import DefinitionStats
from saga_fn.store.ids import shard_of
from saga_fn.store.protocol import Store
from saga_fn.store.records import MOST_IN_STATS, Counted, CountKind, Process, time_of
from tests.store.given import LONG, PLAN, Hand, start

COMPLETED, COMPENSATED, FAILED = SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.FAILED


async def numbers(store: Store, *, ends: bool = True) -> dict[tuple[str, int], DefinitionStats]:
    found = (await read_stats(store, ends=ends)).definitions
    assert [(each.saga_name, each.version) for each in found] == sorted(
        (each.saga_name, each.version) for each in found
    )
    return {(each.saga_name, each.version): each for each in found}


async def ended(store: Store, hand: Hand) -> None:
    """The saga ends FAILED: what it has begun is left over."""
    write = hand.write(AbortRequested(store.now(), Moment(0)))
    assert hand.id in (await store.commit(shard_of(hand.id, store.shards), [write])).inbox_sent


async def test_there_are_no_numbers_about_nothing(store: Store) -> None:
    stats = await read_stats(store, ends=True)
    assert stats.definitions == ()
    assert abs(stats.at - time_of(store.now())) < LONG


async def test_live_sagas_are_counted_by_what_they_do(store: Store) -> None:
    await start(store)
    await start(store, name="audit", version=3)
    parked, retries = await start(store), await start(store)
    for hand, write in (
        (parked, parked.write(SagaParked(store.now(), ParkReason.INPUT_FAILED))),
        (retries, retries.failed()),
    ):
        await store.commit(shard_of(hand.id, store.shards), [write])
    found = await numbers(store)
    assert found.keys() == {("audit", 3), ("shop", 1)}
    shop = found["shop", 1]
    told = (shop.running, shop.compensating, shop.suspended, shop.parked, shop.retrying, shop.sleeping, shop.waiting)
    assert [each.sagas for each in told] == [1, 0, 2, 1, 1, 0, 0]
    assert not any(each.is_more for each in told)
    assert found["audit", 3].running == SagaCount(1, is_more=False)


async def test_ends_are_counted_by_the_minute_and_failures_until_a_person_has_seen_them(store: Store) -> None:
    hands = [await start(store) for _ in range(3)]
    for hand in hands:
        await ended(store, hand)
    shop = (await numbers(store))["shop", 1]
    assert {status: len(minutes) for status, minutes in shop.ends.items()} == dict.fromkeys(
        (COMPLETED, COMPENSATED, FAILED), MINUTES
    )
    assert sum(each or 0 for each in shop.ends[FAILED][-2:]) == 3, "they ended now, or the minute has changed meanwhile"
    assert shop.ends[COMPLETED] == (0,) * MINUTES
    assert shop.failed.sagas == 3
    await store.acknowledge(hands[0].id, 2, "")
    assert (await numbers(store))["shop", 1].failed.sagas == 2
    without = (await numbers(store, ends=False))["shop", 1]
    assert without.ends == {}
    assert without.failed.sagas == 2


async def test_what_is_due_is_told_with_who_could_do_it_and_not_while_it_is_paused(store: Store) -> None:
    hand = await start(store, owned=False)
    shop = (await numbers(store))["shop", 1]
    assert shop.oldest_due is not None
    assert shop.overdue.sagas == 0, "it is due, and not for long"
    assert not shop.is_unowned
    counted = await store.lists.stats(overdue=timedelta(0), seen_within=LONG, ends_since=None)
    shop = stats_of(counted, ends=False, now=time_of(store.now())).definitions[0]
    assert (shop.overdue.sagas, shop.processes, shop.is_unowned) == (1, 0, True)
    await store.processes.note(Process(uuid4(), "host", (("shop", 1, PLAN.id), ("other", 2, PLAN.id))))
    counted = await store.lists.stats(overdue=timedelta(0), seen_within=LONG, ends_since=None)
    other, shop = stats_of(counted, ends=False, now=time_of(store.now())).definitions
    assert (shop.overdue.sagas, shop.processes, shop.is_unowned) == (1, 1, False)
    assert (other.saga_name, other.version, other.processes, other.running.sagas) == ("other", 2, 1, 0)
    for name in ("shop", ""):
        await store.pauses.add(name, actor=None, reason=None)
        found = await numbers(store)
        assert (found["shop", 1].paused, found["shop", 1].oldest_due, found["other", 2].paused) == (
            True,
            None,
            not name,
        )
        await store.pauses.remove(name)
    assert hand.token is None


async def test_processes_are_listed_with_what_they_work_on(store: Store) -> None:
    first, second = uuid4(), uuid4()
    await store.processes.note(Process(first, "here", (("shop", 1, PLAN.id),)))
    await store.processes.note(Process(second, "there", (("shop", 2, PLAN.id), ("audit", 1, PLAN.id))))
    seen = await store.processes.seen(seen_within=LONG, most=10)
    assert [(each.id, each.process, each.definitions) for each in seen] == [
        (second, "there", (("audit", 1), ("shop", 2))),
        (first, "here", (("shop", 1),)),
    ]
    assert all(abs(each.seen_at - time_of(store.now())) < LONG for each in seen)
    assert [each.id for each in await store.processes.seen(seen_within=LONG, most=1)] == [second]
    assert await store.processes.seen(seen_within=timedelta(0), most=10) == []


def test_numbers_of_shards_are_added_up_and_stop_at_their_bound() -> None:
    of = Counted(kind=CountKind.LIVE, name="n", version=1, sagas=MOST_IN_STATS - 1, status=SagaStatus.RUNNING)
    cut = Counted(kind=CountKind.ENDED, name="n", version=1, sagas=7, status=COMPLETED, minute=30, is_cut=True)
    whole = Counted(kind=CountKind.ENDED, name="n", version=1, sagas=5, status=COMPLETED, minute=31)
    before = Counted(kind=CountKind.ENDED, name="n", version=1, sagas=5, status=COMPLETED, minute=2)
    late = Counted(kind=CountKind.ENDED, name="n", version=1, sagas=1, status=COMPLETED, minute=MINUTES)
    (found,) = stats_of([of, of, cut, whole, before, late, whole], ends=True, now=time_of(Moment(0))).definitions
    assert found.running == SagaCount(MOST_IN_STATS, is_more=True)
    assert str(found.running) == "10,000+"
    minutes = found.ends[COMPLETED]
    assert minutes[:31] == (None,) * 31, "what was not counted to its end is not told"
    assert minutes[31:] == (10, *(0,) * 27, 1)


async def test_a_write_that_comes_too_late_is_told(store: Store) -> None:
    told: list[Fact] = []
    observers = Observers()
    observers.add(told.append)
    committer = Committer(store, observers, max_in_flight=1)
    hand = await start(store)
    assert isinstance(await committer.commit(hand.succeeded()), Applied)
    assert not [fact for fact in told if isinstance(fact, LateWriteRefused)]
    assert isinstance(await committer.commit(hand.succeeded()), Applied), (
        "the same write again is the one that was applied"
    )
    late = Hand(hand.id, uuid4(), hand.owner, hand.state)
    assert isinstance(await committer.commit(late.failed()), Lost)
    assert [fact.saga_id for fact in told if isinstance(fact, LateWriteRefused)] == [hand.id]
    await committer.stop(1.0)
