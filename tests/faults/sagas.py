"""The sagas of the crash tests, the same in every process."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from typing import Literal

import msgspec

from saga_fn import (
    NOT_DONE,
    Attribute,
    Done,
    Event,
    FixedRetry,
    NoRetry,
    NotDone,
    SagaBuilder,
    SagaDefinition,
    SagaOrchestrator,
    Step,
    StepContext,
    WaitFor,
    step,
)
from tests.faults.ledger import Job, Ledger

AGAIN = FixedRetry(max_attempts=3, delay=timedelta(milliseconds=50))


class Refund(msgspec.Struct, frozen=True):
    number: int


refunded = Event("refunded", Refund)


class Work:
    """What the steps do: whatever the job says of them, and it is written down."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def do(self, inp: Job, ctx: StepContext) -> Job:
        await self._ledger.work(inp, ctx, "execute")
        return inp

    async def find(self, inp: Job, ctx: StepContext) -> Done[Job] | NotDone:
        await self._ledger.work(inp, ctx, "probe")
        return Done(inp) if await self._ledger.ended(ctx) else NOT_DONE

    async def undo(self, inp: Job, out: Job | None, ctx: StepContext) -> None:
        await self._ledger.work(inp, ctx, "compensate")

    async def cling(self, inp: Job, ctx: StepContext) -> Job:
        """As `do`, but a stubborn one goes on when it is cancelled."""
        working = asyncio.create_task(self.do(inp, ctx))
        while not working.done():
            try:
                await asyncio.shield(working)
            except asyncio.CancelledError:
                if not inp.stubborn:
                    working.cancel()
                    raise
        return working.result()

    async def ask_and_book(self, inp: Job, out: Job, ctx: StepContext) -> WaitFor | None:
        """Undo by asking for a refund, and by booking it when it has come."""
        refund = ctx.received(refunded)
        await self._ledger.work(inp, ctx, "compensate" if refund is None else f"book {refund.number}")
        if refund is not None:
            return None
        return WaitFor(refunded, timeout=None if inp.patience is None else timedelta(seconds=inp.patience))


class Sagas:
    """All of them, registered with an orchestrator."""

    def __init__(self, orchestrator: SagaOrchestrator, ledger: Ledger) -> None:
        work = Work(ledger)
        self.jobs = orchestrator.register("job", chain(work))
        self.searched = orchestrator.register("searched", chain(work, searched=True))
        self.forks = orchestrator.register("fork", forked(work, siblings="await"))
        self.cuts = orchestrator.register("cut", forked(work, siblings="cancel"))
        self.spreads = orchestrator.register("spread", spread(work))
        self.asked = orchestrator.register("asked", doubtful(work, probes=True))
        self.perhaps = orchestrator.register("perhaps", doubtful(work, probes=False))
        self.refunds = orchestrator.register("refund", refunding(work))


done = Attribute("done", str)


def chain(work: Work, *, searched: bool = False) -> SagaDefinition[Job, Job]:
    """Three steps, each of which can be undone; if they are searched for, by the last step that is done."""
    builder = SagaBuilder(Job, attributes=(done,) if searched else ())
    ref = builder.initial
    for name in ("one", "two", "three"):
        ref = builder.add_step(
            step(work.do, compensate=work.undo, step_id=name, compensation_retry_policy=AGAIN),
            depends_on=ref,
            retry_policy=AGAIN if name == "two" else NoRetry(),
        )
        if searched:
            builder.set_attribute(done, ref, input_map=partial(_named, name))
    return builder.build(output=ref)


def _named(name: str, _: Job) -> str:
    return name


def doubtful(work: Work, *, probes: bool) -> SagaDefinition[Job, Job]:
    """Three steps; of the second it is found out whether it has run, or it is undone as what may have run."""
    builder = SagaBuilder(Job)
    one = builder.add_step(step(work.do, compensate=work.undo, step_id="one"), depends_on=builder.initial)
    asked = step(work.do, compensate=work.undo, probe=work.find, step_id="two")
    perhaps = step(work.do, compensate=work.undo, on_unknown="undo", step_id="two")
    two = builder.add_step(asked if probes else perhaps, depends_on=one)
    return builder.build(output=builder.add_step(step(work.do, step_id="three"), depends_on=two))


def forked(work: Work, *, siblings: Literal["await", "cancel"]) -> SagaDefinition[Job, Job]:
    """A root, three branches that run at the same time, and what joins two of them; all can be undone."""

    def named(name: str) -> Step[Job, Job]:
        # The ledger refuses under the step's key, so that a refusal answers for what a killed process has begun, too.
        return step(
            work.cling,
            compensate=work.undo,
            step_id=name,
            compensation_retry_policy=AGAIN,
            give_up_on=RuntimeError,
            business_error_settles=True,
        )

    builder = SagaBuilder(Job, order="graph", siblings_on_failure=siblings)
    root = builder.add_step(named("root"), depends_on=builder.initial)
    left = builder.add_step(named("left"), depends_on=root)
    right = builder.add_step(named("right"), depends_on=root)
    other = builder.add_step(named("other"), depends_on=root)
    join = builder.add_step(named("join"), depends_on=(left, right), after=other, input_map=lambda one, _: one)
    return builder.build(output=join)


def spread(work: Work) -> SagaDefinition[Job, Job]:
    """A step, one that is done for each of six items, two at once, and what follows them all; all can be undone."""
    one = step(
        work.do,
        compensate=work.undo,
        compensation_retry_policy=AGAIN,
        give_up_on=RuntimeError,
        business_error_settles=True,  # as in `forked`
    )
    builder = SagaBuilder(Job)
    root = builder.add_step(one, step_id="root", depends_on=builder.initial)
    many = builder.add_step(one.each(concurrency=2), step_id="many", depends_on=root, input_map=lambda job: [job] * 6)
    last = builder.add_step(one, step_id="last", depends_on=many, input_map=lambda jobs: jobs[0])
    return builder.build(output=last)


def refunding(work: Work) -> SagaDefinition[Job, Job]:
    """Two steps; the first is undone by asking for a refund, and by booking it when it has come."""
    builder = SagaBuilder(Job)
    pay = step(
        work.do,
        compensate=work.ask_and_book,
        compensation_waits_for=refunded,
        step_id="pay",
        compensation_retry_policy=AGAIN,
    )
    paid = builder.add_step(pay, depends_on=builder.initial)
    return builder.build(output=builder.add_step(step(work.do, step_id="ship"), depends_on=paid))
