"""Pause one saga, and let it go on. The pauses of a name and of everything are in `pauses.py`."""

from __future__ import annotations

from uuid import UUID

from saga_fn.admin.base import AdminBase, revision_of
from saga_fn.arguments import check_is
from saga_fn.core.verbs import Verb
from saga_fn.engine.outward import only_public_errors
from saga_fn.engine.requests.deeds import Deed
from saga_fn.engine.requests.operate import apply_alone
from saga_fn.errors import PayloadError


@only_public_errors
class AdminPausing(AdminBase):
    """The verbs of `SagaAdmin` that pause one saga."""

    async def pause_saga(self, saga_id: UUID, *, expect: int | None = None, reason: str | None = None) -> None:
        """Let nothing more of one saga begin: no step, no compensation, no probe. It holds until `resume_saga`.

        A step that runs comes to its end, and its result is kept. No timer and no deadline fires. Events are accepted, and a wait
        takes them. Verbs are accepted as well: `abort` ends the saga, and `cancel` turns it back. Its steps are undone after the
        pause. The pause is part of the saga: it stays when processes stop or die.

        Args:
            saga_id: The saga's id.
            expect: The revision number of the snapshot that the operator has seen, 1 or more. The verb is refused if the saga has
                moved on since. Default: None, the saga may be at any revision.
            reason: Why, for the journal and for `explain`: one line of 1 to 1,000 characters. Default: None.

        Raises:
            SagaStateError: The verb is refused, and changed nothing: the saga has ended, or was paused before
                (`already_paused`). Or the owner has not answered yet, and the request stands.
            ActiveSagaAlreadyExistsError: Not for this verb: the saga has not ended.
            SagaNotFoundError: There is no such saga.
            PayloadError: An argument is not what it has to be.
            SagaError: `expect` is out of its range, or the orchestrator is not entered.
            StoredDataError: The saga's row cannot be read.
            StoreError: The database does not answer, or refuses.

        Example::

            await admin.pause_saga(saga_id, reason="the customer is on the phone, OPS-12")
        """
        check, asked = revision_of(expect), self._asked(reason)
        await apply_alone(self._engine, saga_id, Deed(Verb.PAUSE_SAGA), expect=check, asked=asked)

    async def resume_saga(
        self, saga_id: UUID, *, extend: bool = False, expect: int | None = None, reason: str | None = None
    ) -> None:
        """Let a saga go on that `pause_saga` has paused. If its name or everything is paused, it waits for those as well.

        Args:
            saga_id: The saga's id.
            extend: Whether its timers and its deadline are moved by the length of the pause: sleeps, waits, next attempts, a
                delayed start, and the times in which attempts have to succeed. Default: False, those whose moments have come
                fire now.
            expect: The revision number of the snapshot that the operator has seen, 1 or more. The verb is refused if the saga has
                moved on since. Default: None, the saga may be at any revision.
            reason: Why, for the journal: one line of 1 to 1,000 characters. Default: None.

        Raises:
            SagaStateError: The verb is refused, and changed nothing: the saga has ended, or is not paused by itself
                (`not_paused`). Or the owner has not answered yet, and the request stands.
            ActiveSagaAlreadyExistsError: Not for this verb: the saga has not ended.
            SagaNotFoundError: There is no such saga.
            PayloadError: An argument is not what it has to be.
            SagaError: `expect` is out of its range, or the orchestrator is not entered.
            StoredDataError: The saga's row cannot be read.
            StoreError: The database does not answer, or refuses.
        """
        check_is(extend, bool, "extend: a bool", error=PayloadError, hint="extend=True")
        check, asked = revision_of(expect), self._asked(reason)
        await apply_alone(self._engine, saga_id, Deed(Verb.RESUME_SAGA, extend=extend), expect=check, asked=asked)
