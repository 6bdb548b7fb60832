"""Verbs and events for a saga whose owner is silent: it may commit yet, between any two statements of theirs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID, uuid4

import attrs
import pytest
from returns.result import Success

from saga_fn import (
    SagaAdmin,
    SagaError,
    SagaOrchestrator,
)
from saga_fn.core.events import (
    Bound,
    CompensationRequested,
    Event,
    EventReceived,
    FailureKind,
    Resumed,
    StepFailed,
    StepSucceeded,
)
from saga_fn.core.ids import Digest, Moment, StepId
from saga_fn.core.plan import Plan
from saga_fn.core.projection import project
from saga_fn.core.state import SagaState
from saga_fn.core.transition import transition
from saga_fn.engine.drive.incoming import Incoming
from saga_fn.engine.drive.message import message_of
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.requests.inbox import read_inbox
from saga_fn.engine.requests.notify import notify
from saga_fn.store.ids import shard_of
from saga_fn.store.protocol import Store
from saga_fn.store.records import Entry, MessageStatus, SagaWrite, VerbAnswer, decode_state
from tests.engine.interrupted import Interrupted
from tests.support.shop import Counted, Order, Shop, make_saga, one_step
from tests.support.stores import Make
from tests.support.until import SOON

RESERVE, CHARGE = StepId("reserve"), StepId("charge")
LONG, OVER = timedelta(seconds=60), timedelta(milliseconds=1)
SHOP = make_saga(Shop())
MOST_CALLS = 12
"""More than any verb makes."""


@attrs.define
class Owner:
    """A process that has claimed a saga, runs its first step, and has not been heard of since."""

    store: Store
    plan: Plan
    id: UUID
    token: UUID
    owner: UUID
    state: SagaState
    committed: bool = False

    @classmethod
    async def of(cls, store: Store, plan: Plan, saga_id: UUID, *, lease: timedelta, begins: bool = True) -> Owner:
        owner = uuid4()
        claim = await store.claim(saga_id, owner=owner, lease=lease)
        assert claim is not None
        found = cls(store, plan, saga_id, claim.token, owner, decode_state(claim.state, claim.rev))
        if begins:
            await found.commit(Resumed(claim.now, inputs=(Bound(RESERVE, Digest(b"12345678")),)))
        found.committed = False
        return found

    async def commit(self, event: Event) -> None:
        """Write that the event has happened, if the saga is still this owner's."""
        decision = transition(self.plan, self.state, event)
        assert isinstance(decision, Success)
        moved = decision.unwrap()
        write = SagaWrite(
            id=self.id,
            token=self.token,
            rev=self.state.rev,
            state=moved.state,
            projection=project(self.plan, moved.state),
            release=bool(moved.writes),
            due=moved.writes[0].due if moved.writes else None,
            inbox_seen=None,
            last_error=None,
            entries=(Entry(event, b'{"order_id":"1"}', b'{"what":"reserve"}'),),
            answers=(),
            writer=self.token,
        )
        applied = await self.store.commit(shard_of(self.id, self.store.shards), [write])
        if self.id in applied.inbox_sent:
            self.state, self.committed = moved.state, True

    async def succeeds(self) -> None:
        """The first step has returned, and the second begins."""
        await self.commit(StepSucceeded(Moment(self.state.at + 1), RESERVE, 1, (Bound(CHARGE, Digest(b"12345678")),)))

    async def fails(self) -> None:
        """The first step has failed for good, and with it the saga: nothing is to be undone."""
        await self.commit(StepFailed(Moment(self.state.at + 1), RESERVE, 1))

    async def parks(self) -> None:
        """The first step has run, and its output is lost: a person has to look."""
        await self.commit(StepFailed(Moment(self.state.at + 1), RESERVE, 1, FailureKind.OUTPUT_LOST))

    async def renews(self) -> None:
        """The lease goes on."""
        renewed = await self.store.renew(
            shard_of(self.id, self.store.shards), {self.id: self.token}, owner=self.owner, lease=LONG
        )
        self.committed = self.id in renewed.inbox_sent


VERBS: dict[str, Callable[[SagaEngine, Owner], Awaitable[object]]] = {
    "abort": lambda engine, owner: SagaAdmin(engine=engine).abort(owner.id),
    "cancel": lambda engine, owner: SagaAdmin(engine=engine).cancel(owner.id),
    "retry": lambda engine, owner: SagaAdmin(engine=engine).retry_step(owner.id, "reserve"),
    "retry with an input": lambda engine, owner: SagaAdmin(engine=engine).retry_step(
        owner.id, "reserve", input=Order("2")
    ),
    "rewind": lambda engine, owner: SagaAdmin(engine=engine).rewind(owner.id, "reserve", forget=("reserve", "charge")),
    "skip": lambda engine, owner: SagaAdmin(engine=engine).skip_step(owner.id, "reserve", {"what": "by hand"}),
    "settle": lambda engine, owner: SagaAdmin(engine=engine).settle_never_ran(owner.id, "reserve"),
    "settle as done": lambda engine, owner: SagaAdmin(engine=engine).settle_done(
        owner.id, "reserve", {"what": "by hand"}
    ),
    "settle as undone": lambda engine, owner: SagaAdmin(engine=engine).settle_undone(owner.id, "reserve"),
    "pause": lambda engine, owner: SagaAdmin(engine=engine).pause_saga(owner.id),
    "start now": lambda engine, owner: SagaAdmin(engine=engine).start_now(owner.id),
    "acknowledge": lambda engine, owner: SagaAdmin(engine=engine).acknowledge(owner.id),
    "notify": lambda engine, owner: notify(engine, owner.id, owner.token, b"{}"),
}


async def stage(orchestrator: SagaOrchestrator, *, lease: timedelta = OVER) -> Owner:
    """A saga whose owner is silent."""
    run = await orchestrator.register("shop", SHOP).start(Order("1"))
    store = orchestrator.engine.store
    owner = await Owner.of(store, SHOP.plan, run.id, lease=lease)
    async with asyncio.timeout(20):
        while lease is OVER and (row := await store.read(run.id)) is not None and row.leased:
            await asyncio.sleep(0.002)
    return owner


def engine_before(orchestrator: SagaOrchestrator, store: Interrupted) -> SagaEngine:
    """An operator's process, whose statements go by way of that store."""
    engine = SagaEngine(store.as_store(), orchestrator.engine.options)
    engine.registry = orchestrator.engine.registry
    return engine


@pytest.mark.parametrize("deed", ["succeeds", "fails"])
@pytest.mark.parametrize("verb", VERBS)
async def test_nothing_is_lost_of_what_a_silent_owner_commits_between_any_two_statements(
    make: Make, verb: str, deed: str
) -> None:
    async with make(concurrency=0) as orchestrator:
        for at in range(MOST_CALLS):
            owner = await stage(orchestrator)
            between = Interrupted(owner.store, at, getattr(owner, deed))
            engine = engine_before(orchestrator, between)
            with contextlib.suppress(SagaError):
                await VERBS[verb](engine, owner)
            await engine.committer.stop(1.0)
            await engine.wakeups.stop()
            admin = SagaAdmin(orchestrator)
            assert await admin.verify(owner.id) == [], (at, between.calls)
            if owner.committed:
                kinds = [entry.kind for entry in (await admin.get_saga(owner.id)).step_history]
                assert ("step_succeeded" if deed == "succeeds" else "step_failed") in kinds
            if not between.reached:
                return
        raise AssertionError("the verb comes to no end")


@pytest.mark.parametrize("verb", ["retry", "skip", "cancel"])
async def test_a_verb_is_answered_though_the_owner_parks_the_saga_between_any_two_statements(
    make: Make, verb: str
) -> None:
    """No message makes a saga due that waits for a person: the sender that has left it there has it read."""
    async with make(concurrency=0) as orchestrator:
        for at in range(8):
            owner = await stage(orchestrator, lease=LONG)
            between = Interrupted(owner.store, at, owner.parks)
            engine = engine_before(orchestrator, between)
            async with asyncio.timeout(SOON):
                with contextlib.suppress(SagaError):
                    await VERBS[verb](engine, owner)
            await engine.committer.stop(1.0)
            await engine.wakeups.stop()
            assert owner.committed, (at, between.calls)
            assert await owner.store.messages(owner.id) == [], "all are answered"
            assert "rouse" not in between.calls, "and no worker is asked to"
            assert await SagaAdmin(orchestrator).verify(owner.id) == []


async def test_what_an_aborted_saga_may_still_run_is_never_said_to_be_over_too_early(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        for at in range(MOST_CALLS):
            owner = await stage(orchestrator, lease=timedelta(seconds=20))
            between = Interrupted(owner.store, at, owner.renews)
            engine = engine_before(orchestrator, between)
            await SagaAdmin(engine=engine).abort(owner.id)
            await engine.committer.stop(1.0)
            await engine.wakeups.stop()
            row = await owner.store.read(owner.id)
            assert row is not None
            (left,) = (await SagaAdmin(orchestrator).get_saga(owner.id)).left_over
            assert left.until is not None
            if owner.committed:
                assert left.until > row.now + 50_000_000, (at, between.calls)
            if not between.reached:
                return
        raise AssertionError("the verb comes to no end")


@pytest.mark.parametrize("verb", ["abort", "compensate", "skip"])
async def test_a_verb_ends_a_saga_whose_messages_nobody_has_read_and_answers_them(make: Make, verb: str) -> None:
    async with make(concurrency=0) as orchestrator:
        store = orchestrator.engine.store
        run = await orchestrator.register("one", one_step(Counted().work)).start(Order("1"))
        message = message_of(Incoming(EventReceived(Moment(0)), payload=b"{}"))
        assert await store.send(run.id, message) is MessageStatus.STORED
        asked = message_of(Incoming(CompensationRequested(Moment(0))))
        assert await store.send(run.id, asked) is MessageStatus.STORED
        admin = SagaAdmin(orchestrator)
        deeds: dict[str, Callable[[], Awaitable[object]]] = {
            "abort": lambda: admin.abort(run.id),
            "compensate": lambda: admin.compensate_step(run.id),
            "skip": lambda: admin.skip_step(run.id, "work", {"what": "by hand"}, not_begun=True),
        }
        await deeds[verb]()
        seen = await run.snapshot()
        assert (seen.status.is_terminal, seen.deadline_at) == (True, None)
        assert await store.messages(run.id) == []
        assert await store.read_answer(run.id, message.id) == "finished"
        told = await store.verb_answer(run.id, asked.id)
        assert told is not None
        assert told.answer == "finished"


async def test_a_verb_that_does_not_end_a_saga_leaves_its_messages_to_the_next_owner(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        store = orchestrator.engine.store
        run = await orchestrator.register("shop", SHOP).start(Order("1"))
        message = message_of(Incoming(EventReceived(Moment(0)), payload=b"{}"))
        assert await store.send(run.id, message) is MessageStatus.STORED
        await SagaAdmin(orchestrator).skip_step(run.id, "reserve", {"what": "by hand"}, not_begun=True)
        assert await store.messages(run.id) == [message]
        assert await orchestrator.run_due() == 1
        assert await store.read_answer(run.id, message.id) == "applied"


async def test_an_owner_that_commits_while_another_reads_its_messages_loses_nothing(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        for at in range(MOST_CALLS):
            owner = await stage(orchestrator)
            store = owner.store
            await store.release(shard_of(owner.id, store.shards), {owner.id: owner.token})
            message = message_of(Incoming(EventReceived(Moment(0)), payload=b"{}"))
            assert await store.send(owner.id, message) is MessageStatus.STORED
            another = await Owner.of(store, SHOP.plan, owner.id, lease=OVER, begins=False)
            await store.release(shard_of(owner.id, store.shards), {owner.id: another.token})
            between = Interrupted(store, at, lambda: SagaAdmin(orchestrator).compensate_step(owner.id))  # noqa: B023
            engine = engine_before(orchestrator, between)
            row = await store.read(owner.id)
            assert row is not None
            await read_inbox(engine, row)
            await engine.committer.stop(1.0)
            await engine.wakeups.stop()
            assert await SagaAdmin(orchestrator).verify(owner.id) == []
            if not between.reached:
                assert await store.read_answer(owner.id, message.id) == "applied"
                return
        raise AssertionError("reading comes to no end")


async def test_a_saga_that_is_never_at_rest_is_judged_as_it_was_read(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        for at in range(MOST_CALLS):
            owner = await stage(orchestrator)
            between = Interrupted(owner.store, at, owner.succeeds)
            engine = engine_before(orchestrator, between)
            admin = SagaAdmin(engine=engine)
            assert await admin.verify(owner.id) == [], (at, between.calls)
            seen = await admin.get_saga(owner.id)
            done = {step.step_id for step in seen.steps if step.status == "SUCCEEDED"}
            assert done == {entry.step_id for entry in seen.step_history if entry.kind == "step_succeeded"}
            if not between.reached:
                return
        raise AssertionError("looking comes to no end")


async def test_a_verb_that_ended_the_saga_between_two_looks_at_its_answer_is_told_as_applied(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = asyncio.Event()
    shop = Shop(hold=hold)
    async with make() as owner, make(concurrency=0) as other, asyncio.timeout(SOON):
        run = await owner.register("shop", make_saga(shop)).start(Order("1"))
        other.register("shop", make_saga(Shop()))
        while not shop.keys:
            await asyncio.sleep(0.01)
        store, looks = other.engine.store, 0
        look = store.verb_answer

        async def looked_before_it_ended(saga_id: UUID, message_id: UUID) -> VerbAnswer | None:
            nonlocal looks
            looks += 1
            if looks > 1:
                return await look(saga_id, message_id)
            hold.set()
            while not (await run.snapshot()).status.is_terminal:
                await asyncio.sleep(0.01)
            return VerbAnswer(answer=None, has_ended=False, is_owned=True)  # so it was before the owner read it

        monkeypatch.setattr(store, "verb_answer", looked_before_it_ended)
        await SagaAdmin(other).cancel(run.id)
        assert looks == 2
        assert (await run.snapshot()).status.value == "COMPENSATED"
