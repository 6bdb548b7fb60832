"""The events that wait for a saga which is not there yet."""

from __future__ import annotations

from saga_fn.admin.base import AdminBase
from saga_fn.arguments import check_key, check_target
from saga_fn.core.listing import Wanted
from saga_fn.engine.drive.asked import Asked
from saga_fn.engine.drive.message import payload_in
from saga_fn.engine.outward import only_public_errors
from saga_fn.engine.requests.records import recorded
from saga_fn.engine.requests.stored_operation import Aim
from saga_fn.snapshot import KeptEvent
from saga_fn.store.ids import shard_of_key
from saga_fn.store.records import Progress


@only_public_errors
class AdminKeptEvents(AdminBase):
    """The verbs of `SagaAdmin` for kept events."""

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

    async def discard_kept(
        self, saga_name: str, aggregation_id: str, event: str | None = None, *, reason: str | None = None
    ) -> int:
        """Forget events that wait for a saga of a name and business key; `kept_events` shows them.

        An event that a saga has got already stays with it.

        Args:
            saga_name: The name of the saga that they wait for.
            aggregation_id: Its business key.
            event: The name of the event. Default: None, every event that waits for the key.
            reason: Why, for `list_operations`: one line of 1 to 1,000 characters. Default: None.

        Returns:
            How many there were.

        Raises:
            PayloadError: A name or the key is none, or the reason is no line.
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.

        Example::

            await admin.discard_kept("create_order", "order-123", "approval")
        """
        self._engine.gate.require_open()
        self._engine.gate.require_writes()
        check_target((saga_name, aggregation_id))
        check_key("the event's name", event)
        asked = Asked.of(self._actor, reason)
        kept = self._engine.store.kept_events
        shard = shard_of_key(aggregation_id, self._engine.store.shards)
        return await recorded(
            self._engine,
            "discard_kept",
            asked,
            lambda: kept.discard(shard, (saga_name, aggregation_id), event),
            lambda number: Progress(done=number),
            request=Aim(Wanted(name=saga_name, aggregation_id=aggregation_id)).encode(),
        )
