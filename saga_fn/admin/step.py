"""One step of one saga, with its type."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Generic, TypeVar, final
from uuid import UUID

import msgspec

from saga_fn.admin.verbs import AdminVerbs
from saga_fn.admin.whole_saga import AdminWholeSaga
from saga_fn.arguments import check_is
from saga_fn.definition import StepRef
from saga_fn.engine.outward import only_public_errors
from saga_fn.errors import SagaDefinitionError, SagaError

O = TypeVar("O")  # noqa: E741 - the name the docs use throughout


class AdminDecisions(AdminVerbs, AdminWholeSaga):
    """The verbs that decide about a step, or go back to one."""


@final
@only_public_errors
class StepAdmin(Generic[O]):
    """One step of one saga, with its output type. Each verb is that of `SagaAdmin`, for this step.

    `SagaAdmin.step` makes it.

    Args:
        admin: The admin that the verbs are passed to.
        saga_id: The saga's id.
        ref: The step's StepRef.

    Raises:
        SagaError: `admin` is no SagaAdmin.
        SagaDefinitionError: `ref` is no StepRef.
    """

    _pin: Callable[[O], O]  # declared, never set: invariance, so that a skip takes exactly the step's output

    def __init__(self, admin: AdminDecisions, saga_id: UUID, ref: StepRef[O]) -> None:
        hint = "admin.step(saga_id, ref) makes it, with what add_step gave"
        check_is(admin, AdminDecisions, "a SagaAdmin", error=SagaError, hint=hint)
        check_is(ref, StepRef, "a step's StepRef", error=SagaDefinitionError, hint=hint)
        self._admin = admin
        self._saga_id = saga_id
        self._step_id = ref.step_id

    async def skip(
        self, output: O, *, not_begun: bool = False, expect: int | None = None, reason: str | None = None
    ) -> None:
        """Go on as if the step had returned `output`; it is never compensated. As `SagaAdmin.skip_step`.

        Args:
            output: A value of the step's output type.
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
        await self._admin.skip_step(
            self._saga_id, self._step_id, output, not_begun=not_begun, expect=expect, reason=reason
        )

    async def retry(
        self,
        *,
        input: object = msgspec.UNSET,  # noqa: A002 - the word for it
        expect: int | None = None,
        reason: str | None = None,
    ) -> None:
        """Attempt the step again, now and with a fresh count. As `SagaAdmin.retry_step`.

        Args:
            input: The input to use instead of the computed one, a value of the step's input type, or a dict that stands for one; it
                is checked at run time, for a StepRef knows its output type alone. Default: msgspec.UNSET, the computed one.
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
            SagaDefinitionError: The saga has no such step.
            SagaNotRegisteredError: `input` is given, and this process has not registered the saga's definition.
            PayloadTooLargeError: The input is too large.
        """
        await self._admin.retry_step(self._saga_id, self._step_id, input=input, expect=expect, reason=reason)

    async def settle_done(self, output: O, *, expect: int | None = None, reason: str | None = None) -> None:
        """Say that the step has run, and has returned `output`. As `SagaAdmin.settle_done`.

        Args:
            output: A value of the step's output type: what the step has really returned.
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
        await self._admin.settle_done(self._saga_id, self._step_id, output, expect=expect, reason=reason)

    async def settle_undone(self, *, expect: int | None = None, reason: str | None = None) -> None:
        """Say that the step was undone by hand. As `SagaAdmin.settle_undone`.

        Args:
            expect: The revision number of the snapshot that the operator has seen, 1 or more. The verb is refused if the saga has
                moved on since. Default: None, the saga may be at any revision.
            reason: Why, for the journal: one line of 1 to 1,000 characters. Default: None.

        Raises:
            SagaStateError: The verb is refused, and changed nothing; or the owner has not answered yet, and the request stands.
            SagaDefinitionError: The saga has no such step.
            ActiveSagaAlreadyExistsError: The saga had ended, and another one is active for its business key now.
            SagaNotFoundError: There is no such saga.
            PayloadError: An argument is not what it has to be.
            SagaError: `expect` is out of its range, or the orchestrator is not entered.
            StoredDataError: The saga's row cannot be read.
            StoreError: The database does not answer, or refuses.
        """
        await self._admin.settle_undone(self._saga_id, self._step_id, expect=expect, reason=reason)

    async def settle_never_ran(self, *, expect: int | None = None, reason: str | None = None) -> None:
        """Say that the step has never run. As `SagaAdmin.settle_never_ran`.

        Args:
            expect: The revision number of the snapshot that the operator has seen, 1 or more. The verb is refused if the saga has
                moved on since. Default: None, the saga may be at any revision.
            reason: Why, for the journal: one line of 1 to 1,000 characters. Default: None.

        Raises:
            SagaStateError: The verb is refused, and changed nothing; or the owner has not answered yet, and the request stands.
            SagaDefinitionError: The saga has no such step.
            ActiveSagaAlreadyExistsError: The saga had ended, and another one is active for its business key now.
            SagaNotFoundError: There is no such saga.
            PayloadError: An argument is not what it has to be.
            SagaError: `expect` is out of its range, or the orchestrator is not entered.
            StoredDataError: The saga's row cannot be read.
            StoreError: The database does not answer, or refuses.
        """
        await self._admin.settle_never_ran(self._saga_id, self._step_id, expect=expect, reason=reason)

    async def rewind(
        self,
        *,
        forget: Collection[str | StepRef[object]] = (),
        expect: int | None = None,
        reason: str | None = None,
    ) -> None:
        """Take the saga back to the step: that one and all that follow it run again. As `SagaAdmin.rewind`.

        Args:
            forget: The steps whose effects stay in the world, or may be there, by id or StepRef; a fan-out stands for its items. Steps
                that have nothing to forget may be named too. Default: none.
            expect: The revision number of the snapshot that the operator has seen, 1 or more. The verb is refused if the saga has
                moved on since. Default: None, the saga may be at any revision.
            reason: Why, for the journal: one line of 1 to 1,000 characters. Default: None.

        Raises:
            SagaStateError: The verb is refused, and changed nothing; or the owner has not answered yet, and the request stands. If
                steps are missing in `forget`, it names them.
            SagaDefinitionError: `forget` is no list of steps.
            ActiveSagaAlreadyExistsError: The saga had ended, and another one is active for its business key now.
            SagaNotFoundError: There is no such saga.
            PayloadError: An argument is not what it has to be.
            SagaError: `expect` is out of its range, or the orchestrator is not entered.
            StoredDataError: The saga's row cannot be read.
            StoreError: The database does not answer, or refuses.
        """
        await self._admin.rewind(self._saga_id, self._step_id, forget=forget, expect=expect, reason=reason)
