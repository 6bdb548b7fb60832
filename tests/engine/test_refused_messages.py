"""Messages that cannot be published or stored: their saga is parked, or its definition refused, and no other saga pays for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from typing_extensions import override

from saga_fn import (
    Done,
    MemoryStore,
    Outgoing,
    PayloadError,
    SagaAdmin,
    SagaCompensatedError,
    SagaDefinitionError,
    SagaError,
    SagaOrchestrator,
    SagaParkedError,
    SagaRun,
    SagaStatus,
    StepContext,
    StepRef,
    TransactionalContext,
    saga,
    step,
)
from saga_fn.definition import outgoing
from tests.support.broker import Broker
from tests.support.ordering import Order, charge, ordering, ordering_with_hook, unsent
from tests.support.stores import Make
from tests.support.until import SOON, suspended

# Messages that cannot be published.


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
    """A value that raises an error of its own where its type is asked for."""

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


async def test_the_explanation_of_a_transactional_step_names_no_verb_that_is_refused(dsn: str) -> None:
    """It is rolled back: there is nothing to settle."""

    @step(transactional=True)
    async def within(order: Order, ctx: TransactionalContext) -> int:
        ctx.publish("order.packed", order.number)
        return order.number

    @saga("order")
    def misspelt(order: StepRef[Order]) -> StepRef[int]:
        return within(order)

    async with SagaOrchestrator(dsn, publishers={"orders.*": Broker()}) as orchestrator:
        run = await orchestrator.register(misspelt).start(Order(1))
        with pytest.raises(SagaParkedError, match="output_lost") as told:
            await run.result(timeout=SOON)
        said = await SagaAdmin(orchestrator).explain(run.id)
    (reason,) = said.reasons
    assert "its transaction was rolled back, nothing of the attempt is there" in reason.text
    assert "it ran" not in reason.text
    mends = (str(reason.mend), str(told.value))
    for mend in mends:
        assert "deploy the topic's publisher, then retry_step" in mend
    for verb in ("retry_step", "cancel", "settle_done", "settle_undone", "settle_never_ran"):
        preview = said.of(verb, None if verb == "cancel" else "within")
        assert preview is not None
        assert [verb in mend for mend in mends] == [preview.is_legal] * 2, verb


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

    async with make(publishers={"orders.*": Broker()}) as orchestrator:
        run = await orchestrator.register(mapped).start(Order(1))
        assert "ZeroDivisionError" in await parked(orchestrator, run)
        row = await orchestrator.engine.store.read(run.id)
        assert row is not None
        assert (row.owner, row.due_at) == (None, None), "no process takes it, at whatever time"
        await asyncio.sleep(0.2)  # time to do what it must not
        assert executed == [1]
        assert (await run.snapshot()).status is SagaStatus.SUSPENDED


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
