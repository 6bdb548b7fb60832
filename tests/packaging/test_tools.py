"""A test that lacks a program is left out and named, or fails where nothing may be left out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tools import POSTGRES_15, Tool

NOWHERE = Tool("no-such-program", "no-such-package")
PROGRAM = """
from tests.support.tools import Tool

def test_one():
    Tool("no-such-program", "no-such-package").require()
"""


def test_without_a_program_a_test_is_left_out_but_fails_where_all_are_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGA_FN_REQUIRE", "all")
    with pytest.raises(pytest.fail.Exception, match="apt-get install no-such-package"):
        NOWHERE.require()
    monkeypatch.delenv("SAGA_FN_REQUIRE")
    with pytest.raises(pytest.skip.Exception, match="not installed"):
        NOWHERE.require()


def test_what_a_distribution_does_not_have_is_left_out_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGA_FN_REQUIRE", "all")
    monkeypatch.setenv("SAGA_FN_WITHOUT", "another-package no-such-package")
    with pytest.raises(pytest.skip.Exception, match="not installed"):
        NOWHERE.require()


def test_a_program_that_stands_in_a_folder_of_its_own_is_looked_for_there_alone(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.touch(0o755)
    assert Tool("program", "package", tmp_path).require() == str(program)
    assert Tool("sh", "package", tmp_path).find() is None


def test_the_end_of_a_run_names_what_was_left_out(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(PROGRAM)
    root = Path(__file__).parents[2]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "--rootdir", str(root), str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        cwd=root,
        env={"PATH": "", "HOME": str(tmp_path)},
    )
    assert "1 left out: no-such-program is not installed (apt-get install no-such-package)" in run.stdout


def test_what_has_to_pass_leaves_nothing_out() -> None:
    run = (Path(__file__).parents[2] / ".ci" / "run").read_text()
    assert "export SAGA_FN_REQUIRE=all" in run
    assert "pgbouncer chromium chromium-driver nats-server rabbitmq-server" in run
    assert POSTGRES_15.package in run
    assert str(POSTGRES_15.folder) in run
