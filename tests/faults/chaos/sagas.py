"""The sagas of the chaos run, the same in every process: all that a saga can be made of, in steps that behave by chance.

The behaviour of an execution follows from the seed, the saga's number, the step and the attempt, and from nothing else.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import msgspec

from saga_fn import (
    NOT_DONE,
    Done,
    Event,
    ExponentialRetry,
    FixedRetry,
    Hook,
    NoRetry,
    NotDone,
    OutcomeUnknown,
    Outgoing,
    RetryLater,
    SagaBuilder,
    SagaDefinition,
    SagaHandle,
    SagaNews,
    SagaOrchestrator,
    Step,
    StepContext,
    TransactionalContext,
    WaitFor,
    any_of,
    step,
)
from saga_fn.definition.steps.step_options import CommonOptions
from tests.faults.chaos.books import WALL, Books, Direction

MS: Final = timedelta(milliseconds=1)
NEVER: Final = 60.0
"""Seconds that no step is given: its timeout comes first."""


class Job(msgspec.Struct, frozen=True):
    number: int


class Note(msgspec.Struct, frozen=True):
    """The payload of an event; each has a number of its own."""

    number: int


approved, refused, refunded = Event("approved", Note), Event("refused", Note), Event("refunded", Note)
called = Event("called", Note, for_next=True)


class DeclinedError(Exception):
    """The answer is no."""


class World:
    """What the steps do."""

    def __init__(self, books: Books, seed: int, *, blocks: float = 0.0) -> None:
        self._books = books
        self._seed = seed
        self._blocks = blocks
        """Seconds for which a step, seldom, lets its whole process stand still."""
        self._hooks = random.Random(f"{seed} hooks {os.getpid()}")

    def _dice(self, job: Job, ctx: StepContext, direction: Direction) -> random.Random:
        return random.Random(f"{self._seed} {job.number} {ctx.step_id} {direction} {ctx.attempt} {ctx.generation}")

    async def work(self, inp: Job, ctx: StepContext) -> Job:
        """Do it, or not, and say so, or not."""
        return await self._work(inp, ctx, settles=False)

    async def settle(self, inp: Job, ctx: StepContext) -> Job:
        """As `work`; an answer of no is kept, so that no request before it can do it either."""
        return await self._work(inp, ctx, settles=True)

    async def _work(self, inp: Job, ctx: StepContext, *, settles: bool) -> Job:
        made, at = time.monotonic(), WALL()
        dice = self._dice(inp, ctx, "execute")
        if dice.random() < 0.004:
            time.sleep(
                self._blocks
            )  # before anything is awaited: others are about to begin in this very turn of the loop
        await self._books.begin(ctx, "execute", at)
        await asyncio.sleep(NEVER if dice.random() < 0.02 else 0.15 * dice.random() ** 2)
        mood = dice.random()
        if mood < 0.06:
            raise RuntimeError("not this time")
        if mood < 0.08:
            raise RetryLater(40 * MS)
        if mood < 0.10:
            raise TimeoutError("no answer")
        if mood < 0.15 and (not settles or not await self._books.bar_for_ever(ctx)):
            raise DeclinedError  # if it does not settle, what was asked for before may have been done all the same
        await self._books.do(ctx, made)
        if mood > 0.95:
            raise OutcomeUnknown("the answer was lost")
        await asyncio.sleep(NEVER if mood > 0.93 else 0.05 * dice.random() ** 2)
        ctx.publish("work", ctx.step_id)
        return inp

    async def undo(self, inp: Job, out: Job | None, ctx: StepContext) -> None:
        """Undo it, sooner or later."""
        await self._undo(inp, ctx)

    async def ask_back(self, inp: Job, out: Job | None, ctx: StepContext) -> WaitFor | None:
        """As `undo`, but what was asked for may have to come from outside first."""
        dice = await self._undo(inp, ctx)
        if ctx.received(refunded) is not None or dice.random() < 0.5:
            return None
        return WaitFor(refunded, timeout=2000 * MS)

    async def _undo(self, inp: Job, ctx: StepContext) -> random.Random:
        at = WALL()
        dice = self._dice(inp, ctx, "compensate")
        await self._books.begin(ctx, "compensate", at)
        await asyncio.sleep(0.1 * dice.random() ** 2)
        mood = dice.random()
        if mood < 0.15:
            raise RuntimeError("not undone")
        await self._books.undo(ctx)
        if mood > 0.95:
            await asyncio.sleep(NEVER)
        return dice

    async def find(self, inp: Job, ctx: StepContext) -> Done[Job] | NotDone:
        """Find out, if it can be found out now."""
        at = WALL()
        dice = self._dice(inp, ctx, "probe")
        await self._books.begin(ctx, "probe", at)
        if dice.random() < 0.2:
            raise RuntimeError("no answer")
        return Done(inp) if await self._books.ask(ctx) else NOT_DONE

    async def enter(self, inp: Job, ctx: TransactionalContext) -> Job:
        """Write a row and a message; if it fails after that, neither is there."""
        dice = self._dice(inp, ctx, "execute")
        await self._books.enter(ctx, "execute")
        ctx.publish("rows", f"{ctx.step_id} is entered")
        await self._go_wrong(dice)
        return inp

    async def take_back(self, inp: Job, out: Job, ctx: TransactionalContext) -> None:
        """Write that it is taken back, and say so."""
        dice = self._dice(inp, ctx, "compensate")
        await self._books.enter(ctx, "compensate")
        ctx.publish("rows", f"{ctx.step_id} is taken back")
        await self._go_wrong(dice)

    async def _go_wrong(self, dice: random.Random) -> None:
        """Take a while, for ever, or fail, seldom for good."""
        mood = dice.random()
        await asyncio.sleep(NEVER if mood < 0.03 else 0.1 * dice.random() ** 2)
        if mood < 0.12:
            raise RuntimeError("not this time")
        if mood < 0.15:
            raise DeclinedError

    async def told(self, news: SagaNews) -> None:
        """A hook: write down that it was called, and fail sometimes."""
        await self._books.call(news)
        if self._hooks.random() < 0.1:
            raise RuntimeError("the hook has failed")


PLAIN: Final[CommonOptions] = {
    "timeout": 1000 * MS,
    "retry_policy": FixedRetry(max_attempts=3, delay=50 * MS),
    "compensation_retry_policy": ExponentialRetry(base_delay=50 * MS, max_delay=400 * MS, within=timedelta(hours=1)),
    "probe_retry_policy": FixedRetry(max_attempts=8, delay=40 * MS),
    "unknown_retry_policy": FixedRetry(max_attempts=6, delay=60 * MS),
    "give_up_on": DeclinedError,
}
FEW: Final[CommonOptions] = {**PLAIN, "compensation_retry_policy": NoRetry()}
"""An undo that is given up at once."""
WAITING: Final[CommonOptions] = {**PLAIN, "compensation_waits_for": refunded}
SETTLING: Final[CommonOptions] = {**PLAIN, "business_error_settles": True}


ENTERING: Final[CommonOptions] = {
    "timeout": PLAIN["timeout"],
    "retry_policy": PLAIN["retry_policy"],
    "compensation_retry_policy": PLAIN["compensation_retry_policy"],
    "give_up_on": DeclinedError,
    "publishes": Outgoing("declared"),
}
"""A step with a transaction is in no doubt, and has no options for it."""


class Steps:
    """The steps, by how their doubt is settled and how they are undone."""

    def __init__(self, world: World) -> None:
        self.plain: Step[Job, Job] = step(world.work, compensate=world.undo, **PLAIN)
        self.few: Step[Job, Job] = step(world.work, compensate=world.undo, **FEW)
        self.last: Step[Job, Job] = step(world.work, **PLAIN)
        self.probed: Step[Job, Job] = step(world.work, compensate=world.undo, probe=world.find, **PLAIN)
        self.perhaps: Step[Job, Job] = step(world.work, compensate=world.undo, on_unknown="undo", **PLAIN)
        self.asks: Step[Job, Job] = step(world.work, compensate=world.ask_back, **WAITING)
        self.settled: Step[Job, Job] = step(world.settle, compensate=world.undo, **SETTLING)
        self.point: Step[Job, Job] = step(world.work, probe=world.find, **PLAIN)
        self.parked: Step[Job, Job] = step(world.work, compensate=world.undo, **PLAIN, on_unknown="park")
        self.entered: Step[Job, Job] = step(world.enter, compensate=world.take_back, transactional=True, **ENTERING)
        self.hook = world.told


def chain(steps: Steps) -> SagaDefinition[Job, Job]:
    """One step after another, each with another way to settle doubt."""
    builder = SagaBuilder(Job, deadline=timedelta(seconds=20))
    ref = builder.initial
    for name, one in (
        ("one", steps.plain),
        ("two", steps.probed),
        ("three", steps.perhaps),
        ("four", steps.settled),
        ("five", steps.last),
    ):
        ref = builder.add_step(one, depends_on=ref, step_id=name)
    return builder.build(output=ref)


def fork(steps: Steps, *, cancels: bool) -> SagaDefinition[Job, Job]:
    """Branches, one of them taken by a condition, and what joins them."""
    builder = SagaBuilder(Job, order="graph", siblings_on_failure="cancel" if cancels else "await")
    root = builder.add_step(steps.plain, depends_on=builder.initial, step_id="root")
    left = builder.add_step(steps.probed, depends_on=root, step_id="left")
    right = builder.add_step(steps.few, depends_on=root, step_id="right")
    maybe = builder.add_step(steps.plain.when(is_even), depends_on=root, step_id="maybe")
    waited = builder.add_event(
        any_of(approved, refused), timeout=2500 * MS, default=Note(-1), after=root, step_id="wait"
    )
    slept = builder.add_sleep(100 * MS, after=left, step_id="sleep")
    join = builder.add_step(
        steps.perhaps, depends_on=(left, right), input_map=first, after=(maybe, waited, slept), step_id="join"
    )
    return builder.build(output=join)


def spread(steps: Steps) -> SagaDefinition[Job, list[Job]]:
    """A step, and one that is done for each of some items."""
    builder = SagaBuilder(Job)
    root = builder.add_step(steps.asks, depends_on=builder.initial, step_id="root")
    many = builder.add_step(
        steps.plain.each(concurrency=2), depends_on=root, input_map=lambda job: [job] * (job.number % 5), step_id="many"
    )
    builder.add_step(steps.last, depends_on=root, step_id="last")
    return builder.build(output=many)


def pay(steps: Steps) -> SagaDefinition[Job, Job]:
    """Ask, wait for a yes, pass the point of no return, go forward only."""
    builder = SagaBuilder(Job)
    held = builder.add_step(steps.asks, depends_on=builder.initial, step_id="hold")
    builder.add_event(approved, timeout=4000 * MS, step_id="approval")
    taken = builder.add_step(steps.point, depends_on=held, step_id="capture", pivot=True)
    sent = builder.add_step(steps.last, depends_on=taken, step_id="send")
    return builder.build(output=sent)


def patient(steps: Steps) -> SagaDefinition[Job, Job]:
    """Wait for as long as it takes, for what is about this saga; ask a person where there is doubt."""
    builder = SagaBuilder(Job)
    one = builder.add_step(steps.parked, depends_on=builder.initial, step_id="one")
    builder.add_event(called, depends_on=one, correlate=about, step_id="call")
    builder.add_sleep(50 * MS, step_id="nap")
    two = builder.add_step(steps.few, depends_on=one, step_id="two")
    return builder.build(output=builder.add_step(steps.last, depends_on=two, step_id="three"))


def booked(steps: Steps) -> SagaDefinition[Job, Job]:
    """Rows of the service's own in the commits of two steps, a call between them, messages and hooks."""
    news = Outgoing("news")
    builder = SagaBuilder(
        Job, on_started=steps.hook, on_completed=news, on_compensated=news, on_failed=news, on_parked=steps.hook
    )
    debited = builder.add_step(steps.entered, depends_on=builder.initial, step_id="debit")
    asked = builder.add_step(steps.plain, depends_on=debited, step_id="ask")
    credited = builder.add_step(steps.entered, depends_on=asked, step_id="credit")
    return builder.build(output=builder.add_step(steps.last, depends_on=credited, step_id="last"))


def is_even(job: Job) -> bool:
    """Whether a conditional step is taken."""
    return job.number % 2 == 0


def first(left: Job, right: Job) -> Job:
    """What a step is given that joins two."""
    return left


def about(job: Job) -> str:
    """What a wait is about."""
    return f"job {job.number}"


def definitions(world: World) -> Mapping[str, SagaDefinition[Job, Any]]:  # Any: results of all types
    """All of them, by name."""
    steps = Steps(world)
    return {
        "chain": chain(steps),
        "fork": fork(steps, cancels=False),
        "cut": fork(steps, cancels=True),
        "spread": spread(steps),
        "pay": pay(steps),
        "patient": patient(steps),
        "booked": booked(steps),
    }


WAITS_FOR: Final[Mapping[str, tuple[Event[Note], ...]]] = {
    "fork": (approved, refused),
    "cut": (approved, refused),
    "spread": (refunded,),
    "pay": (approved, approved, refunded),
    "patient": (called,),
}
NOT_UNDOABLE: Final = frozenset(
    {
        ("chain", "five"),
        ("spread", "last"),
        ("pay", "capture"),
        ("pay", "send"),
        ("patient", "three"),
        ("booked", "last"),
    }
)
"""Steps without a compensation."""
ENTERED: Final = frozenset({("booked", "debit"), ("booked", "credit")})
"""Steps that write rows in their own commits, as their compensations do."""
CALLED: Final = frozenset({Hook.STARTED, Hook.PARKED})
"""The hooks of `booked` that are functions; the others are messages."""


def register(orchestrator: SagaOrchestrator, world: World) -> Mapping[str, SagaHandle[Job, Any]]:  # Any: as above
    """Make all of them known to an orchestrator."""
    return {name: orchestrator.register(name, each) for name, each in definitions(world).items()}
