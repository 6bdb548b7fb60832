"""A test that hangs for good ends its process; see `tests/support/hang.py`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SWALLOWS = """
import time

def test_it():
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass
"""
IN_ITS_TEARDOWN = """
import pytest, threading

@pytest.fixture
def shared():
    yield
    threading.Event().wait()

def test_it(shared):
    threading.Event().wait()
"""
IN_A_TASK = """
import asyncio

async def for_ever():
    while True:
        try:
            await asyncio.Event().wait()
        except BaseException:
            pass

def test_it():
    asyncio.run(for_ever())
"""
AFTER_THE_LAST = """
import threading

def test_it():
    threading.Thread(target=threading.Event().wait).start()
"""
TELLS = """
from pathlib import Path
from tests.support.hang import GUARD

def pytest_unconfigure(config):
    timer = config.stash[GUARD].timer
    may_wait = timer is None or timer.finished.is_set()
    who = "worker" if hasattr(config, "workerinput") else "controller"
    (Path(__file__).parent / who).write_text("may wait" if may_wait else "has to end")
"""


def hung(folder: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_one.py").write_text(program, encoding="utf-8")
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "tests.support.hang", "-p", "no:cacheprovider", "--rootdir", str(folder)),
            *("-o", "timeout=1", "-o", "hang_grace=10", *arguments, str(folder / "test_one.py")),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize(
    "program, stack",
    [
        pytest.param(SWALLOWS, "in test_it", id="it swallows its time-out"),
        pytest.param(IN_ITS_TEARDOWN, "in shared", id="it hangs once more in its teardown"),
        pytest.param(IN_A_TASK, "in for_ever", id="a task of its swallows that it is cancelled"),
    ],
)
def test_a_test_that_hangs_is_named_with_its_stack(tmp_path: Path, program: str, stack: str) -> None:
    ended = hung(tmp_path, program)
    assert ended.returncode == 1
    assert "HANGS: test_one.py::test_it" in ended.stderr
    assert stack in ended.stderr


def test_a_process_that_does_not_end_after_its_last_test_is_ended(tmp_path: Path) -> None:
    ended = hung(tmp_path, AFTER_THE_LAST)
    assert ended.returncode == 1
    assert "HANGS: the end of the process" in ended.stderr


def test_the_other_tests_go_on_in_another_worker(tmp_path: Path) -> None:
    ended = hung(tmp_path, f"{SWALLOWS}\ndef test_other():\n    pass\n", "-n", "1")
    assert ended.returncode == 1
    assert "crashed while running 'test_one.py::test_it'" in ended.stdout
    assert "HANGS: test_one.py::test_it" in ended.stderr
    assert "1 failed, 1 passed" in ended.stdout


def test_a_worker_that_has_no_test_left_may_wait_for_the_others(tmp_path: Path) -> None:
    """The one that started it ends it; that one has to end of itself."""
    (tmp_path / "conftest.py").write_text(TELLS, encoding="utf-8")
    ended = hung(tmp_path, "def test_it():\n    pass\n", "-n", "1", "-o", "timeout=60", "-o", "hang_grace=60")
    assert ended.returncode == 0
    told = {who: (tmp_path / who).read_text("utf-8") for who in ("worker", "controller")}
    assert told == {"worker": "may wait", "controller": "has to end"}
