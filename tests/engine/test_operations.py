"""One verb for all sagas that a filter finds: looked at first, carried on through crashes, and never done twice to a saga."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import msgspec
import pytest
from typing_extensions import override

from saga_fn import (
    Abort,
    Acknowledge,
    ActiveSagaAlreadyExistsError,
    BulkVerb,
    Cancel,
    FixedRetry,
    MemoryStore,
    Operation,
    OperationNotFoundError,
    OperationState,
    PayloadError,
    Retention,
    RetryStep,
    Rewind,
    SagaAdmin,
    SagaBuilder,
    SagaDefinition,
    SagaDefinitionError,
    SagaFilter,
    SagaNotFoundError,
    SagaOrchestrator,
    SagaRun,
    SagaStateError,
    SagaStatus,
    SettleDone,
    SkipStep,
    StartNow,
    StoreError,
    StoreRefusedError,
    StoreUnavailableError,
    WaitReason,
    step,
)
from saga_fn.engine.drive.asked import Asked
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.requests.bulk import carry_on
from saga_fn.engine.requests.records import NOT_ANSWERED, done_once, recorded
from saga_fn.errors import StoredDataError
from saga_fn.store.protocol import Store
from saga_fn.store.records import SagaRecord
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.stores import Make
from tests.support.until import SOON, suspended, until

RARELY = FixedRetry(max_attempts=9, delay=timedelta(hours=1))
WAITING = SagaFilter(saga_name="shop", waits=WaitReason.RETRY)
REQUESTED = "retry_requested"


async def stopped_at_charge(
    orchestrator: SagaOrchestrator, number: int, shop: Shop | None = None
) -> list[SagaRun[Done]]:
    """Sagas whose step has failed, and is attempted again in an hour."""
    shop = shop or Shop()
    shop.fails["charge"] = number
    registered = orchestrator.engine.registry.versions("shop")
    definition = (
        cast("SagaDefinition[Order, Done]", registered[0].definition) if registered else make_saga(shop, retry=RARELY)
    )
    handle = orchestrator.register("shop", definition)
    runs = list(await handle.start_many([Order(str(each)) for each in range(number)]))
    while await orchestrator.run_due():
        pass
    for run in runs:
        await suspended(run)
    return runs


async def times_asked(admin: SagaAdmin, run: SagaRun[Done], kind: str = REQUESTED) -> int:
    return sum(entry.kind == kind for entry in (await admin.get_saga(run.id)).step_history)


async def over(admin: SagaAdmin, operation: Operation) -> Operation:
    async with asyncio.timeout(SOON):
        while operation.state is OperationState.RUNNING:
            await asyncio.sleep(0.02)
            operation = await admin.get_operation(operation.id)
    return operation


async def test_a_dry_run_says_what_a_verb_would_do_and_changes_nothing(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        runs = await stopped_at_charge(orchestrator, 12)
        admin = SagaAdmin(orchestrator)
        told = await admin.preview(WAITING, RetryStep("charge"))
        assert (str(told.sagas), told.looked_at, told.accepted, told.refusals) == ("12", 12, 12, {})
        assert len(told.samples) == 10
        assert {each.refusal for each in told.samples} == {None}
        assert {each.saga.id for each in told.samples} <= {run.id for run in runs}
        told = await admin.preview(WAITING, RetryStep("reserve"))
        assert (told.accepted, told.refusals) == (0, {"nothing_to_retry": 12})
        told = await admin.preview(WAITING, Acknowledge())
        assert (told.accepted, told.refusals) == (0, {"not_failed": 12})
        assert [await times_asked(admin, run) for run in runs] == [0] * 12


VERBS: list[BulkVerb] = [
    RetryStep("charge"),
    SkipStep("charge", Done("by hand")),
    Cancel(),
    Abort(),
    StartNow(),
    SettleDone("charge", {"what": "by hand"}),
    Acknowledge(),
]


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: type(verb).__name__)
async def test_the_dry_run_is_what_the_operation_then_does(make: Make, verb: BulkVerb) -> None:
    async with make(concurrency=0) as orchestrator:
        runs = await stopped_at_charge(orchestrator, 3)
        admin = SagaAdmin(orchestrator, actor="ann@shop")
        told = await admin.preview(WAITING, verb)
        begun = await admin.begin_operation(WAITING, verb, per_second=1000, reason="OPS-12")
        done = await admin.continue_operation(begun.id)
        assert (done.state, done.done, done.refusals) == (OperationState.DONE, told.accepted, told.refusals)
        assert str(done.remaining) == "0"
        assert (done.verb, done.actor, done.reason) == (verb.verb.value, "ann@shop", "OPS-12")
        assert done.wanted == {"saga_name": "shop", "waits": WaitReason.RETRY}
        while await orchestrator.run_due():
            pass
        sagas = [await admin.get_saga(run.id) for run in runs]
        assert told.ends == Counter(each.status for each in sagas if each.ended_at is not None)
        assert told.left_over == Counter(left.step_id for each in sagas for left in each.left_over)
        assert told.stays_done == Counter(step for each in sagas for step in each.stays_done)
        assert told.parked_again == 0


async def test_a_dry_run_asks_once_for_the_plans_and_the_processes_however_many_sagas_it_looks_at(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(fails={"charge": 99})
    async with make(concurrency=0) as orchestrator, make(concurrency=0) as desk:
        runs = await orchestrator.register("shop", make_saga(shop, retry=RARELY)).start_many(
            [Order(str(number)) for number in range(12)]
        )
        while await orchestrator.run_due():
            pass
        for run in runs:
            await suspended(run)
        store, asked = desk.engine.store, Counter[str]()
        plan, others = store.plan, store.processes.others

        async def counted_plan(*given: Any, **named: Any) -> Any:  # Any: passed on as it is
            asked["plan"] += 1
            return await plan(*given, **named)

        async def counted_others(*given: Any, **named: Any) -> Any:  # Any: passed on as it is
            asked["others"] += 1
            return await others(*given, **named)

        monkeypatch.setattr(store, "plan", counted_plan)
        monkeypatch.setattr(store.processes, "others", counted_others)
        told = await SagaAdmin(desk).preview(SagaFilter(saga_name="shop"), Cancel())
    assert (told.looked_at, told.accepted) == (12, 12)
    assert asked == {"plan": 1, "others": 1}


async def test_a_dry_run_tells_what_stays_of_the_sagas_and_what_no_definition_fits(make: Make) -> None:
    def made(reserve: str, hold: str) -> SagaDefinition[Order, None]:
        builder = SagaBuilder(Order)
        builder.add_step(step(shop.reserve), depends_on=builder.initial, step_id=reserve)
        builder.add_step(step(shop.reserve, compensate=shop.release), depends_on=builder.initial, step_id=hold)
        builder.add_step(step(shop.charge), depends_on=builder.initial, retry_policy=RARELY)
        return builder.build()

    shop = Shop(fails={"charge": 1})
    async with make(concurrency=0) as before:
        run = await before.register("shop", made("note", "hold")).start(Order("1"))
        await before.run_due()
        await suspended(run)
        admin = SagaAdmin(before)
        told = await admin.preview(WAITING, Cancel())
        assert (told.ends, told.stays_done) == ({SagaStatus.COMPENSATED: 1}, {"note": 1})
        assert str(told).endswith("would end: 1 COMPENSATED; stays done, without an undo: 1 note")
        await admin.rewind(run.id, "charge", forget=[])
        assert (await admin.preview(SagaFilter(saga_name="shop"), Cancel())).rewound == {"charge": 1}
    async with make(concurrency=0) as after:
        after.register("shop", made("note", "keep"))
        told = await SagaAdmin(after).preview(SagaFilter(saga_name="shop"), Cancel())
        assert (told.accepted, told.parked_again, told.ends) == (1, 1, {})
        assert "parked again, for no definition fits: 1" in str(told)


async def test_a_worker_carries_an_operation_out(make: Make) -> None:
    async with make(poll_interval=timedelta(milliseconds=20)) as orchestrator:
        runs = await stopped_at_charge(orchestrator, 7)
        admin = SagaAdmin(orchestrator, actor="ann@shop")
        begun = await admin.begin_operation(WAITING, RetryStep("charge"), per_second=1000)
        done = await over(admin, begun)
        assert (done.state, done.done, done.refused) == (OperationState.DONE, 7, 0)
        for run in runs:
            assert await run.result(SOON) == Done("ship")
            assert await times_asked(admin, run) == 1


class KilledError(Exception):
    """The process has died."""


class Dying:
    """Stands before a store, or a part of it, of a process that dies before its call number `at`."""

    def __init__(self, inner: object, at: int, calls: list[str] | None = None) -> None:
        self._inner = inner
        self._at = at
        self.calls: list[str] = [] if calls is None else calls
        self.before: dict[str, Callable[[], Awaitable[object]]] = {}
        """The events before the first call of a name."""

    def __getattr__(self, name: str) -> Any:  # Any: whatever the store has by that name
        found = getattr(self._inner, name)
        if name in ("operations", "lists", "pauses"):
            part = Dying(found, self._at, self.calls)
            part.before = self.before
            return part
        if not inspect.iscoroutinefunction(found) or name == "hint":
            return found

        async def call(*args: Any, **named: Any) -> Any:  # Any: handed through
            if len(self.calls) >= self._at:
                raise KilledError
            self.calls.append(name)
            if name in self.before:
                await self.before.pop(name)()
            return await found(*args, **named)

        return call


@asynccontextmanager
async def carrier(orchestrator: SagaOrchestrator, at: int = 10**9) -> AsyncGenerator[tuple[SagaEngine, Dying]]:
    """A process that dies before its call number `at`, and whose leases on operations are over soon."""
    dying = Dying(orchestrator.engine.store, at)
    options = msgspec.structs.replace(orchestrator.engine.options, lease=timedelta(milliseconds=20))
    engine = SagaEngine(cast("Store", dying), options)
    engine.registry = orchestrator.engine.registry
    try:
        yield engine, dying
    finally:
        await engine.committer.stop(1.0)
        await engine.wakeups.stop()


async def test_an_operation_whose_process_dies_between_any_two_statements_goes_on_and_asks_no_saga_twice(
    make: Make,
) -> None:
    async with make(concurrency=0) as orchestrator:
        admin = SagaAdmin(orchestrator)
        shop = Shop()
        for at in range(1, 60):
            runs = await stopped_at_charge(orchestrator, 3, shop)
            begun = await admin.begin_operation(WAITING, RetryStep("charge"), per_second=1000)
            async with carrier(orchestrator, at) as (engine, dying):
                try:
                    await carry_on(engine)
                except KilledError:
                    pass
                else:
                    assert (await admin.get_operation(begun.id)).state is OperationState.DONE
                    return
            done = await admin.continue_operation(begun.id)
            assert (done.state, done.done, done.refusals) == (OperationState.DONE, 3, {}), dying.calls
            assert [await times_asked(admin, run) for run in runs] == [1, 1, 1], dying.calls
            while await orchestrator.run_due():
                pass
    raise AssertionError("an operation comes to no end")


async def test_two_processes_at_one_operation_ask_no_saga_twice(make: Make) -> None:
    """The lease of the first one is over before it has come to its end."""
    async with make(concurrency=0) as orchestrator:
        admin = SagaAdmin(orchestrator)
        runs = await stopped_at_charge(orchestrator, 6)
        begun = await admin.begin_operation(WAITING, RetryStep("charge"), per_second=4)

        async def carried() -> None:
            async with carrier(orchestrator) as (engine, _):
                while (await admin.get_operation(begun.id)).state is OperationState.RUNNING:
                    await carry_on(engine)
                    await asyncio.sleep(0.005)

        async with asyncio.timeout(SOON):
            await asyncio.gather(carried(), carried())
        done = await admin.get_operation(begun.id)
        assert (done.state, done.done, done.refused) == (OperationState.DONE, 6, 0)
        assert [await times_asked(admin, run) for run in runs] == [1] * 6


async def test_a_saga_that_has_moved_on_since_its_batch_was_read_is_refused(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        admin = SagaAdmin(orchestrator)
        runs = await stopped_at_charge(orchestrator, 3)
        begun = await admin.begin_operation(WAITING, Cancel(), per_second=1000)
        async with carrier(orchestrator) as (engine, dying):
            dying.before["advance"] = lambda: admin.retry_step(runs[0].id, "charge")
            await carry_on(engine)
        done = await admin.get_operation(begun.id)
        assert (done.done, done.refusals) == (2, {"moved_on": 1})
        assert await times_asked(admin, runs[0], "compensation_requested") == 0


async def test_the_owner_of_a_saga_applies_the_verb(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    assert shop.hold is not None
    async with make() as orchestrator:
        admin = SagaAdmin(orchestrator)
        run = await orchestrator.register("shop", make_saga(shop)).start(Order("1"))
        await until(lambda: "charge" in shop.begun)
        begun = await admin.begin_operation(SagaFilter(saga_name="shop", active=True), Cancel())
        going = asyncio.create_task(admin.continue_operation(begun.id))
        store = orchestrator.engine.store
        async with asyncio.timeout(SOON):
            while not await store.messages(run.id) and not going.done():
                await asyncio.sleep(0.005)
        shop.hold.set()
        done = await going
        assert (done.state, done.done + done.asked, done.refused) == (OperationState.DONE, 1, 0)
        assert (await run.outcome(SOON)).snapshot.status is SagaStatus.COMPENSATED
        assert await times_asked(admin, run, "compensation_requested") == 1


async def test_an_operation_asks_no_more_sagas_a_second_than_it_may(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        admin = SagaAdmin(orchestrator)
        runs = await stopped_at_charge(orchestrator, 5)
        begun = await admin.begin_operation(WAITING, RetryStep("charge"), per_second=4)
        assert str(begun.remaining) == "5"
        assert (await admin.continue_operation(begun.id)).done == 5
        last = max([(await admin.get_saga(run.id)).step_history[-1].timestamp for run in runs])
        assert last - begun.began_at > timedelta(seconds=0.9), "the fifth is asked a second after the first four"


async def test_an_operation_that_is_begun_twice_under_one_key_is_one(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        admin = SagaAdmin(orchestrator)
        await stopped_at_charge(orchestrator, 2)
        first = await admin.begin_operation(WAITING, RetryStep("charge"), idempotency_key="OPS-12")
        again = await admin.begin_operation(WAITING, RetryStep("charge"), idempotency_key="OPS-12")
        assert again == first
        with pytest.raises(SagaStateError, match="another filter, verb or rate"):
            await admin.begin_operation(WAITING, Cancel(), idempotency_key="OPS-12")
        assert [each.id for each in await admin.list_operations()] == [first.id]


async def test_each_verb_of_one_saga_is_recorded_and_so_is_its_refusal(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        admin = SagaAdmin(orchestrator, actor="ann@shop")
        (run,) = await stopped_at_charge(orchestrator, 1)
        await admin.retry_step(run.id, "charge", reason="OPS-12")
        with pytest.raises(SagaStateError, match="nothing that waits") as refused:
            await admin.retry_step(run.id, "reserve")
        assert refused.value.refusal == "nothing_to_retry"
        second, first = await admin.list_operations()
        assert (first.verb, first.step_id, first.saga_id, first.actor, first.reason) == (
            "retry_step",
            "charge",
            run.id,
            "ann@shop",
            "OPS-12",
        )
        assert (first.state, first.done, first.refused) == (OperationState.DONE, 1, 0)
        assert (second.done, second.refusals) == (0, {"nothing_to_retry": 1})
        assert await admin.list_operations(after=second) == (first,)


async def test_a_verb_is_recorded_before_it_is_asked_and_by_whom(make: Make) -> None:
    """A process that dies between any two statements leaves the record: it counts the verb as asked."""
    async with make(concurrency=0) as orchestrator:
        runs = await stopped_at_charge(orchestrator, 1)
        for at in range(1, 30):
            async with carrier(orchestrator, at) as (engine, dying):
                admin = SagaAdmin(engine=engine, actor="ann@shop")
                try:
                    await admin.cancel(runs[0].id, reason="OPS-12")
                except (KilledError, SagaStateError):
                    pass
                else:
                    break
            history = (await SagaAdmin(orchestrator).get_saga(runs[0].id)).step_history
            applied = sum(each.kind == "compensation_requested" for each in history)
            records = await SagaAdmin(orchestrator).list_operations()
            assert len(records) >= applied, dying.calls
            assert {(each.verb, each.actor, each.reason) for each in records} <= {("cancel", "ann@shop", "OPS-12")}
            assert all(each.done + each.asked + each.refused == 1 for each in records)


class ForeignError(Exception):
    """An error that is none of this library's."""


@pytest.mark.parametrize(
    "error, counted",
    [
        (ActiveSagaAlreadyExistsError("shop", "k", UUID(int=1)), {"key_taken": 1}),
        (StoreRefusedError("permission denied"), {"store_refused": 1}),
        (StoredDataError("state", "it is damaged"), {"unreadable": 1}),
        (SagaNotFoundError(UUID(int=1)), {"not_found": 1}),
        (SagaStateError("it is over", refusal="finished"), {"finished": 1}),
        (SagaStateError("it is over"), {"refused": 1}),
        (StoreError("the archive has failed"), {"failed": 1}),
        (PayloadError("it is none"), {"failed": 1}),
        (ForeignError(), {"failed": 1}),
        (StoreUnavailableError("no answer"), {}),
        (SagaStateError("its owner is busy", refusal=NOT_ANSWERED), {}),
        (asyncio.CancelledError(), {}),
    ],
)
async def test_the_record_of_an_act_is_closed_by_all_that_ends_it_and_open_while_nobody_knows(
    memory: MemoryStore, error: BaseException, counted: dict[str, int]
) -> None:
    async def act() -> None:
        raise error

    async with SagaOrchestrator(memory, concurrency=0) as orchestrator:
        with pytest.raises(type(error)):
            await recorded(orchestrator.engine, "cancel", Asked("ann"), act, done_once, saga_id=UUID(int=1))
        (record,) = await SagaAdmin(orchestrator).list_operations()
    assert (dict(record.refusals), record.asked) == (counted, 0 if counted else 1)


async def test_an_act_that_a_taken_key_refuses_is_recorded_as_refused(make: Make) -> None:
    async with make() as orchestrator:
        admin = SagaAdmin(orchestrator)
        handle = orchestrator.register("shop", make_saga(Shop(fails={"ship": 9, "release reserve": 99})))
        failed = await handle.start(Order("1"), aggregation_id="k")
        assert (await failed.outcome(SOON)).snapshot.status is SagaStatus.FAILED
        await handle.start(Order("2"), aggregation_id="k", delay=timedelta(days=1))
        with pytest.raises(ActiveSagaAlreadyExistsError):
            await admin.cancel(failed.id)
        (record,) = await admin.list_operations()
        assert (dict(record.refusals), record.asked) == ({"key_taken": 1}, 0)


async def test_what_is_deleted_and_discarded_by_hand_is_recorded(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        orchestrator.register("shop", make_saga(Shop()))
        admin = SagaAdmin(orchestrator, actor="ann@shop")
        kept = Retention(completed=timedelta(days=1))
        await admin.prune("shop", version=1, retention=kept, dry_run=True)
        assert await admin.list_operations() == ()
        await admin.prune("shop", version=1, retention=kept)
        await admin.discard_kept("shop", "order-1")
        discarded, pruned = await admin.list_operations()
        assert (pruned.verb, pruned.actor, dict(pruned.wanted)) == (
            "prune",
            "ann@shop",
            {"saga_name": "shop", "version": 1},
        )
        assert (discarded.verb, dict(discarded.wanted)) == (
            "discard_kept",
            {"saga_name": "shop", "aggregation_id": "order-1"},
        )
        assert {each.state for each in (pruned, discarded)} == {OperationState.DONE}


@pytest.mark.parametrize(
    "given",
    [
        {"status": SagaStatus.FAILED, "acknowledged": False},
        {"active": False},
        {"active": True, "older_than": timedelta(minutes=1)},
        {"created_from": datetime(1970, 1, 1, tzinfo=UTC), "version": 2},
        {"waits": WaitReason.PARKED | WaitReason.EVENT, "older_than": timedelta(hours=1), "saga_name": "shop"},
    ],
    ids=repr,
)
async def test_an_operation_tells_the_filter_as_it_was_asked(make: Make, given: dict[str, Any]) -> None:
    async with make(concurrency=0) as orchestrator:
        begun = await SagaAdmin(orchestrator).begin_operation(SagaFilter(**given), Cancel())
        assert begun.wanted == given
        assert {type(value) for value in begun.wanted.values()} == {type(value) for value in given.values()}


async def test_what_is_wrong_is_refused_before_anything_is_recorded(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        admin = SagaAdmin(orchestrator)
        orchestrator.register("shop", make_saga(Shop()))
        wrong: list[tuple[Callable[[], Awaitable[object]], type[Exception], str]] = [
            (lambda: admin.begin_operation(SagaFilter(), Cancel()), PayloadError, "everything=True"),
            (lambda: admin.preview(SagaFilter(), Cancel()), PayloadError, "everything=True"),
            (lambda: admin.begin_operation(SagaFilter(step="charge"), Cancel()), PayloadError, "no index serves"),
            (lambda: admin.begin_operation(WAITING, cast("Any", "cancel")), PayloadError, "a verb is wanted"),
            (
                lambda: admin.begin_operation(SagaFilter(active=True), SkipStep("charge", None)),
                SagaDefinitionError,
                "add saga_name=",
            ),
            (lambda: admin.begin_operation(WAITING, SkipStep("nope", None)), SagaDefinitionError, "has a step"),
            (lambda: admin.begin_operation(WAITING, RetryStep("shp")), SagaDefinitionError, "its steps are.*charge"),
            (lambda: admin.preview(WAITING, RetryStep("shp")), SagaDefinitionError, "say version= in the filter"),
            (lambda: admin.preview(WAITING, Rewind("charge", forget=["shp"])), SagaDefinitionError, "a step 'shp'"),
            (
                lambda: admin.preview(msgspec.structs.replace(WAITING, version=7), SkipStep("charge", None)),
                SagaDefinitionError,
                "version 7 of 'shop' is not registered here",
            ),
            (lambda: admin.get_operation(uuid4()), OperationNotFoundError, "there is no operation"),
            (lambda: admin.stop_operation(UUID(int=1)), OperationNotFoundError, "there is no operation"),
        ]
        for call, kind, text in wrong:
            with pytest.raises(kind, match=text):
                await call()
        assert await admin.list_operations() == ()
        told = await admin.preview(SagaFilter(), Cancel(), everything=True)
        assert str(told.sagas) == "0"
        for unknown in (SagaFilter(saga_name="elsewhere", active=True), msgspec.structs.replace(WAITING, version=7)):
            assert (await admin.preview(unknown, RetryStep("shp"))).looked_at == 0


async def test_a_preview_whose_look_at_one_saga_fails_leaves_no_look_at_another_behind(
    memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with SagaOrchestrator(memory, concurrency=0) as orchestrator:
        runs = await stopped_at_charge(orchestrator, 5)
        read, looks = memory.read, 0

        async def failing(saga_id: UUID) -> SagaRecord | None:
            nonlocal looks
            looks += 1
            if looks == 1:
                raise StoreRefusedError("no")
            await asyncio.sleep(3600)
            return await read(saga_id)

        before = asyncio.all_tasks()
        monkeypatch.setattr(memory, "read", failing)
        with pytest.raises(StoreRefusedError):
            await SagaAdmin(orchestrator).preview(WAITING, Cancel())
        assert asyncio.all_tasks() <= before
    assert len(runs) == 5


class Text(str):
    __slots__ = ()

    @override
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Whole(int):
    pass


async def test_texts_and_numbers_of_a_callers_own_classes_are_taken_for_what_they_hold(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        (run,) = await stopped_at_charge(orchestrator, 1)
        admin = SagaAdmin(orchestrator, actor=Text("ann"))
        name, charge, reason = Text("shop"), Text("charge"), Text("why")
        every = SagaFilter(saga_name=name, version=Whole(1))
        await admin.retry_step(run.id, charge, reason=reason)
        assert await admin.pause(name, reason=reason)
        assert await admin.resume(name, extend=True, reason=reason)
        assert await admin.discard_kept(name, Text("k")) == 0
        retention = Retention(completed=timedelta(days=1))
        assert (await admin.prune(name, version=Whole(1), limit=Whole(5), retention=retention)).sagas == 0
        assert (await admin.list(every)).rows
        assert not (await admin.list(SagaFilter(saga_name=name, aggregation_id=Text("k")))).rows
        parked = SagaFilter(saga_name=name, waits=WaitReason.PARKED, step=charge, error=Text("E"))
        for wanted, verb in ((every, Rewind(charge, forget=[charge])), (parked, RetryStep(charge))):
            assert (await admin.preview(wanted, verb)).looked_at in (0, 1)
            begun = await admin.begin_operation(
                wanted, verb, per_second=Whole(5), idempotency_key=Text(str(verb)), reason=reason
            )
            assert (await admin.continue_operation(begun.id)).state is OperationState.DONE
        assert {each.actor for each in await admin.list_operations()} == {"ann"}
