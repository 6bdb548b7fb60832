"""The state diagram in ARCHITECTURE.md is the one that the transition function gives."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from saga_fn.core.diagram import state_diagram

ARCHITECTURE = Path(__file__).parents[2] / "ARCHITECTURE.md"
BEGIN, END = "<!-- diagram:begin -->", "<!-- diagram:end -->"


def test_architecture_shows_the_diagram_as_it_is() -> None:
    text = ARCHITECTURE.read_text()
    assert BEGIN in text, f"ARCHITECTURE.md lacks the block between {BEGIN} and {END}"
    assert END in text, f"ARCHITECTURE.md lacks the block between {BEGIN} and {END}"
    shown = text.partition(BEGIN)[2].partition(END)[0].strip()
    assert shown == f"```mermaid\n{state_diagram()}\n```", (
        "run `python -m saga_fn.core.diagram` and paste what it prints"
    )


def test_the_module_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(Path(state_diagram.__code__.co_filename)), run_name="__main__")
    assert capsys.readouterr().out == state_diagram() + "\n"


def test_every_status_is_shown_and_ends_lead_out() -> None:
    lines = state_diagram().splitlines()
    assert lines[0] == "stateDiagram-v2"
    assert "    [*] --> RUNNING: started" in lines
    assert [line for line in lines if line.endswith("--> [*]")] == [
        "    COMPLETED --> [*]",
        "    COMPENSATED --> [*]",
        "    FAILED --> [*]",
    ]
    assert not [line for line in lines if line.startswith(("    COMPLETED", "    COMPENSATED")) and ":" in line]
    assert "    FAILED --> COMPENSATING: compensation_requested" in lines
