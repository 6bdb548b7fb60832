"""Explain a saga: why it stands where it stands, and what each verb would do to it."""

from __future__ import annotations

from uuid import UUID

from saga_fn.admin.base import AdminBase
from saga_fn.engine.outward import only_public_errors
from saga_fn.engine.requests.explain import explanation_of
from saga_fn.explanation import Explanation


@only_public_errors
class AdminExplain(AdminBase):
    """The explanation that `SagaAdmin` gives."""

    async def explain(self, saga_id: UUID) -> Explanation:
        """Explain why the saga stands where it stands, what it waits for, and what each verb would do to it now.

        The verbs are folded on a copy: nothing is changed, and no lock is taken. A reader's rights suffice, and a replica
        (`read_only=True`). The answer counts for one revision, which is the `expect=` of a verb.

        Args:
            saga_id: The saga's id.

        Returns:
            The explanation; `print` shows it as a text.

        Raises:
            SagaNotFoundError: There is no such saga.
            PayloadError: The id is none.
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.

        Example::

            explained = await admin.explain(saga_id)
            print(explained)
            retry = explained.of("retry_step", "charge")
        """
        return await explanation_of(self._engine, await self._read(saga_id))
