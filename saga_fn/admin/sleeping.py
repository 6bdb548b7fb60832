"""Decide about a saga that waits for a moment: let it go on now, or at another moment."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from saga_fn.admin.base import AdminBase, revision_of, step_of
from saga_fn.arguments import check_is
from saga_fn.core.ids import StepId
from saga_fn.core.verbs import Verb
from saga_fn.definition import StepRef
from saga_fn.engine.outward import only_public_errors
from saga_fn.engine.requests.deeds import Deed
from saga_fn.engine.requests.operate import apply_alone
from saga_fn.errors import PayloadError
from saga_fn.listing import check_time
from saga_fn.store.records import moment_of


@only_public_errors
class AdminSleeping(AdminBase):
    """The verbs of `SagaAdmin` for what waits for a moment."""

    async def start_now(self, saga_id: UUID, *, expect: int | None = None, reason: str | None = None) -> None:
        """Let a saga go on now that waits for a moment: `reschedule` with the present moment, for all of it.

        A saga whose start was delayed begins, and its deadline counts from now. A count of attempts goes on; `retry_step`
        gives a fresh one.

        Args:
            saga_id: The saga's id.
            expect: The revision number of the snapshot that the operator has seen, 1 or more. The verb is refused if the saga has
                moved on since. Default: None, the saga may be at any revision.
            reason: Why, for the journal: one line of 1 to 1,000 characters. Default: None.

        Raises:
            SagaStateError: The verb is refused, and changed nothing; or the owner has not answered yet, and the request stands.
            ActiveSagaAlreadyExistsError: Not for this verb: the saga has not ended.
            SagaNotFoundError: There is no such saga.
            PayloadError: An argument is not what it has to be.
            SagaError: `expect` is out of its range, or the orchestrator is not entered.
            StoredDataError: The saga's row cannot be read.
            StoreError: The database does not answer, or refuses.
        """
        check, asked = revision_of(expect), self._asked(reason)
        await apply_alone(self._engine, saga_id, Deed(Verb.START_NOW), expect=check, asked=asked)

    async def reschedule(
        self,
        saga_id: UUID,
        at: datetime,
        *,
        step: str | StepRef[object] | None = None,
        expect: int | None = None,
        reason: str | None = None,
    ) -> None:
        """Let what waits for a moment go on at another one, earlier or later.

        It moves a delayed start, with the deadline of the saga. Once the saga has begun, it moves its next attempts, those of
        compensations too, its next probes and its sleeps. A deadline stays then, and so does the time that a wait for an
        event has. An attempt that was cut short may still run; its repeat waits for that.

        Args:
            saga_id: The saga's id.
            at: The moment, an aware datetime. One that has passed means now. It is refused if it, or the deadline that moves with
                it, is after the year 9999.
            step: The step that is meant, its id or its StepRef; if it is a fan-out, its items. Default: None, all that sleep.
            expect: The revision number of the snapshot that the operator has seen, 1 or more. The verb is refused if the saga has
                moved on since. Default: None, the saga may be at any revision.
            reason: Why, for the journal: one line of 1 to 1,000 characters. Default: None.

        Raises:
            SagaStateError: The verb is refused, and changed nothing; or the owner has not answered yet, and the request stands.
            SagaDefinitionError: `step` names no step.
            ActiveSagaAlreadyExistsError: Not for this verb: the saga has not ended.
            SagaNotFoundError: There is no such saga.
            PayloadError: An argument is not what it has to be.
            SagaError: `expect` is out of its range, or the orchestrator is not entered.
            StoredDataError: The saga's row cannot be read.
            StoreError: The database does not answer, or refuses.
        """
        check_is(at, datetime, "at: a moment", error=PayloadError, hint="at=datetime.now(UTC) + timedelta(hours=1)")
        check_time("at", at)
        to, chosen = moment_of(at.astimezone(UTC)), StepId("") if step is None else step_of(step)
        check, asked = revision_of(expect), self._asked(reason)
        await apply_alone(self._engine, saga_id, Deed(Verb.START_NOW, chosen, to=to), expect=check, asked=asked)
