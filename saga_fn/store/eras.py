"""Eras: the months by which a journal may be partitioned. A saga's era is the month of its start, and stays."""

from __future__ import annotations

from typing import Final

from saga_fn.core.ids import Moment
from saga_fn.store.records import time_of
from saga_fn.store.schema_name import with_schema

MONTHS_AHEAD: Final = 24
"""For so many months after the present one partitions are made."""
MONTHS_LEFT: Final = 3
"""With so many months left that have a partition, or fewer, a person is told."""
_FIRST_YEAR: Final = 2000
_MONTHS: Final = 12
_JOURNAL: Final = "CREATE TABLE {schema}.saga_journal ("
_BY_ERA: Final = " PARTITION BY RANGE (era)"


def era_of(moment: Moment) -> int:
    """The era of a saga that starts at that moment: the months since January 2000, in UTC.

    >>> era_of(Moment(1_767_225_600_000_000))
    312
    """
    time = time_of(moment)
    return (time.year - _FIRST_YEAR) * _MONTHS + time.month - 1


def eras_until_ahead(first: int, month: int) -> range:
    """The eras from `first` up to so many months after `month` as a journal is to have partitions for.

    >>> eras_until_ahead(335, 312)
    range(335, 337)
    """
    return range(first, month + MONTHS_AHEAD + 1)


def month_of(era: int) -> str:
    """The month of an era, as a person writes it.

    >>> month_of(312)
    '2026-01'
    """
    year, month = divmod(era, _MONTHS)
    return f"{_FIRST_YEAR + year:04}-{month + 1:02}"


def partition_of(era: int) -> str:
    """The name of the partition that holds the journals of an era, without its schema.

    >>> partition_of(312)
    'saga_journal_2026_01'
    """
    return f"saga_journal_{month_of(era).replace('-', '_')}"


def partitioned(statement: str) -> str:
    """A statement of a migration, such that the journal that it makes is partitioned by era; another one as it is."""
    return statement + _BY_ERA if statement.startswith(_JOURNAL) else statement


def is_partitioned(statement: str) -> bool:
    """Whether the statement makes a journal that is partitioned, and has no partition yet."""
    return statement.endswith(_BY_ERA)


def statements_adding(era: int, schema: str) -> list[str]:
    """The statements that give a journal the partition of an era; they belong into one transaction.

    The table is attached when it is ready: to make it as a partition would lock every reader and writer of the journal out.
    """
    partition = f"{{schema}}.{partition_of(era)}"
    statements = (
        f"CREATE TABLE {partition} (LIKE {{schema}}.saga_journal INCLUDING ALL)",
        f"ALTER TABLE {{schema}}.saga_journal ATTACH PARTITION {partition} FOR VALUES FROM ({era}) TO ({era + 1})",
        f"INSERT INTO {{schema}}.journal_era (era) VALUES ({era})",  # noqa: S608 - a number, and a schema that was judged
    )
    return [with_schema(statement, schema) for statement in statements]
