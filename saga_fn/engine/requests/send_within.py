"""Events that are sent as part of a transaction of the caller's: a row of their own, and no saga's row is touched.

So no owner of a saga waits for the caller's transaction, and it waits for none. When it is committed, a process takes the
row and sends the event as any sender does: see `hold/handing_over.py`. The event is judged at once by what the transaction sees.
"""

from __future__ import annotations

from uuid import UUID

from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.requests.event_checks import (
    check_event,
    check_versions,
    require_known,
    too_many_kept,
    too_many_unread,
)
from saga_fn.engine.requests.outside_event import Delivery, OutsideEvent
from saga_fn.engine.requests.rows import read_row
from saga_fn.store.connection import CallerConnection, check_transaction
from saga_fn.store.records import MessageStatus


async def send_within(
    engine: SagaEngine,
    target: UUID | tuple[str, str],
    event: OutsideEvent,
    connection: CallerConnection,
    *,
    for_next: bool,
    may_be_new: bool,
    notify: bool,
) -> Delivery:
    """Store the event in the connection's transaction, for a saga's id or for a name and `aggregation_id`.

    UNCOMMITTED is the answer unless the transaction sees another one already. Raises as `send_to_saga` and `send_to_key` do.
    """
    check_transaction(connection, "the event would be sent")
    if isinstance(target, UUID):
        await check_event(engine, await read_row(engine, target, connection), event, connection)
    else:
        check_versions(engine, target[0], event)
        await require_known(engine, target[0], may_be_new=may_be_new, connection=connection)
    if event.expires is not None and event.expires <= engine.store.now():
        return Delivery.EXPIRED
    status = await engine.store.sent_events.add(
        target, event.message(), event.name, expires=event.expires, for_next=for_next, connection=connection
    )
    match status:
        case MessageStatus.DUPLICATE:
            return Delivery.DUPLICATE
        case MessageStatus.ENDED | MessageStatus.NO_ACTIVE_SAGA:
            return Delivery.ENDED
        case MessageStatus.FULL:
            raise too_many_unread(target) if isinstance(target, UUID) else too_many_kept(target)
        case MessageStatus.STORED:
            engine.handing_over.awaited.add(event.id)
            if notify:
                await engine.store.hint([engine.store.now()], connection=connection)
            return Delivery.UNCOMMITTED
