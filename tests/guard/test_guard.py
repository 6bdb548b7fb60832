"""The participant's guard: whatever is repeated, comes late or never came, the books stay right."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from saga_fn import SagaDefinitionError, SagaStateError, StoreError, StoreRefusedError, StoreUnavailableError
from saga_fn.guard import Doing, Guard, Undoing
from saga_fn.guard.__main__ import main as print_table


@pytest.fixture
async def pool(empty_dsn: str) -> AsyncIterator[asyncpg.Pool]:
    async with asyncpg.create_pool(empty_dsn, min_size=2, max_size=8) as made:
        async with made.acquire() as connection:
            await Guard().create(connection)
        await made.execute("CREATE TABLE book (operation text, what text)")
        yield made


async def do(pool: asyncpg.Pool, operation: str = "s:charge", generation: int = 0) -> Doing:
    async with pool.acquire() as connection, connection.transaction():
        verdict = await Guard().done(connection, operation, generation)
        if verdict is Doing.INSTEAD:
            await connection.execute("INSERT INTO book VALUES ($1, 'undone')", operation)
        if verdict in (Doing.FIRST, Doing.INSTEAD):
            await connection.execute("INSERT INTO book VALUES ($1, 'done')", operation)
        return verdict


async def undo(pool: asyncpg.Pool, operation: str = "s:charge") -> Undoing:
    async with pool.acquire() as connection, connection.transaction():
        verdict = await Guard().undone(connection, operation)
        if verdict is Undoing.NEEDED:
            await connection.execute("INSERT INTO book VALUES ($1, 'undone')", operation)
        return verdict


async def booked(pool: asyncpg.Pool, operation: str = "s:charge") -> list[str]:
    rows = await pool.fetch("SELECT what FROM book WHERE operation = $1 ORDER BY what", operation)
    return [row[0] for row in rows]


async def test_what_is_repeated_is_done_once_and_undone_once(pool: asyncpg.Pool) -> None:
    assert [await do(pool) for _ in range(3)] == [Doing.FIRST, Doing.AGAIN, Doing.AGAIN]
    assert [await undo(pool) for _ in range(3)] == [Undoing.NEEDED, Undoing.AGAIN, Undoing.AGAIN]
    assert await booked(pool) == ["done", "undone"]


@pytest.mark.fault(45)
async def test_what_never_came_needs_no_undoing_and_is_refused_when_it_comes(pool: asyncpg.Pool) -> None:
    assert [await undo(pool), await undo(pool)] == [Undoing.NOTHING, Undoing.NOTHING]
    assert [await do(pool), await do(pool)] == [Doing.LATE, Doing.LATE]
    assert await undo(pool) is Undoing.NOTHING
    assert await booked(pool) == []


@pytest.mark.fault(45)
async def test_what_was_undone_is_not_done_again(pool: asyncpg.Pool) -> None:
    await do(pool)
    await undo(pool)
    assert await do(pool) is Doing.LATE
    assert await booked(pool) == ["done", "undone"]


async def test_another_input_takes_the_place_of_what_was_done_with_an_earlier_one(pool: asyncpg.Pool) -> None:
    came = [0, 1, 1, 0, 3, 2, 3]
    verdicts = [Doing.FIRST, Doing.INSTEAD, Doing.AGAIN, Doing.LATE, Doing.INSTEAD, Doing.LATE, Doing.AGAIN]
    assert [await do(pool, generation=generation) for generation in came] == verdicts
    assert await booked(pool) == ["done"] * 3 + ["undone"] * 2
    assert await undo(pool) is Undoing.NEEDED
    assert [await do(pool, generation=generation) for generation in (0, 3, 4)] == [Doing.LATE] * 3
    assert await undo(pool) is Undoing.AGAIN


async def test_an_earlier_input_that_never_came_is_refused_when_a_later_one_was_done(pool: asyncpg.Pool) -> None:
    assert [await do(pool, generation=generation) for generation in (1, 0, 1)] == [Doing.FIRST, Doing.LATE, Doing.AGAIN]
    assert await booked(pool) == ["done"]


async def test_what_is_undone_before_it_came_is_refused_with_every_input(pool: asyncpg.Pool) -> None:
    assert await undo(pool) is Undoing.NOTHING
    assert [await do(pool, generation=generation) for generation in (1, 0, 2)] == [Doing.LATE] * 3
    assert await booked(pool) == []


async def test_a_transaction_that_is_rolled_back_leaves_no_mark(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        assert await Guard().done(connection, "s:charge") is Doing.FIRST
        await transaction.rollback()
    assert await do(pool) is Doing.FIRST


async def test_who_comes_meanwhile_waits_and_is_told_the_truth(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        async with connection.transaction():
            assert await Guard().undone(connection, "s:charge") is Undoing.NOTHING
            late = asyncio.create_task(do(pool))
            await asyncio.sleep(0.1)
            assert not late.done()
        assert await late is Doing.LATE
    assert await booked(pool) == []


@pytest.mark.fault(45)
async def test_however_they_meet_the_books_are_right(pool: asyncpg.Pool) -> None:
    """Requests to do and to undo the same things, many at once and in any order: done and not undone never stays."""
    draw = random.Random(7)
    operations = [f"s:{number}" for number in range(100)]
    doing = [do(pool, operation, generation) for operation in operations for generation in (0, 0, 1, 1)]
    calls = [*doing, *(undo(pool, operation) for operation in operations * 2)]
    draw.shuffle(calls)
    await asyncio.gather(*calls)
    for operation in operations:
        assert await booked(pool, operation) in ([], ["done", "undone"], ["done", "done", "undone", "undone"])


async def test_operations_do_not_know_each_other(pool: asyncpg.Pool) -> None:
    await undo(pool, "s:charge")
    assert await do(pool, "s:reserve") is Doing.FIRST


async def test_it_lives_where_the_service_says(empty_dsn: str) -> None:
    connection = await asyncpg.connect(empty_dsn)
    try:
        await connection.execute('CREATE SCHEMA "Shop"')
        guard = Guard("Shop")
        await guard.create(connection)
        await guard.create(connection)
        async with connection.transaction():
            assert await guard.done(connection, "s:charge") is Doing.FIRST
        assert await connection.fetchval('SELECT count(*) FROM "Shop".saga_guard') == 1
    finally:
        await connection.close()


async def test_outside_of_a_transaction_it_is_refused(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        for call in (Guard().done, Guard().undone):
            with pytest.raises(SagaStateError, match="outside of a transaction") as refused:
                await call(connection, "s:charge")
            assert "connection.transaction()" in str(refused.value)


@pytest.mark.parametrize("schema", ["public", "nowhere"])
async def test_a_missing_table_is_told(empty_dsn: str, schema: str) -> None:
    connection = await asyncpg.connect(empty_dsn)
    try:
        for call in (Guard(schema).done, Guard(schema).undone):
            with pytest.raises(StoreRefusedError, match="not where it is looked for") as refused:
                async with connection.transaction():
                    await call(connection, "s:charge")
            assert "guard.create" in str(refused.value)
        with pytest.raises(StoreRefusedError, match="not where it is looked for"):
            await Guard("nowhere").create(connection)
    finally:
        await connection.close()


async def test_a_transaction_that_can_do_nothing_any_more_is_told(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        with pytest.raises(asyncpg.DivisionByZeroError):
            await connection.execute("SELECT 1 / 0")
        with pytest.raises(StoreError, match="is aborted already"):
            await Guard().done(connection, "s:charge")
        await transaction.rollback()
        with pytest.raises(StoreRefusedError, match="is read-only"):
            async with connection.transaction(readonly=True):
                await Guard().undone(connection, "s:charge")


async def test_a_statement_that_is_given_up_is_told_as_one_to_repeat(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as first, pool.acquire() as second, first.transaction():
        await Guard().done(first, "s:charge")
        await second.execute("SET lock_timeout = '10ms'")
        with pytest.raises(StoreUnavailableError, match="gave the guard's statement up") as refused:
            async with second.transaction():
                await Guard().done(second, "s:charge")
        assert isinstance(refused.value.__cause__, asyncpg.LockNotAvailableError)
        assert "do all of it again" in str(refused.value)


async def test_a_missing_right_is_told(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        await connection.execute("CREATE ROLE guarded_nobody")
        await connection.execute("SET ROLE guarded_nobody")
        try:
            with pytest.raises(StoreRefusedError, match="denies this role") as refused:
                async with connection.transaction():
                    await Guard().done(connection, "s:charge")
            assert "GRANT" in str(refused.value)
        finally:
            await connection.execute("RESET ROLE")
            await connection.execute("DROP ROLE guarded_nobody")


@pytest.mark.parametrize("operation", ["", "x" * 513, "a\x00b", 7, None])
async def test_what_is_no_operation_is_refused(pool: asyncpg.Pool, operation: Any) -> None:
    async with pool.acquire() as connection, connection.transaction():
        with pytest.raises(SagaDefinitionError, match="an operation is a text") as refused:
            await Guard().done(connection, operation)
    assert "StepContext.operation" in str(refused.value)


@pytest.mark.parametrize("generation", [-1, True, 1.5, "1", 2**31, None])
async def test_what_is_no_generation_is_refused(pool: asyncpg.Pool, generation: Any) -> None:
    async with pool.acquire() as connection, connection.transaction():
        with pytest.raises(SagaDefinitionError, match="a generation is a whole number") as refused:
            await Guard().done(connection, "s:charge", generation)
    assert "StepContext.generation" in str(refused.value)


@pytest.mark.parametrize("schema", ["", "a;b", "pg_shop", "x" * 64])
def test_what_is_no_schema_is_refused(schema: str) -> None:
    with pytest.raises(SagaDefinitionError, match="schema name"):
        Guard(schema)


async def test_its_table_can_be_made_from_what_the_command_prints(
    empty_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    connection = await asyncpg.connect(empty_dsn)
    try:
        await connection.execute("CREATE SCHEMA bank")
        assert print_table(["--print", "--schema", "bank"]) == 0
        await connection.execute(capsys.readouterr().out)
        async with connection.transaction():
            assert await Guard("bank").done(connection, "s:charge") is Doing.FIRST
        await Guard("bank").create(connection)  # it is there
    finally:
        await connection.close()


def test_the_command_refuses_what_can_be_no_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert print_table(["--print", "--schema", ""]) == 2
    assert capsys.readouterr().err
