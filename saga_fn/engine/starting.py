"""How a saga begins: one insert with its first journal entry, owned at once by this process if it has a slot for it."""

from __future__ import annotations

import hashlib
import time
from uuid import UUID, uuid4

import attrs
from returns.result import Success

from saga_fn.core.effects import Transition
from saga_fn.core.events import Binding, Started
from saga_fn.core.plan import Plan
from saga_fn.core.transition import transition
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.live import LiveSaga
from saga_fn.engine.registry import Registered
from saga_fn.errors import (
    ActiveSagaAlreadyExistsError,
    PayloadError,
    PayloadTooLargeError,
    StartConflictError,
    StoreError,
    StoreUnavailableError,
)
from saga_fn.store.connection import Connection
from saga_fn.store.ids import new_saga_id, shard_of
from saga_fn.store.records import NewSaga

_LONGEST_KEY = 255
_UNSURE = 5
"""How often an insert whose answer was lost is sent again before the caller hears of it."""


@attrs.frozen
class StartRequest:
    """What a caller wants started."""

    registered: Registered
    initial_data: object
    aggregation_id: str | None = None
    idempotency_key: str | None = None
    trace_id: str | None = None
    connection: Connection | None = None


@attrs.frozen
class StartedSaga:
    """A saga that exists now; `created` by this call, or by one before it with the same key."""

    id: UUID
    created: bool


async def start_saga(engine: SagaEngine, request: StartRequest, *, may_own: bool) -> StartedSaga:
    """Insert the saga; durable when this returns. Raises before anything is written whatever can be known then."""
    definition = request.registered.definition
    payload = definition.initial_type.encode(definition.initial_type.accept(request.initial_data))
    if len(payload) > engine.options.max_payload_bytes:
        raise PayloadTooLargeError("the initial data", size=len(payload), limit=engine.options.max_payload_bytes)
    for name in ("aggregation_id", "idempotency_key", "trace_id"):
        _check_key(name, getattr(request, name))
    saga_id = new_saga_id(
        name=request.registered.name,
        aggregation_id=request.aggregation_id,
        idempotency_key=request.idempotency_key,
    )
    await engine.keep_plan(definition.plan)
    new, saga, moved = _prepare(engine, request, saga_id, payload, owned=may_own and request.connection is None)
    inserted = await _insert(engine, new, request.connection)
    if not inserted:
        return await _existing(engine, request, new)
    if saga is not None:
        engine.drive_started(saga, moved.actions)
    return StartedSaga(saga_id, created=True)


def _prepare(
    engine: SagaEngine, request: StartRequest, saga_id: UUID, payload: bytes, *, owned: bool
) -> tuple[NewSaga, LiveSaga | None, Transition]:
    registered = request.registered
    plan = registered.definition.plan
    at = engine.store.now()
    event = Started(at, plan.id)
    moved = _started(plan, event)
    token = uuid4() if owned else None
    trace_id = request.trace_id or str(uuid4())
    saga = None
    if token is not None:
        saga = LiveSaga(
            id=saga_id,
            registered=registered,
            plan=plan,
            state=moved.state,
            token=token,
            owner=engine.owner,
            trace_id=trace_id,
            aggregation_id=request.aggregation_id,
            signals=0,
            seen=0,
            last_error=None,
            deadline=time.monotonic() + engine.options.lease.total_seconds(),
            max_payload_bytes=engine.options.max_payload_bytes,
            initial=payload,
        )
        bound: list[Binding] = []
        for step in moved.needs:
            binding, fault = saga.bind(moved.state, step)
            if fault is not None:
                # Left to the first claim, which parks it with the fault in the journal.
                saga, token, bound = None, None, []
                break
            bound.append(binding)
        if bound:
            event = Started(at, plan.id, tuple(bound))
            moved = _started(plan, event)
        if saga is not None:
            saga.state = moved.state
    new = NewSaga(
        id=saga_id,
        name=registered.name,
        version=registered.version,
        aggregation_id=request.aggregation_id,
        trace_id=trace_id,
        request=hashlib.blake2b(payload, digest_size=16).digest(),
        state=moved.state,
        event=event,
        payload=payload,
        token=token,
        owner=None if token is None else engine.owner,
        write_id=uuid4(),
    )
    return new, saga, moved


def _started(plan: Plan, event: Started) -> Transition:
    decision = transition(plan, None, event)
    assert isinstance(decision, Success), "a start with the definition's own plan is always accepted"
    return decision.unwrap()


async def _insert(engine: SagaEngine, new: NewSaga, connection: Connection | None) -> bool:
    """Whether the saga is new. An insert whose answer was lost is sent again, and what then exists is told apart."""
    shard = shard_of(new.id, engine.store.shards)
    for attempt in range(_UNSURE):
        try:
            inserted = await engine.store.insert(shard, [new], lease=engine.options.lease, connection=connection)
        except StoreUnavailableError:
            if connection is not None or attempt == _UNSURE - 1:
                raise
            continue
        if new.id in inserted.ids:
            return True
        if attempt:
            written = await engine.store.write_ids(shard, [(new.id, 1)])
            return written.get((new.id, 1)) == new.write_id
        return False
    raise StoreError("a start could not be settled")  # unreachable: the last attempt returns or raises


async def _existing(engine: SagaEngine, request: StartRequest, new: NewSaga) -> StartedSaga:
    """Why nothing was inserted: the same request before, another one under its key, or a taken business key."""
    row = await engine.store.read(new.id)
    if row is not None:
        if row.request != new.request:
            raise StartConflictError(new.name, request.idempotency_key or "", new.id)
        return StartedSaga(new.id, created=False)
    if new.aggregation_id is not None:
        holder = await engine.store.active(shard_of(new.id, engine.store.shards), new.name, new.aggregation_id)
        if holder is not None:
            raise ActiveSagaAlreadyExistsError(new.name, new.aggregation_id, holder)
    # The holder of the key ended between the two looks.
    return await start_saga(engine, request, may_own=False)


def _check_key(name: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_KEY:
        raise PayloadError(
            f"{name} must be a string of 1 to {_LONGEST_KEY} characters, not {value!r:.80}",
            hint="hash longer keys first",
        )
    if "\x00" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise PayloadError(f"{name} holds a character that PostgreSQL cannot store (NUL or a lone surrogate)")
