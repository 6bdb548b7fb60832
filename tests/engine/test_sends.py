"""Events that are sent at the same time share a statement, and nothing else; an event may claim its saga."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from returns.result import Success

from saga_fn import (
    Completed,
    Delivery,
    Event,
    PayloadError,
    SagaAdmin,
    SagaBuilder,
    SagaDefinition,
    SagaNotFoundError,
    SagaOrchestrator,
    SagaRun,
    SagaStateError,
    StoreUnavailableError,
    step,
)
from saga_fn.engine.claims import drive_one
from saga_fn.engine.requests.outside_event import OutsideEvent, id_of
from saga_fn.store.errors import RowRejectedError, StoreBusyError
from saga_fn.store.records import MOST_UNREAD, EventToSend, Sent
from tests.support.approval import Approval, approval
from tests.support.shop import Order
from tests.support.stores import Make
from tests.support.until import SOON, suspended, until

MANY = 40


def waits_for_approval() -> SagaDefinition[Order, Approval]:
    builder = SagaBuilder(Order)
    return builder.build(output=builder.add_event(approval))


async def waiting(orchestrator: SagaOrchestrator, many: int = MANY, *, by_key: bool = False) -> list[SagaRun[Approval]]:
    """So many sagas that wait for an approval, and that no process owns."""
    handle = orchestrator.register("approved", waits_for_approval())
    runs = await handle.start_many(
        [Order(str(number)) for number in range(many)], aggregation_id=_key if by_key else None
    )
    for run in runs:
        await suspended(run)
    await until(lambda: not orchestrator.engine.held)
    return runs


def _key(order: Order) -> str:
    return order.order_id


async def looks_no_more(worker: SagaOrchestrator) -> None:
    """From now on it claims nothing by itself: on a slow machine it would come before a sender reads its own event."""
    await worker._life.worker.stop()  # pyright: ignore[reportPrivateUsage] - nothing else makes it look away


class Counting:
    """Counts what an orchestrator asks its store for."""

    def __init__(self, orchestrator: SagaOrchestrator, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: Counter[str] = Counter()
        store = orchestrator.engine.store
        for name in (
            *(
                "send_many",
                "send",
                "read",
                "read_answer",
                "messages",
                "unread",
                "commit",
                "claim_due",
                "claim",
                "results",
            ),
            *("fates", "plan", "standing"),
        ):
            monkeypatch.setattr(store, name, self._counted(name, getattr(store, name)))

    def _counted(self, name: str, call: Any) -> Any:  # Any: whatever the store has by that name
        async def counted(*args: Any, **named: Any) -> Any:  # Any: handed through
            self.calls[name] += 1
            return await call(*args, **named)

        return counted


async def test_senders_of_one_moment_share_their_statements_and_need_no_other(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with make(concurrency=4 * MANY) as orchestrator:
        runs = await waiting(orchestrator)
        counting = Counting(orchestrator, monkeypatch)
        sent = await asyncio.gather(*[orchestrator.to(run.id, approval).send(Approval("ann")) for run in runs])
        assert sent == [Delivery.ACCEPTED] * MANY
        calls = counting.calls
        assert not calls.keys() & {"send", "read", "read_answer", "messages", "unread", "claim_due", "claim"}
        assert calls.total() <= MANY // 4, calls
        for run in runs:
            assert await run.result(SOON) == Approval("ann")


async def test_senders_to_business_keys_share_their_statements_too(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    async with make(concurrency=4 * MANY) as orchestrator:
        runs = await waiting(orchestrator, by_key=True)
        counting = Counting(orchestrator, monkeypatch)
        targets = [("approved", str(number)) for number in range(MANY)]
        sent = await asyncio.gather(
            *[orchestrator.to(to, approval).send(Approval("ann"), event_id="m1") for to in targets]
        )
        assert sent == [Delivery.ACCEPTED] * MANY
        assert not counting.calls.keys() & {"send", "read", "read_answer", "messages", "unread", "claim_due", "claim"}
        assert counting.calls.total() <= MANY // 4, counting.calls
        for run in runs:
            assert await run.result(SOON) == Approval("ann")
        again = await asyncio.gather(
            *[orchestrator.to(to, approval).send(Approval("bob"), event_id="m1") for to in targets]
        )
        assert again == [Delivery.DUPLICATE] * MANY


@pytest.mark.parametrize("by_key", [False, True])
async def test_senders_of_a_process_without_slots_read_for_the_owner_by_shared_statements_alone(
    make: Make, monkeypatch: pytest.MonkeyPatch, by_key: bool
) -> None:
    async with make() as worker, make(concurrency=0) as webhook:
        runs = await waiting(worker, by_key=by_key)
        await looks_no_more(worker)
        webhook.register("approved", waits_for_approval())
        counting = Counting(webhook, monkeypatch)
        targets: list[Any] = [("approved", str(number)) if by_key else run.id for number, run in enumerate(runs)]
        sent = await asyncio.gather(*[webhook.to(to, approval).send(Approval("ann")) for to in targets])
        assert sent == [Delivery.ACCEPTED] * MANY
        assert not counting.calls.keys() & {"send", "read", "read_answer", "messages", "unread", "plan", "standing"}
        assert counting.calls.total() <= MANY // 4, counting.calls
        for run in runs:
            assert await run.result(SOON) == Approval("ann")


@pytest.mark.parametrize("by_key", [False, True])
async def test_senders_that_do_not_know_the_definition_share_their_looks(
    make: Make, monkeypatch: pytest.MonkeyPatch, by_key: bool
) -> None:
    """Once one of them has read the plan, which never changes."""
    async with make(concurrency=4 * MANY) as worker, make(concurrency=0) as webhook:
        first, *runs = await waiting(worker, by_key=by_key)
        targets: list[Any] = [("approved", str(number + 1)) if by_key else run.id for number, run in enumerate(runs)]
        assert await webhook.to(first.id, approval).send(Approval("ann")) is Delivery.ACCEPTED
        if by_key:
            assert await webhook.to(targets.pop(0), approval).send(Approval("ann")) is Delivery.ACCEPTED
        counting = Counting(webhook, monkeypatch)
        sent = await asyncio.gather(*[webhook.to(to, approval).send(Approval("ann")) for to in targets])
        assert sent == [Delivery.ACCEPTED] * len(targets)
        counts = counting.calls
        assert counts["send_many"] + counts["fates"] <= MANY // 2, counts
        assert not counts.keys() & {"send", "read", "read_answer", "plan"}
        with pytest.raises(SagaStateError, match="never waits for"):
            await webhook.to(runs[0].id, Event("unheard of", Approval)).send(Approval("ann"))


async def test_senders_to_sagas_that_another_process_owns_share_their_looks(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with make(concurrency=4 * MANY) as worker, make(concurrency=0) as webhook:
        go_on = asyncio.Event()

        async def beside(_: Order) -> None:
            await go_on.wait()

        builder = SagaBuilder(Order, order="graph")
        builder.add_event(approval)
        builder.add_step(step(beside, step_id="beside"), depends_on=builder.initial)
        definition = builder.build()
        handle = worker.register("owned", definition)
        webhook.register("owned", definition)
        runs = await handle.start_many([Order(str(number)) for number in range(MANY)])
        await until(lambda: len(worker.engine.held) == MANY)
        counting = Counting(webhook, monkeypatch)
        sent = await asyncio.gather(*[webhook.to(run.id, approval).send(Approval("ann")) for run in runs])
        assert sent == [Delivery.ACCEPTED] * MANY
        assert not counting.calls.keys() & {"send", "read", "read_answer", "plan"}
        assert counting.calls["send_many"] + counting.calls["fates"] <= MANY // 2, counting.calls
        go_on.set()
        for run in runs:
            assert isinstance(await run.outcome(SOON), Completed)


async def test_a_sender_whose_saga_is_claimed_before_it_has_read_the_event_hears_what_the_owner_says(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with make() as worker, make(concurrency=0) as webhook:
        (run,) = await waiting(worker, 1)
        await looks_no_more(worker)
        webhook.register("approved", waits_for_approval())
        store = webhook.engine.store
        real = store.send_many

        async def overtaken(*args: Any, **named: Any) -> Mapping[UUID, Sent]:  # Any: handed through
            sent = await real(*args, **named)
            assert sent[run.id].free is not None
            assert await drive_one(worker.engine, run.id)
            return sent

        monkeypatch.setattr(store, "send_many", overtaken)
        assert await webhook.to(run.id, approval).send(Approval("ann")) is Delivery.ACCEPTED
        history = (await SagaAdmin(worker).get_saga(run.id)).step_history
        assert [entry.kind for entry in history].count("event_received") == 1


async def test_an_owner_folds_an_event_and_the_resumption_in_one_commit(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with make() as orchestrator:
        (run,) = await waiting(orchestrator, 1)
        counting = Counting(orchestrator, monkeypatch)
        assert await orchestrator.to(run.id, approval).send(Approval("ann")) is Delivery.ACCEPTED
        assert await run.result(SOON) == Approval("ann")
        assert counting.calls["commit"] == 1
        history = (await SagaAdmin(orchestrator).get_saga(run.id)).step_history
        assert [entry.kind for entry in history][-1] == "event_received", "the saga has ended with it"


async def test_an_event_that_is_refused_costs_only_itself(make: Make) -> None:
    async with make(concurrency=4 * MANY) as orchestrator:
        runs = await waiting(orchestrator, 6)
        full, twice, *others = runs
        store = orchestrator.engine.store
        await orchestrator.to(twice.id, approval).send(Approval("bob"), event_id="m1")
        garbage = [OutsideEvent(uuid4(), "approval", b"7").message() for _ in range(MOST_UNREAD)]
        orchestrator.engine.registry.limits["approved"] = 0  # no process reads them
        for message in garbage:
            await store.send(full.id, message)
        orchestrator.engine.registry.limits.clear()
        sent = await asyncio.gather(
            *[orchestrator.to(run.id, approval).send(Approval("ann"), event_id="m1") for run in runs],
            orchestrator.to(uuid4(), approval).send(Approval("ann")),
            orchestrator.to(others[0].id, Event("unheard of", Approval)).send(Approval("ann")),
            orchestrator.to(others[0].id, Event("approval", int)).send(7),
            return_exceptions=True,
        )
        assert sent[1:6] == [Delivery.DUPLICATE, *[Delivery.ACCEPTED] * 4]
        kinds = [SagaNotFoundError, SagaStateError, PayloadError]
        assert [type(each) for each in sent[6:]] == kinds
        assert isinstance(sent[0], SagaStateError) or sent[0] is Delivery.ACCEPTED, "full, unless it was read meanwhile"


async def test_a_saga_of_another_plan_gets_the_event_after_a_look_at_it(make: Make) -> None:
    """The sender does not know the definition: it reads which it is, and that it waits for such an event."""
    async with make() as worker, make(concurrency=0) as webhook:
        runs = await waiting(worker, 3)
        sent = await asyncio.gather(*[webhook.to(run.id, approval).send(Approval("ann")) for run in runs])
        assert sent == [Delivery.ACCEPTED] * 3


@pytest.mark.parametrize("error", [StoreUnavailableError, StoreBusyError, RowRejectedError])
async def test_a_statement_that_fails_leaves_no_sender_waiting_and_no_slot_taken(
    make: Make, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    async with make() as orchestrator:
        runs = await waiting(orchestrator, 3)
        store, before = orchestrator.engine.store, orchestrator.engine.running
        real = store.send_many

        async def fails(*_: Any, **__: Any) -> Mapping[UUID, Sent]:  # Any: whatever it is asked
            raise error("not now")

        monkeypatch.setattr(store, "send_many", fails)
        sent = await asyncio.gather(
            *[orchestrator.to(run.id, approval).send(Approval("ann")) for run in runs], return_exceptions=True
        )
        assert all(isinstance(each, Exception) for each in sent)
        assert orchestrator.engine.running == before
        monkeypatch.setattr(store, "send_many", real)
        for run in runs:
            assert await orchestrator.to(run.id, approval).send(Approval("ann")) is Delivery.ACCEPTED


async def test_what_was_claimed_by_an_event_whose_answer_is_lost_is_given_back(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long before its lease is over; the event was stored, and is read."""
    async with make(lease=timedelta(seconds=60)) as orchestrator:
        (run,) = await waiting(orchestrator, 1)
        store = orchestrator.engine.store
        real = store.send_many

        async def loses_the_answer(*args: Any, **named: Any) -> Mapping[UUID, Sent]:  # Any: handed through
            monkeypatch.setattr(store, "send_many", real)
            await real(*args, **named)
            raise StoreUnavailableError("the line is cut")

        monkeypatch.setattr(store, "send_many", loses_the_answer)
        with pytest.raises(StoreUnavailableError):
            await orchestrator.to(run.id, approval).send(Approval("ann"), event_id="m1")
        assert await run.result(SOON) == Approval("ann")
        assert await orchestrator.to(run.id, approval).send(Approval("ann"), event_id="m1") is Delivery.DUPLICATE


async def test_a_sender_that_is_cancelled_has_sent_its_event_and_leaves_nothing_behind(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with make() as orchestrator:
        (run,) = await waiting(orchestrator, 1)
        store = orchestrator.engine.store
        real, begun = store.send_many, asyncio.Event()

        async def says_so(shard: int, events: Sequence[EventToSend], **named: Any) -> Mapping[UUID, Sent]:
            begun.set()
            return await real(shard, events, **named)

        monkeypatch.setattr(store, "send_many", says_so)
        sending = asyncio.create_task(orchestrator.to(run.id, approval).send(Approval("ann")))
        await begun.wait()
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sending
        assert await run.result(SOON) == Approval("ann")
        answers = orchestrator.engine.committer.answers
        assert vars(answers)["_waiting"] == {}


async def test_a_sender_that_dies_with_its_claim_delays_its_saga_by_a_lease_and_no_more(make: Make) -> None:
    async with make() as worker:
        (run,) = await waiting(worker, 1)
        store, registered = worker.engine.store, worker.engine.registry.latest("approved")
        fits = frozenset({("approved", 1, registered.definition.plan.id)})
        event = OutsideEvent(id_of("approval", "m1"), "approval", b'{"by":"ann"}')
        sending = EventToSend(run.id, event.message(), fits, uuid4())
        sent = await store.send_many(0, [sending], owner=uuid4(), lease=timedelta(seconds=1))
        assert sent[run.id].claim is not None, "and nothing more is heard of its owner"
        assert await run.result(SOON) == Approval("ann")
        history = (await SagaAdmin(worker).get_saga(run.id)).step_history
        assert [entry.kind for entry in history].count("event_received") == 1


async def test_no_event_claims_a_saga_for_a_process_that_has_no_slot_or_pauses_it(make: Make) -> None:
    async with make(concurrency=0) as webhook, make() as worker:
        runs = await waiting(worker, 2)
        webhook.register("approved", waits_for_approval())
        admin = SagaAdmin(worker)
        await admin.pause("approved", reason="a test")
        await until(lambda: worker.engine.pauses.of("approved") is not None)
        for orchestrator, run in zip((webhook, worker), runs, strict=True):
            assert await orchestrator.to(run.id, approval).send(Approval("ann")) in Delivery
            row = await worker.engine.store.read(run.id)
            assert row is not None
            assert row.owner is None
        await admin.resume("approved")
        for run in runs:
            assert await run.result(SOON) == Approval("ann")


async def test_one_whose_row_is_locked_is_waited_for_by_its_own_sender_alone(dsn: str) -> None:
    async with SagaOrchestrator(dsn, poll_interval=timedelta(milliseconds=100)) as orchestrator:
        runs = await waiting(orchestrator, 5)
        stranger = await asyncpg.connect(dsn)
        locked = runs.pop()
        async with stranger.transaction():
            await stranger.execute("SELECT 1 FROM saga_fn.saga WHERE id = $1 FOR UPDATE", locked.id)
            late = asyncio.create_task(orchestrator.to(locked.id, approval).send(Approval("ann")))
            for run in runs:
                assert await orchestrator.to(run.id, approval).send(Approval("ann")) is Delivery.ACCEPTED
            assert not late.done()
        assert await late is Delivery.ACCEPTED
        await stranger.close()


# Many by one call.


async def test_many_events_by_one_call_have_an_outcome_each(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    async with make(concurrency=4 * MANY) as orchestrator:
        runs = await waiting(orchestrator, by_key=True)
        counting = Counting(orchestrator, monkeypatch)
        targets = [run.id if number % 2 else ("approved", str(number)) for number, run in enumerate(runs)]
        events = [(target, Approval(str(number))) for number, target in enumerate(targets)]
        nobody = uuid4()
        ends = await orchestrator.send_many(approval, [*events, (nobody, Approval("x"))], event_id=lambda sent: sent.by)
        assert ends[:-1] == [Success(Delivery.ACCEPTED)] * MANY
        assert isinstance(ends[-1].failure(), SagaNotFoundError)
        assert counting.calls.total() <= MANY // 4, counting.calls
        for number, run in enumerate(runs):
            assert await run.result(SOON) == Approval(str(number))
        again = await orchestrator.send_many(approval, events, event_id=lambda sent: sent.by)
        assert again == [Success(Delivery.DUPLICATE)] * MANY


async def test_of_many_events_those_for_one_saga_come_in_their_order(make: Make) -> None:
    builder = SagaBuilder(Order)
    for number in range(4):
        builder.add_event(approval, step_id=f"wait {number}")
    async with make() as orchestrator:
        handle = orchestrator.register("four", builder.build())
        runs = await handle.start_many([Order("1"), Order("2")])
        events = [(run.id, Approval(str(number))) for number in range(4) for run in runs]
        ends = await orchestrator.send_many(approval, events)
        assert {end.unwrap() for end in ends} <= {Delivery.ACCEPTED, Delivery.BUFFERED}
        for run in runs:
            await run.outcome(SOON)
            history = (await SagaAdmin(orchestrator).get_saga(run.id)).step_history
            came = [entry.output for entry in history if entry.kind == "event_received"]
            assert came == [{"by": str(number)} for number in range(4)]


async def test_of_many_events_none_is_sent_if_one_cannot_be(make: Make) -> None:
    async with make() as orchestrator:
        runs = await waiting(orchestrator, 2)
        events: list[Any] = [(runs[0].id, Approval("ann")), (runs[1].id, "no approval")]  # Any: what is to be refused
        with pytest.raises(PayloadError):
            await orchestrator.send_many(approval, events)
        assert await orchestrator.send_many(approval, []) == []
        assert await orchestrator.engine.store.messages(runs[0].id) == []
        row = await orchestrator.engine.store.read(runs[0].id)
        assert row is not None
        assert row.inbox_sent == 0
