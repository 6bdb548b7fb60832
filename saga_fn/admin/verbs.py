"""Decide about a step: each verb is a message to its saga's owner, or is folded here where it has no owner."""

from __future__ import annotations

from uuid import UUID

import msgspec

from saga_fn.admin.base import AdminBase, revision_of, step_of
from saga_fn.arguments import check_is
from saga_fn.core.verbs import Verb
from saga_fn.definition import StepRef
from saga_fn.engine.outward import only_public_errors
from saga_fn.engine.requests.deeds import Deed
from saga_fn.engine.requests.operate import apply_alone
from saga_fn.errors import PayloadError


@only_public_errors
class AdminVerbs(AdminBase):
    """The verbs of `SagaAdmin` that name a step."""

    async def retry_step(
        self,
        saga_id: UUID,
        step: str | StepRef[object],
        *,
        input: object = msgspec.UNSET,  # noqa: A002 - the word for it
        expect: int | None = None,
        reason: str | None = None,
    ) -> None:
        """Attempt a step again, now and with a fresh count, that waits for its next attempt or for a person.

        If the step's compensation is what waits, that is attempted again. If the step is a fan-out, all items that wait are.

        A saga that has FAILED, and has undone nothing, goes forward again as a whole, from the place where it failed. So `FAILED` is
        an end only for as long as no operator takes it up. The log says "resumed from FAILED" at WARNING.

        With `input` the step is attempted with another input than the computed one, under another idempotency key. Its
        condition (`when=`) is not asked. The step keeps that input until it is done or is given another. A step that may have run
        is refused it until that is settled by `settle_undone` or `settle_never_ran`.

        Args:
            saga_id: The saga's id.
            step: The step's id (`"charge"`, for one item of a fan-out `"charge[3]"`) or its StepRef.
            input: The input to use instead, a value of the step's input type, or a dict that stands for one; it is checked at run
                time. For an item of a fan-out it is the input of that item. Default: msgspec.UNSET, the computed one.
            expect: The revision number of the snapshot that the operator has seen, 1 or more. The verb is refused if the saga has
                moved on since. Default: None, the saga may be at any revision.
            reason: Why, for the journal: one line of 1 to 1,000 characters. Default: None.

        Raises:
            SagaStateError: The verb is refused, and changed nothing; or the owner has not answered yet, and the request stands.
            SagaDefinitionError: `step` names no step, or with `input` none of this saga.
            SagaNotRegisteredError: `input` is given, and this process has not registered the saga's definition.
            PayloadTooLargeError: The input is too large.
            ActiveSagaAlreadyExistsError: The saga had ended, and another one is active for its business key now.
            SagaNotFoundError: There is no such saga.
            PayloadError: An argument is not what it has to be.
            SagaError: `expect` is out of its range, or the orchestrator is not entered.
            StoredDataError: The saga's row cannot be read.
            StoreError: The database does not answer, or refuses.
        """
        chosen, check, asked = step_of(step), revision_of(expect), self._asked(reason)
        payload = None if input is msgspec.UNSET else await self._given(saga_id, chosen, input, is_input=True)
        deed = Deed(Verb.RETRY_STEP, chosen, payload)
        await apply_alone(self._engine, saga_id, deed, expect=check, asked=asked)

    async def skip_step(
        self,
        saga_id: UUID,
        step: str | StepRef[object],
        mock_output: object = None,
        *,
        not_begun: bool = False,
        expect: int | None = None,
        reason: str | None = None,
    ) -> None:
        """Go on as if a step that waits had returned `mock_output`. The step is never compensated.

        If the step may have run, that stays so: if the saga turns back later, it ends FAILED and `left_over` names the step.
        `settle_done` says that the step has run, and can be undone.

        Args:
            saga_id: The saga's id.
            step: The step that waits for its next attempt, a person, an event or a moment: its id or its StepRef.
            mock_output: A value of the step's output type, or a dict that stands for one; it is checked at run time
                (`step(saga_id, ref).skip(...)` is checked by the type checkers). Default: None, a value like any other, for
                steps that may give none.
            not_begun: Whether a step is meant too that comes next and has not begun. Default: False, that is refused.
            expect: The revision number of the snapshot that the operator has seen, 1 or more. The verb is refused if the saga has
                moved on since. Default: None, the saga may be at any revision.
            reason: Why, for the journal: one line of 1 to 1,000 characters. Default: None.

        Raises:
            SagaNotRegisteredError: This process has not registered the saga's definition.
            SagaDefinitionError: The saga has no such step.
            PayloadTooLargeError: The output is too large.
            SagaStateError: The verb is refused, and changed nothing; or the owner has not answered yet, and the request stands.
            SagaNotFoundError: There is no such saga.
            PayloadError: An argument is not what it has to be.
            SagaError: `expect` is out of its range, or the orchestrator is not entered.
            StoredDataError: The saga's row cannot be read.
            StoreError: The database does not answer, or refuses.
        """
        chosen, check, asked = step_of(step), revision_of(expect), self._asked(reason)
        check_is(not_begun, bool, "not_begun: a bool", error=PayloadError, hint="skip_step(..., not_begun=True)")
        payload = await self._given(saga_id, chosen, mock_output)
        deed = Deed(Verb.SKIP_STEP, chosen, payload, not_begun=not_begun)
        await apply_alone(self._engine, saga_id, deed, expect=check, asked=asked)

    async def settle_done(
        self,
        saga_id: UUID,
        step: str | StepRef[object],
        output: object = None,
        *,
        expect: int | None = None,
        reason: str | None = None,
    ) -> None:
        """Say that a step that may have run has run, and what it has returned. It is undone like any other if the saga turns back.

        A saga that goes forward goes on with that output. A rollback undoes the step. A saga that has FAILED only records it:
        `left_over` then names the step as not undone, and `cancel` undoes it, unless the saga is past its pivot.

        Args:
            saga_id: The saga's id.
            step: The step's id (`"charge"`, for one item of a fan-out `"charge[3]"`) or its StepRef.
            output: A value of the step's output type, or a dict that stands for one; it is checked at run time
                (`step(saga_id, ref).settle_done(...)` is checked by the type checkers). Default: None, a value like any other, for
                steps that may give none.
            expect: The revision number of the snapshot that the operator has seen, 1 or more. The verb is refused if the saga has
                moved on since. Default: None, the saga may be at any revision.
            reason: Why, for the journal: one line of 1 to 1,000 characters. Default: None.

        Raises:
            SagaNotRegisteredError: This process has not registered the saga's definition.
            PayloadTooLargeError: The output is too large.
            SagaStateError: The verb is refused, and changed nothing; or the owner has not answered yet, and the request stands.
            SagaDefinitionError: The saga has no such step.
            ActiveSagaAlreadyExistsError: The saga had ended, and another one is active for its business key now.
            SagaNotFoundError: There is no such saga.
            PayloadError: An argument is not what it has to be.
            SagaError: `expect` is out of its range, or the orchestrator is not entered.
            StoredDataError: The saga's row cannot be read.
            StoreError: The database does not answer, or refuses.
        """
        payload = await self._given(saga_id, step_of(step), output)
        await self._settle(saga_id, step, Verb.SETTLE_DONE, expect, reason, payload)

    async def settle_undone(
        self, saga_id: UUID, step: str | StepRef[object], *, expect: int | None = None, reason: str | None = None
    ) -> None:
        """Say that nothing of a step is in the world any more: it was undone by hand.

        It is for a step whose compensation has failed or waits, and for one that may have run. Once the saga has FAILED, it is also
        for one that is done and not undone. A rollback goes on past a compensation that is over so. A FAILED saga of which nothing
        is left over any more becomes COMPENSATED; past its pivot it stays FAILED. It goes forward no more once a step is undone.

        A saga that goes forward and waits for a person at the step still does: `retry_step` or `cancel` goes on. A retry
        has another idempotency key, because the participant may answer the old one as if the step were done.

        Args:
            saga_id: The saga's id.
            step: The step's id (`"charge"`, for one item of a fan-out `"charge[3]"`) or its StepRef.
            expect: The revision number of the snapshot that the operator has seen, 1 or more. The verb is refused if the saga has
                moved on since. Default: None, the saga may be at any revision.
            reason: Why, for the journal: one line of 1 to 1,000 characters. Default: None.

        Raises:
            SagaStateError: The verb is refused, and changed nothing; or the owner has not answered yet, and the request stands.
            SagaDefinitionError: `step` names no step.
            ActiveSagaAlreadyExistsError: The saga had ended, and another one is active for its business key now.
            SagaNotFoundError: There is no such saga.
            PayloadError: An argument is not what it has to be.
            SagaError: `expect` is out of its range, or the orchestrator is not entered.
            StoredDataError: The saga's row cannot be read.
            StoreError: The database does not answer, or refuses.
        """
        await self._settle(saga_id, step, Verb.SETTLE_UNDONE, expect, reason)

    async def settle_never_ran(
        self, saga_id: UUID, step: str | StepRef[object], *, expect: int | None = None, reason: str | None = None
    ) -> None:
        """Say that a step that may have run has never run: no attempt of it has arrived, and none will.

        A saga that goes forward and waits for a person at the step still does: `retry_step` or `cancel` goes on. A
        rollback goes on without the step. A FAILED saga of which nothing is left over any more becomes COMPENSATED.

        Args:
            saga_id: The saga's id.
            step: The step's id (`"charge"`, for one item of a fan-out `"charge[3]"`) or its StepRef.
            expect: The revision number of the snapshot that the operator has seen, 1 or more. The verb is refused if the saga has
                moved on since. Default: None, the saga may be at any revision.
            reason: Why, for the journal: one line of 1 to 1,000 characters. Default: None.

        Raises:
            SagaStateError: The verb is refused, and changed nothing; or the owner has not answered yet, and the request stands.
            SagaDefinitionError: `step` names no step.
            ActiveSagaAlreadyExistsError: The saga had ended, and another one is active for its business key now.
            SagaNotFoundError: There is no such saga.
            PayloadError: An argument is not what it has to be.
            SagaError: `expect` is out of its range, or the orchestrator is not entered.
            StoredDataError: The saga's row cannot be read.
            StoreError: The database does not answer, or refuses.
        """
        await self._settle(saga_id, step, Verb.SETTLE_NEVER_RAN, expect, reason)

    async def _settle(
        self,
        saga_id: UUID,
        step: object,
        verb: Verb,
        expect: object,
        reason: str | None,
        payload: bytes | None = None,
    ) -> None:
        chosen, check, asked = step_of(step), revision_of(expect), self._asked(reason)
        await apply_alone(self._engine, saga_id, Deed(verb, chosen, payload), expect=check, asked=asked)
