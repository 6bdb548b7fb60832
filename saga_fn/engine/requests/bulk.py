"""One act for all sagas that a filter finds, carried out in batches by the process that holds the operation.

Before a batch is begun, its sagas and their revisions are durable, and so is the place after them. So a process that goes on
asks the same sagas at the same revisions: a saga that was served before is found by the id of that act, and never served twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import Counter
from datetime import timedelta
from typing import Final
from uuid import UUID

import msgspec

from saga_fn import steady
from saga_fn.backoff import Backoff
from saga_fn.core.effects import Refusal
from saga_fn.core.event_matching import Answer
from saga_fn.core.ids import LONG_AGO, Moment, StepId
from saga_fn.core.verbs import Verb
from saga_fn.engine.drive.asked import Asked
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.requests.deeds import Act, Deed, Moving
from saga_fn.engine.requests.operate import apply, ask_of
from saga_fn.engine.requests.records import NOT_ANSWERED, refusal_in
from saga_fn.engine.requests.stored_operation import Ending, Request, listing, request_in
from saga_fn.errors import (
    PayloadError,
    SagaError,
    SagaStateError,
    StoreError,
)
from saga_fn.snapshot import OperationState
from saga_fn.store.ids import shard_of
from saga_fn.store.records import OperationRecord, Progress, SagaRecord, moment_of, time_of

BATCH: Final = 100
"""The most sagas of a batch."""
_AT_ONCE: Final = 16
"""So many sagas of a batch are asked at the same time."""
_PATIENCE: Final = 0.125
"""A part of the lease: so long an owner has to answer. Thus a batch is over before the lease is."""
_LOOK_AGAIN: Final = 0.1
"""Seconds."""
_LONGEST_OPEN: Final = 60.0
"""Seconds. A start that is committed later is left out: a transaction that a client has forgotten shall not prolong a pause."""
NOT_COMMITTED: Final = "not_committed"
"""The refusal of what a transaction may have started that is not over."""


async def carry_out(engine: SagaEngine, operation: OperationRecord) -> None:
    """Go on with an operation that was claimed, until it is over, is stopped, or is another process's."""
    request, progress = request_in(operation), operation.progress
    try:
        if isinstance(request, Ending) and progress.began is None:
            left = await _until_committed(engine, operation, request)
            if left is None:
                return
            progress = msgspec.structs.replace(progress, refusals=left)
        while True:
            began = steady.now()
            if not progress.batch:
                is_over = progress.is_last or not await _stands(engine, request)
                planned = progress if is_over else await _planned(engine, request, progress)
                if not planned.batch:
                    if await _took_too_long(engine, request, progress):
                        progress = Progress()
                        continue
                    await _end(engine, request)
                    await _advance(engine, operation, progress, is_done=True)
                    return
                progress = planned
                if await _advance(engine, operation, progress) is not OperationState.RUNNING:
                    return
            served = len(progress.batch)
            progress = await _served(engine, operation, request, progress)
            spent = max(served / request.per_second, steady.now() - began)
            progress = msgspec.structs.replace(progress, spent=progress.spent + int(spent * 1_000_000))
            if progress.is_last and await _took_too_long(engine, request, progress):
                progress = Progress()
            if progress.is_last:
                await _end(engine, request)
            if await _advance(engine, operation, progress, is_done=progress.is_last) is not OperationState.RUNNING:
                return
            await asyncio.sleep(served / request.per_second - (steady.now() - began))
    except asyncio.CancelledError:
        with contextlib.suppress(StoreError):  # this process stops: another one need not wait for the end of the lease
            await _advance(engine, operation, progress, lease=timedelta(0))
        raise


async def carry_through(engine: SagaEngine, operation: OperationRecord) -> OperationRecord:
    """Carry an operation out here, or wait for the process that does, until it is over or stopped.

    One that is given as stopped goes on. A stop that comes after it was read stands.
    """
    found: OperationRecord | None = operation
    while found is not None and found.state is not OperationState.DONE:
        taken = await engine.store.operations.take(found.id, seen=found.state, lease=engine.options.lease)
        if taken is not None:
            await carry_out(engine, taken)
        found = await engine.store.operations.read(operation.id)
        if found is not None and found.state is not OperationState.RUNNING:
            break
        await asyncio.sleep(_LOOK_AGAIN)
    return found or operation


async def _stands(engine: SagaEngine, request: Request | Ending) -> bool:
    """Whether there is still something to do: nothing is moved for a pause that another operator has ended."""
    if isinstance(request, Request):
        return True
    since = time_of(request.since)
    return any((each.name, each.since) == (request.name, since) for each in await engine.store.pauses.read())


async def _until_committed(engine: SagaEngine, operation: OperationRecord, request: Ending) -> dict[str, int] | None:
    """Wait for the starts that are not committed yet: the list that is read next has them, wherever they stand in it.

    Gives how many transactions are left open that may have started one, as refusals; None if the operation does not go on.
    """
    store, backoff = engine.store.pauses, Backoff(0.01, _LOOK_AGAIN)
    left, give_up = await store.open_writers(), steady.now() + _LONGEST_OPEN
    while left and steady.now() < give_up and await _stands(engine, request):
        if await _advance(engine, operation, operation.progress) is not OperationState.RUNNING:
            return None
        await backoff.pause()
        left &= await store.open_writers()
    return {NOT_COMMITTED: len(left)} if left else {}


async def _took_too_long(engine: SagaEngine, request: Request | Ending, progress: Progress) -> bool:
    """Whether the first sagas were moved long ago, because processes have died meanwhile: all are moved again, by the rest.

    Each saga is moved up to when it was its turn. To begin again would not help if only the sagas themselves take that long.
    """
    if not isinstance(request, Ending) or progress.began is None:
        return False
    took = timedelta(microseconds=engine.store.now() - progress.began - 2 * progress.spent)
    return took > engine.options.lease and await _stands(engine, request)


async def _end(engine: SagaEngine, request: Request | Ending) -> None:
    """End the pause, once all that it is for is moved."""
    if isinstance(request, Ending):
        await engine.store.pauses.remove(request.name, since=time_of(request.since))
        await engine.pauses.look()
        engine.notify_processes(None, LONG_AGO)


async def carry_on(engine: SagaEngine) -> None:
    """Carry out the operations that no other process does, as many as there are."""
    while True:
        operation = await engine.store.operations.claim(engine.registry.names, lease=engine.options.lease)
        if operation is None:
            return
        await carry_out(engine, operation)


async def _planned(engine: SagaEngine, request: Request | Ending, progress: Progress) -> Progress:
    size = min(BATCH, request.per_second)
    page = listing(request.wanted, progress, size + 1)
    rows = await engine.store.lists.page(page)
    if not rows:
        return progress
    last = page.place_of(rows[:size][-1])
    return msgspec.structs.replace(
        progress,
        began=engine.store.now() if progress.began is None else progress.began,
        at=moment_of(last.at),
        at_id=last.id,
        batch=tuple((row.id, row.revision) for row in rows[:size]),
        is_last=len(rows) <= size,
    )


async def _advance(
    engine: SagaEngine,
    operation: OperationRecord,
    progress: Progress,
    *,
    is_done: bool = False,
    lease: timedelta | None = None,
) -> OperationState | None:
    assert operation.token is not None, "it was claimed"
    lease = engine.options.lease if lease is None else lease
    return await engine.store.operations.advance(operation.id, operation.token, progress, lease=lease, is_done=is_done)


async def _served(
    engine: SagaEngine, operation: OperationRecord, request: Request | Ending, progress: Progress
) -> Progress:
    """As it stands once each saga of the batch was asked."""
    slots, patience = asyncio.Semaphore(_AT_ONCE), _PATIENCE * engine.options.lease.total_seconds()
    asked = Asked(operation.actor, operation.reason).encode()

    async def served(saga_id: UUID, rev: int) -> str | None:
        act = act_id(operation.id, saga_id)
        async with slots:
            if isinstance(request, Ending):
                if not await _stands(engine, request):
                    return Refusal.NOT_PAUSED  # what it waits for now, it may have begun after that pause
                return await _moved(engine, saga_id, request.since, asked, act, patience)
            return await _asked_once(engine, saga_id, Act(request.deed, rev, asked, act), patience)

    outcomes = await asyncio.gather(*(served(*each) for each in progress.batch), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome  # the batch stands in the store, and is asked again
    counted = Counter(outcome for outcome in outcomes if isinstance(outcome, str))
    waiting = counted.pop(NOT_ANSWERED, 0)
    return msgspec.structs.replace(
        progress,
        batch=(),
        done=progress.done + outcomes.count(None),
        asked=progress.asked + waiting,
        refusals=dict(counted + Counter(progress.refusals)),
    )


def act_id(operation_id: UUID, saga_id: UUID) -> UUID:
    """The id of what an operation does to a saga: always the same."""
    return UUID(bytes=hashlib.blake2b(operation_id.bytes + saga_id.bytes, digest_size=16).digest())


async def _asked_once(engine: SagaEngine, saga_id: UUID, act: Act, patience: float) -> str | None:
    """Apply the verb, unless this operation has applied it before; gives the reason if it is refused."""
    try:
        row = await engine.store.read(saga_id)
        flaw = None if row is None else unreadable(engine, row, act.deed)
        if flaw is not None:
            return flaw
        await apply(engine, saga_id, act, patience=patience)
    except SagaError as error:
        refusal = _refusal_of(error)
        by_the_core = isinstance(error, SagaStateError) and refusal != NOT_ANSWERED
        return None if by_the_core and await _was_applied(engine, saga_id, act) else refusal
    return None


async def _moved(
    engine: SagaEngine, saga_id: UUID, since: Moment, asked: bytes | None, act: UUID, patience: float
) -> str | None:
    """Move the moments of a saga; gives the reason if that cannot be done.

    To move them again would add only the time that has passed since.
    """
    try:
        row = await engine.store.read(saga_id)
        if row is not None and row.ended_at is None:
            await ask_of(engine, saga_id, Moving(max(since, moment_of(row.created_at)), asked, act), patience)
    except SagaError as error:
        refusal = _refusal_of(error)
        return None if refusal in (Refusal.NOTHING_TO_MOVE, Refusal.FINISHED) else refusal
    return None


def _refusal_of(error: SagaError) -> str:
    """Why a saga has refused an act. Raises the error if it says nothing about that saga."""
    refusal = refusal_in(error)
    if refusal is None:
        raise error
    return refusal


async def _was_applied(engine: SagaEngine, saga_id: UUID, act: Act) -> bool:
    store, shard, entry = engine.store, shard_of(saga_id, engine.store.shards), (saga_id, (act.expect or 0) + 1)
    if (await store.writers(shard, [entry])).get(entry) == act.id:
        return True
    told = await store.verb_answer(saga_id, act.id)
    return told is not None and told.answer == Answer.APPLIED


def unreadable(engine: SagaEngine, row: SagaRecord, deed: Deed) -> str | None:
    """Why the saga could not read what is given with the verb; None if it can."""
    if deed.payload is None:
        return None
    registered = engine.registry.find(row.name, row.version)
    binding = None if registered is None else registered.definition.binding(StepId(deed.step))
    if binding is None:
        return Refusal.UNKNOWN_STEP.value if registered is not None else "not_registered"
    kept = binding.input_type if deed.verb is Verb.RETRY_STEP else binding.given_for(StepId(deed.step))
    try:
        kept.decode(deed.payload)
    except PayloadError:
        return "unreadable_value"
    return None
