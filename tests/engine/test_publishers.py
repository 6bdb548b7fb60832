"""Publishers that fail, hang, raise or answer nonsense: the message waits or is dead, and the others are published."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Self

import msgspec
import pytest
from typing_extensions import override

from saga_fn import SagaAdmin, SagaError, SagaOrchestrator
from saga_fn.engine.hold import lane, relay_sweep
from saga_fn.engine.observe.of_outgoing import MessageDied, PublisherFailed
from saga_fn.outgoing import (
    FailedForNow,
    OutgoingMessage,
    OutgoingOptions,
    Published,
    RefusedForGood,
)
from tests.support.broker import Broker, refuse
from tests.support.observed import Observed
from tests.support.ordering import QUICK, Order, ordering, unsent, until_sent
from tests.support.stores import Make
from tests.support.until import SOON, until


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


def plainly(messages: Sequence[OutgoingMessage]) -> None:
    raise AssertionError(messages)


class Plain:
    publish = staticmethod(plainly)


@pytest.mark.parametrize(
    "wrong",
    [print, plainly, Plain(), Broker, "a broker", None],
    ids=["print", "plain", "plain publish", "class", "text", "None"],
)
def test_a_publisher_that_could_not_be_awaited_is_refused_at_once(wrong: Any) -> None:  # Any: wrong on purpose
    told = r"topic 'orders\.\*' is no async function, and has no async method `publish`\nHINT: async def publish.*\[Published\(\)"
    with pytest.raises(SagaError, match=told):
        SagaOrchestrator("postgresql://localhost/nowhere", publishers={"orders.*": wrong})


async def test_a_publisher_that_forgets_its_outcomes_is_told_what_to_return(make: Make) -> None:
    async def forgets(messages: Sequence[OutgoingMessage]) -> Any:  # Any: wrong on purpose
        return None

    options = msgspec.structs.replace(QUICK, max_attempts=1)
    async with make(publishers={"*": forgets}, outgoing=options) as orchestrator:
        run = await orchestrator.register(ordering).start(Order(7))
        async with asyncio.timeout(SOON):
            while not (errors := [each.error for each in await unsent(orchestrator, run.id) if each.error]):
                await asyncio.sleep(0.005)
    assert "gave no outcome for each message: 0 for 1, in place of [Published() for _ in messages]" in errors[0]
