"""An observer is told what happens, in order, and is never in the way of it."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import get_args
from uuid import UUID

import pytest

from saga_fn import Compensated, Completed, FixedRetry, MemoryStore, SagaAdmin, SagaOrchestrator
from saga_fn.core.event_kinds import Phase
from saga_fn.core.outlook import Again, ForGood
from saga_fn.core.projection import SagaStatus
from saga_fn.engine.hold import taking_up
from saga_fn.engine.observe.fact import FactBase, SagaIdentity
from saga_fn.engine.observe.observers import Fact, Observers
from saga_fn.engine.observe.of_attempts import AttemptBegun, AttemptFailed, AttemptOver, AttemptSucceeded
from saga_fn.engine.observe.of_claims import ClaimRound
from saga_fn.engine.observe.of_commits import BatchCommitted, CommitsRecovered, CommitsWait
from saga_fn.engine.observe.of_sagas import SagaClaimed, SagaEnded, SagaParked, SagaReleased, SagaStarted
from saga_fn.engine.observe.of_troubles import EventRejected, LeftToLease
from saga_fn.engine.observe.of_upkeep import UpkeepBegunAgain
from saga_fn.errors import SagaStateError, StoreUnavailableError
from saga_fn.store.records import SeenProcess
from saga_fn.store.this_process import this_process
from tests.support.crash import born, dies
from tests.support.observed import Observed
from tests.support.shop import Counted, Done, Order, Shop, ShopError, make_saga, one_step
from tests.support.stores import Make
from tests.support.until import SOON, until


def kinds(facts: list[Fact]) -> list[str]:
    return [type(fact).__name__ for fact in facts if not isinstance(fact, ClaimRound | BatchCommitted)]


async def test_an_observer_hears_a_saga_from_its_start_to_its_end(make: Make) -> None:
    async with make() as orchestrator:
        told = Observed(orchestrator)
        run = await orchestrator.register("shop", make_saga(Shop())).start(Order("1"), trace_id="t")
        assert isinstance(await run.outcome(SOON), Completed)
        ended = await told.until(SagaEnded)
    of_it = [fact for fact in told.facts if getattr(fact, "saga", None) is not None]
    attempt = ["AttemptBegun", "AttemptOver", "AttemptSucceeded"]
    assert kinds(of_it) == ["SagaStarted", *attempt, *attempt, *attempt, "SagaEnded"]
    assert (ended.end, ended.left_over, ended.error) == (SagaStatus.COMPLETED, (), None)
    assert (ended.saga.id, ended.saga.name, ended.saga.version, ended.saga.trace_id) == (run.id, "shop", 1, "t")
    assert [(fact.step, fact.attempt, fact.phase) for fact in told.all(AttemptBegun)] == [
        ("reserve", 1, Phase.EXECUTE),
        ("charge", 1, Phase.EXECUTE),
        ("ship", 1, Phase.EXECUTE),
    ]
    assert all(fact.seconds >= 0 for fact in told.all(AttemptOver))
    assert told.all(SagaStarted)[0].owned
    assert sum(fact.sagas for fact in told.all(BatchCommitted)) == 3


async def test_an_observer_hears_of_retries_and_of_undoing(make: Make) -> None:
    shop = Shop(fails={"charge": 2, "refund charge": 1, "ship": 9})
    async with make() as orchestrator:
        told = Observed(orchestrator)
        saga = make_saga(shop, retry=FixedRetry(max_attempts=3), undo=FixedRetry(max_attempts=2))
        run = await orchestrator.register("shop", saga).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Compensated)
        await told.until(SagaEnded)
    failed = [(fact.step, fact.phase.value, fact.attempt, type(fact.outlook.next)) for fact in told.all(AttemptFailed)]
    assert failed == [
        ("charge", "execute", 1, Again),
        ("charge", "execute", 2, Again),
        ("ship", "execute", 1, Again),
        ("ship", "execute", 2, Again),
        ("ship", "execute", 3, ForGood),
        ("charge", "compensate", 1, Again),
    ]
    assert {fact.error for fact in told.all(AttemptFailed)} == {"ShopError"}
    assert isinstance(told.all(AttemptFailed)[0].raised, ShopError)
    succeeded = [(fact.step, fact.phase.value) for fact in told.all(AttemptSucceeded)]
    assert succeeded == [
        ("reserve", "execute"),
        ("charge", "execute"),
        ("charge", "compensate"),
        ("reserve", "compensate"),
    ]


async def test_an_observer_hears_of_claims_and_parking_and_what_is_refused(make: Make) -> None:
    async def work(inp: Order) -> object:
        raise ValueError

    starter = make(concurrency=0)
    async with starter, make() as worker:
        told = Observed(worker)
        definition = one_step(work, {"on_unknown": "park", "unknown_on": ValueError})  # type: ignore[arg-type]  # it raises  # pyright: ignore[reportArgumentType]
        worker.register("one", definition)
        run = await starter.register("one", definition).start(Order("1"))
        parked = await told.until(SagaParked)
        released = await told.until(SagaReleased)
        with pytest.raises(SagaStateError):
            await SagaAdmin(worker).settle_undone(run.id, "work", expect=1)
        (rejected,) = told.all(EventRejected)
    assert (parked.step, parked.reason, parked.error) == ("work", "outcome_unknown", "ValueError")
    assert (rejected.event, rejected.saga.version) == ("StepSettled", 1)
    assert released.due is None
    assert not told.all(SagaClaimed)[0].takeover
    assert sum(fact.claimed for fact in told.all(ClaimRound)) == 1


async def test_a_verb_that_the_owner_refuses_is_told(make: Make) -> None:
    counted = Counted(seconds=None)
    async with make(stop_timeout=timedelta(milliseconds=100)) as orchestrator:
        told = Observed(orchestrator)
        run = await orchestrator.register("one", one_step(counted.work)).start(Order("1"))
        await told.until(AttemptBegun)
        with pytest.raises(SagaStateError):
            await SagaAdmin(orchestrator).retry_step(run.id, "work")
        rejected = await told.until(EventRejected)
    assert rejected.event == "RetryRequested"
    assert rejected.saga.id == run.id


async def test_commits_that_wait_are_told_once_and_that_they_go_on_again(
    memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    orchestrator, left, commit = SagaOrchestrator(memory), [3], memory.commit

    async def away(*given: object, **more: object) -> object:
        left[0] -= 1
        if left[0] >= 0:
            raise StoreUnavailableError("away")
        return await commit(*given, **more)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # as it was called

    monkeypatch.setattr(memory, "commit", away)
    async with orchestrator:
        told = Observed(orchestrator)
        run = await orchestrator.register("one", one_step(Counted().work)).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Completed)
    assert [type(fact) for fact in told.facts if isinstance(fact, CommitsWait | CommitsRecovered)] == [
        CommitsWait,
        CommitsRecovered,
    ]


class OddError(BaseException):
    """As test runners raise it: no Exception."""


@pytest.mark.parametrize("error", [ValueError("secret"), asyncio.CancelledError("secret"), OddError("secret")])
async def test_an_observer_that_raises_is_told_of_in_the_log_once_and_nothing_waits_for_it(
    make: Make, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    heard: list[Fact] = []

    def fails(fact: Fact) -> None:
        heard.append(fact)
        raise error

    async with make() as orchestrator:
        orchestrator.engine.observers.add(fails)
        behind = Observed(orchestrator)
        run = await orchestrator.register("shop", make_saga(Shop())).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Completed)
        await behind.until(SagaEnded)
        assert heard == behind.facts
    said = [record for record in caplog.records if "observer" in record.getMessage()]
    assert [record.levelno for record in said] == [logging.ERROR]
    assert type(error).__name__ in said[0].getMessage()
    assert "secret" not in logging.Formatter().format(said[0])


@pytest.mark.parametrize("error", [OSError("the disk is full"), OddError()])
async def test_a_log_that_raises_stops_no_saga(make: Make, error: BaseException) -> None:
    def fails(record: logging.LogRecord) -> bool:
        raise error

    logger = logging.getLogger("saga_fn")
    logger.addFilter(fails)
    try:
        async with make() as orchestrator:
            shop = Shop(fails={"charge": 1})
            run = await orchestrator.register("shop", make_saga(shop, retry=FixedRetry(max_attempts=2))).start(
                Order("1")
            )
            assert isinstance(await run.outcome(SOON), Completed)
    finally:
        logger.removeFilter(fails)


def test_an_observer_that_is_removed_hears_nothing_more() -> None:
    heard: list[Fact] = []
    observers = Observers()
    observers.add(heard.append)
    assert observers.listens
    observers.tell(CommitsRecovered())
    observers.remove(heard.append)
    observers.tell(CommitsRecovered())
    assert heard == [CommitsRecovered()]
    assert not observers.listens


def test_an_observer_that_comes_back_is_blamed_again(caplog: pytest.LogCaptureFixture) -> None:
    class Fails:
        def hear(self, fact: Fact) -> None:
            raise ValueError

    observers, fails = Observers(), Fails()
    for _ in range(2):
        observers.add(fails.hear)
        observers.tell(CommitsRecovered())
        observers.remove(fails.hear)
    assert sum("an observer failed" in record.getMessage() for record in caplog.records) == 2


def test_the_union_of_facts_misses_none() -> None:
    def every(kind: type[FactBase]) -> set[type[FactBase]]:
        below = {each for child in kind.__subclasses__() for each in every(child)}
        return below or {kind}

    assert every(FactBase) == set(get_args(Fact))


def test_a_task_that_begins_again_is_told(caplog: pytest.LogCaptureFixture) -> None:
    Observers().tell(UpkeepBegunAgain("renews leases"))
    assert caplog.messages == ["the task that renews leases was ended by other code of this process; it begins again"]


async def test_a_takeover_is_told_with_the_owner_before_it(
    make: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking_up, "_NAMED_WITHIN", SOON)
    counted = Counted(seconds=None)
    first = await born(make())
    run = await first.register("one", one_step(counted.work)).start(Order("1"))
    await until(lambda: len(counted.begun) == 1)
    gone = first.engine.owner
    async with asyncio.timeout(SOON):
        while await first.engine.store.processes.find(gone) is None:  # it says that it works beside its first sagas
            await asyncio.sleep(0.005)
    await dies(first)
    caplog.clear()
    async with make(log_repeats=1) as second:
        told = Observed(second)
        second.register("one", one_step(Counted().work))
        claimed = await told.until(SagaClaimed)
        assert (claimed.saga.id, claimed.takeover, claimed.previous_owner) == (run.id, True, gone)
        (line,) = [each for each in caplog.records if "taken over" in each.getMessage()]
        assert line.levelno == logging.WARNING
        assert claimed.previous_process == this_process()
        assert line.getMessage().startswith(f"saga {run.id} is taken over from process {this_process()}, ")
        assert line.__dict__["saga_id"] == str(run.id)


async def test_no_takeover_waits_for_the_name_of_a_process(
    memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never_answers(_: UUID) -> SeenProcess | None:
        await asyncio.Event().wait()
        raise AssertionError("it never answers")

    counted = Counted(seconds=None)
    first = await born(SagaOrchestrator(memory))
    run = await first.register("one", one_step(counted.work)).start(Order("1"))
    await until(lambda: len(counted.begun) == 1)
    await dies(first)
    monkeypatch.setattr(memory.processes, "find", never_answers)
    async with SagaOrchestrator(memory) as second:
        told = Observed(second)
        handle = second.register("one", one_step(Counted().work))
        assert await handle.attach(run.id).result(SOON) == Done("1")
        assert (await told.until(SagaClaimed)).previous_process is None


def test_a_saga_that_its_own_process_takes_up_again_is_told_so(caplog: pytest.LogCaptureFixture) -> None:
    saga = SagaIdentity(UUID(int=1), "one", 1, "t", datetime(2026, 11, 30, tzinfo=UTC))
    Observers().tell(SagaClaimed(saga, takeover=True, previous_owner=UUID(int=2), is_own=True))
    [line] = caplog.messages
    assert line.startswith(f"saga {saga.id} is taken up again by this process, which has let its lease run out")


async def test_many_takeovers_are_told_in_one_line_and_a_number(
    memory: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    counted = Counted(seconds=None)
    first = await born(SagaOrchestrator(memory))
    await first.register("one", one_step(counted.work)).start_many(Order(str(each)) for each in range(12))
    await until(lambda: len(counted.begun) == 12)
    await dies(first)
    caplog.clear()
    async with SagaOrchestrator(memory, log_repeats=2) as second:
        told = Observed(second)
        second.register("one", one_step(Counted().work))
        await told.until(SagaClaimed, times=12)
    lines = [each.getMessage() for each in caplog.records if "taken over" in each.getMessage()]
    assert len(lines) == 3
    assert lines[-1].startswith("left out 10 lines of the log"), lines


@pytest.mark.parametrize("error", [StoreUnavailableError("PostgreSQL does not answer"), ValueError("a fault")])
def test_a_saga_that_is_left_to_its_lease_is_told_with_a_traceback_unless_the_store_is_away(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    Observers().tell(LeftToLease(SagaIdentity(UUID(int=1), "order", 1, "trace"), error))
    (record,) = caplog.records
    is_away = isinstance(error, StoreUnavailableError)
    assert (record.levelno, bool(record.exc_info)) == ((logging.WARNING, False) if is_away else (logging.ERROR, True))
    assert ("PostgreSQL does not answer" in record.getMessage()) is is_away
