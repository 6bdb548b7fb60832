"""Lists of sagas: whatever is asked, the pages together are the rows that fit, in order, each once."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from uuid import UUID, uuid4

import msgspec
import pytest

from saga_fn.core.events import Resumed
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.listing import NotServed, Wanted, Way, has_value, reasons_of, way_of
from saga_fn.core.projection import Projection, SagaStatus, WaitReason, only_a_person_goes_on
from saga_fn.core.state import Goal, ParkReason
from saga_fn.snapshot import SagaRow
from saga_fn.store.ids import shard_of
from saga_fn.store.listing import Listing, fits
from saga_fn.store.protocol import Store
from saga_fn.store.records import Entry, SagaWrite, moment_of
from tests.store.given import HOUR, LONG, hand_of, new_saga, start

NAMES, VERSIONS, KEYS = ("shop", "bank", "post"), (1, 2, 7), ("key 1", "key 2")
REASONS, STEPS, ERRORS = ("past_pivot", "crash_loop"), ("a", "b", "a[12]", "a[x]"), ("Boom", "TimeoutError")
ATTRIBUTES, VALUES = ("region", "total"), ("sa", "sb", "i1", "i2", "i3")
PARKED = WaitReason.PARKED

pytestmark = pytest.mark.raw_rows


def forged(at: Moment, status: SagaStatus, waits: WaitReason, chance: random.Random) -> Projection:
    """The row of a saga with that status and those reasons."""
    wrong = PARKED in waits or status is SagaStatus.FAILED
    return Projection(
        status,
        waits,
        None if status.is_terminal else Moment(at + HOUR),
        0,
        None,
        chance.choice(REASONS) if PARKED in waits else None,
        not only_a_person_goes_on(waits),
        StepId(chance.choice(STEPS)) if wrong else None,
    )


async def written(store: Store, saga: UUID, projection: Projection, error: str | None, *, rev: int = 1) -> None:
    """Write that row, whatever led to it."""
    new = new_saga(store, owned=False)
    goal = Goal[projection.status.name] if projection.status.is_terminal else Goal.FORWARD
    write = SagaWrite(
        id=saga,
        token=None,
        rev=rev,
        state=msgspec.structs.replace(new.state, rev=rev + 1, goal=goal),
        projection=projection,
        release=True,
        due=projection.due,
        inbox_seen=None,
        last_error=error,
        entries=(Entry(Resumed(store.now())),),
        answers=(),
        writer=uuid4(),
    )
    assert (await store.commit(shard_of(saga, store.shards), [write])).inbox_sent == {saga: 0}


async def filled(store: Store, chance: random.Random, sagas: int) -> list[UUID]:
    """Sagas of all kinds, many of which were started by one statement, so at one moment."""
    ids: list[UUID] = []
    for _ in range(sagas // 6):
        group = [
            new_saga(
                store,
                owned=False,
                name=chance.choice(NAMES),
                version=chance.choice(VERSIONS),
                aggregation_id=chance.choice((None, None, *KEYS)),
                attributes=tuple((key, chance.choice(VALUES)) for key in ATTRIBUTES if chance.random() < 0.8),
            )
            for _ in range(6)
        ]
        inserted = await store.insert(0, group, lease=LONG)
        for new in group:
            if new.id not in inserted.ids:
                continue
            ids.append(new.id)
            status = chance.choice(tuple(SagaStatus))
            if new.aggregation_id is not None and chance.random() < 0.8:
                status = chance.choice([each for each in SagaStatus if each.is_terminal])
            waits = (
                chance.choice(reasons_of(WaitReason.NOTHING)) if status is SagaStatus.SUSPENDED else WaitReason.NOTHING
            )
            error = chance.choice((None, *ERRORS))
            await written(store, new.id, forged(store.now(), status, waits, chance), error)
            if status is SagaStatus.FAILED and chance.random() < 0.5:
                assert await store.acknowledge(new.id, 2, "")
    return ids


def maybe(chance: random.Random, values: Sequence[object], odds: float = 0.25) -> object:
    return chance.choice(values) if chance.random() < odds else None


def any_filter(chance: random.Random, moments: Sequence[Moment]) -> Wanted:
    return msgspec.convert(
        {
            "name": maybe(chance, NAMES, 0.5),
            "version": maybe(chance, VERSIONS),
            "status": maybe(chance, tuple(SagaStatus), 0.3),
            "active": maybe(chance, (True, False), 0.2),
            "waits": WaitReason(chance.choice((0, 0, 0, 1, 2, 4, 16, 16, 32, 20, 64, 80))),
            "aggregation_id": maybe(chance, KEYS, 0.2),
            "created_from": maybe(chance, moments),
            "created_before": maybe(chance, moments),
            "ended_from": maybe(chance, moments, 0.2),
            "ended_before": maybe(chance, moments, 0.2),
            "older_than": maybe(chance, (1, 10**15), 0.1),
            "parked": maybe(chance, REASONS, 0.15),
            "step": maybe(chance, STEPS, 0.2),
            "error": maybe(chance, ERRORS, 0.2),
            "acknowledged": maybe(chance, (True, False), 0.2),
            "oldest_first": chance.random() < 0.3,
            **chance.choice(({}, {}, {}, *BY_VALUE)),
        },
        Wanted,
    )


BY_VALUE: list[dict[str, object]] = [
    {"attribute": "region", "value": "sb"},
    {"attribute": "total", "value": "i1", "value_before": "i3"},
    {"attribute": "total", "value": "i", "value_before": "j"},
    {"attribute": "none", "value": "sa"},
]


async def pages(store: Store, wanted: Wanted, way: Way, most: int) -> list[SagaRow]:
    """All pages, one after the other."""
    found: list[SagaRow] = []
    after = None
    while True:
        asked = Listing(wanted, way, after, most)
        rows = await store.lists.page(asked)
        assert len(rows) <= most
        found += rows
        if len(rows) < most:
            return found
        after = asked.place_of(rows[-1])


def in_order(
    rows: Sequence[SagaRow], values: Mapping[UUID, Mapping[str, str]], wanted: Wanted, way: Way, now: Moment
) -> list[SagaRow]:
    """The rows that all pages together must have. `values` are the attributes of each saga."""
    asked = Listing(wanted, way, None, 1)
    kept = [
        row
        for row in rows
        if fits(wanted, way, row)
        and _in_time(row, wanted, way, now)
        and has_value(wanted, values[row.id].get(wanted.attribute or ""))
    ]
    return sorted(kept, key=asked.place_of, reverse=not wanted.oldest_first)


def _in_time(row: SagaRow, wanted: Wanted, way: Way, now: Moment) -> bool:
    begun = moment_of(row.created_at)
    if way in (Way.ENDED, Way.FAILED):
        return row.ended_at is not None
    return (
        (wanted.created_from is None or begun >= wanted.created_from)
        and (wanted.created_before is None or begun < wanted.created_before)
        and (wanted.older_than is None or begun <= now - wanted.older_than)
    )


@pytest.mark.parametrize("seed", [1, 2])
async def test_the_pages_of_any_filter_are_the_rows_that_fit_in_order(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    ids = await filled(store, chance, 90)
    every = await pages(store, Wanted(), Way.CREATED, 7)
    assert sorted(row.id for row in every) == sorted(ids)
    for row in every:
        stored = await store.read(row.id)
        assert stored is not None
        assert (row.status, row.waits, row.parked, row.problem_step, row.last_error, row.revision) == (
            stored.status,
            stored.waits,
            stored.parked,
            stored.problem_step,
            stored.last_error,
            stored.rev,
        )
    moments = [moment_of(each.created_at) for each in every] + [
        moment_of(each.ended_at) for each in every if each.ended_at
    ]
    values = {row.id: (await store.lists.attributes([row.id]))[row.id] for row in every}
    tried = dict.fromkeys(Way, 0)
    while min(tried.values()) < 25:
        wanted = any_filter(chance, moments)
        way = way_of(wanted)
        if isinstance(way, NotServed) or tried[way] >= 25:  # some ways are rare
            continue
        tried[way] += 1
        found = await pages(store, wanted, way, chance.choice((1, 2, 3, 50)))
        assert found == in_order(every, values, wanted, way, store.now()), wanted


@pytest.mark.parametrize("oldest_first", [False, True])
async def test_a_page_may_end_among_sagas_of_one_moment(store: Store, oldest_first: bool) -> None:
    group = [new_saga(store, owned=False) for _ in range(7)]
    await store.insert(0, group, lease=LONG)
    for most in (1, 2, 3):
        found = await pages(store, Wanted(oldest_first=oldest_first), Way.CREATED, most)
        assert len({row.created_at for row in found}) == 1
        assert [row.id for row in found] == sorted((new.id for new in group), reverse=not oldest_first)


async def test_a_saga_that_changes_between_two_pages_is_not_listed_twice(store: Store) -> None:
    chance = random.Random(3)
    group = [new_saga(store, owned=False) for _ in range(6)]
    await store.insert(0, group, lease=LONG)
    for new in group:
        await written(store, new.id, forged(store.now(), SagaStatus.SUSPENDED, WaitReason.EVENT, chance), None)
    wanted = Wanted(active=True, name="shop")
    asked = Listing(wanted, Way.LIVE, None, 2)
    seen: list[UUID] = []
    while rows := await store.lists.page(asked):
        seen += [row.id for row in rows]
        asked = Listing(wanted, Way.LIVE, asked.place_of(rows[-1]), 2)
        for row in rows:  # it goes on, or ends
            status = chance.choice((SagaStatus.COMPLETED, SagaStatus.RUNNING))
            await written(store, row.id, forged(store.now(), status, WaitReason.NOTHING, chance), None, rev=2)
    assert sorted(seen) == sorted(new.id for new in group)


async def test_a_saga_that_ends_again_between_two_pages_is_not_listed_twice(store: Store) -> None:
    chance = random.Random(4)
    group = [new_saga(store, owned=False) for _ in range(6)]
    await store.insert(0, group, lease=LONG)
    for new in group:
        await written(store, new.id, forged(store.now(), SagaStatus.FAILED, WaitReason.NOTHING, chance), "Boom")
    wanted = Wanted(status=SagaStatus.FAILED)
    asked = Listing(wanted, Way.ENDED, None, 2)
    seen: list[UUID] = []
    while rows := await store.lists.page(asked):
        seen += [row.id for row in rows]
        asked = Listing(wanted, Way.ENDED, asked.place_of(rows[-1]), 2)
        for row in rows:
            await written(
                store, row.id, forged(store.now(), SagaStatus.RUNNING, WaitReason.NOTHING, chance), None, rev=2
            )
            await written(
                store, row.id, forged(store.now(), SagaStatus.FAILED, WaitReason.NOTHING, chance), "Boom", rev=3
            )
    assert len(seen) == len(set(seen)) == 6


async def test_a_store_without_sagas_and_an_unknown_name_give_empty_pages(store: Store) -> None:
    assert await store.lists.page(Listing(Wanted(), Way.CREATED, None, 9)) == []
    await store.insert(0, [new_saga(store, owned=False)], lease=LONG)
    assert await store.lists.page(Listing(Wanted(name="nobody"), Way.CREATED, None, 9)) == []
    assert await store.lists.page(Listing(Wanted(version=9), Way.CREATED, None, 9)) == []
    assert await store.lists.page(Listing(Wanted(aggregation_id="k"), Way.KEY, None, 9)) == []


async def test_a_row_that_was_set_aside_is_found_by_its_reason(store: Store) -> None:
    new = new_saga(store)
    await store.insert(0, [new], lease=LONG)
    assert new.token is not None
    await store.park_row(new.id, new.token, "StoredDataError", ParkReason.STATE_UNREADABLE)
    (row,) = await store.lists.page(Listing(Wanted(parked="state_unreadable"), Way.PARKED, None, 9))
    assert (row.id, row.last_error, row.problem_step) == (new.id, "StoredDataError", None)
    assert await store.end_row(new.id, 1, "StoredDataError")
    (row,) = await store.lists.page(Listing(Wanted(status=SagaStatus.FAILED), Way.ENDED, None, 9))
    assert row.id == new.id


async def test_attributes_are_there_as_they_were_set_last(store: Store) -> None:
    plain, told = new_saga(store), new_saga(store, attributes=(("region", "seu"), ("total", "i1")))
    await store.insert(0, [plain, told], lease=LONG)
    assert (await store.lists.attributes([plain.id]))[plain.id] == {}
    assert (await store.lists.attributes([told.id]))[told.id] == {"region": "seu", "total": "i1"}
    writes = [
        msgspec.structs.replace(hand_of(plain).succeeded(), attributes=(("total", "i3"),)),
        msgspec.structs.replace(hand_of(told).succeeded(), attributes=(("customer", "sc"), ("total", "i2"))),
    ]
    for each in writes:  # alone, and again: a repetition changes nothing
        assert (await store.commit(0, [each])).inbox_sent == {each.id: 0}
    assert (await store.commit(0, writes)).inbox_sent == {}
    assert (await store.lists.attributes([plain.id]))[plain.id] == {"total": "i3"}
    assert (await store.lists.attributes([told.id]))[told.id] == {"customer": "sc", "region": "seu", "total": "i2"}
    found = await pages(store, Wanted(name="shop", attribute="total", value="i", value_before="j"), Way.RANGE, 1)
    assert {row.id for row in found} == {plain.id, told.id}
    assert await pages(store, Wanted(attribute="total", value="i1"), Way.ATTRIBUTE, 1) == []


async def test_a_write_that_has_lost_its_saga_sets_no_attribute(store: Store) -> None:
    hands = [await start(store) for _ in range(3)]
    writes = [msgspec.structs.replace(hand.succeeded(), attributes=(("total", "i1"),)) for hand in hands]
    writes[1] = msgspec.structs.replace(writes[1], token=uuid4())
    assert (await store.commit(0, writes)).inbox_sent.keys() == {hands[0].id, hands[2].id}
    assert [(await store.lists.attributes([hand.id]))[hand.id] for hand in hands] == [
        {"total": "i1"},
        {},
        {"total": "i1"},
    ]
    again = new_saga(store, key="k", attributes=(("total", "i1"),))
    await store.insert(0, [again], lease=LONG)
    repeated = msgspec.structs.replace(again, attributes=(("total", "i9"),))
    assert (await store.insert(0, [repeated], lease=LONG)).ids == set()
    assert (await store.lists.attributes([again.id]))[again.id] == {"total": "i1"}


async def test_a_value_is_known_if_any_saga_of_the_name_has_one_in_the_span(store: Store) -> None:
    await store.insert(0, [new_saga(store, name="bank", attributes=(("total", "i1"),))], lease=LONG)
    lists = store.lists
    assert await lists.knows_values("bank", "total", ("i", "j"))
    assert await lists.knows_values(None, "total", ("i", "j"))
    assert not await lists.knows_values("bank", "total", ("s", "t"))
    assert not await lists.knows_values("bank", "region", ("i", "j"))
    assert not await lists.knows_values("shop", "total", ("i", "j"))
