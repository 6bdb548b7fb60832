"""Eras: months counted from January 2000, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from saga_fn.store.eras import (
    MONTHS_AHEAD,
    era_of,
    eras_until_ahead,
    is_partitioned,
    month_of,
    partition_of,
    partitioned,
)
from saga_fn.store.records import moment_of

JOURNAL = "CREATE TABLE {schema}.saga_journal (\n    era smallint\n)"


def test_an_era_begins_with_its_month() -> None:
    for number in range(-12, 12 * 101):
        first = datetime(2000 + number // 12, number % 12 + 1, 1, tzinfo=UTC)
        assert era_of(moment_of(first)) == number
        assert era_of(moment_of(first - timedelta(microseconds=1))) == number - 1
        assert month_of(number) == f"{first:%Y-%m}"
        assert partition_of(number) == f"saga_journal_{first:%Y_%m}"


def test_what_is_missing_goes_on_after_the_newest_and_reaches_as_far_as_from_nothing() -> None:
    whole = eras_until_ahead(7, 7)
    assert len(whole) == MONTHS_AHEAD + 1
    for newest in range(7, 7 + MONTHS_AHEAD):
        assert [*range(7, newest + 1), *eras_until_ahead(newest + 1, 7)] == [*whole]
    assert not eras_until_ahead(whole[-1] + 1, 7)
    assert not eras_until_ahead(whole[-1] + 2, 7)


def test_the_journal_alone_is_partitioned() -> None:
    assert partitioned(JOURNAL) == f"{JOURNAL} PARTITION BY RANGE (era)"
    assert is_partitioned(partitioned(JOURNAL))
    assert not is_partitioned(JOURNAL)
    other = JOURNAL.replace("saga_journal", "saga_inbox")
    assert partitioned(other) == other
