"""The paths that a saga may take, each as a definition and a way to lead many sagas along it.

This file and `path_load.py` use names alone that older commits have, too: `gate.py` runs them over two of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from saga_fn import (
    Event,
    SagaAdmin,
    SagaBuilder,
    SagaDefinition,
    SagaError,
    SagaHandle,
    SagaOrchestrator,
    SagaRun,
    step,
)

SENDERS = 200
OPERATORS = 16


class Data(msgspec.Struct, frozen=True):
    """Input and output of every step."""

    number: int = 0
    text: str = "x" * 200
    fails_at: int = 0


class Many(msgspec.Struct, frozen=True):
    """The list of a fan-out."""

    items: list[Data]


asked = Event("asked", Data)
Handle = SagaHandle[Any, Any]  # Any: each kind has types of its own
Runs = Sequence[SagaRun[Any]]


class Load(msgspec.Struct, frozen=True):
    """So many sagas of a kind at once, in a process with so many slots."""

    sagas: int
    in_flight: int
    slots: int
    ends: str = "outcome"
    """`outcome` or `result`: how the callers await the end."""
    straight: int = 0
    """The straight sagas beside them; 0: as many."""


async def work(given: Data) -> Data:
    """Return it."""
    if given.fails_at and given.fails_at == given.number:
        raise ValueError("no")
    return given


async def undo(given: Data, out: Data) -> None:
    """Undo nothing."""


Does = Callable[[Data], Coroutine[Any, Any, Data]]  # Any: a coroutine yields to its loop


def chain(steps: int = 3, *, does: Does = work) -> SagaDefinition[Data, Data]:
    """Steps one after another, each with an input that is computed."""
    builder = SagaBuilder(Data)
    ref = builder.initial
    for number in range(1, steps + 1):
        ref = builder.add_step(
            step(does, compensate=undo, step_id=f"step_{number}"),
            depends_on=ref,
            input_map=lambda given: Data(given.number + 1, given.text, given.fails_at),
        )
    return builder.build(output=ref)


def fan_out(*, beside: bool) -> SagaDefinition[Many, Any]:
    """A step for each item, four at once, and perhaps another one beside them."""
    builder = SagaBuilder(Many, order="graph")
    each = step(work, step_id="each").each(concurrency=4)
    builder.add_step(each, depends_on=builder.initial, input_map=lambda given: given.items)

    async def slow(_: Many) -> None:
        await asyncio.sleep(0.02)

    if beside:
        builder.add_step(step(slow, step_id="beside"), depends_on=builder.initial)
    return builder.build()


def waits() -> SagaDefinition[Data, Data]:
    """Wait for an event, then do something with it."""
    builder = SagaBuilder(Data)
    ref = builder.add_step(step(work, step_id="after"), depends_on=builder.add_event(asked, step_id="asked"))
    return builder.build(output=ref)


def one_after_another(load: Load, of: Callable[[], Awaitable[object]]) -> Awaitable[object]:
    """Call it as often as there are sagas, with so many calls in flight."""
    left = iter(range(load.sagas))

    async def some() -> None:
        for _ in left:
            await of()

    return asyncio.gather(*[some() for _ in range(load.in_flight)])


async def ended(load: Load, run: SagaRun[Any]) -> None:
    """Await the end as callers do."""
    if load.ends == "result":
        with contextlib.suppress(SagaError):  # a saga that was turned back has no result
            await run.result(300)
    else:
        await run.outcome(300)


async def started(load: Load, handle: Handle, data: object) -> None:
    """Start a saga and await its end, again and again."""

    async def one() -> None:
        await ended(load, await handle.start(data))

    await one_after_another(load, one)


async def suspended(load: Load, handle: Handle, *, keyed: bool) -> Runs:
    """Sagas that wait, and that no process owns."""
    key: Callable[[Data], str] | None = (lambda data: f"{load.sagas}-{data.number}") if keyed else None
    runs = await handle.start_many([Data(number) for number in range(load.sagas)], aggregation_id=key)
    for run in runs:
        while (await run.snapshot()).status.value == "RUNNING":
            await asyncio.sleep(0.01)
    return runs


async def shared(among: int, calls: Iterator[Awaitable[object]]) -> None:
    """Make these calls, so many at once."""

    async def some() -> None:
        for call in calls:
            await call

    await asyncio.gather(*[some() for _ in range(among)])


async def let_go(orchestrator: SagaOrchestrator) -> None:
    """Return when this process has held no saga for a moment: callers who await the ends would ask for each."""
    quiet = 0
    while quiet < 5:
        await asyncio.sleep(0.01)
        quiet = 0 if orchestrator.engine.held else quiet + 1


async def sent(load: Load, orchestrator: SagaOrchestrator, name: str, runs: Runs, *, keyed: bool) -> None:
    """Send each the event that it waits for, and let it go on to its end."""
    targets = [(name, f"{load.sagas}-{number}") if keyed else run.id for number, run in enumerate(runs)]
    await shared(SENDERS, (orchestrator.to(target, asked).send(Data(1)) for target in targets))
    await let_go(orchestrator)


async def skipped(load: Load, orchestrator: SagaOrchestrator, runs: Runs) -> None:
    """Skip what each waits for, as operators do, and let it go on to its end."""
    admin = SagaAdmin(orchestrator)
    await shared(OPERATORS, (admin.skip_step(run.id, "asked", Data(1)) for run in runs))
    await let_go(orchestrator)


async def aborted(load: Load, orchestrator: SagaOrchestrator, runs: Runs) -> None:
    """Abort each while it waits, as operators do."""
    admin = SagaAdmin(orchestrator)
    await shared(OPERATORS, (admin.abort(run.id) for run in runs))
    await let_go(orchestrator)


async def due_at_once(load: Load, handle: Handle) -> Runs:
    """Sagas that begin at one moment, which has come when this returns."""
    at = datetime.now(UTC) + timedelta(seconds=1 + load.sagas / 5000)
    runs = await handle.start_many([Data()] * load.sagas, delay=at - datetime.now(UTC))
    await asyncio.sleep(max(0.0, (at - datetime.now(UTC)).total_seconds()))
    return runs


async def left_by_a_dead_process(load: Load, dsn: str, schema: str, lease: float) -> None:
    """Have another process claim all that is due, and kill it; its leases are over when this returns."""
    program = "tests.bench.path_load"
    dead = await asyncio.create_subprocess_exec(
        sys.executable, "-m", program, "hang", dsn, schema, str(load.sagas), stdout=asyncio.subprocess.PIPE
    )
    assert dead.stdout is not None
    await dead.stdout.readline()
    os.kill(dead.pid, signal.SIGKILL)
    await dead.wait()
    await asyncio.sleep(lease)
