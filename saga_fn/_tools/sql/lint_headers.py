"""The linter's rules about headers: each says what its statement is for, what it locks and for how long, and its plan."""

from __future__ import annotations

from typing import Any, Final

from pglast.enums import LockWaitPolicy
from pglast.visitors import Visitor

from saga_fn._tools.sql.scan import Query

WIDEST: Final = 120
"""Columns of a line, of a header or not."""
_EARLY: Final = 110
"""A word that would have ended before this column has been wrapped too early."""
_SECTIONS: Final = ("Locks", "Plan")


class _Locking(Visitor):
    """Whether a statement locks rows, and whether it skips those that are locked."""

    def __init__(self) -> None:
        super().__init__()
        self.locks = False
        self.skips = False

    # Any: nodes of pglast's syntax tree, which has no types.

    def visit_SelectStmt(self, _: Any, node: Any) -> None:
        for clause in node.lockingClause or ():
            self.locks = True
            self.skips |= clause.waitPolicy == LockWaitPolicy.LockWaitSkip

    def visit_InsertStmt(self, _: Any, __: Any) -> None:
        self.locks = True

    def visit_UpdateStmt(self, _: Any, __: Any) -> None:
        self.locks = True

    def visit_DeleteStmt(self, _: Any, __: Any) -> None:
        self.locks = True


def lint_header(query: Query, statement: Any, exempt: frozenset[str]) -> list[tuple[str, str]]:  # Any: as above
    """The rules a header breaks, each with its mend; `statement` is the parsed text."""
    broken: list[tuple[str, str]] = []
    begins = [line.partition(":")[0] for line in query.doc]
    places = [begins.index(section) if section in begins else -1 for section in _SECTIONS]
    if -1 in places or places != sorted(places):
        mend = "end the header with a line `-- Locks: ...` and then a line `-- Plan: ...`"
        return [("a header says what is locked, and by which plan", mend)]
    if places[0] == 0:
        broken.append(("a header says what its statement is for", "begin with a sentence that says so"))
    for line, following in zip(query.doc, query.doc[1:], strict=False):
        word = following.split(" ", maxsplit=1)[0]
        if not line.endswith((".", ":")) and len(f"-- {line} {word}") < _EARLY:
            broken.append(("a sentence of a header is wrapped where its line is full", f"write {word} behind {line!r}"))
    locks = " ".join(query.doc[places[0] : places[1]]).removeprefix("Locks: ")
    found = _Locking()
    found(statement)
    if (locks == "none.") == found.locks:
        mend = "name the rows or keys that are locked" if found.locks else "write -- Locks: none."
        return [*broken, ("a header tells the truth about locks", mend)]
    for needed, words in (
        ("patience" in query.parameters, ("`patience`",)),
        (found.skips, ("skip",)),
        ("waits" in exempt, ("lock_timeout", "no other session")),
    ):
        if needed and not any(word in locks for word in words):
            mend = f"say so after Locks, with the word {' or '.join(words)}"
            broken.append(("a header says how long a lock is waited for", mend))
    return broken


def lint_width(text: str) -> list[tuple[str, str]]:
    """The lines of a file that are too long, each with the mend."""
    return [
        (f"line {number} is no wider than {WIDEST} columns", "wrap it, and what follows it")
        for number, line in enumerate(text.splitlines(), 1)
        if len(line) > WIDEST
    ]
