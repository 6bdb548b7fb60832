"""The table of faults in docs/faults.md, made of the catalogue and of the tests themselves: `python -m tests.faults.trial.page`.

With a file of figures (`SAGA_FN_FAULTS_RECORD` of a run) as argument it prints the table of that run instead.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from pathlib import Path
from typing import Final

from tests.faults.trial.catalogue import FAULTS, Fault
from tests.faults.trial.cells import CELLS
from tests.faults.trial.figures import read, table
from tests.faults.trial.happen import TRIALS

PAGE: Final = Path(__file__).parents[3] / "docs" / "faults.md"
TESTS: Final = Path(__file__).parents[2]
BEGIN, END = "<!-- faults:begin -->", "<!-- faults:end -->"


def marked() -> dict[int, list[str]]:
    """By fault, the files with a test that is marked with it, besides the trials."""
    found: defaultdict[int, set[str]] = defaultdict(set)
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for mark in node.decorator_list:
                    for number in _numbers(mark):
                        found[number].add(str(path.relative_to(TESTS.parent)))
    return {number: sorted(files) for number, files in found.items()}


def _numbers(mark: ast.expr) -> list[int]:
    if not isinstance(mark, ast.Call) or ast.unparse(mark.func) != "pytest.mark.fault":
        return []
    return [each.value for each in mark.args if isinstance(each, ast.Constant) and isinstance(each.value, int)]


def faults_table() -> str:
    """A line for each fault: what must hold, where it is tried, and by which other tests."""
    tests = marked()
    lines = [
        f"| # | fault | must hold | {' | '.join(cell.name for cell in CELLS)} | tests besides |",
        f"| --- | --- | --- | {' | '.join('---' for _ in CELLS)} | --- |",
    ]
    lines += [_line(fault, tests.get(fault.number, [])) for fault in FAULTS.values()]
    reasons = [
        f"- {fault.number}: not {'anywhere' if not fault.cells() else 'everywhere'}, for {next(iter(fault.not_in.values()))}."
        for fault in FAULTS.values()
        if fault.not_in
    ]
    return "\n".join([*lines, "", *reasons])


def _line(fault: Fault, tests: list[str]) -> str:
    cells = ["tried" if cell in fault.cells() and fault.number in TRIALS else "-" for cell in CELLS]
    besides = ", ".join(f"`{each}`" for each in tests)
    return f"| {fault.number} | {fault.name} | {fault.must_hold} | {' | '.join(cells)} | {besides} |"


def written() -> str:
    """The page with the table as it has to be."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{faults_table()}\n{END}{after}"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(table(read(Path(sys.argv[1]))))
    else:
        PAGE.write_text(written(), encoding="utf-8")
