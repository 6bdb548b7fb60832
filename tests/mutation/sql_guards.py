"""The guards in the statements that change rows which others may change: each can be taken away by its text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import attrs

from saga_fn.store import _queries as queries
from saga_fn.store.statement import Statement

_OPERATOR: Final = re.compile(r" (=|<|>|<=|>=|<>) ")
_HEADS: Final = "AND false"
"""In place of a condition by which a message has an earlier one before it: then it never has."""


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

    tests: tuple[str, ...] = ()
    """The files below `tests` that have to find it out."""

    @property
    def name(self) -> str:
        """Its name for people."""
        return f"{self.statement.__name__}: {self.guard}"

    def take_away(self) -> None:
        """Change the statement, in this process and for good."""
        text = self.statement.TEXT
        found = _OPERATOR.sub(r" OPERATOR(pg_catalog.\1) ", self.guard).replace("now()", "pg_catalog.now()")
        for number in range(1, 80):  # a parameter is known by its name here, and by its place there
            if "$?" not in found:
                break
            if (tried := found.replace("$?", f"${number}")) in text:
                found = tried
        assert text.count(found) == self.times, f"{self.name} is there {text.count(found)} times"
        self.statement.TEXT = text.replace(found, f"({found} {self.ends})")


_STORE: Final = tuple(
    f"store/test_{name}.py"
    for name in ("committing", "owning", "setting_aside", "starting", "pauses", "inbox", "differential")
)
_UUID: Final = "$?::pg_catalog.uuid"


def _commits() -> Iterator[SqlMutant]:
    for one in (queries.CommitSaga, queries.CommitSagaPublishing):
        yield SqlMutant(one, f"(s.token = {_UUID} OR (s.token IS NULL AND {_UUID} IS NULL))")
        yield SqlMutant(one, "s.rev = $?::bigint")
        yield SqlMutant(one, "($?::bigint IS NULL OR s.inbox_sent = $?::bigint)")
    for many in (queries.CommitSagas, queries.CommitSagasAtLength, queries.CommitSagasPublishing):
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
    yield SqlMutant(queries.TakeSaga, f"s.token = {_UUID}")
    yield SqlMutant(queries.TakeSaga, "s.rev = $?::bigint")
    yield SqlMutant(queries.RenewLeases, "s.token = g.token")
    yield SqlMutant(queries.RenewLeases, f"s.owner = {_UUID}")
    yield SqlMutant(queries.ReleaseSagas, "s.token = g.token")
    yield SqlMutant(queries.ParkSagaRow, f"s.token = {_UUID}")
    yield SqlMutant(queries.EndSagaRow, "s.rev = $?::bigint")
    yield SqlMutant(queries.EndSagaRow, "s.ended_at IS NULL")


def _messages_out() -> Iterator[SqlMutant]:
    yield SqlMutant(queries.ClaimOutgoing, "o.dead_at IS NULL")
    yield SqlMutant(queries.ClaimOutgoing, "o.due_at <= now()")
    yield SqlMutant(queries.ClaimOutgoing, "e.blocks", _HEADS)
    yield SqlMutant(queries.TakeOutgoing, "m.dead_at IS NULL")
    yield SqlMutant(
        queries.TakeOutgoing, f"(m.due_at <= now() OR (m.token IS NULL AND m.attempts = 0) OR m.token = {_UUID})"
    )
    yield SqlMutant(queries.TakeOutgoing, "o.blocks")
    yield SqlMutant(queries.FailOutgoing, f"o.token = {_UUID}")
    yield SqlMutant(queries.ReleaseOutgoing, f"o.token = {_UUID}")
    yield SqlMutant(queries.RedriveOutgoing, "o.dead_at IS NOT NULL")
    yield SqlMutant(queries.DiscardOutgoing, "(o.token IS NULL OR o.due_at <= now())")
    yield SqlMutant(queries.CommitSagaPublishing, "e.blocks", _HEADS)
    yield SqlMutant(queries.CommitSagasAtLength, "e.blocks", _HEADS)


def _events() -> Iterator[SqlMutant]:
    known = "NOT EXISTS (SELECT 1 FROM known)"
    yield SqlMutant(queries.ClaimSentEvents, "d.due_at <= now()")
    yield SqlMutant(queries.SendEvent, "s.ended_at IS NULL")
    yield SqlMutant(queries.SendEvent, known)
    yield SqlMutant(queries.SendEvent, "(SELECT u.messages FROM unread AS u) < $?::bigint")
    for many in (queries.SendEvents, queries.SendEventsAndClaim):
        yield SqlMutant(many, "NOT w.known")
        yield SqlMutant(many, "w.unread < $?::bigint")
    yield SqlMutant(queries.SendVerb, "s.ended_at IS NULL")
    yield SqlMutant(queries.SendVerb, known)
    yield SqlMutant(queries.KeepEvent, "NOT EXISTS (SELECT 1 FROM ended)")
    yield SqlMutant(queries.KeepEvent, "other.taken_by IS NULL")
    yield SqlMutant(queries.HandOverEvents, "e.taken_by IS NULL")
    yield SqlMutant(queries.HandOverEvents, "e.expires_at > now()")
    yield SqlMutant(queries.AnswerMessage, "i.answer IS NULL")
    yield SqlMutant(queries.AnswerMessage, "v.answer IS NULL")


def _deletion() -> Iterator[SqlMutant]:
    yield SqlMutant(queries.DeleteSagas, "s.ended_at IS NOT NULL")
    yield SqlMutant(queries.DeleteSagas, "g.rev = f.rev")
    unsent = "SELECT 1 FROM {schema}.saga_outgoing AS o WHERE o.shard = $?::smallint AND o.saga_id = f.id"
    yield SqlMutant(queries.DeleteSagas, f"NOT EXISTS ({unsent})")
    yield SqlMutant(queries.BeginRetention, "r.until <= now()")
    yield SqlMutant(queries.DropTombstones, "old.expires_at <= now()")
    yield SqlMutant(queries.AcknowledgeSaga, "s.rev = $?::bigint")
    yield SqlMutant(queries.AcknowledgeSaga, "s.status = 'FAILED'")
    yield SqlMutant(queries.AcknowledgeSaga, "NOT s.acknowledged")


def _operations() -> Iterator[SqlMutant]:
    yield SqlMutant(queries.ClaimOperation, "due.state = 'running'")
    yield SqlMutant(queries.ClaimOperation, "due.lease_end <= now()")
    yield SqlMutant(queries.ClaimOperation, "(due.needs IS NULL OR due.needs = ANY($?::pg_catalog.text[]))")
    yield SqlMutant(queries.AdvanceOperation, f"o.token = {_UUID}")
    yield SqlMutant(queries.AdvanceOperation, "o.state <> 'done'")
    yield SqlMutant(queries.TakeOperation, "o.lease_end <= now()")
    yield SqlMutant(queries.TakeOperation, "o.state = $?::pg_catalog.text")
    yield SqlMutant(queries.CloseOperation, "o.state = 'done'")
    yield SqlMutant(queries.CloseOperation, "o.token IS NULL")


def _all() -> Iterator[SqlMutant]:
    of_messages = ("store/test_outgoing.py", "engine/test_outgoing.py", "engine/test_unsent_messages.py")
    of_events = ("sends", "inbox", "events", "sent_events", "kept_differential", "differential")
    of_deletion = (
        "store/test_deletion.py",
        "store/test_outgoing.py",
        "store/test_deletion_races.py",
        "store/test_lists.py",
    )
    for mutants, tests in (
        (_commits(), (*_STORE, of_messages[0])),
        (_holds(), _STORE),
        (_messages_out(), of_messages),
        (_events(), tuple(f"store/test_{name}.py" for name in of_events)),
        (_deletion(), of_deletion),
        (_operations(), ("store/test_operations.py",)),
    ):
        for mutant in mutants:
            yield attrs.evolve(mutant, tests=tests)


SQL: Final = tuple(_all())
FENCE: Final = tuple(each for each in _commits() if "inbox_sent" not in each.guard)
"""The token and the revision in all statements that commit."""
