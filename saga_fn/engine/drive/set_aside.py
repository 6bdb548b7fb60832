"""Sagas whose rows cannot be used: each is taken out of work by a small statement that needs no state.

A saga that cannot be read, or that the database refuses, must cost nothing but itself. It is parked where it stands: its
state and its journal stay as they are, for a person to look at, and no worker claims it again.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from saga_fn.core.flaws import misfit_in
from saga_fn.core.ids import PlanId
from saga_fn.core.plan import Plan
from saga_fn.core.projection import SagaStatus, ended_as
from saga_fn.core.state import ParkReason, SagaState
from saga_fn.engine.observe.observers import Observers
from saga_fn.engine.observe.of_troubles import SagaNotSetAside, SagaSetAside
from saga_fn.errors import StoredDataError, StoreError
from saga_fn.printable import name_of_type
from saga_fn.store.errors import RowRejectedError
from saga_fn.store.protocol import Store
from saga_fn.store.records import decode_state

_FIRST: Final = 1
"""The number of the journal entry that every saga has."""


def usable_state(plan: Plan | None, data: bytes, rev: int, *, ended: SagaStatus | None) -> SagaState:
    """The state of a saga, whose row says that it has ended so (None: not).

    Raises StoredDataError for one that its row, or its plan, does not fit.
    """
    state = decode_state(data, rev)
    flaw = None if plan is None else misfit_in(plan, state)
    if ended_as(state) is not ended:
        flaw = "its row says something else of its end"
    if flaw is not None:
        raise StoredDataError("state", flaw)
    return state


def concerns_one(error: BaseException) -> bool:
    """Whether the error is about this saga; else the store cannot do its work at present, for any saga."""
    return not isinstance(error, StoreError) or isinstance(error, StoredDataError | RowRejectedError)


async def set_aside(store: Store, observers: Observers, saga_id: UUID, token: UUID, error: BaseException) -> None:
    """Park the saga that was claimed by that token, because of the error; if even that fails, its lease runs out."""
    fact = SagaSetAside(saga_id, error)
    observers.tell(fact)
    try:
        unreadable = isinstance(error, StoredDataError)
        reason = ParkReason.STATE_UNREADABLE if unreadable else ParkReason.ROW_REJECTED
        await store.park_row(saga_id, token, name_of_type(error), reason)
        await store.record_rejection(saga_id, "set_aside", fact.why)
    except StoreError as refused:
        observers.tell(SagaNotSetAside(saga_id, refused))


def missing_entry(error: KeyError) -> StoredDataError:
    """The error for a journal entry that a state names and that is not there."""
    return StoredDataError("journal entry", f"one that the state names is not there: {error.args[-1:]}")


async def entry_may_be_there(store: Store, saga_id: UUID, token: UUID, seq: int) -> bool:
    """Whether the journal entry that was not found may be there: as in a failover, when another server was asked for the saga.

    It is missing for good only where one snapshot has the claim, and lacks the entry.
    """
    try:
        found = await store.standing(saga_id, seq)
    except StoreError:
        return True
    return found is None or found.token != token or found.writer is not None


async def plan_may_be_there(store: Store, saga_id: UUID, token: UUID, plan: PlanId) -> bool:
    """The same of a plan that was not found.

    It is missing for good only where a server has the claim, and the plan is not found a second time.
    """
    try:
        found = await store.standing(saga_id, _FIRST)
        return found is None or found.token != token or await store.plan(plan) is not None
    except StoreError:
        return True
