"""The record of what an operator asks: written before it is done, so that no death of a process loses who asked, when and why.

Until the outcome is known the record counts the act as asked. If the process dies in between, or the database does not answer,
it stays so.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar
from uuid import UUID

from saga_fn.engine.drive.asked import Asked
from saga_fn.engine.engine import SagaEngine
from saga_fn.errors import (
    ActiveSagaAlreadyExistsError,
    SagaNotFoundError,
    SagaStateError,
    StoredDataError,
    StoreError,
    StoreUnavailableError,
)
from saga_fn.snapshot import OperationState
from saga_fn.store.errors import is_an_answer
from saga_fn.store.ids import new_uuid
from saga_fn.store.records import OperationRecord, Progress, time_of

T = TypeVar("T")

NOT_ANSWERED: Final = "not_answered"
"""The refusal that is none: the request stands with the owner of the saga."""


async def recorded(
    engine: SagaEngine,
    verb: str,
    asked: Asked,
    act: Callable[[], Awaitable[T]],
    told: Callable[[T], Progress],
    *,
    act_id: UUID | None = None,
    step: str | None = None,
    saga_id: UUID | None = None,
    request: bytes = b"",
) -> T:
    """Carry out an act of an operator, with its record. `told` gives what came of it.

    An act that cannot be recorded is not carried out: raises the store's error then.
    """
    now = time_of(engine.store.now())
    record = OperationRecord(
        id=act_id or new_uuid(),
        verb=verb,
        step_id=step,
        saga_id=saga_id,
        actor=asked.actor,
        reason=asked.reason,
        request=request,
        state=OperationState.DONE,
        progress=Progress(asked=1),
        began_at=now,
        updated_at=now,
    )
    await engine.store.operations.record(record)
    try:
        done = await act()
    except Exception as error:
        refusal = refusal_in(error) or _failed(error)
        if refusal != NOT_ANSWERED:
            await _close(engine, record.id, Progress(refusals={refusal: 1}))
        raise
    await _close(engine, record.id, told(done))
    return done


def refusal_in(error: Exception) -> str | None:
    """Why a saga has refused an act; None if the error says nothing about that saga."""
    match error:
        case SagaStateError():
            return error.refusal or "refused"
        case SagaNotFoundError():
            return "not_found"
        case ActiveSagaAlreadyExistsError():
            return "key_taken"
        case StoredDataError():
            return "unreadable"
        case _:
            return "store_refused" if isinstance(error, StoreError) and is_an_answer(error) else None


def _failed(error: Exception) -> str:
    """The word for any other error. The database may have done what it did not answer."""
    return NOT_ANSWERED if isinstance(error, StoreUnavailableError) else "failed"


def done_once(_: object) -> Progress:
    """One act, done."""
    return Progress(done=1)


async def _close(engine: SagaEngine, operation_id: UUID, progress: Progress) -> None:
    with contextlib.suppress(StoreError):  # it is done, or refused, whatever the record says
        await engine.store.operations.close(operation_id, progress)
