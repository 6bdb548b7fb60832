"""One publisher: no call of it is for a message that another process may take before the call is over."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from saga_fn import AttentionKind, Outgoing, SagaOrchestrator, StepRef, saga, steady, step
from saga_fn.engine.hold import lane as lane_module
from saga_fn.engine.hold import relay_sweep
from saga_fn.engine.hold.lane import Lane
from saga_fn.engine.observe.of_outgoing import PublisherFailed, PublisherRecovered
from saga_fn.outgoing import FailedForNow, OutgoingMessage, OutgoingOptions, Published, PublishOutcome
from saga_fn.store.records import HeldMessage, OutgoingRow
from tests.support.broker import Broker
from tests.support.observed import Observed
from tests.support.stores import Make
from tests.support.until import SOON, until

LONG_AGO = 3600.0


class Clock:
    """The monotonic clock of this process, which the test moves."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        patch.setattr(steady, "now", lambda: self.now)


def message(number: int) -> OutgoingMessage:
    return OutgoingMessage(
        id=UUID(int=number),
        topic="orders",
        key="order",
        headers={},
        body=b"",
        saga_id=UUID(int=number),
        saga_name="order",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        attempt=1,
    )


def lane_of(publisher: object) -> Lane:
    return Lane("orders", publisher, timeout=SOON, room=100, batch=20)  # type: ignore[arg-type]


async def test_of_a_call_that_has_failed_no_message_is_tried_alone_that_another_process_may_have_by_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, alone = Clock(monkeypatch), list[int]()

    async def poisoned(messages: Sequence[OutgoingMessage]) -> list[PublishOutcome]:
        clock.now += 3
        if len(messages) > 1:
            raise ValueError("one of them")
        alone.append(messages[0].id.int)
        return [Published()]

    lane = lane_of(poisoned)
    outcomes = await lane.publish([message(n) for n in range(5)], begin_by=[107.0, 107.0, 105.0, 200.0, 107.0])
    assert outcomes == [Published(), Published(), None, Published(), None]
    assert alone == [0, 1, 3]
    assert not lane.down


async def test_a_message_whose_time_is_over_when_the_call_before_it_ends_is_left_to_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, calls, go = Clock(monkeypatch), list[list[int]](), asyncio.Event()

    async def slow(messages: Sequence[OutgoingMessage]) -> list[PublishOutcome]:
        calls.append([each.id.int for each in messages])
        await go.wait()
        return [Published() for _ in messages]

    lane = lane_of(slow)
    first = asyncio.create_task(lane.publish([message(1)], begin_by=[105.0]))
    await until(lambda: bool(calls))
    behind = [
        asyncio.create_task(lane.publish([message(2)], begin_by=[105.0])),
        asyncio.create_task(lane.publish([message(3), message(4)], begin_by=[105.0, 200.0])),
    ]
    await asyncio.sleep(0)
    clock.now += 10
    go.set()
    assert await first == [Published()]
    assert await behind[0] == [None]
    assert await behind[1] == [None, Published()]
    assert calls == [[1], [4]]
    assert not lane.down, "nothing of it has failed"


async def test_a_publisher_that_fails_for_all_is_down_though_no_message_could_be_tried_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the same messages would be tried together for ever, and no attempt of any would count."""
    clock = Clock(monkeypatch)

    async def failing(_: Sequence[OutgoingMessage]) -> list[PublishOutcome]:
        clock.now += 10
        raise ValueError("all of them")

    lane = lane_of(failing)
    assert await lane.publish([message(1), message(2)], begin_by=[105.0, 105.0]) == [None, None]
    assert lane.down
    (alone,) = await lane.publish([message(1)], begin_by=[115.0])
    assert isinstance(alone, FailedForNow)


@pytest.mark.parametrize("kind", ["publisher", "hook"])
async def test_a_call_that_goes_on_though_it_was_cut_short_is_told_and_costs_no_other_publisher_anything(
    kind: str, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_module, "_TO_END", 0.05)
    monkeypatch.setattr(relay_sweep, "_POLL", 0.02)
    end, broker = asyncio.Event(), Broker()

    async def deaf(_: object) -> list[PublishOutcome]:
        while not end.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await end.wait()
        return [Published()]

    @step(publishes=(Outgoing("orders.paid"), Outgoing("deaf")) if kind == "publisher" else Outgoing("orders.paid"))
    async def pays(order: int) -> int:
        return order

    @saga("order", on_completed=deaf if kind == "hook" else None)
    def paying(order: StepRef[int]) -> StepRef[int]:
        return pays(order)

    options = OutgoingOptions(timeout=timedelta(milliseconds=50))
    name = "on_completed" if kind == "hook" else "deaf"
    async with make(publishers={"orders.*": broker, "deaf": deaf}, outgoing=options) as orchestrator:
        observed = Observed(orchestrator)
        try:
            handle = orchestrator.register(paying)
            await handle.start(1)
            await until(lambda: any(each.topics == name and each.hangs for each in observed.all(PublisherFailed)))
            found = [each for each in (await orchestrator.health()).attention if each.kind is AttentionKind.PUBLISHER]
            assert [name in each.text for each in found] == [True]
            await handle.start(2)
            await broker.until(2)
        finally:
            end.set()
        await until(lambda: any(each.topics == name for each in observed.all(PublisherRecovered)))
        assert not any(each.kind is AttentionKind.PUBLISHER for each in (await orchestrator.health()).attention)


@pytest.mark.parametrize("how", ["written", "taken"])
async def test_the_lease_of_messages_counts_from_when_they_were_sent_for(how: str, make: Make) -> None:
    """A statement may have been answered late: the server counts from when it ran."""
    broker = Broker()
    async with make(publishers={"*": broker}) as orchestrator:
        await publish_late(orchestrator, how, sent=steady.now() - LONG_AGO)
        await publish_late(orchestrator, how, sent=steady.now())
        assert [each.body for each in await broker.until(1)] == [b"in time"]


async def publish_late(orchestrator: SagaOrchestrator, how: str, *, sent: float) -> None:
    """Have the relay told of a message for which a statement was sent at that time."""
    relay, saga_id = orchestrator.engine.relay, uuid4()
    body = b"late" if steady.now() - sent > LONG_AGO / 2 else b"in time"
    if how == "taken":
        at = datetime(2026, 1, 1, tzinfo=UTC)
        relay.hold([HeldMessage(saga_id, 1, 0, "orders", "order", None, body, 0, at, "order", 1)], sent)
    else:
        row = OutgoingRow(1, 0, "orders", "order", None, body, uuid4(), timedelta(seconds=SOON), made=sent)
        relay.written(saga_id, "order", 1, [row], 0)
