"""Steps that are given another input when they were not answered, and a guarded participant that books what it is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import attrs
import msgspec
import pytest

from saga_fn import (
    Compensated,
    FixedRetry,
    InputContext,
    SagaBuilder,
    SagaDefinition,
    SagaOrchestrator,
    SagaRun,
    StepContext,
    step,
)
from saga_fn.guard import Doing, Guard, Undoing
from saga_fn.store.connection import Connection
from tests.support.until import SOON, suspended


class Order(msgspec.Struct, frozen=True):
    card: str


class Charge(msgspec.Struct, frozen=True):
    card: str


class Receipt(msgspec.Struct, frozen=True):
    card: str


@attrs.define
class Bank:
    """Takes money from cards. Its answers about lost cards are lost on the way."""

    pool: asyncpg.Pool
    lost: str
    operations: list[tuple[str, int]] = attrs.field(factory=list)

    async def charge(self, inp: Charge, ctx: StepContext) -> Receipt:
        self.operations.append((ctx.operation, ctx.generation))
        await self.take(inp.card, ctx.operation, ctx.generation)
        if inp.card == self.lost:
            raise ConnectionError("no answer")
        return Receipt(inp.card)

    async def refund(self, inp: Charge, out: Receipt, ctx: StepContext) -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            if await Guard().undone(connection, ctx.operation) is Undoing.NEEDED:
                await self.give_back(connection, ctx.operation)

    async def take(self, card: str, operation: str, generation: int) -> Doing:
        async with self.pool.acquire() as connection, connection.transaction():
            doing = await Guard().done(connection, operation, generation)
            if doing is Doing.INSTEAD:
                await self.give_back(connection, operation)
            if doing in (Doing.FIRST, Doing.INSTEAD):
                await connection.execute("INSERT INTO taken VALUES ($1, $2)", operation, card)
            return doing

    async def give_back(self, connection: Connection, operation: str) -> None:
        """By the operation alone: that is what an undo knows."""
        await connection.execute("DELETE FROM taken WHERE operation = $1", operation)

    async def has(self) -> list[str]:
        return [row[0] for row in await self.pool.fetch("SELECT card FROM taken")]


@pytest.fixture
async def bank(dsn: str) -> AsyncIterator[Bank]:
    async with asyncpg.create_pool(dsn, min_size=1, max_size=4) as pool:
        async with pool.acquire() as connection:
            await Guard().create(connection)
        await pool.execute("CREATE TABLE taken (operation text, card text)")
        yield Bank(pool, lost="first")


def sell(bank: Bank, *, sold_out: bool) -> SagaDefinition[Order, Receipt]:
    """Charge the order's card, or the one that an outside event names, and then ship."""

    def charged(context: InputContext[Order]) -> Charge:
        latest = context.latest_event
        return Charge(context.initial_data.card if latest is None else latest["card"])

    async def ship(inp: Receipt) -> Receipt:
        if sold_out:
            raise LookupError("sold out")
        return inp

    builder = SagaBuilder(Order)
    later = FixedRetry(max_attempts=5, delay=timedelta(hours=1))
    charge = builder.add_step(step(bank.charge, compensate=bank.refund, retry_policy=later), input_map=charged)
    return builder.build(output=builder.add_step(step(ship), depends_on=charge))


async def name_another_card(orchestrator: SagaOrchestrator, run: SagaRun[Receipt], card: str) -> None:
    await suspended(run)
    token = (await run.snapshot()).step_execution_token
    assert token is not None
    assert await orchestrator.notify(run.id, token, {"card": card})


async def test_another_card_is_charged_in_the_place_of_the_first(bank: Bank, dsn: str) -> None:
    async with SagaOrchestrator(dsn) as orchestrator:
        run = await orchestrator.register("sell", sell(bank, sold_out=False)).start(Order("first"))
        await name_another_card(orchestrator, run, "second")
        assert await run.result(SOON) == Receipt("second")
    operation = f"{run.id}:charge"
    assert bank.operations == [(operation, 0), (operation, 1)]
    assert await bank.has() == ["second"]
    assert await bank.take("first", operation, 0) is Doing.LATE
    assert await bank.has() == ["second"]


async def test_an_undo_finds_what_it_undoes_whatever_input_it_was_done_with(bank: Bank, dsn: str) -> None:
    async with SagaOrchestrator(dsn) as orchestrator:
        run = await orchestrator.register("sell", sell(bank, sold_out=True)).start(Order("first"))
        await name_another_card(orchestrator, run, "second")
        assert isinstance(await run.outcome(SOON), Compensated)
    operation = f"{run.id}:charge"
    assert await bank.has() == []
    assert [await bank.take(card, operation, generation) for generation, card in enumerate(("first", "second"))] == [
        Doing.LATE,
        Doing.LATE,
    ]
    assert await bank.has() == []
