"""Each weakness that python-saga-orchestrator was found to have is tested here, or open with a reason."""

from __future__ import annotations

import re

from tests.support.documents import ROOT

ROW = re.compile(r"^\| (?P<number>\d+) \| .+ \| (?P<here>tested|open)\b.* \|$", re.MULTILINE)
MARK = re.compile(r"^@pytest\.mark\.predecessor\((\d+)\)$", re.MULTILINE)


def test_every_weakness_of_the_list_has_a_test_or_a_reason_why_not() -> None:
    rows = ROW.findall((ROOT / "docs" / "porting.md").read_text(encoding="utf-8"))
    assert [int(number) for number, _ in rows] == list(range(1, 37))
    marked = {number for file in (ROOT / "tests").rglob("test_*.py") for number in MARK.findall(file.read_text())}
    assert marked == {number for number, here in rows if here == "tested"}
