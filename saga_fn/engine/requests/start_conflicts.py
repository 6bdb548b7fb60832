"""Why a start inserted nothing, and how its caller is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec

from saga_fn.core.ids import Moment
from saga_fn.engine.drive.owned_saga import OwnedSaga
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.requests.first_row import StartRequest
from saga_fn.errors import (
    ActiveSagaAlreadyExistsError,
    PayloadError,
    SagaError,
    StartBusyError,
    StartConflictError,
    StoreError,
    StoreUnavailableError,
    shown,
)
from saga_fn.store.connection import CallerConnection
from saga_fn.store.errors import RowLockedError, RowRejectedError, StoreBusyError
from saga_fn.store.ids import shard_of
from saga_fn.store.records import NewSaga

LOOKS: Final = 5
"""How often a start whose key was taken, and free again when it looked, inserts again before its caller hears of it."""
CHANGED_HANDS: Final = "its key was taken and free again, each time it was tried"
HELD: Final = "another transaction holds its key, and is still open"


class StartedSaga(msgspec.Struct, frozen=True):
    """A saga that exists, or has; `created` by this call, or by one before it with the same key. `live` if it runs here."""

    id: UUID
    created: bool
    live: OwnedSaga | None = None
    retained: bool = True
    """False if it was deleted after its end."""
    due: Moment | None = None
    """Since when, or from when on, it is due if it was created and does not run here."""


async def existing(
    engine: SagaEngine, request: StartRequest, new: NewSaga, connection: CallerConnection | None = None
) -> StartedSaga | None:
    """The saga that the same request has started before; None if what stood in the way has ended meanwhile.

    Looks by the caller's connection where there is one: only that sees what its own transaction has written. Raises
    StartConflictError for another request under this key, ActiveSagaAlreadyExistsError for a business key that is taken.
    """
    store = engine.store
    row = await store.read(new.id, connection=connection)
    if row is not None:
        if row.request != new.request and not await _means_the_same(engine, request, new, connection):
            raise StartConflictError(new.name, request.idempotency_key or "", new.id)
        return StartedSaga(new.id, created=False)
    if new.keyed:  # after the look at its row: it was moved from there to here, if at all
        stone = await store.deletion.tombstone(new.id, connection=connection)
        if stone is not None:
            if stone.request != new.request:
                raise StartConflictError(new.name, request.idempotency_key or "", new.id, retained=False)
            return StartedSaga(new.id, created=False, retained=False)
    if new.aggregation_id is not None:
        shard = shard_of(new.id, store.shards)
        holder = await store.active(shard, new.name, new.aggregation_id, connection=connection)
        if holder is not None:
            raise ActiveSagaAlreadyExistsError(new.name, new.aggregation_id, holder)
    return None


async def _means_the_same(
    engine: SagaEngine, request: StartRequest, new: NewSaga, connection: CallerConnection | None
) -> bool:
    """Whether what the saga was started with is this request's data as they are read now: another build wrote other bytes."""
    shard, first = shard_of(new.id, engine.store.shards), (new.id, 1)
    kept = (await engine.store.results(shard, [first], connection=connection)).get(first)
    initial_type = request.registered.definition.initial_type
    given = initial_type.accept(request.initial_data)
    return kept is not None and kept.payload is not None and initial_type.means(kept.payload, given)


def busy(request: StartRequest, reason: str, *, aborted: bool = False) -> StartBusyError:
    """The error for the caller of a start that another transaction stands in the way of."""
    return StartBusyError(
        request.registered.name,
        reason=reason,
        aggregation_id=request.aggregation_id,
        idempotency_key=request.idempotency_key,
        aborted=aborted,
    )


def start_error(requests: Sequence[StartRequest], error: StoreError, *, aborted: bool = False) -> SagaError:
    """The public error for what a store says of the statement that was to start these."""
    name = requests[0].registered.name
    one = (
        requests[0] if len(requests) == 1 else StartRequest(requests[0].registered, None)
    )  # which of them, it cannot tell
    match error:
        case RowRejectedError():
            return PayloadError(
                f"the database cannot store the data or a key of the start of {shown(name)}: {error.fact}",
                hint="its name, keys and data need characters that the database's encoding has: UTF8 has them all",
            )
        case RowLockedError():
            return busy(one, HELD, aborted=aborted)
        case StoreBusyError() if aborted:
            return busy(one, error.fact, aborted=True)
        case StoreBusyError():
            return StoreUnavailableError(error.fact, hint=error.hint or "start it again; with a key it is started once")
        case _:
            return error
