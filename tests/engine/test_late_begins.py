"""Nothing of the user's begins after the lease: that is asked at the moment when it begins, not when it is decided."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, Protocol, cast
from uuid import UUID

import attrs
import pytest

import saga_fn
from saga_fn import (
    NOT_DONE,
    Completed,
    FixedRetry,
    MemoryStore,
    NotDone,
    SagaBuilder,
    SagaDefinition,
    SagaOrchestrator,
    step,
)
from saga_fn.core.effects import Action, RunCompensation, RunProbe, RunStep
from saga_fn.engine.drive.interpreter import Interpreter
from saga_fn.engine.hold.leases import LeaseKeeper
from saga_fn.engine.observe.observers import Observers
from saga_fn.engine.observe.of_sagas import SagaLost
from saga_fn.store.protocol import Store
from saga_fn.store.records import Committed
from tests.support.observed import Observed
from tests.support.shop import Done, Order
from tests.support.stores import Make
from tests.support.until import SOON

LEASE = timedelta(milliseconds=600)


class Acts(Protocol):
    """`Interpreter._act`."""

    def __call__(self, interpreter: Interpreter, actions: Sequence[Action], /, *, at_once: bool = True) -> None:
        """Begin what was ordered."""


@attrs.define
class Diary:
    """What happened, in order."""

    lines: list[str] = attrs.field(factory=list)
    attempts: int = 0

    async def first(self, inp: Order) -> Done:
        self.lines.append("first")
        return Done("first")

    async def unfirst(self, inp: Order, out: Done) -> None:
        self.lines.append("unfirst")

    async def second(self, inp: Order) -> Done:
        self.lines.append("second")
        self.attempts += 1
        if inp.order_id == "fails":
            raise ValueError("fails")
        if inp.order_id == "hangs" and self.attempts == 1:
            await asyncio.Event().wait()
        return Done("second")

    async def probe(self, inp: Order) -> saga_fn.Done[Done] | NotDone:
        self.lines.append("probe")
        return NOT_DONE


def definition(diary: Diary, order_id: str) -> SagaDefinition[Order, Done]:
    builder = SagaBuilder(Order)
    builder.add_step(step(diary.first, compensate=diary.unfirst), depends_on=builder.initial)
    second = step(diary.second)
    if order_id == "hangs":
        again = FixedRetry(max_attempts=2, delay=timedelta(0))
        second = step(diary.second, retry_policy=again, timeout=timedelta(milliseconds=50), probe=diary.probe)
    return builder.build(output=builder.add_step(second, depends_on=builder.initial))


@pytest.mark.parametrize(
    "kind, order_id, name",
    [(RunStep, "goes", "second"), (RunCompensation, "fails", "unfirst"), (RunProbe, "hangs", "probe")],
)
async def test_what_was_to_begin_when_the_process_stood_still_begins_when_the_lease_is_renewed(
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[RunStep | RunCompensation | RunProbe],
    order_id: str,
    name: str,
) -> None:
    diary = Diary()
    act: Acts = Interpreter._act  # pyright: ignore[reportPrivateUsage]  # the window is inside of it
    stood_still = 0

    def standing_still(interpreter: Interpreter, actions: Sequence[Action], *, at_once: bool = True) -> None:
        nonlocal stood_still
        asked = any(isinstance(action, kind) and (name, action.step) != ("second", "first") for action in actions)
        if asked and not stood_still:
            stood_still += 1
            time.sleep(LEASE.total_seconds() * 1.5)  # code that does not await, a pause of the collector, a SIGSTOP
            diary.lines.append("woke")
        act(interpreter, actions, at_once=at_once)

    monkeypatch.setattr(Interpreter, "_act", standing_still)
    async with make(lease=LEASE) as orchestrator:
        store = orchestrator.engine.store
        _diarise_renewals(store, diary, monkeypatch)
        run = await orchestrator.register("late", definition(diary, order_id)).start(Order(order_id))
        await run.outcome(SOON)
    assert stood_still == 1
    assert name in diary.lines
    woke = diary.lines.index("woke")
    after = diary.lines[woke + 1 :]
    before = after[: after.index(name)]
    # The watch of deadlines may see first that the lease is over: then the saga is claimed anew, which is a lease as good.
    assert "renewed" in before or "claimed" in before, "asked before it began"


def _diarise_renewals(store: Store, diary: Diary, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = cast("Any", type(store))
    renew = kind.renew

    async def renewing(
        self: Any, shard: int, held: Mapping[UUID, UUID], *, owner: UUID, lease: timedelta
    ) -> Committed:  # Any: a store of either kind
        committed: Committed = await renew(self, shard, held, owner=owner, lease=lease)
        diary.lines.append("renewed")
        return committed

    monkeypatch.setattr(kind, "renew", renewing)
    claim_due = kind.claim_due

    async def claiming(self: Any, *given: Any, **named: Any) -> list[Any]:  # Any: handed on as it is
        claimed: list[Any] = await claim_due(self, *given, **named)
        if claimed:
            diary.lines.append("claimed")
        return claimed

    monkeypatch.setattr(kind, "claim_due", claiming)


async def test_what_was_to_begin_never_begins_here_if_somebody_has_taken_the_saga_over(
    memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    diary = Diary()
    act: Acts = Interpreter._act  # pyright: ignore[reportPrivateUsage]  # the window is inside of it
    other = UUID(int=7)
    taken: list[UUID] = []

    def overtaken(interpreter: Interpreter, actions: Sequence[Action], *, at_once: bool = True) -> None:
        if not taken and any(type(action) is RunStep and action.step == "second" for action in actions):
            time.sleep(LEASE.total_seconds() * 1.2)
            claiming = memory.claim(interpreter.saga.id, owner=other, lease=timedelta(hours=1))
            try:
                claiming.send(None)
            except StopIteration as claimed:
                taken.append(claimed.value.token)
        act(interpreter, actions, at_once=at_once)

    monkeypatch.setattr(Interpreter, "_act", overtaken)
    async with SagaOrchestrator(memory, lease=LEASE, poll_interval=timedelta(milliseconds=100)) as orchestrator:
        told = Observed(orchestrator)
        run = await orchestrator.register("late", definition(diary, "goes")).start(Order("goes"))
        await told.until(SagaLost)
        assert diary.lines == ["first"], "it is the other's now"
        await memory.release(0, {run.id: taken[0]})
        assert isinstance(await run.outcome(SOON), Completed)


async def test_deadlines_are_watched_again_although_the_renewal_never_paused() -> None:
    """The watch wakes more often than the renewal, so that it may find nothing held where the renewal finds something."""
    held: dict[UUID, Any] = {}
    lost: list[str] = []

    class Silent:
        shards = 1

        async def renew(self, *_: object, **__: object) -> Committed:
            await asyncio.Event().wait()
            raise AssertionError

    def interpreter(name: str, deadline: float) -> Any:  # Any: a stand-in
        return SimpleNamespace(
            saga=SimpleNamespace(id=UUID(int=1), deadline=deadline, token=UUID(int=2)),
            lost=False,
            over=False,
            lose=lambda: lost.append(name),
            look_after_tasks=lambda: None,
        )

    async def nothing_paused() -> None:
        pass

    lease = timedelta(seconds=0.8)
    keeper = LeaseKeeper(
        cast("Store", Silent()), held, Observers(), owner=UUID(int=3), lease=lease, look=nothing_paused
    )
    try:
        held[UUID(int=1)] = interpreter("first", time.monotonic() + 60)
        keeper.ensure_running()
        await asyncio.sleep(0)
        held.clear()
        await asyncio.sleep(lease.total_seconds() / 10 + 0.01)  # the watch has looked, and the renewal not yet
        held[UUID(int=1)] = interpreter("second", time.monotonic() + lease.total_seconds() / 4)
        keeper.ensure_running()
        async with asyncio.timeout(SOON):
            while not lost:
                await asyncio.sleep(0.01)
        assert lost[0] == "second"
    finally:
        held.clear()
        await keeper.stop(1.0)
