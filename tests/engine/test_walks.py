"""Random sagas of all that can be said, under random events, verbs and the death of a process: each comes to its end.

What the exploration of the core shows of every state, this shows of the whole, on all stores: nothing is refused by a
table, no payload is missing where it is needed, every state can be looked at, and what was committed is not done again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import attrs
import msgspec
import pytest

from saga_fn import (
    NOT_DONE,
    Event,
    FixedRetry,
    NotDone,
    OutcomeUnknown,
    RetryLater,
    SagaAdmin,
    SagaAdminSnapshot,
    SagaBuilder,
    SagaDefinition,
    SagaError,
    SagaOrchestrator,
    SagaRun,
    Step,
    StepContext,
    StepOptions,
    StepRef,
    StepStatus,
    WaitFor,
    WaitReason,
    any_of,
    step,
)
from saga_fn import Done as Found
from saga_fn.definition.saga_options import OnSiblings
from saga_fn.definition.steps.step_options import CommonOptions
from tests.support.shop import Done, Order
from tests.support.stores import Make
from tests.support.until import SOON

KINDS = 4
SAGAS_OF_A_KIND = 5
DEEDS = 200
MS = timedelta(milliseconds=1)


class Yes(msgspec.Struct, frozen=True, tag=True):
    by: str


class No(msgspec.Struct, frozen=True, tag=True):
    why: str


yes, no, refunded = Event("yes", Yes), Event("no", No), Event("refunded", Yes)

GOES_ON = {
    StepStatus.RUNNING,
    StepStatus.PROBING,
    StepStatus.RETRYING,
    StepStatus.PARKED,
    StepStatus.WAITING,
    StepStatus.SLEEPING,
    StepStatus.COMPENSATING,
    StepStatus.COMPENSATION_RETRYING,
    StepStatus.COMPENSATION_WAITING,
    StepStatus.COMPENSATION_PARKED,
}


class RefusedError(Exception):
    """The answer is no."""


@attrs.define
class World:
    """What chance decides: how sagas look, how their steps behave, and what is done to them."""

    chance: random.Random

    async def work(self, inp: Order, ctx: StepContext) -> Done:
        mood = self.chance.random()
        await asyncio.sleep(60 if mood < 0.05 else 0.03 * self.chance.random())
        if mood < 0.2:
            raise RuntimeError("not this time")
        if mood < 0.25:
            raise OutcomeUnknown("no answer")
        if mood < 0.27:
            raise RetryLater(20 * MS)
        if mood < 0.3:
            raise RefusedError
        return Done(ctx.step_id)

    async def undo(self, inp: Order, out: Done | None, ctx: StepContext) -> WaitFor | None:
        mood = self.chance.random()
        await asyncio.sleep(0.02 * self.chance.random())
        if mood < 0.2:
            raise RuntimeError("not undone")
        return WaitFor(refunded, timeout=100 * MS) if mood < 0.4 and ctx.received(refunded) is None else None

    async def ask(self, inp: Order) -> Found[Done] | NotDone:
        mood = self.chance.random()
        if mood < 0.3:
            raise RuntimeError("no answer")
        return Found(Done("found")) if mood < 0.6 else NOT_DONE

    def step(self) -> Step[Order, Done]:
        """A step, with one of the ways to be undone and to settle doubt."""
        plain: CommonOptions = {
            "timeout": 80 * MS,
            "retry_policy": FixedRetry(max_attempts=self.chance.randint(1, 3), delay=self.chance.choice((0, 20)) * MS),
            "compensation_retry_policy": FixedRetry(max_attempts=3, delay=10 * MS),
            "probe_retry_policy": FixedRetry(max_attempts=4, delay=10 * MS),
            "unknown_retry_policy": FixedRetry(max_attempts=self.chance.randint(1, 3), delay=20 * MS),
            "business_error_settles": self.chance.random() < 0.5,
            "give_up_on": RefusedError,
        }
        waits: CommonOptions = {**plain, "compensation_waits_for": refunded}
        match self.chance.randrange(6):
            case 0:
                return step(self.work, **plain)
            case 1:
                parked: StepOptions = {**plain, "on_unknown": "park"}
                return step(self.work, **parked)
            case 2:
                return step(self.work, compensate=self.undo, **waits)
            case 3:
                return step(self.work, compensate=self.undo, probe=self.ask, **waits)
            case 4:
                parked_on_the_way_back: StepOptions = {**waits, "on_unknown": "park"}
                return step(self.work, compensate=self.undo, **parked_on_the_way_back)
            case _:
                return step(self.work, compensate=self.undo, on_unknown="undo", **waits)

    def definition(self) -> SagaDefinition[Order, object]:
        """Up to six steps, waits and sleeps, each after up to two others."""
        deadline = self.chance.choice((None, 1000 * MS))
        siblings: OnSiblings = "cancel" if self.chance.random() < 0.5 else "await"
        builder = SagaBuilder(Order, order="graph", siblings_on_failure=siblings, deadline=deadline)
        refs: list[StepRef[object]] = []
        for number in range(self.chance.randint(2, 6)):
            after = tuple(self.chance.sample(refs, min(len(refs), self.chance.randint(0, 2))))
            refs.append(self.add_one(builder, f"s{number}", after))
        last: StepRef[object] = refs[-1]
        return builder.build(output=last)

    def add_one(self, builder: SagaBuilder[Order], name: str, after: Sequence[StepRef[object]]) -> StepRef[object]:
        """Any of the things that a saga can be made of."""
        follows = tuple(after)
        match self.chance.randrange(7):
            case 0:
                event = self.chance.choice((yes, any_of(yes, no)))
                return builder.add_event(event, timeout=300 * MS, after=follows, step_id=name)
            case 1:
                return builder.add_event(no, timeout=100 * MS, default=None, after=follows, step_id=name)
            case 2:
                return builder.add_sleep(self.chance.choice((0, 30)) * MS, after=follows, step_id=name)
            case 3:
                items = [Order(str(item)) for item in range(self.chance.randint(0, 4))]
                each = self.step().each(concurrency=self.chance.randint(1, 3))
                return builder.add_step(each, input_map=lambda _: items, after=follows, step_id=name)
            case 4:
                taken = self.chance.random() < 0.5
                maybe = self.step().when(lambda _: taken)
                return builder.add_step(maybe, depends_on=builder.initial, after=follows, step_id=name)
            case _:
                return builder.add_step(self.step(), depends_on=builder.initial, after=follows, step_id=name)

    async def verb(self, admin: SagaAdmin, run: SagaRun[object]) -> None:
        """An operator looks, and does something about one of the steps, which may have moved on by then."""
        seen = await admin.get_saga(run.id)
        one = self.chance.choice(seen.steps).step_id
        expect = self.chance.choice((None, seen.revision))
        deeds: list[Callable[[], Awaitable[object]]] = [
            lambda: admin.skip_step(
                run.id, one, {"what": "by hand"}, not_begun=self.chance.random() < 0.5, expect=expect
            ),
            lambda: admin.retry_step(run.id, one, expect=expect, reason="it may work now"),
            lambda: admin.settle_done(run.id, one, {"what": "by hand"}, expect=expect),
            lambda: admin.settle_undone(run.id, one, expect=expect),
            lambda: admin.settle_never_ran(run.id, one, expect=expect),
        ]
        await self.chance.choice(deeds)()

    async def happen(self, orchestrator: SagaOrchestrator, runs: Sequence[SagaRun[object]]) -> None:
        """Something is done to one of the sagas; it may well be refused."""
        run, admin = self.chance.choice(runs), SagaAdmin(orchestrator)
        soon = self.chance.choice((None, 50 * MS))
        deeds: list[Callable[[], Awaitable[object]]] = [
            *([lambda: orchestrator.to(run.id, yes).send(Yes("ann"), expires=soon)] * 6),
            *([lambda: orchestrator.to(run.id, no).send(No("dear"))] * 6),
            *([lambda: orchestrator.to(run.id, refunded).send(Yes("the bank"))] * 6),
            *([lambda: admin.get_saga(run.id)] * 6),
            lambda: self.verb(admin, run),
            lambda: self.verb(admin, run),
            lambda: admin.compensate_step(run.id),
            lambda: admin.abort(run.id),
        ]
        with contextlib.suppress(SagaError):
            await self.chance.choice(deeds)()


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happens_to_them_sagas_come_to_their_ends(
    make: Make, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(random.Random(seed))
    definitions = {f"kind {number}": world.definition() for number in range(KINDS)}
    lease = 700 * MS
    async with make(lease=lease) as orchestrator:
        async with make(lease=lease) as other:
            for name, definition in definitions.items():
                other.register(name, definition)
            delays = [None, 50 * MS]
            handles = [orchestrator.register(name, definition) for name, definition in definitions.items()]
            runs = [
                await handle.start(Order(str(number)), delay=world.chance.choice(delays))
                for handle in handles
                for number in range(SAGAS_OF_A_KIND)
            ]
            for deed in range(DEEDS):
                await world.happen(orchestrator, runs)
                await asyncio.sleep(0.01 * world.chance.random())
                if deed == DEEDS // 3:  # the other process dies with all that it has; then it is back
                    for interpreter in list(other.engine.held.values()):
                        interpreter.leave_to_lease()
        for run in runs:
            _check(await _ended(orchestrator, run), seed)
            await run.outcome(SOON)
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert [line for line in told if "ended: FAILED" not in line] == []


async def _ended(orchestrator: SagaOrchestrator, run: SagaRun[object]) -> SagaAdminSnapshot:
    """The saga at its end; one that waits for a person only is ended as it is."""
    admin = SagaAdmin(orchestrator)
    async with asyncio.timeout(SOON):
        while not (seen := await admin.get_saga(run.id)).status.is_terminal:
            if seen.waits is WaitReason.PARKED:
                await admin.abort(run.id)
            await asyncio.sleep(0.01)
    return seen


def _check(seen: SagaAdminSnapshot, seed: int) -> None:
    told = (seed, seen.saga_name, [(entry.kind, entry.step_id, entry.error) for entry in seen.step_history])
    assert not GOES_ON & {one.status for one in seen.steps}, told
    done = [e for e in seen.step_history if e.status == "SUCCESS" and e.step_id and e.kind != "step_settled"]
    ends = [(e.step_id, e.phase == "compensate") for e in done]
    assert [end for end, times in Counter(ends).items() if times > 1] == [], told
    aborted = "abort_requested" in [entry.kind for entry in seen.step_history]
    assert bool(seen.left_over) <= (seen.status == "FAILED") <= (bool(seen.left_over) or aborted), told
