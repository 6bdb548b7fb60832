"""Starts that are part of a transaction of the caller's: they never leave its connection.

Everything goes through that connection: the plan, the insert, and the look at what stood in its way. A look by another one
would not see what the transaction has written, and an insert by another one would wait for it, or outlive its rollback.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta
from typing import TypeAlias
from uuid import UUID

import msgspec

from saga_fn import steady
from saga_fn.engine.commit.batching import BATCH_BYTES, BATCH_ROWS
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.requests.first_row import StartRequest, first_row
from saga_fn.engine.requests.start_conflicts import CHANGED_HANDS, LOOKS, StartedSaga, busy, existing, start_error
from saga_fn.errors import ActiveSagaAlreadyExistsError, SagaError, StartConflictError, StoreError
from saga_fn.store.connection import CallerConnection, check_transaction
from saga_fn.store.ids import shard_of
from saga_fn.store.records import NewSaga

_Start: TypeAlias = tuple[int, StartRequest, NewSaga]
"""Its place among the requests, what is wanted, and what is to be inserted."""


async def start_within(
    engine: SagaEngine, requests: Sequence[StartRequest], connection: CallerConnection, *, notify: bool
) -> list[StartedSaga]:
    """Insert these sagas in the connection's transaction, without an owner; gives them in the order of the requests.

    They wait `key_wait` at most for other transactions with the same keys. Raises StartBusyError then: PostgreSQL has
    aborted the transaction. A start with another saga in its way raises when the others were inserted. With `notify` other
    processes are told when it is committed.
    """
    check_transaction(connection, "the saga would start")
    plans = {plan.id: plan for plan in (request.registered.definition.plan for request in requests)}
    try:
        for plan in plans.values():
            await engine.definitions.hold_plan(plan, connection)
    except StoreError as error:
        raise start_error(requests, error, aborted=True) from error
    left = [(place, each, _left_to_all(first_row(engine, each, owned=False)[0])) for place, each in enumerate(requests)]
    give_up = steady.now() + engine.options.key_wait.total_seconds()
    results: dict[int, StartedSaga | SagaError] = {}
    for _ in range(LOOKS):
        again: list[_Start] = []
        for shard, batch in _batches(left, engine.store.shards):
            created = await _insert(engine, shard, batch, connection, give_up)
            for start in batch:
                result = await _result(engine, start, created, connection)
                if result is None:
                    again.append(start)
                else:
                    results[start[0]] = result
        left = again
    results |= {place: busy(request, CHANGED_HANDS) for place, request, _ in left}
    new = [each for each in results.values() if isinstance(each, StartedSaga) and each.created]
    if new:
        since = min((each.due for each in new if each.due is not None), default=engine.store.now())
        engine.uncommitted.add([each.id for each in new], connection, since)
        if notify:
            await engine.store.hint([since], connection=connection)  # however late it is committed
    return [_unless_error(results[place]) for place in range(len(requests))]


def _left_to_all(new: NewSaga) -> NewSaga:
    """The same with messages that no process holds: this process does not hear of the commit, and would let their leases run out."""
    if not new.outgoing:
        return new
    free = tuple(msgspec.structs.replace(each, token=None) for each in new.outgoing)
    return msgspec.structs.replace(new, outgoing=free)


async def _insert(
    engine: SagaEngine, shard: int, batch: Sequence[_Start], connection: CallerConnection, give_up: float
) -> Collection[UUID]:
    lock_timeout = timedelta(seconds=max(0.0, give_up - steady.now()))
    new = [each for _, _, each in batch]
    try:
        inserted = await engine.store.insert(
            shard, new, lease=engine.options.lease, lock_timeout=lock_timeout, connection=connection
        )
    except StoreError as error:
        raise start_error([request for _, request, _ in batch], error, aborted=True) from error
    return inserted.ids


async def _result(
    engine: SagaEngine, start: _Start, created: Collection[UUID], connection: CallerConnection
) -> StartedSaga | SagaError | None:
    """The outcome of a start; None if the obstacle has ended meanwhile."""
    _, request, new = start
    if new.id in created:
        return StartedSaga(new.id, created=True, due=new.projection.due)
    try:
        return await existing(engine, request, new, connection)
    except (ActiveSagaAlreadyExistsError, StartConflictError) as error:
        return error  # the transaction is as it was: the others are inserted all the same
    except StoreError as error:
        raise start_error([request], error, aborted=True) from error


def _batches(starts: Sequence[_Start], shards: int) -> Iterator[tuple[int, list[_Start]]]:
    """The rows of one statement each: an id once, and keys in the one order in which every transaction inserts them.

    It is the order of insert_sagas.sql. Two transactions with the same keys in opposite orders would wait for each other.
    """
    left = sorted(starts, key=lambda start: _order(start[2], shards))
    while left:
        shard = shard_of(left[0][2].id, shards)
        batch: dict[UUID, _Start] = {}
        again: list[_Start] = []
        size = 0
        for start in left:
            new = start[2]
            fits = len(batch) < BATCH_ROWS and (not batch or size + len(new.payload) <= BATCH_BYTES)
            if again or not fits or new.id in batch or shard_of(new.id, shards) != shard:
                again.append(start)
            else:
                batch[new.id] = start
                size += len(new.payload)
        yield shard, list(batch.values())
        left = again


def _order(new: NewSaga, shards: int) -> tuple[int, bool, str, UUID]:
    return shard_of(new.id, shards), new.aggregation_id is None, new.aggregation_id or "", new.id


def _unless_error(result: StartedSaga | SagaError) -> StartedSaga:
    if isinstance(result, SagaError):
        raise result
    return result
