"""The rights of each role: the least rights with which a process of its kind does its work.

Every kind reads the whole of `saga`, states included. Only `worker` and `operator` change sagas, or ask their owners to: a verb
stands in `saga_verb`, where a `sender` writes nothing. A worker carries out rows of `saga_operation` by columns that a `pruner`,
who records there what it deletes, may not write.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

import msgspec
from typing_extensions import override

from saga_fn.errors import StoreError, shown
from saga_fn.store.schema_name import with_schema


class RoleKind(StrEnum):
    """A kind of process, by what it may do."""

    WORKER = "worker"
    """Everything: it works on sagas, starts them, sends events, applies verbs."""
    STARTER = "starter"
    """Starts sagas and awaits their ends (`concurrency=0`)."""
    SENDER = "sender"
    """Sends events (`concurrency=0`); a worker reads them."""
    OPERATOR = "operator"
    """Looks at sagas and applies the verbs of SagaAdmin (`concurrency=0`)."""
    PRUNER = "pruner"
    """Deletes sagas whose retention is over. A worker of such definitions needs it beside its own."""
    VIEWER = "viewer"
    """Looks at sagas (`concurrency=0, read_only=True`)."""


_READ: Final = "SELECT"
_TABLES: Final = (
    "saga",
    "saga_journal",
    "saga_inbox",
    "saga_verb",
    "saga_operation",
    "saga_event",
    "saga_sent",
    "saga_outgoing",
    "saga_rejection",
    "saga_plan",
    "saga_process",
    "saga_pause",
    "saga_attribute",
    "saga_tombstone",
)
_EVERYBODY: Final = {
    "migration": _READ,
    "setting": _READ,
    "journal_era": _READ,
    "saga": _READ,
    "saga_process": _READ,
    "saga_pause": _READ,
    "saga_tombstone": _READ,
}

_RIGHT: Final = re.compile(r"([A-Z]+)(?: \(([^)]*)\))?")

RIGHTS: Final[Mapping[RoleKind, Mapping[str, str]]] = {
    RoleKind.WORKER: {
        "saga": "SELECT, INSERT, UPDATE",
        "saga_journal": "SELECT, INSERT",
        "saga_inbox": "SELECT, INSERT, UPDATE",
        "saga_verb": "SELECT, INSERT, UPDATE",
        "saga_operation": "SELECT, INSERT, UPDATE, DELETE",
        "saga_event": "SELECT, INSERT, UPDATE, DELETE",
        "saga_sent": "SELECT, INSERT, UPDATE (due_at), DELETE",
        "saga_rejection": "SELECT, INSERT",
        "saga_plan": "SELECT, INSERT",
        "saga_pause": "SELECT, INSERT, UPDATE, DELETE",
        "saga_process": "SELECT, INSERT, UPDATE, DELETE",
        "saga_attribute": "SELECT, INSERT, UPDATE (value)",
        "saga_outgoing": "SELECT, INSERT, UPDATE, DELETE",
    },
    RoleKind.STARTER: {
        # No column by which a row that is new could have ended, be acknowledged, be older, or count messages.
        "saga": (
            "SELECT, INSERT (shard, era, id, name, version, aggregation_id, trace_id, request, plan, format, status, waits, state, "
            "rev, token, owner, due_at, keyed)"
        ),
        "saga_journal": "SELECT, INSERT (shard, era, saga_id, seq, writer, kind, process, event, input, payload)",
        "saga_plan": "SELECT, INSERT",
        "saga_attribute": "SELECT, INSERT",
        # No column by which a row that is new could be dead, or tried already.
        "saga_outgoing": "SELECT, INSERT (shard, saga_id, rev, n, topic, key, headers, body, token, due_at)",
    },
    RoleKind.SENDER: {
        "saga": "SELECT, UPDATE (inbox_sent, due_at)",
        "saga_inbox": "SELECT, INSERT",
        "saga_verb": "SELECT",
        "saga_event": "SELECT, INSERT, UPDATE (taken_by, repeated, expires_at)",
        "saga_sent": "SELECT, INSERT",
        "saga_plan": "SELECT, INSERT",
    },
    RoleKind.OPERATOR: {
        "saga": "SELECT, UPDATE",
        "saga_journal": "SELECT, INSERT",
        "saga_inbox": "SELECT, UPDATE (answer, answered_at)",
        "saga_verb": "SELECT, INSERT, UPDATE",
        "saga_operation": "SELECT, INSERT, UPDATE",
        "saga_event": "SELECT, UPDATE (taken_by, repeated), DELETE",
        "saga_rejection": "SELECT, INSERT",
        "saga_plan": "SELECT",
        "saga_pause": "SELECT, INSERT, UPDATE, DELETE",
        "saga_attribute": "SELECT, INSERT, UPDATE (value)",
        "saga_outgoing": "SELECT, INSERT, UPDATE, DELETE",
    },
    RoleKind.PRUNER: {
        "saga": "SELECT, UPDATE (acknowledged), DELETE",
        "saga_journal": "SELECT, DELETE",
        "saga_inbox": "SELECT, DELETE",
        "saga_verb": "SELECT, DELETE",
        "saga_rejection": "SELECT, DELETE",
        "saga_attribute": "SELECT, DELETE",
        "saga_outgoing": "SELECT",
        "saga_event": "SELECT",
        "saga_operation": (
            "SELECT, INSERT (shard, id, verb, step_id, saga_id, actor, reason, request, progress), "
            "UPDATE (outcome, updated_at)"
        ),
        "saga_plan": "SELECT",
        "saga_tombstone": "SELECT, INSERT, UPDATE, DELETE",
        "saga_retention": "SELECT, INSERT, UPDATE",
    },
    RoleKind.VIEWER: dict.fromkeys(_TABLES, _READ),
}
"""By kind and table, as they stand in a GRANT; beside them USAGE on the schema."""


class Right(msgspec.Struct, frozen=True):
    """A privilege on a table, or on one column of it."""

    table: str
    privilege: str
    column: str = ""

    @override
    def __str__(self) -> str:
        return f"{self.privilege} ({self.column})" if self.column else self.privilege


def needs(kind: RoleKind) -> tuple[Right, ...]:
    """The rights that a role of that kind needs, beside USAGE on the schema."""
    return tuple(
        Right(table, privilege, column)
        for table, rights in {**_EVERYBODY, **RIGHTS[kind]}.items()
        for privilege, columns in _RIGHT.findall(rights)
        for column in columns.split(", ")
    )


def named(rights: Iterable[Right]) -> str:
    """Rights in words.

    >>> named([Right("saga", "SELECT"), Right("saga", "UPDATE", "due_at"), Right("saga_inbox", "INSERT")])
    'SELECT, UPDATE (due_at) on saga, INSERT on saga_inbox'
    """
    by_table: dict[str, list[str]] = {}
    for right in rights:
        by_table.setdefault(right.table, []).append(str(right))
    return ", ".join(f"{', '.join(each)} on {table}" for table, each in by_table.items())


def read_grant(text: str) -> tuple[RoleKind, str]:
    """A kind and a role's name out of `worker=ROLE`. Raises StoreError."""
    kind, _, role = text.partition("=")
    if kind not in set(RoleKind) or not role or "\x00" in role:
        raise StoreError(f"{shown(text)} is no grant", hint=f"write KIND=ROLE, with one of {', '.join(RoleKind)}")
    return RoleKind(kind), role


def tables_of(kind: RoleKind, schema: str) -> list[str]:
    """The tables, qualified and quoted, of which a role of that kind may read something at least."""
    return [with_schema(f"{{schema}}.{table}", schema) for table in {**_EVERYBODY, **RIGHTS[kind]}]


def grants(kind: RoleKind, role: str, schema: str) -> list[str]:
    """The statements that give a role what it needs. They can be repeated, and take nothing away."""
    quoted = '"' + role.replace('"', '""') + '"'
    rights = {**_EVERYBODY, **RIGHTS[kind]}
    return [
        with_schema(f"GRANT USAGE ON SCHEMA {{schema}} TO {quoted}", schema),
        *(with_schema(f"GRANT {given} ON {{schema}}.{table} TO {quoted}", schema) for table, given in rights.items()),
    ]
