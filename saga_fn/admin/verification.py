"""Fold a journal again, and compare the result with the row."""

from __future__ import annotations

import contextlib
from uuid import UUID

from returns.result import Failure

from saga_fn.admin.base import AdminBase
from saga_fn.core.event_kinds import plan_of
from saga_fn.core.plan import Plan
from saga_fn.core.projection import project
from saga_fn.core.state import SagaState
from saga_fn.core.transition import transition
from saga_fn.engine.outward import only_public_errors
from saga_fn.engine.views.journal import entries_of
from saga_fn.engine.views.plans import readable_plan
from saga_fn.errors import StoredDataError
from saga_fn.store.records import SagaRecord, decode_event, decode_state


@only_public_errors
class AdminVerification(AdminBase):
    """The check of a saga by `SagaAdmin`."""

    async def verify(self, saga_id: UUID) -> list[str]:
        """Fold the saga's journal again, up to the row's own revision, and compare the result with the row.

        Args:
            saga_id: The saga's id.

        Returns:
            The differences in words; an empty list when there is none.

        Raises:
            SagaNotFoundError: There is no such saga.
            SagaDeletedError: The saga has ended and was deleted.
            PayloadError: The id is none.
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.
        """
        row = await self._read(saga_id)
        found = await self._differences(row)
        if found and row.ended_at is not None:
            await self._read(saga_id)  # raises if it was deleted meanwhile
        return found

    async def _differences(self, row: SagaRecord) -> list[str]:
        state: SagaState | None = None
        plan: Plan | None = None
        place = 0
        async with contextlib.aclosing(entries_of(self._engine.store, row)) as journal:
            async for record in journal:
                place += 1
                try:
                    event = decode_event(record.event)
                    named = plan_of(event)
                    if named is not None:
                        plan = await self._engine.store.plan(named)
                except StoredDataError as error:
                    return [f"entry {place}: {error.fact}"]
                if plan is None:
                    return [f"entry {place}: its plan is not in the store"]
                if named is not None or state is None or state.plan == plan.id:
                    decision = transition(plan, state, event)
                else:
                    return [f"entry {place}: plan {state.plan} expected"]
                if isinstance(decision, Failure) or record.seq != place:
                    return [f"entry {place}: {type(event).__name__} is not accepted there"]
                state = decision.unwrap().state
        return await self._compare(row, state)

    async def _compare(self, row: SagaRecord, state: SagaState | None) -> list[str]:
        plan = await readable_plan(self._engine, row)
        if state is None or plan is None:
            return ["the journal is empty"]
        shown = project(plan, state)
        try:
            stored = decode_state(row.state, row.rev)
        except StoredDataError as error:
            return [f"state: {error.fact}"]
        columns = {
            "state": (state, stored),
            "rev": (state.rev, row.rev),
            "status": (shown.status, row.status),
            "waits": (shown.waits, row.waits),
            "wakes_on_message": (shown.wakes_on_message, row.wakes_on_message),
            "retry_counter": (shown.retry_counter, row.retry_counter),
            "parked": (shown.parked, row.parked),
            "problem_step": (shown.problem_step, row.problem_step),
            "plan": (state.plan, row.plan),
            "ended": (state.ended, row.ended_at is not None),
        }
        return [f"{name}: folded {ours}, stored {theirs}" for name, (ours, theirs) in columns.items() if ours != theirs]
