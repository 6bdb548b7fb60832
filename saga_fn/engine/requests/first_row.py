"""The first row and the first journal entry of a saga, computed before anything is written."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from uuid import UUID

import msgspec
from returns.result import Success

from saga_fn.arguments import check_key, check_size
from saga_fn.codec.carrier import kept_carrier
from saga_fn.core.effects import Transition
from saga_fn.core.events import Binding, Started
from saga_fn.core.foresight import foresee_start
from saga_fn.core.hooks import hooks_of
from saga_fn.core.ids import AT_ONCE, Micros, StepId
from saga_fn.core.plan import Plan
from saga_fn.core.projection import project
from saga_fn.core.state import SagaState
from saga_fn.core.transition import transition
from saga_fn.engine.drive.attributes import at_start
from saga_fn.engine.drive.inputs import bind_all
from saga_fn.engine.drive.outgoing import Said, Source, rows_of
from saga_fn.engine.drive.owned_saga import OwnedSaga
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.registry import Registered
from saga_fn.errors import PayloadError, is_a
from saga_fn.store.ids import new_saga_id, new_uuid
from saga_fn.store.records import NewSaga, OutgoingRow


class StartRequest(msgspec.Struct, frozen=True):
    """A start that a caller asks for."""

    registered: Registered
    initial_data: object
    aggregation_id: str | None = None
    idempotency_key: str | None = None
    trace_id: str | None = None
    trace_carrier: Mapping[str, str] | None = None
    delay: Micros = AT_ONCE
    """How much later it is to begin."""

    def within(self, headers: Mapping[str, str]) -> StartRequest:
        """The same with these headers of a trace: those that the caller has not given, and that leave room for the caller's."""
        given = self.trace_carrier
        if not headers or not is_a(given, (Mapping, type(None))):  # what is none is refused later
            return self
        try:
            carrier = dict(given or {})
        except Exception:  # noqa: BLE001 - a mapping of the caller's may raise anything, and is refused later
            return self
        for name, value in headers.items():
            if name not in carrier and _is_kept({**carrier, name: value}):
                carrier[name] = value
        return msgspec.structs.replace(self, trace_carrier=carrier)


def _is_kept(carrier: Mapping[str, str]) -> bool:
    try:
        return kept_carrier(carrier) is not None
    except PayloadError:
        return False


def first_row(
    engine: SagaEngine, request: StartRequest, *, owned: bool
) -> tuple[NewSaga, OwnedSaga | None, Transition]:
    """Make the row, and, if this process will own the saga, the saga as it runs here.

    Raises PayloadError for data and keys that cannot be stored.
    """
    registered = request.registered
    plan = registered.definition.plan
    payload, initial_data = _payload(engine, request)
    saga_id = new_saga_id(
        name=registered.name, aggregation_id=request.aggregation_id, idempotency_key=request.idempotency_key
    )
    at = engine.store.now()
    event = Started(at, plan.id, delay=request.delay)
    trace_id = request.trace_id or str(new_uuid())
    known, needs = foresee_start(plan, event)
    trace_carrier = kept_carrier(request.trace_carrier)
    live: OwnedSaga | None = None
    bound: tuple[Started, Transition] | None = None
    if owned and needs:
        live = OwnedSaga(  # by place, as below: names cost ten times as much, for each saga
            saga_id,
            registered,
            plan,
            known,
            new_uuid(),
            engine.owner,
            trace_id,
            request.aggregation_id,
            0,
            0,
            None,
            engine.options.max_payload_bytes,
            payload,
            trace_carrier,
            own=True,
            initial_value=initial_data if registered.definition.initial_type.unchangeable else None,
        )
        bound = _bound(live, event, known, needs)
    if live is None or bound is None:
        live, moved = None, _started(plan, event)
    else:
        event, moved = bound
        live.state = moved.state
    new = NewSaga(
        saga_id,
        registered.name,
        registered.version,
        request.aggregation_id,
        trace_id,
        trace_carrier,
        # Only a request with an idempotency key is ever compared with one before it.
        b"" if request.idempotency_key is None else hashlib.blake2b(payload, digest_size=16).digest(),
        moved.state,
        event,
        payload,
        None if live is None else live.token,
        None if live is None else live.owner,
        new_uuid() if live is None else live.token,
        project(plan, moved.state),
        at_start(registered.definition, initial_data),
        request.idempotency_key is not None,
        () if registered.definition.hooks is None else _outgoing(request, saga_id, trace_id, trace_carrier, moved),
    )
    return new, live, moved


def _outgoing(
    request: StartRequest, saga_id: UUID, trace_id: str, trace_carrier: bytes | None, moved: Transition
) -> tuple[OutgoingRow, ...]:
    """The calls of hooks that the start brings."""
    registered = request.registered
    source = Source(
        saga_id,
        registered.name,
        registered.version,
        request.aggregation_id,
        trace_id,
        trace_carrier,
        registered,
    )
    return rows_of(source, [Said(1, moved.state.at, hooks=hooks_of(None, moved.state))])


def _bound(
    live: OwnedSaga, event: Started, known: SagaState, needs: tuple[StepId, ...]
) -> tuple[Started, Transition] | None:
    """The start with the inputs of what it starts, which are these at first; None if it is to be left to the first claim.

    That parks it with the fault in the journal if an input cannot be computed, and goes on if nothing is there to run.
    """
    bindings: list[Binding] = []
    while True:
        bound, faults = bind_all(live, known, needs)
        if faults:
            return None
        bindings += bound
        event = Started(event.at, event.plan, tuple(bindings), event.delay)
        moved = _started(live.plan, event)
        if not moved.needs:
            return None if moved.writes else (event, moved)
        known, needs = moved.state, moved.needs


def _payload(engine: SagaEngine, request: StartRequest) -> tuple[bytes, object]:
    """The initial data as they are stored, and as they come back from that."""
    initial_type = request.registered.definition.initial_type
    payload, initial_data = initial_type.proved(initial_type.accept(request.initial_data))
    check_size("the initial data", payload, engine.options.max_payload_bytes)
    for name, key in (
        ("aggregation_id", request.aggregation_id),
        ("idempotency_key", request.idempotency_key),
        ("trace_id", request.trace_id),
    ):
        if key is not None:
            check_key(name, key)
    return payload, initial_data


def _started(plan: Plan, event: Started) -> Transition:
    decision = transition(plan, None, event)
    assert type(decision) is Success, "a start with the definition's own plan is always accepted"
    return decision.unwrap()
