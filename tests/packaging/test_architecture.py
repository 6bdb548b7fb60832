"""ARCHITECTURE's table of promises names each law, with its file, and no other."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from saga_fn.core.invariants import EDGE_LAWS, STATE_LAWS

TEXT = (Path(__file__).parents[2] / "ARCHITECTURE.md").read_text("utf-8")


def test_the_table_of_promises_names_each_law() -> None:
    laws: dict[str, set[str]] = defaultdict(set)
    for law in (*STATE_LAWS, *EDGE_LAWS):
        number = re.match(r"i(\d+)_", law.__name__)
        laws[f"I{number[1]}" if number else ""] |= {law.__module__.rpartition(".")[2] + ".py", law.__name__}
    section = TEXT.partition("## Promises and their laws")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("| ")
    ]
    told = {
        number: set(re.findall(r"`([\w.]+)`", named)) for number, _, named in rows[1:] if not number.startswith("-")
    }
    assert told == dict(laws)
