"""The facts that the audit of the chaos run looks at, as the database and the books have them."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final
from uuid import UUID

import asyncpg
import attrs
import msgspec

from saga_fn import SagaAdmin, SagaOrchestrator, SagaStatus, WaitReason
from saga_fn.engine.drive.message import payload_in
from saga_fn.outgoing import message_id
from tests.faults.chaos.audit import Facts, Kept, Saga
from tests.faults.chaos.books import read_books
from tests.faults.chaos.broker import received
from tests.faults.chaos.sagas import Note
from tests.faults.chaos.told import Told

UNSETTLED: Final = "SELECT id FROM saga_fn.saga WHERE ended_at IS NULL AND NOT (owner IS NULL AND due_at IS NULL)"
"""Sagas that go on by themselves: somebody works on them, or will when they are due."""

UNSENT: Final = "SELECT count(*) FROM saga_fn.saga_outgoing"


async def gather(told: Told, orchestrator: SagaOrchestrator, pool: asyncpg.Pool, books: asyncpg.Pool) -> Facts:
    """All of them. Nothing may go on meanwhile."""
    begun, effects = await read_books(books)
    unsettled = {row[0] for row in await pool.fetch(UNSETTLED)}
    done = await _done_at(pool)
    unread = await _unread(pool)
    sagas = {
        row[0]: await _saga(orchestrator, row[0], row[0] not in unsettled, done[row[0]], frozenset(unread[row[0]]))
        for row in await pool.fetch("SELECT id FROM saga_fn.saga ORDER BY id")
    }
    messages = await _messages(pool)
    sagas = {saga_id: attrs.evolve(saga, messages=tuple(messages[saga_id])) for saga_id, saga in sagas.items()}
    rows = await pool.fetch("SELECT name, aggregation_id, body, taken_by FROM saga_fn.saga_event")
    kept = [Kept((name, key), _number(payload_in(body)), taken) for name, key, body, taken in rows]
    return Facts(told=told, sagas=sagas, begun=begun, effects=effects, kept=kept, received=await received(books))


async def _saga(
    orchestrator: SagaOrchestrator,
    saga_id: UUID,
    settled: bool,
    done_at: dict[tuple[str, str], list[float]],
    unread: frozenset[int],
) -> Saga:
    admin = SagaAdmin(orchestrator)
    seen = await admin.get_saga(saga_id)
    waits = seen.status is SagaStatus.SUSPENDED and bool(seen.waits & (WaitReason.PARKED | WaitReason.EVENT))
    by_hand = {
        e.step_id
        for e in seen.step_history
        if e.step_id
        and (e.skipped or e.kind == "step_settled" or (e.kind == "retry_requested" and e.input is not None))
    }
    if any(e.kind == "rewind_requested" for e in seen.step_history):  # all that was done before it is forgotten
        by_hand |= {step.step_id for step in seen.steps}
        done_at = {}
    return Saga(
        id=saga_id,
        name=seen.saga_name,
        status=seen.status,
        settled=seen.status.is_terminal or (settled and waits),
        key=seen.aggregation_id,
        parked=seen.parked,
        steps={step.step_id: step.status for step in seen.steps},
        left_over={left.step_id: left.kind for left in seen.left_over},
        settled_by_hand=frozenset(by_hand),
        reasons=[entry.reason for entry in seen.step_history if entry.reason is not None],
        events=[_number(entry.output) for entry in seen.step_history if entry.kind == "event_received"],
        unread=unread,
        done_at=done_at,
        disagreements=await admin.verify(saga_id),
    )


async def _done_at(pool: asyncpg.Pool) -> dict[UUID, dict[tuple[str, str], list[float]]]:
    found: defaultdict[UUID, dict[tuple[str, str], list[float]]] = defaultdict(dict)
    rows = await pool.fetch(
        "SELECT saga_id, step_id, CASE kind WHEN 'step_succeeded' THEN 'execute' ELSE 'compensate' END,"
        " extract(epoch FROM recorded_at)::double precision FROM saga_fn.saga_journal"
        " WHERE kind IN ('step_succeeded', 'compensation_succeeded') ORDER BY saga_id, seq"
    )
    for saga, step, direction, at in rows:
        found[saga].setdefault((step, direction), []).append(at)
    return found


async def _messages(pool: asyncpg.Pool) -> dict[UUID, list[UUID]]:
    """The ids of the messages that each saga has to have published: one with each step that it did, in their order."""
    found: defaultdict[UUID, list[UUID]] = defaultdict(list)
    rows = await pool.fetch(
        "SELECT saga_id, seq FROM saga_fn.saga_journal WHERE kind = 'step_succeeded' ORDER BY saga_id, seq"
    )
    for saga, seq in rows:
        found[saga].append(message_id(saga, seq, 0))
    return found


async def _unread(pool: asyncpg.Pool) -> dict[UUID, list[int]]:
    found: defaultdict[UUID, list[int]] = defaultdict(list)
    rows = await pool.fetch("SELECT saga_id, body FROM saga_fn.saga_inbox WHERE answer IS NULL")
    for saga, body in rows:
        found[saga].append(_number(payload_in(body)))
    return found


def _number(payload: Any) -> int:  # Any: JSON
    """The number of an event, by what it brings; that of none is -1."""
    try:
        return msgspec.convert(payload, Note).number
    except msgspec.ValidationError:
        return -1
