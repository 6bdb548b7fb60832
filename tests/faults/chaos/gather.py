"""The facts that the audit of the chaos run looks at, as the database and the books have them."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import attrs
import msgspec

from saga_fn import SagaAdmin, SagaOrchestrator, SagaStatus, WaitReason
from saga_fn.core.hooks import hooks_of
from saga_fn.core.plan import Plan
from saga_fn.core.state import SagaState
from saga_fn.core.transition import transition
from saga_fn.engine.drive.message import payload_in
from saga_fn.outgoing import message_id
from saga_fn.store.records import decode_event, time_of
from tests.faults.chaos.audit import Facts, Kept, Saga
from tests.faults.chaos.books import read_books, read_calls, read_rows
from tests.faults.chaos.broker import received
from tests.faults.chaos.sagas import CALLED, ENTERED, Note
from tests.faults.chaos.told import Told

UNSETTLED: Final = "SELECT id FROM saga_fn.saga WHERE ended_at IS NULL AND NOT (owner IS NULL AND due_at IS NULL)"
"""Sagas that go on by themselves: a process works on them, or will when they are due."""

UNSENT: Final = "SELECT count(*) FROM saga_fn.saga_outgoing"


async def gather(
    told: Told, orchestrator: SagaOrchestrator, booked: Plan, pool: asyncpg.Pool, books: asyncpg.Pool
) -> Facts:
    """All of them; `booked` is the plan of the definition with hooks. Nothing may go on meanwhile."""
    begun, effects = await read_books(books)
    unsettled = {row[0] for row in await pool.fetch(UNSETTLED)}
    done = await _done_at(pool)
    unread = await _unread(pool)
    sagas = {
        row[0]: await _saga(orchestrator, row[0], row[0] not in unsettled, done[row[0]], frozenset(unread[row[0]]))
        for row in await pool.fetch("SELECT id FROM saga_fn.saga ORDER BY id")
    }
    brought = await _brought(pool, booked)
    sagas = {
        saga_id: attrs.evolve(saga, messages=of.messages, rows=of.rows, calls=frozenset(of.calls))
        for saga_id, saga in sagas.items()
        for of in [brought[saga_id]]
    }
    rows = await pool.fetch("SELECT name, aggregation_id, body, taken_by FROM saga_fn.saga_event")
    kept = [Kept((name, key), _number(payload_in(body)), taken) for name, key, body, taken in rows]
    return Facts(
        told=told,
        sagas=sagas,
        begun=begun,
        effects=effects,
        kept=kept,
        received=await received(books),
        rows=await read_rows(pool),
        calls=await read_calls(books),
    )


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


@attrs.define
class Brought:
    """The effects that one saga's journal has to have brought into the world, in that order."""

    messages: list[UUID] = attrs.field(factory=list[UUID])
    rows: list[tuple[str, str]] = attrs.field(factory=list[tuple[str, str]])
    calls: list[tuple[str, datetime]] = attrs.field(factory=list[tuple[str, datetime]])
    state: SagaState | None = None


async def _brought(pool: asyncpg.Pool, booked: Plan) -> defaultdict[UUID, Brought]:
    """By saga: a message with each step that it did, a second and a row with each commit of a transactional one, and the hooks."""
    found: defaultdict[UUID, Brought] = defaultdict(Brought)
    rows = await pool.fetch(
        "SELECT s.name, j.saga_id, j.seq, j.kind, j.step_id, j.event FROM saga_fn.saga_journal AS j"
        " JOIN saga_fn.saga AS s ON s.id = j.saga_id ORDER BY j.saga_id, j.seq"
    )
    for name, saga, seq, kind, step, event in rows:
        of, many = found[saga], 0
        direction = {"step_succeeded": "execute", "compensation_succeeded": "compensate"}.get(kind)
        if (name, step) in ENTERED and direction is not None:
            of.rows.append((step, direction))
            many = 2 if direction == "execute" else 1  # one of them is declared
        elif direction == "execute":
            many = 1
        of.messages += [message_id(saga, seq, n) for n in range(many)]
        if name == "booked":
            before, of.state = of.state, transition(booked, of.state, decode_event(event)).unwrap().state
            for n, hook in enumerate(hooks_of(before, of.state), many):
                if hook in CALLED:
                    of.calls.append((hook.value, time_of(of.state.at)))
                else:
                    of.messages.append(message_id(saga, seq, n))
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
