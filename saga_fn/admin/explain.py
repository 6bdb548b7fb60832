"""Explain a saga: why it stands where it stands, and what each verb would do to it."""

from __future__ import annotations

from uuid import UUID

from saga_fn.admin.base import AdminBase
from saga_fn.admin.bulk_verbs import BulkVerb
from saga_fn.admin.given import deed_of, given_with
from saga_fn.engine.outward import only_public_errors
from saga_fn.engine.requests.explain import explanation_of
from saga_fn.explanation import Explanation


@only_public_errors
class AdminExplain(AdminBase):
    """The explanation that `SagaAdmin` gives."""

    async def explain(self, saga_id: UUID, *, verb: BulkVerb | None = None) -> Explanation:
        """Explain why the saga stands where it stands, what it waits for, and what each verb would do to it now.

        A verb is previewed with nothing more said. With `verb` that one alone is, with all that is given with it: the steps that a
        rewind forgets, the input of a retry, the moment of a sleep.

        The verbs are folded on a copy: nothing is changed, and no lock is taken. A reader's rights suffice, and a replica
        (`read_only=True`). The answer counts for one revision, which is the `expect=` of a verb.

        Args:
            saga_id: The saga's id.
            verb: The verb to preview, such as `Rewind("charge", forget=["charge"])`. Default: None, every verb.

        Returns:
            The explanation; `print` shows it as a text.

        Raises:
            SagaStateError: A wait, a sleep or a fan-out is given an input.
            SagaDefinitionError: The saga has no such step, and a value is given for it.
            SagaNotRegisteredError: A value is given, and this process has not registered the saga's definition.
            PayloadTooLargeError: The value is too large.
            SagaNotFoundError: There is no such saga.
            PayloadError: The id is none, the verb is none, or the value does not fit its step.
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.

        Example::

            explained = await admin.explain(saga_id)
            print(explained)
            retry = explained.of("retry_step", "charge")
            (rewind,) = (await admin.explain(saga_id, verb=Rewind("charge", forget=["charge"]))).verbs
        """
        if verb is None:
            return await explanation_of(self._engine, await self._read(saga_id))
        given = given_with(verb)
        payload = (
            None if given is None else await self._given(saga_id, given.step, given.value, is_input=given.is_input)
        )
        deed = deed_of(verb, payload)
        return await explanation_of(self._engine, await self._read(saga_id), deed)
