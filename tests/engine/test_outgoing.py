"""Messages out: published once their commit is durable, at least once, in the order of their saga, and at no other saga's cost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import msgspec
import pytest

from saga_fn import (
    Event,
    FixedRetry,
    MemoryStore,
    Outgoing,
    SagaAdmin,
    SagaBuilder,
    SagaOrchestrator,
    StepContext,
    StepRef,
    StoreUnavailableError,
    TransactionalContext,
    saga,
    step,
)
from saga_fn.engine.commit.batching import BATCH_BYTES
from saga_fn.engine.drive import outgoing as drafts
from saga_fn.engine.hold import lane, relay, relay_publishing, relay_store, relay_sweep
from saga_fn.engine.observe.of_outgoing import PublisherFailed, PublisherRecovered
from saga_fn.outgoing import (
    FailedForNow,
    OutgoingMessage,
    OutgoingOptions,
    Published,
    message_id,
)
from saga_fn.store.records import Committed, SagaWrite
from tests.support.broker import Broker
from tests.support.observed import Observed
from tests.support.ordering import QUICK, Order, ordering, ordering_with_hook, ship, unsent, until_sent
from tests.support.stores import Make
from tests.support.until import SOON, suspended, until


async def test_what_a_step_publishes_and_what_it_declares_is_published_in_order_and_then_gone(make: Make) -> None:
    broker = Broker()
    async with make(publishers={"orders.*": broker}) as orchestrator:
        run = await orchestrator.register(ordering).start(Order(7), aggregation_id="order-7")
        assert await run.result(timeout=SOON) == 7
        charged, shipped = await broker.until(2)
        await until_sent(orchestrator, run.id)
    assert (charged.topic, charged.key, charged.headers, charged.body) == (
        "orders.charged",
        "order-7",
        {"by": "charge"},
        b'{"number":7}',
    )
    assert (shipped.topic, shipped.key, shipped.headers, shipped.body) == ("orders.shipped", "k7", {}, b'{"number":7}')
    assert (charged.saga_id, charged.saga_name, charged.attempt) == (run.id, "order", 1)
    assert charged.id != shipped.id
    assert (broker.entered, broker.left) == (1, 1)


async def test_a_message_has_the_same_id_at_each_attempt_and_a_saga_without_a_key_its_own_id_for_the_key(
    make: Make,
) -> None:
    broker = Broker()
    seen: list[OutgoingMessage] = []

    def once(message: OutgoingMessage) -> FailedForNow | Published:
        seen.append(message)
        return FailedForNow("first") if message.attempt == 1 else Published()

    broker.answer = once
    async with make(publishers={"*": broker}, outgoing=QUICK) as orchestrator:
        run = await orchestrator.register(ordering).start(Order(7))
        first, second = await broker.until(2)
    assert [message.id for message in seen] == [first.id, first.id, second.id, second.id]
    assert [message.attempt for message in seen] == [1, 2, 1, 2]
    assert (first.topic, first.key) == ("orders.charged", str(run.id))


def test_ids_of_messages_are_the_same_for_ever() -> None:
    saga_id = UUID("01a226bb-0871-80ae-b339-5085ef7e03ef")
    assert message_id(saga_id, 3, 1) == UUID("768f144b-4aec-8afc-83ee-e39adca3398f")
    assert len({message_id(saga_id, rev, n) for rev in range(50) for n in range(50)}) == 2500


async def test_nothing_is_published_of_an_attempt_that_failed(make: Make) -> None:
    broker = Broker()
    attempts: list[int] = []

    @step(retry_policy=FixedRetry(max_attempts=2, delay=timedelta(0)))
    async def twice(order: Order, ctx: StepContext) -> None:
        attempts.append(ctx.attempt)
        ctx.publish("tried", ctx.attempt)
        if ctx.attempt == 1:
            raise ConnectionRefusedError

    @saga("order")
    def trying(order: StepRef[Order]) -> None:
        twice(order)

    async with make(publishers={"*": broker}) as orchestrator:
        await (await orchestrator.register(trying).start(Order(7))).result(timeout=SOON)
        await broker.until(1)
    assert (attempts, broker.bodies) == ([1, 2], [2])


async def test_an_undo_publishes_too(make: Make) -> None:
    broker = Broker()

    async def refund(order: Order, _: int, ctx: StepContext) -> None:
        ctx.publish("refunded", order)

    async def take(order: Order) -> int:
        return order.number

    @step
    async def fail(number: int) -> None:
        raise ValueError(number)

    @saga("order")
    def failing(order: StepRef[Order]) -> None:
        fail(step(take, compensate=refund)(order))

    async with make(publishers={"*": broker}) as orchestrator:
        run = await orchestrator.register(failing).start(Order(7))
        await run.outcome(timeout=SOON)
        await broker.until(1)
    assert (broker.topics, broker.bodies) == (["refunded"], [{"number": 7}])


async def test_each_item_of_a_fan_out_publishes_its_own(make: Make) -> None:
    broker = Broker()

    @step
    async def split(order: Order) -> list[int]:
        return list(range(order.number))

    @saga("order")
    def fanning(order: StepRef[Order]) -> StepRef[list[int]]:
        return ship.each(concurrency=3)(split(order))

    async with make(publishers={"*": broker}) as orchestrator:
        await (await orchestrator.register(fanning).start(Order(5))).result(timeout=SOON)
        await broker.until(5)
    assert sorted(message.key or "" for message in broker.first) == ["k0", "k1", "k2", "k3", "k4"]


async def test_a_publisher_may_be_a_function_and_the_longest_prefix_counts(make: Make) -> None:
    all_of_them, exact = Broker(), Broker()
    async with make(publishers={"*": all_of_them.publish, "orders.shipped": exact.publish}) as orchestrator:
        await (await orchestrator.register(ordering).start(Order(7))).result(timeout=SOON)
        await all_of_them.until(1)
        await exact.until(1)
    assert (all_of_them.topics, exact.topics) == (["orders.charged"], ["orders.shipped"])


async def test_a_saga_whose_topic_is_down_keeps_its_order_and_costs_the_others_nothing(make: Make) -> None:
    down, up = Broker(), Broker()
    down.down = ConnectionError("no broker")

    @step(publishes=Outgoing("up.only"))
    async def alone(order: Order) -> int:
        return order.number

    @saga("other")
    def other(order: StepRef[Order]) -> StepRef[int]:
        return alone(order)

    @step(publishes=(Outgoing("down.first"), Outgoing("up.second")))
    async def both(order: Order) -> int:
        return order.number

    @saga("order")
    def two(order: StepRef[Order]) -> StepRef[int]:
        return both(order)

    publishers = {"down.*": down, "up.*": up}
    async with make(publishers=publishers, outgoing=msgspec.structs.replace(QUICK, max_attempts=1000)) as orchestrator:
        observed = Observed(orchestrator)
        one, others = orchestrator.register(two), orchestrator.register(other)
        stuck = await one.start(Order(0))
        assert await stuck.result(timeout=SOON) == 0, "the saga is unharmed"
        await observed.until(PublisherFailed)
        for number in range(20):
            await others.start(Order(number))
        await up.until(20)
        assert "up.second" not in up.topics
        down.down = None
        await up.until(21)
        await observed.until(PublisherRecovered)
        await until_sent(orchestrator, stuck.id)
    assert (down.topics, up.topics[-1]) == (["down.first"], "up.second")


async def test_more_than_has_room_in_memory_is_published_all_the_same_in_order(make: Make) -> None:
    broker = Broker()
    broker.open.clear()
    options = OutgoingOptions(waiting=3, batch=2, timeout=timedelta(seconds=SOON))
    async with make(publishers={"*": broker}, outgoing=options, concurrency=32) as orchestrator:
        handle = orchestrator.register(ordering)
        runs = [await handle.start(Order(number)) for number in range(20)]
        for run in runs:
            await run.result(timeout=SOON)
        (lane,) = set(orchestrator.engine.relay.lanes)
        assert 0 < lane.messages <= 3
        broker.open.set()
    # The process that is left gives back what it held, and another one finds all of it.
    async with make(publishers={"*": broker}, outgoing=options) as orchestrator:
        orchestrator.register(ordering)
        await broker.until(40)
        assert max(map(len, broker.batches)) <= 2
    for messages in broker.by_saga.values():
        assert [message.topic for message in messages] == ["orders.charged", "orders.shipped"]


async def test_a_process_that_stops_while_it_gives_messages_back_gives_them_back(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, begun = Broker(), asyncio.Event()
    broker.open.clear()
    options = OutgoingOptions(waiting=1, timeout=timedelta(seconds=4 * SOON))
    async with make(publishers={"*": broker}, outgoing=options, concurrency=32) as orchestrator:
        outgoing = type(orchestrator.engine.store.outgoing)
        release = outgoing.release

        async def never(*_: object, **__: object) -> None:
            monkeypatch.setattr(outgoing, "release", release)
            begun.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(outgoing, "release", never)
        handle = orchestrator.register(ordering)
        for run in await handle.start_many([Order(number) for number in range(5)]):
            await run.result(timeout=SOON)
        async with asyncio.timeout(SOON):
            await begun.wait()
        broker.open.set()
    async with make(publishers={"*": broker}, outgoing=options) as orchestrator:
        orchestrator.register(ordering)
        await broker.until(10)


async def test_what_a_stop_cuts_short_while_it_is_taken_is_given_back(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store has written the claim, and its answer comes after the stop has begun."""
    broker, claimed, lease = Broker(), list[UUID](), timedelta(seconds=4 * SOON)
    broker.answer = lambda _: FailedForNow("away")
    options = msgspec.structs.replace(QUICK, max_attempts=1_000)
    async with make(publishers={"*": broker}, outgoing=options) as orchestrator:
        run = await orchestrator.register(ordering).start(Order(1))
        await run.result(timeout=SOON)
        await until(lambda: bool(broker.batches))
    broker.answer = lambda _: Published()
    monkeypatch.setattr(relay, "_GIVING_BACK", SOON)
    async with make(publishers={"*": broker}, lease=lease) as orchestrator:
        messages = type(orchestrator.engine.store.outgoing)
        claim, stopping = messages.claim, orchestrator.engine.relay

        async def answered_late(*given: Any, **options: Any) -> Any:
            held, more = await claim(*given, **options)
            claimed.extend(message.saga_id for message in held)
            await until(lambda: not held or not stopping.working)
            return held, more

        monkeypatch.setattr(messages, "claim", answered_late)
        orchestrator.register(ordering)
        await until(lambda: claimed == [run.id])
    monkeypatch.setattr(messages, "claim", claim)
    assert broker.messages == []
    async with make(publishers={"*": broker}, lease=lease) as orchestrator:
        orchestrator.register(ordering)
        await broker.until(2)


async def test_no_more_that_wait_are_taken_at_once_than_come_in_time(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an outage over a slow line: what all of them need never comes within the time limit of a statement."""
    broker = Broker()
    broker.open.clear()
    async with make(publishers={"*": broker}, concurrency=32) as orchestrator:
        handle = orchestrator.register(ordering)
        for run in await handle.start_many([Order(number) for number in range(20)]):
            await run.result(timeout=SOON)
        messages = type(orchestrator.engine.store.outgoing)
    claim, take = messages.claim, messages.take
    asked: list[int] = []

    async def slow_claim(store: Any, shard: int, topic: str, *, most: int, **given: Any) -> Any:
        asked.append(most)
        if most > 3:
            raise StoreUnavailableError("PostgreSQL does not answer: nothing came for 5 s")
        return await claim(store, shard, topic, most=most, **given)

    async def slow_take(store: Any, shard: int, saga_ids: Sequence[UUID], **given: Any) -> Any:
        if len(saga_ids) > 3:
            raise StoreUnavailableError("PostgreSQL does not answer: nothing came for 5 s")
        return await take(store, shard, saga_ids, **given)

    monkeypatch.setattr(messages, "claim", slow_claim)
    monkeypatch.setattr(messages, "take", slow_take)
    monkeypatch.setattr(relay_sweep, "_POLL", 0.02)
    broker.open.set()
    async with make(publishers={"*": broker}) as orchestrator:
        orchestrator.register(ordering)
        await broker.until(40)
    assert max(asked) > 3


@pytest.mark.parametrize("late", [False, True])
async def test_a_message_whose_own_lease_is_over_is_taken_anew_however_young_those_behind_it_are(
    late: bool, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may have it: published here all the same, it would come again behind its successors."""
    gate = asyncio.Event()

    @step
    async def charge_later(order: Order, ctx: StepContext) -> int:
        ctx.publish("orders.charged", order.number)
        return order.number

    @step
    async def ship_later(number: int, ctx: StepContext) -> int:
        await gate.wait()
        ctx.publish("orders.shipped", number)
        return number

    @saga("order")
    def slow(order: StepRef[Order]) -> StepRef[int]:
        return ship_later(charge_later(order))

    broker = Broker()
    broker.open.clear()
    options = OutgoingOptions(batch=1, timeout=timedelta(seconds=SOON))
    async with make(publishers={"*": broker}, outgoing=options, lease=timedelta(seconds=20)) as orchestrator:
        messages = type(orchestrator.engine.store.outgoing)
        now, claim, claimed = 0.0, messages.claim, set[UUID]()

        async def seen(*given: Any, **options: Any) -> Any:
            held, more = await claim(*given, **options)
            claimed.update(each.saga_id for each in held)
            return held, more

        monkeypatch.setattr(messages, "claim", seen)
        for each in (relay_publishing, relay_sweep, relay_store, lane, drafts):
            monkeypatch.setattr(each, "steady", SimpleNamespace(now=lambda: now))
        monkeypatch.setattr(relay_sweep, "_POLL", 0.02)
        handle = orchestrator.register(slow)
        await handle.start(Order(1))
        await broker.until_calls(1)  # and the message of another saga waits behind this one
        run = await handle.start(Order(2))
        (busy,) = set(orchestrator.engine.relay.lanes)
        await until(lambda: busy.messages == 2)
        now = 15.0
        gate.set()
        await until(lambda: busy.messages == 4)
        now = 21.0 if late else 19.0  # 20 s from each commit on, a call may begin that is over when its lease is
        broker.open.set()
        async with asyncio.timeout(SOON):
            while not broker.by_saga[run.id]:
                await asyncio.sleep(0.02)
                now += 0.1 if late else 0.0  # it looks again
        assert (run.id in claimed) is late
        await broker.until(4)
    assert [message.topic for message in broker.by_saga[run.id]] == ["orders.charged", "orders.shipped"]


@pytest.mark.parametrize("stays", [False, True])
async def test_a_message_that_another_process_has_written_meanwhile_keeps_its_place(stays: bool, make: Make) -> None:
    go_on, gates, broker = Event("go_on", int), (asyncio.Event(), asyncio.Event()), Broker()
    broker.open.clear()

    @step
    async def tells(number: int, ctx: StepContext) -> int:
        ctx.publish(f"orders.{number}", number)
        return number

    @step
    async def waits(order: Order) -> int:
        await gates[order.number].wait()
        return order.number

    builder = SagaBuilder(Order)
    builder.add_step(tells, depends_on=builder.initial, input_map=lambda order: order.number, step_id="first")
    for step_id in ("second", "third"):
        builder.add_step(tells, depends_on=builder.add_event(go_on, step_id=f"before_{step_id}"), step_id=step_id)
    told, long = builder.build(), SagaBuilder(Order)
    long.add_step(waits, depends_on=long.initial)
    slow = long.build()
    many: dict[str, Any] = {"publishers": {"*": broker}, "concurrency": 1, "lease": timedelta(minutes=2)}
    async with make(**many) as one, contextlib.AsyncExitStack() as others:
        run = await one.register("told", told).start(Order(1))
        await broker.until_calls(1)  # this process holds the first message in its memory
        await suspended(run)
        begun = await one.register("slow", slow).start(Order(0))  # and has no slot for the saga now
        other = await others.enter_async_context(make(**many))
        other.register("told", told)
        await other.to(run.id, go_on).send(2)
        async with asyncio.timeout(SOON):
            while len(await unsent(other, run.id)) < 2:
                await asyncio.sleep(0.005)
        await suspended(run)
        if stays:  # with no slot either
            await other.register("slow", slow).start(Order(1))
        else:
            await others.aclose()
        gates[0].set()
        await begun.outcome()
        await one.to(run.id, go_on).send(3)
        await run.outcome()
        broker.open.set()
        await broker.until(3)
        gates[1].set()
    assert broker.topics == ["orders.1", "orders.2", "orders.3"]


async def test_a_message_behind_one_that_is_published_and_not_yet_gone_is_looked_for_by_nothing(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, go_on = Broker(), asyncio.Event()
    async with make(publishers={"*": broker}) as orchestrator:
        messages, taken = type(orchestrator.engine.store.outgoing), 0
        confirm, take = messages.confirm, messages.take

        async def late(*given: Any) -> None:
            await go_on.wait()
            await confirm(*given)

        async def seen(*given: Any, **options: Any) -> Any:
            nonlocal taken
            taken += 1
            return await take(*given, **options)

        monkeypatch.setattr(messages, "confirm", late)
        monkeypatch.setattr(messages, "take", seen)
        run = await orchestrator.register(ordering).start(Order(7))
        await run.result(timeout=SOON)
        assert len(await unsent(orchestrator, run.id)) == 2
        await broker.until(1)
        go_on.set()
        await broker.until(2)
        await until_sent(orchestrator, run.id)
    assert taken == 0


async def test_a_batch_has_no_two_messages_of_one_saga(make: Make) -> None:
    broker = Broker()

    @step
    async def many(order: Order, ctx: StepContext) -> None:
        for number in range(10):
            ctx.publish("many", number)

    @saga("order")
    def publishing(order: StepRef[Order]) -> None:
        many(order)

    async with make(publishers={"*": broker}, concurrency=32) as orchestrator:
        handle = orchestrator.register(publishing)
        await asyncio.gather(*(handle.start(Order(number)) for number in range(5)))
        await broker.until(50)
    assert all(len({message.saga_id for message in batch}) == len(batch) for batch in broker.batches)
    assert all([m.body for m in messages] == [b"%d" % n for n in range(10)] for messages in broker.by_saga.values())


async def test_a_process_that_has_no_publisher_leaves_its_messages_to_one_that_has(make: Make) -> None:
    broker = Broker()
    async with make(publishers={"*": broker}, concurrency=0) as publisher, make(concurrency=0) as starter:
        hooked = ordering_with_hook()
        publisher.register(hooked)
        await starter.register(hooked).start(Order(7))
        await broker.until(1)
    assert broker.topics == ["news"]


async def test_no_commit_is_given_more_messages_than_it_can_send_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the messages of many sagas, nor those of many items of one."""
    wrote: list[int] = []
    commit = MemoryStore.commit

    async def counted(store: MemoryStore, shard: int, writes: Sequence[SagaWrite], **given: Any) -> Committed:
        wrote.append(sum(len(row.body) for write in writes for row in write.outgoing))
        return await commit(store, shard, writes, **given)

    @step
    async def publishes(size: int, ctx: StepContext) -> int:
        ctx.publish("orders.x", b"x" * size)
        return size

    @saga("one")
    def one(size: StepRef[int]) -> None:
        publishes(size)

    @saga("many")
    def many(sizes: StepRef[list[int]]) -> None:
        publishes.each(concurrency=12)(sizes)

    monkeypatch.setattr(MemoryStore, "commit", counted)
    broker, size, count = Broker(), BATCH_BYTES // 4 - 100, 12
    async with SagaOrchestrator(MemoryStore(), publishers={"orders.*": broker}) as orchestrator:
        alone, together = orchestrator.register(one), orchestrator.register(many)
        runs = [await together.start([size] * count), *await alone.start_many([size] * count)]
        for run in runs:
            await run.result(timeout=SOON)
        await broker.until(2 * count)
    assert sum(wrote) == 2 * count * size
    assert max(wrote) == 4 * size, "and those of a few go together"


async def test_a_step_that_a_person_settles_publishes_nothing(make: Make) -> None:
    broker = Broker()

    @step(on_unknown="park", publishes=Outgoing("orders.charged"))
    async def lost(order: Order) -> int:
        raise TimeoutError

    @saga("order", on_completed=Outgoing("orders.done"))
    def settled(order: StepRef[Order]) -> StepRef[int]:
        return lost(order)

    async with make(publishers={"*": broker}) as orchestrator:
        run = await orchestrator.register(settled).start(Order(7))
        await suspended(run)
        await SagaAdmin(orchestrator).settle_done(run.id, "lost", 7)
        await run.result(timeout=SOON)
        await until_sent(orchestrator, run.id)
    assert broker.topics == ["orders.done"]


async def test_run_until_idle_publishes_without_being_entered() -> None:
    broker = Broker()
    orchestrator = SagaOrchestrator(MemoryStore(), publishers={"*": broker})
    await orchestrator.register(ordering).start(Order(7))
    await orchestrator.run_until_idle()
    assert broker.topics == ["orders.charged", "orders.shipped"]
    assert (broker.entered, broker.left) == (1, 1)


async def test_a_saga_that_publishes_nothing_pays_for_no_relay(make: Make) -> None:
    @step
    async def quiet(order: Order) -> int:
        return order.number

    @saga("order")
    def silent(order: StepRef[Order]) -> StepRef[int]:
        return quiet(order)

    async with make() as orchestrator:
        await (await orchestrator.register(silent).start(Order(7))).result(timeout=SOON)
        assert not orchestrator.engine.relay.working
    async with make(publishers={"*": Broker()}) as orchestrator:
        orchestrator.register(silent)
        await until(lambda: orchestrator.engine.relay.working)


async def test_a_transactional_step_publishes_with_its_transaction(dsn: str) -> None:
    broker = Broker()

    @step(transactional=True, publishes=Outgoing("orders.declared"))
    async def within(order: Order, ctx: TransactionalContext) -> int:
        ctx.publish("orders.x", order)
        assert await ctx.connection.fetchval("SELECT 1") == 1
        return order.number

    @saga("order")
    def transactional(order: StepRef[Order]) -> StepRef[int]:
        return within(order)

    async with SagaOrchestrator(dsn, publishers={"orders.*": broker}) as orchestrator:
        run = await orchestrator.register(transactional).start(Order(7))
        assert await run.result(timeout=SOON) == 7
        await broker.until(2)
        await until_sent(orchestrator, run.id)
    assert broker.topics == ["orders.x", "orders.declared"]
