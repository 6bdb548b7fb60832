"""A look for due sagas that comes soon after a look at all asks only for what is new, and misses nothing for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from typing import Any, TypeAlias

import asyncpg
import pytest
from typing_extensions import override

from saga_fn import MemoryStore, SagaAdmin, SagaOrchestrator
from saga_fn import steady as steady_clock
from saga_fn.core.ids import LONG_AGO, Moment
from saga_fn.engine import look_from
from saga_fn.engine.look_from import AT_ALL_AT_LEAST_EVERY, AT_ALL_EVERY, LookFrom
from saga_fn.store import Store
from saga_fn.store.postgres import PostgresStore
from saga_fn.store.records import ClaimedSaga, Hint
from tests.support.shop import Order, Shop, make_saga
from tests.support.until import SOON, until
from tests.typing.right.store import CountingStore

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
NEVER = timedelta(hours=1)
FREE, LIMITED = BOTH = ("free", 1), ("limited", 1)
SECOND = 1_000_000
OVERLAP = look_from._OVERLAP  # pyright: ignore[reportPrivateUsage]  # how far a look goes back


class Clocks:
    """Both clocks, a second a second: the database's is the other one's time in microseconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 1000.0
        monkeypatch.setattr(steady_clock, "now", lambda: self.seconds)

    def now(self) -> Moment:
        return Moment(round(self.seconds * SECOND))


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    return Clocks(monkeypatch)


@pytest.fixture
def looks(clocks: Clocks) -> LookFrom:
    return LookFrom(clocks.now)


def at_all(looks: LookFrom, *, took: float = 0.0) -> bool:
    """Whether the next look asks for all; it takes all that it finds."""
    since = looks.begin()
    looks.end(took=took, left=None)
    return since is None


def test_the_first_look_asks_for_all_that_is_due(looks: LookFrom) -> None:
    assert looks.begin() is None


def test_each_after_it_asks_from_a_little_before_the_last_one_on(looks: LookFrom, clocks: Clocks) -> None:
    assert at_all(looks)
    for _ in range(3):
        began = clocks.now()
        clocks.seconds += 0.2
        assert looks.begin() == began - OVERLAP
        clocks.seconds += 0.1  # while it lasts
        looks.end(took=0.1, left=None)
        clocks.seconds -= 0.1


def test_a_second_after_it_began_the_next_asks_for_all(looks: LookFrom, clocks: Clocks) -> None:
    assert at_all(looks)
    clocks.seconds += AT_ALL_EVERY - 0.01
    assert not at_all(looks)
    clocks.seconds += 0.01
    assert at_all(looks)


@pytest.mark.parametrize("took, wait", [(0.0, 1.0), (0.005, 1.0), (0.03, 6.0), (0.1, 20.0), (0.5, 20.0)])
def test_those_at_all_take_one_part_in_two_hundred_of_the_time_or_come_each_twenty_seconds(
    looks: LookFrom, clocks: Clocks, took: float, wait: float
) -> None:
    assert at_all(looks, took=took)
    clocks.seconds += wait - 0.01
    assert not at_all(looks)
    clocks.seconds += 0.02
    assert at_all(looks)


def test_one_of_three_that_was_quick_tells_that_it_is_not_what_they_walk_that_takes_long(
    looks: LookFrom, clocks: Clocks
) -> None:
    for took in (0.5, 0.0, 0.5, 0.5):
        assert at_all(looks, took=took)
        clocks.seconds += AT_ALL_EVERY if took == 0.0 else AT_ALL_AT_LEAST_EVERY
    # None of the last three was quick.
    assert at_all(looks, took=0.5)
    clocks.seconds += AT_ALL_EVERY
    assert not at_all(looks)


def test_where_something_was_left_the_next_asks_from_the_oldest_of_it_on(looks: LookFrom, clocks: Clocks) -> None:
    left = Moment(clocks.now() - 60 * SECOND)
    looks.begin()
    looks.end(took=0.0, left=left)
    clocks.seconds += 0.3
    assert looks.begin() == left, "what is older was taken by a look at all"
    looks.end(took=0.0, left=Moment(left + SECOND))
    assert looks.begin() == left + SECOND
    looks.end(took=0.0, left=clocks.now())
    assert looks.begin() == clocks.now() - OVERLAP


def test_a_definition_that_there_was_no_room_for_is_asked_from_then_on(looks: LookFrom, clocks: Clocks) -> None:
    assert at_all(looks)
    clocks.seconds += 0.3
    first = looks.begin([FREE], BOTH)
    looks.end(took=0.0, left=None)
    clocks.seconds += 0.3
    second = looks.begin([FREE], BOTH)
    assert first is not None
    assert second is not None
    assert second > first, "the others are asked for what is new"
    looks.end(took=0.0, left=None)
    assert looks.begin(BOTH, BOTH) == first
    looks.end(took=0.0, left=None)
    assert looks.begin(BOTH, BOTH) == clocks.now() - OVERLAP


def test_a_look_at_all_asks_for_those_that_there_is_no_room_for_too(looks: LookFrom, clocks: Clocks) -> None:
    """Or each of many names that are at their limits would have a look at all of its own when there is room again."""
    left = Moment(clocks.now() - 60 * SECOND)
    assert looks.begin([FREE], BOTH) is None
    looks.end(took=0.0, left=None, crowded={LIMITED: left})
    clocks.seconds += 0.3
    assert looks.begin(BOTH, BOTH) == left
    looks.end(took=0.0, left=None)
    assert looks.begin(BOTH, BOTH) == clocks.now() - OVERLAP


def test_one_that_there_was_room_for_is_asked_from_the_oldest_that_is_left_of_it(
    looks: LookFrom, clocks: Clocks
) -> None:
    left = Moment(clocks.now() - 60 * SECOND)
    looks.begin(BOTH, BOTH)
    looks.end(took=0.0, left=None, crowded={LIMITED: left})
    clocks.seconds += 0.3
    since = looks.begin([FREE], BOTH)
    assert since is not None
    assert since > left
    looks.end(took=0.0, left=None)
    assert looks.begin(BOTH, BOTH) == left
    looks.end(took=0.0, left=None, crowded={LIMITED: Moment(left + SECOND)})
    assert looks.begin(BOTH, BOTH) == left + SECOND


def test_it_stays_so_while_looks_ask_some_shards_only(looks: LookFrom, clocks: Clocks) -> None:
    left = Moment(clocks.now() - 60 * SECOND)
    looks.begin(BOTH, BOTH)
    looks.end(took=0.0, left=None, crowded={LIMITED: left})
    looks.begin(BOTH, BOTH, every_shard=False)
    looks.end(took=0.0, left=None)
    assert looks.begin(BOTH, BOTH) == left


def test_a_look_that_failed_is_none(looks: LookFrom, clocks: Clocks) -> None:
    looks.begin()
    assert at_all(looks), "it was to ask for all"
    clocks.seconds += 0.3
    since = looks.begin()
    clocks.seconds += 0.3
    assert looks.begin() == since


def test_nor_is_one_that_asks_some_shards_only(looks: LookFrom, clocks: Clocks) -> None:
    looks.begin()
    assert looks.begin(every_shard=False) is None
    looks.end(took=0.0, left=None)
    assert at_all(looks)
    clocks.seconds += 0.3
    since = looks.begin(every_shard=False)
    assert since is not None
    looks.end(took=0.0, left=None)
    assert looks.begin() == since


def test_a_saga_that_became_due_before_is_asked_for(looks: LookFrom, clocks: Clocks) -> None:
    assert at_all(looks)
    due = Moment(clocks.now() - 2 * SECOND)
    looks.include(due)
    assert looks.begin() == due
    looks.include(Moment(due - SECOND))  # told while a look is made that may have passed it by
    looks.end(took=0.0, left=None)
    assert looks.begin() == due - SECOND
    looks.end(took=0.0, left=None)
    since = looks.begin()
    assert since is not None, "it was found"
    assert since > due


def test_one_that_will_be_due_changes_nothing(looks: LookFrom, clocks: Clocks) -> None:
    assert at_all(looks)
    looks.include(Moment(clocks.now() + SECOND))
    assert looks.begin() == clocks.now() - OVERLAP


def test_a_look_at_all_that_may_have_come_too_early_for_one_is_made_again(looks: LookFrom) -> None:
    looks.begin()
    looks.include(LONG_AGO)
    looks.end(took=0.0, left=None)
    assert at_all(looks)


class Telling(CountingStore):
    """A store that keeps in mind since when looks asked, and how often others have told it of something."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.asked: list[Moment | None] = []
        self.heard = 0
        """The first word is its own, as soon as it listens."""

    @override
    async def open(self, *, migrate: bool, listen: Callable[[Hint], None] | None) -> None:
        def heard(hint: Hint) -> None:
            self.heard += 1
            assert listen is not None
            listen(hint)

        await super().open(migrate=migrate, listen=heard)

    @override
    async def due_shards(
        self, definitions: Sequence[tuple[str, int]], *, since: Moment | None = None
    ) -> dict[int, Moment]:
        found = await super().due_shards(definitions, since=since)
        self.asked.append(since)
        return found


@pytest.fixture
async def connection(any_dsn: str) -> AsyncIterator[Connection]:
    """A caller's."""
    connection = await asyncpg.connect(any_dsn)
    yield connection
    connection.terminate()


@pytest.fixture
def no_second_look_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look asks for what became due after the last look at all, and none at all comes by itself."""
    monkeypatch.setattr(look_from, "AT_ALL_EVERY", 3600.0)
    monkeypatch.setattr(look_from, "AT_ALL_AT_LEAST_EVERY", 3600.0)
    monkeypatch.setattr(look_from, "_OVERLAP", 0)


async def has_looked_at_all(orchestrator: SagaOrchestrator, store: Telling) -> None:
    """Return when a look at all, that has begun from now on, was followed by one for what is new."""
    before = len(store.asked)
    orchestrator.engine.on_due(LONG_AGO)
    await until(lambda: None in store.asked[before:] and store.asked[-1] is not None)


@pytest.mark.parametrize("where", ["here", "in another process"])
@pytest.mark.usefixtures("no_second_look_at_all")
async def test_a_saga_is_found_when_its_pause_is_over(memory: MemoryStore, where: str) -> None:
    store, shop = Telling(memory), Shop()
    async with (
        SagaOrchestrator(memory, concurrency=0) as another,
        SagaOrchestrator(store, poll_interval=NEVER) as orchestrator,
    ):
        admin = SagaAdmin(orchestrator if where == "here" else another)
        await admin.pause("shop", may_be_new=True)
        orchestrator.register("shop", make_saga(shop))
        run = await another.register("shop", make_saga(Shop())).start(Order("1"))
        await has_looked_at_all(orchestrator, store)
        assert shop.keys == []
        await admin.resume("shop")
        await run.result(SOON)


@pytest.mark.usefixtures("no_second_look_at_all")
async def test_a_saga_is_found_when_its_definition_is_registered(memory: MemoryStore) -> None:
    store, shop = Telling(memory), Shop()
    async with (
        SagaOrchestrator(store, concurrency=0) as starting,
        SagaOrchestrator(store, poll_interval=NEVER) as orchestrator,
    ):
        orchestrator.register("another", make_saga(Shop()))
        run = await starting.register("shop", make_saga(Shop())).start(Order("1"))
        await has_looked_at_all(orchestrator, store)
        orchestrator.register("shop", make_saga(shop))
        await run.result(SOON)
        assert shop.done == ["reserve", "charge", "ship"]


@pytest.mark.parametrize("where", ["here", "in another process"])
@pytest.mark.parametrize("how", ["committed", "notify"])
@pytest.mark.usefixtures("no_second_look_at_all")
async def test_a_saga_of_a_callers_transaction_is_found_when_its_commit_is_told(
    any_dsn: str, connection: Connection, how: str, where: str
) -> None:
    store, shop = Telling(PostgresStore(any_dsn)), Shop()
    async with (
        SagaOrchestrator(any_dsn, concurrency=0) as another,
        SagaOrchestrator(store, poll_interval=NEVER) as orchestrator,
    ):
        there = another.register("shop", make_saga(Shop()))
        here = orchestrator.register("shop", make_saga(shop))
        shops = here if where == "here" else there
        async with connection.transaction():
            run = await shops.start(Order("1"), connection=connection, notify=how == "notify")
            await until(lambda: store.heard > 0)
            await has_looked_at_all(orchestrator, store)
            before = len(store.asked)
        if how == "committed":
            await (orchestrator if where == "here" else another).committed()
        await run.result(SOON)
        assert None not in store.asked[before:], "no look at all was needed: since when it is due is told"


@pytest.mark.parametrize("where", ["here", "in another process"])
@pytest.mark.usefixtures("no_second_look_at_all")
async def test_a_saga_that_waited_for_its_key_is_found_when_it_has_begun(
    any_dsn: str, connection: Connection, where: str
) -> None:
    store, shop = Telling(PostgresStore(any_dsn)), Shop()
    async with (
        SagaOrchestrator(any_dsn, concurrency=0, key_wait=timedelta(seconds=SOON)) as another,
        SagaOrchestrator(store, poll_interval=NEVER, key_wait=timedelta(seconds=SOON)) as orchestrator,
        asyncio.TaskGroup() as group,
    ):
        there = another.register("shop", make_saga(Shop()))
        here = orchestrator.register("shop", make_saga(shop))
        starter = here if where == "here" else there
        transaction = connection.transaction()
        await transaction.start()
        await starter.start(Order("1"), aggregation_id="a", connection=connection)
        starting = group.create_task(starter.start(Order("1"), aggregation_id="a"))
        await until(lambda: starter._starter._key_wait.waits)  # pyright: ignore[reportPrivateUsage]  # nothing else tells
        await until(lambda: store.heard > 0)
        await has_looked_at_all(orchestrator, store)
        await transaction.rollback()
        await (await starting).result(SOON)


@pytest.mark.usefixtures("no_second_look_at_all")
async def test_a_saga_is_found_whose_row_was_locked_at_the_look_at_all(memory: MemoryStore) -> None:
    shop, locked = Shop(), True

    class Locked(Telling):
        @override
        async def claim_due(self, *args: Any, since: Moment | None = None, **options: Any) -> list[ClaimedSaga]:
            nonlocal locked
            if locked:
                locked = False  # from then on
                return []
            return await super().claim_due(*args, since=since, **options)

    async with SagaOrchestrator(memory, concurrency=0) as starting:
        run = await starting.register("shop", make_saga(Shop())).start(Order("1"))
        async with SagaOrchestrator(Locked(memory), poll_interval=NEVER) as orchestrator:
            orchestrator.register("shop", make_saga(shop))
            await run.result(SOON)
    assert not locked


@pytest.mark.usefixtures("no_second_look_at_all")
async def test_what_a_claim_has_left_though_there_was_room_is_found_by_the_next_look(memory: MemoryStore) -> None:
    """As where other sessions have locked so many of the oldest rows that it sees few of the others."""
    shop, short = Shop(), 2

    class Short(Telling):
        @override
        async def claim_due(self, *args: Any, limit: int, **options: Any) -> list[ClaimedSaga]:
            nonlocal short
            short -= 1
            return await super().claim_due(*args, limit=1 if short >= 0 else limit, **options)

    async with SagaOrchestrator(memory, concurrency=0) as starting:
        shops = starting.register("shop", make_saga(Shop()))
        runs = [await shops.start(Order(str(number))) for number in range(5)]
        async with SagaOrchestrator(Short(memory), poll_interval=NEVER) as orchestrator:
            orchestrator.register("shop", make_saga(shop))
            for run in runs:
                await run.result(SOON)
    assert short < 0


@pytest.mark.usefixtures("no_second_look_at_all")
async def test_what_was_left_of_a_name_at_its_limit_is_found_when_there_is_room_again(memory: MemoryStore) -> None:
    store, shop = Telling(memory), Shop(hold=asyncio.Event())
    assert shop.hold is not None
    async with SagaOrchestrator(memory, concurrency=0) as starting:
        shops = starting.register("shop", make_saga(Shop()))
        runs = [await shops.start(Order(str(number))) for number in range(5)]
        async with SagaOrchestrator(store, poll_interval=NEVER) as orchestrator:
            orchestrator.register("another", make_saga(Shop()))
            orchestrator.register("shop", make_saga(shop), concurrency=1)
            await until(lambda: len(shop.keys) == 2)  # one is in its second step: there is no room for the others
            await has_looked_at_all(orchestrator, store)
            before = len(store.asked)
            shop.hold.set()
            for run in runs:
                await run.result(SOON)
            assert None not in store.asked[before:], "that look has asked since when there is something of it"


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.usefixtures("no_second_look_at_all")
async def test_a_look_claims_what_it_finds_though_it_is_another_versions_turn(
    memory: MemoryStore, version: int
) -> None:
    class Claiming(Telling):
        looks: int | None = None
        """How many there were before the first claim that took something."""

        @override
        async def claim_due(self, *args: Any, since: Moment | None = None, **options: Any) -> list[ClaimedSaga]:
            claims = await super().claim_due(*args, since=since, **options)
            if claims and self.looks is None:
                self.looks = len(self.asked)
            return claims

    store, definitions = Claiming(memory), [make_saga(Shop()) for _ in range(3)]
    orchestrator = SagaOrchestrator(store, poll_interval=NEVER)
    for number, definition in enumerate(definitions, 1):
        orchestrator.register("shop", definition, version=number, concurrency=1)
    async with SagaOrchestrator(memory, concurrency=0) as starting:
        shops = starting.register("shop", definitions[version - 1], version=version)
        run = await shops.start(Order("1"))
        async with orchestrator:
            await run.result(SOON)
    assert store.looks == 1


async def test_a_saga_that_shows_late_is_found_soon_though_only_what_is_new_was_asked_for(
    memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look_from, "_OVERLAP", 0)
    monkeypatch.setattr(look_from, "AT_ALL_EVERY", 5.0)  # so that a slow machine has time for one in between
    hidden = True

    class Late(Telling):
        @override
        async def due_shards(
            self, definitions: Sequence[tuple[str, int]], *, since: Moment | None = None
        ) -> dict[int, Moment]:
            found = await super().due_shards(definitions, since=since)
            return {} if hidden else found

    store, shop = Late(memory), Shop()
    async with (
        SagaOrchestrator(memory, concurrency=0) as starting,
        SagaOrchestrator(store, poll_interval=NEVER) as orchestrator,
    ):
        orchestrator.register("shop", make_saga(shop))
        run = await starting.register("shop", make_saga(Shop())).start(Order("1"))
        await has_looked_at_all(orchestrator, store)
        hidden = False
        orchestrator.engine.on_due(store.now())
        await run.result(SOON)
