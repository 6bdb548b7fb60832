"""For operators: look into a saga, and decide where it waits for a person."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Final, Generic, TypeAlias, TypeVar, cast, final
from uuid import UUID

import attrs
from returns.result import Failure

from saga_fn.arguments import check_id, check_is, check_key, check_size, check_target, check_whole
from saga_fn.core.event_kinds import plan_of
from saga_fn.core.events import (
    AbortRequested,
    CompensationRequested,
    Finding,
    RetryRequested,
    StepSettled,
    StepSkipped,
)
from saga_fn.core.ids import StepId
from saga_fn.core.plan import LONGEST_ID, Plan
from saga_fn.core.projection import project
from saga_fn.core.state import SagaState
from saga_fn.core.transition import transition
from saga_fn.definition import StepRef
from saga_fn.engine.drive.asked import Asked
from saga_fn.engine.drive.execution import Incoming
from saga_fn.engine.drive.message import payload_in
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.outward import only_public_errors
from saga_fn.engine.requests.operate import apply_verb, end_unusable
from saga_fn.engine.requests.unowned import Standing
from saga_fn.engine.views.journal import entries_of
from saga_fn.engine.views.plans import readable_plan
from saga_fn.engine.views.snapshots import admin_snapshot_of
from saga_fn.errors import (
    PayloadError,
    SagaDefinitionError,
    SagaError,
    SagaNotFoundError,
    SagaNotRegisteredError,
    StoredDataError,
    shown,
)
from saga_fn.listing import MOST_ROWS, SagaFilter, cursor_of, listing_of
from saga_fn.orchestrator import SagaOrchestrator
from saga_fn.snapshot import KeptEvent, SagaAdminSnapshot, SagaCount, SagaPage, SagaRow, SagasOfKey
from saga_fn.store.errors import RowRejectedError
from saga_fn.store.ids import shard_of_key
from saga_fn.store.records import SagaRecord, decode_event, decode_state

_LONGEST_STEP: Final = LONGEST_ID + len("[999]")
"""Characters: of a step's id, or of one of its items."""
Differences: TypeAlias = list[str]
"""Sentences; by a name of its own, because `list` is a method in the class below."""
O = TypeVar("O")  # noqa: E741 - the name the docs use throughout


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

    def __init__(self, admin: SagaAdmin, saga_id: UUID, ref: StepRef[O]) -> None:
        hint = "admin.step(saga_id, ref) makes it, with what add_step gave"
        check_is(admin, SagaAdmin, "a SagaAdmin", error=SagaError, hint=hint)
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

    async def retry(self, *, expect: int | None = None, reason: str | None = None) -> None:
        """Attempt the step again, now and with a fresh count. As `SagaAdmin.retry_step`.

        Args:
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
        """
        await self._admin.retry_step(self._saga_id, self._step_id, expect=expect, reason=reason)

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


@final
@only_public_errors
class SagaAdmin:
    """Operators' verbs. Each waits until it has been applied, and raises SagaStateError with the reason if it is refused.

    A process that works on the saga meanwhile is asked to apply the verb, and does so between two steps. A repeated verb is
    refused, or changes nothing more: it never goes on to another step.

    Args:
        orchestrator: The orchestrator whose store is looked into. It needs no `async with` if it was made with a pool. Default:
            None, which is for `engine` only.
        actor: The operator's name, for the journal and `get_saga`: one line of 1 to 255 characters. Default: None, no name.
        engine: For porting only. Default: None.

    Raises:
        SagaError: `orchestrator` is no SagaOrchestrator.
        PayloadError: `actor` is not one line of 1 to 255 characters.

    Example::

        admin = SagaAdmin(orchestrator, actor="ann@shop")
        seen = await admin.get_saga(saga_id)
        await admin.skip_step(saga_id, "charge", {"payment_id": "p-1"}, expect=seen.revision, reason="paid by wire, OPS-12")
    """

    def __init__(
        self,
        orchestrator: SagaOrchestrator | None = None,
        *,
        actor: str | None = None,
        engine: SagaEngine | None = None,
    ) -> None:
        if engine is None:
            mend = "SagaAdmin(orchestrator)"
            check_is(orchestrator, SagaOrchestrator, "the orchestrator", error=SagaError, hint=mend)
            assert orchestrator is not None, "just checked"
            engine = orchestrator.engine
        self._engine = engine
        self._actor = Asked.of(actor, None).actor

    async def get_saga(
        self, saga_id: UUID, *, journal_after: int | None = None, journal_limit: int = 1000
    ) -> SagaAdminSnapshot:
        """Read the saga with its data and history, without a lock.

        Args:
            saga_id: The saga's id.
            journal_after: The number of the entry after which its history begins; 0 begins with the first. Default: None, the
                history ends with the last entry.
            journal_limit: The greatest number of entries of its history, 1 to 1,000. Default: 1000.

        Returns:
            The snapshot; its `revision` is the `expect=` of a verb, and the number of its last journal entry.

        Raises:
            SagaNotFoundError: There is no such saga.
            PayloadError: The id is none.
            SagaError: A number is out of its range, or the orchestrator is not entered.
            StoreError: The database does not answer, or refuses.
        """
        if journal_after is not None:
            check_whole("journal_after", journal_after, least=0, most=2**62)
        check_whole("journal_limit", journal_limit, least=1, most=MOST_ROWS)
        return await admin_snapshot_of(self._engine, await self._read(saga_id), after=journal_after, most=journal_limit)

    async def list(
        self,
        wanted: SagaFilter | None = None,
        *,
        after: str | None = None,
        limit: int = 100,
        oldest_first: bool = False,
    ) -> SagaPage:
        """List sagas, page by page: the newest first by their start; by their end, if the filter asks for sagas that have ended.

        A saga that changes between two pages is on one of them, or on none if the filter does not find it any more. It takes no
        lock, and works with a reader's rights and on a replica (`read_only=True`).

        Args:
            wanted: The filter. Default: None, all sagas.
            after: The `next` of the page before, of the same filter. Default: None, the first page.
            limit: The greatest number of rows of the page, 1 to 1,000. Default: 100.
            oldest_first: Whether the oldest start comes first, so that what has waited longest does. It is refused for
                sagas that have ended, and for a business key. Default: False.

        Returns:
            The page.

        Raises:
            PayloadError: An argument is not what it has to be, no index serves the filter, or `after` is of another filter.
            SagaError: `limit` is out of its range, or the orchestrator is not entered.
            StoreError: The database does not answer, or refuses.

        Example::

            page = await admin.list(SagaFilter(saga_name="create_order", waits=WaitReason.PARKED), limit=50)
        """
        check_whole("limit", limit, least=1, most=MOST_ROWS)
        return await self._page(wanted, after=after, limit=limit, oldest_first=oldest_first)

    async def list_all(
        self, wanted: SagaFilter | None = None, *, oldest_first: bool = False
    ) -> AsyncGenerator[SagaRow]:
        """List all sagas that a filter finds, row by row; pages are read as they are needed.

        Args:
            wanted: The filter. Default: None, all sagas.
            oldest_first: As in `list`. Default: False.

        Returns:
            An iterator that gives each saga once.

        Raises:
            PayloadError: No index serves the filter.
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.

        Example::

            async for row in admin.list_all(SagaFilter(waits=WaitReason.PARKED)):
                print(row.id, row.parked, row.problem_step, row.last_error)
        """
        after: str | None = None
        while True:
            page = await self.list(wanted, after=after, oldest_first=oldest_first)
            for row in page.rows:
                yield row
            after = page.next
            if after is None:
                return

    async def count(self, wanted: SagaFilter | None = None) -> SagaCount:
        """Count the sagas that a filter finds, up to 1,000: `str` of the result is "200", or "1,000+".

        Args:
            wanted: The filter. Default: None, all sagas.

        Returns:
            Their number, and whether there are more.

        Raises:
            PayloadError: An argument is not what it has to be, or no index serves the filter.
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.
        """
        page = await self._page(wanted, after=None, limit=MOST_ROWS, oldest_first=False)
        return SagaCount(len(page.rows), page.next is not None)

    async def find(self, saga_name: str, aggregation_id: str, *, limit: int = 100) -> SagasOfKey:
        """Find the sagas of a business key: the active one, and those that have ended.

        Args:
            saga_name: The name of the sagas.
            aggregation_id: Their business key.
            limit: The greatest number of those that have ended, 1 to 1,000. Default: 100. `list` with the key pages through all.

        Returns:
            The sagas; none if nothing was ever started under the key.

        Raises:
            PayloadError: The name or the key is none.
            SagaError: `limit` is out of its range, or the orchestrator is not entered.
            StoreError: The database does not answer, or refuses.

        Example::

            found = await admin.find("create_order", "order-123")
        """
        check_target((saga_name, aggregation_id))
        key = SagaFilter(saga_name=saga_name, aggregation_id=aggregation_id)
        active = await self.list(attrs.evolve(key, active=True), limit=1)
        ended = await self.list(attrs.evolve(key, active=False), limit=limit)
        ids = {row.id for row in ended.rows}  # it may have ended between the two looks
        return SagasOfKey(next((row for row in active.rows if row.id not in ids), None), ended.rows)

    async def _page(self, wanted: SagaFilter | None, *, after: str | None, limit: int, oldest_first: bool) -> SagaPage:
        asked = listing_of(wanted, oldest_first=oldest_first, after=after, most=limit + 1)
        self._engine.gate.require_open()
        rows = await self._engine.store.lists.page(asked)
        last = rows[limit - 1] if len(rows) > limit else None
        return SagaPage(tuple(rows[:limit]), None if last is None else cursor_of(asked, asked.place_of(last)))

    async def retry_step(
        self, saga_id: UUID, step: str | StepRef[object], *, expect: int | None = None, reason: str | None = None
    ) -> None:
        """Attempt a step again, now and with a fresh count, that waits for its next attempt or for a person.

        If the step's compensation is what waits, that is attempted again. If the step is a fan-out, all items that wait are.

        A saga that has FAILED, and has undone nothing, goes forward again as a whole, from the place where it failed. So `FAILED` is
        an end only for as long as no operator takes it up. The log says "resumed from FAILED" at WARNING.

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
        chosen, check, asked = _step_of(step), _revision(expect), self._asked(reason)
        await apply_verb(self._engine, saga_id, lambda at: Incoming(RetryRequested(at.now, chosen, check), input=asked))

    async def compensate_step(self, saga_id: UUID, *, expect: int | None = None, reason: str | None = None) -> None:
        """Roll the saga back: undo every step that is done, the last first. A FAILED saga takes up the undoing that is left.

        A saga that has done nothing yet ends COMPENSATED: a clean end, where `abort` would give FAILED.

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
        check, asked = _revision(expect), self._asked(reason)
        await apply_verb(self._engine, saga_id, lambda at: Incoming(CompensationRequested(at.now, check), input=asked))

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
        chosen, check, asked = _step_of(step), _revision(expect), self._asked(reason)
        check_is(not_begun, bool, "not_begun: a bool", error=PayloadError, hint="skip_step(..., not_begun=True)")
        payload = await self._given(saga_id, chosen, mock_output)

        def make(at: Standing) -> Incoming:
            skipped = StepSkipped(at.now, chosen, not_begun=not_begun, expect=check)
            return Incoming(skipped, input=asked, payload=payload)

        await apply_verb(self._engine, saga_id, make)

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
        `left_over` then names the step as not undone, and `compensate_step` undoes it.

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
        payload = await self._given(saga_id, _step_of(step), output)
        await self._settle(saga_id, step, Finding.DONE, expect, reason, payload)

    async def settle_undone(
        self, saga_id: UUID, step: str | StepRef[object], *, expect: int | None = None, reason: str | None = None
    ) -> None:
        """Say that nothing of a step is in the world any more: it was undone by hand.

        It is for a step whose compensation has failed or waits, and for one that may have run. A rollback goes on past a
        compensation that is over so. A FAILED saga of which nothing is left over any more becomes COMPENSATED.

        A saga that goes forward and waits for a person at the step still does: `retry_step` or `compensate_step` goes on. A retry
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
        await self._settle(saga_id, step, Finding.UNDONE, expect, reason)

    async def settle_never_ran(
        self, saga_id: UUID, step: str | StepRef[object], *, expect: int | None = None, reason: str | None = None
    ) -> None:
        """Say that a step that may have run has never run: no attempt of it has arrived, and none will.

        A saga that goes forward and waits for a person at the step still does: `retry_step` or `compensate_step` goes on. A
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
        await self._settle(saga_id, step, Finding.NEVER_RAN, expect, reason)

    async def abort(self, saga_id: UUID, *, expect: int | None = None, reason: str | None = None) -> None:
        """End the saga as it is, FAILED, undoing nothing. A step that runs now may run on until its owner's lease is over.

        `retry_step` and `compensate_step` take an aborted saga up again. A saga whose row cannot be read is ended as well; then
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
        check, asked = _revision(expect), self._asked(reason)
        try:
            await apply_verb(
                self._engine, saga_id, lambda at: Incoming(AbortRequested(at.now, at.lease_end, check), input=asked)
            )
        except (StoredDataError, RowRejectedError) as error:
            await end_unusable(self._engine, saga_id, error, expect=check, asked=asked)

    def step(self, saga_id: UUID, ref: StepRef[O]) -> StepAdmin[O]:
        """Choose one step of a saga, so that the type checkers know its output.

        Args:
            saga_id: The saga's id.
            ref: The step's StepRef, as `add_step` gave it.

        Returns:
            The verbs for this step.

        Raises:
            SagaDefinitionError: `ref` is no StepRef.
        """
        return StepAdmin(self, saga_id, ref)

    async def _given(self, saga_id: UUID, chosen: StepId, value: object) -> bytes:
        """The bytes of what an operator gives as the output of a step."""
        row = await self._read(saga_id)
        registered = self._engine.registry.find(row.name, row.version)
        if registered is None:
            raise SagaNotRegisteredError(row.name, registered=[name for name, _ in self._engine.registry.pairs])
        binding = registered.definition.binding(chosen)
        if binding is None:
            known = shown(list(registered.definition.steps))
            raise SagaDefinitionError(
                f"saga {shown(row.name)} has no step {shown(chosen)}", hint=f"its steps are {known}"
            )
        kept = binding.given_for(chosen)
        payload = kept.encode(kept.accept(value))
        check_size(f"the output for step {shown(chosen)}", payload, self._engine.options.max_payload_bytes)
        return payload

    async def _settle(
        self,
        saga_id: UUID,
        step: object,
        finding: Finding,
        expect: object,
        reason: str | None,
        payload: bytes | None = None,
    ) -> None:
        chosen, check, asked = _step_of(step), _revision(expect), self._asked(reason)

        def make(at: Standing) -> Incoming:
            return Incoming(StepSettled(at.now, chosen, check, finding=finding), input=asked, payload=payload)

        await apply_verb(self._engine, saga_id, make)

    def _asked(self, reason: str | None) -> bytes | None:
        return Asked.of(self._actor, reason).encode()

    async def kept_events(
        self, saga_name: str | None = None, aggregation_id: str | None = None
    ) -> tuple[KeptEvent, ...]:
        """List the events that are kept for sagas that are not there yet, the oldest first.

        Args:
            saga_name: Only those for sagas of this name, 1 to 255 characters. Default: None, of every name.
            aggregation_id: Only those for this business key, 1 to 255 characters. Default: None, of every key.

        Returns:
            The events.

        Raises:
            PayloadError: A name or key is none.
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.
        """
        check_key("the saga's name", saga_name)
        check_key("aggregation_id", aggregation_id)
        self._engine.gate.require_open()
        store = self._engine.store
        shards = range(store.shards) if aggregation_id is None else (shard_of_key(aggregation_id, store.shards),)
        found = [each for shard in shards for each in await store.kept_events.read(shard, saga_name, aggregation_id)]
        return tuple(
            KeptEvent(
                saga_name=each.name,
                aggregation_id=each.aggregation_id,
                event=each.event,
                payload=payload_in(each.body),
                sent_at=each.sent_at,
                expires_at=each.expires_at,
            )
            for each in sorted(found, key=lambda each: each.sent_at)
        )

    async def discard_kept(self, saga_name: str, aggregation_id: str, event: str | None = None) -> int:
        """Forget events that wait for a saga of a name and business key; `kept_events` shows them.

        An event that a saga has got already stays with it.

        Args:
            saga_name: The name of the saga that they wait for.
            aggregation_id: Its business key.
            event: The name of the event. Default: None, every event that waits for the key.

        Returns:
            How many there were.

        Raises:
            PayloadError: A name or the key is none.
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.

        Example::

            await admin.discard_kept("create_order", "order-123", "approval")
        """
        self._engine.gate.require_open()
        check_target((saga_name, aggregation_id))
        check_key("the event's name", event)
        kept = self._engine.store.kept_events
        return await kept.discard(
            shard_of_key(aggregation_id, self._engine.store.shards), (saga_name, aggregation_id), event
        )

    async def verify(self, saga_id: UUID) -> Differences:
        """Fold the saga's journal again, up to the row's own revision, and compare the result with the row.

        Args:
            saga_id: The saga's id.

        Returns:
            The differences in words; an empty list when there is none.

        Raises:
            SagaNotFoundError: There is no such saga.
            PayloadError: The id is none.
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.
        """
        row = await self._read(saga_id)
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

    async def _compare(self, row: SagaRecord, state: SagaState | None) -> Differences:
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

    async def _read(self, saga_id: UUID) -> SagaRecord:
        check_id(saga_id)
        self._engine.gate.require_open()
        row = await self._engine.store.read(saga_id)
        if row is None:
            raise SagaNotFoundError(saga_id)
        return row


def _step_of(step: object) -> StepId:
    """The id of the step that is named; raises SagaDefinitionError for what names none."""
    found: object = step.step_id if isinstance(step, StepRef) else step
    if (
        not isinstance(found, str)
        or not 0 < len(found) <= _LONGEST_STEP
        or not (found.isascii() and found.isprintable())
    ):
        raise SagaDefinitionError(
            f"a step's id or its StepRef is wanted, not {shown(found)}",
            hint='as in skip_step(saga_id, "charge", output); steps of SagaAdmin.get_saga has them all',
        )
    return StepId(found)


def _revision(expect: object) -> int | None:
    """The revision that the operator saw; raises SagaError for what is none."""
    if expect is None:
        return None
    check_whole("expect", expect, least=1, most=2**62)
    return cast("int", expect)
