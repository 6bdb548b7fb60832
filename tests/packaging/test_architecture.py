"""ARCHITECTURE's tables are true: of promises, each with its law or its tests; of files that are long, and hold one idea."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from saga_fn.core.invariants import EDGE_LAWS, STATE_LAWS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "ARCHITECTURE.md").read_text("utf-8")


def rows() -> list[tuple[str, str]]:
    """The numbers and the third columns of the table."""
    section = TEXT.partition("## Promises and their laws")[2].partition("\n## ")[0]
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("| ")
    ]
    return [(number, named) for number, _, named in cells[1:] if not number.startswith("-")]


def test_the_table_of_promises_names_each_law() -> None:
    laws: dict[str, set[str]] = defaultdict(set)
    for law in (*STATE_LAWS, *EDGE_LAWS):
        number = re.match(r"i(\d+)_", law.__name__)
        laws[f"I{number[1]}" if number else ""] |= {law.__module__.rpartition(".")[2] + ".py", law.__name__}
    told = {number: set(re.findall(r"`([\w.]+)`", named)) for number, named in rows() if "`tests/" not in named}
    assert told == dict(laws)


def test_each_number_is_there_once_in_order() -> None:
    assert [number for number, _ in rows()] == [*(f"I{number}" for number in range(1, 23)), ""]


def test_a_promise_without_a_law_names_tests_that_are_there() -> None:
    without = [named for _, named in rows() if "`tests/" in named]
    assert without
    for named in without:
        files = re.findall(r"`(tests/[\w/]+\.py)`: ((?:`\w+`(?:, )?)+)", named)
        assert files, named
        for file, functions in files:
            source = (ROOT / file).read_text("utf-8")
            for function in re.findall(r"`(\w+)`", functions):
                assert f"def {function}(" in source, (file, function)


GENERATED = {"store/_queries.py"}
MOST_LINES = 400


def test_each_long_file_is_told_to_hold_one_idea() -> None:
    section = TEXT.partition("## Long files")[2].partition("\n## ")[0]
    told = {name for line in section.splitlines() for name in re.findall(r"`([\w/]+\.py)`", line.partition(" | ")[0])}
    package = ROOT / "saga_fn"
    long = {
        name
        for file in package.rglob("*.py")
        if len(file.read_text("utf-8").splitlines()) > MOST_LINES
        and (name := file.relative_to(package).as_posix()) not in GENERATED
    }
    assert long <= told
