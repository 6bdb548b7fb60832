"""A service that starts and sends in a transaction of its own, and dies: `python -m tests.faults.caller DSN POINT SAGA`.

It kills itself around its COMMIT: `before` it is sent, `in` it, or `after` its answer has come. Or it does so in one of the
statements by which it hands over what it has sent: `send`, `keep`, `hand_over`, `remove`. SAGA is the id of a saga that waits; another
one waits by KEY.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg

from saga_fn import SagaOrchestrator
from tests.faults.waiter import Answer, Start, answer, sleepy, waits

NAME: Final = "the caller"
"""By which the server shows its connection."""
TABLE: Final = "CREATE TABLE mine (what text)"
KEY: Final = "order-1"
STATEMENTS: Final = ("send", "keep", "hand_over", "remove")


async def _killed_in(statement: Callable[[], Awaitable[object]]) -> None:
    """Die while it is on its way: whether it is carried out is not known."""
    sending = asyncio.ensure_future(statement())
    await asyncio.sleep(0)
    await asyncio.sleep(0.0002)
    os.kill(os.getpid(), signal.SIGKILL)
    await sending


def die_in(orchestrator: SagaOrchestrator, name: str) -> None:
    """Kill this process in the statement of that name."""
    store = orchestrator.engine.store
    part = {"send": store, "remove": store.sent_events}.get(name, store.kept_events)
    statement = getattr(part, name)

    async def killed(*given: object, **named: object) -> None:
        await _killed_in(lambda: statement(*given, **named))

    setattr(part, name, killed)


async def main(dsn: str, point: str, saga: str) -> None:
    """Write a row, start a saga, and send two events, in one transaction; and die at that point."""
    orchestrator = SagaOrchestrator(dsn, concurrency=0, lease=timedelta(seconds=1))
    orchestrator.register(waits)
    handle = orchestrator.register(sleepy)
    async with orchestrator:
        connection = await asyncpg.connect(dsn, server_settings={"application_name": NAME})
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("INSERT INTO mine VALUES ('mine')")
        await handle.start(Start(), connection=connection)
        for target in (UUID(saga), ("waits", KEY)):
            await orchestrator.to(target, answer).send(Answer(7), event_id="m1", connection=connection)
        if point == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        if point == "in":
            await _killed_in(transaction.commit)
        if point in STATEMENTS:
            die_in(orchestrator, point)
        await transaction.commit()
        if point == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        await orchestrator.committed()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
