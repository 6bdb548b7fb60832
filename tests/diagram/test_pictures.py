"""The pictures that are kept are those that the code draws: `python -m tests.diagram.pictures` draws them again."""

from __future__ import annotations

import contextlib
import io
import sys
import types
from pathlib import Path

import pytest

from tests.diagram.pictures import GOLDEN, IN_DOCS, ROOT, examples, golden, in_docs
from tests.diagram.test_graphs import parsed, steps_drawn
from tests.support.documents import blocks_in, program_of

PAGE = ROOT / "docs" / "pictures.md"
KEPT = [
    *((IN_DOCS / name, text) for name, text in in_docs().items()),
    *((GOLDEN / name, text) for name, text in golden().items()),
]


@pytest.mark.parametrize("path, text", KEPT, ids=[path.name for path, _ in KEPT])
def test_a_picture_is_as_it_was(path: Path, text: str) -> None:
    assert path.read_text(encoding="utf-8") == text


def test_no_picture_is_kept_that_nobody_draws() -> None:
    assert {path for folder in (IN_DOCS, GOLDEN) for path in folder.iterdir()} == {path for path, _ in KEPT}


def test_every_picture_of_docs_is_shown() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert all(f"(pictures/{name})" in page for name in in_docs())


@pytest.mark.parametrize("name", examples())
def test_each_step_of_an_example_is_in_its_picture(name: str) -> None:
    definition = examples()[name]
    drawn = steps_drawn(parsed(definition.diagram(), embedded=False))
    assert sorted(drawn) == sorted(step.step for step in definition.plan.steps)


def test_the_page_shows_what_its_program_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    quick, first, *_ = program_of(PAGE)
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(quick.code, "quick start", "exec"), module.__dict__)
    with contextlib.redirect_stdout(io.StringIO()) as told:
        exec(compile(first.code, "first block", "exec"), module.__dict__)
    (text,) = blocks_in(PAGE, "text")
    assert told.getvalue().rstrip() == text.code.rstrip()
    (mermaid,) = blocks_in(PAGE, "mermaid")
    assert vars(module)["create_order"].diagram("mermaid").rstrip() == mermaid.code.rstrip()
