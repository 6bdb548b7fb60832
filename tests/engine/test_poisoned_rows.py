"""One row that cannot be read, or that the database refuses, costs its saga, and only it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest
from msgspec.structs import replace

from saga_fn import (
    Compensated,
    Completed,
    InputContext,
    LeftOverKind,
    SagaAdmin,
    SagaBuilder,
    SagaDefinition,
    SagaOrchestrator,
    SagaRun,
    SagaSnapshot,
    SagaStateError,
    SagaStatus,
    StoredDataError,
    WaitReason,
    step,
)
from saga_fn.core.ids import Digest, StepId
from saga_fn.core.state import FannedOut, Goal, Joined, SagaState, Succeeded
from saga_fn.snapshot import Unreadable
from saga_fn.store.records import InboxMessage, decode_state, encode_state
from tests.support.poison import Poison
from tests.support.servers import Server
from tests.support.shop import Done, Order, Shop, make_saga, one_step
from tests.support.stores import Make
from tests.support.until import SOON

HOUR = timedelta(hours=1)

pytestmark = pytest.mark.raw_rows

Damage = Callable[[Poison, UUID, SagaState], Awaitable[None]]


def two_steps(shop: Shop) -> SagaDefinition[Order, Done]:
    builder = SagaBuilder(Order)
    builder.add_step(step(shop.reserve, compensate=shop.release), depends_on=builder.initial)
    return builder.build(output=builder.add_step(step(shop.ship), depends_on=builder.initial))


async def garbage(poison: Poison, saga_id: UUID, _: SagaState) -> None:
    await poison.state(saga_id, b"\xc1")


async def invalid_text(poison: Poison, saga_id: UUID, state: SagaState) -> None:
    data = encode_state(replace(state, steps=(Succeeded(StepId("reserve"), 1),)))
    assert b"reserve" in data
    await poison.state(saga_id, data.replace(b"reserve", b"res\xff\xffve"))


async def deep(poison: Poison, saga_id: UUID, _: SagaState) -> None:
    await poison.state(saga_id, b"\x91" * 9000)


async def entry_beyond_all(poison: Poison, saga_id: UUID, state: SagaState) -> None:
    await poison.state(saga_id, encode_state(replace(state, steps=(Succeeded(StepId("reserve"), 2**63),))))


async def other_plan(poison: Poison, saga_id: UUID, state: SagaState) -> None:
    await poison.state(saga_id, encode_state(replace(state, plan="other")))


async def ended_already(poison: Poison, saga_id: UUID, state: SagaState) -> None:
    await poison.state(saga_id, encode_state(replace(state, goal=Goal.COMPLETED)))


async def many_items(poison: Poison, saga_id: UUID, state: SagaState) -> None:
    await poison.state(saga_id, encode_state(replace(state, steps=(FannedOut(StepId("reserve"), 2000, Digest(b"")),))))


async def endless_items(poison: Poison, saga_id: UUID, state: SagaState) -> None:
    await poison.state(saga_id, encode_state(replace(state, steps=(Joined(StepId("reserve"), 100_000_000),))))


async def other_revision(poison: Poison, saga_id: UUID, state: SagaState) -> None:
    await poison.state(saga_id, encode_state(replace(state, rev=7)))


async def unknown_step(poison: Poison, saga_id: UUID, state: SagaState) -> None:
    await poison.state(saga_id, encode_state(replace(state, steps=(Succeeded(StepId("no such"), 1),))))


async def first_entry_lost(poison: Poison, saga_id: UUID, _: SagaState) -> None:
    await poison.lose_entry(saga_id, 1)


UNREADABLE = [
    garbage,
    invalid_text,
    deep,
    entry_beyond_all,
    other_plan,
    many_items,
    endless_items,
    other_revision,
    unknown_step,
    ended_already,
]
DAMAGES = [*UNREADABLE, first_entry_lost]


async def started(orchestrator: SagaOrchestrator, shop: Shop, number: int) -> list[UUID]:
    handle = orchestrator.register("shop", two_steps(shop))
    return [(await handle.start(Order(str(each)))).id for each in range(number)]


async def parked(run: SagaRun[Done]) -> SagaSnapshot:
    async with asyncio.timeout(SOON):
        while (seen := await run.snapshot()).parked is None:
            await asyncio.sleep(0.01)
    return seen


async def let_go(orchestrator: SagaOrchestrator) -> None:
    async with asyncio.timeout(SOON):
        while orchestrator.engine.held:
            await asyncio.sleep(0.01)


async def state_of(orchestrator: SagaOrchestrator, saga_id: UUID) -> SagaState:
    row = await orchestrator.engine.store.read(saga_id)
    assert row is not None
    return decode_state(row.state, row.rev)


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_saga_is_parked_and_costs_the_others_nothing(
    make: Make, damage: Damage, caplog: pytest.LogCaptureFixture
) -> None:
    shop = Shop()
    async with make(concurrency=0) as starter:
        bad, *good = await started(starter, shop, 6)
        await damage(Poison(starter), bad, await state_of(starter, bad))
        async with make(concurrency=4) as worker:
            handle = worker.register("shop", two_steps(shop))
            for each in good:
                assert isinstance(await handle.attach(each).outcome(SOON), Completed)
            seen = await parked(handle.attach(bad))
            assert (seen.status, seen.waits, seen.deadline_at) == (SagaStatus.SUSPENDED, WaitReason.PARKED, None)
            assert seen.parked in ("state_unreadable", "row_rejected")
            await let_go(worker)
            assert [each for each in caplog.messages if str(bad) in each and "is parked" in each] != []


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_saga_can_be_looked_at_and_ended(make: Make, damage: Damage) -> None:
    async with make(concurrency=0) as orchestrator:
        (bad,) = await started(orchestrator, Shop(), 1)
        await damage(Poison(orchestrator), bad, await state_of(orchestrator, bad))
        admin = SagaAdmin(orchestrator)
        seen = await admin.get_saga(bad)
        assert (seen.unreadable is not None) is (damage in UNREADABLE)
        assert (await orchestrator.get_snapshot(bad)).unreadable == seen.unreadable
        assert await admin.verify(bad) != []
        await admin.abort(bad)
        ended = await orchestrator.engine.store.read(bad)
        assert ended is not None
        assert (ended.status, ended.owner, ended.due_at) == (SagaStatus.FAILED, None, None)
        after = await admin.get_saga(bad)
        if damage is not first_entry_lost:
            assert {(left.step_id, left.kind) for left in after.left_over} == {
                ("reserve", LeftOverKind.MAY_HAVE_RUN),
                ("ship", LeftOverKind.MAY_HAVE_RUN),
            }
        with pytest.raises(SagaStateError, match="has ended"):
            await admin.abort(bad)


@pytest.mark.parametrize("damage", UNREADABLE)
async def test_no_other_verb_is_applied_to_what_cannot_be_read(make: Make, damage: Damage) -> None:
    async with make(concurrency=0) as orchestrator:
        (bad,) = await started(orchestrator, Shop(), 1)
        await damage(Poison(orchestrator), bad, await state_of(orchestrator, bad))
        with pytest.raises((StoredDataError, SagaStateError)):
            await SagaAdmin(orchestrator).compensate_step(bad)


async def test_a_saga_whose_row_was_repaired_goes_on_when_it_is_resumed(make: Make) -> None:
    shop = Shop()
    async with make(concurrency=0) as orchestrator:
        (bad,) = await started(orchestrator, shop, 1)
        whole = await state_of(orchestrator, bad)
        await garbage(Poison(orchestrator), bad, whole)
        assert await orchestrator.run_due() == 1
        assert (await orchestrator.get_snapshot(bad)).parked == "state_unreadable"
        assert await orchestrator.run_due() == 0, "no process claims it again"
        await Poison(orchestrator).state(bad, encode_state(whole))
        assert (await orchestrator.get_snapshot(bad)).parked == "row_rejected"
        assert await orchestrator.resume(bad)
        assert (await orchestrator.get_snapshot(bad)).status is SagaStatus.COMPLETED


async def test_a_saga_whose_next_entry_is_taken_is_parked_and_can_be_ended(any_dsn: str) -> None:
    """The database refuses every commit of it, that it is parked as well: a statement that writes no entry parks it."""
    shop = Shop()
    async with SagaOrchestrator(any_dsn, concurrency=0) as orchestrator:
        bad, good, aborted = await started(orchestrator, shop, 3)
        for each in (bad, aborted):
            await Poison(orchestrator).forge_entry(each, (await state_of(orchestrator, each)).rev + 1)
        admin = SagaAdmin(orchestrator)
        await admin.abort(aborted)
        assert (await orchestrator.get_snapshot(aborted)).status is SagaStatus.FAILED
        async with SagaOrchestrator(any_dsn) as worker:
            handle = worker.register("shop", two_steps(shop))
            assert isinstance(await handle.attach(good).outcome(SOON), Completed)
            assert (await parked(handle.attach(bad))).parked == "row_rejected"
            await let_go(worker)
        seen = await admin.get_saga(bad)
        assert [entry.seq for entry in seen.step_history] == [1], "a forged entry is nobody's word"
        await admin.abort(bad)
        assert (await orchestrator.get_snapshot(bad)).status is SagaStatus.FAILED


async def test_history_and_data_show_a_marker_in_the_place_of_what_cannot_be_read(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        (saga_id,) = await started(orchestrator, Shop(), 1)
        await orchestrator.run_due()
        poison, admin = Poison(orchestrator), SagaAdmin(orchestrator)
        await poison.entry(saga_id, 1, payload=b"\xff{", event=b"\xc1")
        entries = {entry.step_id: entry.seq for entry in (await admin.get_saga(saga_id)).step_history}
        await poison.entry(saga_id, entries["reserve"], payload=b"[" * 2000, input=b"")
        seen = await admin.get_saga(saga_id)
        assert seen.context["initial_data"] == Unreadable(2)
        assert repr(seen.context["initial_data"]) == "<unreadable: 2 bytes>"
        assert (seen.step_history[0].kind, seen.step_history[0].output) == ("unreadable", Unreadable(2))
        assert seen.context["step_outputs"]["reserve"] == Unreadable(2000)
        assert await admin.verify(saga_id) != []
        await poison.lose_entry(saga_id, entries["ship"])
        assert repr((await admin.get_saga(saga_id)).context["step_outputs"]["ship"]) == "<missing>"


async def test_a_kept_event_that_cannot_be_read_hides_no_other(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        kept = orchestrator.engine.store.kept_events
        for number, body in enumerate((b"\xff", b'{"payload":"!"}', b"[")):
            message = InboxMessage(UUID(int=number), "event", body)
            await kept.keep(0, ("shop", f"order-{number}"), message, "paid", expires=None, for_next=False)
        seen = await SagaAdmin(orchestrator).kept_events()
        assert [each.payload for each in seen] == [Unreadable(1), Unreadable(15), Unreadable(1)]


async def test_an_exception_that_the_database_cannot_name_fails_as_any_other(server: Server) -> None:
    strange = type("\u4e2d\u6587Error", (Exception,), {})
    name = "saga_fn_test_latin1_errors"

    async def work(inp: Order) -> Done:
        raise strange("\u4e2d")

    connection = await asyncpg.connect(server.dsn)
    await connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
    try:
        async with SagaOrchestrator(server.dsn_of(name), migrate=True) as orchestrator:
            handle = orchestrator.register("one", one_step(work))
            run = await handle.start(Order("1"))
            several = await handle.start_many([Order("2"), Order("3")])
            for each in (run, *several):
                ended = await each.outcome(SOON)
                assert isinstance(ended, Compensated)
                assert (await each.snapshot()).last_error == r"\u4e2d\u6587Error"
                assert ended.failure is not None
                assert (ended.failure.type, ended.failure.message) == (strange.__name__, "\u4e2d")
            await orchestrator.engine.store.record_rejection(run.id, "seen", "\u4e2d")
            assert [each.detail for each in await orchestrator.engine.store.rejections(run.id)] == [r"\u4e2d"]
    finally:
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await connection.close()


async def test_an_exception_is_named_in_full_where_the_database_can(make: Make) -> None:
    strange = type("\u4e2d\u6587Error", (Exception,), {})

    async def work(inp: Order) -> Done:
        raise strange

    async with make() as orchestrator:
        ended = await (await orchestrator.register("one", one_step(work)).start(Order("1"))).outcome(SOON)
        assert isinstance(ended, Compensated)
        assert ended.snapshot.last_error == strange.__name__


async def test_a_name_that_the_database_cannot_hold_stops_no_other_saga(server: Server) -> None:
    name = "saga_fn_test_latin1"
    connection = await asyncpg.connect(server.dsn)
    await connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
    try:
        async with SagaOrchestrator(server.dsn_of(name), migrate=True) as orchestrator:
            orchestrator.register("\u4e2d\u6587", two_steps(Shop()))
            handle = orchestrator.register("shop", two_steps(Shop()))
            run = await handle.start(Order("1"), delay=timedelta(milliseconds=10))
            assert isinstance(await run.outcome(SOON), Completed)
            health = await orchestrator.health()
            assert health.database
            assert [each for each in health.problems if "\u4e2d\u6587" in each], "it is named"
    finally:
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await connection.close()


class _Poison(BaseException):
    """Whatever a step may raise, but for what ends the program."""


@pytest.mark.predecessor(7)
async def test_a_poisonous_saga_costs_the_others_of_its_batch_nothing(make: Make) -> None:
    @step
    async def work(inp: Order) -> Done:
        if inp.order_id == "exits":
            raise _Poison
        return Done(inp.order_id)

    def mapping(ctx: InputContext[Order]) -> Order:
        if ctx.initial_data.order_id == "raises":
            raise RuntimeError("poison")
        return ctx.initial_data

    builder = SagaBuilder(Order)
    output = builder.add_step(work, input_map=mapping)
    async with make(concurrency=0, lease=HOUR) as orchestrator:
        handle = orchestrator.register("poisoned", builder.build(output=output))
        runs = [await handle.start(Order(name)) for name in ("raises", "a", "exits", "b", "c")]
        assert await orchestrator.run_due() == 5, "one call, and it does not raise"
        statuses = [(await run.snapshot()).status.value for run in runs]
        assert statuses == ["SUSPENDED", "COMPLETED", "SUSPENDED", "COMPLETED", "COMPLETED"]
        assert (await runs[0].snapshot()).parked == "input_failed"
        assert (await runs[2].snapshot()).waits is WaitReason.RETRY, "it may have run, and is repeated"


@pytest.mark.predecessor(7)
@pytest.mark.raw_rows
async def test_a_row_that_cannot_be_read_costs_the_others_nothing(dsn: str) -> None:
    async with SagaOrchestrator(dsn, concurrency=0, lease=HOUR) as orchestrator:
        handle = orchestrator.register("shop", make_saga(Shop()))
        bad, *good = [await handle.start(Order(str(number))) for number in range(3)]
        connection = await asyncpg.connect(dsn)
        await connection.execute(r"UPDATE saga_fn.saga SET state = '\x00' WHERE id = $1", bad.id)
        await connection.close()
        assert await orchestrator.run_due() == 3
        assert [(await run.snapshot()).status for run in good] == [SagaStatus.COMPLETED] * 2
