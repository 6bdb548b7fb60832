"""README and the pages of docs/, as the tests read them."""

from __future__ import annotations

import re
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
QUICK_START = ROOT / "docs" / "quick-start.md"
PAGES = sorted((ROOT / "docs").glob("*.md"))
AT_THE_ROOT = [ROOT / name for name in ("ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")]
SQL = ROOT / "sql" / "README.md"

_FENCED = re.compile(r"^( *)```(.*?)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@attrs.frozen
class Block:
    """One block of code."""

    page: str
    language: str
    code: str


def name_of(page: Path) -> str:
    """How a page is called in messages."""
    return str(page.relative_to(ROOT))


def blocks_in(page: Path, *languages: str) -> list[Block]:
    """The fenced blocks of a page, of these languages or of any."""
    found = _FENCED.findall(page.read_text(encoding="utf-8"))
    every = [Block(name_of(page), language, code) for _, language, code in found]
    return [block for block in every if not languages or block.language in languages]


def program_of(page: Path) -> list[Block]:
    """All Python that a reader of the page has: the pages of docs/ go on from the program in the quick start."""
    before = [] if page in (README, QUICK_START) else blocks_in(QUICK_START, "python")[:1]
    return before + blocks_in(page, "python")


def without_code(page: Path) -> str:
    """The text of a page without its fenced blocks."""
    return _FENCED.sub("", page.read_text(encoding="utf-8"))


def links_in(page: Path) -> list[str]:
    """Where the links of a page lead, but those to other sites."""
    return [link for link in _LINK.findall(without_code(page)) if "://" not in link]


def anchors_of(page: Path) -> set[str]:
    """The anchors of its headings."""
    headings = _HEADING.findall(without_code(page))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def sentences_of(page: Path) -> list[str]:
    """The sentences of its text: a cell of a table, an item of a list and a part before a colon are sentences of their own."""
    text = _HEADING.sub("", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", without_code(page)))
    parts = [part for line in re.split(r"\n\n|\n(?=[|-]|\d\.)", text) for part in _parts_of(line)]
    return [sentence for part in parts for sentence in re.split(r"(?<=[.?!:])\s+", part) if sentence]


def _parts_of(line: str) -> list[str]:
    parts = line.strip("| \n").split(" | ") if line.startswith("|") else [re.sub(r"^(-|\d\.) ", "", line)]
    return [" ".join(part.split()) for part in parts]
