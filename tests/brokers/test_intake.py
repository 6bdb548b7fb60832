"""A message becomes an event, whatever its `read` and its hook do, and however many events wait already."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import pytest
from typing_extensions import override

from saga_fn import Delivery, Event, MemoryStore, SagaOrchestrator, StepRef, saga, step
from saga_fn.brokers import EventFor, IncomingMessage
from saga_fn.brokers.incoming import AnyEventFor
from saga_fn.brokers.intake import Intake, OnDropped, Unreadable
from saga_fn.engine.observe.of_incoming import IncomingWaits
from tests.support.observed import Observed
from tests.support.until import SOON

paid = Event("paid", int)
KEY: Final = ("order", "7")
CONCURRENCY: Final = 4


@step
async def ship(amount: int) -> int:
    return amount


@saga("order")
def ordering(order: StepRef[str]) -> StepRef[int]:
    return ship(paid.wait())


def message(number: int, key: str = KEY[1]) -> IncomingMessage:
    return IncomingMessage(id=f"{key}-{number}", topic="paid", key=key, headers={}, body=b"%d" % number)


def for_key(incoming: IncomingMessage) -> AnyEventFor:
    return EventFor(target=("order", incoming.key or ""), event=paid, payload=incoming.decode(paid))


def intake(
    orchestrator: SagaOrchestrator,
    read: Callable[[IncomingMessage], AnyEventFor | None] = for_key,
    on_dropped: OnDropped | None = None,
) -> Intake:
    return Intake(orchestrator, read, on_dropped=on_dropped, max_attempts=2, source="orders", concurrency=CONCURRENCY)


async def test_a_message_for_a_key_for_which_as_many_wait_as_may_waits_until_its_saga_is_there() -> None:
    async with SagaOrchestrator(MemoryStore()) as orchestrator:
        handle = orchestrator.register(ordering)
        observed = Observed(orchestrator)
        taking = intake(orchestrator)
        for number in range(32):
            assert await taking.take(message(number)) is None
        last = asyncio.create_task(taking.take(message(32)))
        waits = await observed.until(IncomingWaits, times=4)  # tried more often than where it is refused for good
        assert "as one may take" in waits.reason
        run = await handle.start("7", aggregation_id=KEY[1])
        assert await run.result(timeout=SOON) == 0
        async with asyncio.timeout(SOON):
            assert await last is None


async def test_messages_that_wait_for_full_keys_take_no_room_of_others() -> None:
    async with SagaOrchestrator(MemoryStore()) as orchestrator:
        handle = orchestrator.register(ordering)
        observed = Observed(orchestrator)
        taking = intake(orchestrator)
        keys = [f"full-{number}" for number in range(2 * CONCURRENCY)]
        for key in keys:
            for number in range(32):
                assert await taking.take(message(number, key)) is None
        waiting = [asyncio.create_task(taking.take(message(32, key))) for key in keys]
        async with asyncio.timeout(SOON):
            await observed.until(IncomingWaits, times=CONCURRENCY)
            assert await taking.take(message(1, "other")) is None
            assert not any(task.done() for task in waiting)
            for key in keys:
                assert await (await handle.start(key, aggregation_id=key)).result(timeout=SOON) == 0
            assert await asyncio.gather(*waiting) == [None] * len(keys)


async def test_the_messages_of_a_full_key_keep_their_order_while_they_wait() -> None:
    told: list[tuple[int, str]] = []

    async def late(incoming: IncomingMessage, delivery: Delivery) -> None:
        told.append((incoming.decode(paid), delivery.value))

    async with SagaOrchestrator(MemoryStore()) as orchestrator:
        handle = orchestrator.register(ordering)
        observed = Observed(orchestrator)
        taking = intake(orchestrator, on_dropped=late)
        for number in range(32):
            assert await taking.take(message(number)) is None
        waiting = [asyncio.create_task(taking.take(message(number))) for number in range(32, 40)]
        await observed.until(IncomingWaits, times=2)
        await (await handle.start("7", aggregation_id=KEY[1])).result(timeout=SOON)
        async with asyncio.timeout(SOON):
            assert await asyncio.gather(*waiting) == [None] * len(waiting)
    assert told == [(number, "ended") for number in range(32, 40)]


class Odd(BaseException):
    """No Exception."""


class Unhashable(str):
    __slots__ = ()

    @override
    def __hash__(self) -> int:
        raise Odd


@pytest.mark.parametrize("error", [Odd(), asyncio.CancelledError(), GeneratorExit(), BaseExceptionGroup("", [Odd()])])
async def test_a_read_that_raises_what_is_no_exception_makes_its_message_unreadable(error: BaseException) -> None:
    def broken(_: IncomingMessage) -> AnyEventFor:
        raise error

    def unhashable(_: IncomingMessage) -> AnyEventFor:
        return EventFor(target=("order", Unhashable("7")), event=paid, payload=1)

    async with SagaOrchestrator(MemoryStore()) as orchestrator:
        for read, why in ((broken, type(error).__name__), (unhashable, "Odd")):
            assert await intake(orchestrator, read).take(message(1)) == Unreadable(why)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), BaseExceptionGroup("", [SystemExit(1)])])
async def test_a_read_by_which_the_program_ends_is_heard(error: BaseException) -> None:
    def ends(_: IncomingMessage) -> AnyEventFor:
        raise error

    async with SagaOrchestrator(MemoryStore()) as orchestrator:
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            await intake(orchestrator, ends).take(message(1))


@pytest.mark.parametrize("error", [Odd(), asyncio.CancelledError()])
async def test_a_hook_for_what_came_too_late_that_raises_what_is_no_exception_is_called_again(
    error: BaseException,
) -> None:
    told: list[Delivery] = []

    async def broken_once(_: IncomingMessage, delivery: Delivery) -> None:
        told.append(delivery)
        if len(told) == 1:
            raise error

    async with SagaOrchestrator(MemoryStore()) as orchestrator:
        run = await orchestrator.register(ordering).start("7", aggregation_id=KEY[1])
        await orchestrator.to(KEY, paid).send(1)
        await run.result(timeout=SOON)
        async with asyncio.timeout(SOON):
            assert await intake(orchestrator, on_dropped=broken_once).take(message(2)) is None
    assert told == [Delivery.ENDED, Delivery.ENDED]
