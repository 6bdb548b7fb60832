"""Take each guard of the statements away in turn; some test has to fail: `python -m tests.mutation`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from tests.mutation.sql_guards import SQL

ROOT: Final = Path(__file__).parents[2]
_TESTS_FAILED: Final = 1
"""The exit code of pytest if tests have failed, and nothing else was wrong."""


def survives(number: int, tests: tuple[str, ...] | None = None) -> str | None:
    """The end of what pytest says if no test has failed without that guard, or if it could not run; else None."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-n",
        "0",
        "-p",
        "tests.mutation.plugin",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(
        [*command, *(f"tests/{file}" for file in tests or SQL[number].tests)],
        env={**os.environ, "SAGA_FN_MUTANT": str(number)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    is_sql = not any(said in done.stdout for said in ("syntax error", "could not determine", "PostgresSyntaxError"))
    killed = done.returncode == _TESTS_FAILED and is_sql
    return None if killed else done.stdout[-800:] + done.stderr[-800:]


def main() -> int:
    """Try them; 1 if one survives."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--only", type=int, nargs="*", help="the numbers of some of them")
    given = parser.parse_args()
    survivors: list[str] = []
    chosen = range(len(SQL)) if given.only is None else given.only
    for number in chosen:
        began = time.monotonic()
        left = survives(number)
        word = "found out" if left is None else "SURVIVES"
        print(f"{number:3} {word:9} {time.monotonic() - began:5.1f} s  {SQL[number].name}", flush=True)
        if left is not None:
            survivors.append(left)
    print(*survivors, sep="\n")
    print(f"{len(chosen)} guards taken away, {len(chosen) - len(survivors)} found out")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
