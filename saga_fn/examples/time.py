"""Time: `python -m saga_fn.examples.time`. It runs in memory, with a clock that jumps; nothing has to be installed.

A trial begins on the day the customer chose, lasts two weeks, and ends with a reminder and an invoice. Between its steps
it sleeps in the store: nothing waits in a process, and no restart cuts it short. An order that is not done in an hour is
rolled back, whatever it waits for.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec

from saga_fn import FixedRetry, MemoryStore, SagaOrchestrator, StepRef, saga, sleep, step


class Trial(msgspec.Struct, frozen=True):
    customer: str


class Access(msgspec.Struct, frozen=True):
    customer: str
    ends_at: datetime


async def revoke(inp: Trial, out: Access) -> None:
    print(f"  access of {out.customer} revoked")


@step(compensate=revoke)
async def grant(inp: Trial) -> Access:
    return Access(inp.customer, datetime.now(UTC) + timedelta(days=60))


@step
async def remind(inp: Access) -> None:
    print(f"  {inp.customer} is reminded")


@step
async def bill(inp: Access) -> str:
    return f"{inp.customer} is billed"


@saga("trial")
def trial(start: StepRef[Trial]) -> StepRef[str]:
    access = grant(start)
    sleep(timedelta(days=12), step_id="most_of_it")
    remind(access)
    sleep(until=access, using=lambda a: a.ends_at, step_id="the_rest")
    return bill(access)


@step
async def call_a_bank_that_is_away(inp: Access) -> None:
    raise ConnectionError("the bank does not answer")


@saga("order", deadline=timedelta(hours=1))
def order(start: StepRef[Trial]) -> None:
    access = grant(start)
    call_a_bank_that_is_away(access, retry_policy=FixedRetry(max_attempts=1000, delay=timedelta(minutes=5)))


async def main() -> None:
    """Tell of a trial that is billed after its two months, and of an order that is late."""
    orchestrator = SagaOrchestrator(MemoryStore())
    trials, orders = orchestrator.register(trial), orchestrator.register(order)
    run = await trials.start(Trial("ann"), delay=timedelta(days=7))
    print("ann:", (await run.snapshot()).status.value)
    await orchestrator.run_until_idle()
    print("ann:", await run.result())

    late = await orders.start(Trial("bob"))
    await orchestrator.run_until_idle()
    outcome = await late.outcome()
    print("bob:", outcome.snapshot.status.value, outcome.snapshot.last_error)


if __name__ == "__main__":
    asyncio.run(main())
