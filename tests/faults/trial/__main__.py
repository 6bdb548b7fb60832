"""Trials by hand: `python -m tests.faults.trial --faults 5,7 --cells 18,15-pgbouncer`; without arguments all of them.

Several are tried at once, each in a process of its own with a server of its own. It prints a line for each trial, a line for each
thing that is not as it must be, and a table at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import asyncpg
import attrs

from saga_fn.embedded import EmbeddedPostgres
from tests.faults.trial.catalogue import FAULTS
from tests.faults.trial.cells import CELLS, Cell
from tests.faults.trial.figures import ANSWERS, Figures, Lacking, Outcome, table
from tests.faults.trial.happen import LONG, TRIALS
from tests.faults.trial.template import template
from tests.support.servers import SETTINGS

AT_ONCE: Final = 3
"""Trials at the same time: each waits most of its time, and takes about a third of a processor."""
LONGEST: Final = 240 + 10 * LONG
"""Seconds after which a trial is ended that does not end by itself."""
_TOLD: Final = 200
"""Lines of what a trial has logged that found something."""


@attrs.define
class Command:
    """One run of the command: its trials, and what came of those that have ended."""

    left: Iterator[tuple[int, Cell]]
    books: EmbeddedPostgres
    homes: Mapping[int, Path]
    """By version, see `template`."""
    found: list[Figures] = attrs.field(factory=list[Figures])
    wrong: int = 0

    async def try_all(self) -> None:
        """Take the next trial, as long as there is one; several tasks do so."""
        for number, cell in self.left:
            await self._try(number, cell)

    async def _try(self, number: int, cell: Cell) -> None:
        code, said, logged = await self._process(number, cell)
        name = f"{number} in {cell.name}"
        if code != 0:
            self.wrong += 1
            print(f"FOUND {name}: it ended with code {code}\n{_last(logged)}", flush=True)
            return
        match ANSWERS.decode(said.splitlines()[-1]):
            case Lacking(reason=reason):
                print(f"{name}: left out, {reason}", flush=True)
            case Outcome(figures=figures, wrong=wrong):
                self.found.append(figures)
                self.wrong += len(wrong)
                print("\n".join([f"{name}: {figures}", *(f"FOUND {name}: {line}" for line in wrong)]), flush=True)
                if wrong:
                    print(_last(logged), flush=True)

    async def _process(self, number: int, cell: Cell) -> tuple[int | None, bytes, bytes]:
        """Its exit code, its output and its log; the code is None if it did not end in time."""
        books = f"books_{number}_{cell.version}_{int(cell.pooled)}"
        await _database(self.books.dsn, books)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.faults.trial.one", str(number), cell.name),
            *(self.books.dsn_of(books), str(self.homes[cell.version])),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        talk = asyncio.create_task(process.communicate())
        try:
            await asyncio.wait([talk], timeout=LONGEST)
            late = not talk.done()
        finally:
            with contextlib.suppress(ProcessLookupError):  # its workers as well; its servers see that it is gone
                os.killpg(process.pid, signal.SIGKILL)
        said, logged = await talk
        return None if late else process.returncode, said, logged


async def run(chosen: list[tuple[int, Cell]], at_once: int) -> Command:
    """Try the chosen ones."""
    async with AsyncExitStack() as stack:
        books = await stack.enter_async_context(EmbeddedPostgres(settings=SETTINGS))
        versions = {cell.version: cell for _, cell in chosen}
        homes = {version: await stack.enter_async_context(template(cell)) for version, cell in versions.items()}
        command = Command(iter(chosen), books, homes)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(at_once):
                tasks.create_task(command.try_all())
        return command


def main() -> int:
    """Try them; 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.trial", description=__doc__)
    names = ",".join(cell.name for cell in CELLS)
    parser.add_argument("--faults", default=",".join(map(str, TRIALS)), help="by number (default: all)")
    parser.add_argument("--cells", default=names, help=f"default: {names}")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help=f"trials at the same time (default: {AT_ONCE})")
    given = parser.parse_args()
    cells = [cell for cell in CELLS if cell.name in given.cells.split(",")]
    numbers = [int(number) for number in given.faults.split(",")]
    chosen = [(number, cell) for cell in cells for number in numbers if cell in FAULTS[number].cells()]
    began = time.monotonic()
    command = asyncio.run(run(chosen, given.at_once))
    print(table(command.found))
    minutes = (time.monotonic() - began) / 60
    print(f"{command.wrong} things found in {len(chosen)} trials, {given.at_once} at once, in {minutes:.0f} minutes")
    return 1 if command.wrong else 0


def _last(logged: bytes) -> str:
    return "\n".join(f"    {line}" for line in logged.decode(errors="replace").splitlines()[-_TOLD:])


async def _database(dsn: str, name: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 STRATEGY file_copy")
    finally:
        await connection.close()


if __name__ == "__main__":
    sys.exit(main())
