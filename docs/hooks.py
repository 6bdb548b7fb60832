"""What `make docs` adds to docs/: the pages that stand at the root of the project, the examples, and llms.txt.

Links in the files are right where the files lie. On the site README is the first page, and an example is a page of its own.
"""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
AT_THE_ROOT = ("ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
EXAMPLES = "saga_fn/examples"
_LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")
_FIRST_SENTENCE = re.compile(r"(.*?(?<!\.)[.?!])(?=\s|$)", re.DOTALL)


def place_in_project(page: str) -> str:
    """Where the file of a page of the site lies in the project."""
    if page == "index.md":
        return "README.md"
    if page in AT_THE_ROOT:
        return page
    return page.removesuffix(".md") + ".py" if page.startswith("examples/") else f"docs/{page}"


def place_on_site(file: str) -> str | None:
    """Which page of the site a file of the project is; None if it is none."""
    if file == "README.md":
        return "index.md"
    if file in AT_THE_ROOT:
        return file
    if file.startswith(f"{EXAMPLES}/"):
        return f"examples/{Path(file).stem}.md"
    return file.removeprefix("docs/") if file.startswith("docs/") else None


def linked(text: str, page: str) -> str:
    """The text of a page, with its links as they have to be on the site."""

    def turned(match: re.Match[str]) -> str:
        link = match[0]
        target, mark, anchor = link.partition("#")
        if "://" in link or not target:
            return link
        file = posixpath.normpath(posixpath.join(posixpath.dirname(place_in_project(page)), target))
        there = place_on_site(file)
        return link if there is None else posixpath.relpath(there, posixpath.dirname(page) or ".") + mark + anchor

    return _LINK.sub(turned, text)


def llms() -> str:
    """llms.txt: what the project is, and each page with the task that it begins with."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    what = readme.split("\n\n")[1].replace("\n", " ")
    lines = ["# saga_fn", "", f"> {what}", "", "## Documentation", "", f"- [README](README.md): {_first(what)}"]
    for file in sorted((ROOT / "docs").glob("*.md")):
        title, task = file.read_text(encoding="utf-8").split("\n\n")[:2]
        lines.append(f"- [{title.removeprefix('# ')}](docs/{file.name}): {_first(task)}")
    lines += ["", "## Examples", ""]
    for file in sorted((ROOT / EXAMPLES).glob("[!_]*.py")):
        about = file.read_text(encoding="utf-8").split('"""')[1]
        lines.append(f"- [{file.stem}]({EXAMPLES}/{file.name}): {_first(about)}")
    return "\n".join(lines) + "\n"


def _first(text: str) -> str:
    match = _FIRST_SENTENCE.match(text.replace("\n", " "))
    return text.replace("\n", " ") if match is None else match[1]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that do not lie in docs/."""
    from mkdocs.structure.files import File, InclusionLevel

    for name in ("README.md", *AT_THE_ROOT):
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, place_on_site(name) or name, content=text))
    for file in sorted((ROOT / EXAMPLES).glob("[!_]*.py")):
        text = f"# {file.stem}\n\n```python\n{file.read_text(encoding='utf-8')}```\n"
        page = File.generated(config, f"examples/{file.stem}.md", content=text)
        page.inclusion = InclusionLevel.NOT_IN_NAV
        files.append(page)
    files.append(File.generated(config, "llms.txt", content=llms()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - its interface
    """Turn the links of a page into links of the site."""
    return linked(markdown, page.file.src_uri)


if __name__ == "__main__":
    sys.stdout.write(llms())
