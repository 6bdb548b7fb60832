"""What no transactional step can be, and what no other step has."""

from __future__ import annotations

from saga_fn import Done, NotDone, StepContext, TransactionalContext, step
from tests.typing.shop import Reserved, ReserveInput


async def book(inp: ReserveInput, ctx: TransactionalContext) -> Reserved:
    return Reserved(inp.order_id)


async def find(inp: ReserveInput) -> Done[Reserved] | NotDone:
    return Done(Reserved(inp.order_id))


async def plain(inp: ReserveInput, ctx: StepContext) -> Reserved:
    # refused: attr-defined | reportAttributeAccessIssue
    ctx.connection
    return Reserved(inp.order_id)


# refused: arg-type | reportArgumentType
step(book)
# refused: call-overload | reportCallIssue
step(book, transactional=True, probe=find)
# refused: call-overload | reportCallIssue
step(book, transactional=True, on_unknown="park")
# refused: call-overload | reportArgumentType
step(book, transactional=True, isolation="chaos")
