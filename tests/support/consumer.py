"""A project of a user's: the wheel, installed into an environment that has what it requires and nothing more.

What it requires is copied from the environment of the tests, so that no test needs a network. Everything is made once a
test run, by whichever xdist worker asks first.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[2]


@final
class Consumer:
    """The folder of that project: `.venv`, `dist` and whatever tests write there."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.python = home / ".venv" / "bin" / "python"
        self.site = Path(sysconfig.get_path("purelib", vars={"base": str(home / ".venv")}))

    @property
    def wheel(self) -> Path:
        """The wheel as it was built."""
        (wheel,) = (self.home / "dist").glob("*.whl")
        return wheel

    @property
    def distribution(self) -> metadata.Distribution:
        """saga-fn as it is installed here."""
        (found,) = metadata.distributions(name="saga-fn", path=[str(self.site)])
        return found

    def once(self, name: str, make: Callable[[], str]) -> str:
        """What `make` gives; it is called by one process of the test run only."""
        made = self.home / f"{name}.made"
        with (self.home / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                made.write_text(make())
        return made.read_text()

    def run(self, *command: str | Path, fails: int = 0) -> str:
        """What a command prints, run in the project's folder with nothing that leads back to this checkout."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MYPY"))}
        inherited["VIRTUAL_ENV"] = str(self.home / ".venv")
        inherited["PATH"] = f"{self.python.parent}:{inherited.get('PATH', os.defpath)}"
        done = subprocess.run(
            [str(part) for part in command], cwd=self.home, capture_output=True, text=True, check=False, env=inherited
        )
        assert done.returncode in (0, fails), done.stdout + done.stderr
        return done.stdout

    def run_program(self, program: str) -> str:
        """What a program prints that was written to a file of the project."""
        script = self.home / f"program_{os.getpid()}.py"
        script.write_text(program)
        return self.run(self.python, "-I", "-W", "error", script)

    def copy_installed(self, name: str, site: Path) -> None:
        """Copy a distribution from the environment of the tests."""
        distribution = metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or [] if file.parts[0] not in ("..", "__pycache__")}:
            source = Path(str(distribution.locate_file(top)))
            if source.is_dir():
                shutil.copytree(source, site / top)
            else:
                shutil.copy(source, site / top)

    def make(self) -> str:
        """Build the wheel and install it."""
        dist = self.home / "dist"
        self.run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", dist, PROJECT)
        venv.create(self.home / ".venv", symlinks=True)
        install = ("install", "--quiet", "--no-deps", "--no-index", self.wheel)
        self.run(sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", self.python, *install)
        for required in _required(self.distribution):
            self.copy_installed(required, self.site)
        return "made"


def _required(distribution: metadata.Distribution) -> Iterator[str]:
    """The names of all that a distribution requires without extras, directly or not."""
    waiting, seen = [distribution], set[str]()
    while waiting:
        for text in waiting.pop().requires or []:
            requirement = Requirement(text)
            name = canonicalize_name(requirement.name)
            if name not in seen and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
                seen.add(name)
                waiting.append(metadata.distribution(name))
                yield name


@pytest.fixture(scope="session")
def consumer(tmp_path_factory: pytest.TempPathFactory) -> Consumer:
    """A project that has installed the wheel."""
    base = tmp_path_factory.getbasetemp()
    home = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "consumer"
    home.mkdir(exist_ok=True)
    project = Consumer(home)
    project.once("installed", project.make)
    return project
