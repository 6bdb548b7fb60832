"""Decide about a saga as a whole: cancel it, take it back to a step, or end it as it is."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from saga_fn.admin.base import AdminBase, revision_of, step_of, steps_of
from saga_fn.core.verbs import Verb
from saga_fn.definition import StepRef
from saga_fn.engine.outward import only_public_errors
from saga_fn.engine.requests.deeds import Deed
from saga_fn.engine.requests.operate import apply_alone


@only_public_errors
class AdminWholeSaga(AdminBase):
    """The verbs of `SagaAdmin` that name no step."""

    async def cancel(self, saga_id: UUID, *, expect: int | None = None, reason: str | None = None) -> None:
        """Cancel the saga: undo every step that is done, the last first, and end it. A FAILED saga takes up the undoing that is left.

        The undo of a fan-out begins its items in the order of their list.

        A saga that has done nothing yet ends COMPENSATED, also one whose start was delayed and has not begun. That is a clean
        end, where `abort` would give FAILED. Past its pivot a saga only goes forward, and this verb is refused.

        A step that runs comes to its end first, and is then undone. A compensation that waits for its next attempt, or for a
        person, is attempted again now.

        A rollback may wait for a person to find out about a step (parked, outcome_unknown). Then this verb ends that wait. The step is
        undone if its compensation accepts a missing output; else it is left over as what may have run. `settle_done`,
        `settle_undone` and `settle_never_ran` end that wait by what is known.

        Args:
            saga_id: The saga's id.
            expect: The revision number of the snapshot that the operator has seen, 1 or more. The verb is refused if the saga has
                moved on since. Default: None, the saga may be at any revision.
            reason: Why, for the journal: one line of 1 to 1,000 characters. Default: None.

        Raises:
            SagaStateError: The verb is refused, and changed nothing; or the owner has not answered yet, and the request stands.
            ActiveSagaAlreadyExistsError: The saga had ended, and another one is active for its business key now.
            SagaNotFoundError: There is no such saga.
            PayloadError: An argument is not what it has to be.
            SagaError: `expect` is out of its range, or the orchestrator is not entered.
            StoredDataError: The saga's row cannot be read.
            StoreError: The database does not answer, or refuses.
        """
        check, asked = revision_of(expect), self._asked(reason)
        await apply_alone(self._engine, saga_id, Deed(Verb.CANCEL), expect=check, asked=asked)

    async def compensate_step(self, saga_id: UUID, *, expect: int | None = None, reason: str | None = None) -> None:
        """Cancel the saga: the same as `cancel`, by the name that it has in python-saga-orchestrator.

        Args:
            saga_id: The saga's id.
            expect: The revision number of the snapshot that the operator has seen, 1 or more. The verb is refused if the saga has
                moved on since. Default: None, the saga may be at any revision.
            reason: Why, for the journal: one line of 1 to 1,000 characters. Default: None.

        Raises:
            SagaStateError: The verb is refused, and changed nothing; or the owner has not answered yet, and the request stands.
            ActiveSagaAlreadyExistsError: The saga had ended, and another one is active for its business key now.
            SagaNotFoundError: There is no such saga.
            PayloadError: An argument is not what it has to be.
            SagaError: `expect` is out of its range, or the orchestrator is not entered.
            StoredDataError: The saga's row cannot be read.
            StoreError: The database does not answer, or refuses.
        """
        await self.cancel(saga_id, expect=expect, reason=reason)

    async def rewind(
        self,
        saga_id: UUID,
        to: str | StepRef[object],
        *,
        forget: Collection[str | StepRef[object]] = (),
        expect: int | None = None,
        reason: str | None = None,
    ) -> None:
        """Take the saga back to a step: that one and all that follow it run again, as if they had not begun.

        A live saga, a parked one and one that has FAILED can be taken back; it goes forward then. Their attempts have other
        idempotency keys than before, so that each participant does its part once more. Waits wait anew and sleeps sleep anew: an
        event that a wait had taken is not taken again.

        Nothing is undone. So each step that has run or may have, and is not undone, must be named in `forget`, also one without a
        compensation. The saga knows nothing of its effect any more: a later rollback does not undo it, and `left_over` does not
        name it. The journal still has it. To undo it, `cancel` rolls the saga back.

        A saga is never taken back to before a pivot that is done or may have run, nor while something of these steps runs.

        Args:
            saga_id: The saga's id.
            to: The first step to run again: its id or its StepRef. A fan-out runs again as a whole.
            forget: The steps whose effects stay in the world, or may be there, by id or StepRef; a fan-out stands for its items. Steps
                that have nothing to forget may be named too. Default: none.
            expect: The revision number of the snapshot that the operator has seen, 1 or more. The verb is refused if the saga has
                moved on since. Default: None, the saga may be at any revision.
            reason: Why, for the journal: one line of 1 to 1,000 characters. Default: None.

        Raises:
            SagaStateError: The verb is refused, and changed nothing; or the owner has not answered yet, and the request stands. If
                steps are missing in `forget`, it names them.
            SagaDefinitionError: `to` names no step, or `forget` is no list of steps.
            ActiveSagaAlreadyExistsError: The saga had ended, and another one is active for its business key now.
            SagaNotFoundError: There is no such saga.
            PayloadError: An argument is not what it has to be.
            SagaError: `expect` is out of its range, or the orchestrator is not entered.
            StoredDataError: The saga's row cannot be read.
            StoreError: The database does not answer, or refuses.
        """
        chosen, check, asked = step_of(to), revision_of(expect), self._asked(reason)
        named = steps_of(forget)
        await apply_alone(self._engine, saga_id, Deed(Verb.REWIND, chosen, forget=named), expect=check, asked=asked)

    async def abort(self, saga_id: UUID, *, expect: int | None = None, reason: str | None = None) -> None:
        """End the saga as it is, FAILED, undoing nothing. A step that runs now may run on until its owner's lease is over.

        `retry_step` and `cancel` take an aborted saga up again. A saga whose row cannot be read is ended as well; then
        `left_over` names every step of its plan.

        Args:
            saga_id: The saga's id.
            expect: The revision number of the snapshot that the operator has seen, 1 or more. The verb is refused if the saga has
                moved on since. Default: None, the saga may be at any revision.
            reason: Why, for the journal: one line of 1 to 1,000 characters. Default: None.

        Raises:
            SagaStateError: The saga has ended already, or has moved on.
            SagaNotFoundError: There is no such saga.
            PayloadError: An argument is not what it has to be.
            SagaError: `expect` is out of its range, or the orchestrator is not entered.
            StoreError: The database does not answer, or refuses.
        """
        check, asked = revision_of(expect), self._asked(reason)
        await apply_alone(self._engine, saga_id, Deed(Verb.ABORT), expect=check, asked=asked)

    async def acknowledge(self, saga_id: UUID, *, expect: int | None = None, reason: str | None = None) -> None:
        """Say that a person has looked at a FAILED saga, so that `health` names it no more.

        It changes nothing of the saga. Its record stands in `rejections` of `get_saga`, with the actor and the reason. A saga that
        is taken up again, or of which something is settled, has to be acknowledged anew. Retention deletes a FAILED saga only
        after it was acknowledged.

        Args:
            saga_id: The saga's id.
            expect: The revision number of the snapshot that the operator has seen, 1 or more. The verb is refused if the saga has
                moved on since. Default: None, the saga may be at any revision.
            reason: Why, for the record: one line of 1 to 1,000 characters. Default: None.

        Raises:
            SagaStateError: The saga has not ended FAILED, was acknowledged before, or has moved on.
            ActiveSagaAlreadyExistsError: Not for this verb: it begins nothing.
            SagaNotFoundError: There is no such saga.
            PayloadError: An argument is not what it has to be.
            SagaError: `expect` is out of its range, or the orchestrator is not entered.
            StoreError: The database does not answer, or refuses.

        Example::

            async for row in admin.list_all(SagaFilter(status=SagaStatus.FAILED, acknowledged=False)):
                await admin.acknowledge(row.id, reason="refunded by hand")
        """
        check, asked = revision_of(expect), self._asked(reason)
        await apply_alone(self._engine, saga_id, Deed(Verb.ACKNOWLEDGE), expect=check, asked=asked)
