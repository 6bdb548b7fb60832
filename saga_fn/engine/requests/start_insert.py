"""Inserts sagas by one statement, and tells what follows from that: to observers, the relay and the events for a business key."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from saga_fn import steady
from saga_fn.backoff import Backoff
from saga_fn.core.ids import Moment
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.observe.fact import SagaIdentity
from saga_fn.engine.observe.of_sagas import SagaStarted
from saga_fn.engine.requests.first_row import StartRequest
from saga_fn.errors import StoreError, StoreUnavailableError
from saga_fn.store.errors import RowLockedError, StatementFailedError, StoreBusyError
from saga_fn.store.ids import shard_of_key
from saga_fn.store.records import NewSaga

GLANCE: Final = timedelta(milliseconds=2)
"""How long an insert waits for another transaction that is known to have something in its way."""
_TRIES: Final = 5
"""How often an insert whose answer was lost is sent again before the caller hears of it."""
_LONGEST_PAUSE: Final = 0.1


async def insert(
    engine: SagaEngine, shard: int, sagas: Sequence[NewSaga], *, lock_timeout: timedelta
) -> tuple[Collection[UUID], Moment]:
    """Which of the sagas are new. An insert whose answer was lost is sent again, and what then exists is told apart.

    Raises RowLockedError if none of them was inserted, for another transaction holds the key of one.
    """
    store = engine.store
    give_up = steady.now() + engine.options.time_limit * 1.5  # once more than a silent connection takes
    backoff = Backoff(0.01, _LONGEST_PAUSE)
    for attempt in range(_TRIES):
        try:
            inserted = await store.insert(shard, sagas, lease=engine.options.lease, lock_timeout=lock_timeout)
            if not attempt:
                return inserted.ids, inserted.now
            written = await store.writers(shard, [(new.id, 1) for new in sagas])
        except (StoreUnavailableError, StoreBusyError) as error:
            over = attempt == _TRIES - 1 or steady.now() > give_up
            answered = isinstance(error, StatementFailedError)  # nothing was inserted
            if over or answered or (isinstance(error, RowLockedError) and not attempt):
                raise
            await backoff.pause()
        else:
            return {new.id for new in sagas if written.get((new.id, 1)) == new.writer}, inserted.now
    raise StoreError("a start could not be settled")  # unreachable: the last attempt returns or raises


def tell_inserted(engine: SagaEngine, new: NewSaga, *, owned: bool) -> None:
    """A saga has begun: its first messages are published, and observers hear of it."""
    if engine.observers.listens:
        identity = SagaIdentity(new.id, new.name, new.version, new.trace_id, kept_carrier=new.trace_carrier)
        engine.observers.tell(SagaStarted(identity, owned))
    if new.outgoing:
        engine.topics.written(new.id, new.name, new.version, new.outgoing, 0)


async def hand_over(engine: SagaEngine, request: StartRequest) -> None:
    """Give a saga that has just begun what was sent to its business key before. A sweep mends it if this fails."""
    name, aggregation_id = request.registered.name, request.aggregation_id
    if aggregation_id is None or not request.registered.definition.plan.events:
        return
    store = engine.store
    since = store.now()
    with contextlib.suppress(StoreError):
        saga_id = await store.kept_events.hand_over(shard_of_key(aggregation_id, store.shards), (name, aggregation_id))
        if saga_id is not None:
            engine.recheck_inbox(saga_id)
            engine.on_due(since)
