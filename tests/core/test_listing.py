"""Which index serves a list: the whole table of what may be asked for together."""

from __future__ import annotations

import itertools

import pytest

from saga_fn.core.ids import Moment
from saga_fn.core.listing import (
    NotServed,
    Wanted,
    Way,
    has_value,
    is_on_the_way,
    live_kinds,
    reasons_of,
    statuses_of,
    way_of,
)
from saga_fn.core.projection import SagaStatus, WaitReason

THEN = Moment(5)
PARKED, EVENT = WaitReason.PARKED, WaitReason.EVENT

SERVED = [
    (Wanted(), Way.CREATED),
    (Wanted(name="shop"), Way.CREATED),
    (Wanted(name="shop", version=2, created_from=THEN, created_before=THEN, oldest_first=True), Way.CREATED),
    (Wanted(version=2, older_than=1), Way.CREATED),
    (Wanted(active=True), Way.LIVE),
    (Wanted(status=SagaStatus.RUNNING, created_before=THEN, oldest_first=True), Way.LIVE),
    (Wanted(waits=EVENT, older_than=1), Way.LIVE),
    (Wanted(waits=EVENT, status=SagaStatus.SUSPENDED), Way.LIVE),
    (Wanted(waits=PARKED), Way.PARKED),
    (Wanted(waits=WaitReason.PLAN, oldest_first=True), Way.PARKED),
    (Wanted(waits=WaitReason.PAUSED), Way.PARKED),
    (Wanted(waits=PARKED | EVENT, active=True, status=SagaStatus.SUSPENDED), Way.PARKED),
    (Wanted(parked="past_pivot"), Way.PARKED),
    (Wanted(waits=PARKED, step="a", error="E", created_from=THEN), Way.PARKED),
    (Wanted(active=False), Way.ENDED),
    (Wanted(ended_from=THEN, ended_before=THEN), Way.ENDED),
    (Wanted(status=SagaStatus.COMPLETED, ended_before=THEN), Way.ENDED),
    (Wanted(status=SagaStatus.FAILED, step="a", error="E", parked="past_pivot"), Way.ENDED),
    (Wanted(status=SagaStatus.FAILED, acknowledged=False, step="a", error="E", ended_from=THEN), Way.FAILED),
    (Wanted(aggregation_id="k", status=SagaStatus.FAILED, acknowledged=True), Way.KEY),
    (Wanted(aggregation_id="k", status=SagaStatus.FAILED, step="a", ended_from=THEN, created_from=THEN), Way.KEY),
    (Wanted(aggregation_id="k", active=True, error="E"), Way.KEY),
    (Wanted(attribute="region", value="seu"), Way.ATTRIBUTE),
    (
        Wanted(attribute="region", value="seu", status=SagaStatus.FAILED, created_from=THEN, ended_from=THEN),
        Way.ATTRIBUTE,
    ),
    (Wanted(attribute="region", value="seu", name="shop", version=2, waits=PARKED, step="a"), Way.ATTRIBUTE),
    (Wanted(attribute="total", value="i", value_before="j", error="E"), Way.RANGE),
]


@pytest.mark.parametrize("wanted, way", SERVED)
def test_each_of_these_is_served_by_an_index(wanted: Wanted, way: Way) -> None:
    assert way_of(wanted) is way


REFUSED = [
    (Wanted(status=SagaStatus.FAILED, active=True), "at the same time"),
    (Wanted(status=SagaStatus.RUNNING, ended_from=THEN), "at the same time"),
    (Wanted(waits=EVENT, active=False), "at the same time"),
    (Wanted(waits=PARKED, status=SagaStatus.FAILED), "at the same time"),
    (Wanted(waits=EVENT, status=SagaStatus.RUNNING), "only a SUSPENDED saga waits"),
    (Wanted(parked="past_pivot", status=SagaStatus.COMPENSATING), "only a SUSPENDED saga waits"),
    (Wanted(acknowledged=False), "only a FAILED saga is acknowledged"),
    (Wanted(aggregation_id="k", acknowledged=True), "only a FAILED saga is acknowledged"),
    (Wanted(status=SagaStatus.FAILED, acknowledged=True, oldest_first=True), "the newest first"),
    (Wanted(step="a"), "among the parked or the FAILED"),
    (Wanted(error="E", waits=EVENT), "among the parked or the FAILED"),
    (Wanted(error="E", status=SagaStatus.COMPENSATED), "among the parked or the FAILED"),
    (Wanted(status=SagaStatus.FAILED, created_from=THEN), "by the time of their end"),
    (Wanted(active=False, older_than=1), "by the time of their end"),
    (Wanted(status=SagaStatus.FAILED, oldest_first=True), "the newest first"),
    (Wanted(aggregation_id="k", oldest_first=True), "the newest first"),
    (Wanted(aggregation_id="k", status=SagaStatus.FAILED, active=True), "at the same time"),
    (Wanted(attribute="region", value="seu", status=SagaStatus.FAILED, active=True), "at the same time"),
    (Wanted(attribute="region", value="seu", status=SagaStatus.RUNNING, waits=EVENT), "only a SUSPENDED saga waits"),
    (Wanted(attribute="region", value="seu", aggregation_id="k"), "two indexes"),
    (Wanted(attribute="total", value="i", value_before="j", oldest_first=True), "the newest first"),
]


@pytest.mark.parametrize("wanted, fact", REFUSED)
def test_each_of_these_is_refused_with_what_to_ask_instead(wanted: Wanted, fact: str) -> None:
    way = way_of(wanted)
    assert isinstance(way, NotServed)
    assert fact in way.fact
    assert way.mend


def test_every_combination_has_a_way_or_a_reason() -> None:
    statuses = [None, *SagaStatus]
    for status, active, waits, error, parked, begun, over, oldest in itertools.product(
        statuses,
        (None, True, False),
        (WaitReason.NOTHING, EVENT, PARKED),
        (None, "E"),
        (None, "past_pivot"),
        (None, THEN),
        (None, THEN),
        (False, True),
    ):
        wanted = Wanted(
            status=status,
            active=active,
            waits=waits,
            error=error,
            parked=parked,
            created_from=begun,
            ended_from=over,
            oldest_first=oldest,
        )
        way = way_of(wanted)
        if way is Way.ENDED:
            assert all(each.is_terminal for each in statuses_of(wanted))
            assert (error, parked) == (None, None) or status is SagaStatus.FAILED
        elif way is Way.LIVE:
            assert not any(each.is_terminal for each in statuses_of(wanted))
        elif way is Way.CREATED:
            assert (status, active, waits, error, parked, over) == (None, None, WaitReason.NOTHING, None, None, None)


def test_the_statuses_are_those_that_the_filter_leaves() -> None:
    assert statuses_of(Wanted()) == tuple(SagaStatus)
    assert statuses_of(Wanted(waits=EVENT)) == (SagaStatus.SUSPENDED,)
    assert {*statuses_of(Wanted(active=True)), *statuses_of(Wanted(active=False))} == set(SagaStatus)
    assert statuses_of(Wanted(ended_from=THEN)) == statuses_of(Wanted(active=False))
    assert statuses_of(Wanted(status=SagaStatus.FAILED)) == (SagaStatus.FAILED,)


def test_a_reason_is_found_among_others_and_a_plan_only_where_it_parks() -> None:
    assert all(EVENT in each for each in reasons_of(EVENT))
    assert len(reasons_of(WaitReason.NOTHING)) == 25
    assert all(PARKED in each for each in reasons_of(WaitReason.PLAN))
    assert len(live_kinds(Wanted(active=True))) == 2 + 25
    assert set(live_kinds(Wanted(waits=EVENT))) == {(SagaStatus.SUSPENDED, each) for each in reasons_of(EVENT)}
    assert [is_on_the_way(way, EVENT) for way in (Way.PARKED, Way.LIVE)] == [False, True]
    assert is_on_the_way(Way.PARKED, PARKED | EVENT)
    assert is_on_the_way(Way.PARKED, WaitReason.PAUSED)
    assert reasons_of(WaitReason.PAUSED) == (WaitReason.PAUSED, WaitReason.PAUSED | PARKED)


def test_a_value_is_asked_for_alone_or_in_a_range_that_its_end_does_not_belong_to() -> None:
    one, some = Wanted(attribute="total", value="i2"), Wanted(attribute="total", value="i2", value_before="i4")
    assert [has_value(one, value) for value in (None, "i1", "i2", "i3")] == [False, False, True, False]
    assert [has_value(some, value) for value in (None, "i1", "i2", "i3", "i4")] == [False, False, True, True, False]
    assert has_value(Wanted(), None)
