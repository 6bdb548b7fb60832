"""Every Python from 3.11 on that the PATH or pyenv has: `python -m saga_fn._tools.pythons` prints versions and paths."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

MINORS = range(11, 15)


def pythons() -> dict[str, Path]:
    """Every Python there is, by its version."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found: dict[str, Path] = {}
    for minor in MINORS:
        named = shutil.which(f"python3.{minor}")
        on_path = [] if named is None else [Path(named)]
        for candidate in [*on_path, *sorted(versions.glob(f"3.{minor}.*/bin/python"))]:
            told = subprocess.run(
                [candidate, "-c", "import ensurepip, sys; print('%d.%d' % sys.version_info[:2])"],
                capture_output=True,
                text=True,
                check=False,
            )
            if told.returncode == 0 and told.stdout.strip() == f"3.{minor}":
                found.setdefault(f"3.{minor}", candidate)
    return found


if __name__ == "__main__":
    for each, executable in pythons().items():
        print(each, executable)
