"""Operators see the messages that are not published, and decide about those that are dead."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from saga_fn import (
    AttentionKind,
    OperationState,
    Outgoing,
    PayloadError,
    SagaAdmin,
    SagaError,
    SagaOrchestrator,
    StepContext,
    StepRef,
    UnsentMessage,
    saga,
    step,
)
from saga_fn.admin import outgoing as admin_outgoing
from saga_fn.cli.spelling import IN_COMMANDS
from saga_fn.engine.observe.of_outgoing import MessageDied
from saga_fn.explanation import lines_of
from saga_fn.outgoing import OutgoingMessage, OutgoingOptions, RefusedForGood, message_id
from tests.support.broker import Broker
from tests.support.ordering import Order, charge, ordering, ship
from tests.support.stores import Make
from tests.support.until import SOON


@saga("told", on_started=Outgoing("orders.started"))
def told(order: StepRef[Order]) -> StepRef[int]:
    return ship(charge(order))


async def dead_in(admin: SagaAdmin, number: int = 1) -> tuple[UnsentMessage, ...]:
    async with asyncio.timeout(SOON):
        while len(found := await admin.outgoing()) < number:
            await asyncio.sleep(0.005)
    return found


@pytest.mark.predecessor(17)
async def test_a_dead_message_is_told_by_health_and_by_its_saga_and_gone_once_it_is_discarded(make: Make) -> None:
    broker = Broker()
    broker.answer = lambda _: RefusedForGood("larger than 1 MB")
    async with make(publishers={"*": broker}) as orchestrator:
        admin = SagaAdmin(orchestrator, actor="ann")
        run = await orchestrator.register(ordering).start(Order(7), aggregation_id="order-7")
        await run.result(timeout=SOON)  # its second message is stored
        (dead,) = await dead_in(admin)
        assert (dead.saga_id, dead.topic, dead.key, dead.payload) == (
            run.id,
            "orders.charged",
            "order-7",
            {"number": 7},
        )
        assert (dead.error, dead.attempts, dead.is_hook, dead.blocks, dead.next_attempt) == (
            "larger than 1 MB",
            1,
            False,
            True,
            None,
        )
        findings = (await orchestrator.health()).attention
        assert [found.kind for found in findings] == [AttentionKind.DEAD_MESSAGES]
        seen = await admin.get_saga(run.id)
        assert [each.topic for each in seen.outgoing] == ["orders.charged", "orders.shipped"]
        assert seen.outgoing == await admin.outgoing(run.id)
        explained = await admin.explain(run.id)
        assert [(each.id, each.topic, each.is_dead, each.blocks) for each in explained.outgoing] == [
            (dead.id, "orders.charged", True, True),
            (seen.outgoing[1].id, "orders.shipped", False, False),
        ]
        text = str(explained)
        blocks = f"  message {dead.id} for orders.charged is dead after 1 attempt; the later messages of the saga wait for it"
        assert f"{blocks}: larger than 1 MB\n    mend: redrive" in text
        assert "  1 outgoing message not published yet: orders.shipped\n" in text
        assert "legal now: no verb" not in text
        assert "  redrive()\n" in text
        assert "  saga-fn outgoing discard ID" in lines_of(explained, IN_COMMANDS)
        broker.answer = Broker().answer
        assert await admin.discard(run.id, uuid4()) == 0
        assert await admin.discard(run.id, dead.id, reason="OPS-12") == 1
        await broker.until(1)
        assert broker.topics == ["orders.shipped"]
        assert await admin.outgoing() == ()
        done = (await admin.list_operations())[0]
        assert (done.verb, done.saga_id, done.actor, done.reason, done.done) == ("discard", run.id, "ann", "OPS-12", 1)
        assert done.state is OperationState.DONE


@pytest.mark.parametrize(
    "many, told", [(100, "  99 outgoing messages not"), (101, "  99 outgoing messages or more not")]
)
async def test_an_explanation_does_not_take_the_messages_that_it_shows_for_all(
    make: Make, many: int, told: str
) -> None:
    @step
    async def tell(order: Order, ctx: StepContext) -> None:
        for _ in range(50):  # one commit has no more than a hundred
            ctx.publish("orders.told", order)

    @step
    async def tell_more(order: Order, ctx: StepContext) -> None:
        for _ in range(many - 50):
            ctx.publish("orders.told", order)

    @saga("telling")
    def telling(order: StepRef[Order]) -> StepRef[None]:
        tell(order)
        return tell_more(order)

    broker = Broker()
    broker.answer = lambda _: RefusedForGood("no")
    async with make(publishers={"*": broker}) as orchestrator:
        admin = SagaAdmin(orchestrator)
        run = await orchestrator.register(telling).start(Order(7))
        await run.result(SOON)
        await dead_in(admin)
        explained = await admin.explain(run.id)
        assert (len(explained.outgoing), explained.has_more_outgoing) == (100, many > 100)
        assert f"\n{told} published yet: orders.told\n" in str(explained)


async def test_a_process_that_only_looks_says_that_it_redrives_nothing(dsn: str) -> None:
    broker = Broker()
    broker.answer = lambda _: RefusedForGood("no")
    async with SagaOrchestrator(dsn, publishers={"*": broker}) as orchestrator:
        run = await orchestrator.register(ordering).start(Order(7))
        await dead_in(SagaAdmin(orchestrator))
        async with SagaOrchestrator(dsn, concurrency=0, read_only=True) as looks:
            told = str(await SagaAdmin(looks).explain(run.id)).partition("  redrive()\n")[2]
            assert told.startswith("    not from here: ")


def test_the_log_tells_how_often_a_message_was_tried_and_what_can_be_done() -> None:
    for attempts, told in ((1, "after 1 attempt:"), (2, "after 2 attempts:")):
        line = MessageDied(uuid4(), "orders", uuid4(), attempts).line()
        assert line is not None
        assert told in line.message
        assert line.message.endswith("then redrive or discard it")


async def test_all_dead_messages_of_a_saga_are_redriven_in_their_order(make: Make) -> None:
    broker = Broker()
    broker.answer = lambda _: RefusedForGood("no")
    async with make(publishers={"*": broker}, outgoing=OutgoingOptions(on_dead="skip")) as orchestrator:
        admin = SagaAdmin(orchestrator)
        run = await orchestrator.register(ordering).start(Order(7))
        await dead_in(admin, 2)
        broker.answer = Broker().answer
        assert await admin.redrive(run.id) == 2
        await broker.until(2)
    assert broker.topics == ["orders.charged", "orders.shipped"]


async def test_a_message_whose_topic_nobody_publishes_any_more_is_discarded_by_its_id(make: Make) -> None:
    async with make(concurrency=0) as starter:
        run = await starter.register(told).start(Order(7))
    async with make(concurrency=0) as elsewhere:
        admin = SagaAdmin(elsewhere)
        (found,) = await admin.outgoing(run.id)
        assert await admin.discard(found.saga_id) == 0, "none is dead"
        assert await admin.redrive(found.saga_id, found.id) == 0
        assert await admin.discard(found.saga_id, found.id) == 1
        assert await admin.outgoing(found.saga_id) == ()


async def test_messages_that_wait_for_long_are_told_by_health(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saga_fn.engine.health._WAITED_LONG", timedelta(0))
    broker = Broker()
    broker.down = ConnectionError("away")
    async with make(publishers={"*": broker}) as orchestrator:
        await (await orchestrator.register(ordering).start(Order(7))).result(timeout=SOON)
        assert AttentionKind.MESSAGES_WAIT in [each.kind for each in (await orchestrator.health()).attention]


async def test_what_names_no_message_is_refused(make: Make) -> None:
    async with make() as orchestrator:
        admin = SagaAdmin(orchestrator)
        assert await admin.outgoing(uuid4()) == ()
        assert await admin.redrive(uuid4()) == 0
        with pytest.raises(PayloadError):
            await admin.outgoing("7")  # type: ignore[arg-type]
        with pytest.raises(PayloadError):
            await admin.discard(uuid4(), "7")  # type: ignore[arg-type]
        with pytest.raises(SagaError):
            await admin.outgoing(limit=0)


async def test_all_dead_messages_of_a_saga_are_decided_on_and_each_by_its_id_however_many_there_are(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_outgoing, "_MOST", 3)
    broker, refused = Broker(), 0

    def refuse(_: OutgoingMessage) -> RefusedForGood:
        nonlocal refused
        refused += 1
        return RefusedForGood("larger than 1 MB")

    @step
    async def tells(order: Order, ctx: StepContext) -> int:
        for number in range(8):
            ctx.publish("news", number)
        return order.number

    @saga("teller")
    def teller(order: StepRef[Order]) -> StepRef[int]:
        return tells(order)

    async def dead_of(orchestrator: SagaOrchestrator, saga_id: UUID, number: int) -> list[UUID]:
        async with asyncio.timeout(SOON):
            while len(found := await orchestrator.engine.store.outgoing.dead(most=100)) < number:
                await asyncio.sleep(0.005)
        return [message_id(saga_id, each.rev, each.n) for each in sorted(found, key=lambda each: (each.rev, each.n))]

    broker.answer = refuse
    async with make(publishers={"*": broker}, outgoing=OutgoingOptions(on_dead="skip")) as orchestrator:
        run = await orchestrator.register(teller).start(Order(1))
        await run.result(timeout=SOON)
        dead = await dead_of(orchestrator, run.id, 8)
    async with make() as orchestrator:  # it publishes nothing
        admin = SagaAdmin(orchestrator, actor="ann")
        assert await admin.redrive(run.id, dead[-1]) == 1
        assert await dead_of(orchestrator, run.id, 7) == dead[:-1]
        assert await admin.redrive(run.id, dead[-1]) == 0
        assert await admin.discard(run.id, dead[-1]) == 1, "it waits"
        assert await admin.redrive(run.id, dead[2]) == 1
        assert await admin.discard(run.id) == 6
        assert await admin.redrive(run.id) == 0
    assert refused == 8
