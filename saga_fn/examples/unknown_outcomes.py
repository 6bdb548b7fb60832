"""Unknown outcomes: `python -m saga_fn.examples.unknown_outcomes`, on an embedded PostgreSQL or on `SAGA_FN_DSN`.

A bank takes money and gives it back, and now and then its answer is lost on the way. The step says what it does then:

- the deposit has a `probe`, which asks the bank whether it has arrived: it is not sent twice, nor forgotten;
- the payment is undone as what may have run (`on_unknown="undo"`): its compensation does without an output.

The bank protects itself by the guard, one small table in its own database: a payment that arrives when it has been undone
already is refused, and undoing what never arrived is no error.
"""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta

import asyncpg
import msgspec

from saga_fn import (
    NOT_DONE,
    Compensated,
    Completed,
    Done,
    Failed,
    FixedRetry,
    NotDone,
    Outcome,
    SagaDefinition,
    SagaHandle,
    SagaOrchestrator,
    StepContext,
    StepRef,
    saga,
    step,
)
from saga_fn.embedded import EmbeddedPostgres
from saga_fn.guard import Doing, Guard, Undoing

SCHEMA = "example_bank"
OPEN = """
DROP SCHEMA IF EXISTS example_bank CASCADE;
CREATE SCHEMA example_bank;
CREATE TABLE example_bank.book (operation text, buyer text, cents int);
"""
BOOK = "INSERT INTO example_bank.book VALUES ($1, $2, $3)"


class Purchase(msgspec.Struct, frozen=True):
    buyer: str
    cents: int
    lost: str = ""
    """Whose answer is lost: `deposit` or `payment`, or whose request `payment request`."""


class Receipt(msgspec.Struct, frozen=True):
    number: str


class Bank:
    """A participant: it has a database of its own, and books under its guard."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._guard = Guard(SCHEMA)

    async def open(self) -> None:
        """Open empty books."""
        async with self._pool.acquire() as connection:
            await connection.execute(OPEN)
            await self._guard.create(connection)

    async def take(self, operation: str, buyer: str, cents: int) -> bool:
        """Take the money, once for each operation; False if it has been given back before it was taken."""
        async with self._pool.acquire() as connection, connection.transaction():
            doing = await self._guard.done(connection, operation)
            if doing is Doing.FIRST:
                await connection.execute(BOOK, operation, buyer, cents)
            return doing is not Doing.LATE

    async def give_back(self, operation: str, buyer: str, cents: int) -> bool:
        """Give the money back if it has been taken; from now on it is not taken any more."""
        async with self._pool.acquire() as connection, connection.transaction():
            undoing = await self._guard.undone(connection, operation)
            if undoing is Undoing.NEEDED:
                await connection.execute(BOOK, operation, buyer, -cents)
            return undoing is not Undoing.NOTHING

    async def knows(self, operation: str) -> bool:
        """Whether anything is booked for the operation."""
        known = await self._pool.fetch("SELECT FROM example_bank.book WHERE operation = $1", operation)
        return bool(known)

    async def balance(self, buyer: str) -> int:
        """The money of the buyer's that the bank has."""
        rows = await self._pool.fetch("SELECT coalesce(sum(cents), 0) FROM example_bank.book WHERE buyer = $1", buyer)
        return int(rows[0][0])


def make_buy(bank: Bank) -> SagaDefinition[Purchase, Receipt]:
    """A deposit, then the payment."""

    async def deposit(inp: Purchase, ctx: StepContext) -> Receipt:
        await bank.take(ctx.operation, inp.buyer, 100)
        return await answer(inp, "deposit", ctx)

    async def find_deposit(_: Purchase, ctx: StepContext) -> Done[Receipt] | NotDone:
        print(f"  asked the bank about the {ctx.step_id}")
        return Done(Receipt(ctx.idempotency_key)) if await bank.knows(ctx.operation) else NOT_DONE

    async def return_deposit(inp: Purchase, _: Receipt, ctx: StepContext) -> None:
        await bank.give_back(ctx.operation, inp.buyer, 100)

    async def pay(inp: Purchase, ctx: StepContext) -> Receipt:
        if inp.lost != "payment request":
            await bank.take(ctx.operation, inp.buyer, inp.cents)
        return await answer(inp, "payment", ctx)

    async def return_payment(inp: Purchase, out: Receipt | None, ctx: StepContext) -> None:
        there_was_something = await bank.give_back(ctx.operation, inp.buyer, inp.cents)
        print(f"  payment undone {'without' if out is None else 'with'} a receipt; taken: {there_was_something}")

    patience = timedelta(seconds=1)
    soon = FixedRetry(max_attempts=5, delay=timedelta(milliseconds=20))
    deposited = step(
        deposit, compensate=return_deposit, probe=find_deposit, timeout=patience, retry_policy=soon, probe_timeout=None
    )
    paid = step(
        pay,
        compensate=return_payment,
        on_unknown="undo",
        step_id="payment",
        timeout=patience,
        compensation_timeout=None,
    )

    @saga("buy")
    def buy(purchase: StepRef[Purchase]) -> StepRef[Receipt]:
        deposited(purchase)
        return paid(purchase)

    return buy


async def answer(inp: Purchase, step_id: str, ctx: StepContext) -> Receipt:
    if inp.lost.startswith(step_id):
        await asyncio.Event().wait()  # the answer never comes; the step's timeout ends this
    return Receipt(ctx.idempotency_key)


async def tell(buying: SagaHandle[Purchase, Receipt], bank: Bank, purchase: Purchase) -> None:
    run = await buying.start(purchase)
    end = said(await run.outcome(timeout=20))
    print(f"{purchase.buyer}: {end}, {await bank.balance(purchase.buyer)} cents at the bank")


def said(outcome: Outcome[Receipt]) -> str:
    match outcome:
        case Completed():
            return "bought"
        case Compensated():
            return "rolled back"
        case Failed(snapshot=snapshot):
            return f"failed, left over: {snapshot.left_over}"


async def late_arrival(bank: Bank, operation: str) -> None:
    taken = await bank.take(operation, "Eve", 900)
    print(f"a payment that arrives after all is {'taken' if taken else 'refused'}")


async def main(dsn: str) -> None:
    async with (
        asyncpg.create_pool(dsn, min_size=1, max_size=4) as pool,
        SagaOrchestrator(dsn, migrate=True) as orchestrator,
    ):
        bank = Bank(pool)
        await bank.open()
        buying = orchestrator.register(make_buy(bank))
        await tell(buying, bank, Purchase("Ada", 900))
        await tell(buying, bank, Purchase("Bob", 900, lost="deposit"))
        await tell(buying, bank, Purchase("Cyd", 900, lost="payment"))
        await tell(buying, bank, Purchase("Dan", 900, lost="payment request"))

        run = await buying.start(Purchase("Eve", 900, lost="payment request"))
        await run.outcome(timeout=20)
        await late_arrival(bank, f"{run.id}:payment")
        print(f"Eve: {await bank.balance('Eve')} cents at the bank")


def run() -> None:
    """On the given server, or on one of its own."""
    if given := os.environ.get("SAGA_FN_DSN"):
        asyncio.run(main(given))
    else:
        with EmbeddedPostgres() as server:
            asyncio.run(main(server.dsn))


if __name__ == "__main__":
    run()
