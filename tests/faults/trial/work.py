"""The work of a trial: the sagas of the crash tests, one that waits for an event, and one with a step that misbehaves."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import msgspec

from saga_fn import Event, NoRetry, SagaBuilder, SagaDefinition, SagaHandle, SagaOrchestrator, StepContext, step
from tests.faults.ledger import Job, Ledger
from tests.faults.sagas import AGAIN, Sagas, Work

LEASE: Final = 3.0
"""Seconds that a worker's lease takes, unless a fault needs another."""
BLOCKS: Final = 2 * LEASE
"""Seconds for which a step blocks the event loop that is told to: longer than a lease."""


class Note(msgspec.Struct, frozen=True):
    number: int


approved: Final = Event("approved", Note)


class OwnError(BaseException):
    """Not an Exception, as those by which some libraries cut code short."""


def misbehave(how: str) -> object:
    """Do what a step must not do."""
    match how:
        case "block":
            time.sleep(BLOCKS)
            return 0
        case "cancelled":
            raise asyncio.CancelledError
        case "own":
            raise OwnError("not an Exception")
        case "recursion":
            return misbehave(how)
        case "unserialisable":
            return object()
        case _:
            return 0


ODD: Final = {
    "cancelled": "COMPENSATED",
    "own": "COMPENSATED",
    "recursion": "COMPENSATED",
    "unserialisable": "PARKED",
}
"""How a saga ends whose step does that."""


class Trials:
    """All sagas of a trial, registered with an orchestrator."""

    def __init__(self, orchestrator: SagaOrchestrator, ledger: Ledger) -> None:
        self._orchestrator = orchestrator
        self._work = work = Work(ledger)
        sagas = Sagas(orchestrator, ledger)
        self.jobs, self.forks = sagas.jobs, sagas.forks
        self.waits: SagaHandle[Job, Job] = orchestrator.register("waits", _waits(work))
        self.odd: SagaHandle[str, int] = orchestrator.register("odd", _odd())
        self.stubborn: SagaHandle[Job, Job] = orchestrator.register("stubborn", _stubborn(work))
        self.deployed: SagaHandle[Job, Job] = orchestrator.register("deployed", _deployed(work, "one", "two"))

    def deploy(self) -> None:
        """Have the next version of a definition beside the old one, and start sagas of it."""
        changed = _deployed(self._work, "one", "between", "two")
        self.deployed = self._orchestrator.register("deployed", changed, version=2)


def _waits(work: Work) -> SagaDefinition[Job, Job]:
    builder = SagaBuilder(Job)
    one = builder.add_step(step(work.do, compensate=work.undo, step_id="one"), depends_on=builder.initial)
    builder.add_event(approved, step_id="approval")
    return builder.build(output=builder.add_step(step(work.do, step_id="two"), depends_on=one))


def _odd() -> SagaDefinition[str, int]:
    async def odd(inp: str, ctx: StepContext) -> int:
        if inp == "block" and ctx.attempt > 1:
            return 0
        return misbehave(inp)  # type: ignore[return-value]  # pyright: ignore[reportReturnType]  # that is the mischief

    async def undo(inp: str, out: int | None) -> None:
        pass

    builder = SagaBuilder(str)
    tried = step(odd, compensate=undo, retry_policy=NoRetry(), unknown_retry_policy=AGAIN)
    return builder.build(output=builder.add_step(tried, depends_on=builder.initial))


def _stubborn(work: Work) -> SagaDefinition[Job, Job]:
    async def never(inp: Job, out: Job | None) -> None:
        raise RuntimeError("it is never undone")

    builder = SagaBuilder(Job)
    one = builder.add_step(
        step(work.do, compensate=never, step_id="one", compensation_retry_policy=AGAIN), depends_on=builder.initial
    )
    two = step(work.do, step_id="two", give_up_on=RuntimeError, business_error_settles=True)
    return builder.build(output=builder.add_step(two, depends_on=one))


def _deployed(work: Work, *names: str) -> SagaDefinition[Job, Job]:
    builder = SagaBuilder(Job)
    ref = builder.initial
    for name in names:
        ref = builder.add_step(
            step(work.do, compensate=work.undo, step_id=name, compensation_retry_policy=AGAIN), depends_on=ref
        )
    return builder.build(output=ref)
