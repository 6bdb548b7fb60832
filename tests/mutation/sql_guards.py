"""The guards in the statements that commit, claim, renew, take and give back: each can be taken away by its text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from saga_fn.store import _queries as queries
from saga_fn.store.statement import Statement

_EQUALS: Final = "OPERATOR(pg_catalog.=)"
_DUE: Final = "OPERATOR(pg_catalog.<=) pg_catalog.now()"


@attrs.frozen
class SqlMutant:
    """A statement, and the condition that does not count in it."""

    statement: type[Statement]
    guard: str
    """The condition, as the generated statement has it, with operators in short."""
    ends: str = "OR true"
    """The words that make it count no more. Its parameters stay, so that the statement is sent as before."""

    times: int = 1
    """How often the statement asks it; each time is taken away."""

    @property
    def name(self) -> str:
        """Its name for people."""
        return f"{self.statement.__name__}: {self.guard}"

    def take_away(self) -> None:
        """Change the statement, in this process and for good."""
        text = self.statement.TEXT
        found = self.guard.replace(" = ", f" {_EQUALS} ").replace(" <= now()", f" {_DUE}")
        for number in range(1, 80):  # a parameter is known by its name here, and by its place there
            if "$?" not in found:
                break
            if (tried := found.replace("$?", f"${number}")) in text:
                found = tried
        assert text.count(found) == self.times, f"{self.name} is there {text.count(found)} times"
        self.statement.TEXT = text.replace(found, f"({found} {self.ends})")


def _commits() -> Iterator[SqlMutant]:
    uuid, one = "pg_catalog.uuid", queries.CommitSaga
    yield SqlMutant(one, f"(s.token = $?::{uuid} OR (s.token IS NULL AND $?::{uuid} IS NULL))")
    yield SqlMutant(one, "s.rev = $?::bigint")
    yield SqlMutant(one, "($?::bigint IS NULL OR s.inbox_sent = $?::bigint)")
    for many in (queries.CommitSagas, queries.CommitSagasAtLength):
        yield SqlMutant(many, "(s.token = g.token OR (s.token IS NULL AND g.token IS NULL))")
        yield SqlMutant(many, "s.rev = g.rev")
        yield SqlMutant(many, "(g.inbox_seen IS NULL OR s.inbox_sent = g.inbox_seen)")


def _holds() -> Iterator[SqlMutant]:
    yield SqlMutant(queries.ClaimDueSagas, "s.due_at <= now()", times=3)
    yield SqlMutant(queries.ClaimDueSagas, "s.name = w.name", times=3)
    yield SqlMutant(queries.ClaimDueSagas, "s.version = w.version", times=3)
    yield SqlMutant(queries.ClaimDueSagas, "p.name = ANY(ARRAY[''::pg_catalog.text, w.name])", "AND false")
    yield SqlMutant(queries.ClaimSaga, "s.ended_at IS NULL")
    yield SqlMutant(queries.ClaimSaga, "(s.owner IS NULL OR s.due_at <= now())")
    yield SqlMutant(queries.TakeSaga, "s.token = $?::pg_catalog.uuid")
    yield SqlMutant(queries.TakeSaga, "s.rev = $?::bigint")
    yield SqlMutant(queries.RenewLeases, "s.token = g.token")
    yield SqlMutant(queries.RenewLeases, "s.owner = $?::pg_catalog.uuid")
    yield SqlMutant(queries.ReleaseSagas, "s.token = g.token")


SQL: Final = (*_commits(), *_holds())
