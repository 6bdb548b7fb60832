"""Trials by hand: `python -m tests.faults.trial --faults 5,7 --cells 18,15-pgbouncer`; without arguments all of them.

It prints a line for each trial, a line for each thing that is not as it must be, and a table at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

import asyncpg
from _pytest.outcomes import OutcomeException

from saga_fn.embedded import EmbeddedPostgres
from tests.faults.trial.catalogue import FAULTS
from tests.faults.trial.cells import CELLS
from tests.faults.trial.figures import Figures, table
from tests.faults.trial.happen import TRIALS
from tests.faults.trial.run import try_out
from tests.support.servers import SETTINGS


def main() -> int:
    """Try them; 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.trial", description=__doc__)
    names = ",".join(cell.name for cell in CELLS)
    parser.add_argument("--faults", default=",".join(map(str, TRIALS)), help="by number (default: all)")
    parser.add_argument("--cells", default=names, help=f"default: {names}")
    given = parser.parse_args()
    cells = [cell for cell in CELLS if cell.name in given.cells.split(",")]
    chosen = [(int(number), cell) for cell in cells for number in given.faults.split(",")]
    began, found, wrong = time.monotonic(), list[Figures](), 0
    with EmbeddedPostgres(settings=SETTINGS) as books:
        for number, cell in chosen:
            if cell not in FAULTS[number].cells():
                continue
            name = f"books_{number}_{cell.version}_{int(cell.pooled)}"
            try:
                asyncio.run(_database(books.dsn, name))
                outcome = asyncio.run(try_out(TRIALS[number], cell, books.dsn_of(name)))
            except OutcomeException as lacking:
                print(f"{number} in {cell.name}: left out, {lacking}", flush=True)
                continue
            except Exception as error:  # noqa: BLE001 - the others are tried all the same
                print(f"FOUND {number} in {cell.name}: {type(error).__name__}: {error}", flush=True)
                wrong += 1
                continue
            found.append(outcome.figures)
            wrong += len(outcome.wrong)
            print(f"{number} in {cell.name}: {outcome.figures}", flush=True)
            for line in outcome.wrong:
                print(f"FOUND {number} in {cell.name}: {line}", flush=True)
    print(table(found))
    print(f"{wrong} things found, in {(time.monotonic() - began) / 60:.0f} minutes")
    return 1 if wrong else 0


async def _database(dsn: str, name: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 STRATEGY file_copy")
    finally:
        await connection.close()


if __name__ == "__main__":
    sys.exit(main())
