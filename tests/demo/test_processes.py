from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from saga_fn.demo import processes
from saga_fn.demo.processes import ChildDiedError, child
from tests.support.until import SOON


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of modules that children can run."""
    folder = tmp_path / "programs"
    folder.mkdir()
    (folder / "sleeper.py").write_text("import time\ntime.sleep(60)\n")
    (folder / "failing.py").write_text("print('reading the tea leaves')\nraise SystemExit('no tea')\n")
    (folder / "stubborn.py").write_text(
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('deaf', flush=True)\ntime.sleep(60)\n"
    )
    (folder / "orphan.py").write_text(
        "import time\nfrom saga_fn.demo.processes import stop_with_parent\nstop_with_parent()\ntime.sleep(60)\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{Path.cwd()}")
    return folder


async def test_a_child_is_stopped_when_its_context_ends(programs: Path, tmp_path: Path) -> None:
    async with child("sleeper", "sleeper", [], environment={}, log_folder=tmp_path) as started:
        assert psutil.pid_exists(started.pid)
    assert not psutil.pid_exists(started.pid)


async def test_a_child_that_ignores_sigterm_is_killed(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "STOP_TIMEOUT", 0.2)
    async with child("stubborn", "stubborn", [], environment={}, log_folder=tmp_path) as started:
        async with asyncio.timeout(10):
            while "deaf" not in (tmp_path / "stubborn.log").read_text():
                await asyncio.sleep(0.02)
    assert not psutil.pid_exists(started.pid)


async def test_a_child_that_dies_by_itself_is_reported_with_its_log(programs: Path, tmp_path: Path) -> None:
    async with child("oracle", "failing", [], environment={}, log_folder=tmp_path) as started:
        with pytest.raises(
            ChildDiedError, match=r"oracle \(pid \d+\) ended with code 1; its log:\nreading the tea leaves\nno tea"
        ):
            await started.watch()


async def test_a_child_that_was_killed_is_not(programs: Path, tmp_path: Path) -> None:
    async with child("sleeper", "sleeper", [], environment={}, log_folder=tmp_path) as started:
        started.kill()
        await started.watch()
        assert not psutil.pid_exists(started.pid)


def test_a_child_does_not_outlive_a_parent_that_is_killed(programs: Path) -> None:
    with subprocess.Popen([sys.executable, "-m", "orphan"], stdin=subprocess.PIPE) as orphan:
        assert orphan.stdin is not None
        orphan.stdin.close()  # what the system does when the parent dies
        assert orphan.wait(timeout=SOON) == -signal.SIGTERM
