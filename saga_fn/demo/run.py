"""The choreography: services, workers, a few hundred orders, one murder, and the verdict."""

from __future__ import annotations

import asyncio
import socket
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from itertools import islice
from pathlib import Path
from typing import assert_never

import asyncpg
import attrs
import httpx

from saga_fn import (
    Compensated,
    Completed,
    Failed,
    SagaAdmin,
    SagaHandle,
    SagaOrchestrator,
    SagaResultTimeoutError,
    SagaRun,
)
from saga_fn.demo.audit import Ending, Finding, audit
from saga_fn.demo.cards import start_cards, thank_customer
from saga_fn.demo.console import show_console
from saga_fn.demo.display import Display, Tally
from saga_fn.demo.messages import Shipment
from saga_fn.demo.orders import Order
from saga_fn.demo.processes import Child
from saga_fn.demo.saga import make_fulfil_order
from saga_fn.demo.services.books import Books, Call
from saga_fn.demo.services.weather import Operation
from saga_fn.demo.stage import Stage
from saga_fn.demo.timeline import Kill, taken_over, timeline
from saga_fn.demo.worker import CONCURRENCY

END_TIMEOUT = 100.0
"""Seconds after which a saga that has not ended is reported as unfinished. A healthy run needs a fifth of it."""

OPEN_PER_WORKER = CONCURRENCY * 2
"""Orders come in as they are worked off: so many are open at a time, as those that wait are in no worker's hands."""


@attrs.frozen
class Options:
    """The choices on the command line."""

    seed: int = 1
    """The seed of the services' refusals, failures and delays."""
    workers: int = 2
    kill: bool = True
    """Whether one worker is killed when half of the sagas have ended."""
    console: bool = False
    """Whether the console is open at the end, until a key is pressed."""


async def run_demo(dsn: str, orders: Sequence[Order], options: Options, display: Display) -> tuple[Finding, ...]:
    """Fulfil these orders and audit the books. Returns what the audit finds: nothing, if all is well.

    Everything is kept in two schemas made for this run and dropped at its end. Raises ChildDiedError (in an
    ExceptionGroup) if a process dies that this program did not kill.
    """
    async with AsyncExitStack() as stack:
        schema = f"saga_fn_demo_{uuid.uuid4().hex[:8]}"
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="saga_fn_demo_logs_"))
        stage = Stage(dsn, schema=schema, books_schema=f"{schema}_books", log_folder=Path(folder))
        pool = await stack.enter_async_context(asyncpg.create_pool(dsn, min_size=1, max_size=2))
        books = Books(pool, stage.books_schema)
        stack.push_async_callback(pool.execute, f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        stack.push_async_callback(books.drop)
        await books.create()

        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"

        # This process only starts sagas and awaits their ends: with concurrency=0 it runs no step itself.
        orchestrator = SagaOrchestrator(dsn, schema=schema, migrate=True, concurrency=0)
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=url))
        fulfilment = orchestrator.register(make_fulfil_order(http))
        cards = orchestrator.register(thank_customer)
        await stack.enter_async_context(orchestrator)

        services = await stack.enter_async_context(stage.services(options.seed, listening))
        display.say(f"services: {url}, process {services.pid}")
        workers: list[Child] = []
        for number in range(1, options.workers + 1):
            workers.append(await stack.enter_async_context(stage.worker(number, url)))
            display.say(f"{workers[-1].name}: process {workers[-1].pid}")

        with display.progress(len(orders)) as tally:
            show = _Show(
                fulfilment,
                books,
                tally,
                room=asyncio.Semaphore(OPEN_PER_WORKER * len(workers)),
                half=(len(orders) + 1) // 2,
                victim=workers[0] if options.kill else None,
            )
            async with asyncio.TaskGroup() as group:
                watchers = [group.create_task(process.watch()) for process in (services, *workers)]
                await http.get("/ready", timeout=None)
                await show.fulfil(orders)
                for watcher in watchers:
                    watcher.cancel()

        display.outcomes(show.endings.values(), Counter(str(end.error) for end in show.unfulfilled.values()))
        entries, calls, notices = await books.entries(), await books.calls(), await books.notices()
        display.decisions(entries, notices)
        for title, order_id in _stories(show, calls):
            snapshot = await SagaAdmin(orchestrator).get_saga(show.runs[order_id].id)
            asked = [call for call in calls if call.order_id == order_id]
            told = [notice for notice in notices if notice.order_id == order_id]
            display.timeline(f"{title}: {order_id}", timeline(snapshot, asked, told, show.kill))
        findings = audit(entries, orders, show.endings)
        display.verdict(findings)
        if options.console:
            await start_cards(cards)
            await show_console(orchestrator, display)
        return findings


@attrs.define
class _Show:
    """The middle act: every order's saga is started and awaited, and half-way one worker is killed."""

    fulfilment: SagaHandle[Order, Shipment]
    books: Books
    tally: Tally
    room: asyncio.Semaphore
    """For sagas that have not ended."""
    half: int
    victim: Child | None
    kill: Kill | None = None
    runs: dict[str, SagaRun[Shipment]] = attrs.field(factory=dict[str, SagaRun[Shipment]])
    endings: dict[str, Ending] = attrs.field(factory=dict[str, Ending])
    unfulfilled: dict[str, Compensated | Failed] = attrs.field(factory=dict[str, Compensated | Failed])

    async def fulfil(self, orders: Sequence[Order]) -> None:
        """Start a saga for each order; returns when all have ended, or have had time enough."""
        async with asyncio.TaskGroup() as ends:
            for order in orders:
                await self.room.acquire()
                # The key makes a repeated start harmless: one order, one saga. Decisions find it by its business key.
                run = await self.fulfilment.start(order, idempotency_key=order.order_id, aggregation_id=order.order_id)
                self.runs[order.order_id] = run
                ends.create_task(self._await_end(order.order_id, run))

    async def _await_end(self, order_id: str, run: SagaRun[Shipment]) -> None:
        try:
            outcome = await run.outcome(timeout=END_TIMEOUT)
        except SagaResultTimeoutError:
            ending: Ending = "unfinished"
        else:
            match outcome:
                case Completed():
                    ending = "completed"
                case Compensated():
                    ending = "compensated"
                    self.unfulfilled[order_id] = outcome
                case Failed():
                    ending = "failed"
                    self.unfulfilled[order_id] = outcome
                case _:
                    assert_never(outcome)
        self.room.release()
        self.endings[order_id] = ending
        self.tally.count(ending)
        if self.victim is not None and self.tally.ended == self.half:
            await self._kill(self.victim)

    async def _kill(self, victim: Child) -> None:
        victim.kill()
        self.kill = Kill(victim.name, await self.books.now())
        self.tally.say(f"{victim.name} (process {victim.pid}) was killed with SIGKILL")


def _stories(show: _Show, calls: Sequence[Call]) -> Iterator[tuple[str, str]]:
    """The orders that are worth telling: a title and an order each."""
    asked: dict[str, list[Operation]] = {}
    for call in calls:
        if show.endings[call.order_id] == "compensated":
            asked.setdefault(call.order_id, []).append(call.operation)
    if asked:
        # The one that had the most to undo, told in the fewest words.
        yield (
            "A saga that was rolled back",
            max(asked, key=lambda order_id: (len(set(asked[order_id])), -len(asked[order_id]))),
        )
    in_vain = (each for each, end in show.unfulfilled.items() if end.failure and end.failure.type == "WaitTimeoutError")
    for order_id in islice(in_vain, 1):
        yield "A saga that waited in vain for a decision", order_id
    if show.kill is not None:
        for order_id in taken_over(calls, show.kill)[:1]:
            yield f"A saga that was taken over when {show.kill.worker} was killed", order_id
