"""Slots: no saga, no name and no suspect keeps the others from running for long, and who holds all slots is named."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import pytest
from typing_extensions import override

from saga_fn import (
    AttentionKind,
    Completed,
    FixedRetry,
    Health,
    MemoryStore,
    SagaDefinitionError,
    SagaError,
    SagaNotRegisteredError,
    SagaOrchestrator,
    StepOptions,
)
from saga_fn.engine import worker
from saga_fn.engine.drive.interpreter import Interpreter
from saga_fn.engine.hold import suspects
from saga_fn.engine.hold.suspects import Suspects
from saga_fn.engine.observe.observers import Observers
from saga_fn.observe import SagaStarted
from saga_fn.store.ids import new_uuid
from tests.support.observed import Observed
from tests.support.shop import Done, Order, ShopError, one_step
from tests.support.stores import Make
from tests.support.until import SOON, until

LONG = timedelta(minutes=5)


class Work:
    """A step that waits until it is let go, and knows how many of it ran at once."""

    def __init__(self) -> None:
        self.begun: int = 0
        self.now = 0
        self.most = 0
        self.go = asyncio.Event()

    async def work(self, inp: Order) -> Done:
        self.begun += 1
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.go.wait()
        finally:
            self.now -= 1
        return Done(inp.order_id)


async def quick(inp: Order) -> Done:
    return Done(inp.order_id)


def orders(count: int) -> list[Order]:
    return [Order(str(number)) for number in range(count)]


async def becomes(orchestrator: SagaOrchestrator, condition: Callable[[Health], bool]) -> Health:
    async with asyncio.timeout(SOON):
        while not condition(health := await orchestrator.health()):
            await asyncio.sleep(0.02)
    return health


# A saga that repeats without a wait.


async def test_sagas_that_repeat_without_a_wait_leave_slots_to_others(make: Make) -> None:
    tried: list[str] = []

    async def never(inp: Order) -> Done:
        tried.append(inp.order_id)
        raise ShopError("again")

    options: StepOptions = {"retry_policy": FixedRetry(max_attempts=1_000_000)}
    async with make(concurrency=2) as orchestrator:
        restless = orchestrator.register("restless", one_step(never, options))
        handle = orchestrator.register("quick", one_step(quick))
        await restless.start_many(orders(5))
        await until(lambda: len(tried) > 20)
        outcomes = [await (await handle.start(Order("innocent"))).outcome(SOON) for _ in range(3)]
    assert all(isinstance(outcome, Completed) for outcome in outcomes)
    assert len(tried) < 2_000, "each is tried a few times at once, then less and less often"


# Slots that starts leave to due work.


@pytest.mark.parametrize("slots, left", [(1, 0), (3, 0), (4, 1), (10, 1), (64, 4)])
async def test_starts_leave_slots_to_what_is_due(make: Make, slots: int, left: int) -> None:
    slow = Work()
    async with make(concurrency=slots) as orchestrator:
        told = Observed(orchestrator)
        handle = orchestrator.register("slow", one_step(slow.work, {"timeout": LONG}))
        await handle.start_many(orders(slots + 1))
        assert sum(each.owned for each in told.all(SagaStarted)) == slots - left
        await until(
            lambda: slow.now == slots
        )  # what has not begun with its start is due, and so the slots are not idle
        slow.go.set()


# A limit of one name.


@pytest.mark.parametrize("starts_here", [True, False])
async def test_no_more_sagas_of_a_name_run_at_once_than_it_is_limited_to(make: Make, starts_here: bool) -> None:
    slow = Work()
    definition = one_step(slow.work, {"timeout": LONG})
    other = one_step(quick)
    async with make(concurrency=0) as clerk, make(concurrency=8) as orchestrator:
        limited = orchestrator.register("slow", definition, concurrency=2)
        free = orchestrator.register("quick", other)
        clerk.register("slow", definition)
        runs = await (limited if starts_here else clerk.handle(definition)).start_many(orders(6))
        await until(lambda: slow.now == 2)
        for _ in range(5):
            assert isinstance(await (await free.start(Order("1"))).outcome(SOON), Completed)
        assert slow.most == 2
        assert (await orchestrator.health()).in_flight == 2
        slow.go.set()
        for run in runs:
            assert isinstance(await limited.attach(run.id).outcome(SOON), Completed)
        assert slow.most == 2
        assert slow.begun == 6


async def test_all_versions_of_a_name_share_its_limit(make: Make) -> None:
    slow = Work()
    one, two = one_step(slow.work, {"timeout": LONG}), one_step(slow.work, {"timeout": LONG})
    async with make(concurrency=0) as clerk:
        runs = await clerk.register("slow", one).start_many(orders(3))
        runs += await clerk.register("slow", two, version=2).start_many(orders(3))
        async with make(concurrency=8) as orchestrator:
            orchestrator.register("slow", one, concurrency=3)
            handle = orchestrator.register("slow", two, version=2)
            await until(lambda: slow.now == 3)
            slow.go.set()
            for run in runs:
                assert isinstance(await handle.attach(run.id).outcome(SOON), Completed)
        assert slow.most == 3


@pytest.mark.parametrize("version", [1, 2])
async def test_a_version_whose_turn_it_is_not_has_it_next(make: Make, version: int) -> None:
    """There is room for one saga, so a claim asks for those of one version, where a look has asked for those of both."""
    one, two = one_step(quick), one_step(quick)
    async with make(concurrency=0) as clerk, make(concurrency=8) as orchestrator:
        for number, definition in enumerate([one, two], 1):
            orchestrator.register("limited", definition, version=number, concurrency=1)
        runs = await clerk.register("limited", [one, two][version - 1], version=version).start_many(orders(3))
        for run in runs:
            assert isinstance(await run.outcome(SOON), Completed)


async def test_so_it_is_where_a_scheduler_works_on_what_is_due(make: Make) -> None:
    slow, fast = Work(), Work()
    fast.go.set()
    async with make(concurrency=0) as clerk:
        limited = clerk.register("slow", one_step(slow.work, {"timeout": LONG}), concurrency=2)
        free = clerk.register("quick", one_step(fast.work))
        runs = [*await limited.start_many(orders(7)), *await free.start_many(orders(7))]
        due = asyncio.create_task(clerk.run_due())
        await until(lambda: slow.now == 2 and fast.begun == 7)
        assert slow.begun == 2, "the others of its name wait, and keep no other saga waiting"
        slow.go.set()
        assert await due == 14
        assert slow.most == 2
        assert all([(await run.snapshot()).status == "COMPLETED" for run in runs])
        assert await clerk.run_due() == 0


class Slow(Work):
    """A step that takes a moment."""

    @override
    async def work(self, inp: Order) -> Done:
        self.begun += 1
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.02)
        self.now -= 1
        return Done(inp.order_id)


async def test_run_due_takes_no_more_than_it_is_told_to_within_a_limit(make: Make) -> None:
    slow = Slow()
    async with make(concurrency=0) as clerk:
        limited = clerk.register("slow", one_step(slow.work), concurrency=1)
        await limited.start_many(orders(5))
        assert await clerk.run_due(3) == 3
        assert slow.most == 1
        await clerk.run_until_idle()
        assert (slow.begun, slow.most) == (5, 1)


async def test_run_due_gives_each_version_its_turn_within_a_limit(make: Make) -> None:
    slow = Slow()
    async with make(concurrency=0) as clerk:
        *_, handle = [
            clerk.register("slow", one_step(slow.work), version=version, concurrency=1) for version in (1, 2, 3)
        ]
        clerk.register("other", one_step(quick))
        runs = await handle.start_many(orders(3))
        assert await clerk.run_due() == 3, "only the last version has any"
        assert slow.most == 1
        assert all([(await run.snapshot()).status == "COMPLETED" for run in runs])


async def test_run_due_leaves_to_others_what_a_worker_of_its_process_has_no_room_for(make: Make) -> None:
    slow = Work()
    async with make(concurrency=8) as orchestrator:
        limited = orchestrator.register("slow", one_step(slow.work, {"timeout": LONG}), concurrency=1)
        runs = await limited.start_many(orders(3))
        await until(lambda: slow.now == 1)
        async with asyncio.timeout(SOON):
            assert await orchestrator.run_due() == 0
        assert slow.begun == 1
        slow.go.set()
        for run in runs:
            assert isinstance(await run.outcome(SOON), Completed)
    assert slow.most == 1


@pytest.mark.parametrize(
    "wrong, meant",
    [("4", 4), (4.0, 4), (0.5, 16), (-1, 16), (True, 16), ("many", 16), (float("inf"), 16), (None, 16)],
)
def test_the_hint_is_the_number_that_was_meant_or_the_usual_one(
    wrong: Any, meant: int
) -> None:  # Any: wrong on purpose
    with pytest.raises(SagaError, match=rf"concurrency must be a whole number.*\nHINT: concurrency={meant}$"):
        SagaOrchestrator("postgresql://localhost/nowhere", concurrency=wrong)


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5, "2"])
def test_a_limit_is_a_number_of_sagas(wrong: Any) -> None:  # Any: wrong on purpose
    orchestrator = SagaOrchestrator("postgresql://localhost/nowhere")
    with pytest.raises(SagaError, match="concurrency must be a whole number"):
        orchestrator.register("slow", one_step(quick), concurrency=wrong)


def test_versions_of_a_name_have_one_limit_and_two_numbers_are_refused() -> None:
    orchestrator = SagaOrchestrator(MemoryStore())
    one, two = one_step(quick), one_step(quick)
    orchestrator.register("slow", one, concurrency=1)
    with pytest.raises(SagaDefinitionError, match="concurrency=1 with version 1, and concurrency=3 with") as refused:
        orchestrator.register("slow", two, version=2, concurrency=3)
    assert "with one version alone" in str(refused.value)
    with pytest.raises(SagaNotRegisteredError):
        orchestrator.handle(two)
    orchestrator.register("other", two, concurrency=3)
    orchestrator.register("slow", one, concurrency=2)  # what a version has said it may say anew
    orchestrator.register("slow", two, version=2)
    assert orchestrator.engine.registry.limits == {"slow": 2, "other": 3}


# All slots held.


async def test_sagas_that_hold_all_slots_for_long_are_named(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker, "SLOTS_HELD", 0.2)
    slow = Work()
    with caplog.at_level(logging.WARNING, "saga_fn"):
        async with make(concurrency=2) as orchestrator:
            handle = orchestrator.register("slow", one_step(slow.work, {"timeout": LONG}))
            runs = await handle.start_many(orders(4))
            health = await becomes(orchestrator, lambda health: bool(health.attention))
            await asyncio.sleep(0.4)
            slow.go.set()
            for run in runs:
                await run.result(SOON)
            await becomes(orchestrator, lambda health: not health.attention)
    assert health.ok
    (told,) = health.attention
    assert (told.kind, told.sagas) == (AttentionKind.SLOTS_HELD, 2)
    assert set(told.saga_ids) <= {run.id for run in runs}
    named = [record.getMessage() for record in caplog.records if "have held all 2 slots" in record.getMessage()]
    assert len(named) == 1, "told once"
    assert "(slow)" in named[0]


# Suspects.


class Pretended:
    """An interpreter as far as its turn is concerned."""

    def __init__(self) -> None:
        self.id = new_uuid()
        self.progress: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.isolated: bool | None = None
        self.accompanied = False

    def until_progress(self) -> asyncio.Future[None]:
        return self.progress

    def accompany(self) -> None:
        self.accompanied = True
        self.progress.set_result(None)

    def begin(self, isolated: bool) -> None:
        self.isolated = isolated


class Ward:
    """Suspects of a process that holds these sagas."""

    def __init__(self, *, patience: float = 0.05) -> None:
        self.held: dict[Any, Any] = {}  # Any: pretended
        self.changes = 0
        self.suspects = Suspects(self.held, Observers(), patience=patience, on_change=self._changed)
        self.tasks: list[asyncio.Task[None]] = []

    def _changed(self) -> None:
        self.changes += 1

    def take(self, takeovers: int = 2) -> Pretended:
        one = Pretended()
        self.held[one.id] = one
        run = self.suspects.run(cast("Interpreter", one), takeovers, one.begin)
        self.tasks.append(asyncio.create_task(run))
        return one

    def apart(self) -> bool:
        return self.suspects.apart

    async def over(self) -> None:
        async with asyncio.timeout(SOON):
            await asyncio.gather(*self.tasks)


async def test_a_suspect_that_is_the_only_one_runs_alone() -> None:
    ward = Ward()
    one = ward.take()
    await until(lambda: one.isolated is not None)
    assert one.isolated
    assert ward.apart(), "nothing else is taken on"
    one.progress.set_result(None)
    await ward.over()
    assert not ward.apart()
    assert ward.changes == 1


async def test_a_suspect_whose_row_takes_no_word_of_it_lets_others_in_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(suspects, "_APART_FOR", 0.01)
    ward = Ward()
    one = ward.take()
    one.accompany = lambda: None  # type: ignore[method-assign]  # a stranger keeps its row locked
    await ward.over()
    assert one.isolated
    assert not ward.apart()


async def test_suspects_of_two_takeovers_run_together_and_none_is_blamed() -> None:
    ward = Ward()
    several = [ward.take() for _ in range(5)]
    await until(lambda: all(one.isolated is not None for one in several))
    assert not any(one.isolated for one in several)
    for one in several:
        one.progress.set_result(None)
    await ward.over()


async def test_suspects_that_wait_long_for_their_turns_are_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(suspects, "LONG_WAIT", 0.01)
    ward = Ward()
    first, second, third = (ward.take(3) for _ in range(3))
    assert ward.suspects.waited == 0.0
    for one in (first, second, third):
        await until(lambda: one.isolated is not None)  # noqa: B023 - it is awaited here
        await asyncio.sleep(0.02)
        one.progress.set_result(None)
        del ward.held[one.id]
        ward.suspects.nothing_else()
    await ward.over()
    assert ward.suspects.waited == 0.0
    told = [record.getMessage() for record in caplog.records if record.name == "saga_fn.process"]
    assert len(told) == 1
    assert re.match(r"2 sagas may be what kills their processes: they have waited \d+ s for their turns", told[0])


async def test_health_names_suspects_that_wait_long(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    async with make() as orchestrator:
        assert (await orchestrator.health()).attention == ()
        waiting = [new_uuid(), new_uuid()]
        monkeypatch.setattr(suspects.Suspects, "waited", property(lambda _: 20.0))
        monkeypatch.setattr(suspects.Suspects, "waiting", property(lambda _: len(waiting)))
        monkeypatch.setattr(suspects.Suspects, "next_ones", property(lambda _: waiting))
        seen = await orchestrator.health()
    assert seen.ok
    (told,) = seen.attention
    assert (told.kind, told.sagas, told.saga_ids) == (AttentionKind.SUSPECTS, 2, tuple(waiting))
    assert told.text.startswith("2 sagas may be what kills their processes; they have waited 20 s")


async def test_a_suspect_of_more_takeovers_runs_alone_after_the_others() -> None:
    ward = Ward(patience=SOON)
    young, old = ward.take(2), ward.take(3)
    await until(lambda: young.isolated is not None)
    assert ward.suspects.waiting == 1, "the other one"
    young.progress.set_result(None)
    del ward.held[young.id]
    ward.suspects.nothing_else()
    await until(lambda: old.isolated is not None)
    assert old.isolated
    old.progress.set_result(None)
    await ward.over()


async def test_a_suspect_that_hangs_is_accompanied_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspects, "_APART_FOR", 0.05)
    ward = Ward()
    hung = ward.take(4)
    await ward.over()
    assert hung.isolated
    assert hung.accompanied, "it runs on beside others, and is not blamed for them"
    assert not ward.apart()


async def test_suspects_that_hang_together_let_others_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspects, "_APART_FOR", 0.05)
    ward = Ward()
    hung = [ward.take(), ward.take()]
    await ward.over()
    assert [one.isolated for one in hung] == [False, False]
    assert not ward.apart()


async def test_a_turn_does_not_wait_for_ever_for_what_runs_already() -> None:
    ward = Ward(patience=0.05)
    ward.held["another"] = object()
    one = ward.take()
    await ward.over()
    assert one.isolated is False
    assert not ward.apart()


async def test_others_are_let_in_between_two_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspects, "_APART_FOR", 0.1)
    ward = Ward()
    first, second = ward.take(3), ward.take(3)
    await until(lambda: first.accompanied)
    await until(lambda: not ward.apart())
    assert second.isolated is None
    await asyncio.sleep(0)
    assert ward.suspects.waiting == 1
    del ward.held[first.id]
    await ward.over()
    assert second.isolated
