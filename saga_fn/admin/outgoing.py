"""Messages that sagas have published and no broker has yet; and what is done about those that are dead."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final
from uuid import UUID

from saga_fn.admin.base import AdminBase
from saga_fn.arguments import check_id, check_whole
from saga_fn.engine.drive.asked import Asked
from saga_fn.engine.outward import only_public_errors
from saga_fn.engine.requests.records import recorded
from saga_fn.engine.views.unsent import unsent_of
from saga_fn.outgoing import message_id
from saga_fn.snapshot import UnsentMessage
from saga_fn.store.records import Progress

_MOST = 1000
"""One call lists no more messages, and one statement decides on no more."""
_FIRST: Final = (-1, -1)
"""The place that all messages of a saga stand behind."""


@only_public_errors
class AdminOutgoing(AdminBase):
    """The verbs of `SagaAdmin` for outgoing messages."""

    async def outgoing(self, saga_id: UUID | None = None, *, limit: int = 100) -> tuple[UnsentMessage, ...]:
        """List outgoing messages that are not published: all of one saga, or the dead ones of all sagas.

        Args:
            saga_id: The saga's id. Default: None, the dead messages of all sagas, those that died first at the front.
            limit: The greatest number of messages, from 1 to 1,000. Default: 100.

        Returns:
            The messages; those of one saga in the order in which they are published.

        Raises:
            PayloadError: The id is none.
            SagaError: `limit` is out of its range, or the orchestrator is not entered.
            StoreError: The database does not answer, or refuses.

        Example::

            for message in await admin.outgoing():
                print(message.saga_id, message.topic, message.error)
        """
        self._engine.gate.require_open()
        check_whole("limit", limit, least=1, most=_MOST)
        outgoing = self._engine.store.outgoing
        if saga_id is None:
            return tuple(unsent_of(each) for each in await outgoing.dead(most=limit))
        check_id(saga_id)
        return tuple(unsent_of(each) for each in await outgoing.of_saga(saga_id, most=limit))

    async def redrive(self, saga_id: UUID, message: UUID | None = None, *, reason: str | None = None) -> int:
        """Try dead messages of a saga again, from the first attempt on.

        Args:
            saga_id: The saga's id.
            message: The id of one message. Default: None, all dead messages of the saga.
            reason: Why, for `list_operations`: one line of 1 to 1,000 characters. Default: None.

        Returns:
            How many there were: 0 if none of them is dead.

        Raises:
            PayloadError: An id is none, or the reason is no line.
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.

        Example::

            await admin.redrive(saga_id, reason="the broker takes large messages now")
        """
        asked = self._checked(saga_id, message, reason)
        store = self._engine.store.outgoing

        async def redriven() -> int:
            return await self._decided(saga_id, message, partial(store.redrive, saga_id), dead=True)

        done = await recorded(self._engine, "redrive", asked, redriven, _counted, saga_id=saga_id)
        self._engine.relay.look_soon()
        return done

    async def discard(self, saga_id: UUID, message: UUID | None = None, *, reason: str | None = None) -> int:
        """Give dead messages of a saga up for good. Those behind them go on.

        Args:
            saga_id: The saga's id.
            message: The id of one message, which need not be dead: one whose topic no process publishes any more waits for ever.
                Default: None, all dead messages of the saga.
            reason: Why, for `list_operations`: one line of 1 to 1,000 characters. Default: None.

        Returns:
            How many there were: 0 if none of them is dead, or a process has the one message in its hands at this moment.

        Raises:
            PayloadError: An id is none, or the reason is no line.
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.

        Example::

            await admin.discard(saga_id, message.id, reason="sent by hand, OPS-12")
        """
        asked = self._checked(saga_id, message, reason)
        discard = partial(self._engine.store.outgoing.discard, saga_id, waiting=message is not None)

        async def discarded() -> int:
            return await self._decided(saga_id, message, discard, dead=message is None)

        done = await recorded(self._engine, "discard", asked, discarded, _counted, saga_id=saga_id)
        self._engine.relay.look_soon()
        return done

    def _checked(self, saga_id: UUID, message: UUID | None, reason: str | None) -> Asked:
        """Who asks for it. Raises for what cannot be asked."""
        self._engine.gate.require_open()
        self._engine.gate.require_writes()
        check_id(saga_id)
        if message is not None:
            check_id(message, "a message's id", hint="SagaAdmin.outgoing lists them")
        return Asked.of(self._actor, reason)

    async def _decided(
        self,
        saga_id: UUID,
        message: UUID | None,
        decide: Callable[[list[tuple[int, int]]], Awaitable[int]],
        *,
        dead: bool,
    ) -> int:
        """Decide on the messages of the saga, or on that one; with `dead` on dead ones alone. Gives how many it was."""
        done, after = 0, _FIRST
        while True:
            places = await self._engine.store.outgoing.places(saga_id, dead=dead, after=after, most=_MOST)
            wanted = [(rev, n) for rev, n in places if message in (None, message_id(saga_id, rev, n))]
            if wanted:
                done += await decide(wanted)
            if len(places) < _MOST or (wanted and message is not None):
                return done
            after = places[-1]


def _counted(number: int) -> Progress:
    return Progress(done=number)
