"""Transactional steps: the connection of their transaction is typed, in each spelling."""

from __future__ import annotations

from datetime import timedelta
from typing import assert_type

from returns.result import Failure, Result, Success
from typing_extensions import override

from saga_fn import (
    SagaBuilder,
    Step,
    StepContext,
    StepRef,
    TransactionalContext,
    TransactionalStep,
    saga,
    step,
)
from tests.typing.shop import Reserved, ReserveInput, release


async def do_book(inp: ReserveInput, ctx: TransactionalContext) -> Reserved:
    assert id(ctx.connection)
    return Reserved(ctx.idempotency_key)


async def try_book(inp: ReserveInput, ctx: TransactionalContext) -> Result[Reserved, KeyError]:
    return Success(Reserved(inp.order_id)) if inp.order_id else Failure(KeyError())


async def unbook(inp: ReserveInput, out: Reserved, ctx: TransactionalContext) -> None:
    assert id(ctx.connection)


async def unbook_perhaps(inp: ReserveInput, out: Reserved | None, ctx: TransactionalContext) -> None: ...


assert_type(step(do_book, transactional=True), Step[ReserveInput, Reserved])
assert_type(step(try_book, transactional=True), Step[ReserveInput, Reserved])
assert_type(step(do_book, transactional=True, compensate=unbook), Step[ReserveInput, Reserved])
assert_type(step(do_book, transactional=True, compensate=release), Step[ReserveInput, Reserved])
assert_type(step(do_book, transactional=True, compensate=unbook_perhaps), Step[ReserveInput, Reserved])
assert_type(
    step(do_book, transactional=True, isolation="serializable", timeout=timedelta(seconds=5)),
    Step[ReserveInput, Reserved],
)


@step(transactional=True)
async def book(inp: ReserveInput, ctx: TransactionalContext) -> Reserved:
    return Reserved(inp.order_id)


@step(transactional=True, compensate=unbook)
async def book_undone(inp: ReserveInput, ctx: TransactionalContext) -> Reserved:
    return Reserved(inp.order_id)


@step(transactional=True, compensate=unbook_perhaps)
async def book_undone_perhaps(inp: ReserveInput, ctx: TransactionalContext) -> Reserved:
    return Reserved(inp.order_id)


@step(compensate=unbook)
async def call(inp: ReserveInput, ctx: StepContext) -> Reserved:
    """A step that is not transactional, with a compensation that is."""
    return Reserved(inp.order_id)


class Book(TransactionalStep[ReserveInput, Reserved]):
    @override
    async def execute(self, inp: ReserveInput, ctx: TransactionalContext, /) -> Reserved:
        return Reserved(inp.order_id)

    @override
    async def compensate(self, inp: ReserveInput, out: Reserved, ctx: TransactionalContext, /) -> None: ...


assert_type(book, Step[ReserveInput, Reserved])
assert_type(book_undone, Step[ReserveInput, Reserved])
assert_type(book_undone_perhaps, Step[ReserveInput, Reserved])
assert_type(call, Step[ReserveInput, Reserved])
assert_type(step(Book(), isolation="repeatable_read", timeout=timedelta(seconds=5)), Step[ReserveInput, Reserved])


@saga("booking")
def booking(inp: StepRef[ReserveInput]) -> StepRef[Reserved]:
    return book(inp, isolation="read_committed")


builder = SagaBuilder(ReserveInput)
assert_type(builder.add_step(book_undone, depends_on=builder.initial), StepRef[Reserved])
assert_type(builder.add_step(Book(), depends_on=builder.initial, step_id="again"), StepRef[Reserved])
