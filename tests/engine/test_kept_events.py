"""Events sent to a saga's name and business key: to the one that is active, or kept for the next that starts."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from saga_fn import (
    Delivery,
    Event,
    MemoryStore,
    PayloadError,
    SagaAdmin,
    SagaBuilder,
    SagaError,
    SagaNotRegisteredError,
    SagaOrchestrator,
    SagaStateError,
)
from saga_fn.core.ids import Moment
from saga_fn.engine.hold.sweeping import Sweep
from saga_fn.store.errors import RowRejectedError
from saga_fn.store.ids import shard_of_key
from saga_fn.store.records import (
    EXPIRED_AT_ONCE,
    MOST_UNREAD,
    UNDELIVERED_AT_ONCE,
    InboxMessage,
    MessageStatus,
    Recipient,
    Sent,
    Sought,
)
from tests.support.approval import Approval, approval, approved, forge
from tests.support.shop import Done, Order, Shop
from tests.support.stores import Make
from tests.support.until import SOON, suspended

KEY = ("approved", "order-1")


async def test_an_event_reaches_the_saga_that_is_active_under_its_key(make: Make) -> None:
    async with make() as orchestrator:
        run = await orchestrator.register("approved", approved(Shop())).start(Order("1"), aggregation_id="order-1")
        await suspended(run)
        to = orchestrator.to(KEY, approval)
        assert await to.send(Approval("ann"), event_id="m1") is Delivery.ACCEPTED
        assert await run.result(SOON) == Approval("ann")
        assert await to.send(Approval("ann"), event_id="m1") is Delivery.DUPLICATE, "though that saga has ended"
        assert await SagaAdmin(orchestrator).kept_events() == ()


async def test_an_event_that_is_not_to_be_kept_is_for_the_saga_that_is_there_and_for_no_later_one(make: Make) -> None:
    async with make() as orchestrator:
        handle = orchestrator.register("approved", approved(Shop()))
        to = orchestrator.to(KEY, approval)
        assert await to.send(Approval("eve"), keep=False, event_id="m0") is Delivery.NO_SAGA
        assert await SagaAdmin(orchestrator).kept_events() == ()
        run = await handle.start(Order("1"), aggregation_id="order-1")
        await suspended(run)
        assert await to.send(Approval("ann"), keep=False, event_id="m1") is Delivery.ACCEPTED
        assert await run.result(SOON) == Approval("ann")
        assert await to.send(Approval("ann"), keep=False, event_id="m1") is Delivery.DUPLICATE
        assert await to.send(Approval("bob"), keep=False) is Delivery.NO_SAGA
        assert await SagaAdmin(orchestrator).kept_events() == ()


async def test_it_reaches_a_saga_for_which_others_are_kept(make: Make) -> None:
    async with make(concurrency=0) as clerk:
        handle, to = clerk.register("approved", approved(Shop())), clerk.to(KEY, approval)
        assert await to.send(Approval("ann")) is Delivery.KEPT
        run = await handle.start(Order("1"), aggregation_id="order-1")
        assert await to.send(Approval("bob"), keep=False) in (Delivery.BUFFERED, Delivery.KEPT)
        async with make() as orchestrator:
            orchestrator.register("approved", handle.definition)
            assert await run.result(SOON) == Approval("ann")
        assert await SagaAdmin(clerk).kept_events() == ()


async def test_what_may_always_wait_cannot_be_sent_with_keep_false(memory: MemoryStore) -> None:
    async with SagaOrchestrator(memory) as orchestrator:
        next_one = orchestrator.to(KEY, Event("approval", Approval, for_next=True))
        with pytest.raises(SagaError, match="is for_next: who gets it is not known yet"):
            await next_one.send(Approval("ann"), keep=False)
        with pytest.raises(SagaError, match="keep must be True or False"):
            await orchestrator.to(KEY, approval).send(Approval("ann"), keep="no")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # no checker may have seen it


async def test_an_event_for_nobody_is_kept_and_seen_and_the_next_saga_of_its_key_gets_it(make: Make) -> None:
    async with make() as orchestrator:
        sagas = orchestrator.register("approved", approved(Shop()))
        assert await orchestrator.to(KEY, approval).send(Approval("ann"), event_id="m1") is Delivery.KEPT
        assert await orchestrator.to(KEY, approval).send(Approval("ann"), event_id="m1") is Delivery.DUPLICATE
        (kept,) = await SagaAdmin(orchestrator).kept_events("approved", "order-1")
        assert (kept.saga_name, kept.aggregation_id, kept.event, kept.payload) == (*KEY, "approval", {"by": "ann"})
        assert (kept.expires_at - kept.sent_at).days == 7
        other = await sagas.start(Order("2"), aggregation_id="order-2")
        run = await sagas.start(Order("1"), aggregation_id="order-1")
        assert await run.result(SOON) == Approval("ann")
        assert await SagaAdmin(orchestrator).kept_events() == ()
        assert (await other.snapshot()).buffered_events == ()


async def test_what_its_sender_left_behind_is_handed_over_by_a_sweep(make: Make) -> None:
    """As if it had died between storing the event and looking for the saga; and as if the start had, too."""
    async with make() as orchestrator:
        run = await orchestrator.register("approved", approved(Shop())).start(Order("1"), aggregation_id="order-1")
        await suspended(run)
        kept = orchestrator.engine.store.kept_events
        hand_over = kept.hand_over
        setattr(kept, "hand_over", _nobody)  # noqa: B010 - the store's class is final
        setattr(kept, "recipients", _not_yet)  # noqa: B010 - as above
        assert await orchestrator.to(KEY, approval).send(Approval("ann")) is Delivery.KEPT
        setattr(kept, "hand_over", hand_over)  # noqa: B010 - as above
        assert await run.result(SOON) == Approval("ann")


@pytest.fixture
def no_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """No sweep hands over what the sender of the test is to hand over."""

    async def nothing(sweep: Sweep) -> None:
        return None

    monkeypatch.setattr(Sweep, "run", nothing)


async def _nobody(shard: int, key: tuple[str, str]) -> None:
    return None


async def _not_yet(shard: int, wanted: Sequence[Sought]) -> list[Recipient]:
    """As before the sagas of the keys have begun: so what is sent is kept first."""
    return [Recipient(None, known=False, has_kept=False) for _ in wanted]


async def test_a_scheduler_hands_over_what_was_left_behind_too(memory: MemoryStore) -> None:
    orchestrator = SagaOrchestrator(memory)
    sagas = orchestrator.register("approved", approved(Shop()))
    hand_over = memory.kept_events.hand_over
    setattr(memory.kept_events, "hand_over", _nobody)  # noqa: B010 - as above
    await orchestrator.to(KEY, approval).send(Approval("ann"))
    run = await sagas.start(Order("1"), aggregation_id="order-1")
    setattr(memory.kept_events, "hand_over", hand_over)  # noqa: B010 - as above
    await orchestrator.run_due()
    await orchestrator.run_due()
    assert await run.result(SOON) == Approval("ann")


async def test_a_kept_event_expires(make: Make) -> None:
    async with make() as orchestrator:
        sagas = orchestrator.register("approved", approved(Shop()))
        to = orchestrator.to(KEY, approval)
        assert await to.send(Approval("old"), expires=timedelta(seconds=1)) is Delivery.KEPT
        async with asyncio.timeout(SOON):
            while await SagaAdmin(orchestrator).kept_events():
                await asyncio.sleep(0.05)
        run = await sagas.start(Order("1"), aggregation_id="order-1")
        await suspended(run)
        assert await to.send(Approval("new")) is Delivery.ACCEPTED
        assert await run.result(SOON) == Approval("new")


async def test_starts_and_events_of_many_keys_at_once_all_meet(make: Make) -> None:
    async with make() as orchestrator:
        sagas = orchestrator.register("approved", approved(Shop()))
        keys = [f"order-{number}" for number in range(30)]
        sending = [
            asyncio.create_task(orchestrator.to(("approved", key), approval).send(Approval(key))) for key in keys
        ]
        runs = await sagas.start_many([Order(key) for key in keys], aggregation_id=lambda order: order.order_id)
        assert [await run.result(SOON) for run in runs] == [Approval(key) for key in keys]
        assert {await each for each in sending} <= {Delivery.ACCEPTED, Delivery.BUFFERED, Delivery.KEPT}


async def test_an_event_of_an_older_version_reaches_the_saga_that_still_waits_for_it(make: Make) -> None:
    old, new = Event("old", Approval), Event("new", Approval)
    first, second = SagaBuilder(Order), SagaBuilder(Order)
    answer = first.add_event(old)
    second.add_event(new)
    async with make() as orchestrator:
        sagas = orchestrator.register("approved", first.build(output=answer))
        run = await sagas.start(Order("1"), aggregation_id="order-1")
        await suspended(run)
        orchestrator.register("approved", second.build(), version=2)
        assert await orchestrator.to(KEY, old).send(Approval("ann")) is Delivery.ACCEPTED
        assert await run.result(SOON) == Approval("ann")
        with pytest.raises(SagaStateError, match=r"never waits for an event 'other'[\s\S]*waits for 'new', 'old'"):
            await orchestrator.to(KEY, Event("other", Approval)).send(Approval("ann"))
        with pytest.raises(PayloadError, match="no valid Approval"):
            await orchestrator.to(KEY, Event("old", Done)).send(Done("ann"))


async def test_what_is_refused_of_an_event_for_a_key(memory: MemoryStore) -> None:
    orchestrator = SagaOrchestrator(memory)
    orchestrator.register("approved", approved(Shop()))
    with pytest.raises(SagaStateError, match=r"'approved' never waits for an event 'other'[\s\S]*waits for 'approval'"):
        await orchestrator.to(KEY, Event("other", Approval)).send(Approval("ann"))
    with pytest.raises(PayloadError, match="no valid Approval"):
        await orchestrator.to(KEY, Event("approval", Done)).send(Done("ann"))
    for target in (("approved",), ("approved", ""), ("approved", None), ("", "order-1"), ("approved", "a" * 256)):
        with pytest.raises(PayloadError):
            orchestrator.to(target, approval)  # type: ignore[arg-type]
    for number in range(32):
        assert await orchestrator.to(KEY, approval).send(Approval(str(number))) is Delivery.KEPT
    with pytest.raises(
        SagaStateError, match="as many events wait for saga 'approved' of 'order-1' as one may take"
    ) as caught:
        await orchestrator.to(KEY, approval).send(Approval("ann"))
    assert caught.value.refusal == "kept_full", "it is taken later: a consumer keeps it"


async def test_a_late_approval_of_one_order_does_not_approve_the_next(make: Make) -> None:
    async with make() as orchestrator:
        sagas = orchestrator.register("approved", approved(Shop()))
        to = orchestrator.to(KEY, approval)
        first = await sagas.start(Order("1"), aggregation_id="order-1")
        await SagaAdmin(orchestrator).compensate_step(first.id)
        await first.outcome(SOON)
        assert await to.send(Approval("late")) is Delivery.ENDED
        second = await sagas.start(Order("1"), aggregation_id="order-1")
        await suspended(second)
        assert (await second.snapshot()).buffered_events == ()
        assert await to.send(Approval("ann")) is Delivery.ACCEPTED
        assert await second.result(SOON) == Approval("ann")


async def test_an_event_for_the_next_saga_waits_for_it(make: Make) -> None:
    topped_up = Event("approval", Approval, for_next=True)
    async with make() as orchestrator:
        sagas = orchestrator.register("approved", approved(Shop()))
        to = orchestrator.to(KEY, topped_up)
        first = await sagas.start(Order("1"), aggregation_id="order-1")
        assert await to.send(Approval("ann")) in (Delivery.ACCEPTED, Delivery.BUFFERED)
        await first.outcome(SOON)
        assert await to.send(Approval("bob")) is Delivery.KEPT
        second = await sagas.start(Order("1"), aggregation_id="order-1")
        assert await second.result(SOON) == Approval("bob")


@pytest.mark.usefixtures("no_sweep")
async def test_an_event_whose_saga_ends_while_it_is_handed_over_is_answered_with_its_end(make: Make) -> None:
    """Between the event's storing and the look for the saga, the saga ends: the event is for no other."""
    async with make() as orchestrator:
        sagas = orchestrator.register("approved", approved(Shop()))
        first = await sagas.start(Order("1"), aggregation_id="order-1")
        await suspended(first)
        kept = orchestrator.engine.store.kept_events
        hand_over = kept.hand_over

        async def once_it_has_ended(shard: int, key: tuple[str, str]) -> UUID | None:
            setattr(kept, "hand_over", hand_over)  # noqa: B010 - the store's class is final
            await SagaAdmin(orchestrator).compensate_step(first.id)
            await first.outcome(SOON)
            return await hand_over(shard, key)

        setattr(kept, "hand_over", once_it_has_ended)  # noqa: B010 - as above
        setattr(kept, "recipients", _not_yet)  # noqa: B010 - as above
        assert await orchestrator.to(KEY, approval).send(Approval("late")) is Delivery.ENDED
        second = await sagas.start(Order("1"), aggregation_id="order-1")
        await suspended(second)
        assert (await second.snapshot()).buffered_events == ()


async def test_an_event_whose_saga_ends_between_the_look_and_the_event_is_answered_with_its_end(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with make() as orchestrator:
        sagas = orchestrator.register("approved", approved(Shop()))
        first = await sagas.start(Order("1"), aggregation_id="order-1")
        await suspended(first)
        store = orchestrator.engine.store
        send_many = store.send_many

        async def once_it_has_ended(*given: Any, **named: Any) -> Mapping[UUID, Sent]:  # Any: handed through
            await SagaAdmin(orchestrator).compensate_step(first.id)
            await first.outcome(SOON)
            return await send_many(*given, **named)

        monkeypatch.setattr(store, "send_many", once_it_has_ended)
        assert await orchestrator.to(KEY, approval).send(Approval("late")) is Delivery.ENDED
        second = await sagas.start(Order("1"), aggregation_id="order-1")
        await suspended(second)
        assert (await second.snapshot()).buffered_events == ()


async def test_an_event_does_not_overtake_what_waits_for_the_key(make: Make) -> None:
    async with make() as orchestrator:
        sagas = orchestrator.register("approved", approved(Shop()))
        kept = orchestrator.engine.store.kept_events
        hand_over = kept.hand_over
        setattr(kept, "hand_over", _nobody)  # noqa: B010 - the store's class is final
        assert await orchestrator.to(KEY, approval).send(Approval("ann")) is Delivery.KEPT
        run = await sagas.start(Order("1"), aggregation_id="order-1")
        await suspended(run)
        setattr(kept, "hand_over", hand_over)  # noqa: B010 - as above
        assert await orchestrator.to(KEY, approval).send(Approval("bob")) in (Delivery.BUFFERED, Delivery.ENDED)
        assert await run.result(SOON) == Approval("ann")


@pytest.mark.usefixtures("no_sweep")
async def test_an_event_that_was_answered_with_an_end_stays_dropped_when_the_saga_is_taken_up_again(make: Make) -> None:
    """The saga has FAILED when the event is to be handed over; an operator takes it up after the sender has its answer."""
    async with make() as orchestrator:
        run = await orchestrator.register("approved", approved(Shop())).start(Order("1"), aggregation_id="order-1")
        await suspended(run)
        admin = SagaAdmin(orchestrator)
        kept = orchestrator.engine.store.kept_events
        hand_over = kept.hand_over

        async def once_it_has_failed(shard: int, key: tuple[str, str]) -> UUID | None:
            setattr(kept, "hand_over", hand_over)  # noqa: B010 - the store's class is final
            await admin.abort(run.id)
            return await hand_over(shard, key)

        setattr(kept, "hand_over", once_it_has_failed)  # noqa: B010 - as above
        setattr(kept, "recipients", _not_yet)  # noqa: B010 - as above
        assert await orchestrator.to(KEY, approval).send(Approval("late")) is Delivery.ENDED
        await admin.retry_step(run.id, "approval")
        await suspended(run)
        assert await kept.undelivered(shard_of_key(KEY[1], orchestrator.engine.store.shards)) == []
        assert await admin.kept_events() == ()
        assert await orchestrator.to(KEY, approval).send(Approval("ann")) is Delivery.ACCEPTED
        assert await run.result(SOON) == Approval("ann")


async def test_one_event_sent_twice_at_once_is_one_and_a_duplicate(make: Make) -> None:
    async with make() as orchestrator:
        orchestrator.register("approved", approved(Shop()))
        for number in range(30):
            to = orchestrator.to(("approved", f"order-{number}"), approval)
            both = await asyncio.gather(*(to.send(Approval("ann"), event_id="m1") for _ in range(2)))
            assert sorted(both) == [Delivery.DUPLICATE, Delivery.KEPT]


@pytest.mark.usefixtures("no_sweep")
@pytest.mark.parametrize("first", ["id", "key"])
async def test_one_event_sent_by_id_and_by_key_at_once_is_one_and_a_duplicate(make: Make, first: str) -> None:
    """The sender by the key stands between storing the event and handing it over when the other sends it."""
    async with make() as orchestrator:
        run = await orchestrator.register("approved", approved(Shop())).start(Order("1"), aggregation_id="order-1")
        await suspended(run)
        kept = orchestrator.engine.store.kept_events
        hand_over, by_id = kept.hand_over, list[Delivery]()

        async def beside_the_other(shard: int, key: tuple[str, str]) -> UUID | None:
            setattr(kept, "hand_over", hand_over)  # noqa: B010 - as above
            saga_id = await hand_over(shard, key) if first == "key" else None
            by_id.append(await orchestrator.to(run.id, approval).send(Approval("ann"), event_id="m1"))
            return await hand_over(shard, key) if first == "id" else saga_id

        setattr(kept, "hand_over", beside_the_other)  # noqa: B010 - as above
        setattr(kept, "recipients", _not_yet)  # noqa: B010 - as above
        by_key = await orchestrator.to(KEY, approval).send(Approval("ann"), event_id="m1")
        assert (by_key, *by_id) == (
            (Delivery.DUPLICATE, Delivery.ACCEPTED) if first == "id" else (Delivery.ACCEPTED, Delivery.DUPLICATE)
        )
        assert await run.result(SOON) == Approval("ann")


async def test_one_event_sent_by_id_and_by_key_in_whatever_order_is_taken_once(make: Make) -> None:
    async with make() as orchestrator:
        sagas = orchestrator.register("approved", approved(Shop()))
        for number in range(20):
            key = ("approved", f"order-{number}")
            run = await sagas.start(Order("1"), aggregation_id=key[1])
            await suspended(run)
            to = [orchestrator.to(target, approval) for target in (run.id, key)]
            both = await asyncio.gather(*(each.send(Approval("ann"), event_id="m1") for each in to))
            assert sorted(both) == [Delivery.ACCEPTED, Delivery.DUPLICATE]
            assert await run.result(SOON) == Approval("ann")
            assert await to[1].send(Approval("ann"), event_id="m1") is Delivery.DUPLICATE, (
                "when that saga has ended, too"
            )


async def test_keys_that_cannot_be_handed_over_keep_no_other_from_it_and_are_told_once(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """More than one statement finds, all of them before the one that can be."""
    async with make(concurrency=0, log_repeats=None) as orchestrator:
        sagas = orchestrator.register("approved", approved(Shop()))
        kept = orchestrator.engine.store.kept_events
        hand_over = kept.hand_over
        setattr(kept, "hand_over", _nobody)  # noqa: B010 - the store's class is final
        setattr(kept, "recipients", _not_yet)  # noqa: B010 - as above
        keys = [f"order-{number:03}" for number in range(UNDELIVERED_AT_ONCE + 2)]
        runs = await sagas.start_many([Order(key) for key in keys], aggregation_id=lambda order: order.order_id)
        for key in keys:
            await orchestrator.to(("approved", key), approval).send(Approval(key))
        asked: Counter[str] = Counter()

        async def refused(shard: int, key: tuple[str, str]) -> UUID | None:
            asked[key[1]] += 1
            if key[1] == keys[-1]:
                return await hand_over(shard, key)
            raise RowRejectedError("PostgreSQL refused the row")

        setattr(kept, "hand_over", refused)  # noqa: B010 - as above
        with caplog.at_level(logging.WARNING, logger="saga_fn"):
            for _ in range(3):
                await orchestrator.engine.sweep.run()
        assert asked[keys[0]] == 3, "they are tried again"
        assert asked[keys[-1]] == 1
        told = [record for record in caplog.records if "cannot be handed over" in record.getMessage()]
        assert len(told) == len(keys) - 1, "each is told once"
        setattr(kept, "hand_over", hand_over)  # noqa: B010 - as above
        await orchestrator.engine.sweep.run()
        async with make() as worker:
            worker.register("approved", approved(Shop()))
            assert await runs[0].result(SOON) == Approval(keys[0])


async def test_an_event_for_a_key_waits_while_the_inbox_is_full_and_the_saga_is_made_to_read_it(make: Make) -> None:
    """The messages in the inbox were not counted, so that nothing but the sweep makes the saga due."""
    async with make() as orchestrator:
        run = await orchestrator.register("approved", approved(Shop())).start(Order("1"), aggregation_id="order-1")
        await suspended(run)
        await forge(orchestrator, run.id, MOST_UNREAD)
        assert await orchestrator.to(KEY, approval).send(Approval("ann")) is Delivery.KEPT
        assert await run.result(SOON) == Approval("ann")


async def test_a_name_that_nobody_knows_is_refused_unless_it_may_be_new(make: Make) -> None:
    async with make() as orchestrator:
        orchestrator.register("approved", approved(Shop()))
        misspelt = ("aproved", "order-1")
        with pytest.raises(SagaNotRegisteredError, match=r"'aproved'[\s\S]*may_be_new=True"):
            await orchestrator.to(misspelt, approval).send(Approval("ann"))
        assert await orchestrator.to(misspelt, approval, may_be_new=True).send(Approval("ann")) is Delivery.KEPT
    async with make(concurrency=0) as webhook:
        with pytest.raises(SagaNotRegisteredError):
            await webhook.to(KEY, approval).send(Approval("ann"))
        async with make() as orchestrator:
            run = await orchestrator.register("approved", approved(Shop())).start(Order("1"), aggregation_id="order-1")
            assert await webhook.to(KEY, approval).send(Approval("ann")) in (Delivery.ACCEPTED, Delivery.BUFFERED)
            assert await run.result(SOON) == Approval("ann")


async def test_kept_events_are_discarded_by_name_and_key(make: Make) -> None:
    async with make() as orchestrator:
        sagas = orchestrator.register("approved", approved(Shop()))
        admin = SagaAdmin(orchestrator)
        for number in range(2):
            assert await orchestrator.to(KEY, approval).send(Approval(str(number))) is Delivery.KEPT
        assert await admin.discard_kept(*KEY, "other") == 0
        assert await admin.discard_kept(*KEY, "approval") == 2
        assert await admin.kept_events() == ()
        run = await sagas.start(Order("1"), aggregation_id="order-1")
        await suspended(run)
        assert await orchestrator.to(KEY, approval).send(Approval("ann")) is Delivery.ACCEPTED
        assert await run.result(SOON) == Approval("ann")
        with pytest.raises(PayloadError):
            await admin.discard_kept("approved", "")


async def test_expired_events_are_forgotten_whatever_the_process_runs(make: Make) -> None:
    """As fast as they come: more than one statement forgets, in one sweep."""
    async with make(concurrency=0) as sender:
        kept = sender.engine.store.kept_events
        shard, past = shard_of_key("order-1", sender.engine.store.shards), Moment(sender.engine.store.now() - 1)
        for number in range(EXPIRED_AT_ONCE + 1):
            message = InboxMessage(UUID(int=number), "event", b"{}")
            await kept.keep(shard, KEY, message, "approval", expires=past, for_next=True)
        async with make(poll_interval=timedelta(milliseconds=20)):
            while (
                await kept.keep(
                    shard,
                    KEY,
                    InboxMessage(UUID(int=EXPIRED_AT_ONCE), "event", b"{}"),
                    "approval",
                    expires=past,
                    for_next=True,
                )
                is MessageStatus.DUPLICATE
            ):
                await asyncio.sleep(0.02)
