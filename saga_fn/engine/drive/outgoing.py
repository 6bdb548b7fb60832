"""Outgoing messages of a saga, as the commit writes them that makes them true."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

import msgspec

from saga_fn import steady
from saga_fn.codec.carrier import carrier_in
from saga_fn.codec.message import headers_in
from saga_fn.core.hooks import Hook
from saga_fn.core.ids import Moment
from saga_fn.definition import SagaNews
from saga_fn.definition.outgoing import Draft, hook_topic
from saga_fn.engine.registry import Registered
from saga_fn.engine.topics import NO_TOPICS
from saga_fn.store.records import OutgoingRow, time_of

_encode = msgspec.json.Encoder().encode


class Source(msgspec.Struct, frozen=True):
    """The saga that messages come from."""

    id: UUID
    name: str
    version: int
    aggregation_id: str | None
    trace_id: str
    trace_carrier: bytes | None = None
    registered: Registered | None = None
    """Its definition; None where this process does not know it."""


class Said(msgspec.Struct, frozen=True, gc=False):
    """The messages and hooks of one journal entry."""

    rev: int
    at: Moment
    drafts: Sequence[Draft] = ()
    hooks: Sequence[Hook] = ()
    error: str | None = None
    parked: str | None = None


def rows_of(source: Source, said: Iterable[Said]) -> tuple[OutgoingRow, ...]:
    """The rows: of each entry first the messages, in the order in which they were published, then the hooks."""
    carrier = carrier_in(source.trace_carrier)
    return tuple([row for each in said for row in _of_entry(source, each, carrier)])


def _of_entry(source: Source, said: Said, carrier: Mapping[str, str]) -> Iterable[OutgoingRow]:
    registered = source.registered
    topics, made = NO_TOPICS if registered is None else registered.topics, steady.now()
    key = source.aggregation_id or str(source.id)
    for n, draft in enumerate(said.drafts):
        token = topics.token_for(draft.topic)
        yield OutgoingRow(
            said.rev,
            n,
            draft.topic,
            draft.key or key,
            _encode({**carrier, **headers_in(draft.headers)}) if carrier else draft.headers,
            draft.body,
            token,
            topics.lease,
            made,
        )
    for n, hook in enumerate(said.hooks, len(said.drafts)):
        hooks = None if registered is None else registered.definition.hooks
        if registered is not None and (hooks is None or hooks.of(hook) is None):
            continue
        news = SagaNews(
            hook=hook,
            saga_id=source.id,
            saga_name=source.name,
            version=source.version,
            aggregation_id=source.aggregation_id,
            trace_id=source.trace_id,
            at=time_of(said.at),
            error=said.error,
            parked=said.parked,
        )
        yield OutgoingRow(
            said.rev,
            n,
            hook_topic(source.name, source.version, hook),
            key,
            _encode(carrier) if carrier else None,
            _encode(news),
            topics.token_for_hook(hooks, hook),
            topics.lease,
            made,
        )
