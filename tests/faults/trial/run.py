"""One trial: a stand is made, a load begins, the fault happens, all is calm again, and everything is judged."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import asyncpg
import attrs

from saga_fn import SagaOrchestrator
from saga_fn.embedded import EmbeddedPostgres
from tests.faults.ledger import TABLES, Ledger
from tests.faults.processes import processes
from tests.faults.trial.catalogue import FAULTS
from tests.faults.trial.cells import Cell
from tests.faults.trial.figures import Outcome
from tests.faults.trial.shim import Shim
from tests.faults.trial.stand import PROGRAM, WORKERS, Needs, Stand
from tests.faults.trial.template import copied
from tests.faults.trial.unfinished import tell
from tests.faults.trial.work import Trials
from tests.store.pooler import pooler
from tests.support.servers import SETTINGS, folder_in_memory
from tests.support.wire import wired

Happens: TypeAlias = Callable[[Stand], Awaitable[None]]
"""A function that brings a fault about, and returns when it is over."""


@attrs.frozen
class Trial:
    """How a fault is tried."""

    fault: int
    happens: Happens
    needs: Needs


async def try_out(trial: Trial, cell: Cell, books_dsn: str, home: Path) -> Outcome:
    """Let the fault happen under load, in that cell; `books_dsn` is an empty database elsewhere, `home` the `template`."""
    began = time.monotonic()
    async with _stand(trial.needs, cell, books_dsn, home) as stand:
        for _ in range(WORKERS):
            stand.worker()
        watching, loading = asyncio.create_task(stand.watch()), asyncio.create_task(stand.load())
        try:
            await stand.ended()
            await trial.happens(stand)
            await stand.calm()
            await stand.ended()
            stand.over.set()
            await loading
            if FAULTS[trial.fault].loses:
                await stand.send_again()
            if orphans := await stand.settled():
                await tell(stand)
        except Exception:
            await tell(stand)
            raise
        finally:
            for task in (watching, loading):
                task.cancel()
            await asyncio.wait([watching, loading])
        outcome = await stand.judge(trial.fault, orphans, time.monotonic() - began)
    outcome.figures.record()
    return outcome


@asynccontextmanager
async def _stand(needs: Needs, cell: Cell, books_dsn: str, home: Path) -> AsyncGenerator[Stand]:
    folder = Path(tempfile.mkdtemp(prefix="saga-fn-fault-", dir=folder_in_memory()))
    folder.chmod(0o755)  # the server may run as another user
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        shim, bin_dir = None, cell.bin_dir
        if needs.shim:
            shim = Shim(folder)
            (folder / "programs").mkdir()
            bin_dir = shim.programs(folder / "programs", bin_dir)
        await asyncio.to_thread(copied, home, folder / "data")
        server = EmbeddedPostgres(folder / "data", bin_dir=bin_dir, settings={**SETTINGS, **needs.settings})
        await stack.enter_async_context(server)
        back = await stack.enter_async_context(wired(server.dsn))
        front, pool_server = back, None
        if cell.pooled:
            pool_server = await stack.enter_async_context(pooler(back.dsn))
            front = await stack.enter_async_context(wired(pool_server.dsn))
        books = await stack.enter_async_context(asyncpg.create_pool(books_dsn, min_size=1, max_size=3))
        await books.execute(TABLES)
        begun = stack.enter_context(processes(PROGRAM, front.dsn))
        orchestrator = SagaOrchestrator(
            front.dsn, concurrency=0, pool_size=4, statement_cache_size=0 if cell.pooled else None, listen=False
        )
        await stack.enter_async_context(orchestrator)
        stand = Stand(
            cell=cell,
            needs=needs,
            server=server,
            front=front,
            back=back,
            pool_server=pool_server,
            books=books,
            books_dsn=books_dsn,
            folder=folder,
            processes=begun,
            orchestrator=orchestrator,
            sagas=Trials(orchestrator, Ledger(books)),
            shim=shim,
            dsn=server.dsn,
            stack=stack,
        )
        stack.callback(stand.end)
        yield stand
