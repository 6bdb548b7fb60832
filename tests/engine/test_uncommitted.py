"""A process remembers the sagas that it has started in callers' transactions."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

import asyncpg
import pytest

from saga_fn.core.ids import Moment
from saga_fn.engine.uncommitted import Uncommitted

SECOND = 1_000_000
NOW = Moment(1000 * SECOND)


class Connection:
    """A caller's connection, in a transaction until the test says otherwise."""

    def __init__(self) -> None:
        self.within: bool | Exception = True

    def is_in_transaction(self) -> bool:
        if isinstance(self.within, Exception):
            raise self.within
        return self.within

    async def execute(self, query: str, /, *args: object) -> str:
        raise AssertionError(query)

    async def fetch(self, query: str, /, *args: object) -> Sequence[object]:
        raise AssertionError(query)

    async def fetchrow(self, query: str, /, *args: object) -> object:
        raise AssertionError(query)


def before(seconds: float) -> Moment:
    return Moment(NOW - round(seconds * SECOND))


@pytest.fixture
def uncommitted() -> Uncommitted:
    return Uncommitted()


def test_nothing_is_due_where_nothing_was_started(uncommitted: Uncommitted) -> None:
    assert uncommitted.committed(NOW) is None


@pytest.mark.parametrize("end", [False, RuntimeError("it went back to its pool")], ids=["committed", "given back"])
def test_when_a_transaction_is_over_its_sagas_may_be_due_since_it_began(
    uncommitted: Uncommitted, end: bool | Exception
) -> None:
    connection, saga = Connection(), uuid4()
    uncommitted.add([saga], connection, before(60))
    connection.within = end
    assert uncommitted.committed(NOW) == before(60)
    assert uncommitted.committed(NOW) is None, "it was told"
    assert saga in uncommitted


def test_the_earliest_counts(uncommitted: Uncommitted) -> None:
    for seconds in (3, 60, 2):
        connection = Connection()
        uncommitted.add([uuid4()], connection, before(seconds))
        connection.within = False
    assert uncommitted.committed(NOW) == before(60)


def test_a_transaction_that_stays_open_has_nobody_look_far_back_for_what_another_has_committed(
    uncommitted: Uncommitted,
) -> None:
    stays, ends = Connection(), Connection()
    uncommitted.add([uuid4()], stays, before(60))
    uncommitted.add([uuid4()], ends, before(2))
    ends.within = False
    assert uncommitted.committed(NOW) == before(2)
    stays.within = False
    assert uncommitted.committed(NOW) == before(60)


def test_a_connection_that_its_pool_has_lent_again_hides_no_saga_of_late(uncommitted: Uncommitted) -> None:
    lent = Connection()
    uncommitted.add([uuid4()], lent, before(0.5))
    assert lent.is_in_transaction(), "in the next one"
    assert uncommitted.committed(NOW) == before(0.5)
    assert uncommitted.committed(Moment(NOW + SECOND)) is None
    lent.within = False
    assert uncommitted.committed(Moment(NOW + SECOND)) == before(0.5)


async def test_a_raw_connection_that_is_in_another_transaction_by_now_hides_no_saga(
    dsn: str, uncommitted: Uncommitted
) -> None:
    """As SQLAlchemy's pool lends it: the same connection each time."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            uncommitted.add([uuid4()], connection, before(60))
            assert uncommitted.committed(NOW) is None, "it is open"
            async with connection.transaction():
                assert uncommitted.committed(NOW) is None, "within a savepoint as well"
        async with connection.transaction():
            assert uncommitted.committed(NOW) == before(60)
            assert uncommitted.committed(NOW) is None, "it was told"
    finally:
        await connection.close()


def test_it_remembers_a_thousand(uncommitted: Uncommitted) -> None:
    for number in range(1001):
        uncommitted.add([uuid4()], Connection(), before(2000 - number))
    assert uncommitted.committed(NOW) is None, "all are open"
    last = Connection()
    uncommitted.add([uuid4()], last, before(5))
    last.within = False
    assert uncommitted.committed(NOW) == before(5)


def test_more_starts_of_one_transaction_than_it_remembers_are_due_since_the_first_of_them(
    uncommitted: Uncommitted,
) -> None:
    connection = Connection()
    for number in range(2500):
        uncommitted.add([uuid4()], connection, before(5000 - number))
    connection.within = False
    assert uncommitted.committed(NOW) == before(5000)
