"""Events: typed from who sends them to who waits for them, stored first and matched second, each taken once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from saga_fn import (
    Compensated,
    Completed,
    Delivery,
    Event,
    MemoryStore,
    NoRetry,
    OutcomeUnknown,
    PayloadError,
    PayloadTooLargeError,
    SagaAdmin,
    SagaBuilder,
    SagaDefinition,
    SagaDefinitionError,
    SagaHandle,
    SagaNotFoundError,
    SagaOrchestrator,
    SagaStateError,
    SagaStatus,
    StepContext,
    StepRef,
    StoreUnavailableError,
    WaitReason,
    any_of,
    saga,
    step,
)
from saga_fn.core.events import WaitDefaulted
from saga_fn.engine.options import EngineOptions
from saga_fn.store.memory import StoredMessage  # written behind the store's back
from saga_fn.store.postgres import PostgresStore
from saga_fn.store.records import (
    MOST_UNREAD,
    Committed,
    Definition,
    EventToSend,
    InboxMessage,
    SagaWrite,
    SendStatus,
    Sent,
    time_of,
)
from tests.support.approval import Approval, Approved, Rejected, approval, approved
from tests.support.crash import born, dies
from tests.support.shop import Done, Order, Shop
from tests.support.stores import Make
from tests.support.until import SOON, suspended, until

HOUR = timedelta(hours=1)
FOR_EVER = 600.0
"""Seconds; a sender that waits for so long fails its test."""


# The straight way.


async def test_a_step_that_knows_that_nothing_will_come_sends_the_event_itself(make: Make) -> None:
    async with make() as orchestrator:

        @step
        async def ask(order: Order, ctx: StepContext) -> None:
            if order.amount < 100:
                here = orchestrator.to(ctx.saga_id, approval)
                await here.send(Approval("nobody"), event_id=ctx.idempotency_key)

        @saga("cheap")
        def cheap(order: StepRef[Order]) -> StepRef[Approval]:
            ask(order)
            return approval.wait()

        orders = orchestrator.register(cheap)
        assert await orders.run(Order("1", amount=5), timeout=SOON) == Approval("nobody")
        run = await orders.start(Order("2", amount=500))
        await suspended(run)
        await orchestrator.to(run.id, approval).send(Approval("ann"))
        assert await run.result(SOON) == Approval("ann")


async def test_a_saga_waits_for_an_event_and_goes_on_with_what_it_brings(make: Make) -> None:
    shop = Shop()
    async with make() as orchestrator:
        run = await orchestrator.register("approved", approved(shop)).start(Order("1"))
        await suspended(run)
        seen = await run.snapshot()
        assert (seen.waits, seen.deadline_at) == (WaitReason.EVENT, None)
        assert [(wait.step_id, wait.events, wait.until) for wait in seen.waiting_for] == [
            ("approval", ("approval",), None)
        ]
        assert await orchestrator.to(run.id, approval).send(Approval("ann")) is Delivery.ACCEPTED
        assert await run.result(SOON) == Approval("ann")
        history = (await SagaAdmin(orchestrator).get_saga(run.id)).step_history
    assert shop.done == ["reserve", "ship"]
    received = next(entry for entry in history if entry.kind == "event_received")
    assert (received.event, received.output) == ("approval", {"by": "ann"})


@pytest.mark.fault(42)
async def test_an_event_that_comes_early_waits_for_the_saga(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    builder = SagaBuilder(Order)
    builder.add_step(step(shop.charge), depends_on=builder.initial)
    answer = builder.add_event(approval)
    async with make() as orchestrator:
        run = await orchestrator.register("early", builder.build(output=answer)).start(Order("1"))
        assert await orchestrator.to(run.id, approval).send(Approval("ann")) is Delivery.BUFFERED
        assert (await run.snapshot()).buffered_events == ("approval",)
        assert shop.hold is not None
        shop.hold.set()
        assert await run.result(SOON) == Approval("ann")
        assert (await run.snapshot()).buffered_events == ()


async def test_an_event_can_be_sent_from_a_process_that_works_on_nothing(make: Make) -> None:
    shop = Shop()
    async with make(concurrency=0) as sender, make() as worker:
        run = await worker.register("approved", approved(shop)).start(Order("1"))
        await suspended(run)
        answer = await sender.to(run.id, approval).send(Approval("ann"))
        assert answer is Delivery.ACCEPTED, "though it does not even know the definition"
        assert await run.result(SOON) == Approval("ann")


async def test_where_nobody_works_the_sender_itself_finds_out_what_became_of_it(memory: MemoryStore) -> None:
    shop = Shop()
    orchestrator = SagaOrchestrator(memory)
    handle = orchestrator.register("approved", approved(shop))
    run = await handle.start(Order("1"))
    assert await orchestrator.to(run.id, approval).send(Approval("early")) is Delivery.BUFFERED
    await orchestrator.run_due()
    assert await run.result(SOON) == Approval("early")
    other = await handle.start(Order("2"))
    await orchestrator.run_due()
    assert await orchestrator.to(other.id, approval).send(Approval("ann")) is Delivery.ACCEPTED
    assert shop.done == ["reserve", "ship", "reserve"], "it has not run the saga itself"
    await orchestrator.run_due()
    assert await other.result(SOON) == Approval("ann")


async def test_an_event_before_the_first_claim_is_taken_with_it(make: Make) -> None:
    builder = SagaBuilder(Order)
    answer = builder.add_event(approval)
    async with make() as orchestrator:
        run = await orchestrator.register("at once", builder.build(output=answer)).start(Order("1"))
        assert await orchestrator.to(run.id, approval).send(Approval("ann")) is Delivery.ACCEPTED
        assert await run.result(SOON) == Approval("ann")


# Once, in order, about the same thing.


@pytest.mark.fault(42)
async def test_of_two_with_one_event_id_a_saga_gets_one(make: Make) -> None:
    builder = SagaBuilder(Order)
    first = builder.add_event(approval)
    second = builder.add_event(approval, step_id="again")
    both = builder.add_step(step(_names), depends_on=(first, second), input_map=lambda a, b: [a.by, b.by])
    async with make() as orchestrator:
        run = await orchestrator.register("twice", builder.build(output=both)).start(Order("1"))
        to = orchestrator.to(run.id, approval)
        assert await to.send(Approval("ann"), event_id="m1") is Delivery.ACCEPTED
        assert await to.send(Approval("ann"), event_id="m1") is Delivery.DUPLICATE
        assert await to.send(Approval("bob"), event_id="m2") is Delivery.ACCEPTED
        assert await run.result(SOON) == ["ann", "bob"]
        assert await to.send(Approval("bob"), event_id="m2") is Delivery.DUPLICATE
        assert await to.send(Approval("eve"), event_id="m3") is Delivery.ENDED


async def _names(inp: list[str]) -> list[str]:
    return inp


async def test_many_senders_of_one_event_id_at_once_are_one(make: Make) -> None:
    shop = Shop()
    async with make() as orchestrator:
        run = await orchestrator.register("approved", approved(shop)).start(Order("1"))
        to = orchestrator.to(run.id, approval)
        answers = await asyncio.gather(*(to.send(Approval("ann"), event_id="m1") for _ in range(8)))
        assert await run.result(SOON) == Approval("ann")
        history = (await SagaAdmin(orchestrator).get_saga(run.id)).step_history
    assert sorted(answers).count(Delivery.DUPLICATE) == 7
    assert [entry.kind for entry in history].count("event_received") == 1


async def test_only_what_is_about_the_same_thing_is_taken(make: Make) -> None:
    shop = Shop()
    builder = SagaBuilder(Order)
    reserved = builder.add_step(step(shop.reserve), depends_on=builder.initial)
    answer = builder.add_event(approval, depends_on=reserved, correlate=lambda done: done.what)
    async with make() as orchestrator:
        run = await orchestrator.register("about", builder.build(output=answer)).start(Order("1"))
        await suspended(run)
        to = orchestrator.to(run.id, approval)
        assert await to.send(Approval("nobody")) is Delivery.BUFFERED
        assert await to.send(Approval("other"), correlation_id="ship") is Delivery.BUFFERED
        assert await to.send(Approval("right"), correlation_id="reserve") is Delivery.ACCEPTED
        assert await run.result(SOON) == Approval("right")
        assert (await run.snapshot()).buffered_events == ("approval", "approval")


async def test_whichever_of_several_events_comes_first(make: Make) -> None:
    yes, no = Event("yes", Approved), Event("no", Rejected)

    @saga("any")
    def either(order: StepRef[Order]) -> StepRef[Approved | Rejected]:
        return any_of(yes, no).wait()

    decision = Event[Approved | Rejected]("decision")

    @saga("union")
    def union(order: StepRef[Order]) -> StepRef[Approved | Rejected]:
        return decision.wait()

    async with make() as orchestrator:
        sagas = orchestrator.register(either)
        one, other = await sagas.start(Order("1")), await sagas.start(Order("2"))
        await orchestrator.to(one.id, yes).send(Approved("ann"))
        await orchestrator.to(other.id, no).send(Rejected("too dear"))
        assert await one.result(SOON) == Approved("ann")
        assert await other.result(SOON) == Rejected("too dear")
        third = await orchestrator.register(union).start(Order("3"))
        await orchestrator.to(third.id, decision).send(Rejected("no"))
        assert await third.result(SOON) == Rejected("no")


# Its end by the clock.


async def test_a_wait_that_is_over_rolls_the_saga_back(make: Make) -> None:
    shop = Shop()
    async with make() as orchestrator:
        definition = approved(shop, timeout=timedelta(milliseconds=200))
        run = await orchestrator.register("approved", definition).start(Order("1"))
        ended = await run.outcome(SOON)
        assert isinstance(ended, Compensated)
        assert ended.error == "WaitTimeoutError: no event 'approval' came within 0.2 s"
        assert await orchestrator.to(run.id, approval).send(Approval("late")) is Delivery.ENDED
    assert shop.done == ["reserve", "release reserve"]


async def test_a_wait_that_is_over_goes_on_with_its_default(make: Make) -> None:
    shop = Shop()
    async with make() as orchestrator:
        definition = approved(shop, timeout=timedelta(milliseconds=200), default=Approval("nobody"))
        run = await orchestrator.register("approved", definition).start(Order("1"))
        assert await run.result(SOON) == Approval("nobody")
        seen = await SagaAdmin(orchestrator).get_saga(run.id)
    assert seen.context["step_outputs"]["approval"] == {"by": "nobody"}
    entry = next(entry for entry in seen.step_history if entry.kind == "wait_defaulted")
    assert (entry.step_id, entry.output, entry.status) == ("approval", {"by": "nobody"}, "SUCCESS")
    assert shop.done == ["reserve", "ship"]


async def test_a_default_of_none_is_one(memory: MemoryStore) -> None:
    builder = SagaBuilder(Order)
    answer = builder.add_event(approval, timeout=HOUR, default=None)
    orchestrator = SagaOrchestrator(memory)
    run = await orchestrator.register("perhaps", builder.build(output=answer)).start(Order("1"))
    await orchestrator.run_until_idle(past_waits=True)
    assert await run.result(SOON) is None


async def test_several_waits_that_are_over_at_once_all_go_on(memory: MemoryStore) -> None:
    builder = SagaBuilder(Order, order="graph")
    waits = [builder.add_event(approval, timeout=HOUR, default=Approval(name), step_id=name) for name in ("one", "two")]
    both = builder.add_step(step(_names), depends_on=(waits[0], waits[1]), input_map=lambda a, b: [a.by, b.by])
    orchestrator = SagaOrchestrator(memory)
    run = await orchestrator.register("both", builder.build(output=both)).start(Order("1"))
    await orchestrator.run_until_idle(past_waits=True)
    assert await run.result(SOON) == ["one", "two"]


async def test_an_event_is_void_once_it_has_expired(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    builder = SagaBuilder(Order)
    builder.add_step(step(shop.charge), depends_on=builder.initial)
    answer = builder.add_event(approval)
    async with make() as orchestrator:
        run = await orchestrator.register("early", builder.build(output=answer)).start(Order("1"))
        to = orchestrator.to(run.id, approval)
        assert await to.send(Approval("old"), expires=timedelta(seconds=1)) is Delivery.BUFFERED
        past = datetime.now(UTC) - HOUR
        assert await to.send(Approval("older"), expires=past) is Delivery.EXPIRED
        async with asyncio.timeout(SOON):
            while (await run.snapshot()).buffered_events:
                await asyncio.sleep(0.05)
        assert shop.hold is not None
        shop.hold.set()
        await suspended(run)
        assert await to.send(Approval("new"), expires=datetime.now(UTC) + HOUR) is Delivery.ACCEPTED
        assert await run.result(SOON) == Approval("new")


async def test_an_event_that_comes_while_the_default_is_being_written_is_what_the_saga_goes_on_with(make: Make) -> None:
    """The default has been taken already, the next step's input computed from it; then the commit finds the message."""
    given: list[Approval] = []

    async def take(inp: Approval) -> Approval:
        given.append(inp)
        return inp

    builder = SagaBuilder(Order)
    answer = builder.add_event(approval, timeout=timedelta(milliseconds=200), default=Approval("nobody"))
    taken = builder.add_step(step(take), depends_on=answer)
    async with make() as orchestrator:
        store = orchestrator.engine.store
        commit, sent = store.commit, asyncio.Event()

        async def just_before(shard: int, writes: Sequence[SagaWrite], *, skip_locked: bool = False) -> Committed:
            if not sent.is_set() and any(isinstance(e.event, WaitDefaulted) for write in writes for e in write.entries):
                sent.set()
                await store.send(
                    run.id, InboxMessage(uuid4(), "event", b'{"name":"approval","payload":"eyJieSI6ImJvYiJ9"}')
                )
            return await commit(shard, writes, skip_locked=skip_locked)

        setattr(store, "commit", just_before)  # noqa: B010 - the store's class is final
        run = await orchestrator.register("late", builder.build(output=taken)).start(Order("1"))
        assert await run.result(SOON) == Approval("bob")
        seen = await SagaAdmin(orchestrator).get_saga(run.id)
    assert sent.is_set()
    assert given == [Approval("bob")]
    assert "wait_defaulted" not in [entry.kind for entry in seen.step_history]


# Beside everything else.


async def test_an_operator_may_skip_a_wait(make: Make) -> None:
    shop = Shop()
    async with make() as orchestrator:
        run = await orchestrator.register("approved", approved(shop)).start(Order("1"))
        await suspended(run)
        await SagaAdmin(orchestrator).skip_step(run.id, "approval", {"by": "the operator"})
        assert await run.result(SOON) == Approval("the operator")


async def test_a_branch_that_waits_lets_the_others_go_on(make: Make) -> None:
    shop = Shop()
    builder = SagaBuilder(Order, order="graph")
    answer = builder.add_event(approval)
    reserved = builder.add_step(step(shop.reserve), depends_on=builder.initial)
    shipped = builder.add_step(step(shop.ship), depends_on=(answer, reserved), input_map=lambda a, r: Order(a.by))
    async with make() as orchestrator:
        run = await orchestrator.register("branches", builder.build(output=shipped)).start(Order("1"))
        await suspended(run)
        assert shop.done == ["reserve"]
        await orchestrator.to(run.id, approval).send(Approval("ann"))
        assert await run.result(SOON) == Done("ship")


def answered(event: Event[Approval], *, then: str) -> SagaDefinition[Order, str]:
    """Wait for the event and, in a step of that name, say who it was by."""

    async def say(inp: Approval) -> str:
        return f"{then} {inp.by}"

    builder = SagaBuilder(Order)
    answer = builder.add_event(event, step_id="answer")
    return builder.build(output=builder.add_step(step(say), depends_on=answer, step_id=then))


@pytest.mark.parametrize("by_key", [False, True])
@pytest.mark.parametrize("renamed", [False, True])
async def test_an_event_reaches_a_saga_that_was_not_touched_since_its_definition_changed(
    make: Make, by_key: bool, renamed: bool
) -> None:
    async with make() as before:
        run = await before.register("answered", answered(approval, then="thank")).start(Order("1"), aggregation_id="1")
        await suspended(run)
    event = Event("consent", Approval) if renamed else approval
    async with make() as after:
        sagas = after.register("answered", answered(event, then="praise"))
        delivery = await after.to(("answered", "1") if by_key else run.id, event).send(Approval("ann"))
        assert delivery is Delivery.ACCEPTED
        assert await sagas.attach(run.id).result(SOON) == "praise ann"


async def test_an_event_of_another_name_than_the_changed_definition_waits_for_is_refused_and_says_so(
    make: Make,
) -> None:
    consent = Event("consent", Approval)
    async with make() as before:
        run = await before.register("answered", answered(approval, then="thank")).start(Order("1"))
        await suspended(run)
    async with make() as after:
        after.register("answered", answered(consent, then="praise"))
        with pytest.raises(SagaStateError, match=r"never waits for an event 'approval'[\s\S]*waits for 'consent'"):
            await after.to(run.id, approval).send(Approval("ann"))


async def test_a_verb_to_a_saga_whose_owner_died_ends_no_wait_before_its_messages_are_read(make: Make) -> None:
    begun = asyncio.Event()

    async def hang(inp: Order) -> Done:
        begun.set()
        await asyncio.Event().wait()
        return Done("never")

    builder = SagaBuilder(Order, order="graph")
    answer = builder.add_event(approval, timeout=timedelta(seconds=3))
    hangs = builder.add_step(step(hang), depends_on=builder.initial)
    definition = builder.build(output=answer)
    dying = await born(make())
    run = await dying.register("messages", definition).start(Order("1"))
    await begun.wait()
    (wait,) = (await run.snapshot()).waiting_for
    await dies(dying)
    async with make(concurrency=0) as operator:
        operator.register("messages", definition)
        message = InboxMessage(uuid4(), "event", b'{"name":"approval","payload":"eyJieSI6ImFubiJ9"}')
        await operator.engine.store.send(run.id, message)  # in time, and no process has read it
        assert wait.until is not None
        while time_of(operator.engine.store.now()) <= wait.until:
            await asyncio.sleep(0.05)
        await SagaAdmin(operator).step(run.id, hangs).skip(Done("by hand"))
    async with make() as orchestrator:
        assert await orchestrator.register("messages", definition).attach(run.id).result(SOON) == Approval("ann")


async def test_the_seeds_notify_goes_the_same_way(make: Make) -> None:
    shop = Shop()
    async with make() as orchestrator:
        run = await orchestrator.register("approved", approved(shop)).start(Order("1"))
        await suspended(run)
        token = (await run.snapshot()).step_execution_token
        assert token is not None
        assert not await orchestrator.notify(run.id, uuid4(), {"event_type": "approval", "payload": {"by": "eve"}})
        event = {"event_type": "approval", "event_id": "m1", "payload": {"by": "ann"}}
        assert await orchestrator.notify(run.id, token, event)
        assert await run.result(SOON) == Approval("ann")


async def test_two_events_for_one_saga_at_once_are_both_read(memory: MemoryStore) -> None:
    """One of them is folded by its own sender: the other must not be passed over."""
    builder = SagaBuilder(Order)
    first, second = builder.add_event(approval), builder.add_event(approval, step_id="again")
    both = builder.add_step(step(_names), depends_on=(first, second), input_map=lambda a, b: [a.by, b.by])
    orchestrator = SagaOrchestrator(memory)
    run = await orchestrator.register("twice", builder.build(output=both)).start(Order("1"))
    body = b'{"name":"approval","payload":"eyJieSI6ImJvYiJ9"}'  # of a sender that died when it had stored this
    await memory.send(run.id, InboxMessage(uuid4(), "event", body))
    assert await orchestrator.to(run.id, approval).send(Approval("ann")) is Delivery.ACCEPTED
    await orchestrator.run_due()
    assert await run.result(SOON) == ["bob", "ann"]


async def test_a_verb_does_not_put_a_saga_to_sleep_over_a_message(memory: MemoryStore) -> None:
    shop = Shop()
    orchestrator = SagaOrchestrator(memory)
    run = await orchestrator.register("approved", approved(shop)).start(Order("1"))
    await orchestrator.run_due()
    body = b'{"name":"approval","payload":"eyJieSI6ImJvYiJ9"}'
    await memory.send(run.id, InboxMessage(uuid4(), "event", body))
    token = (await run.snapshot()).step_execution_token
    assert token is not None
    assert await orchestrator.notify(run.id, token, {"unnamed": True})
    await orchestrator.run_due()
    assert await run.result(SOON) == Approval("bob")


# Bad input.


async def waiting(orchestrator: SagaOrchestrator) -> tuple[SagaHandle[Order, Approval], UUID]:
    handle = orchestrator.register("approved", approved(Shop()))
    return handle, (await handle.start(Order("1"))).id


async def test_an_event_that_the_saga_never_waits_for_is_refused_and_says_for_which_it_does(make: Make) -> None:
    async with make() as orchestrator:
        _, saga_id = await waiting(orchestrator)
        with pytest.raises(SagaStateError, match=r"never waits for an event 'aproval'[\s\S]*waits for 'approval'"):
            await orchestrator.to(saga_id, Event("aproval", Approval)).send(Approval("ann"))
        assert (await orchestrator.get_snapshot(saga_id)).buffered_events == ()


async def test_a_payload_that_the_event_does_not_bring_is_refused(memory: MemoryStore) -> None:
    orchestrator = SagaOrchestrator(memory)
    _, saga_id = await waiting(orchestrator)
    with pytest.raises(PayloadError, match="is no valid Approval"):
        await orchestrator.to(saga_id, approval).send({"who": "ann"})  # type: ignore[arg-type]
    with pytest.raises(PayloadError, match=r"no valid Approval[\s\S]*the same Event"):  # its name with another type
        await orchestrator.to(saga_id, Event("approval", Done)).send(Done("ann"))
    assert (await orchestrator.get_snapshot(saga_id)).buffered_events == ()


async def test_a_payload_that_no_wait_could_read_is_refused_by_whoever_knows_the_definition(make: Make) -> None:
    async with make(concurrency=0) as stranger, make() as worker:
        _, saga_id = await waiting(worker)
        with pytest.raises(PayloadError, match="cannot read what event 'approval' brings"):
            await stranger.to(saga_id, Event("approval", Done)).send(Done("ann"))
        async with asyncio.timeout(SOON):
            while not (
                seen := await SagaAdmin(worker).get_saga(saga_id)
            ).rejections:  # it is noted after it is answered
                await asyncio.sleep(0.005)
    assert [note.partition(":")[0] for note in seen.rejections] == ["unreadable"]
    assert seen.status is SagaStatus.SUSPENDED


@pytest.mark.fault(42)
async def test_what_else_is_refused_of_an_event(memory: MemoryStore) -> None:
    orchestrator = SagaOrchestrator(memory, max_payload_bytes=200)
    _, saga_id = await waiting(orchestrator)
    to = orchestrator.to(saga_id, approval)
    with pytest.raises(PayloadTooLargeError):
        await to.send(Approval("a" * 300))
    for expires in (timedelta(0), -HOUR, timedelta(days=400), 5):
        with pytest.raises(PayloadError, match="expires must be a positive timedelta"):
            await to.send(Approval("ann"), expires=expires)  # type: ignore[arg-type]
    with pytest.raises(PayloadError, match=r"naive datetime[\s\S]*datetime\.now\(UTC\)"):
        await to.send(Approval("ann"), expires=datetime(2030, 1, 1))  # noqa: DTZ001 - the very point
    for correlation_id in ("", "a" * 256, 5):
        with pytest.raises(PayloadError, match="correlation id must be a string of 1 to 255"):
            await to.send(Approval("ann"), correlation_id=correlation_id)  # type: ignore[arg-type]
    with pytest.raises(PayloadError, match=r"event_id must be a string[\s\S]*str\(key\)"):
        await to.send(Approval("ann"), event_id=uuid4())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(PayloadError, match="event_id must be a string"):
        await to.send(Approval("ann"), event_id="")
    with pytest.raises(PayloadError, match=r"a saga's id is a UUID, not a str[\s\S]*run\.id"):
        orchestrator.to("1", approval)  # type: ignore[arg-type]
    with pytest.raises(SagaDefinitionError, match="an Event is wanted"):
        orchestrator.to(saga_id, "approval")  # type: ignore[arg-type]
    with pytest.raises(SagaNotFoundError):
        await orchestrator.to(uuid4(), approval).send(Approval("ann"))


def many_approved(shop: Shop, number: int) -> SagaDefinition[Order, Approval]:
    """Reserve, and wait to be approved, many times; the result is the last approval."""
    builder = SagaBuilder(Order)
    builder.add_step(step(shop.reserve, compensate=shop.release), depends_on=builder.initial)
    answers = [builder.add_event(approval, step_id=f"approval_{place}") for place in range(number)]
    return builder.build(output=answers[-1])


async def test_events_for_which_a_saga_has_no_room_are_taken_later(make: Make) -> None:
    """No process runs it while they come: the last ones stay in its inbox, and no wait misses them."""
    starter, worker = make(concurrency=0), make()
    definition = many_approved(Shop(), 40)
    async with starter:
        run = await starter.register("approved", definition).start(Order("1"))
        to = starter.to(run.id, approval)
        for place in range(40):
            assert await to.send(Approval(str(place))) is Delivery.BUFFERED
        assert len((await run.snapshot()).buffered_events) == 32
        worker.register("approved", definition)
        async with worker:
            assert await run.result(SOON) == Approval("39"), "each in the order they came"


async def test_a_wait_that_begins_takes_an_event_for_which_there_was_no_room(make: Make) -> None:
    """The saga keeps 32 others meanwhile, and goes on keeping them: what the wait is for stands behind them."""
    other = Event("other", Approval)
    builder = SagaBuilder(Order)
    first = builder.add_event(Event("begin", Approval))
    second = builder.add_event(approval)
    builder.add_event(other, step_id="last")
    definition = builder.build(output=second)
    assert first.step_id == "begin"
    async with make() as orchestrator:
        run = await orchestrator.register("approved", definition).start(Order("1"))
        for place in range(32):
            assert await orchestrator.to(run.id, other).send(Approval(str(place))) is Delivery.BUFFERED
        assert await orchestrator.to(run.id, approval).send(Approval("ann")) is Delivery.BUFFERED
        await suspended(run)
        assert await orchestrator.to(run.id, Event("begin", Approval)).send(Approval("bob")) is Delivery.ACCEPTED
        assert await run.result(SOON) == Approval("ann")


async def test_a_saga_ends_though_it_leaves_room_for_an_event_that_came_too_many(make: Make) -> None:
    """Its last wait takes one of 32 that it keeps, with which it ends: what was left unread makes no ended saga due."""
    gate = asyncio.Event()

    @step
    async def held(order: Order) -> None:
        await gate.wait()

    builder = SagaBuilder(Order)
    builder.add_step(held, depends_on=builder.initial)
    definition = builder.build(output=builder.add_event(approval))
    async with make() as orchestrator:
        run = await orchestrator.register("approved", definition).start(Order("1"))
        to = orchestrator.to(run.id, approval)
        senders = [asyncio.create_task(to.send(Approval("ann"))) for _ in range(33)]
        await until(lambda: _keeps(orchestrator, run.id, 32))
        gate.set()
        assert await run.result(SOON) == Approval("ann")
        assert await SagaAdmin(orchestrator).verify(run.id) == []
        await asyncio.gather(*senders)


def _keeps(orchestrator: SagaOrchestrator, saga_id: UUID, events: int) -> bool:
    held = orchestrator.engine.held.get(saga_id)
    return held is not None and len(held.saga.state.buffered) == events and held.saga.inbox_seen >= events + 1


async def test_what_senders_at_once_were_told_is_kept_is_taken(make: Make) -> None:
    """More than may wait for a key: those who were not refused are all heard by the saga."""
    definition = many_approved(Shop(), 60)
    async with make() as orchestrator:
        sagas = orchestrator.register("approved", definition)
        to = orchestrator.to(("approved", "order-1"), approval)
        answers = await asyncio.gather(*(to.send(Approval(str(place))) for place in range(60)), return_exceptions=True)
        stored = [each for each in answers if each is Delivery.KEPT]
        run = await sagas.start(Order("1"), aggregation_id="order-1")
        for place in range(60 - len(stored)):
            assert await to.send(Approval(f"later {place}")) in (Delivery.ACCEPTED, Delivery.BUFFERED)
        assert isinstance(await run.outcome(SOON), Completed), "each wait has got an event"


async def test_one_id_names_an_event_of_each_name(make: Make) -> None:
    other = Event("other", Approval)
    builder = SagaBuilder(Order)
    builder.add_event(approval)
    answer = builder.add_event(other)
    async with make() as orchestrator:
        sagas = orchestrator.register("approved", builder.build(output=answer))
        key = ("approved", "order-1")
        assert await orchestrator.to(key, approval).send(Approval("ann"), event_id="m1") is Delivery.KEPT
        assert await orchestrator.to(key, other).send(Approval("bob"), event_id="m1") is Delivery.KEPT
        run = await sagas.start(Order("1"), aggregation_id="order-1")
        assert await run.result(SOON) == Approval("bob")


async def test_an_event_expires_within_a_year(memory: MemoryStore) -> None:
    orchestrator = SagaOrchestrator(memory)
    run = await orchestrator.register("approved", approved(Shop())).start(Order("1"))
    for expires in (timedelta(days=366), timedelta(0), datetime(9999, 12, 31, tzinfo=UTC)):
        with pytest.raises(PayloadError, match="expires must be a positive timedelta of at most 365 days, or a moment"):
            await orchestrator.to(run.id, approval).send(Approval("ann"), expires=expires)


async def test_what_a_wait_is_about_has_to_be_a_string(memory: MemoryStore) -> None:
    builder = SagaBuilder(Order)
    answer = builder.add_event(approval, correlate=lambda ctx: ctx.initial_data.amount)  # type: ignore[arg-type,return-value]
    orchestrator = SagaOrchestrator(memory)
    run = await orchestrator.register("odd", builder.build(output=answer)).start(Order("1"))
    await orchestrator.run_due()
    assert (await run.snapshot()).parked == "input_failed"


async def test_completed_sagas_leave_nothing_unread(make: Make) -> None:
    shop = Shop()
    async with make() as orchestrator:
        handle = orchestrator.register("approved", approved(shop))
        runs = await handle.start_many([Order(str(number)) for number in range(20)])
        answers = await asyncio.gather(
            *(orchestrator.to(run.id, approval).send(Approval(str(place))) for place, run in enumerate(runs))
        )
        for place, run in enumerate(runs):
            ended = await run.outcome(SOON)
            assert isinstance(ended, Completed)
            assert ended.result == Approval(str(place))
    assert set(answers) <= {Delivery.ACCEPTED, Delivery.BUFFERED}


async def test_a_test_runs_to_the_wait_sends_the_approval_and_runs_on(memory: MemoryStore) -> None:
    orchestrator = SagaOrchestrator(memory)
    definition = approved(Shop(), timeout=timedelta(days=3))
    sagas = orchestrator.register("approved", definition)
    run = await sagas.start(Order("1"), delay=HOUR)
    await orchestrator.run_until_idle()
    seen = await run.snapshot()
    assert (seen.status, [wait.events for wait in seen.waiting_for]) == (SagaStatus.SUSPENDED, [("approval",)])
    assert await orchestrator.to(run.id, approval).send(Approval("ann")) is Delivery.ACCEPTED
    await orchestrator.run_until_idle()
    assert await run.result(SOON) == Approval("ann")
    other = await sagas.start(Order("2"))
    await orchestrator.run_until_idle(past_waits=True)
    assert isinstance(await other.outcome(SOON), Compensated), "three days are over"


@pytest.mark.parametrize("by_key", [False, True])
async def test_an_event_for_a_saga_that_nobody_works_on_is_stored_without_a_wait(
    make: Make, monkeypatch: pytest.MonkeyPatch, by_key: bool
) -> None:
    monkeypatch.setattr("saga_fn.engine.requests.events._PATIENCE", FOR_EVER)
    async with make() as worker:
        run = await worker.register("approved", approved(Shop())).start(Order("1"), aggregation_id="order-1")
        await suspended(run)
    async with make() as other:  # it works on other things, and on another version
        other.register("approved", approved(Shop()), version=2)
        other.register("another", approved(Shop()))
        async with asyncio.timeout(SOON):
            to = other.to(("approved", "order-1") if by_key else run.id, approval)
            assert await to.send(Approval("ann"), event_id="m1") is Delivery.BUFFERED
            assert await to.send(Approval("ann"), event_id="m1") is Delivery.DUPLICATE
    async with make() as worker:
        taken_up = worker.register("approved", approved(Shop())).attach(run.id)
        assert await taken_up.result(SOON) == Approval("ann")


async def test_an_event_for_a_saga_that_waits_for_a_person_is_stored_without_a_wait(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sender does not know the saga, and no worker claims it before a person has mended it."""
    monkeypatch.setattr("saga_fn.engine.requests.events._PATIENCE", FOR_EVER)
    monkeypatch.setattr("saga_fn.engine.requests.events._SOON", 0.05)

    @step(on_unknown="park", retry_policy=NoRetry())
    async def pack(order: Order) -> Done:
        raise OutcomeUnknown

    builder = SagaBuilder(Order)
    packed = builder.add_step(pack, depends_on=builder.initial)
    definition = builder.build(output=builder.add_event(approval, after=packed))
    async with make() as worker, make(concurrency=0) as webhook:
        run = await worker.register("approved", definition).start(Order("1"))
        await suspended(run)
        assert (await run.snapshot()).parked
        async with asyncio.timeout(SOON):
            assert await webhook.to(run.id, approval).send(Approval("ann")) is Delivery.BUFFERED
        await SagaAdmin(worker).abort(run.id)


async def test_an_event_that_is_read_at_once_asks_nobody_who_is_there(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with make() as worker, make(concurrency=0) as webhook:
        run = await worker.register("approved", approved(Shop())).start(Order("1"))
        await suspended(run)
        asked: list[object] = []

        async def others(process_id: UUID, *, seen_within: timedelta) -> frozenset[Definition]:
            asked.append(process_id)
            return frozenset()

        monkeypatch.setattr(webhook.engine.store.processes, "others", others)
        monkeypatch.setattr("saga_fn.engine.requests.events._SOON", SOON)
        assert await webhook.to(run.id, approval).send(Approval("ann")) is Delivery.ACCEPTED
        assert asked == []


async def test_a_saga_whose_inbox_is_full_of_what_nobody_counted_reads_it_when_an_event_is_refused(make: Make) -> None:
    async with make() as worker, make(concurrency=0) as webhook:
        run = await worker.register("approved", approved(Shop())).start(Order("1"))
        await suspended(run)
        await forge(webhook, run.id, MOST_UNREAD)
        with pytest.raises(SagaStateError, match="as many unread events as it may") as caught:
            await webhook.to(run.id, approval).send(Approval("ann"), event_id="m1")
        assert caught.value.refusal == "inbox_full"
        async with asyncio.timeout(SOON):
            while not await taken(webhook, run.id):
                await asyncio.sleep(0.05)
        assert await run.result(SOON) == Approval("ann")


async def test_a_flood_of_events_for_a_full_inbox_makes_its_saga_due_now_and_then(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with make(concurrency=0) as webhook:
        run = await webhook.register("approved", approved(Shop())).start(Order("1"))
        store = webhook.engine.store
        roused: list[UUID] = []
        rouse = store.rouse

        async def counted(saga_id: UUID) -> None:
            roused.append(saga_id)
            await rouse(saga_id)

        async def full(shard: int, events: Sequence[EventToSend], *, owner: UUID, lease: timedelta) -> dict[UUID, Sent]:
            return {event.saga_id: Sent(SendStatus.FULL) for event in events}

        monkeypatch.setattr(store, "rouse", counted)
        monkeypatch.setattr(store, "send_many", full)
        for _ in range(20):
            with pytest.raises(SagaStateError, match="as many unread"):
                await webhook.to(run.id, approval).send(Approval("ann"))
        assert 1 <= len(roused) < 20


@pytest.mark.parametrize("is_kept", [False, True])
async def test_an_event_that_waits_long_for_its_turn_is_sent_though_its_saga_is_locked_for_a_moment(
    is_kept: bool, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with make(concurrency=0) as webhook:
        run = await webhook.register("approved", approved(Shop())).start(Order("1"))
        store = webhook.engine.store
        send_many, tries = store.send_many, [0]

        async def late(
            shard: int, events: Sequence[EventToSend], *, owner: UUID, lease: timedelta
        ) -> Mapping[UUID, Sent]:
            tries[0] += 1
            if tries[0] == 1:
                await asyncio.sleep(0.6)  # as behind many others
            if is_kept or tries[0] < 3:
                return {event.saga_id: Sent(SendStatus.LOCKED) for event in events}
            return await send_many(shard, events, owner=owner, lease=lease)

        monkeypatch.setattr(EngineOptions, "time_limit", 0.5)
        monkeypatch.setattr(store, "send_many", late)
        if is_kept:
            with pytest.raises(StoreUnavailableError, match="keeps the row"):
                await webhook.to(run.id, approval).send(Approval("ann"))
        else:
            assert await webhook.to(run.id, approval).send(Approval("ann")) in (Delivery.ACCEPTED, Delivery.BUFFERED)
            assert tries[0] == 3


async def taken(sender: SagaOrchestrator, saga_id: UUID) -> bool:
    """Whether there is room for an event again, which is sent then."""
    try:
        sent = await sender.to(saga_id, approval).send(Approval("ann"), event_id="m1")
    except SagaStateError:
        return False
    return sent in (Delivery.ACCEPTED, Delivery.BUFFERED)


async def forge(orchestrator: SagaOrchestrator, saga_id: UUID, messages: int) -> None:
    """Messages that cannot be read, put into an inbox behind the back of its saga, which counts none of them."""
    store = orchestrator.engine.store
    if isinstance(store, MemoryStore):
        inbox = store._sagas[saga_id].inbox  # pyright: ignore[reportPrivateUsage]  # behind the store's back
        inbox += [StoredMessage(InboxMessage(uuid4(), "event", b"?"), datetime.now(UTC)) for _ in range(messages)]
        return
    assert isinstance(store, PostgresStore)
    async with store._database.work() as connection:  # pyright: ignore[reportPrivateUsage]  # as above
        await connection.execute(
            "INSERT INTO saga_fn.saga_inbox (shard, saga_id, id, body)"
            " SELECT 0, $1, gen_random_uuid(), '?' FROM generate_series(1, $2)",
            saga_id,
            messages,
        )
