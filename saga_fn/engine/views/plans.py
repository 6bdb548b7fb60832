"""The plan that a saga's state was made by: of a registered definition, else from the store."""

from __future__ import annotations

from saga_fn.core.ids import PlanId
from saga_fn.core.plan import Plan
from saga_fn.engine.engine import SagaEngine
from saga_fn.errors import StoredDataError, StoreError
from saga_fn.store.connection import CallerConnection
from saga_fn.store.records import SagaRecord


async def find_plan(
    engine: SagaEngine, row: SagaRecord, plan: PlanId | None = None, connection: CallerConnection | None = None
) -> Plan | None:
    """The plan of that id, by default the one in the row; None if it is not there. `connection` is a caller's to look by.

    Raises StoredDataError if it cannot be read.
    """
    wanted = row.plan if plan is None else plan
    registered = engine.registry.find(row.name, row.version)
    if registered is not None and registered.definition.plan.id == wanted:
        return registered.definition.plan
    return await engine.store.plan(wanted, connection=connection)


async def require_plan(
    engine: SagaEngine, row: SagaRecord, plan: PlanId | None = None, *, connection: CallerConnection | None = None
) -> Plan:
    """The same, but raises StoreError if it is not there."""
    found = await find_plan(engine, row, plan, connection)
    if found is None:
        raise StoreError(f"the plan of saga {row.id} is not in the store", hint="was the table saga_plan emptied?")
    return found


async def readable_plan(engine: SagaEngine, row: SagaRecord) -> Plan | None:
    """The same for what is only shown: None if it is not there or cannot be read."""
    try:
        return await find_plan(engine, row)
    except StoredDataError:
        return None
