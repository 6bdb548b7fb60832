"""One trial in a process of its own: `python -m tests.faults.trial.one FAULT CELL BOOKS_DSN HOME`.

The last line of its output is its `Answer` as JSON. Everything else that it says goes to standard error.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec
from _pytest.outcomes import OutcomeException

from tests.faults.trial.cells import CELLS
from tests.faults.trial.figures import Answer, Lacking
from tests.faults.trial.happen import TRIALS
from tests.faults.trial.run import try_out


def main() -> None:
    """Try it."""
    number, name, books_dsn, home = sys.argv[1:]
    cell = next(cell for cell in CELLS if cell.name == name)
    answer: Answer
    try:
        answer = asyncio.run(try_out(TRIALS[int(number)], cell, books_dsn, Path(home)))
    except OutcomeException as lacking:
        answer = Lacking(str(lacking))
    print(msgspec.json.encode(answer).decode(), flush=True)


if __name__ == "__main__":
    main()
