"""For operators: look into a saga, and decide where it waits for a person."""

from __future__ import annotations

from typing import TypeVar, final
from uuid import UUID

from saga_fn.admin.explain import AdminExplain
from saga_fn.admin.exporting import AdminExporting
from saga_fn.admin.kept_events import AdminKeptEvents
from saga_fn.admin.lists import AdminLists
from saga_fn.admin.operations import AdminOperations
from saga_fn.admin.outgoing import AdminOutgoing
from saga_fn.admin.pauses import AdminPauses
from saga_fn.admin.pausing import AdminPausing
from saga_fn.admin.retention import AdminRetention
from saga_fn.admin.sleeping import AdminSleeping
from saga_fn.admin.stats import AdminStats
from saga_fn.admin.step import AdminDecisions, StepAdmin
from saga_fn.admin.verification import AdminVerification
from saga_fn.arguments import check_is
from saga_fn.definition import StepRef
from saga_fn.engine.drive.asked import Asked
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.outward import only_public_errors
from saga_fn.errors import SagaError
from saga_fn.orchestrator import SagaOrchestrator

O = TypeVar("O")  # noqa: E741 - the name the docs use throughout


@final
@only_public_errors
class SagaAdmin(
    AdminLists,
    AdminExplain,
    AdminExporting,
    AdminDecisions,
    AdminSleeping,
    AdminPausing,
    AdminPauses,
    AdminKeptEvents,
    AdminOperations,
    AdminOutgoing,
    AdminRetention,
    AdminStats,
    AdminVerification,
):
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
