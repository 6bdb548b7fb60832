"""Each dotted name of the library that a text has between backticks is there, wherever the text stands."""

from __future__ import annotations

import pkgutil
import re
from pathlib import Path

import pytest

from saga_fn.otel import names

ROOT = Path(__file__).parents[2]
TEXTS = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "sql").rglob("*.md"),
    *(ROOT / "saga_fn").rglob("*.py"),
]
NAME = re.compile(r"`(saga_fn(?:\.[A-Za-z_]\w*)+)(?:\(.*?\))?`")
SQL = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "sql").rglob("*.sql"))
LOGGERS = {"saga_fn.process"}
SPANS_AND_ATTRIBUTES = {value for value in vars(names).values() if isinstance(value, str)}


def is_there(dotted: str) -> bool:
    """Whether it is a module, or what a module or a class has; a table of the schema, a logger, or a name of OpenTelemetry."""
    if dotted in LOGGERS | SPANS_AND_ATTRIBUTES or re.search(rf"\b{re.escape(dotted)}\b", SQL):
        return True
    try:
        pkgutil.resolve_name(dotted)
    except (ImportError, AttributeError):
        return False
    return True


def named() -> dict[str, list[str]]:
    """The dotted names, and the files that have them."""
    found: dict[str, list[str]] = {}
    for path in TEXTS:
        for dotted in NAME.findall(path.read_text(encoding="utf-8")):
            found.setdefault(dotted, []).append(str(path.relative_to(ROOT)))
    return found


def test_each_dotted_name_in_a_text_is_there() -> None:
    found = named()
    assert "saga_fn.store.CallerConnection" in found
    assert {dotted: where for dotted, where in found.items() if not is_there(dotted)} == {}


@pytest.mark.parametrize(
    "dotted", ["saga_fn.store.NoSuchThing", "saga_fn.nowhere.Store", "saga_fn.store.Store.nothing"]
)
def test_a_name_that_is_not_there_is_found_out(dotted: str) -> None:
    assert not is_there(dotted)
