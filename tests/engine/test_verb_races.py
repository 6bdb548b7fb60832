"""Each verb races the owner of its saga: another process, on connections of its own, which commits between any two statements.

The operator is told what the journal says, and the record of the act says so too. Nothing of what the owner committed is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias
from uuid import UUID

import attrs
import pytest

from saga_fn import (
    Cancel,
    FixedRetry,
    Operation,
    OperationState,
    RetryStep,
    SagaAdmin,
    SagaBuilder,
    SagaDefinition,
    SagaFilter,
    SagaOrchestrator,
    SagaRun,
    SagaStateError,
    SagaStatus,
    StepStatus,
    step,
)
from saga_fn.core.effects import Refusal
from saga_fn.core.verbs import Verb
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.requests import operate
from saga_fn.engine.requests.deeds import Act, Deed
from saga_fn.engine.requests.records import NOT_ANSWERED
from tests.engine.interrupted import Interrupted
from tests.support.crash import born, dies
from tests.support.shop import Counted, Done, Order, Shop, ShopError, make_saga, one_step
from tests.support.stores import Make
from tests.support.until import SOON, until

HOUR: Final = timedelta(hours=1)
RARELY: Final = FixedRetry(max_attempts=9, delay=HOUR)
LONG: Final = timedelta(minutes=1)
"""A lease that no slow machine loses. An operation waits for an eighth of it for an owner's answer."""
WINDOWS: Final = 12
"""More than a verb has before it waits for its answer."""
MANY_WINDOWS: Final = 40
"""More than an operation upon a few sagas has."""
PARTS: Final = ("operations", "lists", "pauses")
TWO_STORES: Final = pytest.mark.parametrize("make", ["memory", "dsn"], indirect=True)
RESULTS: Final = ("step_succeeded", "step_failed")


@attrs.define
class Play:
    """The steps of one saga. One branch runs at its owner's until it is told to end; the other waits for a person."""

    in_doubt: bool
    fails: bool = False
    hold: asyncio.Event = attrs.field(factory=asyncio.Event)
    begun: list[str] = attrs.field(factory=list)

    async def first(self, inp: Order) -> Done:
        return Done("first")

    async def second(self, inp: Done) -> Done:
        self.begun.append("second")
        if self.begun.count("second") > 1:
            return Done("second")
        raise TimeoutError if self.in_doubt else ShopError

    async def beside(self, inp: Order) -> Done:
        self.begun.append("beside")
        await self.hold.wait()
        if self.fails:
            raise ShopError
        return Done("beside")

    async def undo(self, inp: object, out: Done | None) -> None:
        return None

    def definition(self) -> SagaDefinition[Order, Done]:
        builder = SagaBuilder(Order, order="graph")
        beside = step(self.beside, compensate=self.undo, timeout=None)
        output = builder.add_step(beside, depends_on=builder.initial, step_id="beside")
        before = builder.add_step(step(self.first, compensate=self.undo), depends_on=builder.initial, step_id="first")
        second = step(self.second, compensate=self.undo, retry_policy=RARELY, on_unknown="park")
        builder.add_step(second, depends_on=before, step_id="second")
        return builder.build(output=output)


Ask: TypeAlias = Callable[[SagaAdmin, SagaRun[Done]], Awaitable[object]]


@attrs.frozen
class Case:
    """A verb, the kind of its entry in the journal, and how the saga stands before."""

    ask: Ask
    kind: str
    in_doubt: bool = False
    is_paused: bool = False


CASES: Final[dict[str, Case]] = {
    "pause": Case(lambda admin, run: admin.pause_saga(run.id), "pause_requested"),
    "resume": Case(lambda admin, run: admin.resume_saga(run.id), "resume_requested", is_paused=True),
    "resume extended": Case(
        lambda admin, run: admin.resume_saga(run.id, extend=True), "resume_requested", is_paused=True
    ),
    "cancel": Case(lambda admin, run: admin.cancel(run.id), "compensation_requested"),
    "abort": Case(lambda admin, run: admin.abort(run.id), "abort_requested"),
    "retry": Case(lambda admin, run: admin.retry_step(run.id, "second"), "retry_requested"),
    "retry with an input": Case(
        lambda admin, run: admin.retry_step(run.id, "second", input=Done("edited")), "retry_requested"
    ),
    "skip": Case(lambda admin, run: admin.skip_step(run.id, "second", Done("by hand")), "step_skipped"),
    "rewind": Case(lambda admin, run: admin.rewind(run.id, "first", forget=["first"]), "rewind_requested"),
    "start now": Case(lambda admin, run: admin.start_now(run.id), "rescheduled"),
    "reschedule": Case(
        lambda admin, run: admin.reschedule(run.id, datetime.now(UTC) + 2 * HOUR, step="second"), "rescheduled"
    ),
    "done by hand": Case(
        lambda admin, run: admin.settle_done(run.id, "second", Done("by hand")), "step_settled", in_doubt=True
    ),
    "undone by hand": Case(lambda admin, run: admin.settle_undone(run.id, "second"), "step_settled", in_doubt=True),
    "never ran": Case(lambda admin, run: admin.settle_never_ran(run.id, "second"), "step_settled", in_doubt=True),
}


@attrs.define
class Race:
    """A saga at work in one process, and an operator in another."""

    owner: SagaOrchestrator
    desk: SagaOrchestrator
    play: Play
    run: SagaRun[Done]

    @property
    def look(self) -> SagaAdmin:
        return SagaAdmin(self.owner)

    async def entries(self, kind: str, step_id: str | None = None) -> int:
        history = (await self.look.get_saga(self.run.id)).step_history
        return sum(each.kind == kind and step_id in (None, each.step_id) for each in history)

    async def results(self) -> int:
        """How often the journal has the result of the step that the owner runs."""
        history = (await self.look.get_saga(self.run.id)).step_history
        return sum(each.kind in RESULTS and each.step_id == "beside" for each in history)

    async def commits(self) -> None:
        """The step that runs comes to its end, and its owner commits that, unless the saga was taken from it."""
        self.play.hold.set()
        async with asyncio.timeout(SOON):
            while not await self.results() and await self.is_owned():
                await asyncio.sleep(0.01)

    async def again_at(self) -> datetime:
        """When the other branch is tried again."""
        (found,) = [each for each in (await self.look.get_saga(self.run.id)).steps if each.step_id == "second"]
        assert found.wakes_at is not None
        return found.wakes_at

    async def is_owned(self) -> bool:
        row = await self.owner.engine.store.read(self.run.id)
        return row is not None and row.owner == self.owner.engine.owner


async def race(owner: SagaOrchestrator, desk: SagaOrchestrator, play: Play, name: str) -> Race:
    """One branch runs, the other waits for its next attempt, or for a person who settles its doubt."""
    definition = play.definition()
    run = await owner.register(name, definition).start(Order("1"))
    desk.register(name, definition)
    found = Race(owner, desk, play, run)
    wanted = StepStatus.PARKED if play.in_doubt else StepStatus.RETRYING
    async with asyncio.timeout(SOON):
        while {each.step_id: each.status for each in (await found.look.get_saga(run.id)).steps}["second"] is not wanted:
            await asyncio.sleep(0.01)
    return found


@asynccontextmanager
async def operator(desk: SagaOrchestrator, between: Interrupted) -> AsyncGenerator[SagaEngine]:
    """An operator's process, whose statements go by way of that store."""
    engine = SagaEngine(between.as_store(), desk.engine.options)
    engine.registry = desk.engine.registry
    try:
        yield engine
    finally:
        await engine.committer.stop(1.0)
        await engine.wakeups.stop()


@TWO_STORES
@pytest.mark.parametrize("fails", [False, True], ids=["its step succeeds", "its step fails"])
@pytest.mark.parametrize("verb", CASES)
async def test_an_operator_is_told_what_the_journal_says_whatever_the_owner_commits_between_two_statements(
    make: Make, verb: str, fails: bool
) -> None:
    case, told = CASES[verb], set[str | None]()
    async with make(lease=LONG) as owner, make(lease=LONG, concurrency=0) as desk, asyncio.timeout(3 * SOON):
        for at in range(WINDOWS):
            now = await race(owner, desk, Play(case.in_doubt, fails), f"races {at}")
            if case.is_paused:
                await SagaAdmin(owner).pause_saga(now.run.id)
            between = Interrupted(desk.engine.store, at, now.commits)
            refusal: str | None = None
            async with operator(desk, between) as engine:
                try:
                    await case.ask(SagaAdmin(engine=engine), now.run)
                except SagaStateError as error:
                    refusal = error.refusal
                    assert refusal in list(Refusal), "it is answered"
            told.add(refusal)
            assert await now.entries(case.kind) == (refusal is None), (at, between.calls)
            (record,) = [each for each in await now.look.list_operations() if each.saga_id == now.run.id][:1]
            wanted: tuple[int, dict[str, int]] = (1, {}) if refusal is None else (0, {refusal: 1})
            assert (record.done, dict(record.refusals)) == wanted, (at, between.calls)
            assert await owner.engine.store.messages(now.run.id) == []
            await now.commits()
            assert await now.results() == 1 or (verb == "abort" and not await now.results())
            assert now.play.begun.count("beside") == 1
            assert await now.look.verify(now.run.id) == [], (at, between.calls)
            if not between.reached:
                break
    assert None in told
    assert told == {None} or fails, "what the owner commits of another branch is no reason to refuse"


@TWO_STORES
async def test_an_operation_says_what_became_of_a_saga_whatever_its_owner_commits_between_two_statements(
    make: Make,
) -> None:
    outcomes: set[tuple[int, int]] = set()
    async with make(lease=LONG) as owner, make(lease=LONG, concurrency=0) as desk, asyncio.timeout(3 * SOON):
        for at in range(MANY_WINDOWS):
            now = await race(owner, desk, Play(in_doubt=False), f"races {at}")
            begun = await now.look.begin_operation(SagaFilter(saga_name=f"races {at}"), RetryStep("second"))
            between = Interrupted(desk.engine.store, at, now.commits, parts=PARTS)
            async with operator(desk, between) as engine:
                done = await SagaAdmin(engine=engine).continue_operation(begun.id)
            assert (done.state, done.done + done.refused) == (OperationState.DONE, 1), (at, between.calls)
            assert await now.entries("retry_requested") == done.done, (at, between.calls)
            assert done.refused == 0 or set(done.refusals) == {"moved_on"}
            await now.commits()
            assert (await now.results(), now.play.begun.count("beside")) == (1, 1)
            assert await now.look.verify(now.run.id) == []
            outcomes.add((done.done, done.refused))
            if not between.reached:
                break
    assert outcomes == {(1, 0), (0, 1)}


@TWO_STORES
async def test_moments_are_moved_once_whatever_an_owner_commits_while_a_pause_ends(make: Make) -> None:
    async with make(lease=LONG) as owner, make(lease=LONG, concurrency=0) as desk, asyncio.timeout(3 * SOON):
        for at in range(MANY_WINDOWS):
            name = f"races {at}"
            now = await race(owner, desk, Play(in_doubt=False), name)
            before = await now.again_at()
            await now.look.pause(name)
            (pause,) = await now.look.pauses()
            between = Interrupted(desk.engine.store, at, now.commits, parts=PARTS)
            async with operator(desk, between) as engine:
                assert await SagaAdmin(engine=engine).resume(name, extend=True)
            assert await now.look.pauses() == ()
            await now.commits()
            moved = [
                each for each in (await now.look.get_saga(now.run.id)).step_history if each.kind == "moments_moved"
            ]
            assert len(moved) == 1, (at, between.calls)
            # By the time up to when it was asked: an owner that answers later moves nothing for the time since then.
            length = moved[0].timestamp - pause.since
            assert timedelta(0) < await now.again_at() - before <= length, (at, between.calls)
            assert (await now.results(), now.play.begun.count("beside")) == (1, 1)
            assert await now.look.verify(now.run.id) == []
            if not between.reached:
                break


async def waiting(desk: SagaOrchestrator, name: str, many: int) -> list[SagaRun[Done]]:
    """Sagas that wait for an hour."""
    handle = desk.register(name, make_saga(Shop(), retry=RARELY))
    return [await handle.start(Order(str(each)), delay=HOUR) for each in range(many)]


async def times_cancelled(look: SagaAdmin, runs: Sequence[SagaRun[Done]]) -> list[int]:
    kinds = [[each.kind for each in (await look.get_saga(run.id)).step_history] for run in runs]
    return [each.count("compensation_requested") for each in kinds]


async def test_an_operation_that_is_stopped_between_any_two_statements_asks_nobody_after_its_batch(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saga_fn.engine.requests.bulk.BATCH", 1)
    stopped_at: set[int] = set()
    async with make(lease=LONG, concurrency=0) as desk, make(lease=LONG, concurrency=0) as other:
        look = SagaAdmin(other)
        for at in range(MANY_WINDOWS):
            name = f"stopped {at}"
            runs = await waiting(desk, name, 2)
            begun = await look.begin_operation(SagaFilter(saga_name=name), Cancel(), per_second=1000)
            stopped: list[Operation] = []

            async def stops() -> None:
                stopped.append(await look.stop_operation(begun.id))  # noqa: B023 - called in this turn of the loop

            between = Interrupted(desk.engine.store, at, stops, parts=PARTS)
            async with operator(desk, between) as engine:
                told = await SagaAdmin(engine=engine).continue_operation(begun.id)
            if not stopped:
                break
            assert told.done == sum(await times_cancelled(look, runs)), (at, between.calls)
            assert told.state in (OperationState.STOPPED, OperationState.DONE)
            assert told.remaining is not None
            assert told.done + told.remaining.sagas == 2, (at, between.calls)
            if told.state is OperationState.STOPPED:
                stopped_at.add(told.done)
                told = await look.continue_operation(begun.id)
            assert (told.state, told.done, told.refused) == (OperationState.DONE, 2, 0), (at, between.calls)
            assert await times_cancelled(look, runs) == [1, 1]
            if stopped[0].state is OperationState.DONE:
                break
    assert stopped_at >= {0, 1}


async def test_an_operation_that_two_processes_begin_at_once_under_one_key_is_one(make: Make) -> None:
    async with make(lease=LONG, concurrency=0) as desk, make(lease=LONG, concurrency=0) as other:
        runs = await waiting(desk, "twice", 2)
        wanted, begun = SagaFilter(saga_name="twice"), set[UUID]()
        for at in range(MANY_WINDOWS):

            async def begins() -> None:
                begun.add((await SagaAdmin(other).begin_operation(wanted, Cancel(), idempotency_key=f"OPS-{at}")).id)  # noqa: B023 - called in this turn

            between = Interrupted(desk.engine.store, at, begins, parts=PARTS)
            async with operator(desk, between) as engine:
                admin = SagaAdmin(engine=engine)
                here = await admin.begin_operation(wanted, Cancel(), idempotency_key=f"OPS-{at}")
                assert begun in ({here.id}, set()), (at, between.calls)
                assert (await admin.continue_operation(here.id)).state is OperationState.DONE
            if not begun:
                break
            begun.clear()
        assert await times_cancelled(SagaAdmin(other), runs) == [1, 1]


async def test_an_end_is_acknowledged_or_taken_up_again_and_the_operator_is_told_which(make: Make) -> None:
    told: set[str | None] = set()
    async with make(lease=LONG, concurrency=0) as desk, make(lease=LONG, concurrency=0) as other:
        for at in range(WINDOWS):
            name = f"failed {at}"
            shop = Shop(fails={"charge": 1})
            run = await desk.register(name, make_saga(shop, compensate_on_failure=False)).start(Order("1"))
            other.register(name, make_saga(shop))
            await desk.run_due()
            assert (await run.snapshot()).status is SagaStatus.FAILED
            look = SagaAdmin(other)
            between = Interrupted(desk.engine.store, at, lambda: look.retry_step(run.id, "charge"))  # noqa: B023 - called in this turn
            refusal: str | None = None
            async with operator(desk, between) as engine:
                try:
                    await SagaAdmin(engine=engine, actor="ann@shop").acknowledge(run.id)
                except SagaStateError as error:
                    refusal = error.refusal
            told.add(refusal)
            seen = await look.get_saga(run.id)
            said = [each for each in seen.rejections if "ann@shop" in str(each)]
            assert len(said) == (refusal is None), (at, between.calls)
            assert (seen.status is SagaStatus.FAILED) == (not between.reached)
            assert seen.acknowledged == (not between.reached)
            if not between.reached:
                break
    assert told == {None, "not_failed"}


async def test_a_saga_whose_row_is_written_while_its_process_learns_of_a_pause_begins_no_second_step(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause comes between the decision to own the saga and its row; nothing is in hand yet that could be told of it."""
    shop = Shop()
    async with make(lease=LONG) as owner, make(lease=LONG, concurrency=0) as desk, asyncio.timeout(SOON):
        store, admin = owner.engine.store, SagaAdmin(desk)
        insert = store.insert

        async def paused_before(*args: Any, **named: Any) -> Any:  # Any: handed through
            await admin.pause("shop", may_be_new=True)  # its owner may not have said yet that it works on it
            await owner.engine.pauses.look()
            return await insert(*args, **named)

        monkeypatch.setattr(store, "insert", paused_before)
        handle = owner.register("shop", make_saga(shop))
        run = await handle.start(Order("1"))
        monkeypatch.undo()
        while (row := await store.read(run.id)) is None or row.owner is not None:
            await asyncio.sleep(0.002)
        assert shop.begun == ["reserve"]
        late = await handle.start(Order("2"))
        row = await store.read(late.id)
        assert row is not None
        assert row.owner is None
        await admin.resume("shop")
        for each in (run, late):
            assert await each.result(SOON) == Done("ship")
        assert sorted(shop.begun) == sorted(2 * ["reserve", "charge", "ship"])


async def test_two_calls_that_wait_for_the_answer_to_one_act_each_end_by_themselves(make: Make) -> None:
    """As of two runners of one operation, whose lease has run out in the middle of a batch."""
    counted = Counted(seconds=None)
    first = await born(make(lease=LONG))
    run = await first.register("one", one_step(counted.work)).start(Order("1"))
    await until(lambda: len(counted.begun) == 1)
    await dies(first, leases_are_over=False)
    async with make(lease=LONG) as second:
        second.register("one", one_step(Counted().work))
        act = Act(Deed(Verb.CANCEL), None, None)
        calls = [operate.apply(second.engine, run.id, act, patience=0.2) for _ in range(2)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert [getattr(each, "refusal", each) for each in outcomes] == [NOT_ANSWERED] * 2
        assert not second.engine.asked


async def test_a_call_that_nobody_can_be_told_of_leaves_no_wait_behind(make: Make) -> None:
    counted = Counted(seconds=None)
    first = await born(make(lease=LONG))
    run = await first.register("one", one_step(counted.work)).start(Order("1"))
    await until(lambda: len(counted.begun) == 1)
    await dies(first, leases_are_over=False)
    async with make(lease=LONG) as second:
        second.register("one", one_step(Counted().work))
        second.engine.on_asked = refuse
        with pytest.raises(ZeroDivisionError):
            await operate.apply(second.engine, run.id, Act(Deed(Verb.CANCEL), None, None))
        assert not second.engine.asked


def refuse() -> None:
    raise ZeroDivisionError
