"""The prose of the source: docstrings, comments and messages are written as CONTRIBUTING.md asks.

A sentence of a public docstring or of an error's message names its actor and has at most 25 words. No sentence of any
docstring or comment begins with What, Whatever, Whoever or Of, and none says somebody, nobody or whoever of an actor.
"""

from __future__ import annotations

import ast
import inspect
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from tests.packaging.test_docstrings import CLASSES, PUBLIC_ERRORS, WRITTEN, tree_of

PACKAGE = Path(__file__).parents[2] / "saga_fn"
GENERATED = {"_queries.py", "_migrations.py"}
FILES = sorted(file for file in PACKAGE.rglob("*.py") if file.name not in GENERATED)
MOST_WORDS = 25
BEGINNING = re.compile(r"^(What|Whatever|Whoever|Of)\b")
HARD = re.compile(r"^(What|Whatever|Whoever|Of)\b|\b(somebody|anybody|nobody|whoever|whatever|is to be)\b")
WITHOUT_ACTOR = re.compile(r"\b(somebody|anybody|nobody|whoever)\b", re.IGNORECASE)
HEADING = re.compile(r"^(?:Args|Attributes|Returns|Yields|Raises):$", re.MULTILINE)


def name_of(file: Path) -> str:
    return str(file.relative_to(PACKAGE))


def sentences_of(text: str) -> list[str]:
    """The sentences of a docstring: an entry, an item of a list and a part before a colon are sentences of their own."""
    plain = re.sub(r"`[^`]*`", "`code`", re.sub(HEADING, "", without_examples(inspect.cleandoc(text))))
    parts = re.split(r"\n\n|\n(?=- |\d\. | {4}\w+: )", plain)
    joined = [" ".join(re.sub(r"^\s*(- |\w+: )", "", part).split()) for part in parts]
    return [sentence for part in joined for sentence in re.split(r"(?<=[.?!:;])\s+", part) if sentence]


def without_examples(text: str) -> str:
    """The text without `Example::` and what stands below it, and without doctests."""
    lines: list[str] = []
    example = False
    for line in text.splitlines():
        if line.endswith("::") or line.startswith(">>>"):
            example = True
        elif not line:
            example = example and lines[-1:] != [""]
        if not example or not line:
            lines.append(line)
    return "\n".join(lines)


def docstrings_of(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every docstring, and every text that stands below a name, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def comments_of(file: Path) -> Iterator[tuple[int, str]]:
    """Every comment, with its line; those of lines that follow each other are one."""
    with file.open("rb") as source:
        tokens = [token for token in tokenize.tokenize(source.readline) if token.type == tokenize.COMMENT]
    block: list[tuple[int, str]] = []
    for token in tokens:
        line, text = token.start[0], token.string.lstrip("#! ")
        if block and (line != block[-1][0] + 1 or token.line[: token.start[1]].strip()):
            yield block[0][0], " ".join(each for _, each in block)
            block = []
        block.append((line, text))
    if block:
        yield block[0][0], " ".join(each for _, each in block)


def test_no_sentence_begins_with_what_is_said_of_it_later() -> None:
    assert [
        f"{name_of(file)}:{line}: {each}"
        for file in FILES
        for line, text in (*docstrings_of(ast.parse(file.read_text(encoding="utf-8"))), *comments_of(file))
        for each in sentences_of(text)
        if BEGINNING.search(each)
    ] == []


def test_docstrings_and_comments_name_the_actor() -> None:
    """Owner, worker, caller, sender, operator, process, session: not somebody, nobody or whoever."""
    assert [
        f"{name_of(file)}:{line}: {each}"
        for file in FILES
        for line, text in (*docstrings_of(ast.parse(file.read_text(encoding="utf-8"))), *comments_of(file))
        for each in sentences_of(text)
        if WITHOUT_ACTOR.search(each)
    ] == []


def hard(text: str) -> list[str]:
    return [each for each in sentences_of(text) if len(each.split()) > MOST_WORDS or HARD.search(each)]


def test_docstrings_of_public_functions_are_written_plainly() -> None:
    assert WRITTEN
    assert [f"{name}: {each}" for name, _, call in WRITTEN for each in hard(call.__doc__ or "")] == []


def test_docstrings_of_public_classes_and_their_fields_are_written_plainly() -> None:
    assert CLASSES
    assert [f"{name}: {each}" for name, cls in CLASSES for text in texts_of(cls) for each in hard(text)] == []


def texts_of(cls: type) -> Iterator[str]:
    """The docstring of a class, and the texts that stand below its fields."""
    yield cls.__doc__ or ""
    [node] = [
        each for each in tree_of(cls.__module__).body if isinstance(each, ast.ClassDef) and each.name == cls.__name__
    ]
    fields = ast.Module([each for each in node.body if isinstance(each, ast.Expr)], [])
    yield from (text for _, text in docstrings_of(fields))


def messages_of(file: Path) -> Iterator[tuple[int, str]]:
    """The texts that public errors are raised with; a value in them stands as X."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {*PUBLIC_ERRORS, "super"}:
            for given in [*node.args, *(each.value for each in node.keywords)]:
                yield from ((given.lineno, text) for text in texts_in(given))


def texts_in(given: ast.expr) -> Iterator[str]:
    if isinstance(given, ast.Constant) and isinstance(given.value, str):
        yield given.value
    if isinstance(given, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in given.values)


def test_messages_are_written_plainly() -> None:
    found = [(file, line, each) for file in FILES for line, text in messages_of(file) for each in hard(text)]
    assert [f"{name_of(file)}:{line}: {each}" for file, line, each in found] == []


# SQL.

SQL = sorted((PACKAGE.parent / "sql").rglob("*.sql"))
_ANNOTATION = re.compile(r"(name|nullable|not null|lint|Locks|Plan)\b[^.]*:")


def comments_of_sql(file: Path) -> Iterator[tuple[int, str]]:
    """Every comment but the lines that the generator and the linter read, with its line."""
    block: list[str] = []
    for line, text in enumerate([*file.read_text(encoding="utf-8").splitlines(), ""], 1):
        said = re.fullmatch(r"\s*-- (.*)", text)
        if said and not _ANNOTATION.match(said[1]):
            block.append(said[1])
        elif block:
            yield line - len(block), " ".join(block)
            block = []


def test_comments_of_sql_are_written_plainly() -> None:
    assert SQL
    found = [(file, line, each) for file in SQL for line, text in comments_of_sql(file) for each in hard(text)]
    assert [f"{file.name}:{line}: {each}" for file, line, each in found] == []
