"""Messages out: published once their commit is durable, at least once, in the order of their saga, and at nobody else's cost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, Self
from uuid import UUID

import attrs
import msgspec
import pytest
from typing_extensions import override

from saga_fn import (
    Done,
    Event,
    FixedRetry,
    MemoryStore,
    Outgoing,
    PayloadError,
    SagaAdmin,
    SagaBuilder,
    SagaCompensatedError,
    SagaDefinition,
    SagaDefinitionError,
    SagaError,
    SagaOrchestrator,
    SagaRun,
    SagaStatus,
    StepContext,
    StepRef,
    StoreUnavailableError,
    TransactionalContext,
    saga,
    step,
)
from saga_fn.definition import outgoing
from saga_fn.engine.commit.batching import BATCH_BYTES
from saga_fn.engine.drive import outgoing as drafts
from saga_fn.engine.hold import lane, relay, relay_store, relay_sweep
from saga_fn.engine.observe.of_process import MessageDied, PublisherFailed, PublisherRecovered
from saga_fn.outgoing import (
    FailedForNow,
    OutgoingMessage,
    OutgoingOptions,
    Published,
    RefusedForGood,
    message_id,
)
from saga_fn.store.records import Committed, OutgoingRecord, SagaWrite
from tests.support.broker import Broker, refuse
from tests.support.observed import Observed
from tests.support.stores import Make
from tests.support.until import SOON, suspended, until

QUICK = OutgoingOptions(
    first_delay=timedelta(milliseconds=20), longest_delay=timedelta(milliseconds=50), max_attempts=3
)


@attrs.frozen
class Order:
    number: int


@step
async def charge(order: Order, ctx: StepContext) -> int:
    ctx.publish("orders.charged", order, headers={"by": "charge"})
    return order.number


@step(publishes=Outgoing("orders.shipped", payload=lambda number: {"number": number}, key=lambda number: f"k{number}"))
async def ship(number: int) -> int:
    return number


@saga("order")
def ordering(order: StepRef[Order]) -> StepRef[int]:
    return ship(charge(order))


async def unsent(orchestrator: SagaOrchestrator, saga_id: UUID) -> list[OutgoingRecord]:
    return await orchestrator.engine.store.outgoing.of_saga(saga_id, most=100)


async def until_sent(orchestrator: SagaOrchestrator, saga_id: UUID) -> None:
    async with asyncio.timeout(SOON):
        while await unsent(orchestrator, saga_id):
            await asyncio.sleep(0.005)


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


async def test_a_message_that_is_refused_for_good_is_dead_at_once_and_holds_its_sagas_later_ones_alone(
    make: Make,
) -> None:
    broker = Broker()
    broker.answer = lambda message: (
        RefusedForGood("too large")
        if message.body == b'{"number":7}' and message.topic == "orders.charged"
        else Published()
    )
    async with make(publishers={"*": broker}) as orchestrator:
        observed = Observed(orchestrator)
        handle = orchestrator.register(ordering)
        run = await handle.start(Order(7))
        await run.result(timeout=SOON)
        died = await observed.until(MessageDied)
        await (await handle.start(Order(8))).result(timeout=SOON)
        await broker.until(2)
        first, second = await unsent(orchestrator, run.id)
        assert (died.saga_id, died.topic, died.attempts) == (run.id, "orders.charged", 1)
        assert (first.error, first.dead_at is not None, second.dead_at) == ("too large", True, None)
        assert await orchestrator.engine.store.outgoing.redrive(run.id, [(first.rev, first.n)]) == 1
        broker.answer = lambda _: Published()
        orchestrator.engine.relay.look_soon()
        await broker.until(4)
    assert [message.topic for message in broker.by_saga[run.id]] == ["orders.charged", "orders.shipped"]


async def test_a_message_that_fails_too_often_is_dead_and_with_skip_the_later_ones_go_past_it(make: Make) -> None:
    broker = Broker()
    broker.answer = refuse("orders.charged")
    async with make(publishers={"*": broker}, outgoing=msgspec.structs.replace(QUICK, on_dead="skip")) as orchestrator:
        observed = Observed(orchestrator)
        run = await orchestrator.register(ordering).start(Order(7))
        assert (await observed.until(MessageDied)).attempts == 3
        await broker.until(1)
        assert broker.topics == ["orders.shipped"]
        async with asyncio.timeout(SOON):
            while len(left := await unsent(orchestrator, run.id)) > 1:
                await asyncio.sleep(0.005)
        assert [(each.topic, each.attempts, each.error) for each in left] == [("orders.charged", 3, "not now")]


async def test_a_message_for_which_the_publisher_raises_costs_the_others_of_its_call_nothing(make: Make) -> None:
    broker = Broker()

    def poisoned(message: OutgoingMessage) -> Published:
        if message.body == b'{"number":3}':
            raise TypeError("cannot be sent")
        return Published()

    broker.answer = poisoned
    broker.open.clear()
    async with make(publishers={"*": broker}, concurrency=32) as orchestrator:
        handle = orchestrator.register(ordering)
        runs = [await handle.start(Order(number)) for number in range(8)]
        for run in runs:
            await run.result(timeout=SOON)
        broker.open.set()
        await broker.until(14)
        dead = await unsent(orchestrator, runs[3].id)
    assert [each.error for each in dead] == ["TypeError: cannot be sent", None]
    assert len(broker.first) == 14


async def test_a_publisher_that_hangs_is_cut_short_and_called_again(make: Make) -> None:
    broker = Broker()
    broker.open.clear()
    options = msgspec.structs.replace(QUICK, timeout=timedelta(milliseconds=50), max_attempts=1000)
    async with make(publishers={"*": broker}, outgoing=options) as orchestrator:
        observed = Observed(orchestrator)
        run = await orchestrator.register(ordering).start(Order(7))
        await observed.until(PublisherFailed)
        told = observed.all(PublisherFailed)[0]
        assert "not published within 0.05 s" in told.reason
        line = told.line()
        assert line is not None
        assert line.message.startswith("the publisher of * fails (TimeoutError), its messages wait")
        broker.open.set()
        await broker.until(2)
        await until_sent(orchestrator, run.id)
    assert broker.topics == ["orders.charged", "orders.shipped"]


@pytest.mark.parametrize("how", ["raises", "hangs"])
async def test_a_broker_that_is_back_is_given_what_waits_where_a_lease_is_shorter_than_a_pause(
    how: str, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = Broker()
    if how == "raises":
        broker.down = ConnectionError("no broker")
    else:
        broker.open.clear()
    # Shortened by half at most: a pause is longer than the lease and a call together.
    monkeypatch.setattr(lane, "_FIRST_PAUSE", 2.4)
    monkeypatch.setattr(lane, "_LONGEST_PAUSE", 2.4)
    monkeypatch.setattr(relay_sweep, "_POLL", 0.02)
    options = msgspec.structs.replace(QUICK, timeout=timedelta(milliseconds=50), max_attempts=1000)
    async with make(publishers={"*": broker}, outgoing=options, lease=timedelta(seconds=1)) as orchestrator:
        handle = orchestrator.register(ordering)
        for number in range(4):
            await (await handle.start(Order(number))).result(timeout=SOON)
        await broker.until_calls(2)
        broker.down = None
        broker.open.set()
        await broker.until(8)
    assert {len(each) for each in broker.by_saga.values()} == {2}


class UnreadableError(Exception):
    @override
    def __str__(self) -> str:
        raise ZeroDivisionError


class Odd(BaseException):
    """No Exception."""


class OddError(Exception):
    @override
    def __str__(self) -> str:
        raise Odd


class OddList(list[Any]):
    @override
    def __iter__(self) -> Any:
        raise Odd


class OddTime(timedelta):
    @override
    def __floordiv__(self, _: object) -> Any:
        raise Odd


NONSENSE: dict[str, Callable[[], list[Any]]] = {
    "a number of seconds": lambda: [FailedForNow("slow", after=5)],  # type: ignore[arg-type]
    "the longest time": lambda: [FailedForNow("slow", after=timedelta.max)],
    "a time before now": lambda: [FailedForNow("slow", after=timedelta.min)],
    "an exception for the reason": lambda: [FailedForNow(UnreadableError())],  # type: ignore[arg-type]
    "nothing for the reason": lambda: [RefusedForGood(None)],  # type: ignore[arg-type]
    "nothing at all": list,
    "a cancellation of its own": lambda: raised(asyncio.CancelledError()),
    "a group with a cancellation": lambda: raised(BaseExceptionGroup("two", [ValueError(1), asyncio.CancelledError()])),
    "an exception whose words raise": lambda: raised(OddError()),
    "a list that cannot be read": lambda: OddList([Published()]),
    "a time that cannot be counted": lambda: [FailedForNow("slow", after=OddTime(seconds=1))],
    "the end of a generator": lambda: raised(GeneratorExit()),
}


def raised(error: BaseException) -> list[Any]:
    raise error


@pytest.mark.parametrize("what", NONSENSE)
async def test_an_answer_that_makes_no_sense_counts_as_an_attempt_and_is_told(what: str, make: Make) -> None:
    async def nonsense(_: Sequence[OutgoingMessage]) -> list[Any]:
        return NONSENSE[what]()

    async with make(publishers={"*": nonsense}, outgoing=OutgoingOptions(max_attempts=1)) as orchestrator:
        run = await orchestrator.register(ordering).start(Order(7))
        admin = SagaAdmin(orchestrator)
        async with asyncio.timeout(SOON):
            while not (dead := await admin.outgoing()):
                await asyncio.sleep(0.005)
    assert [(each.saga_id, each.attempts, bool(each.error)) for each in dead] == [(run.id, 1, True)]


async def test_a_publisher_that_takes_out_of_its_list_what_it_has_published_has_published_it(make: Make) -> None:
    sent: list[OutgoingMessage] = []
    failed: list[OutgoingMessage] = []

    async def takes_out(messages: Sequence[OutgoingMessage]) -> list[Published]:
        assert isinstance(messages, list)
        if not failed:
            failed.append(messages.pop())
            raise ConnectionError
        outcomes = [Published() for _ in messages]
        while messages:
            sent.append(messages.pop())
        return outcomes

    async with make(publishers={"*": takes_out}, outgoing=QUICK) as orchestrator:
        run = await orchestrator.register(ordering).start(Order(7))
        await until(lambda: len(sent) >= 2)
        await until_sent(orchestrator, run.id)
    assert [message.topic for message in sent] == ["orders.charged", "orders.shipped"]
    assert [message.attempt for message in sent] == [2, 1]


@pytest.mark.parametrize(
    "error",
    [asyncio.CancelledError(), GeneratorExit(), BaseExceptionGroup("two", [ValueError(1), asyncio.CancelledError()])],
    ids=lambda error: type(error).__name__,
)
async def test_a_publisher_whose_leaving_raises_keeps_nobody_from_leaving(error: BaseException, make: Make) -> None:
    class Leaving(Broker):
        @override
        async def __aexit__(self, *_: object) -> None:
            await super().__aexit__()
            raise error

    brokers = Leaving(), Leaving()
    async with make(publishers={"orders.charged": brokers[0], "*": brokers[1]}) as orchestrator:
        await orchestrator.register(ordering).start(Order(7))
        await brokers[1].until(1)
    assert [broker.left for broker in brokers] == [1, 1]


async def test_a_publisher_that_cannot_be_entered_keeps_no_orchestrator_from_working(make: Make) -> None:
    class Late(Broker):
        refused = 0

        @override
        async def __aenter__(self) -> Self:
            if self.refused < 2:
                self.refused += 1
                raise ConnectionRefusedError
            return await super().__aenter__()

    broker = Late()
    async with make(
        publishers={"*": broker}, outgoing=msgspec.structs.replace(QUICK, max_attempts=1000)
    ) as orchestrator:
        await (await orchestrator.register(ordering).start(Order(7))).result(timeout=SOON)
        await broker.until(2)
    assert (broker.refused, broker.entered, broker.left) == (2, 1, 1)


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
        for each in (relay, relay_sweep, relay_store, lane, drafts):
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


def ordering_with_hook() -> SagaDefinition[Order, int]:
    @saga("order", on_started=Outgoing("news"))
    def hooked(order: StepRef[Order]) -> StepRef[int]:
        return ship(charge(order))

    return hooked


# What cannot be published.


def test_a_topic_without_a_publisher_is_known_at_registration() -> None:
    orchestrator = SagaOrchestrator(MemoryStore(), publishers={"invoices.*": Broker()})
    with pytest.raises(SagaDefinitionError, match=r"topic 'orders\.shipped', which has no publisher"):
        orchestrator.register(ordering)
    with pytest.raises(SagaDefinitionError, match="topic 'news'"):
        SagaOrchestrator(MemoryStore(), publishers={"orders.*": Broker()}).register(ordering_with_hook())
    SagaOrchestrator(MemoryStore(), concurrency=0).register(ordering)  # it runs no step of it


async def parked(orchestrator: SagaOrchestrator, run: SagaRun[Any]) -> str:
    """Wait until the saga is parked; gives why."""
    await suspended(run)
    return str((await SagaAdmin(orchestrator).get_saga(run.id)).step_history)


def publish_many(ctx: StepContext) -> None:
    for number in range(101):
        ctx.publish("orders.x", number)


def publish_and_go_on(ctx: StepContext, topic: Any = "orders.x") -> None:
    with contextlib.suppress(PayloadError, SagaDefinitionError):
        ctx.publish(topic, object())


def publish_and_say_something_else(ctx: StepContext) -> None:
    try:
        ctx.publish("orders.ann\n", 1)
    except SagaDefinitionError as error:
        raise ValueError("the order cannot be told") from error


class Unreadable:
    """A value that answers whoever asks for its type by an error of its own."""

    @override
    def __getattribute__(self, _: str) -> Any:  # Any: it is none
        raise ZeroDivisionError


UNFIT: dict[str, tuple[Callable[[StepContext], None], str]] = {
    "an object, and the step goes on": (publish_and_go_on, "cannot be written as JSON"),
    "an object": (lambda ctx: ctx.publish("orders.x", object()), "cannot be written as JSON"),
    "NaN": (lambda ctx: ctx.publish("orders.x", float("nan")), "nan"),
    "too large": (lambda ctx: ctx.publish("orders.x", "x" * 2000), "1,000"),
    "another topic": (lambda ctx: ctx.publish("invoices", 1), "no publisher"),
    "a long key": (lambda ctx: ctx.publish("orders.x", 1, key="k" * 300), "key must be"),
    "headers of numbers": (lambda ctx: ctx.publish("orders.x", 1, headers={"a": 1}), "headers are"),  # type: ignore[dict-item]
    "too many": (publish_many, "at most 100 messages"),
    "a topic that does not print": (lambda ctx: ctx.publish("orders.ann\n", 1), "a topic is"),
    "a topic with a NUL": (lambda ctx: ctx.publish("orders.\x00", 1), "a topic is"),
    "a long topic": (lambda ctx: ctx.publish("orders." + "x" * 300, 1), "a topic is"),
    "a topic that is a number": (lambda ctx: ctx.publish(7, 1), "a topic is"),  # type: ignore[arg-type]
    "no topic, and the step goes on": (lambda ctx: publish_and_go_on(ctx, "orders.ann\n"), "a topic is"),
    "no topic, and the step raises another error": (publish_and_say_something_else, "a topic is"),
    "headers that raise": (lambda ctx: ctx.publish("orders.x", 1, headers=Unreadable()), "ZeroDivisionError"),  # type: ignore[arg-type]
    "a key that raises": (lambda ctx: ctx.publish("orders.x", 1, key=Unreadable()), "ZeroDivisionError"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("kind", UNFIT)
async def test_a_message_that_cannot_be_stored_parks_its_saga_and_no_other(kind: str, make: Make) -> None:
    broker = Broker()
    does, why = UNFIT[kind]

    @step
    async def publishes(order: Order, ctx: StepContext) -> None:
        if order.number:
            ctx.publish("orders.x", "before")
            does(ctx)

    @saga("order")
    def unfit(order: StepRef[Order]) -> None:
        publishes(order)

    async with make(publishers={"orders.*": broker}, max_payload_bytes=1000) as orchestrator:
        handle = orchestrator.register(unfit)
        run = await handle.start(Order(1))
        assert why in await parked(orchestrator, run)
        assert (await run.snapshot()).parked == "output_lost"
        assert await unsent(orchestrator, run.id) == []
        await (await handle.start(Order(0))).result(timeout=SOON)
    assert broker.messages == []


async def test_the_explanation_names_the_topic_without_a_publisher_and_the_verb_that_publishes(make: Make) -> None:
    @step
    async def tell(order: Order, ctx: StepContext) -> int:
        ctx.publish("order.packed", order.number)
        return order.number

    @saga("order")
    def misspelt(order: StepRef[Order]) -> StepRef[int]:
        return tell(order)

    async with make(publishers={"orders.*": Broker()}) as orchestrator:
        run = await orchestrator.register(misspelt).start(Order(1))
        _ = await parked(orchestrator, run)
        said = await SagaAdmin(orchestrator).explain(run.id)
    (reason,) = said.reasons
    assert "or a message that it publishes, cannot be kept" in reason.text
    assert reason.error == "PayloadError: topic 'order.packed' has no publisher in this process"
    assert reason.error in reason.text
    assert "deploy the topic's publisher, then retry_step" in (reason.mend or "")
    for verb, loses in (("settle_done", True), ("skip_step", True), ("retry_step", False)):
        preview = said.of(verb, "tell")
        assert preview is not None
        assert preview.is_legal, verb
        assert ("no message of the step is published" in preview.text) is loses, preview.text


async def test_a_message_that_a_probe_cannot_publish_parks_its_saga_though_the_probe_goes_on(make: Make) -> None:
    async def found(order: Order, ctx: StepContext) -> Done[int]:
        publish_and_go_on(ctx, "orders.ann\n")
        return Done(order.number)

    @step(probe=found, timeout=timedelta(milliseconds=1))
    async def doubtful(order: Order) -> int:
        await asyncio.sleep(SOON)
        return order.number

    @saga("order")
    def probed(order: StepRef[Order]) -> StepRef[int]:
        return doubtful(order)

    async with make(publishers={"orders.*": Broker()}) as orchestrator:
        run = await orchestrator.register(probed).start(Order(1))
        assert "a topic is" in await parked(orchestrator, run)
        assert (await run.snapshot()).parked == "output_lost"


async def test_a_transactional_step_that_makes_another_error_of_a_refused_message_has_failed(dsn: str) -> None:
    """Its rows are rolled back with it: nothing is left of it that a message could be missing for."""

    @step(transactional=True)
    async def within(_: Order, ctx: TransactionalContext) -> None:
        publish_and_say_something_else(ctx)

    @saga("order")
    def transactional(order: StepRef[Order]) -> None:
        within(order)

    async with SagaOrchestrator(dsn, publishers={"orders.*": Broker()}) as orchestrator:
        run = await orchestrator.register(transactional).start(Order(7))
        with pytest.raises(SagaCompensatedError):
            await run.result(timeout=SOON)


@pytest.mark.parametrize("said", [0, 1, 4, 5])
async def test_messages_that_take_too_much_together_park_their_saga_whoever_publishes_them(
    said: int, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One statement writes all of them: what it cannot send in time would be sent for ever."""
    monkeypatch.setattr(outgoing, "MOST_OUTGOING_BYTES", 4000)
    declared = [Outgoing("orders.x", payload=lambda _: b"x" * 900)] * (4 - min(said, 4))

    @step(publishes=declared)
    async def publishes(order: Order, ctx: StepContext) -> int:
        for _ in range(said):
            ctx.publish("orders.x", b"x" * (900 + 200 * order.number))
        return order.number

    @saga("order")
    def much(order: StepRef[Order]) -> None:
        publishes(order)

    broker = Broker()
    async with make(publishers={"orders.*": broker}, max_payload_bytes=1500) as orchestrator:
        handle = orchestrator.register(much)
        if said < 5:
            await (await handle.start(Order(0))).result(timeout=SOON)
            assert len(await broker.until(4)) == 4
        if said > 1:
            run = await handle.start(Order(1))
            assert "all that one execution publishes takes" in await parked(orchestrator, run)
            assert await unsent(orchestrator, run.id) == []


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


@pytest.mark.predecessor(21)
@pytest.mark.parametrize("what", ["payload", "key", "headers"])
async def test_a_function_of_a_declared_message_that_raises_never_takes_back_the_step(what: str, make: Make) -> None:
    executed: list[int] = []

    def broken(_: int) -> Any:
        raise ZeroDivisionError

    @step(publishes=Outgoing("orders.x", **{what: broken}))
    async def done(order: Order) -> int:
        executed.append(order.number)
        return order.number

    @saga("order")
    def mapped(order: StepRef[Order]) -> StepRef[int]:
        return done(order)

    async with make(publishers={"orders.*": Broker()}, lease=timedelta(milliseconds=300)) as orchestrator:
        run = await orchestrator.register(mapped).start(Order(1))
        assert "ZeroDivisionError" in await parked(orchestrator, run)
        await asyncio.sleep(0.7)  # over its lease
        assert executed == [1]
        assert (await run.snapshot()).status is SagaStatus.SUSPENDED


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


def test_what_is_no_message_and_no_publisher_is_refused() -> None:
    for topic in ("", "a" * 256, "line\nbreak", 7, None):
        with pytest.raises(SagaDefinitionError):
            Outgoing(topic)  # type: ignore[arg-type]
        with pytest.raises(SagaError):
            SagaOrchestrator(MemoryStore(), publishers={topic: Broker()})  # type: ignore[dict-item]
    with pytest.raises(SagaDefinitionError, match="payload"):
        Outgoing("topic", payload=7)  # type: ignore[arg-type]
    with pytest.raises(SagaDefinitionError, match="publishes"):
        step(publishes="topic")  # type: ignore[arg-type]
    for publishers in ({"topic": 7}, {"topic": None}, 7, [Broker()]):
        with pytest.raises(SagaError):
            SagaOrchestrator(MemoryStore(), publishers=publishers)  # type: ignore[arg-type]
    with pytest.raises(SagaError, match="outgoing must be"):
        SagaOrchestrator(MemoryStore(), outgoing={"batch": 3})  # type: ignore[arg-type]


async def test_a_step_that_is_called_alone_judges_what_it_publishes() -> None:
    assert await charge.execute(Order(7)) == 7

    @step
    async def wrong(_: Order, ctx: StepContext) -> None:
        ctx.publish("topic", object())

    with pytest.raises(PayloadError):
        await wrong.execute(Order(7))


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
