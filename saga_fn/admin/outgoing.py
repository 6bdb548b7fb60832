"""Messages that sagas have published and no broker has yet; and what is done about those that are dead."""

from __future__ import annotations

from uuid import UUID

from saga_fn.admin.base import AdminBase
from saga_fn.arguments import check_id, check_whole
from saga_fn.engine.drive.asked import Asked
from saga_fn.engine.outward import only_public_errors
from saga_fn.engine.requests.records import recorded
from saga_fn.engine.views.unsent import unsent_of
from saga_fn.outgoing import message_id
from saga_fn.snapshot import UnsentMessage
from saga_fn.store.records import OutgoingRecord, Progress

_MOST = 1000
"""One call lists no more messages, and decides on no more."""


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
        asked, places = await self._places_of(saga_id, message, reason, dead=True)
        store = self._engine.store.outgoing

        async def redriven() -> int:
            return await store.redrive(saga_id, places)

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
        asked, places = await self._places_of(saga_id, message, reason, dead=message is None)
        store = self._engine.store.outgoing

        async def discarded() -> int:
            return await store.discard(saga_id, places, waiting=message is not None)

        done = await recorded(self._engine, "discard", asked, discarded, _counted, saga_id=saga_id)
        self._engine.relay.look_soon()
        return done

    async def _places_of(
        self, saga_id: UUID, message: UUID | None, reason: str | None, *, dead: bool
    ) -> tuple[Asked, list[tuple[int, int]]]:
        """Who asks, and the places of the saga's messages, or of that one; with `dead` only of what is dead."""
        self._engine.gate.require_open()
        self._engine.gate.require_writes()
        check_id(saga_id)
        if message is not None:
            check_id(message, "a message's id", hint="SagaAdmin.outgoing lists them")
        asked = Asked.of(self._actor, reason)
        found = await self._engine.store.outgoing.of_saga(saga_id, most=_MOST)
        wanted = (each for each in found if _is(each, message))
        return asked, [(each.rev, each.n) for each in wanted if each.dead_at is not None or not dead]


def _is(record: OutgoingRecord, message: UUID | None) -> bool:
    return message is None or message_id(record.saga_id, record.rev, record.n) == message


def _counted(number: int) -> Progress:
    return Progress(done=number)
