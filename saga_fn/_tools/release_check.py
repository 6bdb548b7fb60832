"""Build wheel and sdist, install each bare on every Python there is, and run the quick start from it.

    make release-check

Every Python from 3.11 on counts that the PATH or pyenv has.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from saga_fn._tools.pythons import pythons

ROOT = Path(__file__).parents[2]
EXPECTED = "Payment(payment_id='payment-for-reservation-of-order-123')"
# A service needs beside its own code: the schema, its rights, and the guard's table. Each of these prints SQL.
PRINTED = (
    ("-m", "saga_fn.store.migrate", "--print"),
    ("-m", "saga_fn.guard", "--print"),
)


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run the command, and give what it prints; ends the program where it fails."""
    print("+", *command, flush=True)
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}\nexit code {done.returncode}")
    return done.stdout


def quick_start() -> str:
    """The program on the page of that name."""
    block = re.search(r"```python\n(.*?)```", (ROOT / "docs/quick-start.md").read_text("utf-8"), re.DOTALL)
    if block is None:
        sys.exit("docs/quick-start.md has no program")
    return block[1]


def try_out(python: Path, distribution: Path, place: Path) -> None:
    """Install it in an environment of its own, without anything else, and run the quick start there."""
    run(python, "-m", "venv", place)
    installed = place / "bin/python"
    run(installed, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", distribution)
    program = place / "quick_start.py"
    program.write_text(quick_start(), "utf-8")
    printed = run(installed, program, cwd=place)
    if printed.strip() != EXPECTED:
        sys.exit(f"the quick start printed {printed!r}")
    for command in PRINTED:
        if "CREATE TABLE" not in run(installed, *command, cwd=place):
            sys.exit(f"{' '.join(command)} printed no table")


def main() -> None:
    """Try every distribution on every Python."""
    found = pythons()
    if not found:
        sys.exit("no Python from 3.11 on can make virtual environments")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        run(sys.executable, "-m", "build", "--outdir", made / "dist", ROOT)
        for distribution in sorted((made / "dist").iterdir()):
            for version, python in found.items():
                try_out(python, distribution, made / f"{version}-{distribution.suffix[1:]}")
    print(f"wheel and sdist work bare on Python {', '.join(found)}")


if __name__ == "__main__":
    main()
