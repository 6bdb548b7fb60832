"""The state diagram in ARCHITECTURE.md is the one that the transition function gives."""

from __future__ import annotations

import contextlib
import io
import runpy
from pathlib import Path

import pytest

from saga_fn.core import diagram

pytestmark = pytest.mark.timeout(600)  # two explorations, on a machine that may be busy

ARCHITECTURE = Path(__file__).parents[2] / "ARCHITECTURE.md"
BEGIN, END = "<!-- diagram:begin -->", "<!-- diagram:end -->"


@pytest.fixture(scope="module")
def printed() -> str:
    """The text that the module prints."""
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        runpy.run_path(diagram.__file__, run_name="__main__")
    return told.getvalue()


def test_architecture_shows_the_diagram_as_it_is(printed: str) -> None:
    text = ARCHITECTURE.read_text()
    assert BEGIN in text, f"ARCHITECTURE.md lacks the block between {BEGIN} and {END}"
    assert END in text, f"ARCHITECTURE.md lacks the block between {BEGIN} and {END}"
    shown = text.partition(BEGIN)[2].partition(END)[0].strip()
    assert shown == f"```mermaid\n{printed}```", "run `python -m saga_fn.core.diagram` and paste what it prints"


def test_every_status_is_shown_and_ends_lead_out(printed: str) -> None:
    lines = printed.splitlines()
    assert lines[0] == "stateDiagram-v2"
    assert "    [*] --> RUNNING: started" in lines
    assert [line for line in lines if line.endswith("--> [*]")] == [
        "    COMPLETED --> [*]",
        "    COMPENSATED --> [*]",
        "    FAILED --> [*]",
    ]
    assert not [line for line in lines if line.startswith(("    COMPLETED", "    COMPENSATED")) and ":" in line]
    assert "    FAILED --> COMPENSATING: compensation_requested" in lines
