"""Whether the transactional steps of a definition can run in this process."""

from __future__ import annotations

from datetime import timedelta

from saga_fn.definition import AnySaga
from saga_fn.definition.steps.transactions import READ_COMMITTED
from saga_fn.errors import SagaDefinitionError, StoreError, shown
from saga_fn.printable import a_type_of
from saga_fn.store.protocol import Store


def check_transactions(definition: AnySaga, store: Store, lease: timedelta) -> None:
    """Raise SagaDefinitionError for a transactional step that the store has no transaction for, or whose time is too long."""
    for step_id, step in definition.steps.items():
        isolation = step.isolation or step.undo_isolation
        if isolation is None:
            continue
        if store.transactions is None:
            raise SagaDefinitionError(
                f"step {shown(step_id)} is transactional, and {a_type_of(store)} has no transactions for steps",
                hint="use PostgreSQL; in tests a World, with a fake of the step, or a server of saga_fn.embedded will do",
            )
        try:
            store.transactions.check_room()
        except StoreError as error:
            raise SagaDefinitionError(f"step {shown(step_id)} cannot run: {error.fact}", hint=error.hint) from None
        longest = max(step.timeout or 0.0, step.compensation_timeout or 0.0)
        if isolation != READ_COMMITTED and longest >= lease.total_seconds() / 2:
            raise SagaDefinitionError(
                f"step {shown(step_id)} has isolation={shown(isolation)}, and {longest:g} s of time: half a lease is "
                f"{lease.total_seconds() / 2:g} s",
                hint="a renewal of the lease costs a whole repeat: give the step a shorter timeout=, or this process a longer lease=",
            )
