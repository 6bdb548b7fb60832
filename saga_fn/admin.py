"""For operators: look into a saga, and decide where it waits for a person."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar, final
from uuid import UUID

from returns.result import Failure

from saga_fn.core.events import (
    AbortRequested,
    CompensationRequested,
    PlanChanged,
    RetryRequested,
    StepSkipped,
)
from saga_fn.core.ids import StepId
from saga_fn.core.plan import Plan
from saga_fn.core.projection import project
from saga_fn.core.state import SagaState
from saga_fn.core.transition import transition
from saga_fn.definition import StepRef
from saga_fn.engine.arguments import check_id, check_is, check_key, check_target
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.execution import Incoming
from saga_fn.engine.mail import payload_in
from saga_fn.engine.verbs import apply_verb, end_unusable
from saga_fn.engine.view import admin_snapshot_of, plan_of
from saga_fn.errors import (
    PayloadTooLargeError,
    SagaDefinitionError,
    SagaError,
    SagaNotFoundError,
    SagaNotRegisteredError,
    SagaStateError,
    StoredDataError,
    shown,
)
from saga_fn.orchestrator import SagaOrchestrator
from saga_fn.snapshot import KeptEvent, SagaAdminSnapshot
from saga_fn.store.faults import RowRefusedError
from saga_fn.store.ids import shard_of_key
from saga_fn.store.records import SagaRecord, decode_event, decode_state

O = TypeVar("O")  # noqa: E741 - the name the docs use throughout


@final
class StepAdmin(Generic[O]):
    """One step of one saga, with its output type."""

    _pin: Callable[[O], O]  # declared, never set: invariance, so that a skip takes exactly the step's output

    def __init__(self, admin: SagaAdmin, saga_id: UUID, ref: StepRef[O]) -> None:
        hint = "admin.step(saga_id, ref) makes it, with what add_step gave"
        check_is(admin, SagaAdmin, "a SagaAdmin", error=SagaError, hint=hint)
        check_is(ref, StepRef, "a step's StepRef", error=SagaDefinitionError, hint=hint)
        self._admin = admin
        self._saga_id = saga_id
        self._step_id = ref.step_id

    async def skip(self, output: O) -> None:
        """Go on as if the step had returned `output`; it is never compensated. As `SagaAdmin.skip_step`."""
        await self._admin.skip(self._saga_id, self._step_id, output)


@final
class SagaAdmin:
    """Operators' verbs. Each waits until it has been applied, and raises SagaStateError with the reason if it is refused.

    Who works on the saga meanwhile is asked to apply it, and does so between two steps. All raise SagaNotFoundError.
    """

    def __init__(self, orchestrator: SagaOrchestrator | None = None, *, engine: SagaEngine | None = None) -> None:
        if engine is None:
            mend = "SagaAdmin(orchestrator)"
            check_is(orchestrator, SagaOrchestrator, "the orchestrator", error=SagaError, hint=mend)
            assert orchestrator is not None, "just checked"
            engine = orchestrator.engine
        self._engine = engine

    async def get_saga(self, saga_id: UUID) -> SagaAdminSnapshot:
        """The saga with its data and history, without a lock."""
        return await admin_snapshot_of(self._engine, await self._read(saga_id))

    async def retry_step(self, saga_id: UUID) -> None:
        """Attempt again, now and with a fresh count, what waits for a retry or a person.

        A FAILED saga that has undone nothing goes forward again.
        """
        await apply_verb(self._engine, saga_id, lambda at: Incoming(RetryRequested(at.now)))

    async def compensate_step(self, saga_id: UUID) -> None:
        """Roll the saga back; a FAILED one takes up again what was left undone."""
        await apply_verb(self._engine, saga_id, lambda at: Incoming(CompensationRequested(at.now)))

    async def skip_step(self, saga_id: UUID, mock_output: object = None) -> None:
        """Go on as if the step that waits had returned `mock_output` (a value, or a dict that stands for one).

        Checked against the step's output type at run time; `step(saga_id, ref).skip(...)` is checked by the type checkers.
        """
        await self.skip(saga_id, None, mock_output)

    def step(self, saga_id: UUID, ref: StepRef[O]) -> StepAdmin[O]:
        """One step of a saga, typed."""
        return StepAdmin(self, saga_id, ref)

    async def skip(self, saga_id: UUID, step_id: StepId | None, output: object) -> None:
        """What every spelling of skipping comes to."""
        row = await self._read(saga_id)
        registered = self._engine.registry.find(row.name, row.version)
        if registered is None:
            raise SagaNotRegisteredError(row.name, registered=[name for name, _ in self._engine.registry.pairs])
        plan = registered.definition.plan
        chosen = step_id or project(plan, decode_state(row.state, row.rev)).current_step
        if chosen is None:
            raise SagaStateError(f"saga {saga_id} waits at no step", saga_id=saga_id, hint="look at it with get_saga")
        binding = registered.definition.binding(chosen)
        if binding is None:
            raise SagaDefinitionError(
                f"saga {row.name!r} has no step {shown(chosen)}", hint="take the ref of its definition"
            )
        # Of a fan-out each item is skipped by itself, or the whole before it has begun.
        kept = binding.result_type if chosen == binding.step_id else binding.output_type
        wants_none = binding.when is not None or kept.tp is type(None)
        given: object = {} if output is None and not wants_none else output
        payload = kept.encode(kept.accept(given))
        limit = self._engine.options.max_payload_bytes
        if len(payload) > limit:
            raise PayloadTooLargeError(f"the output for step {chosen!r}", size=len(payload), limit=limit)
        await apply_verb(self._engine, saga_id, lambda at: Incoming(StepSkipped(at.now, chosen), payload=payload))

    async def abort(self, saga_id: UUID) -> None:
        """End the saga as it is, FAILED, undoing nothing. What runs now may run on until its owner's lease is over.

        A saga that has ended stays as it is: SagaStateError. One whose row cannot be read is ended as well; then `left_over`
        names every step of its plan.
        """
        try:
            await apply_verb(self._engine, saga_id, lambda at: Incoming(AbortRequested(at.now, at.lease_end)))
        except (StoredDataError, RowRefusedError) as error:
            await end_unusable(self._engine, saga_id, error)

    async def kept_events(
        self, saga_name: str | None = None, aggregation_id: str | None = None
    ) -> tuple[KeptEvent, ...]:
        """Events for sagas that are not there yet, of that name and business key, or of any; the oldest first."""
        check_key("the saga's name", saga_name)
        check_key("aggregation_id", aggregation_id)
        self._engine.require_open()
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
        """Forget events that wait for a saga of that name and business key; `kept_events` shows them.

        Args:
            saga_name: The name of the saga that they wait for.
            aggregation_id: Its business key.
            event: The name of the event. Default: every event that waits for the key.

        Returns how many there were. An event that a saga has got already stays with it. Raises PayloadError for a name or a
        key that is none.

        Example::

            await admin.discard_kept("create_order", "order-123", "approval")
        """
        self._engine.require_open()
        check_target((saga_name, aggregation_id))
        check_key("the event's name", event)
        kept = self._engine.store.kept_events
        return await kept.discard(
            shard_of_key(aggregation_id, self._engine.store.shards), (saga_name, aggregation_id), event
        )

    async def verify(self, saga_id: UUID) -> list[str]:
        """Fold the saga's journal again and compare: what does not agree with its row, in words; empty when all does.

        It folds up to the row's own revision, so that a saga that is busy meanwhile is judged as it was when it was read.
        """
        row = await self._read(saga_id)
        journal = await self._engine.store.journal(saga_id, last=row.rev)
        state: SagaState | None = None
        plan: Plan | None = None
        for place, record in enumerate(journal, 1):
            try:
                event = decode_event(record.event)
                named = getattr(event, "plan", None)
                if named is not None:
                    plan = await self._engine.store.plan(named)
            except StoredDataError as error:
                return [f"entry {place}: {error.fact}"]
            if plan is None:
                return [f"entry {place}: its plan is not in the store"]
            if isinstance(event, PlanChanged) or state is None or state.plan == plan.id:
                decision = transition(plan, state, event)
            else:
                return [f"entry {place}: plan {state.plan} expected"]
            if isinstance(decision, Failure) or record.seq != place:
                return [f"entry {place}: {type(event).__name__} is not accepted there"]
            state = decision.unwrap().state
        return await self._compare(row, state)

    async def _compare(self, row: SagaRecord, state: SagaState | None) -> list[str]:
        plan = await plan_of(self._engine, row)
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
            "retry_counter": (shown.retry_counter, row.retry_counter),
            "plan": (state.plan, row.plan),
            "ended": (state.ended, row.ended_at is not None),
        }
        return [f"{name}: folded {ours}, stored {theirs}" for name, (ours, theirs) in columns.items() if ours != theirs]

    async def _read(self, saga_id: UUID) -> SagaRecord:
        check_id(saga_id)
        self._engine.require_open()
        row = await self._engine.store.read(saga_id)
        if row is None:
            raise SagaNotFoundError(saga_id)
        return row
