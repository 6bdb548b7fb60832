"""A worker of the trials: `python -m tests.faults.trial.worker DSN GIVEN`, where GIVEN is JSON.

It works until SIGTERM, whatever becomes of the database meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from saga_fn import SagaOrchestrator, StoreUnavailableError
from saga_fn.store.protocol import Store
from saga_fn.store.records import ClaimedSaga
from tests.faults.death import die_at
from tests.faults.ledger import Ledger
from tests.faults.trial.work import LEASE, Trials

NO_DATABASE: Final = 3
"""The code that a worker ends with that could not even begin, for want of a database; it is begun again."""


class Given(msgspec.Struct, frozen=True):
    """The orders of a worker. It kills itself at `point`, see `tests.faults.death`; or waits there, if it is `takeover`."""

    books: str
    log: str
    pooled: bool = False
    listen_dsn: str | None = None
    lease: float = LEASE
    point: str = ""
    where: str = ":"
    plan: int = 1
    stop_timeout: float = 5.0


async def main(dsn: str, told: str) -> None:
    """Work; end with `NO_DATABASE` if there is none to begin with."""
    given = msgspec.json.decode(told, type=Given)
    log = os.open(given.log, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    os.dup2(log, 2)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s", force=True)
    async with asyncpg.create_pool(given.books, min_size=1, max_size=4) as books:
        orchestrator = SagaOrchestrator(
            dsn,
            concurrency=64,
            lease=timedelta(seconds=given.lease),
            poll_interval=timedelta(milliseconds=200),
            pool_size=2,
            stop_timeout=timedelta(seconds=given.stop_timeout),
            statement_cache_size=0 if given.pooled else None,
            listen_dsn=given.listen_dsn,
        )
        trials = Trials(orchestrator, Ledger(books))
        if given.plan == 2:
            trials.deploy()
        event, _, step_id = given.where.partition(":")
        if given.point == "takeover":
            _wait_in_takeover(orchestrator.engine.store, books)
        elif given.point:
            die_at(orchestrator.engine.store, given.point, event, step_id, 1)
        try:
            await orchestrator.run_forever()
        except StoreUnavailableError:
            sys.exit(NO_DATABASE)


def _wait_in_takeover(store: Store, books: asyncpg.Pool) -> None:
    """Say when sagas have been taken over, and use the claim when the trial says so."""
    claim_due = store.claim_due

    async def claim_and_wait(
        shard: int, definitions: Sequence[tuple[str, int]], *, owner: UUID, limit: int, lease: timedelta, **more: Any
    ) -> list[ClaimedSaga]:  # Any: whatever else a claim is asked
        claims = await claim_due(shard, definitions, owner=owner, limit=limit, lease=lease, **more)
        if claims and await books.fetchval("SELECT count(*) FROM released") == 0:
            await books.execute("INSERT INTO ledger (step, pid, phase) VALUES ('claimed', $1, 'wait')", os.getpid())
            while await books.fetchval("SELECT count(*) FROM released") == 0:
                await asyncio.sleep(0.02)
        return claims

    setattr(store, "claim_due", claim_and_wait)  # noqa: B010 - the store's class is final


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
